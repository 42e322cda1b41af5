"""Why a selector does not select a workload: the labels that would have to be others, one after the other.

A requirement is repaired in the way that is nearest to the labels that are there; what that breaks is repaired too, so
that a selector is a single fault away only if changing that label alone makes it match.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from ringfence.labels import NAMESPACE_KEY, NAMESPACE_LABELS, NAMESPACE_NAME_LABEL, Label, Labels
from ringfence.policy.explanation.fault import Cost, Fault, Faults, Fix, Kind, alike
from ringfence.policy.findings import distance
from ringfence.selector import ANY_SOURCE, Operator, Requirement, Selector

#: Rules that miss by more are no near misses.
MOST: Final = 2
_SOME_VALUE: Final = "any-value"


@dataclass(frozen=True, slots=True)
class Asking:
    """Who is asked about, and by whom: `own` is the namespace of the policy, empty for one that has none."""

    who: str
    end: Literal["subject", "peer"]
    own: str

    @property
    def wants(self) -> str:
        return "the policy selects" if self.end == "subject" else "the rule wants"


def count_missing(selector: Selector, labels: Labels, most: int = MOST) -> int:
    """How many requirements are not met, up to one more than matter."""
    missing = 0
    for requirement in selector.requirements:
        missing += not requirement.matches(labels)
        if missing > most:
            break
    return missing


def selector_faults(selector: Selector, labels: Labels, asking: Asking) -> Faults | None:
    """What is wrong with a workload's labels; None where no change of a few labels makes the selector match."""
    found: list[Fault] = []
    for _ in range(MOST + 1):
        failing = next((each for each in selector.requirements if not each.matches(labels)), None)
        if failing is None:
            return tuple(found)
        fault = _fault(failing, labels, asking)
        if fault.fix is None:
            return None
        found.append(fault)
        labels = mended(labels, fault.fix)
    return None


def mended(labels: Labels, fix: Fix) -> Labels:
    """Labels with one put or some dropped."""
    kept = [label for label in labels if label not in fix.drop]
    return Labels(kept) | ([fix.put] if fix.put else [])


def _fault(requirement: Requirement, labels: Labels, asking: Asking) -> Fault:
    have = requirement.labels_meant(labels)
    if requirement.operator.negative:
        return _unwanted(requirement, have, asking)
    value = _nearest_value(requirement, [label.value for label in have])
    source = "k8s" if requirement.source == ANY_SOURCE else requirement.source
    fix = Fix(asking.end, put=Label(source, requirement.key, value))
    if requirement.key == NAMESPACE_KEY:
        return _of_namespace(requirement, labels, asking, fix)
    if have:
        text = f"{_told(have[0])} on {_bearer(requirement.key, labels, asking)}, {_wanted(requirement, asking)}"
        cost, remark = _of_values(have[0].value, value, asking)
        return Fault(Kind.LABEL, cost, text + remark, fix)
    return _absent(requirement, labels, asking, fix)


def _nearest_value(requirement: Requirement, have: list[str]) -> str:
    if requirement.operator is Operator.EXISTS:
        return _SOME_VALUE
    values = sorted(requirement.values)
    return min(values, key=lambda value: min((distance(value, each) for each in have), default=0))


def _of_values(has: str, wanted: str, asking: Asking) -> tuple[int, str]:
    """How far one value is from another, and what is to be said of that."""
    if has.lower() == wanted.lower():
        return Cost.SLIP, " (they differ in case)"
    if alike(has, wanted):
        return Cost.SLIP, ""
    return (Cost.UNLIKE if asking.end == "peer" else Cost.FOR_OTHERS), ""


def _of_namespace(requirement: Requirement, labels: Labels, asking: Asking, fix: Fix) -> Fault:
    has = labels.namespace or "none"
    names = " or ".join(sorted(requirement.values)) or "any"
    if asking.end == "subject":
        text = f"{asking.who} is in namespace {has}, the policy is in {names} and selects in no other"
        text = text if asking.own else f"{asking.who} is in namespace {has}, the policy selects in {names}"
        return Fault(Kind.NAMESPACE, Cost.PLACE, text, fix)
    own = requirement.values == {asking.own}
    remark = ", its policy's own namespace, for it names no other" if own else ""
    return Fault(Kind.NAMESPACE, Cost.PLACE, f"namespace {has} of {asking.who}, the rule looks in {names}{remark}", fix)


