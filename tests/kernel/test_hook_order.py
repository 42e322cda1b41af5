"""What others do at our hooks and what becomes of interfaces: what goes wrong, and what `status` says of it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ringfence.cli.main import cli
from ringfence.datapath import attach, clsact, links
from ringfence.datapath.libbpf import BpfObject
from ringfence.datapath.links import Hook
from ringfence.datapath.loader import PIN_ROOT, LoadedObject, load
from ringfence.datapath.syscall import obj_get
from ringfence.errors import Unavailable
from ringfence.lab import namespaces
from tests.bpf.conftest import SMALL
from tests.kernel.agents import Agent
from tests.kernel.conftest import AddWorkload
from tests.kernel.world import Node, Workload, answers, ask, owned_name

ACCEPT = Path(__file__).parent / "accept.bpf.c"
CLIENT, SERVER = ("client", "10.77.5.1", "fd77:5::1"), ("server", "10.77.5.2", "fd77:5::2")
DENY_ALL = """
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: closed}
spec:
  endpointSelector: {matchLabels: {app: server}}
  ingress: [{}]
"""


@pytest.fixture
def accept(compile_file: Callable[[Path], bytes]) -> Iterator[int]:
    """The descriptor of a program that accepts everything."""
    with BpfObject(compile_file(ACCEPT), "accept") as opened:
        opened.load()
        number = os.dup(opened.programs()["accept"])
    yield number
    os.close(number)


@pytest.fixture
def make_agent(node: Node, tmp_path: Path) -> Iterator[Callable[..., Agent]]:
    """An agent, started with these options."""
    made: list[Agent] = []

    def make(*options: str) -> Agent:
        made.append(Agent(node, owned_name("order"), tmp_path))
        made[0].start(made[0].command(*options))
        return made[0]

    yield make
    for agent in made:
        agent.remove()


@pytest.fixture
def client(add_workload: AddWorkload) -> Workload:
    return add_workload(*CLIENT)


@pytest.fixture
def server(add_workload: AddWorkload) -> Workload:
    return add_workload(*SERVER)


def manage(agent: Agent, server: Workload) -> None:
    """The server takes nothing. The client stays a stranger, so that only the server's hooks judge what it sends."""
    agent.add(server, "server", "app=server")
    agent.apply("closed.yaml", DENY_ALL)


def status(agent: Agent) -> str:
    result = CliRunner().invoke(cli, ["--socket", agent.socket, "status"])
    assert result.exit_code == 0, result.output
    return result.output


def tc(node: Node, *words: str) -> None:
    node.run(lambda: subprocess.run(["tc", *words], check=True))


def name_of(node: Node, ifindex: int) -> str:
    name: str = ask(lambda route: route.get_links(ifindex)[0].get_attr("IFLA_IFNAME"), node.namespace)
    return name


def test_a_program_before_ours_that_accepts_is_told(
    node: Node, client: Workload, server: Workload, accept: int, make_agent: Callable[..., Agent]
) -> None:
    """What another tcx program accepts before ours is delivered unjudged; the order stays, and `status` warns of it."""
    agent = make_agent()
    with closing(_Link(node.run(lambda: links.link_create(accept, server.ifindex, Hook.EGRESS)))):
        manage(agent, server)
        [first, _] = node.run(lambda: links.prog_query(server.ifindex, Hook.EGRESS))
        assert answers(client, server)
        warning = f"server: tcx program {first.program_id} runs before to_endpoint at egress"
        assert f"warning: {warning}" in status(agent)
    assert warning not in status(agent)
    assert not answers(client, server)


def test_a_program_after_ours_is_shown(
    node: Node, client: Workload, server: Workload, accept: int, make_agent: Callable[..., Agent]
) -> None:
    """A program after ours sees what ours lets pass, and opens nothing; `status` shows that it is there."""
    agent = make_agent()
    manage(agent, server)
    with closing(_Link(node.run(lambda: links.link_create(accept, server.ifindex, Hook.EGRESS)))):
        assert not answers(client, server)
        told = status(agent)
        assert "runs after to_endpoint at egress" in told
        assert "warning" not in told


