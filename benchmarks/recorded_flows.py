"""Recorded flows of the world of policy_world.py, as the lines of `observe -o json`: a million flows of some thousand
connections, of which a few do most of the talking. Same count, same lines.

Each connection's document is made by the code that makes the real ones; a line is one of these with a time and a client
port of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.policy_world import COUNT, NAMESPACES, PORTS, TIERS, address, labels, namespace
from ringfence.abi import EVENT, CtStatus, Direction, EventKind, Reason, Tier, Verdict
from ringfence.flow.decode import Events
from ringfence.flow.enrich import flows
from ringfence.flow.hubble import flow_document
from ringfence.verdict import RuleText

#: Peers of each workload in its tier and namespace, and addresses outside that speak to it.
PEERS, CALLERS = 6, 2
DNS: Final = COUNT
WORLD: Final = COUNT + 1
_FIRST_IDENTITY: Final = 256
_SKEW: Final = 1.3
_TIME, _PORT = "@time@", 61234
_START: Final = 1_700_000_000
_PER_SECOND: Final = 250
_SEED: Final = 6
#: A few of every hundred flows are replies and denials, of which nothing is learned.
_REPLIES, _DENIED = 0.10, 0.03
Connection = tuple[int, int, int, int]


class _Names:
    """What the numbers of the events stand for."""

    def labels_of(self, identity: int) -> tuple[str, ...]:
        index = identity - _FIRST_IDENTITY
        if index == WORLD:
            return ("reserved:world",)
        if index == DNS:
            return ("k8s:io.kubernetes.pod.namespace=kube-system", "k8s:k8s-app=kube-dns")
        own = [f"k8s:{key}={value}" for key, value in labels(index).items()]
        return tuple(sorted([*own, f"k8s:io.kubernetes.pod.namespace={namespace(index)}"]))

    def rule_of(self, number: int) -> RuleText | None:
        index, origin = number - 1, f"policies.yaml:{number * 17}"
        kinds = Direction.INGRESS, Tier.NORMAL, Verdict.ALLOW, 2, Reason.FORWARDED
        uid = f"CiliumNetworkPolicy/{namespace(index)}/p{index}"
        return RuleText(uid, 0, *kinds, origin, f"allowed by {uid}, {origin}")

    def endpoint_of(self, row: int) -> str | None:
        return "kube-system/coredns" if row - 1 == DNS else f"{namespace(row - 1)}/p{row - 1}"

    def service_of(self, row: int) -> str | None:
        raise KeyError(row)


def write(path: Path, count: int) -> int:
    """Write so many flows into a file, a line each. Returns how many connections they are of."""
    draw = np.random.default_rng(_SEED)
    connections = sorted(_connections(draw))
    templates = [list(_templates(connections, *kind)) for kind in _KINDS]
    order = draw.permutation(len(connections))
    which = order[(draw.zipf(_SKEW, count) - 1) % len(connections)]
    # Each connection once, or how much there is to learn would depend on the draw.
    which[: len(connections)] = order[:count]
    kinds = draw.choice(len(_KINDS), count, p=(1 - _REPLIES - _DENIED, _REPLIES, _DENIED))
    kinds[: len(connections)] = 0
    ports = draw.integers(32768, 61000, count)
    with path.open("w", encoding="utf-8") as out:
        for number, (kind, at, port) in enumerate(zip(kinds.tolist(), which.tolist(), ports.tolist(), strict=True)):
            out.write(templates[kind][at].replace(_TIME, _time(number)).replace(str(_PORT), str(port)))
    return len(connections)


#: Status, verdict and reason: what opens a connection, a packet back, and what a policy denies.
_KINDS: Final = (
    (CtStatus.NEW, Verdict.ALLOW, Reason.FORWARDED),
    (CtStatus.REPLY, Verdict.ALLOW, Reason.FORWARDED),
    (CtStatus.NEW, Verdict.DENY, Reason.POLICY_DENIED),
)


def _time(number: int) -> str:
    seconds, rest = divmod(number, _PER_SECOND)
    at = datetime.fromtimestamp(_START + seconds, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{rest * (1_000_000 // _PER_SECOND):06d}Z"


def _connections(draw: np.random.Generator) -> set[Connection]:
    """Source, destination, port, and which address outside, if that is the source."""
    found: set[Connection] = set()
    for index in range(COUNT):
        alike = [each for each in range(index % NAMESPACES, COUNT, NAMESPACES) if each % TIERS == index % TIERS]
        others = [each for each in alike if each != index]
        for peer in draw.permutation(others)[:PEERS].tolist():
            found.add((index, peer, int(draw.choice(PORTS)), 0))
        found.add((index, DNS, 53, 0))
        for caller in draw.integers(1, 255, CALLERS).tolist():
            found.add((WORLD, index, PORTS[1], caller))
    return found


def _templates(connections: list[Connection], status: CtStatus, verdict: Verdict, reason: Reason) -> Iterator[str]:
    events = _events(connections)
    events["status"], events["verdict"], events["reason"] = status, verdict, reason
    if status is CtStatus.REPLY:
        _turn(events)
    for flow in flows(events, _Names()):
        document = flow_document(flow, "node-1")
        document["time"] = document["flow"]["time"] = _TIME
        yield json.dumps(document, separators=(",", ":")) + "\n"


def _events(connections: list[Connection]) -> Events:
    events = np.zeros(len(connections), EVENT)
    for event, (source, destination, port, caller) in zip(events, connections, strict=True):
        event["source"] = _packed(f"198.51.{caller}.7" if caller else address(source))
        event["destination"] = _packed("10.200.0.10" if destination == DNS else address(destination))
        event["source_identity"], event["destination_identity"] = (
            _FIRST_IDENTITY + source,
            _FIRST_IDENTITY + destination,
        )
        event["source_endpoint"] = 0 if source == WORLD else source + 1
        event["destination_endpoint"] = destination + 1
        event["source_port"], event["destination_port"] = _PORT, port
        event["protocol"] = 17 if destination == DNS else 6
        event["ingress_rule"] = min(destination, COUNT - 1) + 1
        event["egress_rule"] = 0 if source == WORLD else source + 1
    events["family"], events["kind"], events["direction"] = 4, EventKind.VERDICT, Direction.INGRESS
    events["time"], events["length"], events["revision"], events["ifindex"] = _START * 10**9, 60, 12, 3
    events["packets"][:, 0], events["bytes"][:, 0] = 1, 60
    return events


def _packed(text: str) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.frombuffer(bytes(10) + b"\xff\xff" + ip_address(text).packed, np.uint8)


def _turn(events: Events) -> None:
    """As the packet back has them."""
    for name in ("", "_identity", "_endpoint", "_port"):
        one, other = events[f"source{name}"].copy(), events[f"destination{name}"].copy()
        events[f"source{name}"], events[f"destination{name}"] = other, one
