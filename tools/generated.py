"""Generated files: written, or with --check compared with what is committed. One way for all generators of tools/."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from tools.compile_bpf import ROOT

Generated = Iterable[tuple[Path, str]]


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options that every generator has."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--check", action="store_true", help="fail when what is committed is not current")
    return made


def settle(generated: Generated, *, check: bool) -> int:
    """Write what is not current, or say so. The exit code: 1 when something was not current and was not written."""
    stale = [(path, text) for path, text in generated if not path.exists() or path.read_text("utf-8") != text]
    for path, text in stale:
        if check:
            print(f"{path.relative_to(ROOT)} is not current: run make generate", file=sys.stderr)
        else:
            path.write_text(text, "utf-8")
    return int(check and bool(stale))
