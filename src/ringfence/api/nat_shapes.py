"""Documents about source translation."""

from __future__ import annotations

from typing_extensions import TypedDict


class TranslationShape(TypedDict):
    """A flow to the world: what the endpoint sends, and by which address and port the world sees it. Ports are 0 where
    the protocol has none; an echo has its identifier as source port. `own`: the node's own, kept so that no endpoint is
    given its port.
    """

    protocol: str
    source: str
    source_port: int
    destination: str
    destination_port: int
    seen: str
    seen_port: int
    own: bool
