"""Findings: what `ringfence policy check` has to say of policies that are well formed but may not do what is meant.

Every kind of finding has a code and a name that do not change, so that they can be looked up and passed over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

Severity = Literal["error", "warning", "info"]


class Kind(Enum):
    """What can be found: its code, its name, and why it matters."""

    SELECTS_NOTHING = (
        "RF101",
        "selects-nothing",
        "a misspelt label protects nobody, or lets nobody in, without any sign of it",
    )
    NEVER_DECIDES = ("RF102", "never-decides", "what it says has no effect on any packet, whatever its author expects")
    CUTS_OFF_DNS = (
        "RF103",
        "cuts-off-dns",
        "without names the workloads cannot find even the peers that they are allowed to reach",
    )
    ALLOWS_EVERYBODY = (
        "RF104",
        "allows-everybody",
        "without peers everybody is meant, every namespace and the world outside too",
    )
    MEANS_NOBODY = ("RF105", "means-nobody", "an empty list of peers means nobody, not everybody")
    EXCEPT_REMOVES_ALL = ("RF106", "except-removes-all", "nothing is left of the prefix, so it means no address")
    UNKNOWN_PORT_NAME = ("RF107", "unknown-port-name", "a port by a name that the destination does not have is no port")
    CIDR_IGNORES_WORKLOADS = (
        "RF108",
        "cidr-ignores-workloads",
        "prefixes of this kind mean addresses outside only; workloads are meant by labels",
    )
    DUPLICATE_RULE = ("RF109", "duplicate-rule", "whoever changes one of the two will wonder why nothing changes")
    DEPRECATED = ("RF110", "deprecated", "it will stop being understood")
    MEANS_NO_SERVICE = (
        "RF111",
        "means-no-service",
        "a service that is not there has no backends, so the rule means nobody",
    )

    @property
    def code(self) -> str:
        return self.value[0]

    @property
    def title(self) -> str:
        return self.value[1]

    @property
    def why(self) -> str:
        return self.value[2]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found, where (from 1), and in which policy."""

    file: str
    line: int
    column: int
    kind: Kind
    severity: Severity
    policy: str
    found: str

    @property
    def order(self) -> tuple[str, int, int, str, str]:
        return (self.file, self.line, self.column, self.kind.code, self.found)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}"
        return f"{place}: {self.severity} {self.kind.code} {self.kind.title}: {self.found}; {self.kind.why}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "code": self.kind.code,
            "name": self.kind.title,
            "severity": self.severity,
            "policy": self.policy,
            "found": self.found,
            "why": self.kind.why,
        }


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings as they stand in the files, each once."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda finding: finding.order))


def distance(one: str, other: str) -> int:
    """How many letters must be put in, taken out, exchanged, or swapped with the next, to make one text of another."""
    rows = [list(range(len(other) + 1))]
    for index, letter in enumerate(one, start=1):
        row = [index]
        for place, another in enumerate(other, start=1):
            cost = min(rows[-1][place] + 1, row[-1] + 1, rows[-1][place - 1] + (letter != another))
            if index > 1 and place > 1 and letter == other[place - 2] and another == one[index - 2]:
                cost = min(cost, rows[-2][place - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]


def nearest(text: str, known: Iterable[str], most: int = 3) -> list[str]:
    """The texts most like one; none where more than half of it would have to change."""
    apart = sorted((distance(text, each), each) for each in set(known) if abs(len(each) - len(text)) <= len(text) // 2)
    best = apart[0][0] if apart else 0
    return [each for cost, each in apart if 2 * cost <= len(text) and cost <= best + 1][:most]
