"""Programs at the clsact hooks of an interface: for kernels without tcx (before 6.6).

A filter of ours has a handle of its own at preference 1 and carries its program's name: replacing it is one atomic
message, and filters of others stay as they are.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Any, Final

from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl.tcmsg import sched_bpf

from ringfence.datapath.links import Hook
from ringfence.datapath.netlink import ask

_PARENT: Final = {Hook.INGRESS: 0xFFFFFFF2, Hook.EGRESS: 0xFFFFFFF3}
_ETH_P_ALL: Final = 3
_DIRECT_ACTION: Final = 1
_HANDLE: Final = 0x5246  # nobody else's: a filter of another tool at the same preference is not replaced
_PREFERENCE: Final = 1

# pyroute2 knows the attributes up to TCA_BPF_FLAGS; the program's number, which proves what is attached, is the 12th.
_LATER: Final = (("TCA_BPF_FLAGS_GEN", "uint32"), ("TCA_BPF_TAG", "hex"), ("TCA_BPF_ID", "uint32"))
if _LATER[2] not in sched_bpf.options.nla_map:
    sched_bpf.options.nla_map = (*sched_bpf.options.nla_map, *_LATER)


@dataclass(frozen=True, slots=True)
class Filter:
    """A bpf filter as the kernel lists it."""

    name: str
    program_id: int
    direct_action: bool


def ensure(program: int, name: str, ifindex: int, hook: Hook) -> None:
    """Have a program at a hook, in direct-action mode. Raises NetlinkError."""
    ask(lambda route: _replace(route, program, name, ifindex, hook))


def _replace(route: Any, program: int, name: str, ifindex: int, hook: Hook) -> None:
    if not _has_clsact(route, ifindex):
        route.tc("add", "clsact", ifindex)
    place = {"parent": _PARENT[hook], "handle": _HANDLE, "prio": _PREFERENCE, "protocol": _ETH_P_ALL}
    route.tc("replace-filter", "bpf", ifindex, fd=program, name=name, direct_action=True, **place)


def remove(names: frozenset[str], ifindex: int) -> None:
    """Take the filters of these names off, and the qdisc with them when nothing else uses it."""
    ask(lambda route: _remove(route, names, ifindex))


def _remove(route: Any, names: frozenset[str], ifindex: int) -> None:
    if not _has_clsact(route, ifindex):
        return
    for hook in Hook:
        for found in _filters(route, ifindex, hook):
            if found.name in names:
                route.tc("del-filter", "bpf", ifindex, parent=_PARENT[hook], handle=_HANDLE, prio=_PREFERENCE)
    if not any(_filters(route, ifindex, hook) for hook in Hook):
        route.tc("del", "clsact", ifindex)


def listed(ifindex: int, hook: Hook) -> list[Filter]:
    """The bpf filters at a hook. An interface that is gone, or has no clsact, has none."""
    return ask(lambda route: _filters(route, ifindex, hook))


def _filters(route: Any, ifindex: int, hook: Hook) -> list[Filter]:
    try:
        messages = list(route.get_filters(index=ifindex, parent=_PARENT[hook]))
    except NetlinkError as error:
        if error.code in (errno.ENODEV, errno.EINVAL, errno.ENOENT):
            return []
        raise
    options = [message.get_attr("TCA_OPTIONS") for message in messages if message.get_attr("TCA_KIND") == "bpf"]
    return [_filter(found) for found in options if found is not None]


def _filter(options: Any) -> Filter:
    flags = options.get_attr("TCA_BPF_FLAGS") or 0
    return Filter(
        options.get_attr("TCA_BPF_NAME") or "",
        options.get_attr("TCA_BPF_ID") or 0,
        bool(flags & _DIRECT_ACTION),
    )


def _has_clsact(route: Any, ifindex: int) -> bool:
    return any(q.get_attr("TCA_KIND") == "clsact" for q in route.get_qdiscs(index=ifindex))
