"""A policy state without its numbers, so that two that came about in different ways can be compared."""

from __future__ import annotations

from typing import Any

from ringfence.policy.state import PolicyState


def canonical(state: PolicyState) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Entries and ipcache, with labels in the place of identities and of prefix classes."""

    def meaning(number: int) -> object:
        labels = state.labels(number) if number else None
        return tuple(labels.stored()) if labels else None

    entries = {
        (meaning(key.subject), meaning(key.peer), *key[2:]): state.map.wanted(key) for key, _ in state.map.items()
    }
    peers = {network: tuple(map(meaning, known)) for network, known in state.ipcache.items()}
    return entries, peers
