"""The agent killed in the middle of commits while packets flow: what each packet was judged by is never a mixture."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from ringfence.abi import Reason
from ringfence.errors import RingfenceError
from ringfence.labels import Labels, workload_labels
from ringfence.policy.evaluate import Oracle
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.world import Actor, World
from ringfence.traffic import Protocol, Traffic
from ringfence.verdict import Decision, Judgement, RuleText
from tests.kernel.agents import Agent, Datagrams, policy
from tests.kernel.world import Node, Workload, owned_name

AddWorkload = Callable[[str, str, str], Workload]
PORT = 7001
KILLS = 5
COMMITS_A_LIFE = 60
TRAFFIC = Traffic(Protocol.UDP, PORT)
ADDRESSES = {"client": ("10.77.3.1", "fd77:3::1"), "server": ("10.77.3.2", "fd77:3::2")}
# Every state has its own file, so that the two rules of a verdict tell which state each is of.
VERDICTS = [(False, False), (True, False), (False, True), (False, False)]


def state_text(number: int) -> str:
    """The policies of a state: the client's egress and the server's ingress change together."""
    egress, ingress = VERDICTS[number]
    # Another number of lines in front of each, so that no rule of a state is any rule of another.
    lead = "# a state\n" * number
    out = policy("client", "client", "egress", "server", PORT, deny=egress)
    return lead + out + policy("server", "server", "ingress", "client", PORT, deny=ingress)


def judgement(number: int) -> Judgement:
    """What the oracle says of the one kind of packet in a state."""
    source = Source(f"state{number}.yaml", state_text(number))
    policies = parse_documents([source]).policies
    actors = {name: _actor(name) for name in ADDRESSES}
    oracle = Oracle(World(policies, {}, actors))
    return oracle.judge(actors["client"], actors["server"], TRAFFIC)


def _actor(name: str) -> Actor:
    labels = workload_labels(Labels.parse([f"app={name}"]))
    return Actor(name, labels, tuple(map(ip_address, ADDRESSES[name])), local=True)


@dataclass
class Ledger:
    """Which state each revision is known to have, and what was judged by it."""

    states: dict[int, int] = field(default_factory=dict)
    asked: int = 0
    events: list[Any] = field(default_factory=list)
    flows: list[dict[str, Any]] = field(default_factory=list)

    def watch_until_killed(self, agent: Agent, watching: threading.Event) -> None:
        """Read the agent's own stream of verdicts."""
        with contextlib.suppress(RingfenceError), agent.client() as api, api.events(to=["server"]) as stream:
            watching.set()
            for flow in stream:
                if "lost" not in flow:
                    self.flows.append(dict(flow))

    def commit_until_killed(self, agent: Agent, order: Iterator[int], kill: threading.Event) -> None:
        """Apply one state after another; ask for the kill once enough of them were made."""
        made = 0
        with agent.client() as api:
            while True:
                self.asked = next(order)
                text = state_text(self.asked)
                try:
                    revision = api.apply_policies([(f"state{self.asked}.yaml", text)])["revision"]
                except RingfenceError:
                    return
                self.states[revision] = self.asked
                made += 1
                if made == COMMITS_A_LIFE:
                    kill.set()


@pytest.fixture
def agent(node: Node, add_workload: AddWorkload, tmp_path: Path) -> Iterator[Agent]:
    found = Agent(node, owned_name("faults"), tmp_path)
    try:
        found.start()
        for name, (ipv4, ipv6) in ADDRESSES.items():
            found.add(add_workload(name, ipv4, ipv6), name, f"app={name}")
        yield found
    finally:
        found.remove()


def test_killed_in_the_middle_of_commits(agent: Agent) -> None:
    """Each event agrees with the oracle of the revision that it carries, whenever the agent was killed."""
    chance = random.Random(20260101)
    order = iter(lambda: chance.randrange(len(VERDICTS)), None)
    ledger, rules = Ledger(), dict[int, RuleText]()
    client, server = (agent.node.workloads[name] for name in ADDRESSES)
    ledger.states[agent.apply("state0.yaml", state_text(0))] = 0
    with Datagrams(client, server, PORT):
        for _ in range(KILLS):
            kill_while_committing(agent, ledger, order, chance)
            rules |= agent.rules()
            ledger.events.extend(agent.unread_events())
            settle_last(agent, ledger)
            agent.start()
            settle_restart(agent, ledger)
    check_raw(ledger, rules)
    check_told(ledger)


def kill_while_committing(agent: Agent, ledger: Ledger, order: Iterator[int], chance: random.Random) -> None:
    """SIGKILL at a moment that nobody chose, while commits are made one after another."""
    kill, watching = threading.Event(), threading.Event()
    watcher = threading.Thread(target=ledger.watch_until_killed, args=(agent, watching))
    watcher.start()
    assert watching.wait(timeout=60)
    committing = threading.Thread(target=ledger.commit_until_killed, args=(agent, order, kill))
    committing.start()
    assert kill.wait(timeout=60)
    for _ in range(chance.randrange(20_000)):
        pass
    agent.end(signal.SIGKILL)
    committing.join()
    watcher.join()


def settle_last(agent: Agent, ledger: Ledger) -> None:
    """The commit that was under way is active or it is not; if it is, its revision has the state that was asked for."""
    revision = agent.revision()
    assert revision <= max(ledger.states) + 1
    ledger.states.setdefault(revision, ledger.asked)


def settle_restart(agent: Agent, ledger: Ledger) -> None:
    """The new agent finishes what was remembered: at most one commit, to the state that was asked for last."""
    before, revision = max(ledger.states), agent.revision()
    assert revision <= before + 1
    ledger.states.setdefault(revision, ledger.asked)


def check_told(ledger: Ledger) -> None:
    """The same of the flows that the agents told of while they lived: many revisions, each by its own rules."""
    oracle = {number: judgement(number) for number in range(len(VERDICTS))}
    told = [flow for flow in ledger.flows if flow["revision"] in ledger.states]
    assert len({flow["revision"] for flow in told}) > KILLS * COMMITS_A_LIFE / 4
    assert {"allow", "deny"} == {flow["verdict"] for flow in told}
    for flow in told:
        expected = oracle[ledger.states[flow["revision"]]]
        assert expected.verdict.name.lower() == flow["verdict"]
        decisions = {"egress": expected.egress, "ingress": expected.ingress}
        texts = {side: decision.rule.text if decision else None for side, decision in decisions.items()}
        assert texts == {side: rule and rule["text"] for side, rule in flow["rules"].items()}


def check_raw(ledger: Ledger, rules: dict[int, RuleText]) -> None:
    """Verdict and both rules of every event left in the ring, against the oracle of its revision's state."""
    oracle = {number: judgement(number) for number in range(len(VERDICTS))}
    # A workload's own chatter (listener reports, before it has its addresses) is dropped by no rule.
    sent = [event for event in ledger.events if event["destination_port"] == PORT]
    judged = [event for event in sent if event["revision"] in ledger.states]
    assert judged
    for event in judged:
        expected = oracle[ledger.states[int(event["revision"])]]
        assert Reason(int(event["reason"])) is not Reason.NO_VERDICT
        assert expected.verdict == event["verdict"], (ledger.states[int(event["revision"])], event)
        assert (_text(expected.egress), _text(expected.ingress)) == tuple(
            rules[number] if number else None for number in (int(event["egress_rule"]), int(event["ingress_rule"]))
        )


def _text(decision: Decision | None) -> RuleText | None:
    return decision.rule if decision else None
