"""Places: an address with a port, as every table writes it."""

from __future__ import annotations


def place(address: str, port: int) -> str:
    """`10.0.0.1:80`, `[fd00::1]:80`; any port is `*`."""
    return f"[{address}]:{port or '*'}" if ":" in address else f"{address}:{port or '*'}"
