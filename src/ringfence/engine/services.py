"""The service table: what is desired of services, and the frontends that it comes to.

A service is looked at again when it, one of its slices, or what it depends on of this host has changed; only what
differs then is the difference that a commit makes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ringfence.errors import BadInput, NotFound
from ringfence.identity.prefixes import Address
from ringfence.labels import DEFAULT_NAMESPACE
from ringfence.policy.service_set import ServiceObject, ServiceSet
from ringfence.policy.services import EndpointSlice, Service
from ringfence.service.frontends import Member, Node, Rows, service_rows
from ringfence.service.maglev import DEFAULT_SIZE
from ringfence.service.row import Frontend, ServiceRow


class Services:
    """The rows that a set of services comes to, which is changed here only."""

    def __init__(self, known: ServiceSet, maglev_size: int = DEFAULT_SIZE) -> None:
        self._known = known
        self._rows: dict[str, Rows] = {}
        self._owner: dict[Frontend, str] = {}
        self._maglev_size = maglev_size
        self._node = Node(maglev_size=maglev_size)
        self._doubtful: set[str] = set()
        self._changed: dict[Frontend, None] = {}

    def __len__(self) -> int:
        return len(self._known)

    def services(self) -> list[Service]:
        """All services, by namespace and name."""
        return sorted(self._known, key=lambda each: each.path)

    @property
    def objects(self) -> list[ServiceObject]:
        """All services and all slices."""
        return self._known.objects

    def rows_of(self, service: Service) -> Mapping[Frontend, ServiceRow]:
        """The frontends of a service as they are wanted."""
        return self._rows.get(service.path, {})

    def slices_of(self, service: Service) -> list[EndpointSlice]:
        """The slices of a service."""
        return self._known.slices(service.path)

    def get(self, uid: str) -> ServiceObject | None:
        """The service or slice of a uid."""
        return self._known.get(uid)

    def find(self, name: str) -> str:
        """The uid of the service that people mean by `[NAMESPACE/]NAME`. Raises `NotFound`."""
        path = name.removeprefix("Service/")
        uid = f"Service/{path}" if "/" in path else f"Service/{DEFAULT_NAMESPACE}/{path}"
        if self.get(uid) is None:
            raise NotFound(f"no service is named {name!r}")
        return uid

    def with_slices(self, names: Iterable[str]) -> list[str]:
        """The uids of services that people mean, each followed by those of its slices. Raises `NotFound`."""
        uids = dict.fromkeys(map(self.find, names))
        for uid in list(uids):
            uids |= dict.fromkeys(each.uid for each in self._known.slices(uid.removeprefix("Service/")))
        return list(uids)

    def apply(self, objects: Sequence[ServiceObject]) -> None:
        """Take these in; one of the same uid is replaced. Raises `BadInput` with nothing changed."""
        before = {each.uid: self.get(each.uid) for each in objects}
        for each in objects:
            self._doubtful.update(self._known.put(each))
        try:
            self._settle()
        except BadInput:
            for uid, old in before.items():
                self._doubtful.update(self._known.take_away(uid))
                if old is not None:
                    self._doubtful.update(self._known.put(old))
            self._settle()
            raise

    def delete(self, uids: Iterable[str]) -> None:
        """Forget these."""
        for uid in uids:
            self._doubtful.update(self._known.take_away(uid))
        self._settle()

    def host_changed(self, addresses: Iterable[Address], members: Sequence[Member]) -> None:
        """What the host is now: its own addresses and its workloads."""
        local = frozenset(address for member in members for address in member.addresses)
        node = Node(frozenset(addresses), members, self._maglev_size, local)
        if node == self._node:
            return
        before, self._node = self._node, node
        for service in self._known:
            by_ports = any(port.node_port for port in service.ports) and before.addresses != node.addresses
            by_members = not self.slices_of(service) or service.inside_local or service.outside_local
            if by_ports or by_members:
                self._doubtful.add(service.path)
        self._settle()

    def wanted(self, frontend: Frontend) -> ServiceRow | None:
        """What a frontend is to lead to, None for nothing."""
        owner = self._owner.get(frontend)
        return self._rows[owner][frontend] if owner is not None else None

    def take_changes(self) -> list[Frontend]:
        """The frontends that may have become different since this was last asked."""
        changed, self._changed = list(self._changed), {}
        return changed

    def _settle(self) -> None:
        """Bring the rows up to date. Raises `BadInput` where two services want one frontend."""
        doubtful, self._doubtful = self._doubtful, set()
        fresh = {path: self._rows_for(path) for path in sorted(doubtful)}
        for path in fresh:
            for frontend in self._rows.pop(path, {}):
                self._owner.pop(frontend, None)
                self._changed[frontend] = None
        for path, rows in fresh.items():
            for frontend in rows:
                other = self._owner.setdefault(frontend, path)
                if other != path:
                    for each in rows:
                        if self._owner.get(each) == path:
                            del self._owner[each]
                    self._doubtful |= doubtful
                    raise BadInput(_taken(frontend, path, other))
                self._changed[frontend] = None
            self._rows[path] = rows

    def _rows_for(self, path: str) -> Rows:
        service = self._known.service(path)
        return service_rows(service, self._known.slices(path), self._node) if service else {}


def _taken(frontend: Frontend, path: str, other: str) -> str:
    what = f"port {frontend.port}" if frontend.port else "address"
    return f"service {path}: {what} of {frontend.address} is that of service {other} already"
