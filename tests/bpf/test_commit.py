"""The commit protocol: what is written, what a failed commit leaves, what is found after a crash at any step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from itertools import count
from typing import Any, NamedTuple, Self

import numpy as np
import pytest

from ringfence.abi import Direction, Reason, Tier, Verdict
from ringfence.datapath import batch, commit, syscall
from ringfence.datapath.addresses import Network, is_whole
from ringfence.datapath.bpf import Command
from ringfence.datapath.commit import Committer
from ringfence.datapath.loader import LoadedObject, load
from ringfence.datapath.rows import MapFullError
from ringfence.datapath.shapes import LiveShapes, shape_of
from ringfence.datapath.slots import SlotColumn
from ringfence.datapath.tables import PeerTable, PolicyTable
from ringfence.engine.commands import Commit, Peer, RuleRow
from ringfence.errors import RingfenceError
from ringfence.policy.mapstate import PolicyKey
from tests.bpf.conftest import SMALL, wipe
from tests.bpf.host import Host, key
from tests.bpf.packets import udp

ALLOW = RuleRow(2, Verdict.ALLOW, Reason.FORWARDED)
DENY = RuleRow(3, Verdict.DENY, Reason.POLICY_DENY_RULE)
RULES = {1: ALLOW, 2: DENY, 3: ALLOW}
INGRESS, EGRESS = Direction.INGRESS, Direction.EGRESS
ONE, TWO, THREE = key(300, EGRESS, 301), key(300, EGRESS, 301, protocol=6), key(301, INGRESS, tier=Tier.ADMIN)
BROAD, NARROW, INNER = ip_network("10.0.0.0/8"), ip_network("10.1.0.0/16"), ip_network("10.1.2.0/24")
WHOLE, OTHER = ip_network("10.1.2.3/32"), ip_network("fd00::1/128")
ADDRESSES = [ip_address(each) for each in ("10.2.0.1", "10.1.0.1", "10.1.2.1", "10.1.2.3", "fd00::1", "192.0.2.1")]
WORLD = Peer(2, 0, 0)


@pytest.fixture
def committer(loaded: LoadedObject) -> Committer:
    return Committer(loaded.maps)


class State(NamedTuple):
    """All that packets can see of the policy state, and what it rests on."""

    revision: int
    entries: dict[PolicyKey, int]
    addresses: list[Peer]
    shapes: dict[tuple[int, int], int]  # of each tier and direction that has any


def meant(loaded: LoadedObject, address: Any, revision: int) -> Peer:
    """Who an address is at a revision, by what the kernel's tables hold and as it looks there: the whole address, then
    the longest prefix, and no other.
    """
    table = PeerTable(loaded.maps)
    around = [each for each in table.row_of if each.version == address.version and address in each]
    prefixes = sorted((each for each in around if not is_whole(each)), key=lambda each: each.prefixlen)
    said = [table.read(each, revision) for each in [*filter(is_whole, around), *prefixes[-1:]]]
    return next((peer for peer in said if peer.identity), WORLD)


def entries_in(loaded: LoadedObject, revision: int) -> dict[PolicyKey, int]:
    """The entries at a revision, by what the kernel's tables hold."""
    table = PolicyTable(loaded.maps)
    numbers = table.rule.values(np.array(list(table.row_of.values()), np.uint32), revision).tolist()
    return {each: number for each, number in zip(table.row_of, numbers, strict=True) if number}


def state(loaded: LoadedObject) -> State:
    revision = int(loaded.maps[".data.revision"].mmap_array()["active_revision"][0])
    words = loaded.maps[".data.shapes"].mmap_array()["live_shapes"][0]
    shapes = {(tier, direction): int(word) for (tier, direction), word in np.ndenumerate(words) if word}
    addresses = [meant(loaded, address, revision) for address in ADDRESSES]
    return State(revision, entries_in(loaded, revision), addresses, shapes)


def slots_written(before: LoadedObject, change: Callable[[], object]) -> dict[str, int]:
    """How many words of each mapped table a change has written."""
    names = ("policy_records", "peer_records", "rules")
    old = {name: before.maps[name].mmap_array().copy().view(np.uint64) for name in names}
    change()
    return {
        name: int((before.maps[name].mmap_array().view(np.uint64) != old[name]).sum())
        for name in names
        if (before.maps[name].mmap_array().view(np.uint64) != old[name]).any()
    }


# --- what is written ----------------------------------------------------------------------------------------------


