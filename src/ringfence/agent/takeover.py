"""Taking over: the object that an earlier run left in the kernel, or a new one beside it.

Pins are named after the object's content, knobs and sizes. The same: its maps and programs are opened and its links
left as they are. Another: it is loaded beside the old one, filled whole, given the old one's connections, and each link
is swapped; then the old one's pins are removed. So at no time is a packet unjudged, or judged by an object half filled.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ringfence.abi import MAPS
from ringfence.agent.live import LiveKernel
from ringfence.agent.settings import AgentSettings
from ringfence.datapath.attach import Mechanism
from ringfence.datapath.bpf import program_info
from ringfence.datapath.bpffs import ensure_bpffs
from ringfence.datapath.features import jiffies_per_second, require
from ringfence.datapath.loader import (
    LoadedObject,
    is_pinned,
    load,
    object_bytes,
    open_pinned,
    pin_directory,
    unpin,
)
from ringfence.datapath.syscall import BpfMap, obj_get

_CONNTRACK = ("ct4", "ct6")
_SNAT = "snat"
_REVISION_PIN = "data_revision"


@dataclass(slots=True)
class Taken:
    """The kernel's side as an agent starts with it. `olds` are the pin directories of objects to be replaced."""

    kernel: LiveKernel
    directory: Path
    olds: list[Path]

    def replace(self) -> None:
        """The new object is filled: give it the connections and links of the old ones. Attaching swaps the links."""
        for old in self.olds:
            self._copy_connections(old)
            self._copy_translations(old)
            for link in sorted((old / "links").glob("*")):
                link.rename(self.directory / "links" / link.name)

    def remove_replaced(self) -> None:
        """Every link runs the new object's programs: the old ones are not needed any more."""
        for old in self.olds:
            unpin(old)
        self.olds.clear()

    def _copy_connections(self, old: Path) -> None:
        """Those of the same layout. Records are the old object's; a revision of before is judged anew in any case."""
        for name in _CONNTRACK:
            with ExitStack() as opened:
                try:
                    source = opened.enter_context(BpfMap(obj_get(old / "maps" / name), MAPS[name]))
                except (OSError, ValueError):
                    continue
                keys, entries = source.dump()
                entries["egress_record"] = entries["ingress_record"] = 0
                self.kernel.tracking.adopt(name, keys, entries)

    def _copy_translations(self, old: Path) -> None:
        """What leaves goes on under the port that it had."""
        with ExitStack() as opened:
            try:
                source = opened.enter_context(BpfMap(obj_get(old / "maps" / _SNAT), MAPS[_SNAT]))
            except (OSError, ValueError):
                return
            self.kernel.uplinks.adopt(*source.dump())


def take(settings: AgentSettings) -> Taken:
    """Open what is pinned, or load. Raises `Unavailable` for what the machine lacks."""
    require()
    ensure_bpffs()
    content = object_bytes()
    directory = pin_directory(settings.instance, _name(content, settings))
    olds = [path for path in directory.parent.glob("*") if path != directory] if directory.parent.is_dir() else []
    mechanism = Mechanism(settings.attach_by) if settings.attach_by else None
    knobs = {"jiffies_per_second": jiffies_per_second(), **settings.knobs}
    if is_pinned(directory):
        opened, whole = open_pinned(directory), _whole(olds)
        kernel = LiveKernel(opened, directory, mechanism, _programs(whole), knobs)
        kernel.set_events(settings.events)
        return Taken(kernel, directory, whole)
    unpin(directory)  # what a run left that was killed while pinning
    loaded = load(knobs, settings.sizes, content)
    whole = _whole(olds)
    _continue_revisions(loaded, whole)
    kernel = LiveKernel(loaded, directory, mechanism, _programs(whole), knobs)
    kernel.set_events(settings.events)
    loaded.pin(directory)
    return Taken(kernel, directory, whole)


def _name(content: bytes, settings: AgentSettings) -> str:
    """An object by its content and all that is fixed once it is loaded: with another size it is another object."""
    fixed = json.dumps([sorted(settings.knobs.items()), sorted(settings.sizes.items())])
    return hashlib.sha256(content + fixed.encode()).hexdigest()


def _programs(olds: list[Path]) -> frozenset[int]:
    """The numbers of the programs of earlier objects."""
    found = set()
    for pin in (pin for old in olds for pin in (old / "progs").glob("*")):
        program = obj_get(pin)
        found.add(program_info(program).id)
        os.close(program)
    return frozenset(found)


def _whole(olds: list[Path]) -> list[Path]:
    """The old objects that were pinned whole; the rest of them never judged a packet."""
    for path in [path for path in olds if not any((path / "progs").glob("*"))]:
        shutil.rmtree(path, ignore_errors=True)
    return [path for path in olds if path.is_dir()]


def _continue_revisions(loaded: LoadedObject, olds: list[Path]) -> None:
    """Go on behind the old revisions, so that no copied connection seems to be judged by a revision to come."""
    revisions = [_revision(path) for path in olds]
    loaded.maps[".data.revision"].mmap_array()["active_revision"][0] = max(revisions, default=0)


def _revision(old: Path) -> int:
    try:
        with BpfMap(obj_get(old / "maps" / _REVISION_PIN), MAPS[".data.revision"]) as opened:
            value = opened.lookup(np.uint32(0))
            return int(value["active_revision"])
    except (OSError, ValueError):
        return 0
