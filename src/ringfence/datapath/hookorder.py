"""What runs at an interface's hooks besides our programs, in which order, and what keeps ours from judging, in words.

The kernel runs tcx programs first, then the clsact filters by preference. Whoever comes before us and accepts a packet
ends the row: ours never sees it. We keep the order that we find, and tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ringfence.datapath import clsact, links
from ringfence.datapath.attach import PROGRAMS, Mechanism, Programs
from ringfence.datapath.bpf import program_info
from ringfence.datapath.links import Hook
from ringfence.datapath.loader import LoadedObject


@dataclass(frozen=True, slots=True)
class Order:
    """`problems`: why packets may pass unjudged; `others`: what runs there besides. Both as sentences for people."""

    problems: tuple[str, ...]
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Runs:
    """One thing that the kernel runs at a hook. `judges`: what it returns is a verdict."""

    text: str
    program_id: int
    judges: bool


def order(loaded: LoadedObject, ifindex: int, programs: Programs = PROGRAMS) -> Order:
    """Who runs at both hooks of an interface of the calling thread's namespace. Raises OSError."""
    problems: list[str] = []
    others: list[str] = []
    for hook, name in programs.items():
        _look(
            list(_running(ifindex, hook)),
            program_info(loaded.programs[name]).id,
            f"{name} at {hook.name.lower()}",
            problems,
            others,
        )
    return Order(tuple(dict.fromkeys(problems)), tuple(dict.fromkeys(others)))  # u32 lists its tables as well


def _look(running: list[_Runs], ours: int, called: str, problems: list[str], others: list[str]) -> None:
    place = next((at for at, each in enumerate(running) if each.program_id == ours and each.judges), None)
    if place is None:
        powerless = any(each.program_id == ours for each in running)
        problems.append(
            f"{called} {'lacks direct action: its verdicts count for nothing' if powerless else 'is missing'}"
        )
    for at, each in enumerate(running):
        if each.program_id == ours:
            continue
        if place is not None and at < place:
            problems.append(f"{each.text} runs before {called}: what it accepts is not judged")
        else:
            others.append(f"{each.text} runs {'after' if place is not None else 'instead of'} {called}")


def _running(ifindex: int, hook: Hook) -> Iterator[_Runs]:
    for item in links.listed(ifindex, hook):
        yield _Runs(f"{Mechanism.TCX} program {item.program_id}", item.program_id, judges=True)
    for found in clsact.chain(ifindex, hook):
        text = f"{Mechanism.CLSACT} filter {found.name or found.kind}"
        yield _Runs(text, found.program_id, judges=found.direct_action)
