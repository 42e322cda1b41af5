"""The policy tables of a loaded object: keys in hash maps, what they mean in mapped arrays.

A table pairs one or two hash maps (key -> row number) with the slotted columns of an array. Keys are inserted once,
never replaced, and deleted when their row is empty; `commit.py` says when.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ringfence.abi import POLICY_KEY
from ringfence.datapath.addresses import Network, exact_keys, exact_network, is_whole, prefix_keys, prefix_network
from ringfence.datapath.rows import MapFullError, RowAllocator
from ringfence.datapath.slots import SlotColumn
from ringfence.datapath.syscall import NOEXIST, BpfMap
from ringfence.engine.commands import Peer
from ringfence.policy.mapstate import PolicyKey

_KEY_FIELDS: Final = PolicyKey._fields


def policy_keys(keys: Sequence[PolicyKey]) -> NDArray[Any]:
    """Rows of POLICY_KEY."""
    columns = np.array(keys, np.uint32).reshape(len(keys), len(_KEY_FIELDS))
    rows = np.zeros(len(keys), POLICY_KEY)
    for index, name in enumerate(_KEY_FIELDS):
        rows[name] = columns[:, index]
    return rows


def read_policy_keys(rows: NDArray[Any]) -> list[PolicyKey]:
    """Keys from rows of POLICY_KEY."""
    return [PolicyKey(*each) for each in zip(*(rows[name].tolist() for name in _KEY_FIELDS), strict=True)]


class PolicyTable:
    """`policy` over `policy_records`: key -> rule number."""

    def __init__(self, maps: dict[str, BpfMap]) -> None:
        self._map = maps["policy"]
        self._hits = maps["record_hits"]
        records = maps["policy_records"]
        self.rule = SlotColumn(records.mmap_array()["rule"])
        keys, rows = self._map.dump()
        self.row_of: dict[PolicyKey, int] = dict(zip(read_policy_keys(keys), rows.tolist(), strict=True))
        self._rows = RowAllocator("policy", records.max_entries, self.row_of.values())

    def take_rows(self, keys: Iterable[PolicyKey]) -> dict[PolicyKey, int]:
        """Empty rows for new keys, with counters at zero. Raises `MapFullError`, then none is taken."""
        taken: dict[PolicyKey, int] = {}
        try:
            for key in keys:
                taken[key] = self._rows.take()
        except Exception:
            self._map.errors += 1
            self._give(taken.values())
            raise
        rows = np.array(list(taken.values()), np.uint32)
        for row in rows:
            self.rule.wipe(int(row))
        self._hits.update_batch(rows, np.zeros(len(rows), self._hits.value_dtype))
        return taken

    def insert(self, taken: dict[PolicyKey, int]) -> None:
        """Insert keys; their rows say nothing before the revision to come."""
        self._map.update_batch(policy_keys(list(taken)), np.array(list(taken.values()), np.uint32), NOEXIST)
        self.row_of.update(taken)

    def delete(self, keys: Sequence[PolicyKey]) -> None:
        """Delete keys whose rows are empty."""
        if keys:
            self._map.delete_batch(policy_keys(keys))
            self._give([self.row_of.pop(key) for key in keys if key in self.row_of])

    def take_back(self, taken: dict[PolicyKey, int]) -> None:
        """Undo `take_rows` and as much of `insert` as was done."""
        self._map.delete_batch(policy_keys(list(taken)))
        for key, row in taken.items():
            self.row_of.pop(key, None)
            self.rule.wipe(row)
        self._give(taken.values())

    def _give(self, rows: Iterable[int]) -> None:
        for row in rows:
            self._rows.give(row)


class PeerTable:
    """`ipcache` and `ipcache_exact` over `peer_records`: address prefix -> who that is."""

    def __init__(self, maps: dict[str, BpfMap]) -> None:
        self._trie = maps["ipcache"]
        self._exact = maps["ipcache_exact"]
        records = maps["peer_records"]
        array = records.mmap_array()
        self._array = array
        self.columns = [SlotColumn(array[name]) for name in Peer._fields]
        self.row_of: dict[Network, int] = {}
        for source, decode in ((self._trie, prefix_network), (self._exact, exact_network)):
            keys, rows = source.dump()
            self.row_of |= {decode(key): int(row) for key, row in zip(keys, rows, strict=True)}
        self._rows = RowAllocator("ipcache", records.max_entries, self.row_of.values())

    def read(self, network: Network, revision: int) -> Peer:
        """What a prefix that has a row says at a revision; identity 0 where it says nothing."""
        row = self.row_of[network]
        return Peer(*(column.value(row, revision) for column in self.columns))

    def covering(self, network: Network, revision: int) -> Peer | None:
        """What the next shorter prefix of the trie says at a revision."""
        for length in range(network.prefixlen - 1, -1, -1):
            outer = network.supernet(new_prefix=length)
            if outer in self.row_of and not is_whole(outer) and (peer := self.read(outer, revision)).identity:
                return peer
        return None

    def take_row(self) -> int:
        """An empty row. Raises `MapFullError`."""
        try:
            row = self._rows.take()
        except MapFullError:
            self._trie.errors += 1
            raise
        for column in self.columns:
            column.wipe(row)
        return row

    def insert(self, network: Network, row: int) -> None:
        """Insert a prefix whose row is prepared."""
        if is_whole(network):
            self._exact.update_batch(exact_keys([network]), np.array([row], np.uint32), NOEXIST)
        else:
            self._trie.update(prefix_keys([network])[0], row, NOEXIST)
        self.row_of[network] = row

    def delete(self, network: Network) -> None:
        """Delete a prefix whose row is empty or says what its covering prefix says."""
        if is_whole(network):
            self._exact.delete(exact_keys([network])[0])
        else:
            self._trie.delete(prefix_keys([network])[0])
        if network in self.row_of:
            self.give_row(self.row_of.pop(network))

    def give_row(self, row: int) -> None:
        """Take back a row that nothing names."""
        self._rows.give(row)
