"""`ringfence prefilter` over an agent without a kernel: what is printed, refused, and found again after a restart."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ringfence.cli.main import cli
from tests.unit.api.running import Running, running

Run = Callable[..., Result]
EVERY = "deny.txt:2:1: ::/0, which is every address of its family; expected a longer prefix, or --everything to mean it"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path) as found:
        yield found


@pytest.fixture
def run(agent: Running) -> Run:
    def call(*arguments: str, text: str | None = None) -> Result:
        return CliRunner().invoke(cli, ["--socket", str(agent.socket), "prefilter", *arguments], input=text)

    return call


def listed(run: Run, *arguments: str) -> list[str]:
    result = run("list", *arguments, "-o", "json")
    assert result.exit_code == 0, result.output
    return [each["prefix"] for each in json.loads(result.stdout)["listed"]]


def test_prefixes_are_added_and_deleted(run: Run) -> None:
    """The answer says how many were new; an address alone is itself; that nothing drops without an uplink is said."""
    result = run("add", "192.0.2.0/24", "2001:db8::1", "192.0.2.0/24")
    assert result.stdout == "2 prefixes added\n"
    assert "warning: no uplink, so nothing is dropped: start the agent with --uplink INTERFACE" in result.stderr
    assert run("add", "192.0.2.0/24").stdout == "0 prefixes added, 1 there already\n"
    assert set(listed(run)) == {"192.0.2.0/24", "2001:db8::1/128"}
    assert run("delete", "192.0.2.0/24", "10.0.0.0/8").stdout == "1 prefix deleted, 1 not there\n"
    assert listed(run) == ["2001:db8::1/128"]


def test_a_file_replaces_the_list(run: Run, tmp_path: Path) -> None:
    """Comments and empty lines are passed over; exactly what the file says is in force then."""
    run("add", "203.0.113.7")
    file = tmp_path / "deny.txt"
    file.write_text("# feed\n192.0.2.0/24  # one\n\n198.51.100.0/24\n")
    assert run("replace", str(file)).stdout == "2 prefixes in force\n"
    assert set(listed(run)) == {"192.0.2.0/24", "198.51.100.0/24"}
    assert run("replace", "-", text="").stdout == "0 prefixes in force\n"
    assert listed(run) == []


def test_those_that_an_address_is_in_are_found(run: Run) -> None:
    """Of both families, by containment; what is no address is refused."""
    run("add", "192.0.2.0/24", "192.0.2.128/25", "192.0.0.0/16", "2001:db8::/32")
    assert set(listed(run, "192.0.2.1")) == {"192.0.2.0/24", "192.0.0.0/16"}
    assert listed(run, "2001:db8::9") == ["2001:db8::/32"]
    wrong = run("list", "web")
    assert (wrong.exit_code, wrong.stderr) == (2, "'web' is no address\n")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("192.0.2.1/24", "deny.txt:2:1: '192.0.2.1/24'; expected 192.0.2.0/24 or a single address"),
        ("web", "deny.txt:2:1: 'web'; expected a prefix such as 192.0.2.0/24 or 2001:db8::/32, or an address"),
        ("::/0", EVERY),
    ],
)
def test_a_bad_line_changes_nothing(run: Run, tmp_path: Path, line: str, told: str) -> None:
    """The error names file and line and says what is wanted; the list in force stays."""
    run("add", "203.0.113.0/24")
    file = tmp_path / "deny.txt"
    file.write_text(f"192.0.2.0/24\n{line}\n")
    result = run("replace", str(file))
    assert (result.exit_code, result.stderr) == (2, f"{tmp_path}/{told}\n")
    assert listed(run) == ["203.0.113.0/24"]


def test_many_bad_lines_are_told_in_part(run: Run) -> None:
    """A file of another kind is not answered by a million lines."""
    result = run("replace", "-", text="no\n" * 1000)
    assert len(result.stderr.splitlines()) == 21
    assert "980 more lines like these" in result.stderr


def test_everything_can_be_meant(run: Run) -> None:
    """With --everything a prefix of length 0 is taken."""
    assert run("add", "0.0.0.0/0").exit_code == 2
    assert run("add", "--everything", "0.0.0.0/0").exit_code == 0


def test_the_list_is_there_after_a_restart(tmp_path: Path) -> None:
    """Also in a kernel that knows nothing of it; a line that a kill cut short is of a change nobody was told of."""
    with running(tmp_path) as first:
        for arguments in (["add", "192.0.2.0/24", "10.0.0.0/8"], ["delete", "10.0.0.0/8"]):
            CliRunner().invoke(cli, ["--socket", str(first.socket), "prefilter", *arguments])
    with (tmp_path / "prefilter.list").open("a") as file:
        file.write("+198.51.100.0/2")
    with running(tmp_path) as second:
        second.parts.prefixes.restore()
        assert [each.prefix for each in second.kernel.prefilter.listed()] == ["192.0.2.0/24"]
