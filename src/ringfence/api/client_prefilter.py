"""The caller's side of the routes about the prefilter."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from ringfence.api.client_bpf import Query
    from ringfence.api.prefilter_shapes import ListedPrefix, PrefilterShape, PrefixesChanged

_PREFIXES = "/v1/prefilter/prefixes"


class PrefilterCalls(ABC):
    """One method a route; each raises `RingfenceError`: what the agent refused and why."""

    @abstractmethod
    def _call(self, method: str, path: str, *, query: Query | None = None, body: object = None) -> object: ...

    def prefilter(self) -> PrefilterShape:
        """The prefilter as a whole, and its uplinks."""
        return cast("PrefilterShape", self._call("GET", "/v1/prefilter"))

    def prefixes(self, address: str | None = None) -> list[ListedPrefix]:
        """The prefixes that are dropped, or those of them that an address is in; the busiest first."""
        return cast("list[ListedPrefix]", self._call("GET", _PREFIXES, query={"address": address}))

    def add_prefixes(self, prefixes: Sequence[str], *, everything: bool = False) -> PrefixesChanged:
        """Drop these too."""
        body = {"prefixes": list(prefixes), "everything": everything}
        return cast("PrefixesChanged", self._call("POST", _PREFIXES, body=body))

    def delete_prefixes(self, prefixes: Sequence[str]) -> PrefixesChanged:
        """Drop these no more."""
        return cast("PrefixesChanged", self._call("DELETE", _PREFIXES, body={"prefixes": list(prefixes)}))

    def replace_prefixes(self, name: str, text: str, *, everything: bool = False) -> PrefixesChanged:
        """Drop exactly those of a file's text, from one packet to the next."""
        body = {"name": name, "text": text, "everything": everything}
        return cast("PrefixesChanged", self._call("PUT", _PREFIXES, body=body))
