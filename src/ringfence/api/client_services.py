"""The caller's side of the routes about services."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from ringfence.api import shapes
    from ringfence.api.client_bpf import Query
    from ringfence.api.service_shapes import BalancingShape, ServiceShape


class ServiceCalls(ABC):
    """One method a route; each raises `RingfenceError`: what the agent refused and why."""

    @abstractmethod
    def _call(self, method: str, path: str, *, query: Query | None = None, body: object = None) -> object: ...

    def services(self) -> list[ServiceShape]:
        """All services, by namespace and name. They are added like policies, by `apply_policies`."""
        return cast("list[ServiceShape]", self._call("GET", "/v1/services"))

    def delete_services(self, names: Sequence[str]) -> shapes.Applied:
        """Forget services, each with its slices, all in one commit."""
        return cast("shapes.Applied", self._call("DELETE", "/v1/services", body={"names": list(names)}))

    def balancing(self) -> BalancingShape:
        """Frontends and backends as the kernel has them."""
        return cast("BalancingShape", self._call("GET", "/v1/bpf/lb"))
