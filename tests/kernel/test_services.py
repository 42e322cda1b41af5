"""Services with real servers and clients: nginx, a UDP echo and iperf3 behind virtual addresses, and what becomes of
connections when backends or the agent go.
"""

from __future__ import annotations

import http.client
import json
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from time import monotonic

import pytest

from tests.kernel.agents import Agent, flows_of
from tests.kernel.world import Node, Workload, owned_name

VIRTUAL = ("10.96.0.10", "fd96::10")
BACKENDS = {"one": ("10.77.3.1", "fd77:3::1"), "two": ("10.77.3.2", "fd77:3::2")}
HTTP, ECHO, IPERF = 8080, 7007, 5201
IN_FLIGHT = 40 << 20  # more than the kernel lets sockets of both ends hold (tcp_wmem, tcp_rmem)
SERVICE = f"""
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec:
  clusterIPs: [{VIRTUAL[0]}, "{VIRTUAL[1]}"]
  selector: {{app: web}}
  ports:
  - {{name: http, port: 80, targetPort: {HTTP}}}
  - {{name: echo, port: 7, targetPort: {ECHO}, protocol: UDP}}
  - {{name: iperf, port: 5201, targetPort: {IPERF}}}
  - {{name: talk, port: 9000, targetPort: 9000}}
"""
NGINX = """
daemon off; master_process off; pid {place}/pid;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {place}; proxy_temp_path {place}; fastcgi_temp_path {place};
  uwsgi_temp_path {place}; scgi_temp_path {place};
  server {{ listen {port}; listen [::]:{port} ipv6only=on; return 200 "{name} $remote_addr"; }}
}}
"""


@pytest.fixture
def agent(node: Node, tmp_path: Path) -> Iterator[Agent]:
    """An agent with a client, and a service in front of two workloads."""
    found = Agent(node, owned_name("services"), tmp_path)
    try:
        found.start()
        found.add(node.add_workload("client", "10.77.3.9", "fd77:3::9"), "client", "app=client")
        for name, addresses in BACKENDS.items():
            found.add(node.add_workload(name, *addresses), name, "app=web")
        found.apply("web.yaml", SERVICE)
        yield found
    finally:
        found.remove()


def client_of(agent: Agent) -> Workload:
    return agent.node.workloads["client"]


@contextmanager
def running(workload: Workload, command: Sequence[str], port: int) -> Iterator[None]:
    """A server in a workload's namespace for as long as the block lasts; it is waited for until it listens."""
    process = workload.run(
        lambda: subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    )
    try:
        wait_for(lambda: process.poll() is not None or listens(workload, port), f"{command[0]} does not listen")
        assert process.poll() is None, process.communicate()[0]
        yield
    finally:
        process.terminate()
        process.communicate(timeout=10)


def listens(workload: Workload, port: int) -> bool:
    def ask() -> bool:
        with closing(socket.socket()) as attempt:
            return attempt.connect_ex(("127.0.0.1", port)) == 0

    return workload.run(ask)


@contextmanager
def nginx(workload: Workload, directory: Path) -> Iterator[None]:
    """An nginx that answers with its workload's name and the address that the client has."""
    name = workload.namespace.rpartition("-")[2]
    place = directory / name
    place.mkdir()
    (place / "nginx.conf").write_text(NGINX.format(place=place, name=name, port=HTTP))
    with running(workload, ["nginx", "-e", "stderr", "-c", str(place / "nginx.conf")], HTTP):
        yield


def get(address: str, port: int = 80) -> str:
    """What a web server answers; the caller's thread is in the asker's namespace."""
    connection = http.client.HTTPConnection(address, port, timeout=5)
    with closing(connection):
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.read().decode()


@pytest.mark.parametrize("family", [0, 1])
def test_a_web_server_is_reached_by_its_services_address(agent: Agent, tmp_path: Path, family: int) -> None:
    """Requests to the virtual address come to both backends, which see the client's own address."""
    client = client_of(agent)
    with ExitStack() as stack:
        for name in BACKENDS:
            stack.enter_context(nginx(agent.node.workloads[name], tmp_path))
        answers = client.run(lambda: [get(VIRTUAL[family]) for _ in range(64)])
    asker = (client.ipv4, client.ipv6)[family]
    assert set(answers) == {f"{name} {asker}" for name in BACKENDS}


