"""The caller's side of the routes about commits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from ringfence.api.client_bpf import Query
    from ringfence.api.commit_shapes import CommitDetail, CommitShape
    from ringfence.api.shapes import Applied

_COMMITS = "/v1/commits"


class CommitCalls(ABC):
    """One method a route; each raises `RingfenceError`: what the agent refused and why."""

    @abstractmethod
    def _call(self, method: str, path: str, *, query: Query | None = None, body: object = None) -> object: ...

    def commits(self, since: str | None = None, *, everything: bool = False) -> list[CommitShape]:
        """The commits that are kept, the oldest first; `since` is how long ago (`1h`), or a time."""
        query: Query = {"since": since, "everything": str(everything).lower()}
        return cast("list[CommitShape]", self._call("GET", _COMMITS, query=query))

    def commit(self, revision: int) -> CommitDetail:
        """One commit in full."""
        return cast("CommitDetail", self._call("GET", f"{_COMMITS}/{revision}"))

    def roll_back(
        self, revision: int, confirm_seconds: float = 0, *, ssh_connection: str = "", allow_lockout: bool = False
    ) -> Applied:
        """Bring the policies, services and entries of a revision into force. The rest is as for `apply_policies`."""
        body = {
            "confirm_seconds": confirm_seconds,
            "ssh_connection": ssh_connection,
            "allow_lockout": allow_lockout,
        }
        return cast("Applied", self._call("POST", f"{_COMMITS}/{revision}/rollback", body=body))

    def confirm(self) -> Applied:
        """Let the change that waits stay."""
        return cast("Applied", self._call("POST", f"{_COMMITS}/confirm"))

    def take_back(self) -> Applied:
        """Take back the change that waits, now."""
        return cast("Applied", self._call("POST", f"{_COMMITS}/take-back"))
