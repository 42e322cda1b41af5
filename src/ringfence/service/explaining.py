"""Explaining a flow that may be to a service: what it leads to, and how policy judges the backends.

Policy judges the backend at the backend's port, so it is the backends that are explained, a denied one before the
others. A service that leads nowhere denies by itself; its near misses are of what Services and EndpointSlices say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from ringfence.abi import Reason
from ringfence.errors import BadInput
from ringfence.identity.reserved import Reserved
from ringfence.policy.evaluate import Oracle
from ringfence.policy.explanation.explain import MOST_MISSES
from ringfence.policy.explanation.who import Asked, explain_in, place_end, place_question
from ringfence.policy.world import Actor, World
from ringfence.service.asked import AskedService, asked_service
from ringfence.service.row import Backend
from ringfence.service.text import place_text
from ringfence.service.unserved import Lack, lacks
from ringfence.traffic import Traffic
from ringfence.verdict import reason_text

_HOST: Final = "the host's own sockets are led to no service: this is what policy would say if they were"


def explain_flow(
    world: World,
    source: Asked,
    destination: Asked,
    traffic: Traffic,
    source_port: int | None = None,
    *,
    most: int = MOST_MISSES,
) -> dict[str, Any]:
    """The answer as a document, with `service` None where none is meant. Raises as `explain_in`, and NotFound for a
    service that is not there.
    """
    asking = place_end(world, source)
    asked = asked_service(world, asking, destination, traffic)
    if asked is None:
        found = explain_in(world, source, destination, traffic, source_port, most=most)
        return {**found, "service": None}
    version = asked.frontend.address.version if asked.frontend else 0
    if version and version not in {each.version for each in asking.addresses}:
        raise BadInput(f"{asking.name} has no IPv{version} address to reach {asked.told} from")
    reason = asked.refusal(asking)
    if reason is not None:
        return _refused(asked, asking, reason, lacks(world, asked, asking, reason)[:most])
    backends = _Backends(world, source, asked)
    shown = backends.shown
    to, at = backends.end(shown), backends.traffic(shown)
    found = explain_in(world, source, to, at, source_port, most=most)
    told = [*found["notes"], *backends.notes(shown), *([_HOST] if asking.reserved is Reserved.HOST else [])]
    found["near_misses"] = [*backends.by_address(shown), *found["near_misses"]][:most]
    return {**found, "notes": told, "service": _service(asked, "", [backends.to_dict(each) for each in asked.backends])}


class _Backends:
    """The backends that new connections go to, each with who it is and what policy says."""

    def __init__(self, world: World, source: Asked, asked: AskedService) -> None:
        self._world = world
        self._oracle = Oracle(world)
        self._source = source
        self._asked = asked
        self._owners = world.owners
        self._allowed = {each: self._allows(self.end(each), self.traffic(each)) for each in asked.backends}

    @property
    def shown(self) -> Backend:
        """The first that is denied, or the first."""
        return next((each for each, allowed in self._allowed.items() if not allowed), self._asked.backends[0])

    def end(self, backend: Backend) -> Asked:
        return Asked(self._owners.get(backend.address, str(backend.address)))

    def traffic(self, backend: Backend) -> Traffic:
        return Traffic(self._asked.traffic.protocol, backend.port)

    def notes(self, shown: Backend) -> list[str]:
        """What the service makes of the flow; and that the port asked for would pass, where the backend's does not."""
        count, denied = len(self._allowed), list(self._allowed.values()).count(False)
        among = f", one of {count} backends" if count > 1 else ""
        some = f"; {denied} of them are denied" if 0 < denied < count else ""
        told = [f"{self._asked.told} of service {self._asked.service.path} leads to {self._place(shown)}{among}{some}"]
        asked = self._asked.traffic
        if shown.port != asked.port and not self._allowed[shown] and self._allows(self.end(shown), asked):
            told.append(f"policy judges the backend's port: {asked} would be allowed, {self.traffic(shown)} is not")
        return told

    def by_address(self, shown: Backend) -> Iterator[dict[str, Any]]:
        """The rule of who thought that policy judges the address that the client asks for."""
        frontend = self._asked.frontend
        if frontend is None or self._allowed[shown]:
            return
        found = explain_in(self._world, self._source, Asked(str(frontend.address)), self._asked.traffic)
        if found["verdict"] == "allow" and found["rule"]["policy"]:
            text = f"the rule allows {frontend.address}, the service's own address; policy judges {self._place(shown)}"
            yield {"text": text, "rule": found["rule"], "direction": "egress", "wrong": ["service"]}

    def to_dict(self, backend: Backend) -> dict[str, Any]:
        verdict = "allow" if self._allowed[backend] else "deny"
        name = self.end(backend).name
        return {"name": name, "address": str(backend.address), "port": str(self.traffic(backend)), "verdict": verdict}

    def _place(self, backend: Backend) -> str:
        place, name = place_text(*backend), self._owners.get(backend.address)
        return f"{name} ({place})" if name else place

    def _allows(self, end: Asked, traffic: Traffic) -> bool:
        question = place_question(self._world, self._source, end, traffic).question
        return self._oracle.judge(question.source, question.destination, traffic).allowed


def _refused(asked: AskedService, source: Actor, reason: Reason, found: Sequence[Lack]) -> dict[str, Any]:
    return {
        "from": source.name,
        "to": f"service {asked.service.path}",
        "port": str(asked.traffic),
        "verdict": "deny",
        "rule": _rule(asked, reason_text(reason), str(asked.service.origin)),
        "chain": [],
        "near_misses": [
            {
                "text": each.text,
                "rule": _rule(asked, each.text, str(each.origin)),
                "direction": "egress",
                "wrong": ["service"],
            }
            for each in found
        ],
        "notes": [],
        "service": _service(asked, reason_text(reason), []),
    }


def _rule(asked: AskedService, text: str, origin: str) -> dict[str, Any]:
    namespace, name = asked.service.namespace, asked.service.name
    return {"policy": f"Service/{namespace}/{name}", "text": text, "origin": origin, "lines": []}


def _service(asked: AskedService, reason: str, backends: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": asked.service.path, "frontend": asked.told, "reason": reason, "backends": backends}
