"""Rows of the endpoints array: where the workloads of this host are and how packets get to them.

A row is filled before a commit names it in the ipcache, and emptied once no active revision does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ringfence.abi import Delivery
from ringfence.datapath.syscall import BpfMap
from ringfence.engine.commands import WriteEndpoint


class EndpointTable:
    """`endpoints` and `interfaces`, which finds a row by interface."""

    def __init__(self, maps: dict[str, BpfMap]) -> None:
        self._rows: Any = maps["endpoints"].mmap_array()
        self._interfaces = maps["interfaces"]

    def write(self, endpoint: WriteEndpoint, delivery: Delivery = Delivery.STACK) -> None:
        """Fill a row; the interface index is stored last, since it makes the row live."""
        row = self._rows[endpoint.row]
        previous = int(row["ifindex"])
        if previous and previous != endpoint.ifindex:
            self._interfaces.delete(previous)
        row["id"] = endpoint.id
        row["mac"] = np.frombuffer(endpoint.mac, np.uint8)
        row["host_mac"] = np.frombuffer(endpoint.host_mac, np.uint8)
        row["delivery"] = delivery
        row["aggregation"] = endpoint.aggregation
        self._interfaces.update(endpoint.ifindex, endpoint.row)
        row["ifindex"] = endpoint.ifindex

    def set_delivery(self, row: int, delivery: Delivery) -> None:
        """Change how packets reach a live endpoint: from the next packet on."""
        self._rows[row]["delivery"] = delivery

    def clear(self, row: int) -> None:
        """Take the interface from a row: packets for it are dropped with a reason of their own."""
        ifindex = int(self._rows[row]["ifindex"])
        self._rows[row]["ifindex"] = 0
        if ifindex:
            self._interfaces.delete(ifindex)

    def interface(self, row: int) -> int:
        """The interface of a row, 0 if it is not live."""
        return int(self._rows[row]["ifindex"])

    def live(self) -> dict[int, int]:
        """Row -> interface index of every live row."""
        rows = np.flatnonzero(self._rows["ifindex"])
        return {int(row): int(self._rows[row]["ifindex"]) for row in rows}
