from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.core import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from ringfence.abi import Direction, Reason
from ringfence.agent.listening import listen
from ringfence.agent.metrics.families import FAMILIES
from ringfence.agent.metrics.listener import MetricsListener
from ringfence.api.client import Client
from ringfence.errors import RingfenceError
from tests.promtool import promtool
from tests.unit.api.counting import CountingKernel
from tests.unit.api.running import Running
from tests.unit.engine.script import WEB
from tests.unit.flow.batch import event

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
WEB_UID = "CiliumNetworkPolicy/default/web"


def parse_openmetrics(text: str) -> list[Metric]:
    return list(openmetrics.text_string_to_metric_families(text))  # type: ignore[no-untyped-call] # it has no types


@pytest.fixture
def kernel() -> CountingKernel:
    return CountingKernel()


@pytest.fixture
def agent(tmp_path: Path, kernel: CountingKernel, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    # Tests scrape again at once; what is shared within a second has a test of its own.
    monkeypatch.setattr("ringfence.agent.metrics.exposition._SHARED_SECONDS", 0.0)
    running = Running(tmp_path, kernel)
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def http(agent: Running) -> Iterator[httpx.Client]:
    transport = httpx.HTTPTransport(uds=str(agent.socket))
    with httpx.Client(transport=transport, base_url="http://ringfence") as found:
        yield found


@pytest.fixture
def client(agent: Running) -> Iterator[Client]:
    with Client(str(agent.socket)) as found:
        for number, app in enumerate(("web", "client"), 1):
            found.put_endpoint(app, netns=str(number), labels=[f"app={app}"])
        yield found


def samples(http: httpx.Client) -> dict[str, dict[tuple[str, ...], float]]:
    """A scrape: by name, by the values of the labels in alphabetical order of their names."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in parse_text(http.get("/metrics").text):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def test_every_metric_is_told_and_documented(client: Client, http: httpx.Client) -> None:
    """A scrape has exactly the metrics that are documented, each with its kind, and Prometheus finds no fault."""
    client.apply_policies([("web.yaml", WEB)])
    text = http.get("/metrics").content
    assert "" == promtool("check", "metrics", text=text)
    told = {family.name: family.type for family in parse_text(text.decode()) if family.name.startswith("ringfence_")}
    kinds = {each.name.removesuffix("_total"): each.kind for each in FAMILIES}
    assert {name: {"info": "gauge"}.get(kind, kind) for name, kind in kinds.items()} == told


def test_openmetrics_is_told_to_who_prefers_it(client: Client, http: httpx.Client) -> None:
    """Prometheus gets OpenMetrics, whole and well formed; who asks for nothing in particular gets plain text."""
    client.apply_policies([("web.yaml", WEB)])
    answer = http.get("/metrics", headers={"accept": PROMETHEUS})
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert {"ringfence_verdicts", "ringfence_build"} <= {family.name for family in parse_openmetrics(answer.text)}
    for accept in ("", "*/*", "text/plain", "text/html;q=x, application/openmetrics-text;q=0.1, text/plain;q=0.9"):
        answer = http.get("/metrics", headers={"accept": accept})
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


def test_verdicts_by_direction_verdict_and_reason(kernel: CountingKernel, http: httpx.Client) -> None:
    """The kernel's counters stand under the words that `status` uses; reasons that did not occur stand at zero."""
    kernel.verdicts = {
        (Reason.FORWARDED, Direction.EGRESS): (5, 500),
        (Reason.POLICY_DENIED, Direction.INGRESS): (2, 80),
        (99, 0): (1, 10),
    }
    found = samples(http)
    assert 5 == found["ringfence_verdicts_total"]["egress", "forwarded", "allow"]
    assert 80 == found["ringfence_verdict_bytes_total"]["ingress", "policy denied", "deny"]
    assert 1 == found["ringfence_verdicts_total"]["unknown", "99", "deny"]
    assert 0 == found["ringfence_verdicts_total"]["ingress", "invalid source", "deny"]


def test_a_rules_counters_survive_its_deletion(client: Client, kernel: CountingKernel, http: httpx.Client) -> None:
    """What a rule decided only grows, over deletion of its policy and the same policy applied again."""
    labels = ("ingress", "web.yaml:8", WEB_UID, "allow")
    client.apply_policies([("web.yaml", WEB)])
    kernel.pass_packets(80, 5)
    assert 5 == samples(http)["ringfence_rule_packets_total"][labels]
    kernel.pass_packets(80, 2)
    client.delete_policies(["web"])
    assert 7 == samples(http)["ringfence_rule_packets_total"][labels]
    client.apply_policies([("web.yaml", WEB)])
    kernel.pass_packets(80, 1)
    found = samples(http)
    assert 8 == found["ringfence_rule_packets_total"][labels]
    assert 800 == found["ringfence_rule_bytes_total"][labels]


def test_an_entry_set_by_hand_counts_for_itself(client: Client, kernel: CountingKernel, http: httpx.Client) -> None:
    """While an entry by hand stands in a rule's place, packets are its, not the rule's; the rule goes on afterwards."""
    client.apply_policies([("web.yaml", WEB)])
    entry = next(each for each in client.entries() if each["port"] == 80)
    key: Any = {name: dict(entry)[name] for name in ("subject", "peer", "port", "protocol", "direction")}
    kernel.pass_packets(80, 5)
    client.set_entry(key | {"action": "deny"})
    kernel.pass_packets(80, 3)
    client.delete_entry(key)
    kernel.pass_packets(80, 1)
    found = samples(http)["ringfence_rule_packets_total"]
    assert 6 == found["ingress", "web.yaml:8", WEB_UID, "allow"]
    assert 3 == found["ingress", "manual", "manual", "deny"]


def test_rules_beyond_the_busiest_are_a_number(client: Client, kernel: CountingKernel, http: httpx.Client) -> None:
    """Of 2,000 rules 500 are told: a scrape does not grow with the policies."""
    rule = '  - fromEndpoints: [{matchLabels: {app: client}}]\n    toPorts: [{ports: [{port: "%d", protocol: TCP}]}]\n'
    text = WEB[: WEB.index("  - from")] + "".join(rule % port for port in range(1, 2001))
    client.apply_policies([("web.yaml", text)])
    for port in range(1, 2001):
        kernel.pass_packets(port, port)
    found = samples(http)
    told = found["ringfence_rule_packets_total"]
    assert 500 == len(told)
    assert 2000 == max(told.values())
    assert 1501 == min(packets for labels, packets in told.items() if labels[2] == WEB_UID)
    assert found["ringfence_rules"][()] - 500 == found["ringfence_rules_not_exposed"][()]
    assert sum(map(len, found.values())) < 1300


def test_names_that_files_have_are_escaped(client: Client, http: httpx.Client) -> None:
    """A file may be called anything: quotes, backslashes and line feeds in an origin stand escaped in both formats."""
    name = 'we"b\\n\n".yaml'
    client.apply_policies([(name, WEB)])
    origins = {labels[1] for labels in samples(http)["ringfence_rule_packets_total"]}
    assert f"{name}:8" in origins
    text = http.get("/metrics", headers={"accept": PROMETHEUS}).text
    told = {sample.labels.get("origin") for family in parse_openmetrics(text) for sample in family.samples}
    assert f"{name}:8" in told
    assert "" == promtool("check", "metrics", text=http.get("/metrics").content)


def test_state_is_told(client: Client, agent: Running, http: httpx.Client) -> None:
    """Endpoints, policies, identities, maps, subscribers, commits and the version are as the agent has them."""
    client.apply_policies([("web.yaml", WEB)])
    with client.events() as _:
        found = samples(http)
    status = client.status()
    assert {("attaching",): 0, ("ready",): 2, ("disconnected",): 0} == found["ringfence_endpoints"]
    assert {("ingress",): 1, ("egress",): 0} == found["ringfence_endpoints_enforced"]
    assert {("CiliumNetworkPolicy",): 1} == found["ringfence_policies"]
    assert status["identities"] == found["ringfence_identities"][()]
    assert status["revision"] == found["ringfence_policy_revision"][()]
    assert len(client.entries()) == found["ringfence_map_entries"]["policy",]
    assert len(client.ipcache()) == found["ringfence_map_entries"]["ipcache",]
    assert 131072 == found["ringfence_map_max_entries"]["policy",]
    assert len(client.entries()) / 131072 == found["ringfence_map_pressure"]["policy",]
    assert 1 == found["ringfence_subscribers"][()]
    assert agent.kernel.commits - 1 == found["ringfence_policy_commits_total"][()]
    assert found["ringfence_policy_commits_total"] == found["ringfence_policy_commit_duration_seconds_count"]
    assert (status["abi"], "0.1.0") in found["ringfence_build_info"]


def test_refused_changes_are_counted(client: Client, kernel: CountingKernel, http: httpx.Client) -> None:
    """A change that the kernel refuses is a failure, not a commit, and takes no counter with it."""
    client.apply_policies([("web.yaml", WEB)])
    kernel.pass_packets(80, 5)
    before = samples(http)
    kernel.refuse = 1
    with pytest.raises(RingfenceError, match="the map is full"):
        client.delete_policies(["web"])
    found = samples(http)
    assert 1 == found["ringfence_policy_commit_failures_total"][()]
    assert before["ringfence_policy_commits_total"] == found["ringfence_policy_commits_total"]
    assert before["ringfence_rule_packets_total"] == found["ringfence_rule_packets_total"]


def test_enforcement_is_timed_by_events(client: Client, agent: Running, http: httpx.Client) -> None:
    """The first event of a commit's revision ends the time that is counted for it."""
    revision = client.apply_policies([("web.yaml", WEB)])["revision"]
    before = samples(http)["ringfence_policy_enforcement_duration_seconds_count"][()]
    with client.events() as stream:
        agent.publish(event(revision=revision))
        next(stream)
    after = samples(http)["ringfence_policy_enforcement_duration_seconds_count"][()]
    assert after - before == samples(http)["ringfence_policy_commits_total"][()]


def test_scrapes_at_once_share_a_collection(
    agent: Running, kernel: CountingKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many ask in a moment, in whatever format, the kernel is asked once."""
    monkeypatch.setattr("ringfence.agent.metrics.exposition._SHARED_SECONDS", 3600.0)

    def scrape(accept: str) -> str:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(agent.socket))) as own:
            return own.get("http://ringfence/metrics", headers={"accept": accept}).text

    with ThreadPoolExecutor(16) as pool:
        texts = list(pool.map(scrape, ["", PROMETHEUS] * 16))
    assert 1 == kernel.asked
    assert 2 == len(set(texts))


def test_a_kernel_that_does_not_tell_is_an_error(
    kernel: CountingKernel, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where counters cannot be read a scrape fails with a line that says so, rather than telling half of them."""

    def refuse() -> None:
        raise OSError(1, "not permitted")

    with monkeypatch.context() as broken:
        broken.setattr(kernel, "metrics", refuse)
        answer = http.get("/metrics")
    assert 503 == answer.status_code
    assert "not permitted" in answer.json()["error"]
    assert 200 == http.get("/metrics").status_code


async def test_text(accept: str) -> tuple[bytes, str]:
    return f"for {accept}\n".encode(), "text/plain"


test_text.__test__ = False  # type: ignore[attr-defined] # it is what the listener of a test serves


@pytest.fixture
def port() -> Iterator[str]:
    """The address of a listener of its own in a thread."""
    opened = listen(("127.0.0.1", 0))
    at = "http://{}:{}".format(*opened.getsockname()[:2])
    with ThreadPoolExecutor(1) as pool:
        listener = MetricsListener(opened, test_text)
        served = pool.submit(lambda: asyncio.run(listener.serve()))
        yield at
        listener.stop()
        served.result()
    opened.close()


def test_port_serves_metrics_and_nothing_else(port: str) -> None:
    """The TCP listener answers GET and HEAD of /metrics; the API is not there."""
    with httpx.Client(base_url=port) as http:
        answer = http.get("/metrics", headers={"accept": "text/plain"})
        assert (200, "for text/plain\n") == (answer.status_code, answer.text)
        head = http.head("/metrics")
        assert (200, "") == (head.status_code, head.text)
        for path in ("/", "/v1/status", "/metrics/", "/openapi.json"):
            assert 404 == http.get(path).status_code
        assert 405 == http.post("/metrics").status_code


def test_a_client_that_says_nothing_holds_up_nobody(port: str) -> None:
    """A connection without a request is no scrape, and the next one is answered all the same."""
    host, _, number = port.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(number))), httpx.Client(base_url=port) as http:
        assert 200 == http.get("/metrics").status_code
