"""The prefilter's list as the agent keeps it: in the kernel, and in a file from which another kernel object is filled.

The file is a line a prefix, `+` for one that came and `-` for one that went; a list that replaces another is a file of
its own, renamed over it. The kernel is changed first: what was answered is in both, and what was not may be in the
kernel alone until the next object is loaded.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from pathlib import Path

from ringfence.agent.kernel import Prefilter
from ringfence.agent.uplinks import Uplinks
from ringfence.api.prefilter_shapes import ListedPrefix, PrefilterShape, PrefixesChanged
from ringfence.identity.prefix_list import read_prefixes
from ringfence.identity.prefixes import Address, Network


class PrefixList:
    """The list of one agent. `path`: its file. Changes are made one after the other, in a thread."""

    def __init__(self, kernel: Prefilter, uplinks: Uplinks, path: Path) -> None:
        self._kernel = kernel
        self._uplinks = uplinks
        self._path = path
        self._one_at_a_time = asyncio.Lock()

    def restore(self) -> None:
        """Fill the kernel's list where it has none. Raises OSError, `RingfenceError`."""
        if not self._kernel.in_force and self._path.exists():
            self._kernel.replace(self._remembered())

    async def shape(self) -> PrefilterShape:
        """The uplinks, and how many prefixes there are."""
        listed = await asyncio.to_thread(self._kernel.listed)
        return {
            "prefixes": len(listed),
            "packets": sum(each.packets for each in listed),
            "bytes": sum(each.bytes for each in listed),
            "uplinks": self._uplinks.shapes(),
        }

    def warnings(self) -> list[str]:
        """What keeps it from dropping."""
        return [f"uplink {each['name']}: {each['problem']}" for each in self._uplinks.shapes() if each["problem"]]

    async def listed(self, address: Address | None) -> list[ListedPrefix]:
        """The prefixes, or those that an address is in, the busiest first."""
        return await asyncio.to_thread(self._listed, address)

    async def add(self, texts: list[str], *, everything: bool) -> PrefixesChanged:
        """Add prefixes. Raises `BadInput`, `MapFullError`."""
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._add, _read(texts, everything=everything))

    async def delete(self, texts: list[str]) -> PrefixesChanged:
        """Delete prefixes. Raises `BadInput`."""
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._delete, _read(texts, everything=True))

    async def replace(self, name: str, text: str, *, everything: bool) -> PrefixesChanged:
        """Put the list of a file into force. Raises `BadInput`, `MapFullError`."""
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._replace, name, text, everything=everything)

    def _listed(self, address: Address | None) -> list[ListedPrefix]:
        found = self._kernel.listed()
        if address is not None:
            family = "." if address.version == 4 else ":"
            found = [each for each in found if family in each.prefix and address in ip_network(each.prefix)]
        found.sort(key=lambda each: (-each.packets, each.prefix))
        return [{"prefix": each.prefix, "packets": each.packets, "bytes": each.bytes} for each in found]

    def _add(self, networks: list[Network]) -> PrefixesChanged:
        added = self._kernel.add(networks)
        self._append(f"+{each}" for each in added)
        return {"changed": len(added), "unchanged": len(networks) - len(added)}

    def _delete(self, networks: list[Network]) -> PrefixesChanged:
        deleted = self._kernel.delete(networks)
        self._append(f"-{each}" for each in deleted)
        return {"changed": len(deleted), "unchanged": len(networks) - len(deleted)}

    def _replace(self, name: str, text: str, *, everything: bool) -> PrefixesChanged:
        networks = read_prefixes(name, text, everything=everything)
        self._kernel.replace(networks)
        beside = self._path.with_suffix(".new")
        _written(beside, "w", (f"+{each}" for each in networks))
        beside.rename(self._path)
        return {"changed": len(networks), "unchanged": 0}

    def _append(self, lines: Iterable[str]) -> None:
        _written(self._path, "a", lines)

    def _remembered(self) -> list[Network]:
        found: dict[Network, None] = {}
        for line in _whole_lines(self._path.read_text()):
            network = ip_network(line[1:])
            if line[0] == "+":
                found[network] = None
            else:
                found.pop(network, None)
        return list(found)


def _read(texts: list[str], *, everything: bool) -> list[Network]:
    return read_prefixes("<command line>", "\n".join(texts), everything=everything)


def _whole_lines(text: str) -> Iterator[str]:
    """A line that a kill cut short is of a change that nobody was told of."""
    for line in text.splitlines(keepends=True):
        if line.endswith("\n"):
            yield line.strip()


def _written(path: Path, mode: str, lines: Iterable[str]) -> None:
    with path.open(mode) as file:
        file.writelines(f"{line}\n" for line in lines)
        file.flush()
        os.fsync(file.fileno())
