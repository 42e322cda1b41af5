"""Groups: frames of an open segment put together to what becomes one row group, in which a number has one name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from ringfence.flow.decode import Events, joined, picked
from ringfence.history.frames import Frame
from ringfence.history.names import StoredNames

GROUP_ROWS: Final = 1 << 17


def groups(frames: Iterable[Frame]) -> Iterator[tuple[Events, StoredNames]]:
    """The rows of frames in order, in groups of about `GROUP_ROWS`, each sorted by time, with the names of all."""
    rows: list[Events] = []
    names, count = StoredNames(), 0
    for frame in frames:
        if rows and (count >= GROUP_ROWS or not names.agrees(frame.names)):
            yield in_order(joined(rows)), names
            rows, names, count = [], StoredNames(), 0
        rows.append(frame.events)
        names.update(frame.names)
        count += len(frame.events)
    if rows:
        yield in_order(joined(rows)), names


def in_order(events: Events) -> Events:
    """The events by time; they mostly are already."""
    times = events["time"]
    return events if (times[1:] >= times[:-1]).all() else picked(events, np.argsort(times, kind="stable"))