def test_a_fresh_object_says_nothing(loaded: LoadedObject) -> None:
    """Before the first commit the revision is 0, and there is no entry, prefix or shape."""
    assert Committer(loaded.maps).revision == 0
    assert state(loaded) == State(0, {}, [WORLD] * len(ADDRESSES), {})


def test_each_commit_is_one_revision(committer: Committer) -> None:
    """A commit makes the next number active and returns it."""
    assert committer.commit(Commit(rules=RULES, policy={ONE: 1})) == 1
    assert committer.commit(Commit(policy={ONE: 2, TWO: 1})) == 2
    assert committer.revision == 2
    assert committer.rule_numbers() == {ONE: 2, TWO: 1}


def test_only_what_changed_is_written(committer: Committer, loaded: LoadedObject) -> None:
    """One entry of many that changes is one word; one address is one word for each thing known of it."""
    many = {key(300, EGRESS, 1000 + peer): 1 for peer in range(500)}
    peers = {ip_network(f"10.9.{row}.1"): Peer(5, 0, 0) for row in range(200)}
    committer.commit(Commit(rules=RULES, policy=many, peers=peers))
    chosen = next(iter(many))
    assert slots_written(loaded, lambda: committer.commit(Commit(policy={chosen: 2}))) == {"policy_records": 1}
    address = next(iter(peers))
    written = slots_written(loaded, lambda: committer.commit(Commit(peers={address: Peer(6, 0, 0)})))
    assert written == {"peer_records": 3}
    assert slots_written(loaded, lambda: committer.commit(Commit())) == {}


def test_rules_are_written_as_they_are(committer: Committer, loaded: LoadedObject) -> None:
    """A row of the rules table is what the rule is."""
    committer.commit(Commit(rules={7: RuleRow((1 << 56) - 1, Verdict.PASS, Reason.POLICY_DENY_RULE)}))
    row = loaded.maps["rules"].lookup(7)
    assert (row["precedence"], row["verdict"], row["reason"]) == ((1 << 56) - 1, Verdict.PASS, Reason.POLICY_DENY_RULE)


def test_an_entry_that_is_taken_away_is_deleted(committer: Committer, loaded: LoadedObject) -> None:
    """Rule 0 takes the entry away, and its key out of the map; its row is given out again last of all."""
    committer.commit(Commit(rules=RULES, policy={ONE: 1, TWO: 2}))
    row = committer.policy.row_of[ONE]
    committer.commit(Commit(policy={ONE: 0}))
    assert committer.rule_numbers() == {TWO: 2}
    assert len(loaded.maps["policy"].dump()[0]) == 1
    committer.commit(Commit(policy={THREE: 1}))
    assert committer.policy.row_of[THREE] != row


def test_taking_away_what_is_not_there_is_no_error(committer: Committer, loaded: LoadedObject) -> None:
    """An entry or a prefix that nobody has can be taken away."""
    committer.commit(Commit(policy={ONE: 0}, peers={NARROW: None, WHOLE: None}))
    assert state(loaded) == State(1, {}, [WORLD] * len(ADDRESSES), {})


def test_live_shapes_are_those_of_the_entries(committer: Committer, loaded: LoadedObject) -> None:
    """The shapes that are probed are those that keys have, by tier and direction, and no others."""
    committer.commit(Commit(rules=RULES, policy={ONE: 1, TWO: 1, THREE: 1}))
    assert state(loaded).shapes == {
        (Tier.NORMAL, EGRESS): 1 << shape_of(ONE) | 1 << shape_of(TWO),
        (Tier.ADMIN, INGRESS): 1 << shape_of(THREE),
    }
    committer.commit(Commit(policy={TWO: 0, THREE: 0}))
    assert state(loaded).shapes == {(Tier.NORMAL, EGRESS): 1 << shape_of(ONE)}


# --- prefixes -----------------------------------------------------------------------------------------------------


def test_prefixes_say_who_addresses_are(committer: Committer, loaded: LoadedObject) -> None:
    """Prefixes of any length come and go by commits; the longest says who an address is."""
    peers: dict[Network, Peer | None] = {BROAD: Peer(8, 1, 0), INNER: Peer(24, 3, 0), WHOLE: Peer(32, 3, 4)}
    committer.commit(Commit(peers=peers))
    assert [peer.identity for peer in state(loaded).addresses] == [8, 8, 24, 32, 2, 2]
    committer.commit(Commit(peers={NARROW: Peer(16, 2, 0), WHOLE: None}))
    assert [peer.identity for peer in state(loaded).addresses] == [8, 16, 24, 24, 2, 2]
    committer.commit(Commit(peers={INNER: None, OTHER: Peer(128, 0, 1)}))
    assert [peer.identity for peer in state(loaded).addresses] == [8, 16, 16, 16, 128, 2]
    assert committer.peer_entries() == {BROAD: Peer(8, 1, 0), NARROW: Peer(16, 2, 0), OTHER: Peer(128, 0, 1)}


