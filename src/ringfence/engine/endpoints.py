"""The endpoint table: the managed workloads by name, each with its row of the `endpoints` array and its identity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ringfence.engine.commands import WriteEndpoint
from ringfence.engine.events import Address, Workload
from ringfence.engine.numbers import LAST_ENDPOINT, RoundRobin
from ringfence.errors import NotFound, RingfenceError
from ringfence.identity.prefixes import Network, host_network


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A managed workload. `row` is its number for people too."""

    row: int
    identity: int
    workload: Workload

    @property
    def command(self) -> WriteEndpoint:
        """What fills its row."""
        workload = self.workload
        place = self.row, self.row, workload.ifindex
        return WriteEndpoint(*place, workload.mac, workload.host_mac, workload.aggregation)

    @property
    def networks(self) -> list[Network]:
        """Its addresses as prefixes."""
        return [host_network(address) for address in self.workload.addresses]


class Endpoints:
    """All endpoints. A row that is let go is free again only after `settle`, when no active revision names it."""

    def __init__(self) -> None:
        self._by_name: dict[str, Endpoint] = {}
        self._name_at: dict[Network, str] = {}
        self._name_of_interface: dict[int, str] = {}
        self._name_of_row: dict[int, str] = {}
        self._rows = RoundRobin(LAST_ENDPOINT, "endpoints")
        self._leaving: dict[str, int] = {}

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def get(self, name: str) -> Endpoint | None:
        """The endpoint of that name."""
        return self._by_name.get(name)

    def __getitem__(self, name: str) -> Endpoint:
        """Raises `NotFound`."""
        found = self._by_name.get(name)
        if found is None:
            raise NotFound(f"no endpoint is named {name!r}")
        return found

    def row_at(self, network: Network) -> int:
        """The row of the endpoint with this address, 0 if there is none."""
        name = self._name_at.get(network)
        return self._by_name[name].row if name is not None else 0

    def name_of(self, row: int) -> str | None:
        """Who has this row, or had it last."""
        return self._name_of_row.get(row)

    def addresses(self, row: int) -> tuple[Address, ...]:
        """The addresses of the endpoint in a row; none if it is free."""
        endpoint = self._by_name.get(self._name_of_row.get(row, ""))
        return endpoint.workload.addresses if endpoint and endpoint.row == row else ()

    def check(self, workload: Workload) -> None:
        """Raises `RingfenceError` when another endpoint has one of the workload's addresses or its interface."""
        owner = self._name_of_interface.get(workload.ifindex, workload.name)
        if owner != workload.name:
            raise RingfenceError(f"interface {workload.ifindex} belongs to endpoint {owner!r} already")
        for address in workload.addresses:
            owner = self._name_at.get(host_network(address), workload.name)
            if owner != workload.name:
                raise RingfenceError(f"address {address} belongs to endpoint {owner!r} already")

    def row_for(self, name: str) -> int:
        """The row an endpoint has, has just let go, or will have. Raises `RingfenceError` when all are in use."""
        known = self._by_name.get(name)
        if known is not None:
            return known.row
        leaving = self._leaving.pop(name, None)
        return self._rows.take() if leaving is None else leaving

    def restore(self, name: str, row: int) -> None:
        """Keep a row for an endpoint of an earlier run that is about to be put."""
        self._rows.claim(row)
        self._leaving[name] = row

    def put(self, endpoint: Endpoint) -> None:
        """Take an endpoint in, or what has changed of it."""
        name = endpoint.workload.name
        self._unlist(name)
        self._by_name[name] = endpoint
        self._name_of_row[endpoint.row] = name
        if endpoint.workload.ifindex:
            self._name_of_interface[endpoint.workload.ifindex] = name
        for network in endpoint.networks:
            self._name_at[network] = name

    def remove(self, name: str) -> None:
        """Let an endpoint and its row go."""
        self._unlist(name)
        self._leaving[name] = self._by_name.pop(name).row

    def settle(self) -> None:
        """No active revision names the rows that were let go."""
        for row in self._leaving.values():
            self._rows.free(row)
        self._leaving.clear()

    def _unlist(self, name: str) -> None:
        known = self._by_name.get(name)
        if known is not None:
            self._name_of_interface.pop(known.workload.ifindex, None)
            for network in known.networks:
                del self._name_at[network]
