from __future__ import annotations

import os
from pathlib import Path

from ringfence.history.segments import listing, open_path, sealed_path, superfluous, to_prune


def make(path: Path, size: int = 100, changed: float | None = None) -> Path:
    path.write_bytes(bytes(size))
    if changed is not None:
        os.utime(path, (changed, changed))
    return path


def test_names_tell_what_there_is(tmp_path: Path) -> None:
    """Key, times and rows of a sealed segment are known from its name; oldest first, other files passed over."""
    make(open_path(tmp_path, 30))
    make(sealed_path(tmp_path, 4, 1, 3, 20), 50)
    for name in ("lock", "notes.txt", "5.sealing", "x-1-2-3.parquet"):
        make(tmp_path / name)
    found = listing(tmp_path)
    assert [(4, 50, 1, 3, 20, False), (30, 100, None, None, None, True)] == [
        (each.key, each.size, each.first, each.last, each.rows, each.is_open) for each in found
    ]


def test_sealed_form_counts_where_there_are_both(tmp_path: Path) -> None:
    """A kill between the two steps of sealing leaves both forms: the open one is superfluous, as is half a seal."""
    opened, sealed = make(open_path(tmp_path, 7)), make(sealed_path(tmp_path, 7, 1, 2, 3))
    half = make(tmp_path / "9.sealing")
    alone = make(open_path(tmp_path, 9))
    assert [sealed, alone] == [each.path for each in listing(tmp_path)]
    assert {opened, half} == set(superfluous(tmp_path))


def test_old_segments_go_by_age(tmp_path: Path) -> None:
    """What ended before the age limit goes: a sealed one by its last flow, an open one by when it was last written."""
    old = make(sealed_path(tmp_path, 1, 10**9, 99 * 10**9, 5))
    make(sealed_path(tmp_path, 2, 10**9, 101 * 10**9, 5))
    stale = make(open_path(tmp_path, 3), changed=99.0)
    make(open_path(tmp_path, 4), changed=101.0)
    gone = to_prune(listing(tmp_path), oldest=100.0, most_bytes=1 << 20, growing=None)
    assert [old, stale] == [each.path for each in gone]


def test_oldest_go_until_the_rest_fits(tmp_path: Path) -> None:
    """Beyond the size limit the oldest go, as many as are needed; the one that grows counts but stays."""
    paths = [make(sealed_path(tmp_path, key, 10**9, 10**9, 5)) for key in (1, 2, 3)]
    make(open_path(tmp_path, 0), 150)
    gone = to_prune(listing(tmp_path), oldest=0, most_bytes=300, growing=0)
    assert paths[:2] == [each.path for each in gone]
    assert [] == to_prune(listing(tmp_path), oldest=0, most_bytes=450, growing=0)
