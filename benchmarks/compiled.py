"""What is compiled for the benchmarks alone: an empty program, the wrapped datapath, the ends of the traffic."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from ringfence.datapath.libbpf import BpfObject
from tools.compile_bpf import compile_bpf

HERE: Final = Path(__file__).parent


def measured_object() -> bytes:
    """The object of measured.bpf.c: the datapath of this tree with programs that wrap it."""
    return _compiled("measured")


def served_object() -> bytes:
    """The object of served.bpf.c: the same, with programs that undo translation before each packet."""
    return _compiled("served")


@contextmanager
def empty_program() -> Iterator[int]:
    """The descriptor of a loaded TC program that lets everything pass."""
    with BpfObject(_compiled("empty"), "empty") as opened:
        opened.load()
        yield opened.programs()["empty"]


def traffic_program(directory: Path) -> Path:
    """The program of traffic.c, put into a directory. Raises RuntimeError with what the compiler said."""
    source, output = HERE / "traffic.c", directory / "traffic"
    compiler = (sys.executable, "-m", "ziglang", "cc", "-O2", "-Wall", "-Wextra", "-Werror")
    done = subprocess.run((*compiler, str(source), "-o", str(output)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"traffic.c does not compile:\n{done.stderr}")
    return output


def _compiled(name: str) -> bytes:
    with TemporaryDirectory() as directory:
        return compile_bpf(HERE / f"{name}.bpf.c", Path(directory) / f"{name}.bpf.o").read_bytes()
