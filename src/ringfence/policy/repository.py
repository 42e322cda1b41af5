"""The repository: the policies in force, by uid, and what a new version of one changes.

A rule that a new version of its policy writes in the same way at the same place is the same rule and is left alone. A
rule that speaks of CIDR groups is in force with the prefixes that they hold, one that speaks of services with their
backends; when one of them changes, so does it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from ringfence.errors import BadInput, NotFound
from ringfence.identity.prefixes import Block, inside
from ringfence.policy.rule import CidrGroup, GroupBlock, Policy, Rule
from ringfence.policy.service_set import ServiceSet


@dataclass(frozen=True, slots=True)
class RuleDelta:
    """Rules that have come and gone. What is in neither stays as it is."""

    added: tuple[Rule, ...] = ()
    removed: tuple[Rule, ...] = ()


class Repository:
    """Policies by uid, in the order in which they were first added."""

    def __init__(self, services: ServiceSet | None = None) -> None:
        self._policies: dict[str, Policy] = {}
        self._groups: dict[str, CidrGroup] = {}
        self._services = ServiceSet() if services is None else services
        #: The rules in force of the policies that speak of groups or services; those of all others are as written.
        self._grouped: dict[str, tuple[Rule, ...]] = {}

    def change(self, put: Iterable[Policy] = (), remove: Iterable[str] = ()) -> RuleDelta:
        """Add policies, each in the place of the one with the same uid, and take policies out that are there."""
        wanted: dict[str, Policy | None] = {policy.uid: policy for policy in put}
        wanted |= dict.fromkeys(remove)
        groups = [each.group for uid, new in wanted.items() for each in (new, self._policies.get(uid)) if each]
        touched = [*wanted, *(uid for uid in self._grouped if uid not in wanted)] if any(groups) else list(wanted)
        before = {uid: self._in_force(uid) for uid in touched}
        for uid, policy in wanted.items():
            self._set(uid, policy)
        return self._expanded(before)

    def services_changed(self) -> RuleDelta:
        """The services that rules speak of are others now."""
        spoken_of = [uid for uid in self._grouped if any(rule.peers.services for rule in self._policies[uid].rules)]
        return self._expanded({uid: self._in_force(uid) for uid in spoken_of})

    def _expanded(self, before: Mapping[str, tuple[Rule, ...]]) -> RuleDelta:
        """Put what groups and services stand for into the rules of policies. `before`: their rules in force so far."""
        for uid in before:
            self._expand(uid)
        deltas = [_delta(old, self._in_force(uid)) for uid, old in before.items()]
        return RuleDelta(
            added=tuple(rule for delta in deltas for rule in delta.added),
            removed=tuple(rule for delta in deltas for rule in delta.removed),
        )

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
        rules = [rule for uid in self._policies for rule in self._in_force(uid)]
        return sorted(rules, key=lambda rule: (rule.tier, -rule.precedence, rule.sequence))

    def __iter__(self) -> Iterator[Policy]:
        return iter(self._policies.values())

    def __contains__(self, uid: str) -> bool:
        return uid in self._policies

    def __len__(self) -> int:
        return len(self._policies)

    def _in_force(self, uid: str) -> tuple[Rule, ...]:
        if uid in self._grouped:
            return self._grouped[uid]
        return self._policies[uid].rules if uid in self._policies else ()

    def _set(self, uid: str, policy: Policy | None) -> None:
        old = self._policies.get(uid)
        if old is not None and old.group is not None:
            del self._groups[old.group.name]
        if policy is None:
            del self._policies[uid]
            return
        self._policies[uid] = policy
        if policy.group is not None:
            self._groups[policy.group.name] = policy.group

    def _expand(self, uid: str) -> None:
        self._grouped.pop(uid, None)
        rules = self._policies[uid].rules if uid in self._policies else ()
        if any(rule.peers.groups or rule.peers.services for rule in rules):
            self._grouped[uid] = tuple(self._services.resolve(self._with_prefixes(rule)) for rule in rules)

    def _with_prefixes(self, rule: Rule) -> Rule:
        if not rule.peers.groups:
            return rule
        blocks = [block for written in rule.peers.groups for block in self._blocks(written)]
        outside = tuple(dict.fromkeys((*rule.peers.outside, *blocks)))
        return replace(rule, peers=replace(rule.peers, outside=outside, groups=()))

    def _blocks(self, written: GroupBlock) -> Iterator[Block]:
        for group in self._groups.values():
            for prefix in group.prefixes if written.means(group) else ():
                if not any(inside(prefix, each) for each in written.excepts):
                    yield Block(prefix, tuple(each for each in written.excepts if inside(each, prefix)))


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
