"""Whether the node's namespace filters what it forwards: packets delivered past the stack would escape such rules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.nftables.main import NFTables

from ringfence.datapath.netlink import inside

# Of the tables that iptables-legacy has made in this namespace, those that see forwarded packets and may drop them.
_FILTERING: Final = frozenset({"filter", "mangle", "security"})
_TABLES: Final = {"ip_tables_names": "iptables", "ip6_tables_names": "ip6tables"}
_NF_INET_FORWARD: Final = 2
_NF_ACCEPT: Final = 1
_FAMILIES: Final = {1: "inet", 2: "ip", 10: "ip6"}


def forward_rules() -> str:
    """Where the calling thread's namespace has rules at the forward hook, for people; "" where it has none.

    Looks at iptables-legacy's tables (an empty one counts: its rules cannot be read from /proc) and at nftables' base
    chains (those with rules or another policy than accept), which iptables-nft writes too.
    """
    return inside(None, lambda: ", ".join((*_legacy(), *_nftables())))


def _legacy() -> Iterator[str]:
    for name, tool in _TABLES.items():
        # Of this thread: /proc/net belongs to the process's first thread.
        path = Path("/proc/thread-self/net") / name
        tables = path.read_text().split() if path.exists() else []
        for table in sorted(_FILTERING.intersection(tables)):
            yield f"{tool} table {table}"


def _nftables() -> Iterator[str]:
    try:
        with closing(NFTables(nfgen_family=0)) as socket:
            chains = list(socket.get_chains())
    except (NetlinkError, OSError):  # a kernel without nftables has no such rules
        return
    for chain in chains:
        if _filters_forwarded(chain):
            names = chain.get_attr("NFTA_CHAIN_TABLE"), chain.get_attr("NFTA_CHAIN_NAME")
            yield f"nftables chain {_FAMILIES[chain['nfgen_family']]} {' '.join(names)}"


def _filters_forwarded(chain: Any) -> bool:
    hook = chain.get_attr("NFTA_CHAIN_HOOK")
    if hook is None or chain["nfgen_family"] not in _FAMILIES or hook.get_attr("NFTA_HOOK_HOOKNUM") != _NF_INET_FORWARD:
        return False
    return bool(chain.get_attr("NFTA_CHAIN_USE")) or chain.get_attr("NFTA_CHAIN_POLICY") != _NF_ACCEPT
