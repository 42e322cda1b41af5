from __future__ import annotations

import pytest

from ringfence.abi import MAPS
from ringfence.datapath.rings import wake_up_mask
from ringfence.datapath.sizes import SIZEABLE, whole_sizes
from ringfence.errors import BadInput


def test_maps_that_share_rows_have_one_size() -> None:
    """Whoever sizes a map sizes those whose rows go with it."""
    assert whole_sizes({"policy": 4096, "ct4": 512}) == {
        "policy": 4096,
        "policy_records": 4096,
        "record_hits": 4096,
        "ct4": 512,
    }
    assert whole_sizes(dict.fromkeys(SIZEABLE, 65536)).keys() <= MAPS.keys()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"rules": 4096}, "the size of map 'rules' is fixed; maps with a size: policy, ipcache"),
        ({"policy": 1}, "the size of map policy is 1; expected 64 to"),
        ({"events": 100_000}, "expected a power of two"),
    ],
)
def test_sizes_that_cannot_be_had(asked: dict[str, int], told: str) -> None:
    """A size that no map can have is refused before anything is loaded."""
    with pytest.raises(BadInput, match=told):
        whole_sizes(asked)


@pytest.mark.parametrize(("expected", "size"), [(1, 4096), (7, 16384), (2047, 1 << 22), (32767, 1 << 26)])
def test_the_reader_is_woken_when_an_eighth_of_a_ring_is_full(expected: int, size: int) -> None:
    """A power of two less one, so that the programs need no division."""
    assert expected == wake_up_mask(size)
