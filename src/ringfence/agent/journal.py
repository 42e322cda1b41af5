"""The journal: what an agent must know again after it was killed, as one file of JSON lines that only grows.

A line is a transaction and is written, by one write, before the commit that uses it; so a line cut short by a kill
belongs to a commit that never was, and is dropped. A change costs its own line. Once the file is mostly history it is
written anew beside the old one and renamed over it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ringfence.errors import RingfenceError

_SLACK_BYTES = 1 << 20
_HISTORY_FACTOR = 4


class Item(NamedTuple):
    """The name of one remembered value: what kind of thing it is, and which."""

    kind: str
    key: str


class Journal:
    """The remembered values by item. Only one process may have a journal open (the instance lock sees to that)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        #: Whether there was none before: whatever the kernel holds, nobody knows why.
        self.fresh = not path.exists()
        self._live: dict[Item, str] = {}
        self._live_bytes = 0
        self._undo: dict[Item, str | None] = {}
        self._fd = -1
        self._size = 0
        try:
            self._read()
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise RingfenceError(f"the state in {path} cannot be read: {error}; remove it to start empty") from error
        self._rewrite()

    def items(self, kind: str) -> Iterator[tuple[str, Any]]:
        """The values of one kind with their keys, in the order they were first written."""
        for item, text in self._live.items():
            if item.kind == kind:
                yield item.key, json.loads(text)

    def lacks(self, changes: Mapping[Item, object]) -> bool:
        """Whether writing these would change anything."""
        return any(self._live.get(item) != (None if value is None else _text(value)) for item, value in changes.items())

    def write(self, changes: Mapping[Item, object]) -> None:
        """Remember (or, with the value None, forget) all of these or none. On return they survive a SIGKILL."""
        self._undo = {}
        if not changes:
            return
        line = json.dumps([[*item, value] for item, value in changes.items()], separators=(",", ":")) + "\n"
        self._append(line.encode())
        for item, value in changes.items():
            self._undo[item] = self._live.get(item)
            self._set(item, None if value is None else _text(value))
        if self._size > _HISTORY_FACTOR * self._live_bytes + _SLACK_BYTES:
            self._rewrite()

    def take_back(self) -> None:
        """Undo the last `write`: the commit it was for has failed."""
        undo = {item: None if text is None else json.loads(text) for item, text in self._undo.items()}
        self.write(undo)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _append(self, data: bytes) -> None:
        """All of the bytes, or the file as it was: a part left behind would swallow the next line."""
        try:
            while data:
                written = os.write(self._fd, data)
                data = data[written:]
        except OSError as error:
            os.ftruncate(self._fd, self._size)
            raise RingfenceError(f"the state cannot be written to {self._path}: {error.strerror}") from error
        self._size = os.lseek(self._fd, 0, os.SEEK_END)

    def _set(self, item: Item, text: str | None) -> None:
        self._live_bytes -= len(self._live.get(item, ""))
        if text is None:
            self._live.pop(item, None)
        else:
            self._live[item] = text
            self._live_bytes += len(text)

    def _read(self) -> None:
        if not self._path.exists():
            return
        *lines, _cut_short = self._path.read_text("utf-8").split("\n")
        for line in lines:
            for kind, key, value in json.loads(line):
                self._set(Item(kind, key), None if value is None else _text(value))

    def _rewrite(self) -> None:
        """Write what is live to a file of its own and put it in place of the old one."""
        fresh = self._path.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as file:
            for item, text in self._live.items():
                file.write(f"[[{json.dumps(item.kind)},{json.dumps(item.key)},{text}]]\n")
        fresh.replace(self._path)
        old = self._fd
        self._fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        self._size = os.lseek(self._fd, 0, os.SEEK_END)
        if old >= 0:
            os.close(old)


def _text(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
