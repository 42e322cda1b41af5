"""Events as they may come, names for all their numbers, and histories written of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Event
from time import monotonic, sleep, time_ns
from typing import Any, Self

import numpy as np
import pytest
from hypothesis import strategies as st

from ringfence.abi import EVENT, CtStatus, Direction, EventKind, PeerKind, Reason, Tier, Verdict
from ringfence.flow.decode import Events, joined
from ringfence.flow.enrich import Names, flows
from ringfence.flow.format import to_dict
from ringfence.history.limits import Limits
from ringfence.history.names import StoredNames
from ringfence.history.recorder import Recorder
from ringfence.history.sealing import seal
from ringfence.history.segments import OPEN, SEALED
from ringfence.verdict import RuleText
from tests.unit.flow.batch import event

WAIT_SECONDS = 30.0
_MAPPED = bytes(10) + b"\xff\xff"
_SHAPES = 18 * len(PeerKind)
_ENUMS = {"kind": EventKind, "verdict": Verdict, "reason": Reason, "direction": Direction, "status": CtStatus}
_SMALL = {"source_identity", "destination_identity", "egress_rule", "ingress_rule", "source_endpoint"}
LABELS = st.lists(st.sampled_from(["k8s:app=web", "k8s:app=api", "reserved:world", "any:x"]), unique=True).map(tuple)
TEXTS = st.text("abc ,:/\u00e9", max_size=5)


@st.composite
def rows(draw: st.DrawFn) -> Events:
    """One event with any value in every field, though few different numbers, so that rows share them."""
    row = np.zeros(1, EVENT)
    for name in EVENT.names or ():
        if not name.startswith("pad"):
            row[name] = draw(_values(name))
    family, ends = draw(
        st.sampled_from([(4, _v4()), (6, st.binary(min_size=16, max_size=16)), (0, st.just(bytes(16)))])
    )
    row["family"] = family
    for side in ("source", "destination"):
        row[side] = np.frombuffer(draw(ends), np.uint8)
    return row


def _v4() -> st.SearchStrategy[bytes]:
    return st.binary(min_size=4, max_size=4).map(lambda last: _MAPPED + last)


def _values(name: str) -> st.SearchStrategy[Any]:
    if name in _ENUMS:
        return st.sampled_from(list(_ENUMS[name]))
    if name in _SMALL:
        return st.integers(0, 3)
    if name.endswith("_shape"):
        return st.integers(0, _SHAPES)
    if name == "protocol":
        return st.sampled_from([1, 6, 17, 58, 132, 47])
    kind = EVENT[name]
    size = 63 if name == "time" else 8 * kind.base.itemsize
    numbers = st.integers(0, (1 << size) - 1)
    return st.tuples(*[numbers] * kind.shape[0]) if kind.shape else numbers


def batches(least: int = 0, most: int = 4) -> st.SearchStrategy[Events]:
    """A batch of events."""
    return st.lists(rows(), min_size=least, max_size=most).map(joined)


@st.composite
def names(draw: st.DrawFn) -> StoredNames:
    """Names of the few numbers; of some of them nothing is known."""
    return StoredNames(
        draw(st.dictionaries(st.integers(0, 3), LABELS)),
        draw(st.dictionaries(st.integers(1, 3), _rules())),
        draw(st.dictionaries(st.integers(1, 3), TEXTS)),
    )


def _rules() -> st.SearchStrategy[RuleText]:
    return st.builds(
        RuleText,
        policy=TEXTS,
        index=st.integers(0, 3),
        direction=st.sampled_from(Direction),
        tier=st.sampled_from(Tier),
        verdict=st.sampled_from(Verdict),
        precedence=st.integers(0, 1 << 63),
        reason=st.sampled_from(Reason),
        origin=TEXTS,
        text=TEXTS,
    )


def told(events: Events, known: Names) -> list[dict[str, Any]]:
    """What people are told of events."""
    return [to_dict(flow) for flow in flows(events, known)]


def numbered(count: int, start: int = 0, age_ns: int = 0) -> Events:
    """Events a nanosecond apart, so that batches follow each other in time, that are told apart by their length."""
    found = np.repeat(event(), count)
    found["time"] = time_ns() - age_ns + np.arange(count, dtype=np.uint64)
    found["length"] = np.arange(start, start + count)
    return found


def lengths(found: Iterable[tuple[Events, Names]]) -> list[int]:
    """The numbers of `numbered` events."""
    return [int(length) for events, _ in found for length in events["length"]]


def files(directory: Path, suffix: str) -> list[Path]:
    """The segments of one form, oldest first."""
    return sorted(directory.glob(f"*{suffix}"))


def opened(directory: Path) -> list[Path]:
    return files(directory, OPEN)


def sealed(directory: Path) -> list[Path]:
    return files(directory, SEALED)


def wait_until(true: Callable[[], object]) -> None:
    """Wait for a condition; fails when it takes too long."""
    end = monotonic() + WAIT_SECONDS
    while not true():
        assert monotonic() < end, "waited in vain"
        sleep(0.005)


class Told:
    """What a recorder said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def __call__(self, text: str) -> None:
        self.said.append(text)


def recorder(directory: Path, known: Names, said: Callable[[str], None] = lambda _: None, **limits: Any) -> Recorder:
    """A recorder that tries again soon, and seals in its own process."""
    soon = {"flush_seconds": 0.02, "retry_seconds": 0.02, **limits}
    return Recorder(directory, known, Limits(**soon), said, lambda where, key, _: ignore(seal(where, key)))


def ignore(_: object) -> None:
    """What is returned is of no interest."""


class Gate:
    """Holds up whoever calls a function, for the length of a block."""

    def __init__(self, patch: pytest.MonkeyPatch, owner: object, name: str) -> None:
        self._arrived, self._open = Event(), Event()
        real = getattr(owner, name)

        def gated(*arguments: Any) -> Any:
            self._arrived.set()
            self._open.wait()
            return real(*arguments)

        patch.setattr(owner, name, gated)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.set()

    def reached(self) -> None:
        """Wait until somebody is held up."""
        assert self._arrived.wait(WAIT_SECONDS)
