"""The backends of a loaded object: a row for each backend of each service port, its state under the revision number.

A row keeps its address for its life. The backends of a service port are a group; groups have numbers, and names only in
this process: one that an earlier process has filled is known again by whoever tells its number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

from ringfence.abi import BackendState
from ringfence.datapath.addresses import mapped, unmapped
from ringfence.datapath.rows import RowAllocator
from ringfence.datapath.slots import SlotColumn
from ringfence.datapath.syscall import BpfMap
from ringfence.service.row import Address, Backend

States = Mapping[Backend, BackendState]


def packed(addresses: Iterable[Address]) -> Any:
    """Addresses as rows of sixteen bytes."""
    joined = b"".join(mapped(address) for address in addresses)
    return np.frombuffer(joined, np.uint8).reshape(-1, 16)


class BackendTable:
    """The writer of `backends`."""

    def __init__(self, bpf_map: BpfMap, active: int) -> None:
        self._array: Any = bpf_map.mmap_array()
        self.state = SlotColumn(self._array["state"])
        self.state.clear_future(active)
        self._rows_of: dict[int, dict[Backend, int]] = {}
        rows = np.flatnonzero(self.state.values(np.arange(len(self._array), dtype=np.uint32), active))
        for row in rows.tolist():
            self._rows_of.setdefault(int(self._array["group"][row]), {})[self._read(row)] = row
        self._free = RowAllocator("backends", bpf_map.max_entries, rows.tolist())
        self._last_group = max(self._rows_of, default=0)
        self._old: list[tuple[int, Backend]] = []

    def new_group(self, known: Iterable[int]) -> int:
        """A number that no group has."""
        self._last_group = max(self._last_group, *known, 0) + 1
        return self._last_group

    def rows_of(self, group: int) -> Mapping[Backend, int]:
        """The rows of a group's backends."""
        return self._rows_of.get(group, {})

    def states(self, group: int, revision: int) -> dict[Backend, BackendState]:
        """What is known of a group's backends at a revision."""
        rows = self.rows_of(group)
        return {backend: BackendState(self.state.value(row, revision)) for backend, row in rows.items()}

    def prepare(self, wanted: Mapping[int, States], active: int, undo: ExitStack) -> None:
        """Let groups have just these backends from the revision after `active` on. Raises `MapFullError`."""
        undo.callback(self.state.clear_future, active)
        fresh: list[tuple[int, Backend]] = []
        undo.callback(self._take_back, fresh)
        for group, states in wanted.items():
            rows = self._rows_of.setdefault(group, {})
            for backend in states:
                if backend not in rows:
                    rows[backend] = self._free.take()
                    fresh.append((group, backend))
        self._write(fresh)
        said = [
            (row, int(states.get(backend, BackendState.ABSENT)))
            for group, states in wanted.items()
            for backend, row in self._rows_of[group].items()
        ]
        self.state.prepare([row for row, _ in said], [state for _, state in said], active)

    def confirm(self, wanted: Mapping[int, States]) -> None:
        """The revision is active: rows that it says nothing of are given back by `delete_old`."""
        for group, states in wanted.items():
            self._old += [(group, backend) for backend in self._rows_of[group] if backend not in states]

    def delete_old(self) -> None:
        """Give back the rows that no revision uses."""
        for group, backend in self._old:
            rows = self._rows_of.get(group, {})
            if backend in rows:
                self._free.give(rows.pop(backend))
            if not rows:
                self._rows_of.pop(group, None)
        self._old = []

    def _read(self, row: int) -> Backend:
        return Backend(unmapped(self._array["address"][row].tobytes()), int(self._array["port"][row]))

    def _write(self, fresh: list[tuple[int, Backend]]) -> None:
        if not fresh:
            return
        rows = np.array([self._rows_of[group][backend] for group, backend in fresh], np.intp)
        self._array["state"][rows] = 0
        self._array["address"][rows] = packed(backend.address for _, backend in fresh)
        self._array["port"][rows] = [backend.port for _, backend in fresh]
        self._array["group"][rows] = [group for group, _ in fresh]

    def _take_back(self, fresh: list[tuple[int, Backend]]) -> None:
        for group, backend in fresh:
            self._free.give(self._rows_of[group].pop(backend))
