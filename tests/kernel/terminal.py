"""A real terminal of 80 by 24, by a tmux server of the test's own: keys in, the screen out."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from time import monotonic, sleep

PATIENCE_SECONDS = 40.0
LOOK_AGAIN_SECONDS = 0.1
_NUMBERS = count()
ENDED = "the command has ended with"


class Terminal:
    """A terminal in which one command runs."""

    def __init__(self, server: str) -> None:
        self._server = server

    @property
    def screen(self) -> str:
        """What is on the screen, as text."""
        return self._tmux("capture-pane", "-p")

    @property
    def coloured(self) -> str:
        """The same with the terminal's own codes for colours."""
        return self._tmux("capture-pane", "-p", "-e")

    def press(self, *keys: str) -> None:
        """Press keys, by their names as tmux knows them."""
        self._tmux("send-keys", *keys)

    def write(self, text: str) -> None:
        """Type a text."""
        self._tmux("send-keys", "-l", text)

    def shows(self, pattern: str) -> re.Match[str]:
        """Wait until the screen shows what an expression means."""
        end = monotonic() + PATIENCE_SECONDS
        while (found := re.search(pattern, self.screen, re.MULTILINE)) is None:
            assert monotonic() < end, f"no {pattern!r} after {PATIENCE_SECONDS:.0f} s:\n{self.screen}"
            sleep(LOOK_AGAIN_SECONDS)
        return found

    def terminate(self) -> None:
        """Ask the command to end, by SIGTERM."""
        shell = self._tmux("display-message", "-p", "#{pane_pid}").strip()
        (command,) = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        os.kill(int(command), signal.SIGTERM)

    def ends(self) -> int:
        """Wait until the command has ended; its exit code."""
        return int(self.shows(rf"{ENDED} (\d+)")[1])

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-L", self._server, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@contextmanager
def terminal(name: str, arguments: Sequence[str], columns: int = 80, lines: int = 24) -> Iterator[Terminal]:
    """Run `ringfence` with arguments in a terminal of its own; the terminal ends with the block."""
    # A server that was told to end may still be there when the next begins.
    name = f"{name}-{next(_NUMBERS)}"
    command = shlex.join([sys.executable, "-m", "ringfence.cli", *arguments])
    # What comes after it keeps the screen for whoever reads how it ended.
    shell = f"{command}; echo {ENDED} $?; exec cat"
    size = ["-x", str(columns), "-y", str(lines)]
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}
    start = ["tmux", "-L", name, "-f", "/dev/null", "new-session", "-d", *size, shell]
    subprocess.run(start, check=True, env=environment)
    try:
        yield Terminal(name)
    finally:
        subprocess.run(["tmux", "-L", name, "kill-server"], check=False, capture_output=True)
