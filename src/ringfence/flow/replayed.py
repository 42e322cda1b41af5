"""Recorded flows for a replay: the connection of each, when it was, and what was decided then, by which rule.

The same documents are read as for learning (`recorded.py`). A workload that the manifests of the proposed set know by
name has the labels that stand there, for a proposal may change labels, too; others have those they were recorded with.
An end without labels that no manifest knows is nobody: it has no labels, and is never taken for the world.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any, Final

from ringfence.abi import Direction
from ringfence.errors import BadInput, Problem
from ringfence.flow.hubble import ORIGIN_LABEL, TracePoint
from ringfence.flow.recorded import EXPECTED, NO_FLOW, Recording, WrittenEnd
from ringfence.labels import Labels
from ringfence.policy.learning.seen import End, EndKind
from ringfence.policy.replay import Past, Said, Then
from ringfence.policy.world import Actor, World

_SIDES: Final = {"egress": Direction.EGRESS, "ingress": Direction.INGRESS}
_NOTHING: Final = Then(None, frozenset())
_ALLOWS: Final = frozenset({"allow", "FORWARDED", "AUDIT", "REDIRECTED", "TRACED", "TRANSLATED"})


class Replaying:
    """Reads flows for a replay. `world`: the manifests of the proposed set."""

    def __init__(self, world: World) -> None:
        self._recording = _AsProposed(world)
        self._rules: dict[Said, Said] = {}

    def lines(self, name: str, lines: Iterable[str]) -> Iterator[Past]:
        """The flows of a text, a document a line; empty lines are passed over. Raises BadInput at a line of another
        form.
        """
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield self._line(name, number, line)

    def document(self, document: Mapping[str, Any], where: str) -> Past:
        """One flow that is no line of a file. Raises BadInput for what is none."""
        observation = self._recording.document(document, where)
        try:
            flow = document.get("flow", document)
            time = str(flow.get("time") or document.get("time") or "")
            if observation.connection is None:
                return Past(None, _NOTHING, time, observation.passed_over)
            then = self._hubble(flow) if "IP" in flow else self._own(flow)
        except NO_FLOW as error:
            raise BadInput(f"{where}: no flow that policies can speak of ({error})") from error
        return Past(observation.connection, then, time)

    def _line(self, name: str, number: int, line: str) -> Past:
        try:
            return self.document(json.loads(line), f"{name}:{number}")
        except (*NO_FLOW, BadInput) as error:
            found = "no JSON" if isinstance(error, json.JSONDecodeError) else "no flow"
            raise BadInput([Problem(name, number, 1, found, EXPECTED)]) from error

    def _own(self, flow: Mapping[str, Any]) -> Then:
        """Of the documents of `monitor -o json`, and of the history's rows."""
        rules = {side: self._own_rule(flow, side) for side in _SIDES}
        judged = frozenset(_SIDES[side] for side, rule in rules.items() if rule is not None)
        denied = None if flow["verdict"] in _ALLOWS else _SIDES[flow["direction"]]
        return Then(denied, judged, rules["egress"], rules["ingress"])

    def _own_rule(self, flow: Mapping[str, Any], side: str) -> Said | None:
        if "rules" in flow:
            rule = flow["rules"][side]
            return self._said(rule["policy"], rule["text"], rule["origin"]) if rule else None
        text = flow.get(f"{side}_rule")
        return self._said(flow[f"{side}_policy"] or "", text, flow[f"{side}_origin"] or "") if text else None

    def _hubble(self, flow: Mapping[str, Any]) -> Then:
        """Of Hubble's documents: ours tell of both directions at once, Cilium's of one, and of both on delivery."""
        side = str(flow.get("traffic_direction", "")).lower()
        judged = {_SIDES[side]} if side in _SIDES else set()
        if "policy_log" in flow or flow.get("trace_observation_point") == TracePoint.TO_ENDPOINT.name:
            ends = {"source": Direction.EGRESS, "destination": Direction.INGRESS}
            judged |= {direction for end, direction in ends.items() if (flow.get(end) or {}).get("ID")}
        denied = None
        if flow["verdict"] not in _ALLOWS:
            denied = _SIDES.get(side, Direction.INGRESS)
        rules = [self._hubble_rule(flow, each) for each in _SIDES]
        return Then(denied, frozenset(judged), *rules)

    def _hubble_rule(self, flow: Mapping[str, Any], side: str) -> Said | None:
        for word in ("denied", "allowed"):
            for policy in flow.get(f"{side}_{word}_by") or ():
                uid = f"{policy.get('kind', '')}/{policy.get('namespace', '')}/{policy['name']}"
                labels = policy.get("labels") or ()
                origin = next((each.partition("=")[2] for each in labels if each.startswith(f"{ORIGIN_LABEL}=")), "")
                told = f"{word} by {policy['name']}{f', {origin}' if origin else ''}"
                return self._said(uid, told, origin)
        return None

    def _said(self, policy: str, text: str, origin: str) -> Said:
        """The same rule as one object: few rules decide millions of flows."""
        said = Said(policy, text, origin)
        return self._rules.setdefault(said, said)


class _AsProposed(Recording):
    def __init__(self, world: World) -> None:
        super().__init__(world, denied=True, by_address=True)
        self._workloads = world.actors
        self._addresses = {str(address): each for each in world.actors.values() for address in each.addresses}

    def found(self, told: WrittenEnd) -> End:
        actor = self._manifest(told)
        if actor is not None:
            return End.of(actor.labels, ip_address(told.address), actor.name)
        if not told.labels:
            return End(EndKind.WORLD, Labels(), ip_address(told.address), told.name or told.address)
        return super().found(told)

    def _manifest(self, told: WrittenEnd) -> Actor | None:
        """The workload of a manifest, by its name; of an end without labels also by its address."""
        namespace = Labels.parse(told.labels).namespace
        for name in (told.name, f"{namespace}/{told.name}") if told.name else ():
            if name in self._workloads:
                return self._workloads[name]
        return None if told.labels else self._addresses.get(told.address)
