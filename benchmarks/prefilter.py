"""`python -m benchmarks.prefilter`: a flood from a source that is on a deny list of 1 to 1,000,000 prefixes, dropped by
the prefilter at XDP, and by nftables sets in the ingress hook of the interface and before routing. Prints a table.

A figure is nanoseconds from one datagram to the next at the sender, on whose CPU the node's side of the wire is
handled too: sending and dropping together.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Final

from benchmarks import scenario, worlds
from benchmarks.compiled import traffic_program
from benchmarks.realpackets import send_cost
from benchmarks.worlds import World, made
from ringfence.agent.live_prefilter import LivePrefilter
from ringfence.datapath import features
from ringfence.datapath.bpffs import ensure_bpffs
from ringfence.datapath.features import jiffies_per_second
from ringfence.datapath.loader import load, pin_directory, unpin

COUNTS: Final = (1, 1_000, 100_000, 1_000_000)
ROUNDS, DATAGRAMS, SECONDS = 7, 200_000, 0.5
CLIENT, NODE = scenario.ADDRESSES[1][0], worlds.NODE_ADDRESS
_SPREAD: Final = 0x9E3779B1  # odd: a permutation of the numbers of /28 networks
_NETWORKS: Final = 1 << 28
Install = Callable[[World, list[IPv4Network]], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Contender:
    """Who drops, and how it is put into a world."""

    name: str
    short: str
    install: Install


def prefixes(count: int) -> list[IPv4Network]:
    """So many /28 networks all over the address space, none in another, the client's the last."""
    own = IPv4Network((int(ip_network(f"{CLIENT}/28", strict=False).network_address), 28))
    found = (IPv4Network((number * _SPREAD % _NETWORKS << 4, 28)) for number in range(1, count + 1))
    return [*(each for each in found if each != own), own][-count:]


@contextmanager
def _prefilter(world: World, listed: list[IPv4Network]) -> Iterator[None]:
    directory = pin_directory(world.instance)
    (directory / "links").mkdir(parents=True, mode=0o700)
    try:
        with load({"jiffies_per_second": jiffies_per_second()}, {}) as loaded:
            prefilter = LivePrefilter(loaded, directory)
            prefilter.replace(listed)
            world.run("node", partial(prefilter.guard, world.interfaces[1].host_ifindex))
            yield
    finally:
        unpin(directory)


@contextmanager
def _nftables(world: World, listed: list[IPv4Network], *, chain: str, family: str) -> Iterator[None]:
    elements = ",".join(map(str, listed))
    text = "\n".join(
        [
            f"table {family} deny {{",
            f"set listed {{ type ipv4_addr; flags interval; elements = {{ {elements} }} }}",
            f"chain first {{ {chain.format(device=_host_side(world))}",
            "ip saddr @listed drop; }",
            "}",
        ]
    )
    world.output("node", "nft", "-f", "-", text=text)
    yield


def _host_side(world: World) -> str:
    return world.interfaces[1].host_name


def contenders() -> list[Contender]:
    """All, in the order of the table."""
    at_ingress = partial(_nftables, chain="type filter hook ingress device {device} priority 0;", family="netdev")
    before_routing = partial(_nftables, chain="type filter hook prerouting priority -300;", family="ip")
    return [
        Contender("prefilter at XDP", "xdp", _prefilter),
        Contender("nftables set, ingress hook", "nfi", at_ingress),
        Contender("nftables set, before routing", "nfp", before_routing),
    ]


def measure(say: Callable[[str], None]) -> tuple[dict[tuple[str, int], list[float]], dict[tuple[str, int], float]]:
    """Costs of a datagram in ns, and seconds until the list was there, by contender and number of prefixes."""
    costs: dict[tuple[str, int], list[float]] = defaultdict(list)
    loading: dict[tuple[str, int], float] = {}
    with TemporaryDirectory() as place:
        program = traffic_program(Path(place))
        for count in COUNTS:
            listed = prefixes(count)
            with ExitStack() as stack:
                entered: list[tuple[Contender, World]] = []
                for contender in contenders():
                    world = stack.enter_context(made(World(f"pf-{contender.short}", program)))
                    began = monotonic()
                    stack.enter_context(contender.install(world, listed))
                    loading[contender.name, count] = monotonic() - began
                    say(f"{contender.name}, {count}: there after {loading[contender.name, count]:.2f} s")
                    entered.append((contender, world))
                for number in range(ROUNDS):
                    at = number % len(entered)
                    for contender, world in entered[at:] + entered[:at]:
                        cost = send_cost(world, CLIENT, NODE, DATAGRAMS, SECONDS)
                        costs[contender.name, count].append(cost)
    return costs, loading


def main() -> int:
    """Measure and print."""
    features.require()
    ensure_bpffs()
    worlds.remove_leftovers()
    began = monotonic()
    costs, loading = measure(lambda told: print(f"{monotonic() - began:6.1f} s  {told}", file=sys.stderr))
    print("| ns a datagram (list there after) | 1 prefix | 1,000 | 100,000 | 1,000,000 |\n|---|---|---|---|---|")
    for contender in contenders():
        name = contender.name
        cells = [f"{median(costs[name, count]):.0f} ({loading[name, count]:.1f} s)" for count in COUNTS]
        print(f"| {name} | {' | '.join(cells)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