def test_a_prefix_and_the_one_around_it_change_in_one_commit(committer: Committer, loaded: LoadedObject) -> None:
    """A prefix that goes while the one around it changes is what that one becomes."""
    committer.commit(Commit(peers={BROAD: Peer(8, 1, 0), NARROW: Peer(16, 2, 0)}))
    committer.commit(Commit(peers={NARROW: None, BROAD: Peer(9, 1, 0)}))
    assert state(loaded).addresses[1] == Peer(9, 1, 0)
    committer.commit(Commit(peers={INNER: Peer(24, 3, 0), NARROW: Peer(16, 2, 0), BROAD: None}))
    assert [peer.identity for peer in state(loaded).addresses[:3]] == [2, 16, 24]


# --- every step of a commit ---------------------------------------------------------------------------------------

STEPS: list[tuple[Any, str]] = [
    (SlotColumn, "prepare"),
    (SlotColumn, "prepare_with_past"),
    (SlotColumn, "wipe"),
    (LiveShapes, "widen"),
    (LiveShapes, "narrow"),
    (Committer, "_write_rules"),
    (Committer, "_delete_silent"),
]
WRITES = {Command.MAP_UPDATE_ELEM, Command.MAP_DELETE_ELEM, Command.MAP_UPDATE_BATCH, Command.MAP_DELETE_BATCH}
TENTH = ip_network("10.2.0.0/16")
FAR = ip_network("192.0.2.1")
CHANGES = {
    "entries": Commit(rules={4: DENY}, policy={ONE: 4, TWO: 0, THREE: 1, key(300, EGRESS, 77, protocol=6, port=80): 3}),
    "new prefixes": Commit(peers={NARROW: Peer(17, 0, 0), INNER: Peer(24, 3, 0), OTHER: Peer(128, 0, 1)}),
    "prefixes gone": Commit(peers={BROAD: None, WHOLE: None}),
    "an inner prefix gone": Commit(peers={TENTH: None, BROAD: Peer(9, 9, 0)}),
    "addresses swapped": Commit(peers={WHOLE: Peer(40, 1, 5), FAR: Peer(32, 3, 4)}),
    "all": Commit(
        rules={4: DENY},
        policy={ONE: 0, TWO: 4, THREE: 3},
        peers={BROAD: Peer(9, 9, 0), NARROW: Peer(16, 2, 0), WHOLE: None, TENTH: None},
    ),
}


class Stopped(BaseException):
    """The agent ends here."""


@dataclass
class StopAt:
    """Lets so many writes happen, and those after the stop: they take back."""

    left: int

    def __call__(self) -> None:
        self.left -= 1
        if self.left == -1:
            raise Stopped


