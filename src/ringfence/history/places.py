"""Places: where a history is looked for."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_KEPT: Final = Path("/var/lib/ringfence")
_RUN: Final = Path("/run/ringfence")


def kept_flows(instance: str) -> Path:
    """Where an instance records by itself."""
    return _KEPT / instance / "flows"


def kept_commits(instance: str) -> Path:
    """Where an instance writes down its commits."""
    return _KEPT / instance / "commits"


def found_flows(instance: str) -> Path:
    """Where an instance has recorded: a lab does so in its own directory, which goes with it."""
    of_lab = _RUN / instance / "flows"
    return of_lab if of_lab.is_dir() and not kept_flows(instance).is_dir() else kept_flows(instance)
