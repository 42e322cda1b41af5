"""Decoding: what the raw columns of a batch of events say, as text where a number alone says little.

A batch is a numpy array of `ringfence.abi.EVENT`: it stays one until somebody looks at a row.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

import numpy as np
import numpy.typing as npt

Events = npt.NDArray[np.void]

_IPV4_AT = 12  # an IPv4 address stands in the last four bytes of its mapped form
FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")


@lru_cache(maxsize=8192)
def address_text(raw: bytes, family: int) -> str:
    """The sixteen bytes of an address as text. Events write IPv4 mapped into ::ffff:0:0/96."""
    return str(IPv4Address(raw[_IPV4_AT:]) if family == 4 else IPv6Address(raw))


@lru_cache(maxsize=256)
def flags_text(flags: int) -> str:
    """TCP flags as tcpdump's names joined by commas, lowest bit first; SYN before ACK."""
    return ",".join(name for bit, name in enumerate(FLAGS) if flags >> bit & 1)
