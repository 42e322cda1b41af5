"""Uplinks: the interfaces by which this host is reached, found by name when they come, each with the prefilter at XDP
and the programs that lead services from outside to backends and translate what endpoints send to the world.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

import structlog

from ringfence.agent.kernel import Prefilter, UplinkSide
from ringfence.api.prefilter_shapes import UplinkShape
from ringfence.errors import RingfenceError

_log = structlog.get_logger()


class Uplinks:
    """The interfaces of some names in the agent's network namespace. To be used by one thread.

    `snat`: endpoints are seen in the world by the uplink's addresses.
    """

    def __init__(self, names: Sequence[str], prefilter: Prefilter, side: UplinkSide, *, snat: bool = False) -> None:
        self._names = list(dict.fromkeys(names))
        self._prefilter = prefilter
        self._side = side
        self._snat = snat
        self._shapes: dict[str, UplinkShape] = {}

    def shapes(self) -> list[UplinkShape]:
        """Each as it was found last."""
        return list(self._shapes.values())

    def there(self) -> dict[str, int]:
        """The indexes of those that are there, by name."""
        known = {name: index for index, name in socket.if_nameindex()}
        return {name: known[name] for name in self._names if name in known}

    def look(self) -> None:
        """Have the programs on those that are there, and on no other interface."""
        there = self.there()
        for ifindex in set(self._prefilter.guarded()) - set(there.values()):
            self._prefilter.unguard(ifindex)
        for ifindex in set(self._side.attached()) - set(there.values()):
            self._side.detach(ifindex)
        for name in self._names:
            shape = self._hold(name, there.get(name, 0))
            if shape != self._shapes.get(name):
                self._shapes[name] = shape
                self._tell(shape)

    def _hold(self, name: str, ifindex: int) -> UplinkShape:
        shape: UplinkShape = {
            "name": name,
            "ifindex": ifindex,
            "mode": None,
            "mechanism": None,
            "seen_by": [],
            "problem": None,
        }
        if not ifindex:
            return {**shape, "problem": "there is no such interface"}
        problems = []
        try:
            seen_by = self._side.addresses(ifindex) if self._snat else []
            shape["mechanism"] = self._side.attach(ifindex, seen_by)
            shape["seen_by"] = [str(each) for each in seen_by]
        except (RingfenceError, OSError) as error:
            problems.append(str(error))
        try:
            shape["mode"] = self._prefilter.guard(ifindex)
        except (RingfenceError, OSError) as error:
            problems.append(str(error))
        return {**shape, "problem": "; ".join(problems) or None}

    def _tell(self, shape: UplinkShape) -> None:
        if shape["problem"]:
            _log.warning("uplink_not_guarded", uplink=shape["name"], because=shape["problem"])
            return
        seen_by = {"seen_by": shape["seen_by"]} if self._snat else {}
        how = {"xdp": shape["mode"], "tc": shape["mechanism"]}
        _log.info("uplink_guarded", uplink=shape["name"], ifindex=shape["ifindex"], **how, **seen_by)
