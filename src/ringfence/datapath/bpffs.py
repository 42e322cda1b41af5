"""The file system where BPF objects are pinned: mounted where it is not, refused where pins would die with us.

Inside a mount namespace of one's own (as `ip netns exec` makes) a bpffs is another one than the host's: what is pinned
there is lost with the namespace, and enforcement with it.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final

from ringfence.errors import Unavailable

BPFFS: Final = Path("/sys/fs/bpf")
_FIRST_PROCESS: Final = Path("/proc/1/mountinfo")
_OURS: Final = Path("/proc/self/mountinfo")


def _mounts(table: Path) -> dict[str, tuple[str, str, str]]:
    """Mount point to (mount number, device, file system), the topmost mount of each; from proc(5)'s mountinfo."""
    mounts = {}
    for line in table.read_text().splitlines():
        fields = line.split()
        mounts[fields[4]] = (fields[0], fields[2], fields[fields.index("-") + 1])
    return mounts


def ensure_bpffs() -> Path:
    """Have a bpffs of the first process's mount namespace and return its path. Raises `Unavailable`."""
    ours, first = _mounts(_OURS), _mounts(_FIRST_PROCESS)
    # Mount numbers are unique over all namespaces.
    if ours["/"][0] == first["/"][0]:
        if ours.get(str(BPFFS), ("", "", ""))[2] != "bpf":
            _mount()
    elif str(BPFFS) not in ours or ours[str(BPFFS)][1:] != first.get(str(BPFFS), ("", "", ""))[1:]:
        raise Unavailable(f"{BPFFS} is not that of the host: enter namespaces with nsenter --net, not ip netns exec")
    return BPFFS


def _mount() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"bpf", os.fsencode(BPFFS), b"bpf", 0, b"mode=0700"):
        reason = os.strerror(ctypes.get_errno())
        raise Unavailable(f"cannot mount a bpffs at {BPFFS}: {reason}; as root: mount -t bpf bpf {BPFFS}")
