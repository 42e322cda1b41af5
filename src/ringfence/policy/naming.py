"""What groups of parties are called to people: workloads by namespace and labels, the outside by prefixes."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Final

from ringfence.identity.prefixes import Network
from ringfence.labels import NAMESPACE_KEY, PORT_SOURCE, Label, Labels
from ringfence.policy.classes import longest

#: What is in no prefix that a rule names.
WORLD: Final = "world"
_OF_THE_SYSTEM: Final = frozenset({"reserved", "cidr", PORT_SOURCE})


def workload_name(labels: Labels, keep: Callable[[str], bool] = lambda _key: True) -> str:
    """A workload's labels as people tell them apart: namespace first, without what is the namespace's own.

    `keep` says of a key whether it counts.
    """
    texts = [_text(label) for label in labels if _own(label) and keep(label.key)]
    namespace = labels.namespace or ""
    return f"{namespace}/{','.join(sorted(texts)) or '*'}"


def _own(label: Label) -> bool:
    return label.source not in _OF_THE_SYSTEM and label.key != NAMESPACE_KEY and not label.key.startswith("io.cilium.")


def _text(label: Label) -> str:
    return f"{label.key}={label.value}" if label.source == "k8s" else str(label)


def outside_name(prefix: Network | None, prefixes: AbstractSet[Network]) -> str:
    """A prefix but those within it that rules tell apart; what no rule names is the rest of the world."""
    if prefix is None:
        return WORLD
    within = sorted(each for each in prefixes if each != prefix and longest(each, {prefix}))
    return f"{prefix} but {', '.join(map(str, within))}" if within else str(prefix)