class NoUndo:
    """What a killed agent takes back: nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        pass

    def callback(self, *undo: object) -> None:
        pass

    def pop_all(self) -> None:
        pass


def before_each_write(patch: pytest.MonkeyPatch, do: Callable[[], None]) -> None:
    """Have something done before every single write of a commit, but not before those that it does itself."""
    inside: list[bool] = []

    def first(*arguments: Any) -> None:
        if inside or (isinstance(arguments[0], Command) and arguments[0] not in WRITES):
            return
        inside.append(True)
        try:
            do()
        finally:
            inside.pop()

    for owner, name in [*STEPS, (batch, "call"), (syscall, "call")]:
        patch.setattr(owner, name, preceded(first, getattr(owner, name)))


def preceded(first: Callable[..., None], step: Callable[..., Any]) -> Callable[..., Any]:
    def both(*arguments: Any) -> Any:
        first(*arguments)
        return step(*arguments)

    return both


def fill(loaded: LoadedObject) -> Committer:
    """Entries and prefixes that the changes of this file change, on an object as it was just loaded."""
    for each in loaded.maps.values():
        wipe(each)
    committer = Committer(loaded.maps)
    committer.commit(Commit(rules=RULES, policy={ONE: 1, TWO: 2}))
    peers = {BROAD: Peer(8, 1, 0), TENTH: Peer(10, 2, 0), WHOLE: Peer(32, 3, 4), FAR: Peer(40, 1, 5)}
    committer.commit(Commit(peers=peers))
    return committer


def stopped_everywhere(
    loaded: LoadedObject, patch: pytest.MonkeyPatch, change: Commit, *, undo: bool
) -> Iterator[Committer]:
    """The committer of a commit that was stopped before its first write, its second, and so on to the last."""
    for writes in count():
        committer = fill(loaded)
        with patch.context() as patched:
            if not undo:
                patched.setattr(commit, "ExitStack", NoUndo)
            before_each_write(patched, StopAt(writes))
            try:
                committer.commit(change)
            except Stopped:
                pass
            else:
                assert writes > 3
                return
        yield committer


@pytest.fixture(params=list(CHANGES))
def change(request: pytest.FixtureRequest) -> Commit:
    found: Commit = CHANGES[request.param]
    return found


@pytest.fixture
def old_and_new(loaded: LoadedObject, change: Commit) -> tuple[State, State]:
    committer = fill(loaded)
    old = state(loaded)
    committer.commit(change)
    return old, state(loaded)


def test_nothing_changes_before_the_store_and_nothing_after(
    loaded: LoadedObject, monkeypatch: pytest.MonkeyPatch, change: Commit, old_and_new: tuple[State, State]
) -> None:
    """Read before every write of a commit the state is the old one, up to one moment; from then on the new one."""
    committer = fill(loaded)
    seen: list[State] = []
    with monkeypatch.context() as patch:
        before_each_write(patch, lambda: seen.append(state(loaded)))
        committer.commit(change)
    seen.append(state(loaded))
    visible = [each[:3] for each in seen]
    old, new = old_and_new
    moment = [each[0] for each in visible].index(new.revision)
    assert visible == [old[:3]] * moment + [new[:3]] * (len(seen) - moment)
    assert old[1:] != new[1:]


def test_every_entry_that_counts_has_a_live_shape_at_every_step(
    loaded: LoadedObject, monkeypatch: pytest.MonkeyPatch, change: Commit
) -> None:
    """The shapes are wide enough for the active revision before every write of a commit, and exact at its end."""
    committer = fill(loaded)
    seen: list[State] = []
    with monkeypatch.context() as patch:
        before_each_write(patch, lambda: seen.append(state(loaded)))
        committer.commit(change)
    seen.append(state(loaded))
    for each in seen:
        for entry in each.entries:
            assert each.shapes[entry.tier, entry.direction] & 1 << shape_of(entry)
    probed = {(entry.tier, entry.direction, shape_of(entry)) for entry in seen[-1].entries}
    assert sum(word.bit_count() for word in seen[-1].shapes.values()) == len(probed)


def test_after_a_crash_at_any_step_the_state_is_the_old_or_the_new(
    loaded: LoadedObject, monkeypatch: pytest.MonkeyPatch, change: Commit, old_and_new: tuple[State, State]
) -> None:
    """An agent that is killed before any write of a commit leaves what the next one finds to be one of both states."""
    revisions = set()
    for _ in stopped_everywhere(loaded, monkeypatch, change, undo=False):
        heir = Committer(loaded.maps)
        found = state(loaded)
        assert found == old_and_new[heir.revision - old_and_new[0].revision]
        assert heir.rule_numbers() == found.entries
        assert set(entries_in(loaded, heir.revision)) == set(heir.policy.row_of)
        revisions.add(heir.revision)
    assert revisions == {2, 3}


def test_after_a_crash_the_commit_can_be_made_again(
    loaded: LoadedObject, monkeypatch: pytest.MonkeyPatch, change: Commit, old_and_new: tuple[State, State]
) -> None:
    """Whatever a killed agent left, the same commit by the next one ends in the new state, and nothing else is left."""
    expected = None
    for _ in stopped_everywhere(loaded, monkeypatch, change, undo=False):
        heir = Committer(loaded.maps)
        heir.commit(change)
        assert state(loaded)[1:] == old_and_new[1][1:]
        expected = expected or heir.peer_entries()
        assert heir.peer_entries() == expected


def test_a_prefix_that_a_crash_left_is_listed_with_what_is_around_it(
    loaded: LoadedObject, monkeypatch: pytest.MonkeyPatch, change: Commit
) -> None:
    """A prefix that was to come, or had gone, says what covers it, and is listed for who takes over to take away."""
    committer = fill(loaded)
    before = committer.peer_entries()
    committer.commit(change)
    after = committer.peer_entries()
    for _ in stopped_everywhere(loaded, monkeypatch, change, undo=False):
        heir = Committer(loaded.maps)
        wanted = before if heir.revision == 2 else after
        found = heir.peer_entries()
        assert wanted.items() <= found.items()
        for network in found.keys() - wanted.keys():
            assert found[network] == heir.peers.covering(network, heir.revision)


def test_a_commit_that_is_interrupted_is_taken_back(
    loaded: LoadedObject, monkeypatch: pytest.MonkeyPatch, change: Commit, old_and_new: tuple[State, State]
) -> None:
    """An agent that is interrupted before any write of a commit, and lives, has the old state, or the new whole."""
    for committer in stopped_everywhere(loaded, monkeypatch, change, undo=True):
        new = committer.revision - old_and_new[0].revision
        assert state(loaded)[:3] == old_and_new[new][:3]
        if not new:
            assert state(loaded).shapes == old_and_new[0].shapes
            committer.commit(change)
            assert state(loaded) == old_and_new[1]


def test_packets_between_the_writes_of_a_commit(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packets that are judged between the writes of a commit meet the old state, then the new one: no other."""
    host.known({"192.0.0.0/8": Peer(8, 0, 0), "192.0.2.1": Peer(32, 0, 0)})
    host.isolate("backend", INGRESS)
    host.allow(key(301, INGRESS, 8))
    change = Commit(
        rules={90: ALLOW, 91: DENY},
        policy={key(301, INGRESS, 8): 91, key(301, INGRESS, 24, protocol=17): 90},
        peers={
            ip_network("192.0.2.0/24"): Peer(24, 0, 0),
            ip_network("192.0.2.1"): None,
            ip_network("192.0.3.9"): Peer(8, 0, 0),
        },
    )
    seen: list[tuple[int, int, int]] = []

    def judge() -> None:
        host.let_pass(1000)
        for source in ("192.0.2.1", "192.0.3.9"):
            event = host.gets("backend", udp(source, "10.0.0.2")).event
            seen.append((int(event["revision"]), int(event["source_identity"]), int(event["ingress_rule"])))

    allowed = host.committer.rule_numbers()[key(301, INGRESS, 8)]
    denied = host.committer.rule_numbers()[key(301, INGRESS)]
    with monkeypatch.context() as patch:
        before_each_write(patch, judge)
        revision = host.committer.commit(change)
    judge()
    assert set(seen) == {
        (revision - 1, 32, denied),
        (revision - 1, 8, allowed),
        (revision, 24, 90),
        (revision, 8, 91),
    }
    assert [each[0] for each in seen] == sorted(each[0] for each in seen)


