"""Fixtures for all tests: C for BPF compiled by the project's own compiler call.

What tests generate is the same in every run; `--hypothesis-profile=seek` looks elsewhere each time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from tools.compile_bpf import compile_bpf

settings.register_profile("same", derandomize=True)
settings.register_profile("seek", derandomize=False)
settings.load_profile("same")

Compile = Callable[[str], bytes]


@pytest.fixture
def compile_c(tmp_path: Path) -> Compile:
    """Compile C text, which may include the headers of bpf/, and return the object's bytes."""

    def compile_text(text: str) -> bytes:
        source = tmp_path / "test.bpf.c"
        source.write_text(text)
        return compile_bpf(source, tmp_path / "test.bpf.o").read_bytes()

    return compile_text


@pytest.fixture(scope="session")
def compile_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], bytes]:
    """Compile a C file once per session and return the object's bytes."""
    compiled: dict[Path, bytes] = {}

    def compile_once(path: Path) -> bytes:
        if path not in compiled:
            output = tmp_path_factory.mktemp("bpf") / f"{path.stem}.o"
            compiled[path] = compile_bpf(path, output).read_bytes()
        return compiled[path]

    return compile_once
