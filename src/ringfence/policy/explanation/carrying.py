"""Why a rule does not cover traffic: another port, another protocol, or a name that the destination gives no port."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ringfence.policy.explanation.fault import Cost, Fault, Faults, Fix, Kind, weight
from ringfence.policy.findings import distance
from ringfence.policy.rule import NamedPort, Ports, Rule
from ringfence.policy.world import Actor
from ringfence.traffic import WITH_PORTS, Protocol, Traffic, format_protocol, format_traffic

_LISTED: Final = 4


def traffic_faults(rule: Rule, traffic: Traffic, destination: Actor) -> Faults | None:
    """What is wrong with traffic that a rule does not cover; None for a rule that covers none at all."""
    found = [*_by_ranges(rule, traffic), *_by_names(rule, traffic, destination)]
    return min(found, key=weight, default=None)


def _by_ranges(rule: Rule, traffic: Traffic) -> Iterator[Faults]:
    for ports in rule.traffic:
        if ports.protocol is None:
            continue
        if ports.protocol == traffic.protocol:
            yield (_port_fault(rule, ports, traffic),)
        else:
            yield _protocol_faults(rule, ports, ports.protocol, traffic)


def _port_fault(rule: Rule, ports: Ports, traffic: Traffic) -> Fault:
    edge = ports.first if traffic.port < ports.first else ports.last
    slip = abs(edge - traffic.port) == 1 or distance(str(edge), str(traffic.port)) <= 1
    fix = Fix("traffic", traffic=Traffic(traffic.protocol, edge))
    if traffic.protocol in WITH_PORTS:
        text = f"port {traffic.port}, the rule allows {_allowed(rule, traffic.protocol)}"
    else:
        asked, allowed = (format_traffic(traffic.protocol, port) for port in (traffic.port, edge))
        text = f"{asked}, the rule allows {allowed}"
    return Fault(Kind.PORT, Cost.NEAR if slip else Cost.PORT, text, fix)


def _protocol_faults(rule: Rule, ports: Ports, protocol: int, traffic: Traffic) -> Faults:
    name, wanted = _name(traffic), format_protocol(protocol)
    if traffic.protocol in WITH_PORTS and protocol in WITH_PORTS:
        fix = Fix("traffic", traffic=Traffic(protocol, traffic.port))
        fault = Fault(Kind.PROTOCOL, Cost.NEAR, f"protocol {name}, the rule allows {wanted}", fix)
        if ports.first <= traffic.port <= ports.last:
            return (fault,)
        return fault, Fault(Kind.PORT, Cost.PORT, f"port {traffic.port}, the rule allows {_allowed(rule, protocol)}")
    fix = Fix("traffic", traffic=Traffic(protocol, ports.first))
    text = f"{traffic}, the rule allows {_all_allowed(rule)} only"
    families = {Protocol.ICMP, Protocol.ICMPV6}
    if {traffic.protocol, protocol} == families:
        text = f"{name} is another protocol than {wanted}, which the rule allows ({_all_allowed(rule)})"
    return (Fault(Kind.PROTOCOL, Cost.MISSING, text, fix),)


def _by_names(rule: Rule, traffic: Traffic, destination: Actor) -> Iterator[Faults]:
    for named in rule.named_ports:
        numbers = [each for each in destination.ports if each.name == named.name]
        fitting = [each for each in numbers if named.protocol in {None, Protocol[each.protocol]}]
        if not fitting:
            yield (_unnamed(named, traffic, destination, sorted({each.protocol for each in numbers})),)
        for each in fitting:
            protocol = Protocol[each.protocol]
            asked = f"port {traffic.port}" if protocol == traffic.protocol else f"{traffic}"
            text = f"{asked}, the rule allows the port named {named.name}, which is {each.port}/{each.protocol}"
            fix = Fix("traffic", traffic=Traffic(protocol, each.port))
            cost = Cost.NEAR if each.port == traffic.port else Cost.PORT - 1
            kind = Kind.PORT if protocol == traffic.protocol else Kind.PROTOCOL
            yield (Fault(kind, cost, f"{text} on {destination.name}", fix),)


def _unnamed(named: NamedPort, traffic: Traffic, destination: Actor, protocols: list[str]) -> Fault:
    """A name that the destination gives no port, or one of another protocol only."""
    if protocols:
        asked = format_protocol(named.protocol or 0)
        text = (
            f"{destination.name} has a port named {named.name} for {' and '.join(protocols)}, the rule allows {asked}"
        )
        return Fault(Kind.PORT_NAME, Cost.PLACE, text)
    has = ", ".join(f"{each.name} {each.port}/{each.protocol}" for each in destination.ports[:_LISTED])
    names = {each.name for each in destination.ports if (each.port, each.protocol) == (traffic.port, _name(traffic))}
    if names:
        text = (
            f"{destination.name} calls port {traffic.port} {' and '.join(sorted(names))}, the rule allows {named.name}"
        )
        return Fault(Kind.PORT_NAME, Cost.NEAR, text)
    text = f"{destination.name} defines no port named {named.name}, which the rule allows"
    return Fault(Kind.PORT_NAME, Cost.PLACE, f"{text} ({f'it has {has}' if has else 'it names no ports'})")


def _name(traffic: Traffic) -> str:
    return format_protocol(traffic.protocol)


def _allowed(rule: Rule, protocol: int) -> str:
    """The ports of a protocol that a rule allows."""
    told = [_span(ports) for ports in rule.traffic if ports.protocol == protocol]
    return _listed(told)


def _all_allowed(rule: Rule) -> str:
    told = [_icmp(ports) if ports.protocol not in WITH_PORTS else str(ports) for ports in rule.traffic]
    return _listed(told + [str(port) for port in rule.named_ports])


def _icmp(ports: Ports) -> str:
    return format_traffic(ports.protocol or 0, ports.first) if ports.first == ports.last else str(ports)


def _span(ports: Ports) -> str:
    return f"{ports.first}-{ports.last}" if ports.last > ports.first else str(ports.first)


def _listed(told: list[str]) -> str:
    further = f" and {len(told) - _LISTED} more" if len(told) > _LISTED else ""
    return ", ".join(told[:_LISTED]) + further
