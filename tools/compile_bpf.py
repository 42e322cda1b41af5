"""Compiling C for BPF: one command line, for the wheel's build hook, the ABI generator, `make setup` and the tests.

The compiler is the `ziglang` wheel's clang, so that nothing is needed from the system; the environment variable
RINGFENCE_CLANG names another one (15 or newer), then with the system's kernel headers.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "bpf" / "policy.bpf.c"
OBJECT = ROOT / "src" / "ringfence" / "datapath" / "policy.bpf.o"
_FLAGS = ("-target", "bpf", "-mcpu=v3", "-g", "-O2", "-Wall", "-Wextra", "-Werror")


class CompileError(RuntimeError):
    """The compiler is missing or refused the source; the message is what it said."""


def _bundled_compiler() -> list[str]:
    found = importlib.util.find_spec("ziglang")
    if found is None or found.origin is None:
        raise CompileError("no BPF compiler: pip install ziglang, or set RINGFENCE_CLANG to a clang of 15 or newer")
    headers = Path(found.origin).parent / "lib" / "libc" / "include"
    include = [f"-isystem{headers / name}" for name in ("any-linux-any", "x86-linux-any")]
    return [sys.executable, "-m", "ziglang", "clang", "-nostdinc", *include]


def command_line(source: Path, output: Path, include: Sequence[Path] = ()) -> list[str]:
    """The command that compiles `source`; `bpf/` is always an include directory."""
    override = os.environ.get("RINGFENCE_CLANG")
    compiler = shlex.split(override) if override else _bundled_compiler()
    # The object must not tell the directory it was built in.
    prefix = f"-ffile-prefix-map={ROOT}=."
    directories = [f"-I{path}" for path in (ROOT / "bpf", *include)]
    return [*compiler, *_FLAGS, prefix, *directories, "-c", str(source), "-o", str(output)]


def compile_bpf(source: Path = SOURCE, output: Path = OBJECT, include: Sequence[Path] = ()) -> Path:
    """Compile one C file to a BPF object and return its path. Raises `CompileError` with the compiler's messages."""
    try:
        done = subprocess.run(command_line(source, output, include), capture_output=True, text=True, check=False)
    except OSError as error:
        raise CompileError(f"cannot run the BPF compiler: {error}") from error
    if done.returncode:
        raise CompileError(f"{source.name} does not compile:\n{done.stderr}")
    return output


def is_current(output: Path = OBJECT) -> bool:
    """Whether the object is newer than everything it is made from."""
    sources = [*SOURCE.parent.iterdir(), Path(__file__)]
    return output.exists() and output.stat().st_mtime > max(path.stat().st_mtime for path in sources)


def main() -> int:
    """Bring the installed tree's object up to date."""
    if not is_current():
        try:
            compile_bpf()
        except CompileError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
