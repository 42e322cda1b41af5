"""An uplink with real packets: endpoints seen in the world by the node's address, and node ports, over restarts too."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from tests.kernel.agents import Agent
from tests.kernel.test_services import NGINX, running
from tests.kernel.world import UPLINK, WORLD_ADDRESSES, Node, Workload, ask, owned_name

#: The node's addresses at its uplink, by which the world knows it.
SEEN = ("203.0.113.2", "2001:db8:113::2")
NODE_PORT = 30080
SERVICE = f"""
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec:
  type: NodePort
  clusterIPs: [10.96.0.10, "fd96::10"]
  selector: {{app: web}}
  ports:
  - {{name: web, port: 80, targetPort: 8080, nodePort: {NODE_PORT}}}
  - {{name: echo, port: 7, targetPort: 7007, nodePort: {NODE_PORT}, protocol: UDP}}
"""


def give_address(node: Node) -> None:
    def add(route: IPRoute) -> None:
        index = route.link_lookup(ifname=UPLINK)[0]
        for address, length in zip(SEEN, (32, 128), strict=True):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            flags = 2 if ":" in address else 0  # no duplicate address detection
            route.addr("add", index=index, family=family, address=address, prefixlen=length, flags=flags)

    ask(add, node.namespace)


@pytest.fixture
def agent(node: Node, tmp_path: Path) -> Iterator[Agent]:
    """An agent with an uplink to the world, and two workloads."""
    node.join_world()
    give_address(node)
    found = Agent(node, owned_name("uplink"), tmp_path)
    try:
        found.start(command_of(found))
        for name, ipv4, ipv6 in (("web", "10.77.5.1", "fd77:5::1"), ("client", "10.77.5.2", "fd77:5::2")):
            found.add(node.add_workload(name, ipv4, ipv6), name, f"app={name}")
        yield found
    finally:
        found.remove()


def command_of(agent: Agent) -> list[str]:
    return agent.command("--uplink", UPLINK, "--snat")


def connected(agent: Agent, family: int, server: socket.socket) -> tuple[socket.socket, socket.socket, str]:
    """A workload's connection to the world: its socket, the world's, and by which address it is seen there."""
    client = agent.node.workloads["client"]
    asking = client.socket(socket.SOCK_STREAM, address=(client.ipv4, client.ipv6)[family])
    asking.connect((WORLD_ADDRESSES[family], 9000))
    accepted, peer = server.accept()
    accepted.settimeout(2)
    return asking, accepted, peer[0]


def listening(world: Workload, family: int) -> socket.socket:
    kind = (socket.AF_INET, socket.AF_INET6)[family]
    server = world.run(lambda: socket.create_server((WORLD_ADDRESSES[family], 9000), family=kind))
    server.settimeout(3)
    return server


@pytest.mark.parametrize("family", [0, 1])
def test_a_workload_is_seen_by_the_nodes_address(agent: Agent, family: int) -> None:
    """A connection to the world works in both directions, and the world sees the node."""
    with closing(listening(agent.node.workloads["world"], family)) as server:
        asking, accepted, seen = connected(agent, family, server)
        with asking, accepted:
            assert seen == SEEN[family]
            asking.sendall(b"there")
            assert accepted.recv(16) == b"there"
            accepted.sendall(b"back")
            assert asking.recv(16) == b"back"
            with agent.client() as api:
                [flow] = api.translations(WORLD_ADDRESSES[family])
            assert (flow["seen"], flow["destination_port"], flow["own"]) == (SEEN[family], 9000, False)


@pytest.mark.parametrize("family", [0, 1])
def test_a_workload_pings_the_world(agent: Agent, family: int) -> None:
    """Echo requests and their replies are translated by their identifier."""
    client = agent.node.workloads["client"]
    protocol = (socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6)[family]

    def ping() -> bytes:
        kind = (socket.AF_INET, socket.AF_INET6)[family]
        with closing(socket.socket(kind, socket.SOCK_DGRAM, protocol)) as pinging:
            pinging.settimeout(3)
            pinging.sendto(bytes([(8, 128)[family], 0, 0, 0, 0, 0, 0, 1]) + b"echo", (WORLD_ADDRESSES[family], 0))
            return pinging.recv(64)

    assert client.run(ping).endswith(b"echo")


@pytest.mark.parametrize("family", [0, 1])
def test_a_closed_port_of_the_world_is_told(agent: Agent, family: int) -> None:
    """The ICMP error about a translated datagram comes to the socket that sent it."""
    client = agent.node.workloads["client"]
    with closing(client.socket(address=(client.ipv4, client.ipv6)[family])) as asking:
        asking.connect((WORLD_ADDRESSES[family], 9))
        asking.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            asking.recv(16)


def test_between_workloads_nothing_is_translated(agent: Agent) -> None:
    """A workload sees another one's own address."""
    web, client = (agent.node.workloads[name] for name in ("web", "client"))
    with closing(web.socket(address=web.ipv4, port=7000)) as server, closing(client.socket(address=client.ipv4)) as one:
        one.sendto(b"hello", (web.ipv4, 7000))
        assert server.recvfrom(16)[1][0] == client.ipv4


