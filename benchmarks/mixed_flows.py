"""Mixed flows: events as a host with sixty workloads may see them, and the names of their numbers.

A few pairs do most of the talking, as everywhere. Of every ten connections one is denied; of the others each has its
verdict, TCP flags and a close with totals. A tenth is IPv6, a twentieth from somewhere in the world, a little is DNS.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from ringfence.abi import EVENT, CtStatus, Direction, EventKind, Reason, Tier, Verdict
from ringfence.flow.decode import Events
from ringfence.verdict import RuleText

WORKLOADS: Final = 60
RULES: Final = 40
_FIRST_IDENTITY, _WORLD = 256, 2
_PORTS: Final = (80, 443, 5432, 6379, 8080, 9090, 53)
_CONNECTIONS_PER_SECOND: Final = 250
Numbers = npt.NDArray[np.int64]


class Names:
    """What the numbers stand for."""

    def labels_of(self, identity: int) -> tuple[str, ...]:
        if identity == _WORLD:
            return ("reserved:world",)
        namespace = f"k8s:io.kubernetes.pod.namespace=ns{identity % 7}"
        return (f"k8s:app=app{identity % 20}", namespace, f"k8s:tier=t{identity % 5}")

    def rule_of(self, number: int) -> RuleText | None:
        origin = f"policies/app{number}.yaml:{number + 7}"
        kinds = Direction.INGRESS, Tier.NORMAL, Verdict.ALLOW, 2, Reason.FORWARDED
        return RuleText(
            f"CiliumNetworkPolicy/ns{number % 7}/app{number}", 0, *kinds, origin, f"allowed by app{number}, {origin}"
        )

    def endpoint_of(self, row: int) -> str | None:
        return f"ns{row % 7}/app-{row}"

    def service_of(self, row: int) -> str | None:
        return f"ns{row % 7}/service-{row}"


def mixed_flows(count: int, start_ns: int, seed: int = 1) -> Events:
    """So many events in the order of their time, from a moment on."""
    draw = np.random.default_rng(seed)
    events = np.zeros(count, EVENT)
    gaps = draw.exponential(1e9 / _CONNECTIONS_PER_SECOND, count).astype(np.uint64)
    events["time"] = np.uint64(start_ns) + np.cumsum(gaps)
    one, other = (draw.zipf(1.3, count) % WORKLOADS for _ in range(2))
    world, six = draw.random(count) < 0.05, draw.random(count) < 0.1
    events["family"] = np.where(six, 6, 4)
    _address(events, "source", one, six)
    _address(events, "destination", other, six)
    events["source"][world & ~six, 12:] = draw.integers(1, 224, (int((world & ~six).sum()), 4))
    for side, who in (("source", one), ("destination", other)):
        events[f"{side}_identity"] = _FIRST_IDENTITY + who
        events[f"{side}_endpoint"] = who + 1
    events["source_identity"][world], events["source_endpoint"][world] = _WORLD, 0
    events["destination_port"] = draw.choice(_PORTS, count)
    events["source_port"] = draw.integers(32768, 61000, count)
    events["protocol"] = np.where(events["destination_port"] == 53, 17, 6)
    events["revision"], events["ifindex"], events["length"] = 12, other + 2, draw.choice([52, 60, 1500], count)
    _judge(events, draw, one, other)
    return events


def _address(events: Events, side: str, who: Numbers, six: npt.NDArray[np.bool_]) -> None:
    column = events[side]
    column[~six, 10:12] = 255
    column[~six, 12], column[~six, 15] = 10, who[~six] + 1
    column[six, 0], column[six, 15] = 0xFD, who[six] + 1


def _judge(events: Events, draw: np.random.Generator, one: Numbers, other: Numbers) -> None:
    count = len(events)
    denied = draw.random(count) < 0.1
    kind = draw.choice([EventKind.VERDICT, EventKind.FLAGS, EventKind.CLOSE], count)
    events["kind"] = np.where(denied, EventKind.VERDICT, kind)
    events["verdict"] = np.where(denied, Verdict.DENY, Verdict.ALLOW)
    events["reason"] = np.where(denied, Reason.POLICY_DENIED, Reason.FORWARDED)
    events["direction"] = Direction.INGRESS
    events["status"] = np.where(events["kind"] == EventKind.VERDICT, CtStatus.NEW, CtStatus.ESTABLISHED)
    events["egress_rule"] = 1 + one % 5
    events["ingress_rule"] = 6 + other % (RULES - 6)
    events["egress_shape"], events["ingress_shape"] = 52, 1 + other % 3
    events["tcp_flags"] = np.where(events["protocol"] == 6, draw.choice([2, 16, 17], count), 0)
    close = events["kind"] == EventKind.CLOSE
    packets = np.where(close, draw.zipf(1.6, count) % 10_000 + 4, 1)
    events["packets"][:, 0], events["packets"][:, 1] = packets, np.where(close, packets - 1, 0)
    events["bytes"][:, 0] = packets * events["length"]
    events["bytes"][:, 1] = np.where(close, packets * draw.integers(52, 1500, count), 0)
