from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ringfence.lab import laboratory, namespaces, processes

INSTANCE = f"k{os.getpid()}-demo"  # of this run alone
DEMO = [sys.executable, "-m", "ringfence.cli", "--instance", INSTANCE, "demo", "--headless"]
FRONTEND = "default/frontend"


@pytest.fixture(autouse=True)
def _no_leftovers() -> Iterator[None]:
    yield
    left = namespaces.named(f"rf-{INSTANCE}."), processes.directory(INSTANCE).exists()
    laboratory.down(INSTANCE)
    assert left == ([], False)
    assert not (laboratory.PINS / INSTANCE).exists()


def test_port_8080_is_blocked_then_open_then_blocked() -> None:
    """The demo's rule is flipped twice; each attempt is judged by the rule of its phase, and no event is lost."""
    done = subprocess.run([*DEMO, "--seconds", "8"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    totals: dict[str, Any] = json.loads(done.stdout)
    assert set(totals) == {"flows", "events", "counters", "time_to_enforcement_ms"}
    flows = {(flow["from"], flow["port"], flow["phase"]): flow for flow in totals["flows"]}
    assert len(flows) == 18
    assert all(flow["sent"] > 0 for flow in flows.values())
    for (source, port, phase), flow in flows.items():
        open_now = source == FRONTEND and (port != "8080/TCP" or phase == "flipped")
        assert flow["received"] == (flow["sent"] if open_now else 0), flow
    assert totals["events"]["seen"] > 0
    assert totals["events"]["lost"] == 0
    assert totals["counters"]["allowed"] > 0
    assert totals["counters"]["denied"] > 0
    assert 0 < totals["time_to_enforcement_ms"] < 1000


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_tells_the_totals_and_removes_everything(number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end the demo in order: the totals so far are printed and nothing is left."""
    with subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stderr is not None
        assert demo.stdout is not None
        for line in demo.stderr:
            if line.startswith("phase before"):
                break
        demo.send_signal(number)
        totals = json.loads(demo.stdout.read())
        demo.stderr.read()
    assert demo.returncode == 0
    assert totals["time_to_enforcement_ms"] is None


def test_interrupted_while_it_starts_it_leaves_nothing() -> None:
    """Interrupted before its lab is up, it takes down what there is."""
    with subprocess.Popen(DEMO, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stderr is not None
        assert demo.stderr.readline().startswith("namespaces")
        demo.send_signal(signal.SIGINT)
        demo.stderr.read()
    assert demo.returncode == 130


def test_a_second_demo_does_not_clear_the_first_away() -> None:
    """While a demo runs, another of its name is refused with one line."""
    with laboratory.alone(INSTANCE):
        second = subprocess.run(DEMO, capture_output=True, text=True, check=False)
    assert (second.returncode, len(second.stderr.splitlines())) == (1, 1)
    assert "in use" in second.stderr


def test_the_files_of_the_demo_are_in_the_package() -> None:
    """The demo's manifests travel with the package."""
    files = Path(laboratory.__file__).with_name("demo_files")
    assert sorted(file.name for file in files.iterdir()) == ["access.yaml", "block-8080.yaml", "workloads.yaml"]
