from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.abi import EventKind, Verdict
from ringfence.errors import BadInput, NotFound
from ringfence.flow.decode import joined
from ringfence.flow.digest import digest
from ringfence.flow.query import FlowQuery
from ringfence.history.database import Database, opened
from ringfence.history.frames import Appender
from ringfence.history.names import StoredNames
from ringfence.history.sealing import seal
from ringfence.history.segments import open_path
from tests.unit.flow.batch import DENIED, Names, event
from tests.unit.history.stored import LABELS, sealed


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A sealed segment of two flows and an open one of one."""
    write(tmp_path, 1, [event(time=1_000), event(time=2_000, **DENIED)])
    seal(tmp_path, 1)
    write(tmp_path, 2, [event(time=1_500_000_000_123_456_789)])
    return tmp_path


def write(directory: Path, key: int, events: Sequence[Any], names: StoredNames | None = None) -> None:
    appender = Appender(open_path(directory, key))
    rows = joined(events)
    appender.append(rows, names or StoredNames.of(rows, Names()))
    appender.close()


def answer(database: Database, statement: str) -> list[tuple[Any, ...]]:
    return list(database.select(statement).rows)


def test_view_holds_sealed_and_open_segments(history: Path) -> None:
    """One view over everything that was recorded, whatever form it is in, times in UTC."""
    with opened(history) as database:
        found = database.select("SELECT verdict, origin, epoch_ns(time) AS ns FROM flows ORDER BY time")
        rows = [("allow", "web.yaml:12", 1_000), ("deny", "web.yaml:12", 2_000)]
        assert [*rows, ("allow", "web.yaml:12", 1_500_000_000_123_456_789)] == list(found.rows)
        assert ["verdict", "origin", "ns"] == found.columns
        assert [("UTC",)] == answer(database, "SELECT current_setting('TimeZone')")


@pytest.mark.parametrize("gone", ["segment", "directory"])
def test_what_is_deleted_while_it_is_read_is_read_to_its_end(history: Path, gone: str) -> None:
    """Retention does not spoil a statement that has begun."""
    with opened(history) as database:
        shutil.rmtree(history) if gone == "directory" else sealed(history)[0].unlink()
        assert [(3,)] == answer(database, "SELECT count(*) FROM flows")


def test_rows_come_as_they_are_found(history: Path) -> None:
    """The first rows of an endless answer are there before the last."""
    with opened(history) as database:
        rows = database.select("SELECT range FROM range(1000000000000)").rows
        assert [(0,), (1,)] == [next(rows), next(rows)]


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("selec 1", 'line 1, column 1: syntax error at or near "selec"'),
        ("select 'é', 1 from flows,, flows", 'line 1, column 26: syntax error at or near ","'),
        ("select 1,\n  nope\nfrom flows", 'line 2, column 3: Referenced column "nope" not found'),
        ("select verdict::int from flows", "line 1, column 15: Could not convert string 'allow' to INT32"),
    ],
)
def test_wrong_statement_is_told_in_one_line_with_its_place(history: Path, statement: str, told: str) -> None:
    """What is wrong, and where in the statement, counted from 1 as people count."""
    with opened(history) as database, pytest.raises(BadInput) as error:
        answer(database, statement)
    assert str(error.value).startswith(told)
    assert 1 == len(str(error.value).splitlines())


@pytest.mark.parametrize(
    "statement",
    [
        "",
        "-- nothing",
        "select 1; select 2",
        "create table t as select 1",
        "drop view flows",
        "insert into flows select * from flows",
        "set enable_external_access = true",
        "attach '/tmp/x.db'",
        "install httpfs",
        "copy flows to '{target}'",
        "explain analyze copy flows to '{target}'",
        "export database '{target}'",
        "pragma database_list",
    ],
)
def test_only_one_select_is_answered(history: Path, tmp_path: Path, statement: str) -> None:
    """Nothing is written, in the database or outside of it, and no setting is changed."""
    target = tmp_path / "written"
    with opened(history) as database:
        with pytest.raises(BadInput, match="one SELECT is answered, and nothing else"):
            answer(database, statement.format(target=target))
        assert [(3,)] == answer(database, "SELECT count(*) FROM flows")
    assert not target.exists()


@pytest.mark.parametrize("function", ["read_csv", "read_text", "read_parquet", "glob"])
def test_other_files_are_not_read(history: Path, function: str) -> None:
    """A statement sees flows, not the files of whoever runs it."""
    statement = "SELECT * FROM {}('/etc/passwd')".format
    with opened(history) as database, pytest.raises(BadInput, match="/etc/passwd"):
        answer(database, statement(function))


def test_spoilt_segment_is_passed_over(history: Path) -> None:
    """A sealed file without its end does not keep the others from being asked."""
    path = sealed(history)[0]
    path.write_bytes(path.read_bytes()[:-10])
    with opened(history) as database:
        assert [(1,)] == answer(database, "SELECT count(*) FROM flows")


def test_no_history_is_not_found(tmp_path: Path) -> None:
    """A directory that is not there, or in which nothing was recorded, is told as such."""
    for directory, told in ((tmp_path / "none", "there is no history of flows in"), (tmp_path, "no flow was recorded")):
        with pytest.raises(NotFound, match=told), opened(directory):
            pass


@given(LABELS, st.sampled_from(["app=web", "k8s:app=web", "world", "web", "app", "reserved:world", "x", ""]))
@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_has_label_means_what_a_filter_means(tmp_path: Path, labels: tuple[str, ...], wanted: str) -> None:
    """The macro says of a row what the filter of flows says of the event, for labels written out."""
    names = StoredNames(labels={257: labels})
    for path in tmp_path.iterdir():
        path.unlink()
    write(tmp_path, 1, [event()], names)
    with opened(tmp_path) as database:
        [(found,)] = list(database.select("SELECT has_label(source_labels, ?) FROM flows", [wanted]).rows)
    assert any(wanted in (label, label.partition(":")[2]) for label in labels) == found


@pytest.mark.parametrize("wanted", ["app=client", "k8s:app=web", "reserved:world"])
def test_has_label_agrees_with_a_query(tmp_path: Path, wanted: str) -> None:
    """A query over the API selects the rows that the macro says have the label."""
    events = joined([event(), event(source_identity=2), event(source_identity=256)])
    write(tmp_path, 1, [events])
    selected = FlowQuery.parse([f'{{"from": ["{wanted}"]}}'], []).select(events, Names())
    with opened(tmp_path) as database:
        statement = "SELECT source_identity FROM flows WHERE has_label(source_labels, ?)"
        found = [number for (number,) in database.select(statement, [wanted]).rows]
    assert selected["source_identity"].tolist() == found


def test_packets_are_accounted_for_as_in_a_digest(tmp_path: Path) -> None:
    """Closes, single packets and denials count; what a close will tell again does not."""
    kinds: list[dict[str, Any]] = [
        {"kind": kind, "verdict": verdict} for kind in EventKind for verdict in (Verdict.ALLOW, Verdict.DENY)
    ]
    events = joined([event(**kind, packets=(1 << at, 0), bytes=(0, 3 << at)) for at, kind in enumerate(kinds)])
    write(tmp_path, 1, [events])
    edges = digest([events], Names()).edges
    with opened(tmp_path) as database:
        statement = (
            "SELECT sum(packets + reply_packets), sum(bytes + reply_bytes) FROM flows WHERE accounts_for(kind, verdict)"
        )
        assert [(sum(edge.packets for edge in edges), sum(edge.bytes for edge in edges))] == answer(database, statement)


def test_copy_writes_the_file_it_was_opened_for(history: Path, tmp_path: Path) -> None:
    """Rows go to a file in the form asked for; their number is told."""
    target = tmp_path / "it's.csv"
    with opened(history, copy_to=target) as database:
        assert 1 == database.copy("SELECT origin FROM flows WHERE verdict = ?", ["deny"], target, "FORMAT csv, HEADER")
    assert "origin\nweb.yaml:12\n" == target.read_text()
