"""Uplinks: the interfaces by which this host is reached, found by name when they come, with the prefilter on each."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import structlog

from ringfence.agent.kernel import Prefilter
from ringfence.api.prefilter_shapes import UplinkShape
from ringfence.errors import RingfenceError

_log = structlog.get_logger()


class Uplinks:
    """The interfaces of some names in the agent's network namespace. To be used by one thread."""

    def __init__(self, names: Sequence[str], prefilter: Prefilter) -> None:
        self._names = list(dict.fromkeys(names))
        self._prefilter = prefilter
        self._shapes: dict[str, UplinkShape] = {}

    def shapes(self) -> list[UplinkShape]:
        """Each as it was found last."""
        return list(self._shapes.values())

    def look(self) -> None:
        """Have the program on those that are there, and on no other interface."""
        there = {name: index for index, name in socket.if_nameindex()}
        wanted = {there[name] for name in self._names if name in there}
        for ifindex in set(self._prefilter.guarded()) - wanted:
            self._prefilter.unguard(ifindex)
        for name in self._names:
            shape = self._guard(name, there.get(name, 0))
            before = self._shapes.get(name)
            if shape != before:
                self._shapes[name] = shape
                self._tell(shape)

    def _guard(self, name: str, ifindex: int) -> UplinkShape:
        if not ifindex:
            return {"name": name, "ifindex": 0, "mode": None, "problem": "there is no such interface"}
        try:
            return {"name": name, "ifindex": ifindex, "mode": self._prefilter.guard(ifindex), "problem": None}
        except (RingfenceError, OSError) as error:
            return {"name": name, "ifindex": ifindex, "mode": None, "problem": str(error)}

    def _tell(self, shape: UplinkShape) -> None:
        if shape["problem"]:
            _log.warning("uplink_not_guarded", uplink=shape["name"], because=shape["problem"])
        else:
            _log.info("uplink_guarded", uplink=shape["name"], ifindex=shape["ifindex"], xdp=shape["mode"])
