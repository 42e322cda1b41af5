"""Reads the corpus of hostile packets: blocks of a comment that names it, what each hook answers, and its bytes.

# what it is
from_endpoint: drop INVALID_PACKET
to_endpoint: pass
from_outside: pass
from_uplink: drop INVALID_PACKET
to_uplink: drop INVALID_PACKET
020000000001 020000000101 0800 4500...
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

DIRECTORY: Final = Path(__file__).parent / "corpus"
HOOKS: Final = ("from_endpoint", "to_endpoint", "from_outside", "from_uplink", "to_uplink")


class Hostile(NamedTuple):
    """A frame, and by hook `pass` or `drop REASON`."""

    name: str
    outcomes: dict[str, str]
    frame: bytes


def corpus() -> Iterator[Hostile]:
    """All packets of all files. Raises ValueError for a block that does not say everything."""
    for path in sorted(DIRECTORY.glob("*.txt")):
        for block in path.read_text().strip().split("\n\n"):
            yield _read(block, path)


def _read(block: str, path: Path) -> Hostile:
    lines = block.splitlines()
    outcomes = {name: told.strip() for name, colon, told in (line.partition(":") for line in lines[1:]) if colon}
    if not lines[0].startswith("# ") or set(outcomes) != set(HOOKS):
        raise ValueError(f"{path.name}: {lines[0]}: a name and an outcome for each of {', '.join(HOOKS)} are needed")
    frame = "".join(line for line in lines[1:] if ":" not in line)
    return Hostile(lines[0][2:], outcomes, bytes.fromhex(frame))
