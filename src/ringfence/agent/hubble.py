"""Where Hubble's API listens: a unix socket that only its owner may open, and a TCP address if one is asked for."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from ringfence import __version__
from ringfence.agent.owner import only_for_owner
from ringfence.errors import BadInput, Unavailable

if TYPE_CHECKING:
    from ringfence.agent.listening import Listen
    from ringfence.agent.service import Parts
    from ringfence.agent.settings import AgentSettings
    from ringfence.hubble.service import Observed

_GRACE_SECONDS = 1
_CALLS = 32  # at once: each may hold a queue, or the past flows that it asked for
_REQUEST_BYTES = 16384  # filters by the thousand would be looked at for every event


def hubble_wanted(settings: AgentSettings) -> bool:
    """Whether an agent is to serve it. Raises `Unavailable` where it is asked for and not installed, and `BadInput`."""
    # Asked without the time that importing it takes.
    installed = importlib.util.find_spec("grpc") is not None
    if settings.hubble is False and settings.hubble_listen:
        raise BadInput("--no-hubble leaves nothing to answer at --hubble-listen")
    if not installed and (settings.hubble or settings.hubble_listen):
        raise Unavailable("Hubble's API needs gRPC: pip install 'ringfence[hubble]'")
    return installed and settings.hubble is not False and not settings.dry_run


def observed(parts: Parts, node: str) -> Observed:
    """What Hubble's clients see of an agent, counted from now on."""
    from ringfence.hubble.seen import Seen  # noqa: PLC0415 - with the rest of it, only where it is served
    from ringfence.hubble.service import Observed  # noqa: PLC0415 - needs grpc

    seen = Seen()
    parts.hub.feed(seen.add)

    def namespaces() -> list[str]:
        return sorted({each.workload.labels.namespace or "" for each in parts.engine.endpoints} - {""})

    return Observed(
        node=node,
        version=f"ringfence v{__version__}",
        source=parts.past,
        seen=seen,
        held=lambda: (len(parts.past.recent), parts.past.recent.capacity),
        lost=lambda: parts.kernel.event_counts()["lost"],
        namespaces=namespaces,
    )


class HubbleServer:
    """The gRPC server, to be made in the loop that serves it. It listens from construction. Raises `Unavailable`."""

    def __init__(self, path: Path, listen: Listen | None, about: Observed) -> None:
        import grpc.aio  # noqa: PLC0415 - optional, and slow to import

        from ringfence.hubble.health import Health, health_handler  # noqa: PLC0415 - needs grpc
        from ringfence.hubble.service import Observer, observer_handler  # noqa: PLC0415 - likewise

        self._path = path
        self._health = Health()
        self._stopping = asyncio.Event()
        # Sharing a port, two servers would answer half of the calls each.
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", _REQUEST_BYTES)]
        self._server = grpc.aio.server(options=options, maximum_concurrent_rpcs=_CALLS)
        self._server.add_generic_rpc_handlers((observer_handler(Observer(about)), health_handler(self._health)))
        self._listen(listen)

    def _listen(self, at: Listen | None) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        try:
            with only_for_owner():
                self._server.add_insecure_port(f"unix:{self._path}")
            if at:
                self._server.add_insecure_port(f"[{at[0]}]:{at[1]}" if ":" in at[0] else f"{at[0]}:{at[1]}")
        except RuntimeError as error:
            raise Unavailable(f"Hubble's API cannot listen: {error}") from error

    async def serve(self) -> None:
        """Answer calls until `stop`; those under way have a moment to end."""
        await self._server.start()
        await self._stopping.wait()
        self._health.stop()
        await self._server.stop(_GRACE_SECONDS)
        self._path.unlink(missing_ok=True)

    def stop(self) -> None:
        """Take no more calls."""
        self._stopping.set()
