"""Replays over generated policy sets, held against the evaluator asked flow by flow."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.flow.replayed import Replaying
from ringfence.policy.evaluate import Oracle, addresses
from ringfence.policy.replay import History, replay
from ringfence.policy.world import Actor
from ringfence.traffic import Traffic
from tests.generated.judging import Packet, packets, world_of
from tests.generated.pieces import Json
from tests.generated.worlds import parsed, worlds

PEOPLE = ("Namespace", "Pod", "Node")
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
@given(worlds(), worlds(), st.integers(0, 1000))
def test_a_replay_counts_as_changed_what_the_evaluator_decides_otherwise(
    documents: list[Json], others: list[Json], seed: int
) -> None:
    """Flows are recorded with the verdicts of one set; those that another set judges otherwise are the changes."""
    people = [each for each in documents if each["kind"] in PEOPLE]
    proposed = [*people, *(each for each in others if each["kind"] not in PEOPLE)]
    old, new = Oracle(world_of(documents)), Oracle(world_of(proposed))
    asked = [each for each in packets(world_of(proposed), 20, seed) if not is_echo_reply(each[2])]
    verdicts = [(old.judge(*each).allowed, new.judge(*each).allowed) for each in asked]
    lines = [line(each, allowed) for each, (allowed, _) in zip(asked, verdicts, strict=True)]
    found = replay(History(Replaying(world_of(proposed)).lines("flows", lines)), parsed(proposed))
    assert found.judged == len(asked)
    assert (found.opened, found.closed) == (verdicts.count((False, True)), verdicts.count((True, False)))


def is_echo_reply(traffic: Traffic) -> bool:
    return traffic in {(1, 0), (58, 129)}


def line(packet: Packet, allowed: bool) -> str:  # noqa: FBT001 - what was decided
    source, destination, traffic = packet
    ends = zip((source, destination), addresses(source, destination, traffic), strict=True)
    return json.dumps(
        {
            **dict(zip(("source", "destination"), (end(*each) for each in ends), strict=True)),
            "port": str(traffic),
            "verdict": "allow" if allowed else "deny",
            "reason": "forwarded" if allowed else "policy denied",
            "direction": "ingress",
            "status": "new",
            "rules": {"egress": None, "ingress": None},
        }
    )


def end(actor: Actor, address: object) -> Json:
    name = actor.name if actor.local else ""
    return {"endpoint": name, "address": str(address), "labels": actor.labels.texts(), "port": 0}
