"""Commits: one atomic change of the policy state under the revision number.

For revision R + 1: write the rows of new rules; write the free slots of all rows concerned, from R + 1 on; insert new
keys; widen the live key shapes. Nothing has changed for any packet. Then one store makes R + 1 the active revision.
Afterwards keys that say nothing any more are deleted and the shapes narrowed. A commit that fails half-way is taken
back; one whose agent died half-way is cleared by the next that starts. One writer only, held by the agent's lock.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any

import numpy as np

from ringfence.abi import RULE
from ringfence.datapath.addresses import Network, is_whole
from ringfence.datapath.services import ServiceTable
from ringfence.datapath.shapes import LiveShapes
from ringfence.datapath.syscall import BpfMap
from ringfence.datapath.tables import PeerTable, PolicyTable
from ringfence.engine.commands import Commit, Peer, RuleRow
from ringfence.errors import RingfenceError
from ringfence.policy.mapstate import PolicyKey

NOBODY = Peer(0, 0, 0)


class Committer:
    """The writer of a loaded object's policy state. Made on a fresh object or on one taken over, which it tidies."""

    def __init__(self, maps: dict[str, BpfMap]) -> None:
        self._revision = maps[".data.revision"].mmap_array()["active_revision"]
        self._rules: Any = maps["rules"].mmap_array()
        self.policy = PolicyTable(maps)
        self.peers = PeerTable(maps)
        self.services = ServiceTable(maps, self.revision)
        self._silent_keys: list[PolicyKey] = []
        self._silent_prefixes: list[Network] = []
        self._tidy()
        self._shapes = LiveShapes(maps[".data.shapes"].mmap_array()["live_shapes"][0], self.policy.row_of)

    @property
    def revision(self) -> int:
        """The active revision; 0 before the first commit."""
        return int(self._revision[0])

    def begin_at(self, revision: int) -> None:
        """On a fresh object, take a revision for active already, so that the next ones go on from it."""
        if not self.revision:
            self._revision[0] = revision

    def commit(self, change: Commit) -> int:
        """Make a change active for every packet at once and return its revision.

        Raises `RingfenceError` (a full map, a rule number beyond the table) or OSError; then nothing has changed.
        """
        active = self.revision
        self._check_rules(change.rules)
        self._delete_silent()
        self.services.delete_old()
        with ExitStack() as undo:
            self._write_rules(change.rules)
            self._prepare_policy(change.policy, active, undo)
            self._prepare_peers(change.peers, active, undo)
            self.services.prepare(change.services, active, undo)
            undo.pop_all()
        self._revision[0] = active + 1
        self.services.confirm()
        self._silent_keys = [key for key, number in change.policy.items() if not number]
        self._silent_prefixes = [network for network, peer in change.peers.items() if peer is None]
        # The change is in force: what cannot be deleted now says nothing, and goes before the next commit.
        with suppress(OSError):
            self._delete_silent()
        return active + 1

    def rule_numbers(self) -> dict[PolicyKey, int]:
        """Every entry with the rule number it names at the active revision."""
        keys = list(self.policy.row_of)
        rows = np.array(list(self.policy.row_of.values()), np.uint32)
        numbers = self.policy.rule.values(rows, self.revision).tolist()
        return {key: number for key, number in zip(keys, numbers, strict=True) if number}

    def peer_entries(self) -> dict[Network, Peer]:
        """Every prefix with what it says at the active revision."""
        revision = self.revision
        known = {network: self.peers.read(network, revision) for network in self.peers.row_of}
        return {network: peer for network, peer in known.items() if peer.identity}

    def _tidy(self) -> None:
        """Clear what a dead writer left: slots of a revision that never became active, keys that say nothing."""
        active = self.revision
        for column in (self.policy.rule, *self.peers.columns):
            column.clear_future(active)
        named = self.rule_numbers()
        self.policy.delete([key for key in self.policy.row_of if key not in named])
        for network in list(self.peers.row_of):
            if self.peers.read(network, active).identity == 0:
                self.peers.delete(network)

    def _check_rules(self, rules: Mapping[int, RuleRow]) -> None:
        beyond = [number for number in rules if not 0 < number < len(self._rules)]
        if beyond:
            raise RingfenceError(f"rule number {beyond[0]} is outside the rules table of {len(self._rules)} rows")

    def _write_rules(self, rules: Mapping[int, RuleRow]) -> None:
        if not rules:
            return
        rows = np.zeros(len(rules), RULE)
        rows["precedence"] = [rule.precedence for rule in rules.values()]
        rows["verdict"] = [rule.verdict for rule in rules.values()]
        rows["reason"] = [rule.reason for rule in rules.values()]
        self._rules[np.array(list(rules), np.intp)] = rows

    def _prepare_policy(self, policy: Mapping[PolicyKey, int], active: int, undo: ExitStack) -> None:
        fresh = self.policy.take_rows(key for key, number in policy.items() if number and key not in self.policy.row_of)
        undo.callback(self.policy.take_back, fresh)
        undo.callback(self.policy.rule.clear_future, active)
        rows = {key: row for key in policy if (row := fresh.get(key) or self.policy.row_of.get(key))}
        self.policy.rule.prepare(list(rows.values()), [policy[key] for key in rows], active)
        self._shapes.widen(fresh)
        undo.callback(self._shapes.narrow)
        undo.callback(self._shapes.forget, fresh)
        self.policy.insert(fresh)

    def _prepare_peers(self, peers: Mapping[Network, Peer | None], active: int, undo: ExitStack) -> None:
        for column in self.peers.columns:
            undo.callback(column.clear_future, active)
        # Broad prefixes first: the covering prefix of one that goes is read as it will be.
        for network in sorted(peers, key=lambda each: (each.version, each.prefixlen)):
            if network in self.peers.row_of:
                self._prepare_known(network, peers[network], active)
            elif (peer := peers[network]) is not None:
                undo.callback(self._take_peer_back, network)
                self._insert_peer(network, peer, active)

    def _prepare_known(self, network: Network, peer: Peer | None, active: int) -> None:
        row = self.peers.row_of[network]
        # Deleting a prefix of the trie takes its own moment: until then it says what covers it.
        new = peer or self._covering(network, active + 1)
        for column, value in zip(self.peers.columns, new, strict=True):
            column.prepare([row], [value], active)

    def _covering(self, network: Network, revision: int) -> Peer:
        """What the trie says without this prefix. A whole address falls through to it when its row is empty."""
        if is_whole(network):
            return NOBODY
        return self.peers.covering(network, revision) or NOBODY

    def _insert_peer(self, network: Network, peer: Peer, active: int) -> None:
        row = self.peers.take_row()
        # Inserting takes its own moment too: up to the active revision the prefix says what covers it.
        past = self._covering(network, active)
        try:
            for column, old, new in zip(self.peers.columns, past, peer, strict=True):
                column.prepare_with_past(row, old, new, active)
            self.peers.insert(network, row)
        except Exception:
            self.peers.give_row(row)
            raise

    def _take_peer_back(self, network: Network) -> None:
        if network in self.peers.row_of:
            self.peers.delete(network)

    def _delete_silent(self) -> None:
        """Delete what the last commit left without a meaning: empty keys, and prefixes that say what covers them."""
        while self._silent_prefixes:
            if self._silent_prefixes[-1] in self.peers.row_of:
                self.peers.delete(self._silent_prefixes[-1])
            self._silent_prefixes.pop()
        gone = [key for key in self._silent_keys if key in self.policy.row_of]
        self.policy.delete(gone)
        self._silent_keys = []
        self._shapes.forget(gone)
        self._shapes.narrow()