@pytest.mark.parametrize("family", [0, 1])
def test_a_datagram_is_answered_from_the_services_address(agent: Agent, family: int) -> None:
    """A connected UDP socket, which takes answers of nobody else, gets its answers through the service."""
    client = client_of(agent)
    with ExitStack() as stack:
        for workload in (agent.node.workloads[name] for name in BACKENDS):
            stack.enter_context(udp_echo(workload, (workload.ipv4, workload.ipv6)[family]))
        for _ in range(16):
            with closing(client.socket(address=(client.ipv4, client.ipv6)[family])) as asking:
                asking.connect((VIRTUAL[family], 7))
                asking.send(b"question")
                assert asking.recv(64) == b"question"


@contextmanager
def udp_echo(workload: Workload, address: str) -> Iterator[None]:
    """Send back what is received until a datagram of its own says that it is over."""
    with closing(workload.socket(address=address, port=ECHO)) as server:
        server.settimeout(10)

        def serve() -> None:
            while True:
                text, asker = server.recvfrom(64)
                if text == b"over":
                    return
                server.sendto(text, asker)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            with closing(workload.socket()) if ":" not in address else closing(workload.socket(address=address)) as own:
                own.sendto(b"over", (address, ECHO))
            thread.join()


@pytest.mark.parametrize("way", [[], ["--reverse"]])
@pytest.mark.parametrize("family", [0, 1])
def test_bulk_data_passes_through_a_service_whole(agent: Agent, family: int, way: list[str]) -> None:
    """iperf3 moves 200 MB through the service in one direction, by large segments. What sockets still hold when
    the sender has done, iperf3 does not count as received.
    """
    for name in BACKENDS:
        agent.node.workloads[name]
    with ExitStack() as stack:
        for name in BACKENDS:
            stack.enter_context(running(agent.node.workloads[name], ["iperf3", "-s"], IPERF))
        # Control and data are connections of their own; by affinity both come to one server.
        agent.apply("web.yaml", SERVICE + "  sessionAffinity: ClientIP\n")
        command = ["iperf3", "-c", VIRTUAL[family], "-n", "200M", "-J", "--connect-timeout", "3000", *way]
        ended = client_of(agent).run(
            lambda: subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        )
    told = json.loads(ended.stdout)
    assert "error" not in told
    sent, received = (told["end"][each]["bytes"] for each in ("sum_sent", "sum_received"))
    assert sent >= 200_000_000
    assert sent - received <= IN_FLIGHT


def listening(workload: Workload) -> socket.socket:
    """A listener beside whatever connections of its port there still are."""
    return workload.run(lambda: socket.create_server((workload.ipv4, 9000)))


def talk(agent: Agent) -> tuple[socket.socket, socket.socket, str]:
    """A connection through the service: the client's socket, the accepted one, and the name of the backend."""
    client = client_of(agent)
    with ExitStack() as stack:
        listeners = {}
        for name in BACKENDS:
            workload = agent.node.workloads[name]
            listener = stack.enter_context(closing(listening(workload)))
            listeners[listener] = name
        asking = client.socket(socket.SOCK_STREAM)
        asking.connect((VIRTUAL[0], 9000))
        (ready, *_), _, _ = select.select(list(listeners), [], [], 5)
        accepted, _ = ready.accept()
        accepted.settimeout(2)
        return asking, accepted, listeners[ready]


def echoes(asking: socket.socket, accepted: socket.socket) -> bool:
    """Whether bytes come through in both directions."""
    try:
        asking.sendall(b"there")
        if accepted.recv(16) != b"there":
            return False
        accepted.sendall(b"back")
        return asking.recv(16) == b"back"
    except (TimeoutError, ConnectionError):
        return False


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_connections_and_services_outlive_the_agent(agent: Agent, end: signal.Signals) -> None:
    """Without an agent, and after its return, live connections go on and new ones are led to backends."""
    asking, accepted, _ = talk(agent)
    with closing(asking), closing(accepted):
        before = listed(agent)
        agent.end(end)
        assert echoes(asking, accepted)
        for each in talk(agent)[:2]:
            each.close()
        agent.start()
        assert echoes(asking, accepted)
        assert listed(agent) == before
        for each in talk(agent)[:2]:
            each.close()


def listed(agent: Agent) -> list[object]:
    with agent.client() as api:
        return [each["frontends"] for each in api.services()]


