from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ringfence.datapath import attach
from ringfence.datapath.loader import PIN_ROOT, object_bytes
from ringfence.lab import namespaces
from tests.kernel.agents import Agent, Datagrams, managing_two, policy
from tests.kernel.world import Node, Workload, answers, ask

AddWorkload = Callable[[str, str, str], Workload]
ALLOWED, DENIED = 7001, 7002
ALLOW = policy("server", "server", "ingress", "client", ALLOWED)
# The same object in the eyes of the kernel, another by its content: what a new version of the package brings.
UPGRADED = """
import sys
from pathlib import Path
from ringfence.datapath import loader
loader.OBJECT = Path(sys.argv.pop(1))
from ringfence.cli.main import main
main()
"""


@pytest.fixture
def agent(node: Node, add_workload: AddWorkload, tmp_path: Path) -> Iterator[Agent]:
    """An agent that manages a client and a server, of which one port is open to the client."""
    with managing_two(node, add_workload, "restart", tmp_path) as found:
        found.apply("allow.yaml", ALLOW)
        yield found


def programs(agent: Agent) -> list[tuple[attach.Attached, ...]]:
    """What the kernel runs at the interfaces of the endpoints."""
    interfaces = [workload.ifindex for workload in agent.node.workloads.values()]
    return agent.node.run(lambda: [attach.query(index) for index in interfaces])


def check_traffic(agent: Agent, restart: Callable[[], None]) -> tuple[int, int]:
    """Restart an agent under traffic: all that is allowed arrives, nothing that is denied. How many were sent."""
    client, server = (agent.node.workloads[name] for name in ("client", "server"))
    with Datagrams(client, server, ALLOWED) as allowed, Datagrams(client, server, DENIED) as denied:
        restart()
        allowed.stop()
        denied.stop()
    assert set(range(allowed.sent)) == allowed.arrived
    assert set() == denied.arrived
    assert min(allowed.sent, denied.sent) > 100
    return allowed.sent, denied.sent


