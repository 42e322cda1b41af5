"""PolicyTest documents: what an author expects of policies, as cases of from, to, port and verdict.

A party is a pod by namespace/name, an address, an entity, or a workload that need not exist, known by its labels alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field

from ringfence.abi import Verdict
from ringfence.errors import Problem
from ringfence.identity.prefixes import Address
from ringfence.labels import DEFAULT_NAMESPACE, parse_label
from ringfence.policy.document import Document, Path
from ringfence.policy.rule import Origin
from ringfence.policy.schema import Closed, flaw
from ringfence.traffic import TrafficPattern, parse_pattern

#: Entities that a party can be. `all`, `cluster` and `none` are nobody in particular.
PARTY_ENTITIES: Final = frozenset(
    {"world", "world-ipv4", "world-ipv6", "host", "init", "ingress", "unmanaged", "remote-node", "health",
     "kube-apiserver"}
)  # fmt: skip
_POD: Final = re.compile(r"[a-z0-9][-a-z0-9.]*(/[a-z0-9][-a-z0-9.]*)?\Z")
_PARTY: Final = "namespace/pod, an address, an entity, or a mapping of labels and namespace"


@dataclass(frozen=True, slots=True)
class Party:
    """One end of a case. Exactly one of `pod` (namespace/name), `address`, `entity` and `labels` is given."""

    pod: str = ""
    address: Address | None = None
    entity: str = ""
    labels: tuple[str, ...] | None = None
    namespace: str = DEFAULT_NAMESPACE

    def __str__(self) -> str:
        if self.labels is not None:
            return f"{self.namespace}/{{{', '.join(self.labels)}}}"
        return self.pod or self.entity or str(self.address)


@dataclass(frozen=True, slots=True)
class Case:
    """One expectation. `by` names a policy, by its name or namespace/name, that must have decided."""

    source: Party
    destination: Party
    pattern: TrafficPattern
    expect: Verdict
    by: str | None
    source_place: Problem
    destination_place: Problem
    origin: Origin


@dataclass(frozen=True, slots=True)
class PolicyTest:
    """A document of cases."""

    name: str
    cases: tuple[Case, ...]
    origin: Origin


def parse_party(text: str) -> Party:
    """Read a party from a command line or a case. Raises ValueError for what is none."""
    try:
        return Party(address=ip_address(text))
    except ValueError:
        pass
    if text in PARTY_ENTITIES:
        return Party(entity=text)
    if not _POD.match(text):
        raise ValueError(f"{text!r} is none of {_PARTY}")
    return Party(pod=text if "/" in text else f"{DEFAULT_NAMESPACE}/{text}")


def _read_party(value: object) -> object:
    if isinstance(value, str):
        try:
            return parse_party(value)
        except ValueError:
            raise flaw(repr(value), _PARTY) from None
    if isinstance(value, dict):
        return _party_of_labels(value)
    raise flaw("no party", _PARTY)


def _party_of_labels(written: Mapping[object, object]) -> Party:
    for key in written:
        if key not in {"labels", "namespace"}:
            raise flaw(f"unknown field {key!r}", "labels, namespace", [str(key)])
    labels, namespace = written.get("labels"), written.get("namespace", DEFAULT_NAMESPACE)
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise flaw("no labels", "a mapping of texts", ["labels"])
    if not isinstance(namespace, str):
        raise flaw("no name of a namespace", "a text", ["namespace"])
    found = sorted(str(parse_label(f"{key}={value}")) for key, value in labels.items())
    return Party(labels=tuple(found), namespace=namespace)


def _read_pattern(value: object) -> TrafficPattern:
    try:
        return parse_pattern(value if isinstance(value, str) else f"{value}")
    except ValueError:
        raise flaw(f"port {value!r}", "8080/TCP, 53/UDP, 9/SCTP, echo-request/ICMP, any/TCP") from None


class _Case(Closed):
    source: Annotated[Any, BeforeValidator(_read_party), Field(alias="from")]
    to: Annotated[Any, BeforeValidator(_read_party)]
    port: Annotated[Any, BeforeValidator(_read_pattern)]
    expect: Literal["allow", "deny"]
    by: str | None = None


class _Metadata(Closed):
    name: str | None = None
    namespace: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class TestManifest(Closed):
    """A PolicyTest document."""

    __test__ = False

    api_version: str
    kind: str
    metadata: _Metadata | None = None
    cases: list[_Case]


def read_test(document: Document, written: TestManifest, base: Path) -> PolicyTest:
    """The cases that a checked document holds."""
    origin = Origin(document.file, document.place.at(base).line, document.number)
    name = (written.metadata.name if written.metadata else None) or str(origin)
    cases = tuple(_case(document, each, (*base, "cases", index)) for index, each in enumerate(written.cases))
    return PolicyTest(name, cases, origin)


def _case(document: Document, written: _Case, path: Path) -> Case:
    return Case(
        source=written.source,
        destination=written.to,
        pattern=written.port,
        expect=Verdict.ALLOW if written.expect == "allow" else Verdict.DENY,
        by=written.by,
        source_place=document.problem((*path, "from"), f"{written.source}", ""),
        destination_place=document.problem((*path, "to"), f"{written.to}", ""),
        origin=Origin(document.file, document.place.at(path).line, document.number),
    )
