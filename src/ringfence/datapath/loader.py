"""The loaded object: its programs and maps by name, whether just loaded or taken over from where it was pinned.

Pins lie under <bpffs>/ringfence/<instance>/<digest12>/{maps,progs,links}; a name in a bpffs has no dots, so the section
`.data.revision` is pinned as `data_revision`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import numpy as np

from ringfence.abi import DIGEST, MAPS
from ringfence.abi.layout import Layout, read_layout
from ringfence.datapath import rings
from ringfence.datapath.bpf import possible_cpus
from ringfence.datapath.libbpf import BpfObject
from ringfence.datapath.syscall import BpfMap, obj_get, obj_pin
from ringfence.errors import Unavailable

OBJECT: Final = Path(__file__).parent / "policy.bpf.o"
PIN_ROOT: Final = Path("/sys/fs/bpf/ringfence")


def pin_directory(instance: str, digest: str = DIGEST) -> Path:
    """Where an instance's objects of one ABI are pinned. Raises ValueError for a name that a bpffs cannot have."""
    if not instance or {".", "/"} & set(instance):
        raise ValueError(f"instance {instance!r}: a name in a bpffs has no dot and no slash")
    return PIN_ROOT / instance / digest[:12]


def _pin_name(map_name: str) -> str:
    return map_name.lstrip(".").replace(".", "_")


@dataclass(slots=True)
class LoadedObject:
    """Programs (descriptors) and maps by name, and the event ring of each CPU. It owns all of them."""

    programs: dict[str, int] = field(default_factory=dict)
    maps: dict[str, BpfMap] = field(default_factory=dict)
    rings: list[BpfMap] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Give all descriptors back; what is pinned or attached stays in the kernel."""
        for fd in self.programs.values():
            os.close(fd)
        for bpf_map in (*self.maps.values(), *self.rings):
            bpf_map.close()
        self.programs.clear()
        self.maps.clear()
        self.rings.clear()

    def pin(self, directory: Path) -> None:
        """Pin everything. Raises FileExistsError where something is pinned already."""
        for name in ("maps", "progs"):
            (directory / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, bpf_map in self.maps.items():
            obj_pin(bpf_map.fd, directory / "maps" / _pin_name(name))
        for name, fd in self.programs.items():
            obj_pin(fd, directory / "progs" / name)
        # Last: a directory for links is the sign that the object is pinned whole.
        (directory / "links").mkdir(exist_ok=True, mode=0o700)


def object_bytes() -> bytes:
    """The compiled object as installed. Raises `Unavailable` when it was not built."""
    try:
        return OBJECT.read_bytes()
    except FileNotFoundError as error:
        raise Unavailable(f"the BPF object {OBJECT.name} was not built: run make setup") from error


def load(knobs: Mapping[str, int], sizes: Mapping[str, int], data: bytes | None = None) -> LoadedObject:
    """Load the object with these knobs (`abi.KNOBS`) and map sizes (max_entries; of `events` the bytes of each ring).

    Raises `Unavailable` when the object's layout is not that of `ringfence.abi`, or the kernel refuses it.
    """
    content = object_bytes() if data is None else data
    layout = read_layout(content)
    if layout.digest != DIGEST:
        raise Unavailable(f"the BPF object has layout {layout.digest[:12]}, expected {DIGEST[:12]}: run make setup")
    with BpfObject(content, "ringfence") as opened:
        opened.set_sizes({name: size for name, size in sizes.items() if name != rings.OUTER})
        opened.set_sizes({rings.OUTER: possible_cpus()})
        _set_knobs(opened.read_only_data(), layout, knobs)
        opened.load()
        return _take(opened, sizes.get(rings.OUTER) or rings.default_size())


def _set_knobs(data: memoryview, layout: Layout, knobs: Mapping[str, int]) -> None:
    for name, value in knobs.items():
        if name not in layout.knobs:
            raise ValueError(f"no knob {name} in the object")
        text = np.array([value], layout.knobs[name].dtype).tobytes()
        offset = layout.knob_offsets[name]
        data[offset : offset + len(text)] = text


def _take(opened: BpfObject, ring_bytes: int) -> LoadedObject:
    with ExitStack() as on_failure:
        taken = LoadedObject()
        on_failure.callback(taken.close)
        for name, fd in opened.programs().items():
            taken.programs[name] = os.dup(fd)
        for name, fd in opened.maps().items():
            if name in MAPS:  # .rodata is not ours to touch
                taken.maps[name] = BpfMap(os.dup(fd), MAPS[name])
        taken.rings += rings.make(taken.maps[rings.OUTER], ring_bytes)
        taken.maps[".data.events"].mmap_array()["wake_up_mask"][0] = rings.wake_up_mask(ring_bytes)
        on_failure.pop_all()
    return taken


def is_pinned(directory: Path) -> bool:
    """Whether an object is pinned there whole: a run that was killed while pinning leaves none."""
    return (directory / "links").is_dir()


def open_pinned(directory: Path) -> LoadedObject:
    """Take over what is pinned. Raises FileNotFoundError for a missing map, ValueError for one of another layout."""
    with ExitStack() as on_failure:
        taken = LoadedObject()
        on_failure.callback(taken.close)
        for name, spec in MAPS.items():
            taken.maps[name] = BpfMap(obj_get(directory / "maps" / _pin_name(name)), spec)
        for path in sorted((directory / "progs").iterdir()):
            taken.programs[path.name] = obj_get(path)
        taken.rings += rings.held_by(taken.maps[rings.OUTER])
        on_failure.pop_all()
    return taken


def unpin(directory: Path) -> None:
    """Remove every pin under a directory: links are detached, maps and programs end with their last user."""
    for name in ("links", "progs", "maps"):
        for path in sorted((directory / name).glob("*")):
            path.unlink()
        if (directory / name).is_dir():
            (directory / name).rmdir()
    # The instance's directory and the one of all instances go with the last pin in them.
    for emptied in (directory, directory.parent, PIN_ROOT):
        if emptied.is_dir() and not any(emptied.iterdir()):
            emptied.rmdir()
