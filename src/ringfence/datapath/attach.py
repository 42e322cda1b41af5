"""Both programs on an interface, an endpoint's host side or an uplink: put there, taken off, listed by the kernel.

The host side's egress is where packets go to the endpoint. That hook comes first, so that nothing an endpoint sends
can be answered past an unjudged hook. Interfaces are those of the calling thread's network namespace.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from ringfence.datapath import clsact, links
from ringfence.datapath.bpf import program_info
from ringfence.datapath.features import has_tcx
from ringfence.datapath.links import Hook
from ringfence.datapath.loader import LoadedObject
from ringfence.errors import NotFound, RingfenceError, Unavailable

Programs = Mapping[Hook, str]
# In the order of attaching.
PROGRAMS: Final = {Hook.EGRESS: "to_endpoint", Hook.INGRESS: "from_endpoint"}
#: At an uplink: what leaves is translated before answers can come.
AT_UPLINK: Final = {Hook.EGRESS: "to_uplink", Hook.INGRESS: "from_uplink"}
_EITHER: Final = frozenset({*PROGRAMS.values(), *AT_UPLINK.values()})


class Mechanism(StrEnum):
    """How a program is held at its hook."""

    TCX = "tcx"
    CLSACT = "clsact"


@dataclass(frozen=True, slots=True)
class Attached:
    """A program that the kernel runs at a hook of an interface."""

    hook: Hook
    mechanism: Mechanism
    program_id: int


def pin_path(directory: Path, ifindex: int, hook: Hook) -> Path:
    """Where the link at a hook is pinned, under an object's pin directory."""
    return directory / "links" / f"{ifindex}-{hook.name.lower()}"


def attach(
    loaded: LoadedObject,
    ifindex: int,
    directory: Path,
    mechanism: Mechanism | None = None,
    programs: Programs = PROGRAMS,
) -> Mechanism:
    """Have both programs of this object, and no other of ours, on an interface; the default mechanism is the best.

    A program of an earlier object is swapped without a packet unjudged. `directory` is the object's pin directory.
    Raises `NotFound` when the interface is gone, `Unavailable` when the kernel refuses.
    """
    chosen = mechanism or (Mechanism.TCX if has_tcx() else Mechanism.CLSACT)
    try:
        for hook, name in programs.items():
            if chosen is Mechanism.TCX:
                links.ensure(loaded.programs[name], ifindex, hook, pin_path(directory, ifindex, hook))
            else:
                clsact.ensure(loaded.programs[name], name, ifindex, hook)
        # Only once the new ones judge: what an attach by the other mechanism left there.
        _remove(ifindex, directory, Mechanism.CLSACT if chosen is Mechanism.TCX else Mechanism.TCX)
    except OSError as error:
        raise _failed(error, ifindex, chosen) from error
    _verify(loaded, ifindex, chosen, programs)
    return chosen


def detach(ifindex: int, directory: Path) -> None:
    """Take our programs off, however they were attached. An interface that is gone leaves only pins to remove."""
    for mechanism in Mechanism:
        _remove(ifindex, directory, mechanism)


def _remove(ifindex: int, directory: Path, mechanism: Mechanism) -> None:
    if mechanism is Mechanism.TCX:
        for hook in PROGRAMS:
            links.remove(ifindex, hook, pin_path(directory, ifindex, hook))
    else:
        clsact.remove(_EITHER, ifindex)


def query(ifindex: int) -> tuple[Attached, ...]:
    """All programs at both hooks, whoever put them there, asked of the kernel and never inferred from pins."""
    found = []
    for hook in PROGRAMS:
        found += [Attached(hook, Mechanism.TCX, item.program_id) for item in links.listed(ifindex, hook)]
        filters = [item for item in clsact.listed(ifindex, hook) if item.direct_action]
        found += [Attached(hook, Mechanism.CLSACT, item.program_id) for item in filters]
    return tuple(found)


def programs_ok(loaded: LoadedObject, ifindex: int, programs: Programs = PROGRAMS) -> bool:
    """Whether both programs of this object are on the interface, each once."""
    found = sorted((item.hook, item.program_id) for item in query(ifindex))
    ours = {program_info(program).id for name, program in loaded.programs.items() if name in _EITHER}
    wanted = sorted((hook, program_info(loaded.programs[name]).id) for hook, name in programs.items())
    return [item for item in found if item[1] in ours] == wanted


def _verify(loaded: LoadedObject, ifindex: int, mechanism: Mechanism, programs: Programs) -> None:
    if not programs_ok(loaded, ifindex, programs):
        raise RingfenceError(f"interface {ifindex}: attached by {mechanism}, but the kernel lists {query(ifindex)}")


def _failed(error: OSError, ifindex: int, mechanism: Mechanism) -> RingfenceError:
    if error.errno == errno.ENODEV:
        return NotFound(f"interface {ifindex} is gone")
    return Unavailable(f"cannot attach to interface {ifindex} by {mechanism}: {error}")
