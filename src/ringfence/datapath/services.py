"""The service tables of a loaded object: frontends, the tables that they lead to, and who may use them.

A table of words is never changed while a revision uses it: a change writes another one, and the frontend's slot names
that from the revision to come on. What the revision before used is given back by the commit after, so a packet that is
being judged reads nothing half-written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from ringfence.abi import SERVICE_KEY, SOURCE_RANGE_KEY, ServiceFlag, ServiceScope, ServiceTableWord
from ringfence.datapath.addresses import unmapped
from ringfence.datapath.backends import BackendTable, States, packed
from ringfence.datapath.ranges import RangeAllocator
from ringfence.datapath.rows import RowAllocator
from ringfence.datapath.slots import SlotColumn
from ringfence.datapath.syscall import NOEXIST, BpfMap
from ringfence.service.row import Frontend, Network, ServiceRow

_RANGE_BITS: Final = 64
_HEAD: Final = int(ServiceTableWord.ENTRIES)
Changes = Mapping[Frontend, ServiceRow | None]


def service_keys(frontends: Collection[Frontend]) -> Any:
    """Rows of SERVICE_KEY."""
    keys = np.zeros(len(frontends), SERVICE_KEY)
    if frontends:
        keys["address"] = packed(each.address for each in frontends)
        for name in ("port", "protocol", "scope"):
            keys[name] = [getattr(each, name) for each in frontends]
    return keys


def read_service_key(key: Any) -> Frontend:
    """The inverse, of one row."""
    address = unmapped(key["address"].tobytes())
    return Frontend(address, int(key["port"]), int(key["protocol"]), ServiceScope(int(key["scope"])))


def source_range_keys(begin: int, networks: Iterable[Network]) -> Any:
    """Rows of SOURCE_RANGE_KEY: who may use the service whose table begins there."""
    listed = list(networks)
    keys = np.zeros(len(listed), SOURCE_RANGE_KEY)
    for key, network in zip(keys, listed, strict=True):
        address = network.network_address.packed
        key["prefix_length"], key["table"], key["family"] = _RANGE_BITS + network.prefixlen, begin, network.version
        key["address"][: len(address)] = np.frombuffer(address, np.uint8)
    return keys


def flags_of(row: ServiceRow) -> ServiceFlag | int:
    """The flags of a frontend's table."""
    said = {
        ServiceFlag.MAGLEV: row.maglev,
        ServiceFlag.AFFINITY: row.affinity > 0,
        ServiceFlag.SOURCE_RANGES: bool(row.source_ranges),
        ServiceFlag.NO_PORT: row.no_port,
        ServiceFlag.INSIDE: row.inside,
    }
    return sum(flag for flag, holds in said.items() if holds)


@dataclass(slots=True)
class _Change:
    """What a commit that is under way has prepared."""

    services: Changes = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    backends: dict[int, States] = field(default_factory=dict)
    rows: dict[Frontend, int] = field(default_factory=dict)
    begins: dict[Frontend, int] = field(default_factory=dict)


