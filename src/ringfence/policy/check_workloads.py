"""What can be found in policies by the workloads beside them: whom they select, what ports and addresses those have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from ipaddress import ip_address
from typing import Any, Final

from ringfence.abi import Direction, Verdict
from ringfence.identity.prefixes import Network, host_network
from ringfence.identity.reserved import RESERVED_LABELS, WHOLE_FAMILY, Reserved
from ringfence.labels import NAMESPACE_KEY, Label, workload_labels
from ringfence.policy.check_written import elements
from ringfence.policy.document import Path
from ringfence.policy.evaluate import Oracle, peer_meant
from ringfence.policy.findings import Finding, Kind, Severity, nearest
from ringfence.policy.rule import NOBODY, Ports, Rule
from ringfence.policy.world import Actor, outside_labels
from ringfence.policy.written import Item, Written
from ringfence.selector import Operator, Requirement, Selector
from ringfence.traffic import Protocol

_SELECTORS: Final = ("fromEndpoints", "toEndpoints", "from", "to")
_CIDRS: Final = ("fromCIDR", "toCIDR", "fromCIDRSet", "toCIDRSet")
_DNS: Final = 53
_DNS_APPS: Final = ("kube-dns", "coredns")
#: A range of ports up to this size that DNS's lies in was written with DNS in mind, maybe.
_FEW_PORTS: Final = 1024
_NAMED: Final = 3
#: Servers of the world, for everybody's use: who may reach all of the world reaches them.
_RESOLVERS: Final = ("8.8.8.8", "2001:4860:4860::8888")


class Workloads:
    """The workloads that policies are asked about, with what is asked of all of them again and again."""

    def __init__(self, actors: Iterable[Actor]) -> None:
        self.actors = list(actors)
        self.labels = list(dict.fromkeys(actor.labels for actor in self.actors))
        self._empty: dict[Selector, bool] = {}

    @cached_property
    def networks(self) -> list[tuple[Network, str]]:
        """Every address with the name of whom it belongs to."""
        return [(host_network(address), actor.name) for actor in self.actors for address in actor.addresses]

    def has_none(self, selector: Selector) -> bool:
        """Whether a selector selects none of them."""
        if selector not in self._empty:
            self._empty[selector] = not any(map(selector.matches, self.labels))
        return self._empty[selector]


def selects_nothing(written: Written, workloads: Workloads) -> Iterator[Finding]:
    """Selectors of subjects and of peers that select none of the workloads."""
    for spec in written.specs():
        rule = next((item.rule for item in written.items if item.spec == spec and item.rule), None)
        if rule and not rule.for_host and workloads.has_none(rule.subject):
            told = missed(rule.subject, workloads.actors)
            yield written.finding(
                Kind.SELECTS_NOTHING, "warning", written.subject(spec), f"protects no workload: {told}"
            )
    for item in written.items:
        for field, index, element in elements(item, _SELECTORS):
            for selector in written.meaning(item, field, element).peers.selectors:
                if _of_workloads(selector) and workloads.has_none(selector):
                    path, told = (*item.path, field, index), missed(selector, workloads.actors)
                    yield written.finding(Kind.SELECTS_NOTHING, "warning", path, f"selects no workload: {told}")


def _of_workloads(selector: Selector) -> bool:
    return not selector.mentions_source("reserved") and not selector.mentions_source("cidr")


def missed(selector: Selector, workloads: Sequence[Actor]) -> str:
    """What nobody has, and what is most like it."""
    for requirement in selector.requirements:
        alone = Selector((requirement,))
        if not any(alone.matches(actor.labels) for actor in workloads):
            return f"none has {requirement}{_alike(requirement, workloads)}"
    others = Selector.of(each for each in selector.requirements if each.key != NAMESPACE_KEY)
    elsewhere = [actor.name for actor in workloads if others.matches(actor.labels)]
    if others != selector and elsewhere:
        return f"none has {selector}, but {_some(elsewhere)} would in their own namespace"
    return f"none has all of {selector}"


def _alike(requirement: Requirement, workloads: Sequence[Actor]) -> str:
    """The labels that are most like those asked for: of the same key if there are any."""
    labels = {(label.key, label.value) for actor in workloads for label in actor.labels if label.source != "reserved"}
    values = sorted(requirement.values) if requirement.operator is Operator.IN else []
    if any(key == requirement.key for key, _ in labels):
        of_key = [value for key, value in labels if key == requirement.key]
        close = [each for value in values for each in nearest(value, of_key)] or sorted(set(of_key))
        found = [f"{requirement.key}={each}" for each in close][:_NAMED]
    else:
        texts = {f"{key}={value}": key for key, value in labels}
        asked = [f"{requirement.key}={value}" for value in values]
        found = [each for text in asked for each in nearest(text, texts)]
        found = found or nearest(requirement.key, texts.values())
    return f" (nearest: {', '.join(dict.fromkeys(found))})" if found else ""


def unknown_port_names(written: Written, workloads: Workloads) -> Iterator[Finding]:
    """Ports by names that no container has, of those that the packets would go to."""
    for item in written.items:
        rule = item.rule
        destinations = _destinations(rule, workloads.actors) if rule and rule.named_ports else []
        for port in rule.named_ports if rule and destinations else ():
            names = {
                each.name for actor in destinations for each in actor.ports if _speaks(port.protocol, each.protocol)
            }
            if port.name not in names:
                like = nearest(port.name, names) or sorted(names)[:_NAMED]
                told = f" (they have {', '.join(like)})" if like else " (they name no ports)"
                found = f"no container of {_some([each.name for each in destinations])} calls a port {port}{told}"
                yield written.finding(Kind.UNKNOWN_PORT_NAME, "warning", _place(item, port.name), found)


def _speaks(asked: int | None, protocol: str) -> bool:
    return asked is None or Protocol[protocol] == asked


def _destinations(rule: Rule, workloads: Sequence[Actor]) -> list[Actor]:
    if rule.direction == Direction.INGRESS:
        return [actor for actor in workloads if rule.selects(actor.labels)]
    return [actor for actor in workloads if any(peer_meant(rule, actor, address) for address in actor.addresses)]


def _place(item: Item, name: str) -> Path:
    return next((path for path, value in _leaves(item.data, item.path) if value == name), item.path)


def _leaves(data: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(data, Mapping):
        inner = data.items()
    elif isinstance(data, list):
        inner = enumerate(data)
    else:
        yield path, data
    for step, value in inner:
        yield from _leaves(value, (*path, step))


def ignored_workloads(written: Written, workloads: Workloads) -> Iterator[Finding]:
    """Prefixes of Cilium's rules that workloads' addresses lie in. Who writes all addresses mostly means the world."""
    for item in written.items if written.cilium else ():
        for field, index, element in elements(item, _CIDRS):
            for block in written.meaning(item, field, element).peers.outside:
                inside = sorted({name for network, name in workloads.networks if network in block})
                if inside:
                    found = f"{block} has the addresses of {_some(inside)}, which it does not mean"
                    severity: Severity = "info" if block.prefix in WHOLE_FAMILY else "warning"
                    path = (*item.path, field, index)
                    yield written.finding(Kind.CIDR_IGNORES_WORKLOADS, severity, path, found)


def cuts_off_dns(written: Written, workloads: Sequence[Actor], oracle: Oracle) -> Iterator[Finding]:
    """Egress policies whose workloads may reach somebody, but nobody who answers DNS."""
    isolating = [rule for rule in written.policy.rules if rule.direction == Direction.EGRESS and rule.default_deny]
    servers = _servers(workloads)
    cut = [actor.name for actor in workloads if _cut_off(actor, isolating, oracle, servers)]
    if cut:
        rule = next((rule for rule in isolating if written.place_of(rule)), isolating[0])
        path = written.place_of(rule)[:-1] or ("spec",)
        found = f"{_some(cut)} may send, but to no DNS server on port 53, by this or any other policy"
        yield written.finding(Kind.CUTS_OFF_DNS, "warning", path, found, key=True)


def _cut_off(actor: Actor, isolating: Sequence[Rule], oracle: Oracle, servers: Sequence[Actor]) -> bool:
    """Nothing allowed at all is a decision that somebody made; something, but no names, is mostly none."""
    if not any(rule.selects(actor.labels) for rule in isolating):
        return False
    allowing = [rule for rule in oracle.selecting(Direction.EGRESS, actor) if rule.verdict == Verdict.ALLOW]
    allowing = [rule for rule in allowing if rule.peers != NOBODY]
    return bool(allowing) and not any(_helps(rule, servers) for rule in allowing)


def _helps(rule: Rule, servers: Sequence[Actor]) -> bool:
    ranges = [ports for ports in rule.traffic if _covers_dns(ports)]
    if any(ports.protocol is not None and ports.last - ports.first < _FEW_PORTS for ports in ranges):
        return True
    meant = any(peer_meant(rule, server, address) for server in servers for address in server.addresses)
    return meant and bool(ranges)


def _covers_dns(ports: Ports) -> bool:
    return ports.protocol is None or (
        ports.protocol in {Protocol.UDP, Protocol.TCP} and ports.first <= _DNS <= ports.last
    )


def _servers(workloads: Sequence[Actor]) -> list[Actor]:
    """Who answers DNS: the cluster's own if it is there, else one labelled as it mostly is; the node and the world."""
    found = [
        actor
        for actor in workloads
        if any(label.value in _DNS_APPS for label in actor.labels)
        or actor.name.rpartition("/")[2].startswith("coredns")
    ]
    addresses = tuple(address for actor in workloads[:1] for address in actor.addresses)
    resolvers = tuple(map(ip_address, _RESOLVERS))
    labels = workload_labels([Label("k8s", "k8s-app", "kube-dns")], "kube-system", {})
    usual = Actor("DNS", labels, addresses, local=True)
    host = Actor("host", RESERVED_LABELS[Reserved.HOST], addresses, reserved=Reserved.HOST)
    return [*(found or [usual]), host, Actor("world", outside_labels(resolvers), resolvers, outside=True)]


def _some(names: Sequence[str]) -> str:
    """A few names, and how many more."""
    listed = ", ".join(names[:_NAMED])
    return f"{listed} and {len(names) - _NAMED} more" if len(names) > _NAMED else listed
