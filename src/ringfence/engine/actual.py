"""The actual state: which entries and prefixes the kernel holds, as far as was confirmed, and which wanted ones may
differ from it. Their difference is the next commit: what has not changed is not written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ringfence.engine.commands import Commit, Network, Peer, RuleRow
from ringfence.engine.numbers import RuleNumbers
from ringfence.policy.mapstate import PolicyKey
from ringfence.verdict import RuleText


class Actual:
    """What the kernel holds, and what to look at again."""

    def __init__(self, numbers: RuleNumbers) -> None:
        self._numbers = numbers
        self.entries: dict[PolicyKey, int] = {}
        self.peers: dict[Network, Peer] = {}
        self._doubtful_keys: dict[PolicyKey, None] = {}
        self._doubtful_prefixes: dict[Network, None] = {}

    def adopt(self, entries: Mapping[PolicyKey, int], peers: Mapping[Network, Peer]) -> None:
        """Take what the kernel was found to hold; all of it is to be looked at again."""
        self.entries = dict(entries)
        self.peers = dict(peers)
        for number in self.entries.values():
            self._numbers.use(number)
        self.doubt(entries, peers)

    def doubt(self, keys: Iterable[PolicyKey] = (), prefixes: Iterable[Network] = ()) -> None:
        """Look at these again when the next commit is made."""
        self._doubtful_keys.update(dict.fromkeys(keys))
        self._doubtful_prefixes.update(dict.fromkeys(prefixes))

    def difference(
        self, entry: Callable[[PolicyKey], RuleText | None], peer: Callable[[Network], Peer | None]
    ) -> Commit:
        """What would make the kernel hold what is wanted. Raises `RingfenceError` when the rule numbers run out."""
        policy: dict[PolicyKey, int] = {}
        for key in self._doubtful_keys:
            rule = entry(key)
            number = self._numbers.number(rule) if rule else 0
            if number != self.entries.get(key, 0):
                policy[key] = number
        peers = {prefix: peer(prefix) for prefix in self._doubtful_prefixes}
        peers = {prefix: known for prefix, known in peers.items() if known != self.peers.get(prefix)}
        return Commit(rules=self._rows(policy.values()), policy=policy, peers=peers)

    def confirm(self, commit: Commit) -> None:
        """The kernel holds it now."""
        for key, number in commit.policy.items():
            if number:
                self._numbers.use(number)
            before = self.entries.pop(key, 0)
            if before:
                self._numbers.release(before)
            if number:
                self.entries[key] = number
        for prefix, known in commit.peers.items():
            self.peers.pop(prefix, None)
            if known is not None:
                self.peers[prefix] = known
        self._doubtful_keys.clear()
        self._doubtful_prefixes.clear()

    def _rows(self, used: Iterable[int]) -> dict[int, RuleRow]:
        """The rows of the numbers that no entry uses yet."""
        texts = {number: self._numbers.text(number) for number in used if number and not self._numbers.uses(number)}
        return {n: RuleRow(text.precedence, text.verdict, text.reason) for n, text in texts.items() if text}