class _Link:
    """A link's descriptor, which holds its program attached."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def close(self) -> None:
        os.close(self._descriptor)


def test_a_filter_without_direct_action_is_told(
    node: Node, client: Workload, server: Workload, make_agent: Callable[..., Agent]
) -> None:
    """Our program put there anew without direct action runs and decides nothing: packets pass, and `status` warns."""
    agent = make_agent("--mechanism", "clsact")
    manage(agent, server)
    assert not answers(client, server)
    [directory] = (PIN_ROOT / agent.instance).glob("*/")
    program = obj_get(next(directory.rglob("to_endpoint")))
    try:
        place = {"parent": "ffff:fff3", "handle": 0x5246, "prio": 1, "protocol": 3}
        ask(
            lambda route: route.tc("replace-filter", "bpf", server.ifindex, fd=program, name="to_endpoint", **place),
            node.namespace,
        )
    finally:
        os.close(program)
    assert answers(client, server)
    told = status(agent)
    assert "warning: server: to_endpoint at egress lacks direct action" in told
    assert "MISSING" in told


def test_a_deleted_qdisc_is_told(
    node: Node, client: Workload, server: Workload, make_agent: Callable[..., Agent]
) -> None:
    """Who deletes clsact takes our programs with it: packets pass unjudged, and `status` warns for both."""
    agent = make_agent("--mechanism", "clsact")
    manage(agent, server)
    tc(node, "qdisc", "del", "dev", name_of(node, server.ifindex), "clsact")
    assert answers(client, server)
    told = status(agent)
    for missing in ("to_endpoint at egress is missing", "from_endpoint at ingress is missing"):
        assert f"warning: server: {missing}" in told


@pytest.mark.parametrize("mechanism", ["tcx", "clsact"])
def test_the_qdisc_of_another_tool_stays(
    node: Node, client: Workload, server: Workload, accept: int, make_agent: Callable[..., Agent], mechanism: str
) -> None:
    """Another tool's clsact and filter outlive our coming and going by either mechanism; `status` shows the filter."""
    place = {"parent": "ffff:fff3", "handle": 1, "prio": 9, "protocol": 3, "direct_action": True}

    def add_theirs(route: Any) -> None:
        route.tc("add", "clsact", server.ifindex)
        route.tc("add-filter", "bpf", server.ifindex, fd=accept, name="theirs", **place)

    ask(add_theirs, node.namespace)
    agent = make_agent("--mechanism", mechanism)
    manage(agent, server)
    assert not answers(client, server)
    assert "also at server: clsact filter theirs runs after to_endpoint at egress" in status(agent)
    with agent.client() as api:
        api.delete_endpoint("server")
    assert ["theirs"] == [found.name for found in node.run(lambda: clsact.chain(server.ifindex, Hook.EGRESS))]


def test_a_qdisc_without_programs_of_another_tool_stays(
    node: Node, server: Workload, make_agent: Callable[..., Agent]
) -> None:
    """Who has made clsact before us, with a filter of another kind, still has both once our programs are there."""
    device = name_of(node, server.ifindex)
    tc(node, "qdisc", "add", "dev", device, "clsact")
    tc(node, *f"filter add dev {device} egress pref 9 protocol all u32 match u32 0 0 flowid 1:1".split())
    agent = make_agent("--mechanism", "tcx")
    manage(agent, server)
    assert {"u32"} == {found.kind for found in node.run(lambda: clsact.chain(server.ifindex, Hook.EGRESS))}
    assert "also at server: clsact filter u32 runs after to_endpoint at egress" in status(agent)


def test_a_renamed_interface_is_still_judged(
    node: Node, client: Workload, server: Workload, make_agent: Callable[..., Agent]
) -> None:
    """Programs are at an interface, not at its name: after a rename packets are denied as before."""
    agent = make_agent()
    manage(agent, server)

    def rename(route: Any) -> None:
        route.link("set", index=server.ifindex, state="down")
        route.link("set", index=server.ifindex, ifname="other")
        route.link("set", index=server.ifindex, state="up")

    ask(rename, node.namespace)
    assert not answers(client, server)
    with agent.client() as api:
        assert api.endpoint("server")["state"] == "ready"
    assert "MISSING" not in status(agent)


def test_an_index_used_again_is_another_interface(
    node: Node, server: Workload, make_agent: Callable[..., Agent]
) -> None:
    """A new interface under the index of one that is gone gets neither its endpoint nor its programs."""
    agent = make_agent()
    manage(agent, server)
    index = server.ifindex
    ask(lambda route: route.link("del", index=index), node.namespace)
    ask(lambda route: route.link("add", ifname="anew", kind="veth", peer="other", index=index), node.namespace)
    with agent.client() as api:
        while api.endpoint("server")["state"] != "disconnected":
            pass  # the agent hears of it; its answers are what is waited for
    assert [] == node.run(lambda: links.prog_query(index, Hook.EGRESS))
    assert "warning: server: programs missing" in status(agent)


def test_a_deleted_namespace_is_told(
    node: Node, client: Workload, server: Workload, make_agent: Callable[..., Agent]
) -> None:
    """A namespace deleted under us takes its interface along: its endpoint is disconnected, the others go on."""
    agent = make_agent()
    agent.add(client, "client", "app=client")
    manage(agent, server)
    namespaces.remove(server.namespace)
    with agent.client() as api:
        while api.endpoint("server")["state"] != "disconnected":
            pass  # the agent hears of it; its answers are what is waited for
        assert api.endpoint("client")["state"] == "ready"
    assert [] == node.run(lambda: links.listed(server.ifindex, Hook.EGRESS))
    told = status(agent)
    assert "warning: server: programs missing" in told
    assert "warning: client" not in told


@pytest.mark.parametrize("mechanism", list(attach.Mechanism))
def test_a_program_of_another_type_is_refused(
    node: Node, server: Workload, pins: Path, mechanism: attach.Mechanism
) -> None:
    """An XDP program at a tc hook is refused by the kernel and told, and nothing of ours is left at the interface."""
    with load({}, SMALL) as loaded:
        wrong = LoadedObject({**loaded.programs, "to_endpoint": loaded.programs["from_outside"]}, loaded.maps)
        with pytest.raises(Unavailable, match=f"cannot attach to interface {server.ifindex} by {mechanism}"):
            node.run(lambda: attach.attach(wrong, server.ifindex, pins, mechanism))
    assert () == node.run(lambda: attach.query(server.ifindex))
