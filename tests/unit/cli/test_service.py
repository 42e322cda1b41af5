"""`ringfence service` and `ringfence bpf lb`: what people see of services, and what they add."""

from __future__ import annotations

import pytest

from ringfence.cli.service_manifest import manifests
from ringfence.errors import BadInput
from ringfence.policy.parse import Parsed, Source, parse_documents
from ringfence.policy.services import ServicePort
from tests.unit.cli.conftest import Run


def parsed(**asked: object) -> Parsed:
    given = {"addresses": ["10.96.0.10"], "ports": ["80"], "backends": [], "selector": None} | asked
    text = manifests("shop/web", algorithm="random", affinity=None, **given)  # type: ignore[arg-type] # as click gives
    return parse_documents([Source("-", text)])


def test_services_are_listed_with_their_backends(run: Run) -> None:
    """A frontend a line; in brackets what gets no new connections; none is said where there is none."""
    lines = [line.split() for line in run("service", "list").output.splitlines()]
    assert ["shop/web", "10.96.0.10:80/TCP", "10.0.0.2:8080,", "[10.0.0.3:8080]"] in lines
    assert ["-", "[fd96::10]:80/TCP", "none"] in lines


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        ([], "1 10.96.0.10:80/TCP shop/web 10.0.0.2:8080, 10.0.0.4:8080 maglev 4, affinity 100s"),
        ([], "2 10.96.0.10:* shop/web no such port -"),
        (["--backends"], "5 10.0.0.2:8080 3 active"),
        (["--revnat"], "1 10.96.0.10:80/TCP"),
        (["--maglev"], "10.96.0.10:80/TCP 10.0.0.2:8080 3 75.00 %"),
    ],
)
def test_the_kernels_side_is_listed_in_every_view(run: Run, view: list[str], expected: str) -> None:
    """Frontends, backends, where replies come from, and the shares of Maglev's tables."""
    assert expected.split() in [line.split() for line in run("bpf", "lb", "list", *view).output.splitlines()]


def test_a_service_that_is_added_is_what_its_manifests_would_be() -> None:
    """Ports, targets and backends of both families become a Service and its slices."""
    found = parsed(ports=["80:8080", "53/udp"], backends=["10.0.0.2", "fd00::2"])
    [service] = found.services
    assert service.uid == "Service/shop/web"
    assert service.ports == (ServicePort(80, 8080, "TCP", "p0"), ServicePort(53, 53, "UDP", "p1"))
    assert {str(each.addresses[0]) for found in found.slices for each in found.endpoints} == {"10.0.0.2", "fd00::2"}


def test_a_service_by_selector_has_no_slices() -> None:
    """Its backends are the workloads that the selector means."""
    found = parsed(selector="app=web,tier=front", ports=["80:http"])
    assert found.slices == ()
    assert found.services[0].selector == (("app", "web"), ("tier", "front"))
    assert found.services[0].ports[0].target == "http"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"ports": ["web"]}, "--port 'web'; expected PORT"),
        ({"backends": ["web-1"]}, "--backend 'web-1'; expected an IP address"),
        ({"selector": "web"}, "--selector 'web'; expected KEY=VALUE"),
        ({"ports": ["80:http"]}, "needs --selector"),
        ({"selector": "app=web", "backends": ["10.0.0.2"]}, "either"),
    ],
)
def test_what_makes_no_service_is_told(asked: dict[str, object], told: str) -> None:
    """One clear line, and nothing is added."""
    with pytest.raises(BadInput, match=told):
        parsed(**asked)


def test_services_are_deleted_by_name(run: Run) -> None:
    """What was deleted is told with the revision."""
    assert "shop/web deleted" in run("service", "delete", "shop/web").output
