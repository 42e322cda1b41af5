"""The caller's side of the routes about staged policies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from ringfence.api.client_bpf import Query
    from ringfence.api.shapes import Applied
    from ringfence.api.staged_shapes import StagedShape

_STAGED = "/v1/staged"


class StagedCalls(ABC):
    """One method a route; each raises `RingfenceError`: what the agent refused and why."""

    @abstractmethod
    def _call(self, method: str, path: str, *, query: Query | None = None, body: object = None) -> object: ...

    def staged(self) -> StagedShape:
        """What is staged, and where it disagreed with what is in force."""
        return cast("StagedShape", self._call("GET", _STAGED))

    def stage(self, sources: Sequence[tuple[str, str]], gone: Sequence[str] = (), *, only: bool = False) -> Applied:
        """Stage files given as (name, text); `gone` would be deleted, with `only` all that they do not say."""
        files = [{"name": name, "text": text} for name, text in sources]
        return cast("Applied", self._call("PUT", _STAGED, body={"sources": files, "gone": list(gone), "only": only}))

    def unstage(self) -> Applied:
        """Drop what is staged."""
        return cast("Applied", self._call("DELETE", _STAGED))

    def promote(self, *, ssh_connection: str = "", allow_lockout: bool = False) -> Applied:
        """Bring what is staged into force. A connection that must not be cut is as in `apply_policies`."""
        body = {"ssh_connection": ssh_connection, "allow_lockout": allow_lockout}
        return cast("Applied", self._call("POST", f"{_STAGED}/promote", body=body))