def counters(agent: Agent) -> tuple[int, int]:
    """Packets allowed and denied."""
    with agent.client() as api:
        found = api.status()["counters"]
    return found["allowed"], found["denied"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_restart_under_traffic(agent: Agent, number: signal.Signals) -> None:
    """A restart, after whatever end, loses no packet, lets none through unjudged, and changes no revision."""
    before, counted = (programs(agent), agent.revision()), counters(agent)

    def restart() -> None:
        agent.end(number)
        agent.start()

    sent = check_traffic(agent, restart)
    assert before == (programs(agent), agent.revision())
    assert all(now - then >= here for now, then, here in zip(counters(agent), counted, sent, strict=True))
    with agent.client() as api:
        assert ["ready", "ready"] == [endpoint["state"] for endpoint in api.endpoints()]
        assert ["CiliumNetworkPolicy/default/server"] == [found["uid"] for found in api.policies()]


def test_restart_keeps_numbers_and_origins(agent: Agent) -> None:
    """Identities, rows, rule numbers and the file and line of each rule are the same after a restart."""

    def told() -> object:
        with agent.client() as api:
            entries = [{**entry, "packets": 0, "bytes": 0} for entry in api.entries()]
            return api.endpoints(), api.identities(), entries, api.ipcache(), api.policies()

    before = told()
    agent.end(signal.SIGKILL)
    agent.start()
    assert before == told()


def test_change_after_restart_takes_effect(agent: Agent) -> None:
    """An agent that took over goes on committing: a policy deleted after the restart is out of force."""
    agent.end()
    agent.start()
    revision = agent.revision()
    with agent.client() as api:
        api.delete_policies(["CiliumNetworkPolicy/default/server"])
        assert {"ingress": False, "egress": False} == api.endpoint("server")["enforcement"]
    assert revision + 1 == agent.revision()


def test_interface_that_went_meanwhile(agent: Agent) -> None:
    """A workload that vanished while no agent ran is disconnected; the other goes on."""
    agent.end(signal.SIGKILL)
    gone = agent.node.workloads["client"]
    agent.node.run(lambda: _delete_link(gone.ifindex))
    agent.start()
    with agent.client() as api:
        assert ["disconnected", "ready"] == [endpoint["state"] for endpoint in api.endpoints()]


def test_without_its_memory_it_stays_closed(agent: Agent) -> None:
    """An agent that finds hooked interfaces and no state opens none of them; endpoints put again are let through."""
    agent.end(signal.SIGKILL)
    (agent.directory / "state" / "journal.jsonl").unlink()
    agent.start()
    client, server = (agent.node.workloads[name] for name in ("client", "server"))
    assert [2, 2] == [len(found) for found in programs(agent)]
    assert not answers(client, server)
    for name in ("client", "server"):
        agent.add(agent.node.workloads[name], name, f"app={name}")
    assert answers(client, server)


def test_killed_between_commit_and_unhooking(agent: Agent) -> None:
    """Interfaces that are hooked for nobody any more are unhooked by the next agent, and their rows emptied."""
    agent.end(signal.SIGKILL)
    journal = agent.directory / "state" / "journal.jsonl"
    with journal.open("a") as file:
        file.write('[["endpoint","1",null]]\n')
    agent.start()
    assert [0, 2] == [len(found) for found in programs(agent)]
    with agent.pinned("interfaces") as interfaces:
        assert 1 == len(interfaces.dump()[0])


def test_killed_before_unhooking_by_clsact(agent: Agent) -> None:
    """Filters of an endpoint that is nobody's any more are found without any pin, and removed."""
    agent.end()
    agent.start(agent.command("--mechanism", "clsact"))
    test_killed_between_commit_and_unhooking(agent)


def test_another_interface_in_its_place(agent: Agent) -> None:
    """A workload made anew under the same name, index and MAC address is not the one that was managed."""
    agent.end(signal.SIGKILL)
    old = agent.node.workloads["client"]
    namespaces.remove(old.namespace)
    agent.node.run(lambda: ask(lambda route: _await_gone(route, old.ifindex)))
    namespaces.create(old.namespace)
    peer = {"ifname": "eth0", "address": old.interface.mac.hex(":"), "net_ns_fd": str(namespaces.RUN / old.namespace)}
    place = {"index": old.ifindex, "address": old.interface.host_mac.hex(":")}
    ask(lambda route: route.link("add", ifname="again", kind="veth", peer=peer, **place), agent.node.namespace)
    agent.start()
    with agent.client() as api:
        assert "disconnected" == api.endpoint("client")["state"]
    assert [] == list(agent.node.run(lambda: attach.query(old.ifindex)))


def test_namespace_without_its_name(agent: Agent) -> None:
    """An interface that still runs our programs is known again, though its namespace has lost its name."""
    client = agent.node.workloads["client"]
    with client.socket(address=client.ipv4):  # which keeps the namespace
        agent.end(signal.SIGKILL)
        namespaces.remove(client.namespace)
        agent.start()
        with agent.client() as api:
            assert ["ready", "ready"] == [endpoint["state"] for endpoint in api.endpoints()]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--map-size", "policy=4096", "--map-size", "ct4=8192"], {"policy_records": 4096, "ct4": 8192}),
        (["--ct-timeout-any", "30"], {"policy_records": 131072}),
    ],
)
def test_other_sizes_and_times_under_traffic(agent: Agent, options: list[str], expected: dict[str, int]) -> None:
    """Another size or time takes effect at a restart, by another object that comes in without a packet lost."""
    before = programs(agent)

    def restart() -> None:
        agent.end()
        agent.start(agent.command(*options))

    check_traffic(agent, restart)
    assert {each.program_id for found in before for each in found}.isdisjoint(
        each.program_id for found in programs(agent) for each in found
    )
    with agent.client() as api:
        sizes = {each["name"]: each["max_entries"] for each in api.maps()}
    assert expected.items() <= sizes.items()
    assert 1 == len(list((PIN_ROOT / agent.instance).iterdir()))


def test_every_packet_can_be_an_event(agent: Agent) -> None:
    """Without aggregation each packet is told of, with it each verdict; a restart changes it in place."""
    client, server = (agent.node.workloads[name] for name in ("client", "server"))
    before = programs(agent)
    agent.end()
    agent.start(agent.command("--aggregation", "packets"))
    assert before == programs(agent)
    with agent.client() as api, api.events(from_=["server"], to=["client"]) as stream:
        assert answers(client, server, ALLOWED)
        assert "reply" == next(stream)["status"]  # type: ignore[typeddict-item] # a flow, not a loss


def test_upgrade_under_traffic(agent: Agent, tmp_path: Path) -> None:
    """An object with another content takes the old one's place without a packet lost or unjudged on the way."""
    before = programs(agent)
    new = tmp_path / "new.bpf.o"
    new.write_bytes(object_bytes() + bytes(8))

    def upgrade() -> None:
        agent.end()
        agent.start([sys.executable, "-c", UPGRADED, str(new), *agent.command()[3:]])

    revision = agent.revision()
    check_traffic(agent, upgrade)
    after = programs(agent)
    assert [2, 2] == [len(found) for found in after]
    assert {each.program_id for found in before for each in found}.isdisjoint(
        each.program_id for found in after for each in found
    )
    assert revision < agent.revision()
    assert 1 == len(list((PIN_ROOT / agent.instance).iterdir()))


def _await_gone(route: Any, ifindex: int) -> None:
    """A namespace ends some time after its last user; its interfaces go with it."""
    while any(link["index"] == ifindex for link in route.get_links()):
        pass


def _delete_link(ifindex: int) -> None:
    ask(lambda route: route.link("del", index=ifindex))
