from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ringfence.abi import COUNTER, Direction, Reason, Tier, Verdict
from ringfence.agent.metrics.rule_traffic import RuleLabels, RuleTraffic
from ringfence.verdict import RuleText


def text(number: int) -> RuleText:
    kinds = Direction.INGRESS, Tier.NORMAL, Verdict.ALLOW
    return RuleText(f"cnp/default/p{number}", 0, *kinds, 2, Reason.FORWARDED, f"p.yaml:{number}", "")


def labels(number: int) -> RuleLabels:
    return RuleLabels(f"cnp/default/p{number}", f"p.yaml:{number}", "ingress", "allow")


@dataclass
class Host:
    """Records that count, and the traffic made of them."""

    now: float = 1000.0
    counted: np.ndarray[tuple[int], np.dtype[np.void]] = field(default_factory=lambda: np.zeros(20_000, COUNTER))

    def __post_init__(self) -> None:
        self.traffic = RuleTraffic(text, lambda: self.now)

    def pass_packets(self, record: int, packets: int) -> None:
        self.counted[record]["packets"] += packets
        self.counted[record]["bytes"] += 100 * packets

    def give(self, records: dict[int, int]) -> None:
        """New entries of rules: their counters are zero."""
        self.counted[list(records)] = 0
        self.traffic.give(np.array(list(records)), np.array(list(records.values())))

    def take(self, *records: int) -> None:
        self.traffic.take(np.array(records), self.counted[list(records)])

    def hand_over(self, record: int, number: int) -> None:
        """An entry is another rule's from now on: its counter goes on."""
        self.take(record)
        self.traffic.give(np.array([record]), np.array([number]), self.counted[[record]])

    def scrape(self, most: int = 500) -> dict[RuleLabels, int]:
        """Packets by rule."""
        for _ in self.traffic.settle(self.counted[: self.traffic.end].copy(), self.traffic.changes):
            pass
        return {each.labels: each.packets for each in self.traffic.busiest(most)[0]}


def test_a_rule_has_the_packets_of_all_its_entries() -> None:
    """What a rule decided is the sum over its entries, in packets and bytes."""
    host = Host()
    host.give({1: 7, 2: 7, 3: 8})
    host.pass_packets(1, 5)
    host.pass_packets(2, 6)
    assert {labels(7): 11, labels(8): 0} == host.scrape()
    assert 1100 == host.traffic.busiest(1)[0][0].bytes


def test_counters_go_on_when_a_rule_comes_back() -> None:
    """A rule that is deleted keeps its count, with the packets nobody had asked for, and goes on from there."""
    host = Host()
    host.give({1: 7})
    host.pass_packets(1, 5)
    host.scrape()
    host.pass_packets(1, 2)
    host.take(1)
    assert {labels(7): 7} == host.scrape()
    host.give({9: 7})
    host.pass_packets(9, 1)
    assert {labels(7): 8} == host.scrape()


def test_an_entry_that_changes_hands_counts_for_each_its_own() -> None:
    """The counter of an entry goes on when another rule takes it over; each rule has what was counted in its time."""
    host = Host()
    host.give({1: 7})
    host.pass_packets(1, 5)
    host.hand_over(1, 8)
    host.pass_packets(1, 3)
    assert {labels(7): 5, labels(8): 3} == host.scrape()


def test_a_record_that_is_used_again_counts_for_its_new_rule_alone() -> None:
    """A reading from before a record changed hands says nothing of the rule that has it now."""
    host = Host()
    host.give({1: 7})
    host.pass_packets(1, 5)
    reading, changes = host.counted[:2].copy(), host.traffic.changes
    host.take(1)
    host.give({1: 8})
    for _ in host.traffic.settle(reading, changes):
        pass
    assert {labels(7): 5, labels(8): 0} == host.scrape()


def test_what_was_counted_before_the_agent_is_nobodys() -> None:
    """Records that are taken over with a count begin there: whose it was is not known."""
    host = Host()
    host.pass_packets(1, 5)
    host.traffic.give(np.array([1]), np.array([7]), host.counted[[1]])
    host.pass_packets(1, 2)
    assert {labels(7): 2} == host.scrape()


def test_an_empty_entry_that_stayed_is_nobodys() -> None:
    """An entry that nobody was given can be let go, wherever its record is."""
    host = Host()
    host.give({3: 7})
    host.take(1, 4000)
    host.take(3)
    assert {labels(7): 0} == host.scrape()


def test_the_busiest_of_many_rules_are_told() -> None:
    """Of 2,000 rules the 500 with the most packets are told, and how many are not."""
    host = Host()
    host.give({number: number for number in range(1, 2001)})
    for number in range(1, 2001):
        host.pass_packets(number, number)
    assert {labels(number): number for number in range(1501, 2001)} == host.scrape()
    told, left_out = host.traffic.busiest(500)
    assert (500, 1500) == (len(told), left_out)
    assert [2000, 1999] == [each.packets for each in told[:2]]


def test_a_rule_is_told_for_a_while_after_it_is_gone() -> None:
    """A scraper that asks now and then gets the last packets of a rule; a quarter of an hour later it is not told."""
    host = Host()
    host.give({1: 7})
    host.pass_packets(1, 1)
    host.take(1)
    host.now += 899
    assert {labels(7): 1} == host.scrape()
    host.now += 2
    assert {} == host.scrape()
    host.give({1: 7})
    assert {labels(7): 1} == host.scrape()


def test_rules_that_never_come_back_are_forgotten() -> None:
    """However many rules come and go, memory is kept for some thousands of them; the ones in force are not touched."""
    host = Host()
    host.give({1: 1})
    host.pass_packets(1, 1)
    host.take(1)
    for start in range(2, 12_002, 1000):
        host.give({number: number for number in range(start, start + 1000)})
        host.take(*range(start, start + 1000))
    host.give({1: 1})
    assert {labels(1): 0} == {key: packets for key, packets in host.scrape(20_000).items() if key == labels(1)}
    assert len(host.scrape(20_000)) == 8193


class Traffic(RuleBasedStateMachine):
    """Whatever comes, goes and changes hands, and whenever somebody asks: each rule has its own packets."""

    def __init__(self) -> None:
        super().__init__()
        self.host = Host()
        self.owner: dict[int, int] = {}
        self.truth: Counter[int] = Counter()
        self.before: dict[RuleLabels, int] = {}

    @rule(record=st.integers(1, 12), number=st.integers(1, 4))
    def commit(self, record: int, number: int) -> None:
        if record in self.owner:
            self.host.hand_over(record, number)
        else:
            self.host.give({record: number})
        self.owner[record] = number

    @precondition(lambda self: self.owner)
    @rule(pick=st.integers(0, 100))
    def remove(self, pick: int) -> None:
        record = sorted(self.owner)[pick % len(self.owner)]
        self.host.take(record)
        del self.owner[record]

    @precondition(lambda self: self.owner)
    @rule(pick=st.integers(0, 100), packets=st.integers(1, 9))
    def pass_packets(self, pick: int, packets: int) -> None:
        record = sorted(self.owner)[pick % len(self.owner)]
        self.host.pass_packets(record, packets)
        self.truth[self.owner[record]] += packets

    @rule()
    def scrape(self) -> None:
        self.host.scrape()

    @invariant()
    def each_has_its_own(self) -> None:
        found = self.host.scrape()
        assert {labels(number): packets for number, packets in self.truth.items()} == {
            key: packets for key, packets in found.items() if packets
        }
        assert all(found[key] >= packets for key, packets in self.before.items())
        self.before = found


TestTraffic = Traffic.TestCase
