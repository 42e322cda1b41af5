"""The event ring, mapped into this process and read in batches: an array of records of one fixed size per read.

A page of our own (the consumer's position) and the producer's position with the data, which the kernel maps twice so
that no record is split. Relies on x86's memory order: what lies before the producer's position is written.
"""

from __future__ import annotations

import mmap
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ringfence.abi import EVENT
from ringfence.datapath.syscall import BpfMap

BUSY: Final = 1 << 31
DISCARD: Final = 1 << 30
HEADER: Final = 8  # u32 length with the two flags, u32 page offset


class EventRing:
    """The only reader of a ring. The map must stay open as long as its descriptor is polled."""

    def __init__(self, ring: BpfMap, record: np.dtype[Any] = EVENT) -> None:
        self._map = ring
        self._record = record
        self._size = ring.max_entries
        page = mmap.PAGESIZE
        self._consumer_page = mmap.mmap(ring.fd, page, mmap.MAP_SHARED)
        self._producer_pages = mmap.mmap(ring.fd, page + 2 * self._size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._consumer = np.frombuffer(self._consumer_page, np.uint64, 1)
        self._producer = np.frombuffer(self._producer_pages, np.uint64, 1)
        self._data = np.frombuffer(self._producer_pages, np.uint8, 2 * self._size, page)
        self._stride = (record.itemsize + HEADER + 7) & ~7
        self._row = np.dtype(
            {
                "names": ["length", "event"],
                # Bytes as they are: rows with fields are copied field by field, ten times as slow.
                "formats": ["<u4", f"V{record.itemsize}"],
                "offsets": [0, HEADER],
                "itemsize": self._stride,
            },
        )
        self.records = 0
        self.skipped = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def fileno(self) -> int:
        """What epoll waits on: readable when the kernel was told to wake a reader."""
        return self._map.fd

    @property
    def pending(self) -> int:
        """Bytes written and not yet read."""
        return int(self._producer[0] - self._consumer[0])

    def read(self, limit: int = 65536) -> NDArray[Any]:
        """Take up to `limit` records out of the ring, oldest first; an empty array when there is nothing.

        Records that the program discarded, or of another size, are passed over and counted in `skipped`.
        """
        events = self._take(limit)
        if not len(events) and self._pass_over():
            events = self._take(limit)
        self.records += len(events)
        return events

    def _take(self, limit: int) -> NDArray[Any]:
        """The records up to the first that is unfinished, discarded or of another size."""
        start = int(self._consumer[0])
        count = min((int(self._producer[0]) - start) // self._stride, limit)
        rows = np.frombuffer(self._data, self._row, count, start % self._size) if count else np.empty(0, self._row)
        other = np.flatnonzero(rows["length"] != self._record.itemsize)
        whole = int(other[0]) if len(other) else count
        # Copied before the position moves: from then on the kernel may write there again.
        events = rows["event"][:whole].copy().view(self._record)
        self._consumer[0] = start + whole * self._stride
        return events

    def _pass_over(self) -> bool:
        """Step over records that are discarded or of another size; says whether there were any."""
        position, end, before = int(self._consumer[0]), int(self._producer[0]), self.skipped
        while position < end:
            offset = position % self._size
            length = int(self._data[offset : offset + 4].view(np.uint32)[0])
            if length & BUSY or length == self._record.itemsize:
                break
            position += ((length & ~DISCARD) + HEADER + 7) & ~7
            self.skipped += 1
        self._consumer[0] = position
        return self.skipped > before

    def close(self) -> None:
        """Unmap the ring. The map's descriptor is the caller's."""
        del self._consumer, self._producer, self._data
        self._producer_pages.close()
        self._consumer_page.close()
