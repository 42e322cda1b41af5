"""Parsing: from the texts of files to policies, manifests and tests, or all their problems at once.

Documents of a kind that is read here are checked whole. Others are faults where a person names the file to apply, and
are passed over and counted in the output of `kubectl get`. One object in two places is a fault:
which of them was meant, nobody can know.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ValidationError

from ringfence.errors import BadInput, Problem
from ringfence.policy.admin import (
    AdminNetworkPolicy,
    BaselineAdminNetworkPolicy,
    ClusterNetworkPolicy,
)
from ringfence.policy.case import PolicyTest, TestManifest, read_test
from ringfence.policy.cilium import CiliumCidrGroup, CiliumPolicy
from ringfence.policy.compile import read_cidr_group, read_policy
from ringfence.policy.conflict import conflicts
from ringfence.policy.document import Document, Path, read_documents
from ringfence.policy.kubernetes import NetworkPolicy, read_network_policy
from ringfence.policy.manifest import (
    Namespace,
    NamespaceManifest,
    Node,
    NodeManifest,
    Pod,
    PodManifest,
    read_namespace,
    read_node,
    read_pod,
)
from ringfence.policy.rule import Policy
from ringfence.policy.schema import validation_problems
from ringfence.policy.services import (
    EndpointSlice,
    Service,
    ServiceManifest,
    SliceManifest,
    read_service,
    read_slice,
)
from ringfence.policy.tiers import read_admin_policy


class Source(NamedTuple):
    """A text under the name that people know it by."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """What texts say. `passed_over` counts the documents of other kinds."""

    policies: tuple[Policy, ...]
    namespaces: tuple[Namespace, ...]
    pods: tuple[Pod, ...]
    nodes: tuple[Node, ...]
    tests: tuple[PolicyTest, ...]
    warnings: tuple[Problem, ...]
    passed_over: Mapping[str, int]
    services: tuple[Service, ...] = ()
    slices: tuple[EndpointSlice, ...] = ()


@dataclass(frozen=True, slots=True)
class _Kind:
    """How documents of a kind are read. `outdated` versions are read with a warning that names the current one."""

    model: type[BaseModel]
    read: Callable[[Document, Any, Path], object]
    versions: tuple[str, ...]
    outdated: tuple[str, ...] = ()


_CILIUM: Final = _Kind(CiliumPolicy, read_policy, ("cilium.io/v2",), ("cilium.io/v1alpha1", "cilium.io/v2alpha1"))
_ADMIN_V1: Final = ("policy.networking.k8s.io/v1alpha1",)
_ADMIN_V2: Final = ("policy.networking.k8s.io/v1alpha2",)
KINDS: Final = {
    "Namespace": _Kind(NamespaceManifest, read_namespace, ("v1",)),
    "Pod": _Kind(PodManifest, read_pod, ("v1",)),
    "Node": _Kind(NodeManifest, read_node, ("v1",)),
    "Service": _Kind(ServiceManifest, read_service, ("v1",)),
    "EndpointSlice": _Kind(SliceManifest, read_slice, ("discovery.k8s.io/v1",)),
    "PolicyTest": _Kind(TestManifest, read_test, ("ringfence.io/v1",)),
    "CiliumNetworkPolicy": _CILIUM,
    "CiliumClusterwideNetworkPolicy": _CILIUM,
    "NetworkPolicy": _Kind(NetworkPolicy, read_network_policy, ("networking.k8s.io/v1",)),
    "AdminNetworkPolicy": _Kind(AdminNetworkPolicy, read_admin_policy, _ADMIN_V1),
    "BaselineAdminNetworkPolicy": _Kind(BaselineAdminNetworkPolicy, read_admin_policy, _ADMIN_V1),
    "ClusterNetworkPolicy": _Kind(ClusterNetworkPolicy, read_admin_policy, _ADMIN_V2),
    "CiliumCIDRGroup": _Kind(CiliumCidrGroup, read_cidr_group, ("cilium.io/v2",), ("cilium.io/v2alpha1",)),
}
#: The annotation that lets a policy be judged without effect, and what it may say.
MODE: Final = "ringfence.io/mode"
SHADOW: Final = "shadow"
ENFORCE: Final = "enforce"
_LISTS: Final = frozenset({"List", *(f"{kind}List" for kind in KINDS)})


def parse_documents(sources: Iterable[Source], *, strict: bool = True) -> Parsed:
    """Read all documents of all sources. `strict` makes a document of an unknown kind a fault.

    Raises BadInput with every problem of every source; then nothing was read.
    """
    parser = _Parser(strict=strict)
    for source in sources:
        for document in read_documents(source.name, source.text, parser.problems):
            parser.take(document, document.data, ())
    return parser.result()


class _Parser:
    """Collects what documents say and what is wrong with them."""

    def __init__(self, *, strict: bool) -> None:
        self.problems: list[Problem] = []
        self._strict = strict
        self._found: list[object] = []
        self._passed_over: Counter[str] = Counter()

    def take(self, document: Document, data: Any, path: Path) -> None:
        """Read the object at a path of a document; a List's items each."""
        kind = data.get("kind") if isinstance(data, dict) else None
        if not isinstance(kind, str):
            found = "no kind" if isinstance(data, dict) else "no mapping"
            self._fault(document, path, found, "a manifest with apiVersion and kind")
        elif kind in _LISTS:
            self._take_list(document, data, path)
        elif kind in KINDS:
            self._read(document, data, path, KINDS[kind])
        elif self._strict:
            self._fault(document, (*path, "kind"), f"unknown kind {kind!r}", _known_kinds(kind))
        else:
            self._passed_over[kind] += 1

    def result(self) -> Parsed:
        """Raises BadInput if anything was wrong."""
        self.problems.extend(conflicts(self._found))
        errors = [each for each in self.problems if each.severity == "error"]
        if errors:
            raise BadInput(self.problems)
        return Parsed(
            policies=tuple(each for each in self._found if isinstance(each, Policy)),
            namespaces=tuple(each for each in self._found if isinstance(each, Namespace)),
            pods=tuple(each for each in self._found if isinstance(each, Pod)),
            nodes=tuple(each for each in self._found if isinstance(each, Node)),
            services=tuple(each for each in self._found if isinstance(each, Service)),
            slices=tuple(each for each in self._found if isinstance(each, EndpointSlice)),
            tests=tuple(each for each in self._found if isinstance(each, PolicyTest)),
            warnings=tuple(sorted(self.problems)),
            passed_over=dict(self._passed_over),
        )

    def _take_list(self, document: Document, data: Any, path: Path) -> None:
        items = data.get("items")
        if not isinstance(items, list):
            self._fault(document, (*path, "items"), "a list without items", "the field items, a list")
            return
        kind = data["kind"].removesuffix("List")
        for index, item in enumerate(items):
            # A list of one kind, as the API gives it, does not repeat kind and version in its items.
            typed = kind and isinstance(item, dict) and "kind" not in item
            whole = {"kind": kind, "apiVersion": data.get("apiVersion"), **item} if typed else item
            self.take(document, whole, (*path, "items", index))

    def _read(self, document: Document, data: Any, path: Path, kind: _Kind) -> None:
        self._check_version(document, data, path, kind)
        try:
            written = kind.model.model_validate(data)
        except ValidationError as error:
            self.problems.extend(validation_problems(document, path, kind.model, error))
        else:
            found = kind.read(document, written, path)
            shadow = isinstance(found, Policy) and self._is_shadow(document, data, path)
            self._found.append(found.staged if shadow and isinstance(found, Policy) else found)

    def _is_shadow(self, document: Document, data: Any, path: Path) -> bool:
        """Whether a policy is to be judged without effect. Anything else that is said of its mode is a fault."""
        annotations = data["metadata"].get("annotations")
        mode = annotations.get(MODE, ENFORCE) if isinstance(annotations, dict) else ENFORCE
        if mode not in (ENFORCE, SHADOW):
            self._fault(document, (*path, "metadata", "annotations", MODE), f"mode {mode}", f"{SHADOW} or {ENFORCE}")
        return bool(mode == SHADOW)

    def _check_version(self, document: Document, data: Any, path: Path, kind: _Kind) -> None:
        version, current = data.get("apiVersion"), kind.versions[0]
        if version in kind.versions:
            return
        found, expected = f"apiVersion {version}", f"{current}, the current version"
        problem = document.problem((*path, "apiVersion"), found, expected)
        if version in kind.outdated:
            file, line, column = problem.file, problem.line, problem.column
            self.problems.append(Problem(file, line, column, found, expected, "warning"))
        elif "apiVersion" in data or kind.model is not CiliumPolicy:
            self.problems.append(problem)

    def _fault(self, document: Document, path: Path, found: str, expected: str) -> None:
        self.problems.append(document.problem(path, found, expected))


def _known_kinds(kind: str) -> str:
    names = sorted({*KINDS, "List"})
    close = difflib.get_close_matches(kind, names, n=1)
    return close[0] if close else f"one of {', '.join(names)}"
