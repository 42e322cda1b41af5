"""What the API says of a change before it is made."""

from __future__ import annotations

from typing_extensions import TypedDict


class CutShape(TypedDict):
    """A live connection that would be cut, as it was opened, and the rule that denies it."""

    source: str
    source_address: str
    source_port: int
    destination: str
    destination_address: str
    port: str
    rule: str


class OpenedShape(TypedDict):
    """Packets of one path that were denied within the last hour and would be allowed, and the rule that allows them."""

    source: str
    destination: str
    port: str
    flows: int
    last: str
    rule: str


class PreviewShape(TypedDict):
    """What a change would do: the live connections that it cuts, and what it allows of the last hour's denials."""

    cuts: list[CutShape]
    opens: list[OpenedShape]
