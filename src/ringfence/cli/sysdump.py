"""`ringfence sysdump`: all state in one archive, for a bug report; in part also without an agent."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import strftime, time
from typing import Final

import click

from ringfence.cli.session import Session, pass_session
from ringfence.cli.sysdump_parts import Part, from_agent, from_kernel, of_machine
from ringfence.errors import RingfenceError, Unavailable

_PROOF_SECONDS: Final = 600.0  # verify proves over the whole map
ABOUT: Final = """\
A dump of Ringfence's state, made by `ringfence sysdump` at {time}.

It contains the texts of policies, labels and names of workloads, addresses of packets and connections, and the names of
this machine's packages. It contains no packets' contents and no keys. Read it before you give it away.
"""


@click.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@pass_session
def sysdump(session: Session, file: Path | None) -> None:
    """Write all state into one archive for a bug report; FILE is ringfence-sysdump-TIME.tar.gz where none is named.

    Status, verification, endpoints, identities, policies with their texts, rules, every map decoded, the newest flows,
    metrics, versions, kernel features, and the agent's log where it is a file. With no agent running, what the kernel
    and the state directory hold. Only you may read the file.
    """
    path = file or Path(strftime("ringfence-sysdump-%Y%m%d-%H%M%S.tar.gz"))
    try:
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise RingfenceError(f"cannot write {path}: {error.strerror}") from error
    with os.fdopen(target, "wb") as stream, tarfile.open(fileobj=stream, mode="w:gz") as archive:
        dump = Dump(archive)
        _collect(dump, session)
        dump.finish()
    _tell(path, dump)


@dataclass(slots=True)
class Dump:
    """An archive that is being written; what could not be had, by part."""

    archive: tarfile.TarFile
    written: list[tuple[str, int]] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def add_all(self, what: str, parts: Iterable[Part]) -> None:
        """Add parts as far as they can be had."""
        try:
            for name, read in parts:
                self._add(name, read)
        except (RingfenceError, OSError, ValueError) as error:
            self.missing[what] = str(error)

    def _add(self, name: str, read: Callable[[], bytes]) -> None:
        try:
            self.write(name, read())
        except (RingfenceError, OSError, ValueError) as error:
            self.missing[name] = str(error)

    def write(self, name: str, content: bytes) -> None:
        """Add one file."""
        entry = tarfile.TarInfo(f"ringfence-sysdump/{name}")
        entry.size, entry.mtime, entry.mode = len(content), int(time()), 0o600
        self.archive.addfile(entry, io.BytesIO(content))
        self.written.append((name, len(content)))

    def finish(self) -> None:
        """Say what it is, and what is missing."""
        self.write("README", ABOUT.format(time=strftime("%Y-%m-%dT%H:%M:%S%z")).encode())
        if self.missing:
            self.write("missing.txt", "".join(f"{name}: {why}\n" for name, why in self.missing.items()).encode())


def _collect(dump: Dump, session: Session) -> None:
    with ExitStack() as stack:
        try:
            from ringfence.cli.connection import connect  # noqa: PLC0415 - slow to import

            client = stack.enter_context(connect(session, _PROOF_SECONDS))
        except Unavailable as error:
            dump.missing["agent"] = str(error)
            dump.add_all("pinned maps", from_kernel(session))
        else:
            dump.add_all("agent", from_agent(client))
    dump.add_all("machine", of_machine(session))


def _tell(path: Path, dump: Dump) -> None:
    for name, size in dump.written:
        click.echo(f"{size:>10}  {name}")
    for name, why in dump.missing.items():
        click.echo(f"   missing  {name}: {why}")
    click.echo(f"{path}: policies with their texts, labels, names and addresses are in it; only you may read it")
