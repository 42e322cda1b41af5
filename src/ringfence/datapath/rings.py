"""The event rings, one for each CPU: made and put into the map that holds them, found there again, and read as one.

Two CPUs that write to one ring wait for its lock (benchmarks/EVENTS.md); the reader puts the events of all back into
the order of their times.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ringfence.abi import EVENT, MapSpec, MapType
from ringfence.datapath.bpf import Command, call, possible_cpus
from ringfence.datapath.ringbuf import HEADER, EventRing
from ringfence.datapath.syscall import BpfMap
from ringfence.flow.decode import joined, picked

OUTER: Final = "events"
_SPEC: Final = MapSpec("event_ring", MapType.RINGBUF, None, None, 0, 0)
_RING_BYTES: Final = 1 << 22
_ALL_RINGS_BYTES: Final = 1 << 26  # the kernel takes a ring's memory when it is made: many CPUs share so much
_LEAST_RING_BYTES: Final = 1 << 18


def default_size() -> int:
    """Bytes of each ring where nobody says: 4 MiB, less where there are many CPUs."""
    share = _ALL_RINGS_BYTES // possible_cpus()
    return max(_LEAST_RING_BYTES, min(_RING_BYTES, 1 << (share.bit_length() - 1)))


def wake_up_mask(size: int) -> int:
    """What `wake_up_mask` in bpf/config.h is for rings of so many bytes: the reader is woken when an eighth is full."""
    eighth = max(1, size // (EVENT.itemsize + HEADER) // 8)
    return (1 << (eighth.bit_length() - 1)) - 1


def make(outer: BpfMap, size: int) -> list[BpfMap]:
    """A ring of so many bytes for each place of the outer map. Raises OSError."""
    with ExitStack() as on_failure:
        made = []
        for cpu in range(outer.max_entries):
            made.append(on_failure.enter_context(_create(size)))
            outer.update(cpu, made[-1].fd)
        on_failure.pop_all()
    return made


def held_by(outer: BpfMap) -> list[BpfMap]:
    """The rings that an outer map holds, opened anew."""
    with ExitStack() as on_failure:
        found = [on_failure.enter_context(_open(int(outer.lookup(cpu)))) for cpu in range(outer.max_entries)]
        on_failure.pop_all()
    return found


def _create(size: int) -> BpfMap:
    attributes = bytearray(struct.pack("<IIIII8x16s", MapType.RINGBUF, 0, 0, size, 0, b"event_ring").ljust(72, b"\0"))
    return BpfMap(call(Command.MAP_CREATE, attributes), _SPEC)


def _open(number: int) -> BpfMap:
    fd = call(Command.MAP_GET_FD_BY_ID, bytearray(struct.pack("<III", number, 0, 0)))
    try:
        return BpfMap(fd, _SPEC)
    except BaseException:
        os.close(fd)
        raise


class EventRings:
    """The only reader of all rings. Their maps must stay open as long as their descriptors are polled."""

    def __init__(self, rings: Sequence[BpfMap]) -> None:
        self._rings = [EventRing(ring) for ring in rings]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    @property
    def filenos(self) -> list[int]:
        """What epoll waits on."""
        return [ring.fileno() for ring in self._rings]

    @property
    def pending(self) -> list[int]:
        """Bytes written and not yet read, by CPU."""
        return [ring.pending for ring in self._rings]

    @property
    def skipped(self) -> int:
        """Records that were no events of this layout."""
        return sum(ring.skipped for ring in self._rings)

    def read(self, limit: int = 65536) -> NDArray[Any]:
        """Take up to `limit` events out of each ring, in the order of their times."""
        found = [events for ring in self._rings if len(events := ring.read(limit))]
        if len(found) <= 1:
            return found[0] if found else self._rings[0].read(0)
        events = joined(found)
        return picked(events, np.argsort(events["time"], kind="stable"))

    def close(self) -> None:
        """Unmap the rings. Their descriptors are the caller's."""
        for ring in self._rings:
            ring.close()
