"""Whether the node's namespace filters what it forwards: packets delivered past the stack would escape such rules."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ringfence.datapath.netlink import NETFILTER, Message, Netlink, attributes

# Of the tables that iptables-legacy has made in this namespace, those that see forwarded packets and may drop them.
_FILTERING: Final = frozenset({"filter", "mangle", "security"})
_TABLES: Final = {"ip_tables_names": "iptables", "ip6_tables_names": "ip6tables"}
# linux/netfilter/nf_tables.h
_GETCHAIN: Final = (10 << 8) | 4
_HEAD: Final = 4  # struct nfgenmsg: family, version, resource
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY, _CHAIN_USE = 1, 3, 4, 5, 6
_HOOK_NUMBER: Final = 1
_NF_INET_FORWARD: Final = 2
_NF_ACCEPT: Final = 1
_FAMILIES: Final = {1: "inet", socket.AF_INET: "ip", socket.AF_INET6: "ip6"}


def forward_rules() -> str:
    """Where the calling thread's namespace has rules at the forward hook, for people; "" where it has none.

    Looks at iptables-legacy's tables (an empty one counts: its rules cannot be read from /proc) and at nftables' base
    chains (those with rules or another policy than accept), which iptables-nft writes too.
    """
    return ", ".join((*legacy_tables(), *_nftables()))


def legacy_tables() -> Iterator[str]:
    """The tables of iptables-legacy that may drop forwarded packets. The kernel tells nobody when one comes."""
    for name, tool in _TABLES.items():
        # Of this thread: /proc/net belongs to the process's first thread.
        path = Path("/proc/thread-self/net") / name
        tables = path.read_text().split() if path.exists() else []
        for table in sorted(_FILTERING.intersection(tables)):
            yield f"{tool} table {table}"


def _nftables() -> Iterator[str]:
    try:
        with Netlink(NETFILTER) as netlink:
            chains = netlink.dump(_GETCHAIN, bytes(_HEAD), _HEAD)
    except OSError:  # a kernel without nftables has no such rules
        return
    for chain in chains:
        if _filters_forwarded(chain):
            yield f"nftables chain {_FAMILIES[chain.head[0]]} {chain.text(_CHAIN_TABLE)} {chain.text(_CHAIN_NAME)}"


def _filters_forwarded(chain: Message) -> bool:
    hook = attributes(chain.attributes.get(_CHAIN_HOOK, b""))
    if chain.head[0] not in _FAMILIES or _number(hook.get(_HOOK_NUMBER)) != _NF_INET_FORWARD:
        return False
    return bool(_number(chain.attributes.get(_CHAIN_USE))) or _number(chain.attributes.get(_CHAIN_POLICY)) != _NF_ACCEPT


def _number(value: bytes | None) -> int | None:
    """A number as netfilter writes it: in wire order."""
    return None if value is None else int.from_bytes(value, "big")