def _absent(requirement: Requirement, labels: Labels, asking: Asking, fix: Fix) -> Fault:
    """A label that is not there, or that is there under a key that is written otherwise."""
    wanted = _wanted(requirement, asking)
    for label in labels:
        named, key = _shown_key(label.key), _shown_key(requirement.key)
        same_value = not requirement.values or label.value in requirement.values
        if label.key == requirement.key:
            text = f"{_told(label)} on {asking.who} is of the source {label.source}, {wanted} of {requirement.source}"
            return Fault(Kind.LABEL, Cost.KEY, text, fix)
        if same_value and alike(named, key) and _in_namespace(label.key) == _in_namespace(requirement.key):
            bearer = _bearer(requirement.key, labels, asking)
            remark = " (the keys differ in case)" if named.lower() == key.lower() else " (another key)"
            return Fault(Kind.LABEL, Cost.SLIP, f"{_told(label)} on {bearer}, {wanted}{remark}", fix)
    return _under_another_key(requirement, labels, asking, fix) or _missing(requirement, labels, asking, fix)


def _under_another_key(requirement: Requirement, labels: Labels, asking: Asking, fix: Fix) -> Fault | None:
    """The wanted value under another key altogether: `name=web` where `app=web` is asked for."""
    for label in labels:
        if label.source == "k8s" and label.key != NAMESPACE_KEY and label.value in requirement.values:
            if _shown_key(label.key) == _shown_key(requirement.key):
                bearers = [_bearer(key, labels, asking) for key in (label.key, requirement.key)]
                text = f"{_told(label)} is a label of {bearers[0]}, {asking.wants} it on {bearers[1]}"
                return Fault(Kind.LABEL, Cost.KEY, text, fix)
            text = f"{_told(label)} on {_bearer(label.key, labels, asking)}, {_wanted(requirement, asking)}"
            return Fault(Kind.LABEL, Cost.KEY, f"{text} (another key)", fix)
    return None


def _missing(requirement: Requirement, labels: Labels, asking: Asking, fix: Fix) -> Fault:
    bearer = _bearer(requirement.key, labels, asking)
    text = f"{bearer} has no label {_shown_key(requirement.key)}, {_wanted(requirement, asking)}"
    if requirement.key == f"{NAMESPACE_LABELS}name":
        text += f" (Kubernetes names namespaces by the label {NAMESPACE_NAME_LABEL})"
    return Fault(Kind.LABEL, Cost.MISSING if asking.end == "peer" else Cost.PORT, text, fix)


def _unwanted(requirement: Requirement, have: list[Label], asking: Asking) -> Fault:
    """A label that a requirement does not want, and that is there."""
    labels = Labels(have)
    bearer = _bearer(requirement.key, labels, asking)
    kind = Kind.NAMESPACE if requirement.key == NAMESPACE_KEY else Kind.LABEL
    if kind is Kind.NAMESPACE:
        names = ", ".join(sorted(requirement.values))
        text = f"namespace {have[0].value} of {asking.who}, {asking.wants} any but {names}"
    else:
        text = f"{_told(have[0])} on {bearer}, {_wanted(requirement, asking)}"
    return Fault(kind, Cost.MISSING, text, Fix(asking.end, drop=tuple(have)))


def spared(selector: Selector, labels: Labels, who: str) -> str:
    """Whom a selector that matches leaves out, and what a workload has instead; empty where it leaves nobody out."""
    asking = Asking(who, "peer", "")
    for requirement in selector.requirements:
        if requirement.operator.negative:
            key, bearer = _shown_key(requirement.key), _bearer(requirement.key, labels, asking)
            values = ", ".join(sorted(requirement.values)) or "any value"
            have = requirement.labels_meant(labels)
            return f"it spares {key}={values}, and {bearer} has {_told(have[0]) if have else 'no such label'}"
    return ""


def _wanted(requirement: Requirement, asking: Asking) -> str:
    """`the rule wants app=web`, `the policy selects env in (dev, prod)`."""
    key, values = _shown_key(requirement.key), ", ".join(sorted(requirement.values))
    told = {
        Operator.IN: f"{key}={values}" if len(requirement.values) == 1 else f"{key} in ({values})",
        Operator.NOT_IN: f"{key} not in ({values})",
        Operator.EXISTS: f"{key} with any value",
        Operator.DOES_NOT_EXIST: f"no label {key}",
    }
    return f"{asking.wants} {told[requirement.operator]}"


def _bearer(key: str, labels: Labels, asking: Asking) -> str:
    """Whose label a key is: a workload's or its namespace's."""
    if not _in_namespace(key):
        return asking.who
    return f"namespace {labels.namespace}" if labels.namespace else f"the namespace of {asking.who}"


def _in_namespace(key: str) -> bool:
    return key.startswith(NAMESPACE_LABELS)


def _shown_key(key: str) -> str:
    """A key as it is written in manifests."""
    return NAMESPACE_NAME_LABEL if key == NAMESPACE_KEY else key.removeprefix(NAMESPACE_LABELS)


def _told(label: Label) -> str:
    return f"{_shown_key(label.key)}={label.value}" if label.value else _shown_key(label.key)
