"""The routes about commits."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Query

from ringfence.api import shapes
from ringfence.api.commit_shapes import CommitDetail, CommitShape, RollbackRequest
from ringfence.api.control import Control

Since = Annotated[str | None, Query(description="how long ago, or a time")]
Everything = Annotated[bool, Query(description="also commits about endpoints, which nobody answers for")]


def commit_routes(app: FastAPI, control: Control) -> None:
    """Add them to an application."""

    @app.get("/v1/commits")
    async def commits(
        since: Since = None,
        everything: Everything = False,  # noqa: FBT002 - a query parameter
    ) -> list[CommitShape]:
        return await control.commits.history(since, everything=everything)

    @app.post("/v1/commits/confirm")
    async def confirm() -> shapes.Applied:
        return await control.commits.confirm()

    @app.post("/v1/commits/take-back")
    async def take_back() -> shapes.Applied:
        return await control.commits.take_back()

    @app.get("/v1/commits/{revision}")
    async def commit(revision: int) -> CommitDetail:
        return await control.commits.commit(revision)

    @app.post("/v1/commits/{revision}/rollback")
    async def roll_back(revision: int, request: RollbackRequest) -> shapes.Applied:
        ssh, allow_lockout = request.get("ssh_connection", ""), request.get("allow_lockout", False)
        confirm = request.get("confirm_seconds", 0)
        return await control.commits.roll_back(revision, confirm, ssh, allow_lockout=allow_lockout)
