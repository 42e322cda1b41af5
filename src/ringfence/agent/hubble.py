"""Where Hubble's API listens: a unix socket that only its owner may open, and a TCP address if one is asked for."""

from __future__ import annotations

import importlib.util
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ringfence.agent.owner import only_for_owner
from ringfence.errors import BadInput, Unavailable

if TYPE_CHECKING:
    from ringfence.hubble.service import Observed

_GRACE_SECONDS = 1
_CALLS = 32  # at once: each may hold a queue, or the past flows that it asked for
_LAST_PORT: Final = 65535


def hubble_installed() -> bool:
    """Whether the extra `hubble` is there; asked without the time that importing it takes."""
    return importlib.util.find_spec("grpc") is not None


def listen_address(text: str, *, insecure: bool) -> str:
    """HOST:PORT as gRPC takes it, [HOST]:PORT for IPv6. There is no TLS, so an address that others reach is refused
    unless it is asked for as `insecure`. Raises `BadInput`.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or not 0 < int(port) <= _LAST_PORT:
        raise BadInput(f"{text!r} is no address to listen at: write 127.0.0.1:4245 or [::1]:4245")
    try:
        address = ip_address("127.0.0.1" if host == "localhost" else host.strip("[]"))
    except ValueError as error:
        raise BadInput(f"{host!r} is no address: write 127.0.0.1 or ::1") from error
    if not address.is_loopback and not insecure:
        raise BadInput(
            f"{text}: others could read all flows there, there is no TLS; listen at 127.0.0.1, or add --hubble-insecure"
        )
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


class HubbleServer:
    """The gRPC server, in the running loop."""

    def __init__(self, path: Path, listen: str | None) -> None:
        self._path = path
        self._listen = listen

    async def start(self, observed: Observed) -> None:
        """Answer calls from now on. Raises `Unavailable` where it cannot listen."""
        import grpc.aio  # noqa: PLC0415 - optional, and slow to import

        from ringfence.hubble.health import Health, health_handler  # noqa: PLC0415 - needs grpc
        from ringfence.hubble.service import Observer, observer_handler  # noqa: PLC0415 - likewise

        self._health = Health()
        # Without this two servers could share a port, and each would answer half of the calls.
        options = [("grpc.so_reuseport", 0)]
        self._server = grpc.aio.server(options=options, maximum_concurrent_rpcs=_CALLS)
        self._server.add_generic_rpc_handlers((observer_handler(Observer(observed)), health_handler(self._health)))
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        try:
            with only_for_owner():
                self._server.add_insecure_port(f"unix:{self._path}")
            if self._listen:
                self._server.add_insecure_port(self._listen)
        except RuntimeError as error:
            raise Unavailable(f"Hubble's API cannot listen: {error}") from error
        await self._server.start()

    async def stop(self) -> None:
        """Take no more calls; those under way have a moment to end."""
        self._health.stop()
        await self._server.stop(_GRACE_SECONDS)
        self._path.unlink(missing_ok=True)


def node_name() -> str:
    """What Hubble knows this host by."""
    return socket.gethostname()
