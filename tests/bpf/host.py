"""A host under test: the real object in the kernel, filled through real commits, given packets by BPF_PROG_TEST_RUN.

Interfaces are numbers only: the endpoint that a packet is run at has the loopback's index, which is what a test run
says, and all others have indexes that do not exist.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple

import numpy as np
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from ringfence.abi import (
    KNOBS,
    Aggregation,
    BackendState,
    CtStatus,
    Delivery,
    Direction,
    EventKind,
    MetricsLayout,
    PeerKind,
    Reason,
    ServiceScope,
    Tier,
    Verdict,
)
from ringfence.datapath.commit import Committer
from ringfence.datapath.endpoints import EndpointTable
from ringfence.datapath.loader import LoadedObject
from ringfence.datapath.rings import EventRings
from ringfence.datapath.syscall import SK_BUFF, TestRun, prog_test_run
from ringfence.engine.commands import Commit, Peer, RuleRow, WriteEndpoint
from ringfence.policy.mapstate import PolicyKey
from ringfence.service.row import Backend, Frontend, ServiceRow

LOOPBACK = 1
ELSEWHERE = 1000
PASS, DROP, REDIRECT = 0xFFFFFFFF, 2, 7
ALLOW_PRECEDENCE, DENY_PRECEDENCE, DEFAULT_PRECEDENCE = 2, 3, 0
Network = IPv4Network | IPv6Network


class Endpoint(NamedTuple):
    """A workload of the host under test."""

    row: int
    identity: int
    addresses: tuple[str, ...]

    @property
    def mac(self) -> bytes:
        return bytes([2, 0, 0, 0, 1, self.row])


class Outcome(NamedTuple):
    """What became of a packet: the program's answer and its events; `ends` tell of connections that were over."""

    run: TestRun
    events: Any
    ends: Any

    @property
    def passed(self) -> bool:
        return self.run.retval in {PASS, REDIRECT}

    @property
    def event(self) -> Any:
        assert len(self.events) == 1, f"{len(self.events)} events"
        return self.events[0]

    @property
    def reason(self) -> Reason:
        return Reason(int(self.event["reason"]))

    @property
    def rules(self) -> tuple[int, int]:
        """The numbers of the egress and the ingress rule that the event names."""
        return int(self.event["egress_rule"]), int(self.event["ingress_rule"])

    @property
    def status(self) -> CtStatus:
        return CtStatus(int(self.event["status"]))

    @property
    def mark(self) -> int:
        return int.from_bytes(self.run.context[8:12], "little")

    @property
    def packet(self) -> Packet:
        """The frame as it left."""
        return Ether(self.run.data)


