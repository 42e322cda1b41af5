"""Recorded flows: the documents of `observe -o json`, `monitor -o json` and `flows export`, read as connections.

Only who opened a connection to whom is read. Nothing is learned of a reply, of an ICMP error (it belongs to the
connection that it quotes), of what was dropped for another reason than a policy, and unless it is asked for of what a
policy denied.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any, Final, NamedTuple

from ringfence.errors import BadInput, Problem
from ringfence.identity.prefixes import Address
from ringfence.labels import Labels
from ringfence.policy.learning.seen import Connection, End, EndKind, Observation
from ringfence.policy.world import World
from ringfence.traffic import Protocol, Traffic, last_port, parse_traffic

REPLY: Final = "reply"
RELATED: Final = "part of another connection (ICMP error)"
DENIED: Final = "denied by policy"
DROPPED: Final = "dropped, but not by policy"
UNKNOWN_PROTOCOL: Final = "a protocol that policies do not know"

EXPECTED: Final = "a flow a line, as `ringfence observe -o json` or `ringfence flows export` writes it"
#: What comes of reading what is no flow as one; a number may be infinite, and a document deeper than Python can go.
NO_FLOW: Final = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
_NAMESPACE: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?\Z")
_LAYER4: Final = {"TCP": Protocol.TCP, "UDP": Protocol.UDP, "SCTP": Protocol.SCTP}
_ICMP: Final = {"ICMPv4": Protocol.ICMP, "ICMPv6": Protocol.ICMPV6}
_ERRORS: Final = {Protocol.ICMP: {3, 4, 5, 11, 12}, Protocol.ICMPV6: {1, 2, 3, 4}}
_ECHO_REPLY: Final = {Protocol.ICMP: 0, Protocol.ICMPV6: 129}
_BY_POLICY: Final = frozenset({"POLICY_DENIED", "POLICY_DENY", "policy denied", "policy deny rule"})
_ALLOWED: Final = frozenset({"FORWARDED", "AUDIT", "REDIRECTED", "TRACED", "TRANSLATED", "allow"})


class WrittenEnd(NamedTuple):
    """One end of a flow as written, hashable as a whole: thousands of flows have the same."""

    address: str
    labels: tuple[str, ...]
    name: str


class _Told(NamedTuple):
    source: WrittenEnd
    destination: WrittenEnd
    traffic: Traffic | None
    passed_over: str


class Recording:
    """Reads flows. `world`: workloads of manifests, for ends that a recording gives no labels; `denied`: those that a
    policy denied are connections too; `by_address`: workloads of equal labels at different addresses are told apart.
    """

    def __init__(self, world: World | None = None, *, denied: bool = False, by_address: bool = False) -> None:
        self._denied = denied
        self._by_address = by_address
        self._ends: dict[WrittenEnd, End] = {}
        self._by_labels: dict[tuple[Labels, int], End] = {}
        actors = world.actors.values() if world else ()
        self._named = {actor.name: actor.labels for actor in actors}
        self._at = {str(address): actor for actor in actors for address in actor.addresses}
        self._traffic: dict[str, Traffic | None] = {}

    def lines(self, name: str, lines: Iterable[str]) -> Iterator[Observation]:
        """The flows of a text, a document a line; empty lines are passed over. Raises BadInput at a line of another
        form.
        """
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield self._line(name, number, line)

    def document(self, document: Mapping[str, Any], where: str) -> Observation:
        """One flow that is no line of a file. Raises BadInput for what is none."""
        try:
            return self._observe(document, where)
        except NO_FLOW as error:
            raise BadInput(f"{where}: no flow that policies can speak of ({error})") from error

    def _observe(self, document: Mapping[str, Any], where: str) -> Observation:
        told = self._tell(document)
        if told.passed_over or told.traffic is None:
            return Observation(None, where, told.passed_over or UNKNOWN_PROTOCOL)
        return Observation(Connection(self._end(told.source), self._end(told.destination), told.traffic), where)

    def _line(self, name: str, number: int, line: str) -> Observation:
        try:
            return self._observe(json.loads(line), f"{name}:{number}")
        except NO_FLOW as error:
            found = "no JSON" if isinstance(error, json.JSONDecodeError) else "no flow"
            raise BadInput([Problem(name, number, 1, found, EXPECTED)]) from error

    def _tell(self, document: Mapping[str, Any]) -> _Told:
        if "flow" in document or "IP" in document:
            return self._hubble(document.get("flow", document))
        if "source_address" in document:
            ends = [_exported(document, side) for side in ("source", "destination")]
        else:
            ends = [_own(document[side]) for side in ("source", "destination")]
        status = document["status"]
        passed_over = {"reply": REPLY, "related": RELATED}.get(status, "")
        verdict = self._verdict(document["verdict"], document["reason"])
        return _Told(ends[0], ends[1], self._written(document["port"]), passed_over or verdict)

    def _hubble(self, flow: Mapping[str, Any]) -> _Told:
        source, destination = _hubble_end(flow, "source"), _hubble_end(flow, "destination")
        verdict = self._verdict(flow["verdict"], flow.get("drop_reason_desc", ""))
        [(layer4, fields)] = flow.get("l4", {"": {}}).items() or [("", {})]
        if layer4 in _LAYER4:
            traffic = _traffic(_LAYER4[layer4], fields["destination_port"])
            return _Told(source, destination, traffic, REPLY if flow.get("is_reply") else verdict)
        if layer4 not in _ICMP:
            return _Told(source, destination, None, UNKNOWN_PROTOCOL)
        protocol = _ICMP[layer4]
        traffic = _traffic(protocol, fields.get("type", 0))
        number = traffic.port
        passed_over = REPLY if flow.get("is_reply") or number == _ECHO_REPLY[protocol] else verdict
        if flow.get("is_reply") is None and number in _ERRORS[protocol]:
            passed_over = RELATED
        return _Told(source, destination, traffic, passed_over)

    def _verdict(self, verdict: str, reason: str) -> str:
        """Why a verdict lets nothing be learned; empty if it does not."""
        if verdict in _ALLOWED:
            return ""
        if reason not in _BY_POLICY:
            return DROPPED
        return "" if self._denied else DENIED

    def _written(self, text: str) -> Traffic | None:
        if text not in self._traffic:
            try:
                self._traffic[text] = parse_traffic(text)
            except ValueError:
                self._traffic[text] = None
        return self._traffic[text]

    def _end(self, told: WrittenEnd) -> End:
        if told not in self._ends:
            self._ends[told] = self.found(told)
        return self._ends[told]

    def found(self, told: WrittenEnd) -> End:
        """The end that is meant; asked once of each. Raises ValueError for what is no address, label or namespace."""
        address = ip_address(told.address)
        labels, name = Labels.parse(told.labels), told.name
        if not told.labels:
            at = self._at.get(told.address)
            labels = self._named.get(told.name) or (at.labels if at else labels)
            name = name or (at.name if at else "")
        found = End.of(labels, address, name)
        if found.kind is EndKind.WORKLOAD and not _NAMESPACE.match(found.labels.namespace or ""):
            raise ValueError(f"a namespace cannot be called {found.labels.namespace!r}")
        if self._by_address or found.kind is EndKind.WORLD:
            return found
        return self._by_labels.setdefault((found.labels, _version(address)), found)


def _traffic(protocol: Protocol, written: Any) -> Traffic:
    number = int(written)
    if not 0 <= number <= last_port(protocol):
        raise ValueError(f"{number} is no port of {protocol.name}")
    return Traffic(protocol, number)


def _version(address: Address) -> int:
    return address.version


def _own(end: Mapping[str, Any]) -> WrittenEnd:
    return WrittenEnd(end["address"], tuple(end["labels"]), end["endpoint"] or "")


def _exported(row: Mapping[str, Any], side: str) -> WrittenEnd:
    labels = row[f"{side}_labels"]
    return WrittenEnd(row[f"{side}_address"], tuple(labels.split(",")) if labels else (), row[f"{side}_endpoint"] or "")


def _hubble_end(flow: Mapping[str, Any], side: str) -> WrittenEnd:
    end = flow.get(side) or {}
    name = f"{end.get('namespace', '')}/{end['pod_name']}" if end.get("pod_name") else ""
    return WrittenEnd(flow["IP"][side], tuple(end.get("labels", ())), name)
