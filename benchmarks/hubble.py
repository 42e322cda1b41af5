"""`python -m benchmarks.hubble`: flows a second of one GetFlows stream, against the same bytes sent as they are.

Both streams come from one server and go to the same client, a process of its own, over the same kind of unix socket; so
their ratio is what making the messages costs beside gRPC. Rounds alternate. No kernel and no root.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Final

import grpc
import grpc.aio
import numpy as np

from ringfence.abi import EVENT, Direction, Reason, Tier, Verdict
from ringfence.datapath.addresses import mapped
from ringfence.flow.decode import Events
from ringfence.flow.source import Mark
from ringfence.hubble.messages import encoded
from ringfence.hubble.seen import Seen
from ringfence.hubble.service import Observed, Observer, observer_handler
from ringfence.verdict import RuleText

FLOWS: Final = 10_000
PAIRS: Final = 64  # of workloads that speak with each other
ROUNDS: Final = 3
_GETFLOWS, _READY_MADE = "/observer.Observer/GetFlows", "/benchmark.Ready/Made"


@dataclass(frozen=True, slots=True)
class Streams:
    """Flows a second of both streams, the median of all rounds."""

    flows_per_second: float
    ready_made_per_second: float

    @property
    def ratio(self) -> float:
        """How much of gRPC's own rate is left."""
        return self.flows_per_second / self.ready_made_per_second


class _Names:
    """Names as a host has them."""

    def labels_of(self, identity: int) -> tuple[str, ...]:
        return f"k8s:app=app-{identity}", "k8s:io.kubernetes.pod.namespace=shop", "k8s:team=payments"

    def rule_of(self, number: int) -> RuleText | None:
        kinds = Direction.INGRESS, Tier.NORMAL, Verdict.ALLOW
        text = f"allowed by web-{number} (web.yaml:12)"
        return RuleText(f"CiliumNetworkPolicy/shop/web-{number}", 0, *kinds, 2, Reason.FORWARDED, "web.yaml:12", text)

    def endpoint_of(self, row: int) -> str | None:
        return f"shop/app-{row}"

    def service_of(self, row: int) -> str | None:
        return f"shop/service-{row}"


class _Source:
    """The past of a host: connections between pairs of workloads."""

    names = _Names()

    def __init__(self, events: Events) -> None:
        self._events = events

    def past(self, *_asked: Any, **_bounds: Any) -> list[tuple[Events, _Names]]:
        return [(self._events, self.names)]

    def follow(self, _wanted: Any) -> Any:
        raise NotImplementedError(Mark)


def connections(count: int) -> Events:
    """New connections of many pairs, each from a port of its own."""
    events = np.zeros(count, EVENT)
    pair = np.arange(count) % PAIRS
    ends = {side: _addresses(number) for side, number in (("source", 1), ("destination", 2))}
    for side, addresses in ends.items():
        events[side] = addresses[pair]
        events[f"{side}_identity"] = 256 + pair
        events[f"{side}_endpoint"] = 1 + pair
    events["time"] = 1_700_000_000_000_000_000 + np.arange(count) * 1000
    events["source_port"] = 32768 + np.arange(count) % 28000
    events["destination_port"] = 8080
    events["family"], events["protocol"], events["tcp_flags"] = 4, 6, 2
    events["ingress_rule"], events["egress_rule"] = 1 + pair, 1
    events["direction"] = Direction.EGRESS
    return events


def _addresses(network: int) -> np.ndarray[Any, Any]:
    texts = (f"10.0.{network}.{number}" for number in range(PAIRS))
    return np.stack([np.frombuffer(mapped(ip_address(text)), np.uint8) for text in texts])


def measure(flows: int = FLOWS, rounds: int = ROUNDS) -> Streams:
    """Both streams, by turns."""
    with TemporaryDirectory() as directory:
        return asyncio.run(_measure(f"unix:{directory}/hubble.sock", flows, rounds))


async def _measure(target: str, flows: int, rounds: int) -> Streams:
    events = connections(flows)
    ready = list(encoded(events, _Names(), "node"))

    async def ready_made(_request: bytes, _context: object) -> AsyncIterator[bytes]:
        for response in ready:
            yield response

    server = grpc.aio.server()
    source: Any = _Source(events)
    observed = Observed("node", "", source, Seen(), held=lambda: (0, 0), lost=lambda: 0, namespaces=list)
    made: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        _READY_MADE.rpartition("/")[2]: grpc.unary_stream_rpc_method_handler(ready_made)
    }
    handlers = observer_handler(Observer(observed)), grpc.method_handlers_generic_handler("benchmark.Ready", made)
    server.add_generic_rpc_handlers(handlers)
    server.add_insecure_port(target)
    await server.start()
    try:
        found = [[await _client(target, method, flows) for method in (_GETFLOWS, _READY_MADE)] for _ in range(rounds)]
    finally:
        await server.stop(None)
    return Streams(*(statistics.median(rates) for rates in zip(*found, strict=True)))


async def _client(target: str, method: str, flows: int) -> float:
    """What a client in a process of its own says of its rate."""
    command = [sys.executable, "-m", "benchmarks.hubble", target, method, str(flows)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[1]
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the client of {method} ended with {process.returncode}")
    return float(said)


def _read(target: str, method: str, flows: int) -> float:
    """Messages a second from the first to the last."""
    with grpc.insecure_channel(target) as channel:
        call: grpc.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(method)
        stream = iter(call(b""))
        next(stream)
        start = perf_counter()
        for _ in range(flows - 1):
            next(stream)
        return (flows - 1) / (perf_counter() - start)


def main() -> int:
    """Measure, and end with one line of JSON."""
    if len(sys.argv) == 4:
        print(_read(sys.argv[1], sys.argv[2], int(sys.argv[3])))
        return 0
    found = measure()
    print(f"GetFlows                {found.flows_per_second:10,.0f} flows/s")
    print(f"the same bytes as is    {found.ready_made_per_second:10,.0f} flows/s")
    figures = {"flows_per_second": found.flows_per_second, "ratio_to_ready_made": found.ratio}
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