class ServiceTable:
    """The writer of `services`, `service_records`, `service_tables` and `source_ranges`, and of the backends."""

    def __init__(self, maps: dict[str, BpfMap], active: int) -> None:
        self._map = maps["services"]
        self._ranges = maps["source_ranges"]
        self._records: Any = maps["service_records"].mmap_array()
        self._words: Any = maps["service_tables"].mmap_array()
        self.backends = BackendTable(maps["backends"], active)
        self.table = SlotColumn(self._records["table"])
        self.table.clear_future(active)
        keys, rows = self._map.dump()
        self.row_of = {read_service_key(key): int(row) for key, row in zip(keys, rows, strict=True)}
        self._begin_of = {each: self.table.value(row, active) for each, row in self.row_of.items()}
        live = {begin for begin in self._begin_of.values() if begin}
        sizes = {begin: _HEAD + self._word(begin, ServiceTableWord.COUNT) for begin in live}
        self._tables = RangeAllocator("service_tables", len(self._words), sizes)
        self._rows = RowAllocator("services", len(self._records), self.row_of.values())
        self._group_named: dict[str, int] = {}
        self._members: dict[int, set[Frontend]] = {}
        for frontend, begin in self._begin_of.items():
            if begin:
                self._members.setdefault(self._word(begin, ServiceTableWord.GROUP), set()).add(frontend)
        self._old_frontends = [each for each, begin in self._begin_of.items() if not begin]
        self._old_begins: list[int] = []
        self._change = _Change()
        self._delete_ranges(lambda begin: begin not in live)
        self.delete_old()

    @property
    def frontends(self) -> list[Frontend]:
        """All that lead somewhere."""
        return [each for each, begin in self._begin_of.items() if begin]

    def prepare(self, services: Changes, active: int, undo: ExitStack) -> None:
        """Write all that the revision after `active` is to say. Raises `MapFullError`; `undo` takes all back."""
        self._change = change = _Change(services)
        if not services:
            return
        wanted = {frontend: row for frontend, row in services.items() if row is not None}
        change.groups = self._name_groups(wanted)
        change.backends = self._states(services, wanted)
        self.backends.prepare(change.backends, active, undo)
        self._take_rows(wanted, undo)
        for frontend, row in wanted.items():
            change.begins[frontend] = self._write_table(row, change.groups[row.group], undo)
        undo.callback(self.table.clear_future, active)
        rows = {each: at for each in services if (at := change.rows.get(each) or self.row_of.get(each))}
        self.table.prepare(list(rows.values()), [change.begins.get(each, 0) for each in rows], active)
        if change.rows:
            undo.callback(self._map.delete_batch, service_keys(change.rows))
            self._map.update_batch(service_keys(change.rows), np.array(list(change.rows.values()), np.uint32), NOEXIST)

    def confirm(self) -> None:
        """The revision is active. What it no longer uses is given back by `delete_old`."""
        change, self._change = self._change, _Change()
        self._group_named |= change.groups
        self.row_of |= change.rows
        for frontend, wanted in change.services.items():
            old = self._begin_of.pop(frontend, 0)
            if old:
                self._old_begins.append(old)
                self._leave(frontend, self._word(old, ServiceTableWord.GROUP))
            if wanted is not None:
                self._begin_of[frontend] = change.begins[frontend]
                self._members.setdefault(change.groups[wanted.group], set()).add(frontend)
            elif frontend in self.row_of:
                self._old_frontends.append(frontend)
        self.backends.confirm(change.backends)

    def delete_old(self) -> None:
        """Give back what no revision uses: before the next `prepare`."""
        self.backends.delete_old()
        ranged = {
            each for each in self._old_begins if self._word(each, ServiceTableWord.FLAGS) & ServiceFlag.SOURCE_RANGES
        }
        if ranged:
            self._delete_ranges(ranged.__contains__)
        for begin in self._old_begins:
            self._tables.give(begin)
        if self._old_frontends:
            self._map.delete_batch(service_keys(self._old_frontends))
            for frontend in self._old_frontends:
                self._rows.give(self.row_of.pop(frontend))
                self._begin_of.pop(frontend, None)
        self._old_begins, self._old_frontends = [], []

    def _word(self, begin: int, at: ServiceTableWord) -> int:
        return int(self._words[begin + at])

    def _leave(self, frontend: Frontend, group: int) -> None:
        members = self._members.get(group, set())
        members.discard(frontend)
        if not members:
            self._members.pop(group, None)

    def _name_groups(self, wanted: Mapping[Frontend, ServiceRow]) -> dict[str, int]:
        """Numbers of the groups. One that an earlier process has made is known again by a frontend of it."""
        numbers: dict[str, int] = {}
        named = set(self._group_named.values())
        for frontend, row in wanted.items():
            if row.group in numbers:
                continue
            number = self._group_named.get(row.group, 0)
            begin = self._begin_of.get(frontend, 0)
            if not number and begin and (found := self._word(begin, ServiceTableWord.GROUP)) not in named:
                number = found
            numbers[row.group] = number or self.backends.new_group(self._members)
            named.add(numbers[row.group])
        return numbers

    def _states(self, services: Changes, wanted: Mapping[Frontend, ServiceRow]) -> dict[int, States]:
        """What the groups concerned are to have; a group that no frontend leads to any more has none."""
        found: dict[int, States] = {}
        for row in wanted.values():
            found[self._change.groups[row.group]] = dict(row.backends)
        for frontend in services:
            begin = self._begin_of.get(frontend, 0)
            group = self._word(begin, ServiceTableWord.GROUP) if begin else 0
            if group and group not in found and self._members.get(group, set()) <= services.keys():
                found[group] = {}
        return found

    def _take_rows(self, wanted: Mapping[Frontend, ServiceRow], undo: ExitStack) -> None:
        taken = self._change.rows
        undo.callback(self._give_rows, taken)
        for frontend in wanted:
            if frontend not in self.row_of:
                taken[frontend] = self._rows.take()
        if taken:
            keys, rows = service_keys(taken), np.array(list(taken.values()), np.intp)
            self._records["table"][rows] = 0
            for name in ("address", "port", "protocol", "scope"):
                self._records[name][rows] = keys[name]

    def _give_rows(self, taken: Mapping[Frontend, int]) -> None:
        for row in taken.values():
            self._rows.give(row)

    def _write_table(self, row: ServiceRow, group: int, undo: ExitStack) -> int:
        begin = self._tables.take(_HEAD + len(row.table))
        undo.callback(self._tables.give, begin)
        rows = self.backends.rows_of(group)
        entries = np.array([rows[backend] for backend, _ in row.backends], np.uint64)
        self._words[begin : begin + _HEAD] = [len(row.table), flags_of(row), row.affinity, group]
        if row.table:
            self._words[begin + _HEAD : begin + _HEAD + len(row.table)] = entries[np.array(row.table, np.intp)]
        if row.source_ranges:
            keys = source_range_keys(begin, row.source_ranges)
            undo.callback(self._ranges.delete_batch, keys)
            for key in keys:
                self._ranges.update(key, 1)
        return begin

    def _delete_ranges(self, concerned: Callable[[int], bool]) -> None:
        keys, _ = self._ranges.dump()
        gone = [index for index, begin in enumerate(keys["table"].tolist()) if concerned(begin)]
        if gone:
            for key in keys[gone]:
                self._ranges.delete(key)
