"""What goes wrong, in words for people: every failure that a user can cause or repair is one of these errors.

A problem is one fault of one document, with the place where it stands. Bad input carries all problems of all files at
once, because whoever repairs a file wants to repair it once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One fault in one file. `line` and `column` count from 1 and point at the offending node."""

    file: str
    line: int
    column: int
    found: str
    expected: str
    severity: Severity = "error"

    def __str__(self) -> str:
        return " ".join(f"{self.file}:{self.line}:{self.column}: {self.found}; expected {self.expected}".split())


class RingfenceError(Exception):
    """A failure told to people by its message; a program sees `exit_code`."""

    exit_code: int = 1


class BadInput(RingfenceError):  # noqa: N818 - says what is wrong, as all names here do
    """Input that means nothing or something Ringfence does not do. Nothing of it was applied."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem] | str) -> None:
        self.problems: tuple[Problem, ...] = () if isinstance(problems, str) else tuple(sorted(problems))
        super().__init__(problems if isinstance(problems, str) else "\n".join(map(str, self.problems)))


class Unavailable(RingfenceError):  # noqa: N818 - says what is wrong, as all names here do
    """Something this needs is missing (root, BPF, a kernel feature, the agent); the message says how to get it."""

    exit_code = 3


class NotFound(RingfenceError):  # noqa: N818 - says what is wrong, as all names here do
    """The thing named does not exist."""

    exit_code = 4
