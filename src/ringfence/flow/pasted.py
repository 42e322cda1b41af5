"""Pasted flows: a line or a document that `monitor` or `observe` printed, read back as the question that it answers.

Read are the lines of `monitor`, the compact lines of `observe` and `hubble observe`, and the JSON of both. Of a reply
who opened the connection comes first, as in the lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from ringfence.errors import BadInput
from ringfence.policy.explanation.who import Asked
from ringfence.traffic import ICMP_TYPES, ICMPV6_TYPES, Protocol, Traffic, parse_traffic

_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
#: `10.0.0.1:45678 123 (k8s:app=web,k8s:tier=1)`: address and port, identity, labels.
_MONITOR_END: Final = r"(\[[0-9a-fA-F:.]+\]|[0-9.]+|[0-9a-fA-F:]+?)(?::(\d+))? \d+(?: \(([^()]*)\))?"
_MONITOR: Final = re.compile(rf"\S+ +(?:ALLOW|DENY|PASS) +{_MONITOR_END} -> {_MONITOR_END} (\S+/\w+) (?:in|e)gress ")
#: `shop/web:45678 (ID:123)`, `10.0.0.1 (world)`.
_COMPACT_END: Final = r"(\[[^\]\s]+\]|\S+?)(?::(\d+))? \(([^()]*)\)"
_COMPACT: Final = re.compile(rf"\d(?: \[[^\]]*\])?: {_COMPACT_END} (?:<>|->|<-) {_COMPACT_END} (.*)$")
_ICMP: Final = re.compile(r"\(ICMP(v4|v6) (\w+)")
_PORTS: Final = re.compile(r"\((TCP|UDP|SCTP)\b")
_ADDRESS: Final = re.compile(r"\[?([0-9.]+|[0-9a-fA-F]*:[0-9a-fA-F:.]*)\]?\Z")
_LAYER4: Final = {"TCP": Protocol.TCP, "UDP": Protocol.UDP, "SCTP": Protocol.SCTP}
_EXPECTED: Final = "a line or the JSON of `ringfence monitor` or `ringfence observe`"


class Pasted(NamedTuple):
    """A question as a flow asks it. `source_port` is None where the protocol has none."""

    source: Asked
    destination: Asked
    traffic: Traffic
    source_port: int | None


def read_pasted(text: str) -> Pasted:
    """The first flow of a text. Raises BadInput where there is none."""
    plain = _COLOURS.sub("", text).strip()
    for candidate in (plain, *plain.splitlines()):
        found = _read(candidate.strip()) if candidate else None
        if found is not None:
            return found
    raise BadInput(f"no flow in what was given; expected {_EXPECTED}, or --from, --to and --port")


def _read(text: str) -> Pasted | None:
    if text.startswith("{"):
        try:
            document = json.loads(text)
        except ValueError:
            return None
        return _document(document) if isinstance(document, dict) else None
    return _monitor_line(text) or _compact_line(text)


def _document(document: Mapping[str, Any]) -> Pasted | None:
    try:
        flow = document.get("flow", document)
        return _hubble(flow) if "IP" in flow else _own(document)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _own(event: Mapping[str, Any]) -> Pasted:
    """The document of `monitor -o json` and of the history."""
    ends = [
        Asked(event[side]["endpoint"] or "", event[side]["address"], tuple(event[side]["labels"]))
        for side in ("source", "destination")
    ]
    return Pasted(ends[0], ends[1], parse_traffic(event["port"]), event["source"]["port"] or None)


def _hubble(flow: Mapping[str, Any]) -> Pasted:
    """Hubble's document of a flow."""
    [(layer4, fields)] = flow["l4"].items()
    source, destination = (_hubble_end(flow, side) for side in ("source", "destination"))
    if layer4 not in _LAYER4:
        protocol = Protocol.ICMPV6 if layer4 == "ICMPv6" else Protocol.ICMP
        return Pasted(source, destination, Traffic(protocol, int(fields.get("type", 0))), None)
    protocol, ports = _LAYER4[layer4], (int(fields["source_port"]), int(fields["destination_port"]))
    if flow.get("is_reply"):
        return Pasted(destination, source, Traffic(protocol, ports[0]), ports[1])
    return Pasted(source, destination, Traffic(protocol, ports[1]), ports[0])


def _hubble_end(flow: Mapping[str, Any], side: str) -> Asked:
    end = flow.get(side, {})
    name = "/".join(part for part in (end.get("namespace"), end.get("pod_name")) if part) if end.get("pod_name") else ""
    return Asked(name, flow["IP"][side], tuple(end.get("labels", ())))


def _monitor_line(line: str) -> Pasted | None:
    found = _MONITOR.search(line)
    if found is None:
        return None
    address, port, labels, to_address, _, to_labels, traffic = found.groups()
    ends = [
        Asked("", each.strip("[]"), tuple(told.split(",")) if told else ())
        for each, told in ((address, labels), (to_address, to_labels))
    ]
    return _with_traffic(ends, traffic, port)


def _with_traffic(ends: list[Asked], traffic: str, port: str | None) -> Pasted | None:
    try:
        return Pasted(ends[0], ends[1], parse_traffic(traffic), int(port) if port else None)
    except ValueError:
        return None


def _compact_line(line: str) -> Pasted | None:
    found = _COMPACT.search(line)
    if found is None:
        return None
    name, port, told, to_name, to_port, to_told, rest = found.groups()
    traffic = _summed_up(rest, int(to_port or 0))
    if traffic is None:
        return None
    return Pasted(_compact_end(name, told), _compact_end(to_name, to_told), traffic, int(port) if port else None)


def _compact_end(name: str, told: str) -> Asked:
    """A pod by its name, or an address; `told` is `ID:123` or the name of a reserved identity."""
    labels = () if told.startswith("ID:") else (f"reserved:{told}",)
    address = _ADDRESS.match(name)
    return Asked("", address[1], labels) if address else Asked(name, "", labels)


def _summed_up(rest: str, port: int) -> Traffic | None:
    """The traffic, by the last column of a compact line and the port of the end that was spoken to."""
    icmp, ports = _ICMP.search(rest), _PORTS.search(rest)
    if ports:
        return Traffic(_LAYER4[ports[1]], port)
    if icmp is None:
        return None
    protocol, types = (Protocol.ICMP, ICMP_TYPES) if icmp[1] == "v4" else (Protocol.ICMPV6, ICMPV6_TYPES)
    number = int(icmp[2]) if icmp[2].isdigit() else types.get(icmp[2])
    return None if number is None else Traffic(protocol, number)
