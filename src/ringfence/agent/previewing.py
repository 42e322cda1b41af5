"""Previewing: what a change of policies would do to live connections, and to what was denied lately, before it is made.

Both sets are asked by the evaluator, egress of the opener and ingress of the responder, as for `policy replay`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_address
from time import time_ns
from typing import Final

from ringfence.abi import CtState, Reason, Verdict
from ringfence.agent.asworld import world_of
from ringfence.agent.past import Past
from ringfence.api.preview_shapes import CutShape, OpenedShape, PreviewShape
from ringfence.api.shapes import ConnectionShape
from ringfence.engine.engine import Engine
from ringfence.flow.enrich import flows
from ringfence.flow.flow import End as FlowEnd
from ringfence.flow.flow import Flow
from ringfence.flow.format import time_text
from ringfence.flow.query import FlowQuery
from ringfence.labels import Labels
from ringfence.policy.builtin import Settings
from ringfence.policy.evaluate import Oracle
from ringfence.policy.learning.seen import End
from ringfence.policy.parse import Parsed
from ringfence.policy.rule import Policy
from ringfence.policy.test import Report, run_tests
from ringfence.policy.world import Actor
from ringfence.traffic import Protocol, Traffic, parse_traffic
from ringfence.verdict import Judgement

_BY_POLICY: Final = (Reason.POLICY_DENIED, Reason.POLICY_DENY_RULE)
#: After FIN or RST, or told as ended: nothing is left to cut.
_CLOSING: Final = {CtState.CLOSING.name.lower(), CtState.TOLD.name.lower()}
_LATELY_NS: Final = 3600 * 1_000_000_000
Question = tuple[Actor, Actor, Traffic]


class Preview:
    """The policies in force and those that would be, asked about the same packets. Made in the loop, asked anywhere."""

    def __init__(self, engine: Engine, put: Iterable[Policy], remove: Collection[str] = ()) -> None:
        now = world_of(engine)
        after = {policy.uid: policy for policy in now.policies if policy.uid not in remove}
        after |= {policy.uid: policy for policy in put}
        self._here: Mapping[str, Actor] = {
            str(address): actor for actor in now.actors.values() for address in actor.addresses
        }
        self.policies = tuple(after.values())
        self._now, self._after = Oracle(now), Oracle(replace(now, policies=self.policies))

    def shape(self, connections: Iterable[ConnectionShape], past: Past) -> PreviewShape:
        """What would be cut of these, and what of the last hour's denials would be allowed."""
        opened: dict[tuple[str, str, str], OpenedShape] = {}
        for flow in _denied(past):
            self._add_opened(opened, flow)
        live = (each for each in connections if not _CLOSING & set(each["state"]))
        cuts = [cut for each in live if (cut := self._cut(each))]
        return {"cuts": cuts, "opens": sorted(opened.values(), key=lambda each: -each["flows"])}

    def _cut(self, found: ConnectionShape) -> CutShape | None:
        source = self._actor(found["source"], found["source_labels"])
        destination = self._actor(found["destination"], found["destination_labels"])
        judged = self._judge((source, destination, Traffic(Protocol(found["protocol"]), found["destination_port"])))
        if judged is None or not judged[0].allowed or judged[1].allowed:
            return None
        return {
            "source": source.name,
            "source_address": found["source"],
            "source_port": found["source_port"],
            "destination": destination.name,
            "destination_address": found["destination"],
            "port": str(Traffic(Protocol(found["protocol"]), found["destination_port"])),
            "rule": _why(judged[1]),
        }

    def _add_opened(self, opened: dict[tuple[str, str, str], OpenedShape], flow: Flow) -> None:
        source, destination = self._end(flow.source), self._end(flow.destination)
        judged = self._judge((source, destination, parse_traffic(flow.traffic)))
        if judged is None or judged[0].allowed or not judged[1].allowed:
            return
        key = source.name, destination.name, flow.traffic
        known = opened.get(key)
        number, when = flow.packets[0], time_text(flow)
        opened[key] = {
            "source": source.name,
            "destination": destination.name,
            "port": flow.traffic,
            "flows": number + (known["flows"] if known else 0),
            "last": when,
            "rule": _why(judged[1]),
        }

    def _judge(self, question: Question) -> tuple[Judgement, Judgement] | None:
        """By the policies in force, and by those that would be; None for what policies cannot speak of."""
        try:
            return self._now.judge(*question), self._after.judge(*question)
        except ValueError:
            return None

    def _end(self, end: FlowEnd) -> Actor:
        return self._actor(end.address, end.labels)

    def _actor(self, address: str, labels: Iterable[str]) -> Actor:
        """The workload of this host at an address, or whoever the labels say."""
        known = self._here.get(address)
        if known:
            return known
        end = End.of(Labels.parse(labels), ip_address(address), address)
        return replace(end.actor, local=False)


def failed_cases(parsed: Parsed, policies: tuple[Policy, ...], settings: Settings) -> Report:
    """The PolicyTest cases of some files, asked of all policies that would be in force."""
    return run_tests(replace(parsed, policies=policies), settings=settings)


def _denied(past: Past) -> Iterator[Flow]:
    """What policies denied within the last hour."""
    wanted = FlowQuery.parse([], [])
    for events, names in past.past(wanted, since_ns=time_ns() - _LATELY_NS):
        chosen = events[events["verdict"] == Verdict.DENY]
        yield from (flow for flow in flows(chosen, names) if flow.reason in _BY_POLICY)


def _why(judgement: Judgement) -> str:
    """The rule that denies, or of those that allow the one that a policy wrote."""
    rules = [decision.rule for decision in judgement.decisions]
    if not judgement.allowed:
        return next(each.text for each in rules if each.verdict == Verdict.DENY)
    return next((each.text for each in rules if each.policy), rules[0].text if rules else "no policy speaks of it")
