from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from ringfence.abi import CtStatus, EventKind
from ringfence.cli.main import cli
from ringfence.flow.decode import joined
from ringfence.history import places
from tests.unit.flow.batch import DENIED, Names, event
from tests.unit.history.stored import recorder

SECOND = 1_000_000_000
NEWEST = 1_900_000_000 * SECOND
ENDS: dict[str, Any] = {"kind": EventKind.CLOSE, "packets": (5, 4), "bytes": (500, 400)}


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three flows of the client to the web server in the last hour before NEWEST, and a denial long before."""
    directory = tmp_path_factory.mktemp("flows")
    reply = event(
        "10.0.0.1", "10.0.0.2", time=NEWEST - SECOND, status=CtStatus.REPLY, source_port=8080, destination_port=40000,
        source_identity=256, destination_identity=257, source_endpoint=1, destination_endpoint=2,
    )  # fmt: skip
    written = recorder(directory, Names(), max_age_seconds=float("inf"))
    written.offer(joined([event(time=NEWEST - 2 * SECOND), reply, event(time=NEWEST, **ENDS)]))
    written.offer(event("10.0.0.9", time=NEWEST - 90_000 * SECOND, source_endpoint=0, packets=(7, 0), **DENIED))
    written.close(60.0)
    return directory


def flows(directory: Path, *arguments: str) -> Result:
    command, *rest = arguments
    return CliRunner().invoke(cli, ["flows", command, "--dir", str(directory), *rest])


def test_query_prints_a_table(history: Path) -> None:
    """Headings, columns as wide as their widest cell, numbers flush right, nothing where there is nothing."""
    found = flows(
        history, "query", "select source_endpoint as who, verdict, length n from flows where not n = 0 order by time"
    )
    lines = found.stdout.splitlines()
    assert ["WHO             VERDICT   N", "-               deny     60", "default/client  allow    60"] == lines[:3]
    assert 5 == len(lines)


def test_query_prints_json(history: Path) -> None:
    """One array of objects; times in RFC 3339, numbers as numbers, null where there is nothing."""
    found = flows(
        history, "query", "select time, source_endpoint, length from flows order by time limit 1", "-o", "json"
    )
    assert [{"time": "2030-03-16T16:46:40.000000Z", "source_endpoint": None, "length": 60}] == json.loads(found.stdout)
    assert [] == json.loads(flows(history, "query", "select 1 where false", "-o", "json").stdout)


def test_query_prints_csv(history: Path) -> None:
    """Texts with commas are quoted, times are in RFC 3339."""
    asked = "select time, source_labels from flows order by time desc limit 1"
    [title, row] = csv.reader(flows(history, "query", asked, "-o", "csv").stdout.splitlines())
    assert ["time", "source_labels"] == title
    assert ["2030-03-17T17:46:40.000000Z", "k8s:app=client"] == row


def test_malformed_statement_is_one_line(history: Path) -> None:
    """Exit code 2, and the place in the statement."""
    found = flows(history, "query", "select nope from flows")
    assert (2, 1) == (found.exit_code, len(found.stderr.splitlines()))
    assert found.stderr.startswith('line 1, column 8: Referenced column "nope" not found')


def test_texts_do_not_steer_the_terminal(history: Path) -> None:
    """What was recorded is printed as text, without its control characters."""
    found = flows(history, "query", "select chr(27) || '[2J' || chr(10) || 'x' as t")
    assert "T\n [2J x\n" == found.stdout


def test_reader_that_has_seen_enough_ends_the_answer(history: Path) -> None:
    """Rows are streamed: `| head` does not wait for a table of all of them, and is no error."""
    command = [sys.executable, "-m", "ringfence.cli", "flows", "query", "--dir", str(history)]
    statement = "select range from range(1000000000000)"
    with subprocess.Popen([*command, statement], stdout=subprocess.PIPE, env=os.environ, text=True) as query:
        assert query.stdout is not None
        assert "RANGE" == query.stdout.readline().strip()
        query.stdout.close()
        assert 0 == query.wait(60)


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("rule", ["allowed by web (web.yaml:12)", "no rule allows this; isolated by web (web.yaml:12)"]),
        ("source", ["default/client", "10.0.0.9"]),
        ("destination", ["default/web", None]),
        ("port", ["8080/TCP", None]),
    ],
)
def test_top_counts_flows(history: Path, by: str, names: list[str | None]) -> None:
    """The busiest first; replies count for the connection they belong to; packets are those that flows account for."""
    rows = json.loads(flows(history, "top", "--by", by, "-o", "json").stdout)
    assert [name for name in names if name] == [row[by] for row in rows]
    assert (3, 1) == (sum(row["flows"] - row["denied"] for row in rows), sum(row["denied"] for row in rows))
    assert 16 == sum(row["packets"] for row in rows)


def test_top_of_one_verdict_and_time(history: Path) -> None:
    """Only flows with the verdict, since or until a time, and as many rows as asked for."""
    dropped = json.loads(flows(history, "top", "--by", "source", "--verdict", "dropped", "-o", "json").stdout)
    assert ["10.0.0.9"] == [row["source"] for row in dropped]
    late = json.loads(flows(history, "top", "--by", "source", "--since", "2030-03-17T17:46:40Z", "-o", "json").stdout)
    assert [1] == [row["flows"] for row in late]
    early = json.loads(flows(history, "top", "--by", "source", "--until", "1899999999", "-o", "json").stdout)
    assert [1, 1] == [row["flows"] for row in early]
    assert 2 == len(flows(history, "top", "--by", "source", "--limit", "1").stdout.splitlines())


@pytest.mark.parametrize("form", ["parquet", "csv", "json"])
def test_export_writes_a_whole_file(history: Path, tmp_path: Path, form: str) -> None:
    """Flows of a time, oldest first, in a file whose form its name tells; nothing else is left beside it."""
    file = tmp_path / f"flows.{form}"
    found = flows(history, "export", str(file), "--since", "2030-03-17T00:00:00Z")
    assert (0, f"3 flows written to {file}\n") == (found.exit_code, found.stderr)
    assert [file] == list(tmp_path.iterdir())
    if form == "parquet":
        table = pq.read_table(file)
        assert NEWEST == table["time"][-1].value
        rows = table.select(["port", "verdict"]).to_pylist()
    elif form == "csv":
        rows = list(csv.DictReader(file.read_text().splitlines()))
    else:
        rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [("8080/TCP", "allow")] * 3 == [(row["port"], row["verdict"]) for row in rows]
    if form != "parquet":
        assert "2030-03-17T17:46:40.000000Z" == rows[-1]["time"]


def test_export_says_what_it_cannot_write(history: Path, tmp_path: Path) -> None:
    """A name without a form, or a directory that is not there: one line, exit code 2, no file."""
    for file, told in ((tmp_path / "x.txt", "does not tell the format"), (tmp_path / "no" / "x.csv", "no directory")):
        found = flows(history, "export", str(file))
        assert (2, 1) == (found.exit_code, len(found.stderr.splitlines()))
        assert told in found.stderr
    assert [] == list(tmp_path.iterdir())


def test_info_tells_what_there_is(history: Path) -> None:
    """How many flows, of when, in how many segments and bytes."""
    found = json.loads(flows(history, "info", "-o", "json").stdout)
    assert (1, 4, 0) == (found["segments"], found["flows"], found["put_aside"])
    assert ("2030-03-16T16:46:40.000000Z", "2030-03-17T17:46:40.000000Z") == (found["oldest"], found["newest"])
    assert "Flows:     4" in flows(history, "info").stdout.splitlines()


@pytest.mark.parametrize("command", [["info"], ["query", "select 1"], ["top", "--by", "port"], ["export", "x.csv"]])
def test_no_history_is_not_found(tmp_path: Path, command: list[str]) -> None:
    """Exit code 4, and where it was looked for."""
    found = flows(tmp_path / "none", *command)
    assert (4, f"there is no history of flows in {tmp_path / 'none'}\n") == (found.exit_code, found.stderr)


@pytest.mark.parametrize("command", [["info"], ["query", "select 1"], ["top", "--by", "port"], ["export", "x.csv"]])
def test_missing_extra_says_how_to_get_it(history: Path, command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `ringfence[flows]`: exit code 3 and the command that installs it."""
    monkeypatch.setattr("ringfence.history.extra.find_spec", lambda name: None if name == "duckdb" else object())
    found = flows(history, *command)
    assert (3, "duckdb is not installed: pip install 'ringfence[flows]'\n") == (found.exit_code, found.stderr)


def test_bad_time_says_what_is_expected(history: Path) -> None:
    """Exit code 2 for a time that means nothing."""
    found = flows(history, "top", "--by", "port", "--since", "yesterday")
    assert 2 == found.exit_code
    assert "'yesterday' is no time" in found.stderr


def test_history_of_an_instance_is_found(history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --dir it is that of the instance, which a lab keeps in the lab's own directory."""
    monkeypatch.setattr(places, "_KEPT", tmp_path / "kept")
    monkeypatch.setattr(places, "_RUN", tmp_path / "run")
    (tmp_path / "run" / "lab1").mkdir(parents=True)
    (tmp_path / "run" / "lab1" / "flows").symlink_to(history)
    of_lab = CliRunner().invoke(cli, ["--instance", "lab1", "flows", "info", "-o", "json"])
    assert 4 == json.loads(of_lab.stdout)["flows"]
    other = CliRunner().invoke(cli, ["--instance", "other", "flows", "info"])
    assert f"there is no history of flows in {tmp_path}/kept/other/flows\n" == other.stderr
