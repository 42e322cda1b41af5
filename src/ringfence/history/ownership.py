"""Ownership: a directory of segments has one writer. The kernel lets go of it when the process dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from ringfence.errors import RingfenceError
from ringfence.history.segments import listing, superfluous

_LOCK: Final = "lock"


class Ownership:
    """A directory that is ours to write to, made if need be, from construction until `release`. What a killed writer
    left half done is cleared away. Raises `OSError`, and `RingfenceError` where somebody else writes.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._fd = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in superfluous(directory):
                path.unlink(missing_ok=True)
        except BlockingIOError as error:
            os.close(self._fd)
            raise RingfenceError(f"another agent records in {directory}") from error
        except OSError:
            os.close(self._fd)
            raise

    @property
    def held(self) -> bool:
        """Whether the directory is still there, and ours."""
        return os.fstat(self._fd).st_nlink > 0

    def unsealed(self) -> list[int]:
        """The keys of segments that are open, oldest first."""
        return [segment.key for segment in listing(self.directory) if segment.is_open]

    def release(self) -> None:
        """Let another writer in."""
        os.close(self._fd)
