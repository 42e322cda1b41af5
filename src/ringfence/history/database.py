"""The database: DuckDB in memory over the segments of a history, as the view `flows`. It reads them and writes nowhere.

Files are opened first and handed to DuckDB by descriptor, so that what retention deletes, or an agent seals, while a
statement runs is read to its end. Open segments are read into memory.
"""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from ringfence.errors import BadInput, NotFound, RingfenceError, Unavailable
from ringfence.history.frames import FrameReader
from ringfence.history.groups import groups
from ringfence.history.segments import Segment, listing
from ringfence.history.table import SCHEMA, to_table

_DESCRIPTORS: Final = "/proc/self/fd/"
_FETCHED: Final = 1000
_SPARE_FILES: Final = 256
_MAGIC: Final = b"PAR1"
# As a filter of flows reads a label: one without a source matches any source.
_HAS_LABEL: Final = """
    CREATE MACRO has_label(labels, wanted) AS labels <> '' AND (list_contains(string_split(labels, ','), wanted) OR
    list_contains(list_transform(string_split(labels, ','), lambda each: substr(each, instr(each, ':') + 1)), wanted))
"""
# As a digest counts packets and bytes: a close tells those of its whole connection, so that none counts twice.
_ACCOUNTS_FOR: Final = "CREATE MACRO accounts_for(kind, verdict) AS kind IN ('close', 'packet') OR verdict = 'deny'"


@dataclass(frozen=True, slots=True)
class Rows:
    """The answer to a statement. The rows are read from the segments as they are taken."""

    columns: Sequence[str]
    rows: Iterator[tuple[Any, ...]]


class Database:
    """An open history. `copy_to` names files that `copy` may write; statements may not write at all."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def select(self, statement: str, parameters: Sequence[object] = ()) -> Rows:
        """Answer one SELECT. Raises `BadInput`, which says where it is wrong, for anything else."""
        with _explained(statement):
            kinds = [each.type for each in self._connection.extract_statements(statement)]
            if kinds != [duckdb.StatementType.SELECT]:
                raise BadInput("one SELECT is answered, and nothing else: flows are only read")
            answer = self._connection.execute(statement, list(parameters))
            columns = [str(column[0]) for column in answer.description or ()]
        return Rows(columns, self._fetched(answer, statement))

    def copy(self, statement: str, parameters: Sequence[object], file: Path, form: str) -> int:
        """Write what a SELECT answers to a file that the database was opened for; the number of rows."""
        path = str(file).replace("'", "''")
        with _explained(statement):
            answer = self._connection.execute(f"COPY ({statement}) TO '{path}' ({form})", list(parameters))
            [(count,)] = answer.fetchall()
        return int(count)

    @staticmethod
    def _fetched(answer: duckdb.DuckDBPyConnection, statement: str) -> Iterator[tuple[Any, ...]]:
        while True:
            with _explained(statement):
                rows = answer.fetchmany(_FETCHED)
            if not rows:
                return
            yield from rows


@contextmanager
def opened(
    directory: Path, *, since: int | None = None, until: int | None = None, copy_to: Path | None = None
) -> Iterator[Database]:
    """The history in a directory; only segments that may hold flows of those times (ns) have to be in the view.

    Raises `NotFound` where there is none, `Unavailable` where it may not be read.
    """
    segments = [each for each in _segments(directory) if each.readable and _touches(each, since, until)]
    with ExitStack() as stack:
        files, grown = _take(segments, directory, stack)
        connection = stack.enter_context(duckdb.connect(":memory:"))
        connection.execute("SET autoinstall_known_extensions = false")
        connection.execute("SET autoload_known_extensions = false")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET temp_directory = ''")
        connection.execute("SET errors_as_json = true")
        # DuckDB looks at where a descriptor leads, as far as that is still there.
        connection.execute("SET allowed_directories = ?", [[_DESCRIPTORS, f"{directory.resolve()}/"]])
        if copy_to is not None:
            connection.execute("SET allowed_paths = ?", [[str(copy_to)]])
        connection.execute("SET enable_external_access = false")
        connection.register("grown", grown)
        connection.execute(f"CREATE VIEW flows AS {_sources(files)}")
        connection.execute(_HAS_LABEL)
        connection.execute(_ACCOUNTS_FOR)
        connection.execute("SET lock_configuration = true")
        yield Database(connection)


def _sources(files: Sequence[int]) -> str:
    """A SELECT over sealed segments, by their descriptors, and what is still open."""
    grown = "SELECT * FROM grown"
    stored = ", ".join(f"'{_DESCRIPTORS}{file}'" for file in files)
    return f"SELECT * FROM read_parquet([{stored}], union_by_name=true) UNION ALL BY NAME {grown}" if files else grown  # noqa: S608 - numbers


def _segments(directory: Path) -> list[Segment]:
    try:
        found = listing(directory)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"there is no history of flows in {directory}") from error
    except PermissionError as error:
        raise Unavailable(f"the history in {directory} is open to its owner only; run this with sudo") from error
    if not found:
        raise NotFound(f"no flow was recorded in {directory} yet")
    return found


def _touches(segment: Segment, since: int | None, until: int | None) -> bool:
    first, last = segment.first, segment.last
    return (since is None or last is None or last >= since) and (until is None or first is None or first < until)


def _take(segments: Sequence[Segment], directory: Path, stack: ExitStack) -> tuple[list[int], pa.Table]:
    """Descriptors of the sealed segments, and the rows of the open ones. What was sealed meanwhile is taken sealed."""
    _allow_files(len(segments))
    files: list[int] = []
    tables: list[pa.Table] = []
    for segment in segments:
        if not segment.is_open:
            files += _sealed(segment.path, stack)
            continue
        try:
            tables += _grown(segment.path)
        except FileNotFoundError:
            same = [each for each in listing(directory) if each.key == segment.key and each.rows is not None]
            files += [file for each in same for file in _sealed(each.path, stack)]
    return files, pa.concat_tables([SCHEMA.empty_table(), *tables])


def _sealed(path: Path, stack: ExitStack) -> list[int]:
    """A descriptor of a sealed segment; none of one that has been deleted or that the disk has spoilt."""
    try:
        file = stack.enter_context(path.open("rb")).fileno()
    except FileNotFoundError:
        return []
    size = os.fstat(file).st_size
    return [file] if size > len(_MAGIC) and os.pread(file, len(_MAGIC), size - len(_MAGIC)) == _MAGIC else []


def _grown(path: Path) -> list[pa.Table]:
    with FrameReader(path) as reader:
        return [to_table(events, names) for events, names in groups(reader.frames())]


def _allow_files(count: int) -> None:
    """DuckDB opens each segment once more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3 * count + _SPARE_FILES
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


@contextmanager
def _explained(statement: str) -> Iterator[None]:
    """Errors of DuckDB as one line each, with the place in the statement where it has one."""
    try:
        yield
    except duckdb.InterruptException as error:
        raise KeyboardInterrupt from error
    except (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.FatalException) as error:
        raise RingfenceError(_line(error, statement)) from error
    except duckdb.Error as error:
        raise BadInput(_line(error, statement)) from error


def _line(error: duckdb.Error, statement: str) -> str:
    told = str(error)
    try:
        document = json.loads(told[told.index("{") :])
        place, message = document.get("position"), str(document["exception_message"])
    except (ValueError, KeyError):
        place, message = None, told
    if place is not None:
        before = statement.encode()[: int(place)].decode(errors="ignore")
        column = len(before) - before.rfind("\n")
        message = f"line {before.count(chr(10)) + 1}, column {column}: {message}"
    return " ".join(message.split())
