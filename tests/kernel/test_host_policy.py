"""Policies for the node with real packets: who reaches its servers, whom it reaches, and who must not be cut off."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from scapy.layers.inet import UDP
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.packet import Packet

from ringfence.api.flow_shapes import FlowShape
from ringfence.errors import BadInput
from tests.bpf.host import ip
from tests.kernel.agents import SOURCE, Agent
from tests.kernel.test_evasion import on_the_wire
from tests.kernel.test_uplink import SEEN, give_address
from tests.kernel.world import UPLINK, WORLD_ADDRESSES, Node, Workload, ask, open_socket, owned_name

ADMIN_PORT = 22
FAMILIES = (socket.AF_INET, socket.AF_INET6)
Opener = Callable[[Callable[[], socket.socket]], socket.socket]
POLICY = f"""
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {{name: edge}}
spec:
  nodeSelector: {{matchLabels: {{role: edge}}}}
  ingress:
  - fromCIDR: [{WORLD_ADDRESSES[0]}/32, "{WORLD_ADDRESSES[1]}/128"]
    toPorts: [{{ports: [{{port: "8080", protocol: TCP}}]}}]
  egress:
  - toEntities: [world]
    toPorts: [{{ports: [{{port: "9000", protocol: TCP}}]}}]
"""
SSH_TOO = POLICY.replace('{port: "8080", protocol: TCP}', f'{{port: "8080"}}, {{port: "{ADMIN_PORT}"}}')


@pytest.fixture
def agent(node: Node, tmp_path: Path) -> Iterator[Agent]:
    """An agent with an uplink to the world, a label for the node, and a workload."""
    node.join_world()
    give_address(node)
    found = Agent(node, owned_name("host"), tmp_path)
    try:
        found.start(command_of(found))
        found.add(node.add_workload("client", "10.77.5.2", "fd77:5::2"), "client", "app=client")
        yield found
    finally:
        found.remove()


def command_of(agent: Agent, *more: str) -> list[str]:
    return agent.command("--uplink", UPLINK, "--snat", "--node-label", "role=edge", *more)


def serve(at: Node | Workload, address: str, port: int) -> socket.socket:
    """A server at an address of the node or of somebody else."""
    kind = FAMILIES[":" in address]
    server = at.run(lambda: socket.create_server((address, port), family=kind))
    server.settimeout(3)
    return server


def connect(asker: Node | Workload, address: str, port: int) -> socket.socket:
    """Raises TimeoutError where packets are dropped."""
    return asker.run(lambda: socket.create_connection((address, port), timeout=0.4))


def assert_reached(asker: Node | Workload, server: socket.socket) -> None:
    address, port = server.getsockname()[:2]
    with connect(asker, address, port) as client, closing(server.accept()[0]) as accepted:
        client.sendall(b"question")
        assert accepted.recv(16) == b"question"
        accepted.sendall(b"answer")
        assert client.recv(16) == b"answer"


def assert_not_reached(asker: Node | Workload, server: socket.socket) -> None:
    with pytest.raises(TimeoutError):
        connect(asker, *server.getsockname()[:2])


def world_of(agent: Agent) -> Workload:
    return agent.node.workloads["world"]


@pytest.mark.parametrize("family", [0, 1])
def test_the_world_reaches_what_is_allowed(agent: Agent, family: int) -> None:
    """Without a policy all of the node's servers are reached, with one what it allows; a drop names the rule."""
    world = world_of(agent)
    with serve(agent.node, SEEN[family], 8080) as open_one, serve(agent.node, SEEN[family], 8081) as closed_one:
        assert_reached(world, closed_one)
        agent.apply("edge.yaml", POLICY)
        assert_reached(world, open_one)
        assert_not_reached(world, closed_one)
        with agent.client() as api, api.flows(deny=['{"verdict": ["FORWARDED"]}'], asked={"last": 100}) as stream:
            told = [cast("FlowShape", flow) for flow in stream]
    (flow, *_more) = [each for each in told if each["direction"] == "ingress" and each["destination"]["port"] == 8081]
    assert flow["source"]["address"] == WORLD_ADDRESSES[family]
    assert flow["destination"]["identity"] == 1
    assert "k8s:role=edge" in flow["destination"]["labels"]
    assert flow["rule"] is not None
    assert flow["rule"]["policy"].endswith("/edge")


