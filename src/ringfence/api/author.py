"""Who asks: the user behind a request and why he makes it, for whoever writes down what was changed.

The kernel says which user holds the other end of the socket. One who became root by `sudo` says himself who he was:
root could have said anything.
"""

from __future__ import annotations

import os
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

USER_HEADER: Final = "ringfence-user"
WHY_HEADER: Final = "ringfence-why"


class Author(NamedTuple):
    """A user's name, and a reason as he gave it, empty if he gave none."""

    name: str
    why: str = ""


_NOBODY: Final = Author("ringfence")
_asking: ContextVar[Author] = ContextVar("asking", default=_NOBODY)


def author() -> Author:
    """Whose request is being answered; the agent itself outside of any."""
    return _asking.get()


def headers_of(why: str) -> dict[str, str]:
    """What a caller says of himself."""
    told = {USER_HEADER: os.environ.get("SUDO_USER", ""), WHY_HEADER: why}
    return {name: quote(value) for name, value in told.items() if value}


class KnowAuthor:
    """Middleware that keeps the author while a request is answered. The server gives the peer's name as the client."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http":
            told = {name.decode("latin-1"): unquote(value.decode("latin-1")) for name, value in scope["headers"]}
            peer = scope.get("client")
            name = told.get(USER_HEADER) or (peer[0] if peer else _NOBODY.name)
            _asking.set(Author(name, told.get(WHY_HEADER, "")))
        await self._app(scope, receive, send)
