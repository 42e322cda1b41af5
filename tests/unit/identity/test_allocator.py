from __future__ import annotations

from ipaddress import ip_network

import pytest

from ringfence.errors import RingfenceError
from ringfence.identity.allocator import Allocator, NumberPool
from ringfence.identity.reserved import Reserved
from ringfence.labels import Labels

WEB, DB = Labels.parse(["app=web"]), Labels.parse(["app=db"])
TEN, ELEVEN = ip_network("10.0.0.0/8"), ip_network("11.0.0.0/8")


def test_scopes_begin_where_cilium_begins_them() -> None:
    """Labels get numbers from 256, prefixes from 16777217, whole families and reserved labels their own."""
    allocator = Allocator()
    assert allocator.allocate(WEB) == (256, True)
    assert allocator.allocate_prefix(TEN) == (16777217, True)
    assert allocator.allocate_prefix(ip_network("0.0.0.0/0")) == (Reserved.WORLD_IPV4, True)
    assert allocator.allocate_prefix(ip_network("::/0")) == (Reserved.WORLD_IPV6, True)
    assert allocator.allocate(Labels.parse(["reserved:init"]))[0] == Reserved.INIT


def test_a_number_lives_as_long_as_its_last_use() -> None:
    """Equal labels share a number, which is released by the last use only."""
    allocator = Allocator()
    assert allocator.allocate(WEB) == (256, True)
    assert allocator.allocate(WEB) == (256, False)
    assert not allocator.release(256)
    assert allocator.labels(256) == WEB
    assert allocator.release(256)
    assert allocator.labels(256) is None
    assert allocator.number(WEB) is None


def test_a_released_number_is_the_last_to_be_used_again() -> None:
    """Unused numbers come first, then the one that was released longest ago."""
    pool = NumberPool(1, 3)
    assert [pool.take(), pool.take()] == [1, 2]
    pool.give_back(2)
    pool.give_back(1)
    assert [pool.take(), pool.take(), pool.take()] == [3, 2, 1]
    with pytest.raises(RingfenceError, match="in use"):
        pool.take()


def test_numbers_survive_a_restart() -> None:
    """A restored number goes to the labels or prefix it had and to nobody else; unused ones can be forgotten."""
    allocator = Allocator()
    allocator.restore(257, WEB)
    allocator.restore(16777217, Labels.parse(["cidr:11.0.0.0/8", "cidr:0.0.0.0/0", "reserved:world"]))
    allocator.restore(258, Labels.parse(["app=gone"]))
    assert allocator.allocate(DB) == (256, True)
    assert allocator.allocate(WEB) == (257, True)
    assert allocator.allocate_prefix(TEN) == (16777218, True)
    assert allocator.allocate_prefix(ELEVEN) == (16777217, True)
    allocator.forget_unused()
    assert allocator.labels(258) is None
    assert allocator.labels(257) == WEB
    assert allocator.allocate(Labels.parse(["app=other"])) == (259, True)