@pytest.mark.parametrize("family", [0, 1])
def test_the_node_reaches_what_is_allowed(agent: Agent, family: int) -> None:
    """What the node opens is judged by the egress rules of its policies."""
    world = world_of(agent)
    with (
        serve(world, WORLD_ADDRESSES[family], 9000) as open_one,
        serve(world, WORLD_ADDRESSES[family], 9001) as closed_one,
    ):
        agent.apply("edge.yaml", POLICY)
        assert_reached(agent.node, open_one)
        assert_not_reached(agent.node, closed_one)


@pytest.mark.parametrize("family", [0, 1])
def test_workloads_are_none_of_its_business(agent: Agent, family: int) -> None:
    """A workload and the node reach each other, and a workload the world, by ports that the node's policy has not."""
    client, world = agent.node.workloads["client"], world_of(agent)
    agent.apply("edge.yaml", POLICY)
    own = (client.ipv4, client.ipv6)[family]
    with serve(agent.node, SEEN[family], 8081) as server:
        assert_reached(client, server)
    with serve(client, own, 8081) as server:
        assert_reached(agent.node, server)
    with serve(world, WORLD_ADDRESSES[family], 9001) as server:
        assert_reached(client, server)


@pytest.mark.parametrize("family", [0, 1])
def test_a_restart_keeps_the_policy(agent: Agent, family: int) -> None:
    """It stays in force while no agent runs and after the next has taken over; deleted, all is open again."""
    world = world_of(agent)
    agent.apply("edge.yaml", POLICY)
    with serve(agent.node, SEEN[family], 8080) as open_one, serve(agent.node, SEEN[family], 8081) as closed_one:
        agent.end(signal.SIGKILL)
        assert_reached(world, open_one)
        assert_not_reached(world, closed_one)
        agent.start(command_of(agent))
        assert_reached(world, open_one)
        assert_not_reached(world, closed_one)
        with agent.client() as api:
            assert api.verify()["equal"]
            api.delete_policies(["edge"])
        assert_reached(world, closed_one)


@pytest.mark.parametrize("family", [0, 1])
def test_who_is_connected_is_not_cut_off(agent: Agent, family: int) -> None:
    """A policy that would cut a connection to a port for administration is refused, with connection and rule named."""
    with (
        serve(agent.node, SEEN[family], ADMIN_PORT) as server,
        connect(world_of(agent), SEEN[family], ADMIN_PORT) as admin,
        closing(server.accept()[0]) as accepted,
    ):
        accepted.settimeout(0.4)
        with pytest.raises(BadInput) as refusal:
            agent.apply("edge.yaml", POLICY)
        told = str(refusal.value)
        assert WORLD_ADDRESSES[family] in told
        assert "edge.yaml:" in told
        assert "--allow-lockout" in told
        admin.sendall(b"still here")
        assert accepted.recv(16) == b"still here"
        agent.apply("edge.yaml", SSH_TOO)
        admin.sendall(b"allowed")
        assert accepted.recv(16) == b"allowed"
        with agent.client() as api:
            api.apply_policies([("edge.yaml", POLICY)], allow_lockout=True)
        with suppress(OSError):
            admin.sendall(b"cut")
        with pytest.raises(TimeoutError):
            accepted.recv(16)


