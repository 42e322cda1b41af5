"""Decoding: what the raw columns of a batch of events say, as text where a number alone says little.

A batch is a numpy array of `ringfence.abi.EVENT`: it stays one until somebody looks at a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ringfence.abi import EVENT, CtStatus
from ringfence.traffic import Protocol

Events = npt.NDArray[np.void]
# A row of bytes: numpy copies these as they are, and rows of a structure field by field, a hundred times as slow.
_RAW: Final = np.dtype(f"V{EVENT.itemsize}")

TYPED = (Protocol.ICMP, Protocol.ICMPV6)
_IPV4_AT = 12  # an IPv4 address stands in the last four bytes of its mapped form
_MAPPED = bytes(10) + b"\xff\xff"
FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")


def raw(events: Events) -> npt.NDArray[np.void]:
    """The same rows without their fields, to be copied fast."""
    # What numpy itself has joined is in the order of this machine's bytes.
    return (events if events.dtype == EVENT else events.astype(EVENT)).view(_RAW)


def picked(events: Events, rows: npt.NDArray[Any]) -> Events:
    """The rows of a mask or of numbers, as a copy."""
    return np.ascontiguousarray(raw(events)[rows]).view(EVENT)


def joined(batches: Sequence[Events]) -> Events:
    """Batches as one."""
    return np.concatenate([raw(events) for events in batches]).view(EVENT) if batches else np.zeros(0, EVENT)


@lru_cache(maxsize=8192)
def address_text(raw: bytes, family: int) -> str:
    """The sixteen bytes of an address as text. Events write IPv4 mapped into ::ffff:0:0/96."""
    return str(IPv4Address(raw[_IPV4_AT:]) if family == 4 else IPv6Address(raw))


@lru_cache(maxsize=8192)
def address_bytes(text: str) -> bytes:
    """The sixteen bytes that an address's text stands for."""
    return IPv6Address(text).packed if ":" in text else _MAPPED + IPv4Address(text).packed


def asked_ports(events: Events | Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.uint16]:
    """The port of every row that a policy would name: of a reply, the one that its connection was opened to; of ICMP,
    the type.
    """
    reply = events["status"] == CtStatus.REPLY
    port = np.where(reply, events["source_port"], events["destination_port"])
    return np.where(np.isin(events["protocol"], TYPED), events["icmp_type"], port).astype(np.uint16)


@lru_cache(maxsize=256)
def flags_text(flags: int) -> str:
    """TCP flags as tcpdump's names joined by commas, lowest bit first; SYN before ACK."""
    return ",".join(name for bit, name in enumerate(FLAGS) if flags >> bit & 1)
