"""Processes of a lab: its agent and its echo servers, started in the background and found again to be stopped.

Each leaves `<role>.pid` under /run/ringfence/<instance>: its number and the time it was started, so that a number that
the kernel has since given to another process is never signalled.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ringfence.errors import RingfenceError, Unavailable
from ringfence.lab.namespaces import inside

RUN = Path("/run/ringfence")
GRACE_SECONDS = 10.0
LOG_LINES = 5


def directory(instance: str) -> Path:
    """Where an instance keeps its socket, pid files and logs."""
    return RUN / instance


def start(instance: str, role: str, arguments: Sequence[str], namespace: str) -> int:
    """Start `python ARGUMENTS` inside a namespace, in a session of its own; returns its pid. Its output is logged.

    Its standard input is empty. What it printed is in `<role>.log`.
    """
    place = directory(instance)
    place.mkdir(parents=True, exist_ok=True, mode=0o755)
    output = str(place / f"{role}.log")
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    argv = [sys.executable, *arguments]
    # A child begins in the namespace of the thread that made it.
    pid = inside(namespace, lambda: os.posix_spawn(sys.executable, argv, os.environ, file_actions=actions, setsid=True))
    _pid_file(instance, role).write_text(f"{pid} {_started(pid)}\n")
    return pid


def stop(instance: str, role: str) -> None:
    """End a process of a lab, by force after ten seconds. One that is not running is no error."""
    pid = running(instance, role)
    if pid is not None:
        descriptor = os.pidfd_open(pid)
        try:
            for number in (signal.SIGTERM, signal.SIGKILL):
                signal.pidfd_send_signal(descriptor, number)
                if _ended(descriptor, GRACE_SECONDS):
                    break
        finally:
            os.close(descriptor)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
    _pid_file(instance, role).unlink(missing_ok=True)


def running(instance: str, role: str) -> int | None:
    """Return the pid of a process of a lab while it runs."""
    try:
        pid, started = _pid_file(instance, role).read_text().split()
    except (OSError, ValueError):
        return None
    return int(pid) if _started(int(pid)) == started else None


def wait_or_fail(instance: str, role: str, pid: int, seconds: float) -> None:
    """Wait a moment for a process that this one started; if it ends in it, raise an error with the last it said."""
    descriptor = os.pidfd_open(pid)
    try:
        if not _ended(descriptor, seconds):
            return
    finally:
        os.close(descriptor)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    said = " / ".join(log(instance, role).splitlines()[-LOG_LINES:])
    kind = Unavailable if code == Unavailable.exit_code else RingfenceError
    raise kind(f"the lab's {role} ended while it was starting: {said}")


def log(instance: str, role: str) -> str:
    """Return what a process has printed so far."""
    return (directory(instance) / f"{role}.log").read_text(errors="replace")


def forget(instance: str) -> None:
    """Remove what an instance left under /run/ringfence."""
    shutil.rmtree(directory(instance), ignore_errors=True)


def _pid_file(instance: str, role: str) -> Path:
    return directory(instance) / f"{role}.pid"


def _started(pid: int) -> str:
    """Return when a process was started, in ticks since boot; nothing when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _ended(descriptor: int, seconds: float) -> bool:
    return bool(select.select([descriptor], [], [], seconds)[0])
