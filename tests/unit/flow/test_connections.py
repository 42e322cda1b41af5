from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ringfence.abi import CT4_KEY, CT6_KEY, CT_ENTRY, CtFlag, CtState
from ringfence.errors import BadInput
from ringfence.flow.connections import ConnectionFilter
from tests.unit.flow.batch import Names

WEB, CLIENT = 256, 257
Table = tuple[npt.NDArray[Any], npt.NDArray[Any]]


@pytest.fixture
def table() -> Table:
    """10.0.0.1:40000 -> 10.0.0.2:80 (opened by the low side, replied), 10.0.0.2:50000 -> 10.0.0.1:53 (closing)."""
    keys, entries = np.zeros(2, CT4_KEY), np.zeros(2, CT_ENTRY)
    keys["low_address"], keys["high_address"] = [10, 0, 0, 1], [10, 0, 0, 2]
    keys["low_port"], keys["high_port"] = [40000, 53], [80, 50000]
    keys["protocol"] = [6, 17]
    entries["verdict"] = [0, CtFlag.FROM_HIGH]
    entries["source_identity"], entries["destination_identity"] = [CLIENT, WEB], [WEB, CLIENT]
    entries["state"] = [CtState.REPLIED, CtState.REPLIED | CtState.CLOSING]
    return keys, entries


@pytest.mark.parametrize(
    ("expected", "wanted"),
    [
        ([True, True], {}),
        ([True, False], {"source": ["10.0.0.1"]}),
        ([False, True], {"source": ["10.0.0.2/32"]}),
        ([True, False], {"destination": ["10.0.0.2"]}),
        ([False, False], {"source": ["10.0.0.1"], "destination": ["10.0.0.1"]}),
        ([True, True], {"source": ["10.0.0.1", "10.0.0.2"]}),
        ([True, False], {"port": "80/TCP"}),
        ([False, True], {"port": "53"}),
        ([False, True], {"protocol": "udp"}),
        ([True, True], {"identity": WEB}),
        ([False, False], {"identity": 999}),
        ([False, True], {"states": ["closing"]}),
        ([False, False], {"states": ["opening"]}),
        ([True, True], {"states": ["opening", "replied"]}),
    ],
)
def test_connections_are_asked_for_by_the_side_that_opened(
    table: Table, expected: list[bool], wanted: dict[str, Any]
) -> None:
    """`--from` means who opened, `--to` to whom; ports, protocol, identity and state mean the connection."""
    assert ConnectionFilter.parse(**wanted).mask(*table, Names()).tolist() == expected


def test_an_ipv6_connection_is_met_by_its_address() -> None:
    """The terms are the same for IPv6."""
    keys, entries = np.zeros(1, CT6_KEY), np.zeros(1, CT_ENTRY)
    keys["low_address"][0, -1], keys["high_address"][0, -1] = 1, 2
    assert ConnectionFilter.parse(["::1"]).mask(keys, entries, Names()).tolist() == [True]
    assert ConnectionFilter.parse(["::2"]).mask(keys, entries, Names()).tolist() == [False]


def test_a_state_that_there_is_not_is_refused() -> None:
    """A state is one of those that connections have."""
    with pytest.raises(BadInput, match="opening, replied"):
        ConnectionFilter.parse(states=["new"])
