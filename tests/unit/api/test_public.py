"""The page's port: what anybody on the host may ask, and all that they may not."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi.routing import APIRoute

from ringfence.agent.http import MOST_CONNECTIONS
from ringfence.api.client import Client
from ringfence.api.public import MOST_REQUESTS, READABLE
from ringfence.api.server import create_app
from ringfence.api.web import PAGE_PATHS, sent_events
from tests.unit.api.running import Running, running
from tests.unit.engine.script import WEB
from tests.unit.flow.batch import event

STREAM = "/v1/digests/stream"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path, ("127.0.0.1", 0)) as found:
        yield found


@pytest.fixture
def port(agent: Running) -> Iterator[httpx.Client]:
    """A caller of the port."""
    with httpx.Client(base_url=agent.url) as found:
        yield found


def routes() -> list[tuple[str, str]]:
    """Every route of the whole API, as method and path."""
    nobody: Any = None
    found = [route for route in create_app(nobody).routes if isinstance(route, APIRoute)]
    return [(method, route.path) for route in found for method in sorted(route.methods or ())]


@pytest.mark.parametrize(("method", "path"), routes(), ids=" ".join)
def test_the_port_has_the_routes_that_the_page_reads_and_no_others(port: httpx.Client, method: str, path: str) -> None:
    """Of the whole API a port answers what the page reads; what changes something is refused before it is looked at."""
    fill = {"{uid:path}": "x", "{name:path}": "x", "{name}": "app.js", "{number}": "1", "{revision}": "1"}
    asked = re.sub(r"\{.*\}", lambda found: fill[found[0]], path)
    with port.stream(method, asked) as answer:
        there = answer.status_code != httpx.codes.NOT_FOUND or path == "/v1/policies/{uid:path}"
        refused = answer.status_code == httpx.codes.METHOD_NOT_ALLOWED
    assert (there and not refused) == (method == "GET" and path in {*PAGE_PATHS, *READABLE})


def test_nothing_changes_by_the_port(agent: Running, port: httpx.Client) -> None:
    """A policy that is sent to the port is not applied, and one that is in force is not deleted."""
    with Client(str(agent.socket)) as client:
        client.apply_policies([("web.yaml", WEB)])
        before = client.policies()
        sources = {"sources": [{"name": "x.yaml", "text": WEB.replace("name: web", "name: x")}]}
        assert 405 == port.post("/v1/policies", json=sources).status_code
        assert 405 == port.request("DELETE", "/v1/policies", json={"uids": [before[0]["uid"]]}).status_code
        assert before == client.policies() == port.get("/v1/policies").json()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]", "[::1]:8479", "LOCALHOST:8479"])
def test_names_of_this_host_are_answered(port: httpx.Client, host: str) -> None:
    """Whatever this host's loopback is called and whichever port ssh forwards, the page is there."""
    assert 200 == port.get("/", headers={"Host": host}).status_code


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8479", "127.0.0.1.evil.example", "localhost@evil.example", ""]
)
def test_names_that_somebody_made_to_lead_here_are_refused(port: httpx.Client, host: str) -> None:
    """A page elsewhere whose name is made to resolve to this host (DNS rebinding) is refused whatever it asks."""
    for path in ("/", "/v1/policies", STREAM):
        answer = port.get(path, headers={"Host": host})
        assert answer.is_error, path
        assert "policies" not in answer.text


def test_no_other_page_may_read_or_frame_it(port: httpx.Client) -> None:
    """No answer lets a page of another origin read it; the page may load from here alone and be framed by nobody."""
    for path in ("/", "/page/app.js", "/v1/status", "/v1/policies/none"):
        headers = port.get(path, headers={"Origin": "https://evil.example"}).headers
        assert not [name for name in headers if name.startswith("access-control-")]
        assert headers["content-security-policy"].startswith("default-src 'self';")
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert ("same-origin", "nosniff") == (
            headers["cross-origin-resource-policy"],
            headers["x-content-type-options"],
        )


@pytest.mark.parametrize("name", ["../server.py", "..%2fserver.py", "%2e%2e%2fserver.py", "nothing.js"])
def test_only_files_of_the_page_are_served(port: httpx.Client, name: str) -> None:
    """No other file of the host can be had, however its name is written."""
    assert port.get(f"/page/{name}").status_code == 404


def test_so_many_pages_and_no_more(agent: Running) -> None:
    """Who opens streams without end is refused when there are many, and the socket goes on answering."""
    with httpx.Client(base_url=agent.url, limits=httpx.Limits(max_connections=None)) as port:
        streams = [port.send(port.build_request("GET", STREAM), stream=True) for _ in range(MOST_REQUESTS)]
        refused = port.get("/")
        assert (503, "too many pages are open; close one") == (refused.status_code, refused.json()["error"])
        with Client(str(agent.socket)) as client:
            assert "test" == client.status()["instance"]
        for stream in streams:
            stream.close()


def test_connections_without_end_take_nothing_from_the_agent(agent: Running) -> None:
    """Who opens connections and says nothing is cut off when there are many, and the socket goes on answering."""
    address = ("127.0.0.1", urlsplit(agent.url).port)
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(address, 10)) for _ in range(MOST_CONNECTIONS + 40)]
        for connection in held[MOST_CONNECTIONS:]:
            with suppress(ConnectionResetError):
                assert connection.recv(1) == b""
        with Client(str(agent.socket)) as client:
            assert "test" == client.status()["instance"]
    with httpx.Client(base_url=agent.url) as port:
        assert 200 == port.get("/").status_code


def test_the_page_is_on_the_socket_too(agent: Running) -> None:
    """The socket serves the same page, beside the whole API."""
    transport = httpx.HTTPTransport(uds=str(agent.socket))
    with httpx.Client(transport=transport, base_url="http://ringfence") as caller:
        assert "<title>Ringfence</title>" in caller.get("/").text
        assert "text/javascript; charset=utf-8" == caller.get("/page/app.js").headers["content-type"]


def test_digests_are_sent_as_events(agent: Running, port: httpx.Client) -> None:
    """The stream opens with a comment, sends a digest an interval, and ends when the agent stops."""
    with port.stream("GET", STREAM, params={"seconds": 0.25, "deny": '{"port": "53"}'}) as answer:
        assert "text/event-stream; charset=utf-8" == answer.headers["content-type"]
        agent.publish(event())
        lines = answer.iter_lines()
        assert ": digests" == next(lines)
        told = next(line for line in lines if '"events":1' in line)
        assert told.startswith('data: {"time":')
        agent.stop()
        assert list(lines)[-1] == ""


@pytest.mark.parametrize("query", ["allow=nonsense", "allow=%7B%22x%22%3A1%7D", "seconds=0", "seconds=x"])
def test_a_stream_of_no_filter_is_refused(port: httpx.Client, query: str) -> None:
    """A filter or interval that there is not is one clear error, not a stream."""
    answer = port.get(f"{STREAM}?{query}")
    assert (400, True) == (answer.status_code, bool(answer.json()["error"]))


def test_a_quiet_stream_says_that_it_lives() -> None:
    """While there is no digest a comment comes every so often, and the digest that is late is not lost by it."""

    async def events() -> list[str]:
        late = asyncio.Event()

        async def digests() -> AsyncIterator[Any]:
            await late.wait()
            yield {"events": 1}

        found = []
        async for text in sent_events(digests(), quiet_seconds=0.001):
            found.append(text)
            if len(found) == 3:
                late.set()
        return found

    found = asyncio.run(events())
    assert [": digests\n\n", ": quiet\n\n", ": quiet\n\n"] == found[:3]
    assert 'data: {"events":1}\n\n' == found[-1]
