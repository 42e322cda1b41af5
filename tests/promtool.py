"""Prometheus' own checker, as `make setup` takes it out of Debian's package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROMTOOL = Path(sys.prefix) / "bin" / "promtool"


def promtool(*arguments: str | Path, text: bytes = b"") -> str:
    """What promtool says of something; fails when it finds fault."""
    run = subprocess.run([PROMTOOL, *arguments], input=text, capture_output=True, check=False)
    said = (run.stdout + run.stderr).decode()
    assert run.returncode == 0, said
    return said
