"""Hubble's API over a real socket: a real gRPC client, the real agent but for its kernel."""

from __future__ import annotations

import socket
import stat
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any

import grpc
import numpy as np
import pytest

from ringfence.agent.hub import Hub
from ringfence.api.client import Client
from ringfence.errors import Unavailable
from ringfence.flow.decode import Events
from ringfence.hubble import service
from ringfence.hubble.wire import flow_pb2, health_pb2, observer_pb2
from tests.unit.api.running import Running, running
from tests.unit.flow.batch import DENIED, event
from tests.unit.hubble.rawproto import block, find, number
from tests.unit.hubble.serving import Served, serving

START = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
Ask = Callable[..., Iterator[observer_pb2.GetFlowsResponse]]


def numbered(*numbers: int, **fields: Any) -> Events:
    """Events a second apart, told apart by their source port."""
    return np.concatenate([event(source_port=n, time=START + n * SECOND, **fields) for n in numbers])


def port(response: observer_pb2.GetFlowsResponse) -> int:
    return response.flow.l4.TCP.source_port


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path) as found:
        yield found


@pytest.fixture
def served(agent: Running) -> Iterator[Served]:
    with serving(agent) as found:
        yield found


@pytest.fixture
def channel(served: Served) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(served.target) as found:
        yield found


def asking(channel: grpc.Channel) -> Ask:
    call: Any = channel.unary_stream(
        "/observer.Observer/GetFlows",
        observer_pb2.GetFlowsRequest.SerializeToString,
        observer_pb2.GetFlowsResponse.FromString,
    )
    return lambda **fields: call(observer_pb2.GetFlowsRequest(**fields), timeout=20)


@pytest.fixture
def ask(channel: grpc.Channel) -> Ask:
    return asking(channel)


def raw(channel: grpc.Channel, method: str, request: bytes = b"") -> bytes:
    """An answer as it came over the wire."""
    call: Any = channel.unary_unary(method)
    answer: bytes = call(request, timeout=20)
    return answer


