"""Programs at the clsact hooks of an interface: for kernels without tcx (before 6.6).

A filter of ours has a handle of its own at preference 1 and carries its program's name: replacing it is one atomic
message, and filters of others stay as they are.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from ringfence.datapath.links import Hook
from ringfence.datapath.netlink import CREATE, EXCLUSIVE, REPLACE, Message, Netlink, attribute, attributes, nested

# linux/rtnetlink.h, pkt_sched.h, pkt_cls.h
_TC: Final = struct.Struct("<BxxxiIII")
_NEWQDISC, _DELQDISC, _GETQDISC, _NEWFILTER, _DELFILTER, _GETFILTER = 36, 37, 38, 44, 45, 46
_TCA_KIND, _TCA_OPTIONS = 1, 2
_TCA_BPF_FD, _TCA_BPF_NAME, _TCA_BPF_FLAGS, _TCA_BPF_ID = 6, 7, 8, 11
_CLSACT, _CLSACT_PARENT, _CLSACT_HANDLE = "clsact", 0xFFFFFFF1, 0xFFFF0000
_PARENT: Final = {Hook.INGRESS: 0xFFFFFFF2, Hook.EGRESS: 0xFFFFFFF3}
_DIRECT_ACTION: Final = 1

_HANDLE: Final = 0x5246  # nobody else's: a filter of another tool at the same preference is not replaced
_PLACE: Final = 1 << 16 | 0x0300  # preference 1; ETH_P_ALL in wire order
_NONE: Final = frozenset({errno.ENODEV, errno.EINVAL, errno.ENOENT})


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter as the kernel lists it; only those of kind bpf have a name and a program."""

    kind: str
    name: str
    program_id: int
    direct_action: bool


def ensure(program: int, name: str, ifindex: int, hook: Hook) -> None:
    """Have a program at a hook, in direct-action mode. Raises OSError."""
    with Netlink() as netlink:
        if ifindex not in _interfaces(netlink):
            body = _TC.pack(0, ifindex, _CLSACT_HANDLE, _CLSACT_PARENT, 0) + attribute(_TCA_KIND, _CLSACT)
            netlink.tell(_NEWQDISC, CREATE | EXCLUSIVE, body)
        options = nested(
            _TCA_OPTIONS,
            attribute(_TCA_BPF_FD, program),
            attribute(_TCA_BPF_NAME, name),
            attribute(_TCA_BPF_FLAGS, _DIRECT_ACTION),
        )
        netlink.tell(_NEWFILTER, CREATE | REPLACE, _place(ifindex, hook) + attribute(_TCA_KIND, "bpf") + options)


def _place(ifindex: int, hook: Hook) -> bytes:
    return _TC.pack(0, ifindex, _HANDLE, _PARENT[hook], _PLACE)


def remove(names: frozenset[str], ifindex: int) -> None:
    """Take the filters of these names off, and the qdisc with the last of them when nothing else uses it.

    Where none of ours was, the qdisc is somebody else's and stays, with whatever kind of filters it has.
    """
    with Netlink() as netlink:
        if ifindex not in _interfaces(netlink):
            return
        ours = [hook for hook in Hook if any(found.name in names for found in _filters(netlink, ifindex, hook))]
        for hook in ours:
            netlink.tell(_DELFILTER, 0, _place(ifindex, hook) + attribute(_TCA_KIND, "bpf"))
        if ours and not any(_chain(netlink, ifindex, hook) for hook in Hook):
            netlink.tell(_DELQDISC, 0, _TC.pack(0, ifindex, _CLSACT_HANDLE, _CLSACT_PARENT, 0))


def listed(ifindex: int, hook: Hook) -> list[Filter]:
    """The bpf filters at a hook. An interface that is gone, or has no clsact, has none."""
    with Netlink() as netlink:
        return _filters(netlink, ifindex, hook)


def chain(ifindex: int, hook: Hook) -> list[Filter]:
    """As `listed`, but the filters of all kinds, in the order in which they run."""
    with Netlink() as netlink:
        return _chain(netlink, ifindex, hook)


def holders(programs: Collection[int]) -> set[int]:
    """The interfaces here that run one of these programs, by their numbers."""
    with Netlink() as netlink:
        return {
            ifindex
            for ifindex in _interfaces(netlink)
            if any(found.program_id in programs for hook in Hook for found in _filters(netlink, ifindex, hook))
        }


def _filters(netlink: Netlink, ifindex: int, hook: Hook) -> list[Filter]:
    return [found for found in _chain(netlink, ifindex, hook) if found.kind == "bpf"]


def _chain(netlink: Netlink, ifindex: int, hook: Hook) -> list[Filter]:
    try:
        messages = netlink.dump(_GETFILTER, _TC.pack(0, ifindex, 0, _PARENT[hook], 0), _TC.size)
    except OSError as error:
        if error.errno in _NONE:
            return []
        raise
    return list(_read(messages))


def _read(messages: list[Message]) -> Iterator[Filter]:
    """Those that do something: a dump begins each preference with a filter that has no options."""
    for message in messages:
        if _TCA_OPTIONS not in message.attributes:
            continue
        kind = message.text(_TCA_KIND)
        if kind != "bpf":
            yield Filter(kind, "", 0, direct_action=False)
        else:
            options = Message(0, b"", attributes(message.attributes[_TCA_OPTIONS]))
            flags = options.number(_TCA_BPF_FLAGS) or 0
            number = options.number(_TCA_BPF_ID) or 0
            yield Filter(kind, options.text(_TCA_BPF_NAME), number, bool(flags & _DIRECT_ACTION))


def _interfaces(netlink: Netlink) -> set[int]:
    """Those that have the clsact qdisc."""
    found = netlink.dump(_GETQDISC, bytes(_TC.size), _TC.size)
    return {_TC.unpack(each.head)[1] for each in found if each.text(_TCA_KIND) == _CLSACT}
