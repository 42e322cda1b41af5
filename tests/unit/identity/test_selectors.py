from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ringfence.identity.selectors import SelectorCache
from ringfence.labels import Labels
from ringfence.policy.compile import read_selector
from ringfence.policy.schema import LabelSelector
from ringfence.selector import Selector
from tests.generated.cilium import label_selectors
from tests.generated.pieces import Json

LABELS = st.lists(
    st.sampled_from(
        ("app=web", "app=db", "app=job", "tier=1", "any:tier=2", "container:app=web", "reserved:host",
         "io.kubernetes.pod.namespace=shop", "cidr:10.9.1.0/24", "cidr:10.0.0.0/8")
    ),
    max_size=4,
).map(Labels.parse)  # fmt: skip


def selector(written: Json) -> Selector:
    return read_selector(LabelSelector.model_validate(written))


def put(cache: SelectorCache, number: int, labels: Labels) -> None:
    for each in cache.add(number, labels):
        cache.gain(each, number)


@given(label_selectors().map(selector), st.lists(LABELS, max_size=6), st.lists(LABELS, max_size=6))
def test_a_live_set_is_what_the_selector_matches(wanted: Selector, early: list[Labels], late: list[Labels]) -> None:
    """Whether identities came before the selector or after it, its live set is those whose labels match."""
    cache = SelectorCache()
    for number, labels in enumerate(early):
        put(cache, number, labels)
    live = cache.acquire(wanted)
    for number, labels in enumerate(late, start=len(early)):
        put(cache, number, labels)
    expected = {number for number, labels in enumerate([*early, *late]) if wanted.matches(labels)}
    assert live == expected
    for number in range(len(early)):
        for each in cache.remove(number):
            cache.lose(each, number)
    assert live == {number for number in expected if number >= len(early)}


def test_users_share_one_set() -> None:
    """Equal selectors have the same live set, kept until the last user releases it."""
    cache, wanted = SelectorCache(), selector({"matchLabels": {"app": "web"}})
    assert cache.acquire(wanted) is cache.acquire(selector({"matchLabels": {"app": "web"}}))
    cache.release(wanted)
    put(cache, 1, Labels.parse(["app=web"]))
    assert cache.selected(wanted) == {1}
    cache.release(wanted)
    assert cache.add(2, Labels.parse(["app=web"])) == []


def test_relabelling_tells_gains_and_losses() -> None:
    """A number with other labels leaves the selectors that no longer match and enters those that now do."""
    cache = SelectorCache()
    web, db = (selector({"matchLabels": {"app": app}}) for app in ("web", "db"))
    cache.acquire(web)
    cache.acquire(db)
    put(cache, 1, Labels.parse(["app=web"]))
    assert cache.relabel(1, Labels.parse(["app=db"])) == ([db], [web])
