"""Sealing: an open segment written anew as one parquet file, which takes its place only when it is whole on the disk.

Written beside it, made durable, renamed, the directory made durable; only then is the open form removed. So a kill, or
a power cut, at any moment leaves at least one whole form.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import pyarrow.parquet as pq

from ringfence.flow.decode import Events
from ringfence.history.frames import FrameReader
from ringfence.history.groups import groups
from ringfence.history.names import StoredNames
from ringfence.history.segments import SEALING, open_path, put_aside, sealed_path
from ringfence.history.table import SCHEMA, to_table

_RISING: Final = ("time", "source_port")  # differences are shorter than a dictionary of nearly all values


def seal(directory: Path, key: int) -> Path | None:
    """Seal a segment; returns its file, or None if it held nothing. Raises `OSError` with nothing changed. What cannot
    be read is put aside, and its error raised.
    """
    opened = open_path(directory, key)
    # Of this process alone: one that a killed agent left may be at the same segment, and makes the same file of it.
    half = directory / f"{key}-{os.getpid()}{SEALING}"
    try:
        with FrameReader(opened) as reader, _private(half) as file:
            told = _write(file, groups(reader.frames()))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        half.unlink(missing_ok=True)
        raise
    except Exception:
        half.unlink(missing_ok=True)
        put_aside(directory, key)
        raise
    if told is None:
        half.unlink()
        opened.unlink(missing_ok=True)
        return None
    sealed = half.rename(sealed_path(directory, key, *told))
    _make_durable(directory)
    opened.unlink(missing_ok=True)
    return sealed


def _private(path: Path) -> IO[bytes]:
    """A new file that only its owner may read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb")


def _write(file: IO[bytes], found: Iterator[tuple[Events, StoredNames]]) -> tuple[int, int, int] | None:
    """Write all groups; returns the first and last time and the number of rows, None if there are none."""
    firsts, lasts, rows = [], [], 0
    with parquet_writer(file) as writer:
        for events, names in found:
            writer.write_table(to_table(events, names), row_group_size=len(events))
            firsts.append(int(events["time"][0]))
            lasts.append(int(events["time"][-1]))
            rows += len(events)
    return (min(firsts), max(lasts), rows) if rows else None


def parquet_writer(file: IO[bytes]) -> pq.ParquetWriter:
    """A writer of SCHEMA. A row group is found by the times of its statistics."""
    return pq.ParquetWriter(
        file,
        SCHEMA,
        compression="zstd",
        write_statistics=["time"],
        use_dictionary=[name for name in SCHEMA.names if name not in _RISING],
        column_encoding=dict.fromkeys(_RISING, "DELTA_BINARY_PACKED"),
        sorting_columns=[pq.SortingColumn(SCHEMA.get_field_index("time"))],
    )


def _make_durable(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
