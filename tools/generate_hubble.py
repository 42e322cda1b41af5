"""Writes the messages of Hubble's API as Python from src/ringfence/hubble/wire/*.proto; `--check` only compares.

Run as `python -m tools.generate_hubble`. The version of grpcio-tools is pinned in pyproject.toml: another one may write
the same messages in other words.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

from tools.compile_bpf import ROOT
from tools.generated import parser, settle

SOURCE = ROOT / "src"
WIRE = SOURCE / "ringfence" / "hubble" / "wire"


def generate(into: Path) -> Iterator[tuple[Path, str]]:
    """Path and text of each generated module and its stub. Raises `SystemExit` where a definition is faulty."""
    well_known = files("grpc_tools") / "_proto"
    protos = map(str, sorted(WIRE.glob("*.proto")))
    arguments = [f"--proto_path={SOURCE}", f"--proto_path={well_known}", f"--python_out={into}", f"--pyi_out={into}"]
    if code := protoc.main(["protoc", *arguments, *protos]):
        raise SystemExit(code)
    for path in sorted((into / WIRE.relative_to(SOURCE)).iterdir()):
        yield WIRE / path.name, path.read_text()


def main() -> int:
    """Write, or with --check compare. Exit code 1 when the committed modules are not current."""
    options = parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as directory:
        return settle(generate(Path(directory)), check=options.check)


if __name__ == "__main__":
    sys.exit(main())