@pytest.mark.parametrize("family", [0, 1])
def test_a_node_port_leads_to_a_backend(agent: Agent, tmp_path: Path, family: int) -> None:
    """The world asks the node, a workload's nginx answers, and sees the world's own address."""
    agent.apply("web.yaml", SERVICE)
    web, world = agent.node.workloads["web"], agent.node.workloads["world"]
    (tmp_path / "nginx.conf").write_text(NGINX.format(place=tmp_path, name="web", port=8080))

    def get() -> str:
        with closing(http.client.HTTPConnection(SEEN[family], NODE_PORT, timeout=5)) as connection:
            connection.request("GET", "/")
            return connection.getresponse().read().decode()

    with running(web, ["nginx", "-e", "stderr", "-c", str(tmp_path / "nginx.conf")], 8080):
        assert world.run(get) == f"web {WORLD_ADDRESSES[family]}"


@pytest.mark.parametrize("family", [0, 1])
def test_a_backends_error_comes_to_the_client_of_a_node_port(agent: Agent, family: int) -> None:
    """A backend that nobody listens in says so to the world's socket, as the node at the port that was asked."""
    agent.apply("web.yaml", SERVICE)
    world = agent.node.workloads["world"]
    with closing(world.socket(address=WORLD_ADDRESSES[family])) as asking:
        asking.connect((SEEN[family], NODE_PORT))
        asking.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            asking.recv(16)


def test_policy_judges_who_comes_by_a_node_port(agent: Agent) -> None:
    """A backend that lets in its own namespace alone is not reached, and the drop names rule and service."""
    agent.apply("web.yaml", SERVICE)
    agent.apply(
        "deny.yaml",
        """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: inside}
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {}}]}]}
""",
    )
    world = agent.node.workloads["world"]
    with (
        agent.client() as api,
        api.events(port="8080/TCP") as stream,
        closing(world.run(socket.socket)) as asking,
    ):
        asking.settimeout(0)
        asking.connect_ex((SEEN[0], NODE_PORT))
        flow = next(stream)
    assert "lost" not in flow
    assert (flow["service"], flow["destination"]["endpoint"]) == ("default/web", "web")
    assert flow["rule"] is not None
    assert flow["rule"]["policy"].endswith("/inside")


@pytest.mark.parametrize("other_object", [False, True])
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_leaks_while_the_agent_is_replaced(agent: Agent, end: signal.Signals, *, other_object: bool) -> None:
    """Through a restart, also into another object, all that comes to the world is from the node, by one port a flow."""
    client, world = agent.node.workloads["client"], agent.node.workloads["world"]
    to, of = world.socket(address=world.ipv4, port=9001), client.socket(address=client.ipv4)
    with closing(to) as server, closing(of) as one:
        server.settimeout(1)
        seen = set()
        sent = 0

        def send() -> None:
            nonlocal sent
            one.sendto(b"%d" % sent, (world.ipv4, 9001))
            sent += 1
            seen.add(server.recvfrom(16)[1])

        send()
        agent.end(end)
        for _ in range(20):
            send()
        more = ["--map-size", "fragments=4096"] if other_object else []
        process = agent.spawn([*command_of(agent), *more])
        try:
            while not api_answers(agent):
                send()
            for _ in range(20):
                send()
        finally:
            process.terminate()
            process.communicate(timeout=20)
        assert len(seen) == 1
        assert {address for address, _ in seen} == {SEEN[0]}
    assert sent > 40


def api_answers(agent: Agent) -> bool:
    with closing(socket.socket(socket.AF_UNIX)) as attempt:
        return attempt.connect_ex(agent.socket) == 0


def test_bulk_data_leaves_whole(agent: Agent) -> None:
    """iperf3 moves 100 MB to the world and back through the translation, in large segments."""
    world, client = agent.node.workloads["world"], agent.node.workloads["client"]
    with running(world, ["iperf3", "-s"], 5201):
        for way in ([], ["--reverse"]):
            command = ["iperf3", "-c", WORLD_ADDRESSES[0], "-n", "100M", "--connect-timeout", "3000", *way]
            ended = client.run(
                lambda command=command: subprocess.run(  # type: ignore[misc] # bound early
                    command, capture_output=True, text=True, timeout=60, check=False
                )
            )
            assert ended.returncode == 0, ended.stdout + ended.stderr
