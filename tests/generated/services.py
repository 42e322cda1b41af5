"""Generated Services and EndpointSlices, and the ways in which policies name them."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.generated.pieces import APPS, NAMESPACES, TIERS, Json, few, subset

#: A policy may name a service that is not there.
NAMES = ("api", "data")
_LEVELS = ("front", "back")
#: Of pods, of nodes, of nobody, in prefixes that rules name and in none.
_ADDRESSES = {
    "IPv4": ("10.0.0.0", "10.1.0.1", "10.0.0.2", "10.9.0.250", "10.9.1.7", "192.0.2.9"),
    "IPv6": ("fd00:0::1", "fd00:1::1", "fd09:0:1::1", "2001:db8::5"),
}


def services(name: str) -> st.SearchStrategy[list[Json]]:
    """A service of this name in some namespace, by a selector or with slices; or nothing, or slices of a
    service that is not there.
    """
    found = st.builds(_documents, st.just(name), st.sampled_from(NAMESPACES), _specs(), _labels(), few(_slices(), 2))
    return st.one_of(st.just([]), found)


def references() -> st.SearchStrategy[Json]:
    """One of `toServices`."""
    where = {"namespace": st.sampled_from(NAMESPACES)}
    named = st.fixed_dictionaries({"serviceName": st.sampled_from(NAMES)}, optional=where)
    chosen = st.fixed_dictionaries({"selector": _labels().map(lambda labels: {"matchLabels": labels})}, optional=where)
    return st.one_of(
        st.fixed_dictionaries({"k8sService": named}), st.fixed_dictionaries({"k8sServiceSelector": chosen})
    )


def _specs() -> st.SearchStrategy[Json | None]:
    return st.one_of(st.none(), st.just({}), subset(app=APPS, tier=TIERS).map(lambda labels: {"selector": labels}))


def _labels() -> st.SearchStrategy[Json]:
    return subset(level=_LEVELS)


def _slices() -> st.SearchStrategy[Json]:
    return st.sampled_from(sorted(_ADDRESSES)).flatmap(
        lambda family: few(st.sampled_from(_ADDRESSES[family]), 2, least=1).map(
            lambda found: {"addressType": family, "endpoints": [{"addresses": [each]} for each in found]}
        )
    )


def _documents(name: str, namespace: str, spec: Json | None, labels: Json, slices: list[Json]) -> list[Json]:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": spec,
    }
    owned = {"kubernetes.io/service-name": name}
    found = [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": f"{name}-{number}", "namespace": namespace, "labels": owned},
            **each,
        }
        for number, each in enumerate(slices)
    ]
    return found if spec is None else [service, *found]