# --- what a dead writer left --------------------------------------------------------------------------------------


def test_a_taken_over_object_is_as_it_was_left(loaded: LoadedObject) -> None:
    """A new committer on the same maps finds the revision, the entries and the prefixes."""
    first = fill(loaded)
    before = state(loaded)
    heir = Committer(loaded.maps)
    assert state(loaded) == before
    assert heir.rule_numbers() == first.rule_numbers() == {ONE: 1, TWO: 2}
    assert heir.peer_entries() == first.peer_entries()
    assert heir.policy.row_of == first.policy.row_of


def test_slots_of_a_revision_that_never_was_active_are_cleared(loaded: LoadedObject) -> None:
    """What a dead writer prepared does not come alive when the next commit reaches its revision."""
    first = fill(loaded)
    first.policy.rule.prepare([first.policy.row_of[ONE]], [2], first.revision)
    first.peers.columns[0].prepare([first.peers.row_of[BROAD]], [99], first.revision)
    heir = Committer(loaded.maps)
    heir.commit(Commit())
    assert heir.rule_numbers()[ONE] == 1
    assert meant(loaded, ip_address("10.9.9.9"), heir.revision).identity == 8


def test_keys_that_say_nothing_are_deleted(loaded: LoadedObject) -> None:
    """A key whose record is empty is taken out of the map, and its shape is not probed."""
    first = fill(loaded)
    taken = first.policy.take_rows([THREE])
    first.policy.insert(taken)
    first.peers.insert(ip_network("172.16.0.0/12"), first.peers.take_row())
    first.peers.insert(ip_network("172.16.0.1"), first.peers.take_row())
    heir = Committer(loaded.maps)
    assert THREE not in heir.policy.row_of
    assert len(loaded.maps["policy"].dump()[0]) == 2
    assert ip_network("172.16.0.0/12") not in heir.peers.row_of
    assert ip_network("172.16.0.1") not in heir.peers.row_of
    assert (Tier.ADMIN, INGRESS) not in state(loaded).shapes


