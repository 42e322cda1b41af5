"""The sealer: a thread that seals finished segments one after the other, beside the one that records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from time import monotonic

from ringfence.history.sealing import Interrupted, seal

Tell = Callable[[str], None]


class Sealer:
    """Seals what is submitted, in order, and calls `sealed` after each. Where the disk refuses, it tries again after
    some seconds; `reason` says why it could not, and is empty again once it could.
    """

    def __init__(self, directory: Path, sealed: Callable[[], None], tell: Tell, retry_seconds: float) -> None:
        self.reason = ""
        self._directory = directory
        self._sealed = sealed
        self._tell = tell
        self._retry_seconds = retry_seconds
        self._keys: SimpleQueue[int | None] = SimpleQueue()
        self._closing = Event()
        self._end = float("inf")
        self._thread = Thread(target=self._run, name="sealer", daemon=True)
        self._thread.start()

    def submit(self, key: int) -> None:
        """Seal a segment that nothing is written to any more."""
        self._keys.put(key)

    def close(self, end: float) -> None:
        """Seal what was submitted, but not beyond a moment of the monotonic clock: what is not sealed then stays open
        for the next agent.
        """
        self._end = end
        self._closing.set()
        self._keys.put(None)
        self._thread.join(max(0.0, end - monotonic()) + 1)

    def _run(self) -> None:
        while (key := self._keys.get()) is not None:
            while not self._settled(key):
                if self._closing.wait(self._retry_seconds):
                    return

    def _settled(self, key: int) -> bool:
        """Whether nothing more is to be done for a segment."""
        try:
            seal(self._directory, key, lambda: monotonic() > self._end)
            self._sealed()
        except Interrupted:
            return False
        except FileNotFoundError:  # deleted, by retention or by hand, before its turn came
            pass
        except OSError as error:
            self._say(f"a segment cannot be sealed: {error.strerror or error}")
            return False
        except Exception as error:  # noqa: BLE001 - one bad segment, put aside, must not end recording
            self._tell(f"segment {key} cannot be read and was put aside: {type(error).__name__}: {error}")
        self.reason = ""
        return True

    def _say(self, reason: str) -> None:
        if reason != self.reason:
            self._tell(reason)
        self.reason = reason
