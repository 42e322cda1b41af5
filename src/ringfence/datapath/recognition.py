"""Recognition: whether an interface here is the one that was remembered, or another one that has come in its place.

An index is given out again, and so is a MAC address; the cookie of the workload's namespace is not. Where nobody can
say any more what that namespace is called, our own program on the interface is the proof: a new one has none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ringfence.datapath.interfaces import links, namespace_number
from ringfence.datapath.netlink import Netlink
from ringfence.datapath.netns import namespace_cookie, namespace_path
from ringfence.errors import RingfenceError


class Remembered(NamedTuple):
    """What is known of an endpoint's interface: its namespace by name and cookie (0: unknown), and the host side."""

    netns: str
    cookie: int
    ifindex: int
    host_mac: bytes


class Recognition:
    """The interfaces here as they are at construction. `carries` says which of them run a program of ours."""

    def __init__(self, carries: Callable[[int], bool]) -> None:
        self._there = {link.index: link for link in links()}
        self._carries = carries

    def knows(self, remembered: Remembered) -> bool:
        """Whether that interface is still there."""
        link = self._there.get(remembered.ifindex)
        if link is None or link.mac != remembered.host_mac:
            return False
        try:
            path = namespace_path(remembered.netns)
            cookie = namespace_cookie(path)
            with Netlink() as netlink:
                number = namespace_number(netlink, path)
        except (RingfenceError, OSError):
            return self._carries(remembered.ifindex)
        if not remembered.cookie:
            return self._carries(remembered.ifindex) and link.peer_namespace == number
        return (cookie, number) == (remembered.cookie, link.peer_namespace)
