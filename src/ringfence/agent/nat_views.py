"""Source translation as the API tells it, and which flows somebody means."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_network

from ringfence.api.nat_shapes import TranslationShape
from ringfence.datapath.snat import Translation
from ringfence.errors import BadInput
from ringfence.traffic import format_protocol


def meant(within: str | None, protocol: str | None) -> Callable[[Translation], bool]:
    """The flows of which an address is in a prefix, and that are of a protocol. Raises `BadInput`."""
    try:
        network = ip_network(within) if within is not None else None
    except ValueError as error:
        raise BadInput(f"{within!r} is no address and no prefix: {error}") from error

    def is_meant(flow: Translation) -> bool:
        if protocol is not None and format_protocol(flow.protocol).lower() != protocol.lower():
            return False
        return network is None or any(each in network for each in (flow.source, flow.destination, flow.seen))

    return is_meant


def translations(flows: Iterable[Translation]) -> list[TranslationShape]:
    """Flows by who sends them, the node's own last."""
    order = sorted(flows, key=lambda each: (each.own, each.source.version, each.source, each.source_port))
    return [
        {
            "protocol": format_protocol(each.protocol),
            "source": str(each.source),
            "source_port": each.source_port,
            "destination": str(each.destination),
            "destination_port": each.destination_port,
            "seen": str(each.seen),
            "seen_port": each.seen_port,
            "own": each.own,
        }
        for each in order
    ]
