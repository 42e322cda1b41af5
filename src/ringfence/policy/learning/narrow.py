"""Narrowing: a rule without the prefixes that an address does not lie in, which says the same of that address.

A rule may name ten thousand prefixes, and the proof asks about each of them: they are looked up by their lengths here
and not tried one after the other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ringfence.identity.prefixes import Address, Block, Network
from ringfence.policy.learning.grants import network_of
from ringfence.policy.rule import Rule

#: So many prefixes are tried faster than looked up.
_FEW: Final = 16

_Blocks = dict[Network, list[Block]]


class Narrowed:
    """Narrows rules, and remembers the prefixes of those that have many."""

    def __init__(self) -> None:
        #: By the tuple itself, which is kept so that its number stays its own.
        self._known: dict[int, tuple[tuple[Block, ...], _Blocks, list[int]]] = {}

    def __call__(self, rule: Rule, address: Address) -> Rule:
        peers = rule.peers
        if len(peers.outside) <= _FEW and len(peers.addresses) <= _FEW:
            return rule
        outside, addresses = (self._around(blocks, address) for blocks in (peers.outside, peers.addresses))
        return replace(rule, peers=replace(peers, outside=outside, addresses=addresses))

    def _around(self, blocks: tuple[Block, ...], address: Address) -> tuple[Block, ...]:
        if len(blocks) <= _FEW:
            return blocks
        if id(blocks) not in self._known:
            by_prefix: _Blocks = {}
            for block in blocks:
                by_prefix.setdefault(block.prefix, []).append(block)
            self._known[id(blocks)] = (blocks, by_prefix, sorted({each.prefix.prefixlen for each in blocks}))
        _, by_prefix, lengths = self._known[id(blocks)]
        fitting = (network_of(address, length) for length in lengths if length <= address.max_prefixlen)
        return tuple(block for network in fitting for block in by_prefix.get(network, ()))
