"""The sealer: a thread that sees finished segments sealed one after the other, beside the one that records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from time import monotonic

from ringfence.errors import RingfenceError
from ringfence.history.aside import Died, Interrupted
from ringfence.history.segments import put_aside

_MOST_DEATHS = 3
Tell = Callable[[str], None]
#: Seals a segment, or raises `Interrupted` once it is asked for the end: (directory, key, whether it is the end).
Seal = Callable[[Path, int, Callable[[], bool]], None]


class Sealer:
    """Seals what is submitted, in order, and calls `sealed` after each. Where the disk refuses, it tries again after
    some seconds; `reason` says why it could not, and is empty again once it could.
    """

    def __init__(
        self, directory: Path, seal: Seal, sealed: Callable[[], None], tell: Tell, retry_seconds: float
    ) -> None:
        self.reason = ""
        self._directory = directory
        self._seal = seal
        self._sealed = sealed
        self._tell = tell
        self._retry_seconds = retry_seconds
        self._keys: SimpleQueue[int | None] = SimpleQueue()
        self._closing = Event()
        self._end = float("inf")
        self._deaths = 0
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
            self._deaths = 0
            while not self._settled(key):
                if self._closing.wait(self._retry_seconds):
                    return

    def _settled(self, key: int) -> bool:
        """Whether nothing more is to be done for a segment."""
        try:
            self._seal(self._directory, key, lambda: monotonic() > self._end)
            self._sealed()
        except Interrupted:
            return False
        except FileNotFoundError:  # deleted, by retention or by hand, before its turn came
            pass
        except OSError as error:
            self._say(f"a segment cannot be sealed: {told(error)}")
            return False
        except Died as error:
            return self._died(key, error)
        except Exception as error:  # noqa: BLE001 - one bad segment, put aside, must not end recording
            self._tell(f"segment {key} cannot be read and was put aside: {told(error)}")
        self.reason = ""
        return True

    def _died(self, key: int, error: Died) -> bool:
        """Once may be chance; a segment that kills whoever reads it is put aside."""
        self._deaths += 1
        self._say(f"a segment cannot be sealed: {error}")
        if self._deaths < _MOST_DEATHS:
            return False
        put_aside(self._directory, key)
        return True

    def _say(self, reason: str) -> None:
        if reason != self.reason:
            self._tell(reason)
        self.reason = reason


def told(error: Exception) -> str:
    """An error in as few words as people need."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error) if isinstance(error, RingfenceError) else f"{type(error).__name__}: {error}"