def timestamp(of: int) -> dict[str, int]:
    return {"seconds": (START + of * SECOND) // SECOND}


@pytest.mark.parametrize(
    ("expected", "fields"),
    [
        ([1, 2, 3, 4, 5], {}),
        ([4, 5], {"number": 2}),
        ([1, 2], {"number": 2, "first": True}),
        ([3, 4, 5], {"since": timestamp(3)}),
        ([1, 2, 3], {"until": timestamp(3)}),
        ([2, 3], {"since": timestamp(2), "until": timestamp(3)}),
        ([2], {"since": timestamp(2), "number": 1}),
        ([1, 2, 3, 4, 5], {"number": 2**64 - 1}),
        ([], {"since": timestamp(6)}),
    ],
)
def test_past_flows(expected: list[int], fields: dict[str, Any], agent: Running, ask: Ask) -> None:
    """The last, the first, or those of a time; all there are where more are asked for."""
    agent.publish(numbered(1, 2, 3, 4, 5))
    assert expected == [port(response) for response in ask(**fields)]


def test_filters_are_applied_by_the_server(agent: Running, ask: Ask) -> None:
    """The allow list lets in, the deny list takes out of that, and `number` counts what is left."""
    agent.publish(np.concatenate([numbered(1, 2, 3), numbered(4, 5, **DENIED), numbered(6)]))
    denied = flow_pb2.FlowFilter(verdict=[flow_pb2.DROPPED])
    fifth = flow_pb2.FlowFilter(source_port=["5"])
    assert [4, 5] == [port(response) for response in ask(whitelist=[denied])]
    assert [4] == [port(response) for response in ask(whitelist=[denied], blacklist=[fifth])]
    assert [3, 6] == [port(response) for response in ask(blacklist=[denied], number=2)]


def test_follow_goes_on_where_the_past_ends(agent: Running, ask: Ask) -> None:
    """With `number` and `follow` what is past comes first, then what comes: nothing twice, nothing left out."""
    agent.publish(numbered(1, 2, 3))
    stream = ask(number=2, follow=True)
    found = [port(next(stream)) for _ in range(2)]
    for n in range(4, 40):
        agent.publish(numbered(n))
    found += [port(response) for response in islice(stream, 36)]
    assert list(range(2, 40)) == found


def test_follow_alone_tells_nothing_of_the_past(agent: Running, ask: Ask) -> None:
    """`hubble observe --follow` begins with the next flow."""
    agent.publish(numbered(1, 2, 3))
    stream = ask(follow=True)
    # Nothing tells when it has begun: flows come until one of them is told.
    told = Thread(target=lambda: found.append(port(next(stream))))
    found: list[int] = []
    told.start()
    while told.is_alive():
        agent.publish(numbered(4))
        told.join(0.01)
    assert [4] == found


def test_follow_ends_at_its_until(agent: Running, ask: Ask) -> None:
    """A flow later than that ends the stream."""
    stream = ask(since=timestamp(1), until=timestamp(2), follow=True)
    agent.publish(numbered(1))
    assert 1 == port(next(stream))
    agent.publish(numbered(2, 3, 4))
    assert [2] == [port(response) for response in stream]


def test_a_stream_ends_with_the_agent(agent: Running, served: Served, ask: Ask) -> None:
    """A follower sees the end of the stream, not an error."""
    stream = ask(since=timestamp(1), follow=True)
    agent.publish(numbered(1))
    assert 1 == port(next(stream))
    served.call(agent.hub.close)
    assert [] == list(stream)


def test_a_slow_client_loses_its_own_and_is_told(
    agent: Running, served: Served, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that does not read is held a bounded queue for; where it overflowed the stream says how many are lost,
    and another client misses nothing.
    """
    monkeypatch.setattr(Hub.subscribe, "__defaults__", (1000,))
    # A connection of its own, which grants as much as it has read and no more.
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)]
    with grpc.insecure_channel(served.target, options) as other:
        slow, quick = (each(since=timestamp(0), follow=True) for each in (asking(other), ask))
        agent.publish(numbered(1))
        assert [1, 1] == [port(next(slow)), port(next(quick))]
        sent, batch = 1, numbered(*range(2, 102))
        while not agent.hub.lost:  # nobody reads the slow one
            agent.publish(batch)
            sent += len(batch)
            assert list(range(2, 102)) == [port(response) for response in islice(quick, len(batch))]
        served.call(agent.hub.close)
        told = list(slow)
    lost = [response.lost_events for response in told if response.WhichOneof("response_types") == "lost_events"]
    assert lost
    assert {flow_pb2.HUBBLE_RING_BUFFER} == {each.source for each in lost}
    assert sent == 1 + len(told) - len(lost) + sum(each.num_events_lost for each in lost)


def test_a_client_that_goes_away_is_let_go(
    agent: Running, served: Served, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    """Its queue goes with it, and nothing is said of it."""
    agent.publish(numbered(1))
    stream = ask(number=1, follow=True)
    assert 1 == port(next(stream))
    stream.cancel()  # type: ignore[attr-defined] # a call too
    end = monotonic() + 20
    # One at a time: events that are given without a pause would keep the agent's loop from hearing of the end.
    while served.call(lambda: len(agent.hub._subscribers)) and monotonic() < end:
        agent.publish(numbered(2))
    assert 0 == len(agent.hub._subscribers)
    assert [] == caplog.messages


@pytest.mark.parametrize(
    ("expected", "fields"),
    [
        ("no filter 'dns_query'", {"whitelist": [flow_pb2.FlowFilter(dns_query=["x"])]}),
        ("'10.0.0.0/99'", {"blacklist": [flow_pb2.FlowFilter(source_ip=["10.0.0.0/99"])]}),
        ("first and follow exclude each other", {"first": True, "follow": True}),
    ],
)
def test_what_cannot_be_asked_for_is_an_invalid_argument(expected: str, fields: dict[str, Any], ask: Ask) -> None:
    """The client is told what is wrong in our own words."""
    with pytest.raises(grpc.RpcError) as refused:
        next(ask(**fields))
    assert grpc.StatusCode.INVALID_ARGUMENT == refused.value.code()
    assert expected in str(refused.value.details())


def test_filters_by_the_thousand_are_refused(ask: Ask) -> None:
    """Each of them would be looked at for every event: a request has a size."""
    with pytest.raises(grpc.RpcError) as refused:
        next(ask(whitelist=[flow_pb2.FlowFilter(source_port=[str(n) for n in range(10_000)])]))
    assert grpc.StatusCode.RESOURCE_EXHAUSTED == refused.value.code()


def test_answers_that_nobody_reads_are_bounded(agent: Running, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found for clients that do not read it is bounded over all of them: one too many is told to come again."""
    monkeypatch.setattr(service, "MOST_HELD", 60_000)
    agent.publish(np.repeat(numbered(1), 50_000))
    waiting = ask(number=50_000)
    next(waiting)
    with pytest.raises(grpc.RpcError) as refused:
        next(ask(number=20_000))
    assert grpc.StatusCode.RESOURCE_EXHAUSTED == refused.value.code()
    assert 10 == sum(1 for _ in ask(number=10))
    waiting.cancel()  # type: ignore[attr-defined] # a call too


def test_the_server_says_what_it_holds(agent: Running, channel: grpc.Channel) -> None:
    """ServerStatus by field numbers: flows held and at most, flows seen, uptime, version, rate."""
    agent.publish(numbered(1, 2, 3))
    response = raw(channel, "/observer.Observer/ServerStatus")
    assert [3] == find(response, 1)
    assert [65536] == find(response, 2)
    assert [3] == find(response, 3)
    assert all(isinstance(each, int) and each > 0 for each in find(response, 4))
    assert [b"ringfence v0.1.0"] == find(response, 8)
    assert [3.0] == find(response, 9)


def test_nodes_and_namespaces(agent: Running, channel: grpc.Channel) -> None:
    """There is one node, connected, and the namespaces of the workloads."""
    with Client(str(agent.socket)) as client:
        client.put_endpoint("shop/web", netns="1", labels=["app=web"], namespace="shop")
        client.put_endpoint("client", netns="2", labels=["app=client"])
    nodes = raw(channel, "/observer.Observer/GetNodes")
    assert [[b"node-1"], [b"ringfence v0.1.0"], [1]] == [find(nodes, 1, field) for field in (1, 2, 4)]
    namespaces = raw(channel, "/observer.Observer/GetNamespaces")
    assert [b"default", b"shop"] == find(namespaces, 1, 2)
    assert [b"default", b"default"] == find(namespaces, 1, 1)


@pytest.mark.parametrize("method", ["GetAgentEvents", "GetDebugEvents"])
def test_events_that_there_are_not_are_unimplemented(method: str, channel: grpc.Channel) -> None:
    """`hubble observe agent-events` is told so."""
    call: Any = channel.unary_stream(f"/observer.Observer/{method}")
    with pytest.raises(grpc.RpcError) as refused:
        next(call(number(2, 1), timeout=20))
    assert grpc.StatusCode.UNIMPLEMENTED == refused.value.code()
    assert method in str(refused.value.details())


@pytest.mark.parametrize("service", ["", "observer.Observer", "hubble.server.Observer"])
def test_it_is_healthy_until_it_stops(service: str, served: Served, channel: grpc.Channel) -> None:
    """`hubble status` asks for its own name of the service; whoever watches is told when the server stops."""
    assert [1] == find(raw(channel, "/grpc.health.v1.Health/Check", block(1, service)), 1)
    call: Any = channel.unary_stream("/grpc.health.v1.Health/Watch")
    watching = call(block(1, service), timeout=20)
    assert [1] == find(next(watching), 1)
    served.stop()
    assert [[2]] == [find(each, 1) for each in watching]


def test_the_health_of_an_unknown_service(channel: grpc.Channel) -> None:
    """Asked for once it is an error, watched it is SERVICE_UNKNOWN: as gRPC's protocol has it."""
    with pytest.raises(grpc.RpcError) as refused:
        raw(channel, "/grpc.health.v1.Health/Check", block(1, "relay"))
    assert grpc.StatusCode.NOT_FOUND == refused.value.code()
    call: Any = channel.unary_stream("/grpc.health.v1.Health/Watch", None, health_pb2.HealthCheckResponse.FromString)
    watching = call(block(1, "relay"), timeout=20)
    assert health_pb2.HealthCheckResponse.SERVICE_UNKNOWN == next(watching).status
    watching.cancel()


def test_the_socket_is_its_owners_alone_and_goes_with_the_server(agent: Running) -> None:
    """Nobody else may read flows; a socket that a killed agent left is replaced."""
    path = agent.directory / "hubble.sock"
    path.touch()
    with serving(agent):
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert not path.exists()


def test_an_address_that_is_taken_is_said(agent: Running) -> None:
    """Two servers never share a port, each answering some of the calls."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        at = taken.getsockname()
        with pytest.raises(Unavailable, match=f"127.0.0.1:{at[1]}"), serving(agent, at):
            pass


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_it_listens_at_an_address_too(address: str, agent: Running) -> None:
    """Hubble UI knows only TCP."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as free:
        number = free.getsockname()[1]
    target = f"[{address}]:{number}" if ":" in address else f"{address}:{number}"
    with serving(agent, (address, number)), grpc.insecure_channel(target) as channel:
        assert [1] == find(raw(channel, "/grpc.health.v1.Health/Check"), 1)