def test_a_deletion_or_a_way_back_does_not_cut_off_either(agent: Agent) -> None:
    """Who takes the policy away that lets an administrator in, beside one that isolates, is refused too."""
    ssh = SSH_TOO.replace("name: edge", "name: ssh")
    with (
        serve(agent.node, SEEN[0], ADMIN_PORT) as server,
        connect(world_of(agent), SEEN[0], ADMIN_PORT),
        closing(server.accept()[0]),
        agent.client() as api,
    ):
        api.apply_policies([("ssh.yaml", ssh), ("edge.yaml", POLICY)])
        with pytest.raises(BadInput, match="would cut"):
            api.delete_policies(["ssh"])
        assert [each["uid"].rpartition("/")[2] for each in api.policies()] == ["edge", "ssh"]
        # Nor does the way back to a revision at which only the policy that isolates was in force.
        api.delete_policies(["ssh", "edge"])
        edge = api.apply_policies([("edge.yaml", POLICY)], allow_lockout=True)["revision"]
        api.delete_policies(["edge"])
        with pytest.raises(BadInput, match="would cut"):
            api.roll_back(edge)
        api.roll_back(edge, allow_lockout=True)


def test_the_connection_of_the_environment_is_not_cut(agent: Agent, tmp_path: Path) -> None:
    """SSH_CONNECTION of the command counts, whatever port it came in by; the flag applies the policy all the same."""
    (tmp_path / "edge.yaml").write_text(POLICY)
    named = f"{WORLD_ADDRESSES[0]} 50000 {SEEN[0]} 2222"
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "NO_COLOR": "1", "SSH_CONNECTION": named}
    command = [sys.executable, "-m", "ringfence.cli", "--socket", agent.socket, "policy", "apply"]
    command.append(str(tmp_path / "edge.yaml"))
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode == BadInput.exit_code
    assert f"{WORLD_ADDRESSES[0]}:50000 -> {SEEN[0]}:2222" in refused.stderr
    done = subprocess.run([*command, "--allow-lockout"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_an_uplink_a_warning_says_so(agent: Agent) -> None:
    """Nothing would be enforced: whoever applies such a policy is told, and status says it."""
    agent.end()
    agent.start(agent.command("--node-label", "role=edge"))
    with agent.client() as api:
        (warning,) = api.apply_policies([("edge.yaml", POLICY)])["warnings"]
        assert "uplink" in warning["found"]
        assert any("uplink" in each for each in api.status()["warnings"])


UDP_TOO = POLICY.replace('{port: "8080", protocol: TCP}', '{port: "8080"}')
PRIORITY = [Dot1Q(vlan=0), Dot1Q(vlan=0, prio=5) / Dot1Q(vlan=0), Dot1AD(vlan=0) / Dot1Q(vlan=0)]


@pytest.mark.parametrize("family", [0, 1])
@pytest.mark.parametrize("tags", PRIORITY, ids=["one", "two", "802.1ad"])
def test_a_priority_tag_is_no_way_past_the_nodes_policy(agent: Agent, family: int, tags: Packet) -> None:
    """Linux takes VLAN 0 for no VLAN; so a datagram under such tags is judged as one without, and no further."""
    agent.apply("edge.yaml", UDP_TOO)
    world, address = world_of(agent), SEEN[family]
    with ExitStack() as stack:
        receivers = [
            stack.enter_context(closing(agent.node.run(partial(open_socket, socket.SOCK_DGRAM, address, port))))
            for port in (8080, 8081)
        ]
        wire = stack.enter_context(closing(world.run(on_the_wire)))
        to = mac_of(agent.node.namespace, UPLINK)
        for port in (8081, 8080):
            layer = ip(WORLD_ADDRESSES[family], address)
            wire.send(bytes(Ether(dst=to) / tags.copy() / layer / UDP(sport=5000, dport=port) / b"tagged"))
        allowed, denied = receivers
        # In order of sending: when this is here, the other is not on its way any more.
        assert allowed.recv(16) == b"tagged"
        denied.settimeout(0)
        with pytest.raises(BlockingIOError):
            denied.recv(16)


def mac_of(namespace: str, interface: str) -> str:
    links = ask(lambda route: route.get_links(ifname=interface), namespace)
    return str(links[0].get_attr("IFLA_ADDRESS"))
