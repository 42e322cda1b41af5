"""The actual state: which entries and prefixes the kernel holds, as far as was confirmed, and which wanted ones may
differ from it. Their difference is the next commit: what has not changed is not written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ringfence.engine.commands import Commit, Network, Peer, RuleRow
from ringfence.engine.numbers import RuleNumbers
from ringfence.policy.mapstate import PolicyKey
from ringfence.service.row import Frontend, ServiceRow
from ringfence.verdict import RuleText

#: What a frontend leads to that an earlier run wrote: nothing that is wanted, so it is written again.
_UNKNOWN = ServiceRow("", "")


class Actual:
    """What the kernel holds, and what to look at again."""

    def __init__(self, numbers: RuleNumbers) -> None:
        self._numbers = numbers
        self.entries: dict[PolicyKey, int] = {}
        self.peers: dict[Network, Peer] = {}
        self.services: dict[Frontend, ServiceRow] = {}
        self._doubtful_keys: dict[PolicyKey, None] = {}
        self._doubtful_prefixes: dict[Network, None] = {}
        self._doubtful_frontends: dict[Frontend, None] = {}

    def adopt(
        self, entries: Mapping[PolicyKey, int], peers: Mapping[Network, Peer], frontends: Iterable[Frontend] = ()
    ) -> None:
        """Take what the kernel was found to hold; all of it is to be looked at again."""
        self.entries = dict(entries)
        self.peers = dict(peers)
        for number in self.entries.values():
            self._numbers.use(number)
        self.services = dict.fromkeys(frontends, _UNKNOWN)
        self.doubt(entries, peers, self.services)

    def doubt(
        self,
        keys: Iterable[PolicyKey] = (),
        prefixes: Iterable[Network] = (),
        frontends: Iterable[Frontend] = (),
    ) -> None:
        """Look at these again when the next commit is made."""
        self._doubtful_keys.update(dict.fromkeys(keys))
        self._doubtful_prefixes.update(dict.fromkeys(prefixes))
        self._doubtful_frontends.update(dict.fromkeys(frontends))

    def difference(
        self,
        entry: Callable[[PolicyKey], RuleText | None],
        peer: Callable[[Network], Peer | None],
        service: Callable[[Frontend], ServiceRow | None],
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
        services = {frontend: service(frontend) for frontend in self._doubtful_frontends}
        services = {frontend: row for frontend, row in services.items() if row != self.services.get(frontend)}
        return Commit(rules=self._rows(policy.values()), policy=policy, peers=peers, services=services)

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
        for frontend, row in commit.services.items():
            self.services.pop(frontend, None)
            if row is not None:
                self.services[frontend] = row
        self._doubtful_keys.clear()
        self._doubtful_prefixes.clear()
        self._doubtful_frontends.clear()

    def _rows(self, used: Iterable[int]) -> dict[int, RuleRow]:
        """The rows of the numbers that no entry uses yet."""
        texts = {number: self._numbers.text(number) for number in used if number and not self._numbers.uses(number)}
        return {n: RuleRow(text.precedence, text.verdict, text.reason) for n, text in texts.items() if text}
