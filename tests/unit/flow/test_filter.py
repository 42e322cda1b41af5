from __future__ import annotations

import numpy as np
import pytest

from ringfence.errors import BadInput
from ringfence.flow.filter import FlowFilter
from tests.unit.flow.batch import DENIED, Names, event

BATCH = np.concatenate(
    [
        event(revision=1),
        event(revision=2, **DENIED),
        event("192.0.2.7", revision=3, source_identity=2, source_endpoint=0),
        event("fd00::2", "fd00::1", revision=4, protocol=58, icmp_type=128),
        event(revision=5, destination_port=53, protocol=17),
    ]
)


def selected(type: str | None = None, source: str = "", destination: str = "", port: str | None = None) -> list[int]:  # noqa: A002 - as asked
    wanted = FlowFilter.parse(type, source.split(), destination.split(), port)
    return [int(revision) for revision in wanted.select(BATCH, Names())["revision"]]


@pytest.mark.parametrize(
    ("expected", "asked"),
    [
        ([1, 2, 3, 4, 5], {}),
        ([2], {"type": "drop"}),
        ([1, 3, 4, 5], {"type": "allow"}),
        ([1, 2, 4, 5], {"source": "app=client"}),
        ([1, 2, 4, 5], {"source": "k8s:app=client"}),
        ([], {"source": "any:app=client"}),
        ([3], {"source": "reserved:world"}),
        ([3], {"source": "2"}),
        ([3], {"source": "192.0.2.0/24"}),
        ([4], {"destination": "fd00::1"}),
        ([1, 2, 5], {"source": "10.0.0.0/8", "destination": "default/web"}),
        ([3, 4], {"source": "reserved:world fd00::/16"}),
        ([4], {"port": "echo-request/ICMPv6"}),
        ([1, 2, 3], {"port": "any/TCP"}),
        ([5], {"port": "53/UDP"}),
        ([], {"source": "nobody"}),
    ],
)
def test_filter(expected: list[int], asked: dict[str, str]) -> None:
    """Terms for one end are alternatives; ends, type and port must all agree."""
    assert expected == selected(**asked)


def test_bad_terms_are_refused() -> None:
    """A type or port that there is not is bad input."""
    with pytest.raises(BadInput, match="no event type 'deny'"):
        FlowFilter.parse("deny", [], [], None)
    with pytest.raises(BadInput, match="is no port"):
        FlowFilter.parse(None, [], [], "80")
