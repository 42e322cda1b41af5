from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ringfence.abi import MAPS
from ringfence.agent.decoding import Decoder
from ringfence.agent.encoding import encoded_key, encoded_value
from ringfence.engine.engine import Engine
from ringfence.errors import BadInput

KNOWN = Engine().known
# Each CPU's own denials cannot be written by hand.
VALUED = [name for name, spec in MAPS.items() if spec.value and spec.value.names and name != "denial_limits"]


def filled(dtype: np.dtype[Any]) -> Any:
    """A row with another number in each byte, but padding and enums at 0 or 1."""
    row = np.frombuffer(bytes(1 for _ in range(dtype.itemsize)), dtype).copy()[0]
    for name in dtype.names or ():
        if name.startswith("pad"):
            row[name] = np.zeros((), dtype[name])
        elif name == "family":
            row[name] = 4
    return row


@pytest.mark.parametrize("name", VALUED)
def test_what_is_decoded_can_be_written_again(name: str) -> None:
    """A value in the words of a dump is the same value in the map; so it can be copied, changed and written back."""
    spec = MAPS[name]
    row = filled(spec.value)  # type: ignore[arg-type] # chosen to have one
    shown = Decoder(spec, KNOWN).value(row)
    assert encoded_value(spec, shown, None) == row


@pytest.mark.parametrize("name", [name for name, spec in MAPS.items() if spec.key is not None and spec.key.names])
def test_a_key_that_is_decoded_can_be_written_again(name: str) -> None:
    """The same of keys."""
    spec = MAPS[name]
    row = filled(spec.key)  # type: ignore[arg-type] # chosen to have one
    if name in ("ipcache", "source_ranges", "prefilter", "snat_excluded"):
        row["address"][4:] = 0
    assert encoded_key(spec, Decoder(spec, KNOWN).value(row)) == row


def test_fields_that_are_not_given_stay() -> None:
    """Of an element that is there only the fields that are named are changed."""
    spec = MAPS["endpoints"]
    before = encoded_value(spec, {"ifindex": 7, "delivery": "peer", "mac": "02:00:00:00:00:01"}, None)
    after = encoded_value(spec, {"delivery": "stack"}, before)
    assert Decoder(spec, KNOWN).value(after) == {**Decoder(spec, KNOWN).value(before), "delivery": "stack"}


@pytest.mark.parametrize(("name", "text"), [("ipcache", "2001:db8::/32"), ("ipcache", "192.0.2.0/24")])
def test_a_prefix_is_a_key(name: str, text: str) -> None:
    """A prefix may be written as people write it, and is shown with its own family's address."""
    shown = Decoder(MAPS[name], KNOWN).value(encoded_key(MAPS[name], text))
    address, _, length = text.partition("/")
    assert (shown["address"], shown["prefix_length"] - 32) == (address, int(length))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("endpoints", {"nothing": 1}, "has no field 'nothing'; there are: ifindex, id"),
        ("endpoints", {"ifindex": -1}, "value.ifindex: -1; expected 0 to 4294967295"),
        ("endpoints", {"delivery": "mail"}, "or one of stack, redirect, peer"),
        ("endpoints", {"mac": "02:00"}, "has 2 bytes; expected 6"),
        ("endpoints", 5, "expected fields: ifindex"),
        ("peer_records", {"identity": [1]}, "expected a list of 2"),
        ("policy", "many", "expected a number"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, value: Any, told: str) -> None:
    """A value that the map cannot hold is refused, saying where and what it could hold."""
    with pytest.raises(BadInput, match=told):
        encoded_value(MAPS[name], value, None)
