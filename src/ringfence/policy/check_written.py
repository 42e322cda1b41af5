"""What can be found in policies without any workload: by what is written, and by what each rule means alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import collapse_addresses
from typing import Any, Final

from ringfence.errors import Problem
from ringfence.identity.prefixes import Block
from ringfence.policy.document import Path
from ringfence.policy.findings import Finding, Kind
from ringfence.policy.rule import Rule
from ringfence.policy.written import Item, Written

#: Where peers are written, for each kind of policy.
KUBERNETES_PEERS: Final = ("from", "to")
CILIUM_PEERS: Final = (
    *(f"{way}{what}" for way in ("from", "to") for what in ("Endpoints", "CIDR", "CIDRSet", "Entities")),
    "toServices",
)
_CIDR_SETS: Final = ("fromCIDRSet", "toCIDRSet")
_GIVEN_UP: Final = ("fromRequires", "toRequires")
_SUPERSEDED: Final = ("AdminNetworkPolicy", "BaselineAdminNetworkPolicy")


def everybody(written: Written) -> Iterator[Finding]:
    """Items without peers. Who writes an empty list may mean nobody; who writes none mostly knows."""
    for item in written.items:
        way = "from" if str(item.path[-2]).startswith("ingress") else "to"
        if written.cilium:
            ports = item.data.get("toPorts") or item.data.get("icmps")
            if ports and all(item.data.get(field) is None for field in CILIUM_PEERS):
                found = f"ports for everybody: nothing says {way} whom"
                yield written.finding(Kind.ALLOWS_EVERYBODY, "info", item.path, found)
        elif way in item.data and not item.data[way]:
            found = f"`{way}` is empty and so means everybody"
            yield written.finding(Kind.ALLOWS_EVERYBODY, "warning", (*item.path, way), found, key=True)
        elif way not in item.data:
            what = "ports for everybody" if item.data.get("ports") else "everything for everybody"
            yield written.finding(Kind.ALLOWS_EVERYBODY, "info", item.path, f"{what}: there is no `{way}`")


def nobody(written: Written) -> Iterator[Finding]:
    """Empty lists of Cilium's, which mean the opposite of Kubernetes' empty `from`."""
    for item in written.items if written.cilium else ():
        given = [field for field in CILIUM_PEERS if item.data.get(field) is not None]
        if given and not any(item.data[field] for field in given):
            found = f"`{given[0]}` is empty and so means nobody"
            yield written.finding(Kind.MEANS_NOBODY, "warning", (*item.path, given[0]), found, key=True)


def blocks(written: Written, item: Item) -> Iterator[tuple[Path, Block]]:
    """The blocks with exceptions that an item writes, each with its place."""
    for field, index, element in elements(item, (*_CIDR_SETS, *KUBERNETES_PEERS)):
        inner = () if field in _CIDR_SETS else ("ipBlock",)
        block = element if field in _CIDR_SETS else element.get("ipBlock")
        if isinstance(block, Mapping) and block.get("except"):
            peers = written.meaning(item, field, element).peers
            path = (*item.path, field, index, *inner)
            yield from ((path, each) for each in (*peers.outside, *peers.addresses))


def removed(written: Written) -> Iterator[Finding]:
    """Exceptions that together are the whole prefix."""
    for item in written.items:
        for path, block in blocks(written, item):
            if [block.prefix] == list(collapse_addresses(block.excepts)):  # type: ignore[type-var] # of one family
                found = f"the exceptions take all of {block.prefix} away"
                yield written.finding(Kind.EXCEPT_REMOVES_ALL, "error", (*path, "except"), found, key=True)


def deprecated(written: Written) -> Iterator[Finding]:
    """Fields and kinds that their makers have given up."""
    for item in written.items:
        for field in _GIVEN_UP:
            if field in item.data:
                path = (*item.path, field)
                yield written.finding(Kind.DEPRECATED, "warning", path, f"`{field}`, given up by Cilium", key=True)
    if written.policy.kind in _SUPERSEDED:
        found = f"{written.policy.kind}, which ClusterNetworkPolicy supersedes"
        yield written.finding(Kind.DEPRECATED, "info", ("kind",), found)


def outdated(warnings: Iterable[Problem]) -> Iterator[Finding]:
    """Versions that are read, but are no longer the current ones."""
    for each in warnings:
        found = f"{each.found} instead of {each.expected}"
        yield Finding(each.file, each.line, each.column, Kind.DEPRECATED, "warning", "", found)


def duplicates(policies: Iterable[Written]) -> Iterator[Finding]:
    """Rules that say word for word what another says, of the same policy or of another."""
    first: dict[object, tuple[Written, Rule]] = {}
    for written in policies:
        for item in written.items:
            if item.rule is not None:
                other, rule = first.setdefault(_said(item.rule), (written, item.rule))
                if rule is not item.rule:
                    found = f"the same rule as in {rule.origin} ({other.policy.uid})"
                    yield written.finding(Kind.DUPLICATE_RULE, "warning", item.path, found)


def elements(item: Item, fields: Iterable[str]) -> Iterator[tuple[str, int, Any]]:
    """The elements of some lists of an item: field, place in the list, what is written."""
    for field in fields:
        yield from ((field, index, each) for index, each in enumerate(item.data.get(field) or []))


def _said(rule: Rule) -> object:
    peers = rule.peers
    whom = (
        peers.anyone,
        *map(frozenset, (peers.selectors, peers.outside, peers.addresses, peers.groups, peers.services)),
    )
    what = (frozenset(rule.traffic), frozenset(rule.named_ports))
    where = (rule.direction, rule.verdict, rule.subject, rule.tier, rule.priority, rule.default_deny)
    return (*where, whom, what)
