"""Explaining from the live state: worked out in a thread, from the policies and endpoints as they are when asked, or as
they were at a time that the commit log reaches.
"""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import Any, cast

from ringfence.agent.asworld import world_of, world_then
from ringfence.agent.commits.record import State
from ringfence.api.explaining import AskedEnd, ExplainRequest, Explanation
from ringfence.engine.engine import Engine
from ringfence.errors import BadInput
from ringfence.identity.prefixes import Network, host_network
from ringfence.policy.explanation.explain import MOST_MISSES
from ringfence.policy.explanation.who import Asked
from ringfence.service.explaining import explain_flow
from ringfence.traffic import parse_traffic


async def explain(engine: Engine, request: ExplainRequest, then: State | None = None) -> Explanation:
    """The answer, of now with the identities that the kernel knows. Raises BadInput, and NotFound for a workload that
    is not known.
    """
    try:
        traffic = parse_traffic(request["port"])
    except ValueError as error:
        raise BadInput(str(error)) from error
    ends = _asked(request["source"]), _asked(request["destination"])
    port, most = request.get("source_port"), request.get("limit", MOST_MISSES)
    world = world_of(engine) if then is None else await asyncio.to_thread(world_then, then, engine)
    found = await asyncio.to_thread(explain_flow, world, *ends, traffic, port, most=most)
    if then is not None:
        return cast("Explanation", found)
    for side in found["chain"]:
        _identify(engine, side["subject"])
        _identify(engine, side["peer"])
    if engine.manual:
        found["notes"].append(f"{len(engine.manual)} entries set by hand come before every rule, and are not looked at")
    return cast("Explanation", found)


def _asked(end: AskedEnd) -> Asked:
    return Asked(end["name"], end.get("address", ""), tuple(end.get("labels", ())))


def _identify(engine: Engine, end: dict[str, Any]) -> None:
    """Put in what the ipcache says of an end's address, which only the loop may ask."""
    address = ip_address(end["address"])
    end["identity"] = int(engine.state.ipcache.lookup(address).identity)
    end["prefix"] = str(_prefix(engine, host_network(address)))


def _prefix(engine: Engine, asked: Network) -> Network:
    covering = (asked.supernet(new_prefix=length) for length in range(asked.prefixlen, -1, -1))
    return next((each for each in covering if engine.state.ipcache.get(each)), asked.supernet(new_prefix=0))
