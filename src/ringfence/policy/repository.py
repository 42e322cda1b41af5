"""The repository: the policies in force, by uid, and what a new version of one changes.

A rule that a new version of its policy writes in the same way at the same place is the same rule and is left alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from ringfence.errors import BadInput, NotFound
from ringfence.policy.rule import Policy, Rule


@dataclass(frozen=True, slots=True)
class RuleDelta:
    """Rules that have come and gone. What is in neither stays as it is."""

    added: tuple[Rule, ...] = ()
    removed: tuple[Rule, ...] = ()


class Repository:
    """Policies by uid, in the order in which they were first added."""

    def __init__(self) -> None:
        self._policies: dict[str, Policy] = {}

    def put(self, policy: Policy) -> RuleDelta:
        """Add a policy, or put it in the place of the one with the same uid."""
        old = self._policies.get(policy.uid)
        self._policies[policy.uid] = policy
        return _delta(old.rules if old else (), policy.rules)

    def remove(self, uid: str) -> RuleDelta:
        """Raises NotFound."""
        if uid not in self._policies:
            raise NotFound(f"no policy {uid} is applied; `ringfence policy list` shows those that are")
        return _delta(self._policies.pop(uid).rules, ())

    def get(self, uid: str) -> Policy | None:
        return self._policies.get(uid)

    def find(self, name: str) -> Policy:
        """The one policy that a person calls so: by its name, namespace/name or kind/namespace/name.

        Raises NotFound, and BadInput where several are called so.
        """
        found = [policy for policy in self._policies.values() if is_called(policy.uid, name)]
        if not found:
            raise NotFound(f"no policy {name} is applied; `ringfence policy list` shows those that are")
        if len(found) > 1:
            raise BadInput(f"{name} may be any of {', '.join(policy.uid for policy in found)}: say which")
        return found[0]

    def rules(self) -> list[Rule]:
        """All rules in the order in which they are judged: tier, priority, order, then as written."""
        rules = [rule for policy in self._policies.values() for rule in policy.rules]
        return sorted(rules, key=lambda rule: (rule.tier, -rule.precedence, rule.sequence))

    def __iter__(self) -> Iterator[Policy]:
        return iter(self._policies.values())

    def __contains__(self, uid: str) -> bool:
        return uid in self._policies

    def __len__(self) -> int:
        return len(self._policies)


def is_called(uid: str, name: str) -> bool:
    """Whether a person who says `name` may mean the policy `uid`."""
    parts = name.split("/")
    return uid.split("/")[-len(parts) :] == parts


def _delta(before: tuple[Rule, ...], after: tuple[Rule, ...]) -> RuleDelta:
    kept = Counter(before) & Counter(after)
    return RuleDelta(
        added=tuple(rule for rule in after if rule not in kept),
        removed=tuple(rule for rule in before if rule not in kept),
    )
