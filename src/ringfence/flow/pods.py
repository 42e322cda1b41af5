"""Pods: namespace and name of an end, as Kubernetes' users and Hubble call it.

An endpoint called `namespace/name` is that pod; one of another name is a pod of the namespace that its labels say.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from ringfence.labels import NAMESPACE_KEY

_NAMESPACE: Final = f"k8s:{NAMESPACE_KEY}="


@lru_cache(maxsize=4096)
def pod_of(endpoint: str | None, labels: tuple[str, ...]) -> tuple[str, str]:
    """Namespace and pod of an end; empty where it has none. An end that is not on this host has no pod."""
    namespace, slash, name = (endpoint or "").partition("/")
    if slash:
        return namespace, name
    found = next((label.removeprefix(_NAMESPACE) for label in labels if label.startswith(_NAMESPACE)), "")
    return found, endpoint or ""
