"""Build hook: compiles bpf/ into the wheel, so that installing needs no compiler from the system.

An editable install keeps the object beside its sources, where `make setup` brings it up to date.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def _load(path: Path) -> ModuleType:
    """A module of tools/, which is not importable inside an isolated build."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class CompileBpf(BuildHookInterface[Any]):
    """Adds the compiled object, which git ignores, to the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile when a wheel is built; `version` is "editable" or "standard", and both need the object."""
        del version
        if self.target_name != "wheel":
            return
        compiler = _load(Path(self.root) / "tools" / "compile_bpf.py")
        compiler.compile_bpf()
        build_data["artifacts"].append(str(compiler.OBJECT.relative_to(self.root)))
