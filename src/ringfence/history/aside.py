"""Sealing aside: in a process of its own, of the lowest priority, that takes no time which anybody else wants.

In the agent's own process it would take turns with the reading of events, a core for every half million a second.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ringfence.errors import RingfenceError
from ringfence.history.segments import SEALING

_LOOK_SECONDS: Final = 0.1
_NICE: Final = 19


class Died(Exception):  # noqa: N818 - says what happened
    """The process that sealed was killed, or crashed."""


class Interrupted(Exception):  # noqa: N818 - says what happened
    """Sealing was given up before its end; nothing has changed."""


def seal_aside(directory: Path, key: int, is_end: Callable[[], bool]) -> None:
    """Seal a segment. Raises what `seal` raises, errors other than `OSError` as `RingfenceError`; `Died` where the
    process died of it, and `Interrupted` once `is_end` says so.
    """
    command = [sys.executable, "-m", "ringfence.history.aside", str(directory), str(key)]
    # In a process group of its own: Ctrl-C ends the agent, which sees to this one.
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, process_group=0) as process:
        while True:
            try:
                told, _ = process.communicate(timeout=_LOOK_SECONDS)
                break
            except subprocess.TimeoutExpired:
                if is_end():
                    process.kill()
                    process.wait()
                    (directory / f"{key}-{process.pid}{SEALING}").unlink(missing_ok=True)
                    raise Interrupted from None
    _raise(process.returncode, told.decode(errors="replace"))


def _raise(code: int, told: str) -> None:
    if code == 0:
        return
    try:
        number, text = json.loads(told)
    except ValueError:
        raise Died(f"the process that seals it ended with {code}") from None
    if number is None:
        raise RingfenceError(text)
    raise OSError(number, os.strerror(number))


def main(directory: str, key: str) -> int:
    """Seal one segment; what went wrong is told on standard output, as a number of the system's and a text."""
    from ringfence.history.sealing import seal  # noqa: PLC0415 - slow to import, and the agent never calls it itself

    os.nice(_NICE)
    try:
        seal(Path(directory), int(key))
    except OSError as error:
        sys.stdout.write(json.dumps([error.errno, str(error)]))
        return 1
    except Exception as error:  # noqa: BLE001 - told, not shown
        sys.stdout.write(json.dumps([None, f"{type(error).__name__}: {error}"]))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
