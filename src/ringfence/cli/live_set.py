"""The live set: the policies that an agent has in force and the workloads of its host, as if files had said so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

import click

from ringfence.cli.connection import connect
from ringfence.cli.session import Session
from ringfence.labels import DEFAULT_NAMESPACE, NAMESPACE_KEY, NAMESPACE_LABELS, Labels
from ringfence.policy.diff import union
from ringfence.policy.manifest import ContainerPort, Namespace, Pod
from ringfence.policy.parse import Parsed, Source, parse_documents
from ringfence.policy.services import EndpointSlice, Service, SliceEndpoint
from ringfence.traffic import parse_named_port

if TYPE_CHECKING:
    from ringfence.api.client import Client
    from ringfence.api.service_shapes import ServiceShape
    from ringfence.api.shapes import EndpointShape, PolicyShape


def live_set(client: Client) -> Parsed:
    """What an agent has. Policies keep the file and line that they were written at; shadow policies are not in force.

    Workloads of which nothing is known yet are left out.
    """
    policies = [client.policy(each["uid"]) for each in client.policies()]
    parsed = [parse_documents([_source(each)], strict=False) for each in policies]
    known = [(each, Labels.parse(each["labels"])) for each in client.endpoints()]
    known = [(each, labels) for each, labels in known if labels.namespace]
    services, slices = _balanced(client.services())
    return Parsed(
        policies=tuple(policy for each in parsed for policy in each.policies),
        namespaces=tuple(_namespaces(labels for _, labels in known)),
        pods=tuple(_pod(*each) for each in known),
        nodes=(),
        tests=(),
        warnings=(),
        passed_over={},
        services=tuple(services),
        slices=tuple(slices),
    )


def live_set_of_the_agent() -> Parsed:
    """The live set of the agent that the command line speaks of."""
    session = click.get_current_context().find_object(Session) or Session()
    with connect(session) as client:
        return live_set(client)


def laid_over(live: Parsed, new: Parsed) -> Parsed:
    """The live set once new policies are applied to it: each in the place of the one with the same uid. Workloads are
    those that there are, whatever stands beside the policies.
    """
    return replace(
        live,
        policies=union(live.policies, new.policies, lambda each: each.uid),
        namespaces=union(live.namespaces, new.namespaces, lambda each: each.name),
        services=union(live.services, new.services, lambda each: each.uid),
        slices=union(live.slices, new.slices, lambda each: each.uid),
        warnings=new.warnings,
    )


def _balanced(found: Iterable[ServiceShape]) -> tuple[list[Service], list[EndpointSlice]]:
    """The services as policies know them: by name, labels, selector and the addresses of slices."""
    services: list[Service] = []
    slices: list[EndpointSlice] = []
    for each in found:
        namespace, name = each["name"].split("/")
        selector = tuple(each["selector"].items())
        services.append(Service(namespace, name, (), (), selector, labels=Labels.parse(each["labels"])))
        for path, addresses in each["slices"].items():
            backends = tuple(SliceEndpoint((ip_address(address),)) for address in addresses)
            slices.append(EndpointSlice(namespace, path.partition("/")[2], name, backends, ()))
    return services, slices


def _source(policy: PolicyShape) -> Source:
    """The text where it stood in its file, so that its lines are those of the file."""
    name = policy["origin"].rpartition(":")[0]
    return Source(name, "\n" * (policy.get("text_line", 1) - 1) + policy.get("text", ""))


def _namespaces(known: Iterable[Labels]) -> Iterator[Namespace]:
    """The namespaces with the labels that their workloads carry."""
    found: dict[str, dict[str, str]] = {}
    for labels in known:
        told = {each.key.removeprefix(NAMESPACE_LABELS): each.value for each in labels if _is_of_namespace(each.key)}
        found.setdefault(labels.namespace or DEFAULT_NAMESPACE, {}).update(told)
    return (Namespace(name, labels) for name, labels in sorted(found.items()))


def _pod(endpoint: EndpointShape, labels: Labels) -> Pod:
    namespace = labels.namespace or DEFAULT_NAMESPACE
    own = [each for each in labels if not _is_of_namespace(each.key)]
    return Pod(
        namespace,
        endpoint["name"].removeprefix(f"{namespace}/"),
        tuple(each for each in own if each.key != NAMESPACE_KEY),
        tuple(map(ip_address, endpoint["addresses"])),
        tuple(map(_port, endpoint.get("ports", ()))),
    )


def _port(text: str) -> ContainerPort:
    name, protocol, number = parse_named_port(text)
    return ContainerPort(number, protocol, name)


def _is_of_namespace(key: str) -> bool:
    return key.startswith(NAMESPACE_LABELS)