# --- a commit that fails ------------------------------------------------------------------------------------------

ROOM = {
    "policy": 8,
    "policy_records": 8,
    "record_hits": 8,
    "ipcache": 4,
    "ipcache_exact": 4,
    "peer_records": 16,
    "rules": 8,
}
MANY_KEYS: dict[PolicyKey, int] = {key(300, EGRESS, 1000 + peer, protocol=17, port=peer): 1 for peer in range(20)}
MANY_PREFIXES: dict[Network, Peer | None] = {ip_network(f"172.{number}.0.0/16"): Peer(7, 0, 0) for number in range(20)}
MANY_ADDRESSES: dict[Network, Peer | None] = {ip_network(f"172.16.0.{number}"): Peer(7, 0, 0) for number in range(20)}
TOO_MUCH = {
    "rows of policy": (Commit(policy=MANY_KEYS), {}),
    "keys of policy": (Commit(policy=MANY_KEYS), {"policy_records": 64, "record_hits": 64}),
    "prefixes": (Commit(policy={THREE: 1}, peers=MANY_PREFIXES), {"peer_records": 64}),
    "addresses": (Commit(policy={THREE: 1, ONE: 0}, peers=MANY_ADDRESSES), {"peer_records": 64}),
    "rows of peers": (Commit(policy={ONE: 2}, peers=MANY_ADDRESSES | {BROAD: Peer(9, 9, 0)}), {"ipcache_exact": 64}),
    "rules": (Commit(rules={8: ALLOW}, policy={THREE: 8}), {}),
}


@pytest.mark.parametrize("what", list(TOO_MUCH))
def test_a_commit_that_does_not_fit_changes_nothing(what: str) -> None:
    """After a commit that a full map refuses everything is as before it, and the next commit is made as ever."""
    change, more = TOO_MUCH[what]
    with load({}, SMALL | ROOM | more) as loaded:
        committer = fill(loaded)
        before, rows = state(loaded), dict(committer.policy.row_of)
        prefixes = committer.peer_entries()
        with pytest.raises((RingfenceError, OSError)):
            committer.commit(change)
        assert state(loaded) == before
        assert (committer.policy.row_of, committer.peer_entries()) == (rows, prefixes)
        assert len(loaded.maps["policy"].dump()[0]) == len(rows)
        committer.commit(Commit(policy={THREE: 1, ONE: 0}, peers={NARROW: Peer(5, 0, 0), WHOLE: None}))
        assert committer.rule_numbers() == {TWO: 2, THREE: 1}
        assert meant(loaded, ip_address("10.1.2.3"), committer.revision).identity == 5


def test_a_failed_commit_costs_no_room() -> None:
    """After any number of failed commits as many entries and prefixes fit as before."""
    with load({}, SMALL | ROOM) as loaded:
        committer = fill(loaded)
        for _ in range(10):
            with pytest.raises((MapFullError, OSError)):
                committer.commit(Commit(policy=MANY_KEYS))
            with pytest.raises((MapFullError, OSError)):
                committer.commit(Commit(peers=MANY_ADDRESSES))
        fitting = dict(list(MANY_KEYS.items())[: ROOM["policy_records"] - 1 - 2])
        committer.commit(Commit(policy=fitting, peers=dict(list(MANY_ADDRESSES.items())[:2])))
        assert len(committer.rule_numbers()) == 7
        with pytest.raises(MapFullError, match="full at 8 entries"):
            committer.commit(Commit(policy={THREE: 1}))


def test_a_failed_commit_is_seen_by_no_packet(host: Host) -> None:
    """What was prepared before a commit failed does not become active with the next."""
    number = host.isolate("backend", INGRESS)
    entry = key(301, INGRESS, 300)
    with pytest.raises(RingfenceError):
        host.committer.commit(Commit(rules={50: ALLOW, 1 << 20: ALLOW}, policy={entry: 50}))
    full: dict[PolicyKey, int] = {key(9, INGRESS, peer): 50 for peer in range(5000)}
    with pytest.raises(RingfenceError):
        host.committer.commit(Commit(rules={50: ALLOW}, policy={entry: 50} | full))
    host.committer.commit(Commit())
    assert host.sends("frontend", udp("10.0.0.1", "10.0.0.2")).rules[1] == number
