"""The page over a real agent: what workloads of a lab really send is what a person sees."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from playwright.sync_api import expect

from ringfence.cli.main import cli
from ringfence.lab import laboratory, namespaces
from tests.web.conftest import OpenPage

INSTANCE = f"k{os.getpid()}-web"  # of this run alone
ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "backend-access.yaml"
UID = "CiliumNetworkPolicy/default/backend-access"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["--instance", INSTANCE, *arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def _lab() -> Iterator[None]:
    laboratory.down(INSTANCE)
    run("lab", "up", str(EXAMPLE))
    yield
    laboratory.down(INSTANCE)
    assert namespaces.named(f"rf-{INSTANCE}.") == []


@contextmanager
def served() -> Iterator[str]:
    """The page of the lab's agent, whose own loopback is in another namespace, on a port of this one."""
    socket = laboratory.socket_path(INSTANCE)
    command = [sys.executable, "-m", "ringfence.cli", "--socket", socket, "web", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[0]
        finally:
            process.send_signal(signal.SIGINT)


@pytest.mark.usefixtures("_lab")
def test_real_traffic_is_seen_with_the_line_that_decided(open_page: OpenPage) -> None:
    """Real packets show as an allowed and a denied edge; the denied one leads to the line and its growing hits."""
    with served() as url:
        page = open_page(url)
        expect(page.locator("#connection")).to_have_text("live")
        run("lab", "probe", "--from", "default/frontend", "--to", "default/backend", "--port", "8080/TCP")
        run("lab", "probe", "--from", "default/stranger", "--to", "default/backend", "--port", "8080/TCP")
        names = page.get_by_role("button")
        expect(names.and_(page.get_by_label("default/frontend to default/backend, 8080/TCP, allowed"))).to_have_count(1)
        expect(names.and_(page.get_by_label("default/stranger to default/backend, 8080/TCP, denied"))).to_have_count(1)
        page.locator(".edge.deny .reach").click(force=True)
        beside = page.get_by_role("complementary")
        beside.get_by_role("link", name=f"no rule allows this; isolated by {EXAMPLE}:").click()
        expect(page.get_by_role("heading", name=UID)).to_be_visible()
        named = page.locator(".source [aria-current]")
        expect(named).to_have_text("  - fromEndpoints:")
        line = int(named.get_attribute("value") or 0)
        assert "  - fromEndpoints:" == EXAMPLE.read_text().splitlines()[line - 1]
        denials = page.locator(".rules tr.deny")
        expect(denials).not_to_have_attribute("data-hits", "0")
        before = denials.get_attribute("data-hits") or ""
        run("lab", "probe", "--from", "default/stranger", "--to", "default/backend", "--port", "80/TCP")
        expect(denials).not_to_have_attribute("data-hits", before)
        expect(page.locator(".brief")).to_contain_text("default/stranger → default/backend")
        page.get_by_role("link", name="Status", exact=True).click()
        expect(page.locator("main")).to_contain_text("default/stranger")
        page.close()
