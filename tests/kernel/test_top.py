from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ringfence.api.shapes import EntryShape
from ringfence.lab import laboratory, namespaces, processes
from ringfence.lab.demo import BACKEND, Demo, running
from tests.kernel.terminal import Terminal, terminal

INSTANCE = f"k{os.getpid()}-top"  # of this run alone
SERVER = f"rf-{INSTANCE}"
FRONTEND = "default/frontend"
JUDGED = r"first packet judged after (\d+\.\d) ms: "


@pytest.fixture(autouse=True)
def _no_leftovers() -> Iterator[None]:
    yield
    laboratory.down(INSTANCE)
    assert ([], False) == (namespaces.named(f"rf-{INSTANCE}."), processes.directory(INSTANCE).exists())


@pytest.fixture
def demo() -> Iterator[Demo]:
    """A lab with traffic: pings, port 80, and port 8080, which a policy denies."""
    with running(INSTANCE, lambda _: None) as found:
        yield found


@pytest.fixture
def top(demo: Demo) -> Iterator[Terminal]:
    with terminal(SERVER, ["--socket", demo.client.socket, "top"]) as found:
        yield found


def ask(top: Terminal, line: str) -> None:
    """Write a filter line, all in one go as fast hands do."""
    top.shows(r"^> (ALLOW|DENY)")
    top.write(f"/{line}")
    top.press("Enter")
    top.shows(f"^1 flow; .*filter {line}$")


def by_hand(demo: Demo) -> list[tuple[str, str, str]]:
    """What stands in the kernel's policy map by hand, of the frontend's traffic."""
    return [(entry["direction"], entry["traffic"], entry["action"]) for entry in entries(demo)]


def entries(demo: Demo) -> list[EntryShape]:
    numbers = {name: demo.client.endpoint(name)["identity"] for name in (FRONTEND, BACKEND)}
    found = demo.client.entries(numbers[BACKEND], numbers[FRONTEND])
    return [entry for entry in found if entry["origin"] == "manual"]


def test_a_flow_is_denied_and_allowed_by_keys_in_a_real_terminal(demo: Demo, top: Terminal) -> None:
    """D drops a flow in the kernel, A lets it pass again, C takes that back; each shows when it was first judged by."""
    ask(top, f"from:{FRONTEND} port:80/TCP")
    top.shows(rf"^> ALLOW .*{FRONTEND} +{BACKEND} +80/TCP +access\.yaml:28")

    top.press("D")
    top.shows(rf"{JUDGED}DENY, denied by hand")
    assert [("ingress", "80/TCP", "deny")] == by_hand(demo)
    top.shows(rf"^> DENY .*{FRONTEND} +{BACKEND} +80/TCP +denied by hand")
    assert entries(demo)[0]["packets"] > 0
    assert "\x1b[1m\x1b[31m" in top.coloured

    top.press("A")
    top.shows(rf"{JUDGED}ALLOW, allowed by hand")
    assert [("ingress", "80/TCP", "allow")] == by_hand(demo)

    top.press("C")
    top.shows(rf"^taken back: 1 entry set here.*\n{JUDGED}ALLOW, allowed by backend-basics")
    assert [] == by_hand(demo)

    top.press("q")
    assert 0 == top.ends()


def test_an_allow_overrules_the_policy_until_it_is_undone_on_leaving(demo: Demo, top: Terminal) -> None:
    """A opens a port that a deny rule blocks, its chain tells who decided, and U on leaving blocks it again."""
    ask(top, f"from:{FRONTEND} port:8080/TCP")
    top.shows(rf"^> DENY .*{FRONTEND} +{BACKEND} +8080/TCP +block-8080\.yaml:11")

    top.press("Enter")
    top.shows(r"^> +11 +- toPorts:$")
    top.press("A")
    top.shows(rf"{JUDGED}ALLOW, allowed by hand")
    top.shows(r"^ingress +allowed by hand")
    assert [("ingress", "8080/TCP", "allow")] == by_hand(demo)

    top.press("q")
    top.shows("allow ingress of app=backend from app=frontend, 8080/TCP")
    top.press("u")
    assert 0 == top.ends()
    assert [] == by_hand(demo)


def test_when_the_agent_ends_the_dashboard_says_so(demo: Demo, top: Terminal) -> None:
    """An agent that stops is told of, without a traceback; started again, it is found again and the flows go on."""
    top.shows(r"ALLOW .*80/TCP")
    processes.stop(INSTANCE, "agent")
    top.shows("NO AGENT")
    assert "Traceback" not in top.screen
    laboratory.start_agent(demo.plan)
    top.shows(r"^\[1 Flows\](?!.*NO AGENT)")
    top.press("q")
    assert 0 == top.ends()


def test_the_demo_opens_the_dashboard_on_its_flow() -> None:
    """Port 8080's flow is chosen first; A opens it, D blocks it, and at the end there are totals and nothing else."""
    with terminal(SERVER, ["--instance", INSTANCE, "demo"]) as shown:
        shown.shows(rf"^> DENY .*{FRONTEND} +{BACKEND} +8080/TCP")
        shown.shows(rf"^{FRONTEND} +{BACKEND} +8080/TCP +0/\d+ +-$")
        shown.press("a")
        shown.shows(rf"{JUDGED}ALLOW, allowed by hand")
        shown.shows(rf"^{FRONTEND} +{BACKEND} +8080/TCP +0/\d+ +([1-9]\d*)/\1$")
        shown.press("d")
        shown.shows(rf"{JUDGED}DENY, denied by hand")
        shown.shows(rf"^{FRONTEND} +{BACKEND} +8080/TCP +0/\d+ +0/[1-9]\d*$")
        shown.press("q")
        assert 0 == shown.ends()
        shown.shows(r"^from the call to the first packet judged by it: \d+\.\d+ ms")


def test_terminated_the_demo_puts_the_terminal_back_and_removes_everything() -> None:
    """SIGTERM while the dashboard is open ends the demo in order: the totals are printed and nothing is left."""
    with terminal(SERVER, ["--instance", INSTANCE, "demo"]) as shown:
        shown.shows(rf"^> DENY .*{FRONTEND} +{BACKEND} +8080/TCP")
        shown.terminate()
        assert 0 == shown.ends()
        shown.shows(r"^events: \d+ seen, 0 lost")