class Host:
    """Endpoints, rules and packets over one loaded object. The first policy is the defaults: all allowed."""

    def __init__(self, loaded: LoadedObject) -> None:
        self.loaded = loaded
        self.committer = Committer(loaded.maps)
        self.table = EndpointTable(loaded.maps)
        self.ring = EventRings(loaded.rings)
        self.limit_denials(0)
        self.endpoints: dict[str, Endpoint] = {}
        self.rules: dict[tuple[PolicyKey, RuleRow], int] = {}

    def add(self, name: str, identity: int, *addresses: str, delivery: Delivery = Delivery.PEER) -> Endpoint:
        """A workload with default allow both ways, until it is isolated."""
        endpoint = Endpoint(len(self.endpoints) + 1, identity, addresses)
        self.endpoints[name] = endpoint
        self.place(endpoint, ELSEWHERE + endpoint.row, delivery)
        self.known({address: Peer(identity, 0, endpoint.row) for address in addresses})
        for direction in (Direction.INGRESS, Direction.EGRESS):
            self.enter(
                key(identity, direction, tier=Tier.BASELINE),
                RuleRow(DEFAULT_PRECEDENCE, Verdict.ALLOW, Reason.FORWARDED),
            )
        return endpoint

    def known(self, peers: dict[str, Peer | None]) -> int:
        """Commit what the ipcache says of prefixes."""
        return self.committer.commit(Commit(peers={ip_network(prefix): peer for prefix, peer in peers.items()}))

    def enter(self, entry: PolicyKey, rule: RuleRow | None) -> int:
        """Commit one entry, or take it away. Returns the rule's number, which no other entry has."""
        if rule is None:
            self.committer.commit(Commit(policy={entry: 0}))
            return 0
        number = self.rules.setdefault((entry, rule), len(self.rules) + 1)
        self.committer.commit(Commit(rules={number: rule}, policy={entry: number}))
        return number

    def serve(self, address: str, port: int, *backends: tuple[str, int], **fields: Any) -> ServiceRow:
        """Commit a service of one TCP port at an address; new connections go to `backends`, all of them."""
        protocol = fields.pop("protocol", 6)
        scope = fields.pop("scope", ServiceScope.ANY)
        whole = tuple((Backend(ip_address(where), at), BackendState.ACTIVE) for where, at in backends)
        given = {"name": "default/web", "group": "web", "backends": whole, "table": tuple(range(len(whole)))}
        row = ServiceRow(**(given | fields))
        self.committer.commit(Commit(services={Frontend(ip_address(address), port, protocol, scope): row}))
        return row

    def withdraw(self, address: str, port: int, protocol: int = 6) -> None:
        """Commit that there is no such service any more."""
        self.committer.commit(Commit(services={Frontend(ip_address(address), port, protocol): None}))

    def isolate(self, name: str, direction: Direction) -> int:
        """Default deny for an endpoint."""
        entry = key(self.endpoints[name].identity, direction)
        return self.enter(entry, RuleRow(DEFAULT_PRECEDENCE, Verdict.DENY, Reason.POLICY_DENIED))

    def allow(self, entry: PolicyKey) -> int:
        return self.enter(entry, RuleRow(ALLOW_PRECEDENCE, Verdict.ALLOW, Reason.FORWARDED))

    def deny(self, entry: PolicyKey) -> int:
        return self.enter(entry, RuleRow(DENY_PRECEDENCE, Verdict.DENY, Reason.POLICY_DENY_RULE))

    def sends(self, name: str, packet: Packet | bytes, mark: int = 0) -> Outcome:
        """Run a packet, or the bytes of a frame, at the hook of what an endpoint sends."""
        return self._run_at(self.endpoints[name], "from_endpoint", packet, mark)

    def gets(self, name: str, packet: Packet | bytes, mark: int = 0) -> Outcome:
        """Run a packet, or the bytes of a frame, at the hook of what an endpoint is given by the stack."""
        return self._run_at(self.endpoints[name], "to_endpoint", packet, mark)

    def run(self, program: str | int, packet: Packet | bytes, mark: int = 0, ingress_ifindex: int = 0) -> Outcome:
        """Run a program where no endpoint lives, unless one was placed there."""
        context = bytearray(SK_BUFF.itemsize)
        context[8:12] = mark.to_bytes(4, "little")
        context[36:40] = ingress_ifindex.to_bytes(4, "little")
        fd = self.loaded.programs[program] if isinstance(program, str) else program
        self.ring.read()
        run = prog_test_run(fd, packet if isinstance(packet, bytes) else framed(packet), bytes(context))
        events = self.ring.read()
        over = (events["kind"] == EventKind.CLOSE) & (events["length"] == 0)
        return Outcome(run, events[~over], events[over])

    def aggregate(self, name: str, aggregation: Aggregation) -> None:
        """Give an endpoint a setting of its own."""
        self.loaded.maps["endpoints"].mmap_array()[self.endpoints[name].row]["aggregation"] = aggregation

    def limit_denials(self, a_second: int) -> None:
        """Tell so many denials of a flow each second; 0: all."""
        self.loaded.maps[".data.events"].mmap_array()["denials_per_second"][0] = a_second

    def every_packet_writes_an_event(self) -> None:
        self.loaded.maps[".data.events"].mmap_array()["event_aggregation"][0] = Aggregation.PACKETS

    def hits(self, entry: PolicyKey) -> tuple[int, int]:
        """Packets and bytes of an entry."""
        counter = self.loaded.maps["record_hits"].lookup(self.committer.policy.row_of[entry])
        return int(counter["packets"]), int(counter["bytes"])

    def counted(self, reason: Reason, direction: Direction) -> int:
        """Packets counted for a reason."""
        return self.traffic(reason, direction)[0]

    def traffic(self, reason: Reason, direction: Direction) -> tuple[int, int]:
        """Packets and bytes counted for a reason."""
        counter = self.loaded.maps["metrics"].lookup(reason * MetricsLayout.DIRECTIONS + direction)
        return int(counter["packets"]), int(counter["bytes"])

    def connections(self, family: int = 4) -> list[Any]:
        """Entries of conntrack."""
        return list(self.loaded.maps[f"ct{family}"].dump()[1])

    def connection(self, family: int) -> Any:
        """The only entry of conntrack."""
        found = self.connections(family)
        assert len(found) == 1, f"{len(found)} connections"
        return found[0]

    def let_pass(self, seconds: float) -> None:
        """Make every entry of conntrack older, as if no packet had come for so long."""
        for family in (4, 6):
            conntrack = self.loaded.maps[f"ct{family}"]
            for found, entry in zip(*conntrack.dump(), strict=True):
                entry["last_seen"] -= np.uint64(seconds * KNOBS["jiffies_per_second"].default)
                conntrack.update(found, entry)

    def forget_clients(self, seconds: float) -> None:
        """Make what affinity knows of clients older."""
        affinities = self.loaded.maps["affinities"]
        for found, entry in zip(*affinities.dump(), strict=True):
            entry["last_used"] -= np.uint64(seconds * KNOBS["jiffies_per_second"].default)
            affinities.update(found, entry)

    def _run_at(self, at: Endpoint, program: str, packet: Packet | bytes, mark: int) -> Outcome:
        self.place(at, LOOPBACK)
        try:
            return self.run(program, packet, mark)
        finally:
            self.place(at, ELSEWHERE + at.row)

    def place(self, endpoint: Endpoint, ifindex: int, delivery: Delivery | None = None) -> None:
        """Say which interface is the host side of an endpoint's; the rest stays as it is."""
        row = self.loaded.maps["endpoints"].mmap_array()[endpoint.row]
        macs, aggregation = (endpoint.mac, bytes([2, 0, 0, 0, 2, endpoint.row])), Aggregation(int(row["aggregation"]))
        self.table.write(
            WriteEndpoint(endpoint.row, endpoint.row, ifindex, *macs, aggregation),
            Delivery(int(row["delivery"])) if delivery is None else delivery,
        )


def key(
    subject: int,
    direction: Direction,
    peer: int | None = None,
    *,
    protocol: int | None = None,
    port: int | None = None,
    tier: Tier = Tier.NORMAL,
    bits: int = 16,
    kind: PeerKind = PeerKind.IDENTITY,
) -> PolicyKey:
    """A policy key as a rule would be written: no peer, protocol or port means any."""
    prefix = 0 if protocol is None else 8 if port is None else 8 + bits
    return PolicyKey(
        subject, peer or 0, port or 0, protocol or 0, prefix, PeerKind.ANY if peer is None else kind, tier, direction
    )


def framed(packet: Packet) -> bytes:
    """An Ethernet frame around a packet that has none. Without a destination scapy would ask the network for one."""
    return bytes(packet if packet.haslayer(Ether) else Ether(src="02:00:00:00:01:01", dst="02:00:00:00:00:01") / packet)


def ip(source: str, destination: str, **fields: Any) -> Packet:
    """An IP header of the addresses' family."""
    layer = IP if ip_address(source).version == 4 else IPv6
    return layer(src=source, dst=destination, **fields)
