"""What generated worlds are made of: few names, prefixes and ports, so that policies meet the same packets often."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]

NAMESPACES = ("shop", "bank")
APPS = ("web", "db")
TIERS = ("1", "2")
ENVIRONMENTS = ("prod", "dev")
#: Nested, disjoint, of single addresses and of whole families; some contain pods and nodes.
PREFIXES = (
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.9.0.0/16",
    "10.9.1.0/24",
    "10.9.1.7/32",
    "10.0.0.2/31",
    "10.1.0.0/16",
    "192.0.2.0/24",
    "::/0",
    "fd00::/16",
    "fd09::/32",
    "fd09::/48",
)
EXCEPTS = {
    "0.0.0.0/0": ["10.9.0.0/16", "10.9.1.0/24", "10.0.0.0/8"],
    "10.0.0.0/8": ["10.9.0.0/16", "10.0.0.2/31", "10.1.0.0/16"],
    "10.9.0.0/16": ["10.9.1.0/24", "10.9.1.7/32"],
    "10.9.1.0/24": ["10.9.1.7/32"],
    "10.0.0.2/31": ["10.0.0.3/32"],
    "::/0": ["fd09::/32", "fd00::/16"],
    "fd09::/32": ["fd09::/48"],
}


def subset(**choices: tuple[str, ...]) -> st.SearchStrategy[Json]:
    """Some of these keys, each with one of its values."""
    return st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in choices.items()})


def few(one: st.SearchStrategy[Any], most: int = 2, least: int = 0) -> st.SearchStrategy[list[Any]]:
    """A short list, seldom an empty one."""
    filled = st.lists(one, min_size=max(least, 1), max_size=most)
    return filled if least else st.one_of(filled, filled, filled, filled, st.just([]))


def blocks() -> st.SearchStrategy[Json]:
    """Prefixes with exceptions inside them."""
    return st.sampled_from(PREFIXES).flatmap(
        lambda cidr: st.fixed_dictionaries(
            {"cidr": st.just(cidr)},
            optional={"except": st.lists(st.sampled_from(EXCEPTS.get(cidr, [cidr])), max_size=2, unique=True)},
        )
    )


def expressions(labels: dict[str, tuple[str, ...]]) -> st.SearchStrategy[Json]:
    """One of `matchExpressions` over these keys and values."""
    keys = st.sampled_from(sorted(labels))
    of_values = keys.flatmap(
        lambda key: st.builds(
            lambda operator, values: {"key": key, "operator": operator, "values": values},
            st.sampled_from(("In", "NotIn")),
            st.lists(st.sampled_from(labels[key]), min_size=1, max_size=2, unique=True),
        )
    )
    of_presence = st.builds(
        lambda key, operator: {"key": key, "operator": operator}, keys, st.sampled_from(("Exists", "DoesNotExist"))
    )
    return st.one_of(of_values, of_presence)


def selectors(
    labels: dict[str, tuple[str, ...]], present: st.SearchStrategy[Json] | None = None
) -> st.SearchStrategy[Json]:
    """Label selectors over these keys and values: few conditions, so that most select somebody."""
    one = st.sampled_from(sorted((key, value) for key, values in labels.items() for value in values))
    by_label = st.lists(one, min_size=1, max_size=1).map(lambda pairs: {"matchLabels": dict(pairs)})
    condition = expressions(labels) if present is None else st.one_of(expressions(labels), present)
    by_expression = few(condition, 1, least=1).map(lambda found: {"matchExpressions": found})
    both = st.builds(lambda some, others: some | others, by_label, by_expression)
    return st.one_of(st.just({}), st.just({}), by_label, by_label, by_expression, both)


def pod_selectors() -> st.SearchStrategy[Json]:
    """Over the pods' own labels, as Kubernetes' kinds have it."""
    return selectors({"app": APPS, "tier": TIERS})


def namespace_selectors() -> st.SearchStrategy[Json]:
    """Over the labels of namespaces, their name among them."""
    return selectors({"env": ENVIRONMENTS, "kubernetes.io/metadata.name": NAMESPACES})
