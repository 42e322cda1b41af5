"""Verification: the maps read back from the kernel, held against what the engine wants and against the policies.

First entry by entry: what is not as wanted is drift. Then as a whole: what was read is put to the same proof that
`ringfence policy verify` makes of compiled policies, so that the answer is about what the kernel holds.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from ringfence.abi import Reason, Verdict
from ringfence.agent.asworld import world_of
from ringfence.agent.drift import REASONS, VERDICTS, Wanted, differences, drift, wanted_by
from ringfence.agent.kernel import Kernel
from ringfence.agent.wiring import Wiring
from ringfence.agent.wording import DIRECTIONS, TIERS
from ringfence.api import shapes
from ringfence.datapath.readback import Readback
from ringfence.datapath.shapes import FULL_PREFIX, shape_of
from ringfence.engine.engine import Engine
from ringfence.identity.ipcache import UNKNOWN_ADDRESS
from ringfence.identity.ipcache import Known as KnownAddress
from ringfence.identity.prefixes import Address, Network, NetworkSet, host_network
from ringfence.policy.held import Table
from ringfence.policy.mapstate import PolicyKey
from ringfence.policy.verify import prove
from ringfence.verdict import RuleText

#: Changes may come while maps are read; after so many attempts they are read with everything else held up.
_ATTEMPTS = 4


class Places:
    """The ipcache as it was read."""

    def __init__(self, found: Readback) -> None:
        self._known = {network: KnownAddress(*peer[:2]) for network, peer in found.prefixes.items() if peer.identity}
        self._networks = NetworkSet()
        for network in self._known:
            self._networks.add(network)

    def items(self) -> list[tuple[Network, KnownAddress]]:
        return list(self._known.items())

    def lookup(self, address: Address) -> KnownAddress:
        longest = self._networks.longest(host_network(address))
        return UNKNOWN_ADDRESS if longest is None else self._known[longest]


@dataclass(frozen=True, slots=True)
class _Comparison:
    found: Readback
    wanted: Wanted
    drift: list[shapes.Drift]


class Verification:
    """Reads back and compares, beside everything else as long as nothing changes meanwhile."""

    def __init__(self, engine: Engine, kernel: Kernel, wiring: Wiring) -> None:
        self._engine = engine
        self._kernel = kernel
        self._wiring = wiring

    async def run(self) -> shapes.Verification:
        """Compare once. Raises `Unavailable` where there is no kernel to read from."""
        await self._wiring.settle()
        compared = await self._settled()
        world, entries = world_of(self._engine), self._entries(compared.found)
        missing = await asyncio.to_thread(self._unhooked, compared.wanted)
        proof = await asyncio.to_thread(prove, world, entries, Places(compared.found))
        found = [*compared.drift, *missing]
        return {
            "revision": compared.found.revision,
            "equal": proof.equal and not found,
            "checked": {
                "entries": len(compared.found.entries),
                "rules": len(compared.found.rules),
                "prefixes": len(compared.found.prefixes),
                "endpoints": len(compared.wanted.endpoints),
            },
            "drift": found,
            "proof": proof.to_dict(),
        }

    async def _settled(self) -> _Comparison:
        """A comparison that no change came into. What differs is read twice: a change could have been half made."""
        before: list[shapes.Drift] | None = None
        for _ in range(_ATTEMPTS):
            wanted = self._wanted()
            compared = await asyncio.to_thread(self._compare, wanted)
            if compared.found.revision == self._kernel.revision and compared.drift in ([], before):
                return compared
            before = compared.drift
        return self._compare(self._wanted())

    def _wanted(self) -> Wanted:
        return wanted_by(self._engine, {row: each.delivery for row, each in self._wiring.attachments.items()})

    def _compare(self, wanted: Wanted) -> _Comparison:
        found = self._kernel.read_back()
        return _Comparison(found, wanted, differences(wanted, found, self._engine.known))

    def _unhooked(self, wanted: Wanted) -> list[shapes.Drift]:
        """The endpoints that are not judged, because their programs are not on their interface."""
        found = []
        for workload in (each.workload for each in wanted.endpoints if each.workload.ifindex):
            hook = self._kernel.hook(workload.ifindex)
            if not hook.programs_ok:
                entry = f"{workload.name}, interface {workload.ifindex}"
                found.append(drift("programs", "lost", entry, "both programs", hook.mechanism))
        return found

    def _entries(self, found: Readback) -> Table:
        """The entries as the datapath would find them, with the rules as it would read them.

        One set by hand no policy speaks of: what the policies want at its key stands in for it.
        """
        state, entries = self._engine.state.map, {}
        for key, number in found.entries.items():
            if key.staged:  # what is staged has no effect: only that it is there is looked at
                continue
            by_hand = key in self._engine.manual
            text = state.winner(key) if by_hand else self._read_rule(found, number)
            if text is not None and (by_hand or _probed(found, key)):
                tied = state.tied(key) if state.winner(key) else ()
                entries[key] = tied if tied[:1] == (text,) else (text,)
        return Table(entries)

    def _read_rule(self, found: Readback, number: int) -> RuleText | None:
        """What a rule number means, with precedence, verdict and reason as the kernel has them."""
        text, row = self._engine.known.rule_of(number), found.rules.get(number)
        if text is None or row is None or row[1] not in VERDICTS or row[2] not in REASONS:
            return None
        return replace(text, precedence=row[0], verdict=Verdict(row[1]), reason=Reason(row[2]))


def _probed(found: Readback, key: PolicyKey) -> bool:
    """Whether the datapath looks for keys of this shape."""
    if key.tier not in TIERS or key.direction not in DIRECTIONS or not 0 <= key.prefix <= FULL_PREFIX:
        return False
    return bool(found.shapes[key.tier][key.direction] >> shape_of(key) & 1)
