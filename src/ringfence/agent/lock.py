"""The instance lock: at most one agent writes an instance's maps. The kernel drops it when the process dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ringfence.errors import RingfenceError


class InstanceLock:
    """Held from construction until `release` or the end of the process. The file tells whose it is."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._fd, 32, 0).decode().strip() or "?"
            os.close(self._fd)
            raise RingfenceError(f"an agent of this instance is running already, as process {holder}") from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next agent in."""
        os.close(self._fd)
