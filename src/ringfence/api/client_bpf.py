"""The caller's side of the routes about the kernel's maps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, cast
from urllib.parse import quote

if TYPE_CHECKING:
    from ringfence.api import shapes
    from ringfence.api.inspected import ElementChanged, LocalAddress, MetricShape
    from ringfence.api.nat_shapes import TranslationShape

Query = Mapping[str, str | int | Sequence[str] | None]


class Connections(TypedDict, total=False):
    """Which connections are meant, by the terms of `ringfence bpf ct`; nothing given: all."""

    from_: Sequence[str]
    to: Sequence[str]
    port: str | None
    protocol: str | None
    identity: int | None
    state: Sequence[str]


class BpfCalls(ABC):
    """One method a route; each raises `RingfenceError`: what the agent refused and why."""

    @abstractmethod
    def _call(self, method: str, path: str, *, query: Query | None = None, body: object = None) -> object: ...

    def ipcache(self, address: str | None = None) -> list[shapes.IpcacheShape]:
        """What is known of every prefix, or of the longest one that contains an address."""
        answer = self._call("GET", "/v1/bpf/ipcache", query={"address": address})
        return cast("list[shapes.IpcacheShape]", answer)

    def translations(self, within: str | None = None, protocol: str | None = None) -> list[TranslationShape]:
        """What leaves by an uplink under the host's own address; of a prefix and a protocol, if given."""
        query = {"within": within, "protocol": protocol}
        return cast("list[TranslationShape]", self._call("GET", "/v1/bpf/nat", query=query))

    def flush_translations(self, within: str | None = None, protocol: str | None = None) -> shapes.Flushed:
        """Forget it: the next packet of each flow may leave by another port."""
        query = {"within": within, "protocol": protocol}
        return cast("shapes.Flushed", self._call("DELETE", "/v1/bpf/nat", query=query))

    def connections(self, **wanted: Unpack[Connections]) -> list[shapes.ConnectionShape]:
        """The tracked connections, or those that are meant."""
        return cast("list[shapes.ConnectionShape]", self._call("GET", "/v1/bpf/ct", query=_asked(wanted)))

    def flush_connections(self, **wanted: Unpack[Connections]) -> shapes.Flushed:
        """Forget every tracked connection, or those that are meant; live ones are judged anew at their next packet."""
        return cast("shapes.Flushed", self._call("DELETE", "/v1/bpf/ct", query=_asked(wanted)))

    def metrics_map(self) -> list[MetricShape]:
        """Packets by reason and direction, the most first."""
        return cast("list[MetricShape]", self._call("GET", "/v1/bpf/metrics"))

    def local_addresses(self) -> list[LocalAddress]:
        """The addresses of the host's workloads, as the kernel has them."""
        return cast("list[LocalAddress]", self._call("GET", "/v1/bpf/endpoints"))

    def maps(self) -> list[shapes.MapShape]:
        """The BPF maps."""
        return cast("list[shapes.MapShape]", self._call("GET", "/v1/bpf/maps"))

    def map(self, name: str) -> shapes.MapDump:
        """The decoded elements of one map."""
        return cast("shapes.MapDump", self._call("GET", path_of("bpf/maps", name)))

    def write_element(self, name: str, key: Any, value: Any) -> ElementChanged:
        """Write an element of a map by hand, past everything that the agent knows."""
        answer = self._call("PUT", path_of("bpf/maps", name), body={"key": key, "value": value})
        return cast("ElementChanged", answer)

    def delete_element(self, name: str, key: Any) -> ElementChanged:
        """Delete an element of a map by hand, past everything that the agent knows."""
        return cast("ElementChanged", self._call("DELETE", path_of("bpf/maps", name), body={"key": key}))


def _asked(wanted: Connections) -> Query:
    return {name.rstrip("_"): value for name, value in cast("dict[str, Any]", wanted).items() if value is not None}


def path_of(*parts: str) -> str:
    """The path of a route whose last part is a name."""
    return "/v1/" + "/".join((*parts[:-1], quote(parts[-1], safe="")))