def slice_of(*endpoints: str) -> str:
    return f"""
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: web-1, labels: {{kubernetes.io/service-name: web}}}}
addressType: IPv4
ports: [{{name: talk, port: 9000, protocol: TCP}}]
endpoints: [{", ".join(endpoints)}]
"""


def backend(name: str, conditions: str = "ready: true") -> str:
    return f"{{addresses: [{BACKENDS[name][0]}], conditions: {{{conditions}}}}}"


def test_a_backend_that_is_gone_ends_its_connections_and_one_that_terminates_keeps_them(agent: Agent) -> None:
    """A terminating backend gets no new connection but keeps its own; one that is gone answers no more."""
    agent.apply("slices.yaml", slice_of(backend("one")))
    asking, accepted, name = talk(agent)
    with closing(asking), closing(accepted):
        assert name == "one"
        agent.apply(
            "slices.yaml", slice_of(backend("one", "ready: false, serving: true, terminating: true"), backend("two"))
        )
        assert echoes(asking, accepted)
        for _ in range(8):
            *both, fresh = talk(agent)
            assert fresh == "two"
            for each in both:
                each.close()
        agent.apply("slices.yaml", slice_of(backend("two")))
        assert not echoes(asking, accepted)


TO_SERVICES = """
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: client}
spec:
  endpointSelector: {matchLabels: {app: client}}
  egress:
  - toServices: [{k8sService: {serviceName: web, namespace: default}}]
"""


def test_a_policy_follows_the_service_that_it_names(agent: Agent) -> None:
    """Who is allowed the service reaches its backends by their own addresses too, over a restart as well; when the
    service leads to others, its live connections are cut at the next packet.
    """
    agent.apply("policy.yaml", TO_SERVICES)
    for each in talk(agent)[:2]:
        each.close()
    server = agent.node.workloads["one"]
    with closing(listening(server)) as listener, closing(client_of(agent).socket(socket.SOCK_STREAM)) as asking:
        asking.settimeout(2)
        asking.connect((server.ipv4, 9000))
        accepted, _ = listener.accept()
        accepted.settimeout(2)
        with closing(accepted):
            agent.end(signal.SIGKILL)
            agent.start()
            assert echoes(asking, accepted)
            with agent.client() as api, api.events(type="drop") as stream:
                agent.apply("web.yaml", SERVICE.replace("selector: {app: web}", "selector: {app: client}"))
                assert not echoes(asking, accepted)
                [flow] = flows_of(stream, 1, "TCP")
    assert flow["rule"]["origin"] == "policy.yaml:8"
    assert "no rule allows this" in flow["rule"]["text"]


def test_a_drop_names_the_service(agent: Agent) -> None:
    """A service without a backend and a port that it does not have are told apart, each with the service's name; so
    they are explained.
    """
    agent.apply("slices.yaml", slice_of())
    client = client_of(agent)
    with agent.client() as api, api.events(type="drop") as stream:
        with closing(client.socket()) as asking:
            asking.sendto(b"question", (VIRTUAL[0], 9999))
            asking.sendto(b"question", (VIRTUAL[0], 7))
        told = {(flow["port"], flow["reason"], flow["service"]) for flow in flows_of(stream, 2, "UDP")}
        why = [
            api.explain({"source": {"name": "client"}, "destination": {"name": VIRTUAL[0]}, "port": port})["service"]
            for port in ("9999/UDP", "7/UDP")
        ]
    assert told == {("9999/UDP", "unknown service port", "default/web"), ("7/UDP", "no backend", "default/web")}
    assert [each and each["reason"] for each in why] == ["unknown service port", "no backend"]


def test_a_flow_by_a_service_names_it_and_its_backend(agent: Agent) -> None:
    """`observe` tells both: the backend that was judged, and the service that was asked for."""
    with agent.client() as api, api.events(port="9000/TCP") as stream:
        asking, accepted, name = talk(agent)
        [first] = flows_of(stream, 1)
        asking.close()
        accepted.close()
    assert (first["destination"]["endpoint"], first["service"]) == (name, "default/web")


def wait_for(true: Callable[[], bool], otherwise: str) -> None:
    """Return once something is true; it is asked again without a pause, for up to 20 seconds."""
    end = monotonic() + 20
    while not true():
        assert monotonic() < end, otherwise
