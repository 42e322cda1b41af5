"""Settings of one agent, as the command line or a test gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ringfence.abi import Aggregation
from ringfence.agent.commits.log import DEFAULT_BYTES
from ringfence.agent.kernel import EventSettings
from ringfence.agent.listening import Listen
from ringfence.datapath.sizes import whole_sizes
from ringfence.flow.recent import DEFAULT_EVENTS
from ringfence.history.limits import Limits
from ringfence.history.places import kept_commits, kept_flows
from ringfence.identity.prefixes import Network
from ringfence.labels import Labels
from ringfence.policy import builtin
from ringfence.service.maglev import DEFAULT_SIZE

RUN = Path("/run/ringfence")


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """What an agent is started with.

    `socket` and `state_dir` default to places under /run/ringfence/<instance>.
    `map_sizes` are entries by map name, of `events` the bytes of each ring.
    `knobs` are those of the object (`abi.KNOBS`).
    `aggregation`: which packets of endpoints without a setting of their own write an event.
    `denial_limit`: how many denials of one flow each CPU tells a second, 0 for all.
    `maglev_size`: entries of the table of a service that chooses by Maglev, one of `service.maglev.SIZES`.
    `attach_by` None is the best mechanism that the kernel has.
    `dry_run` prints the commands for the kernel on standard output instead of carrying them out.
    `metrics_listen`: address and port of a TCP listener for scrapers.
    `recent_flows` is how many of the newest events are kept in memory.
    `record_flows`: keep a history of flows in `flows_dir`, by default under /var/lib/ringfence/<instance>, within
    `flows_limits`.
    `commits_dir`: where commits are written down, by default in `state_dir` if that is given, else under
    /var/lib/ringfence/<instance>; `commits_bytes`: how much of it is kept.
    `hubble`: serve Hubble's API, None where it is installed; `hubble_listen`: address and port of it beside its socket.
    `web`: address and port of a TCP listener for the web page.
    `uplinks`: names of the interfaces by which the host is reached.
    `node_labels`: the node's own, by which policies for nodes select it.
    `admin_ports`: TCP ports by which people reach the node; policies for it may not cut their connections, unless
    `allow_lockout`.
    `snat`: what endpoints send to the world leaves with the uplink's address, but towards `snat_excluded`.
    """

    instance: str = "default"
    socket: Path | None = None
    state_dir: Path | None = None
    dry_run: bool = False
    allow_localhost: Literal["auto", "always", "policy"] = "auto"
    enforcement: Literal["default", "always", "never"] = "default"
    policy_cidr_match_mode: Literal["", "nodes"] = ""
    workload_prefixes: tuple[Network, ...] = ()
    map_sizes: Mapping[str, int] = field(default_factory=dict)
    knobs: Mapping[str, int] = field(default_factory=dict)
    aggregation: Literal["packets", "connections", "verdicts", "off"] = "connections"
    denial_limit: int = 10
    maglev_size: int = DEFAULT_SIZE
    attach_by: Literal["tcx", "clsact"] | None = None
    metrics_listen: Listen | None = None
    recent_flows: int = DEFAULT_EVENTS
    record_flows: bool = True
    flows_dir: Path | None = None
    flows_limits: Limits = field(default_factory=Limits)
    commits_dir: Path | None = None
    commits_bytes: int = DEFAULT_BYTES
    hubble: bool | None = None
    hubble_listen: Listen | None = None
    web: Listen | None = None
    uplinks: tuple[str, ...] = ()
    node_labels: Labels = field(default_factory=Labels)
    admin_ports: tuple[int, ...] = (22,)
    allow_lockout: bool = False
    snat: bool = False
    snat_excluded: tuple[Network, ...] = ()

    @property
    def directory(self) -> Path:
        """Where the instance keeps what lives as long as the machine runs."""
        return RUN / self.instance

    @property
    def socket_path(self) -> Path:
        """Where the API listens."""
        return self.socket or self.directory / ("dry-run.sock" if self.dry_run else "agent.sock")

    @property
    def hubble_path(self) -> Path:
        """Where Hubble's API listens."""
        return self.directory / "hubble.sock"

    @property
    def state_path(self) -> Path:
        """Where the journal is."""
        return self.state_dir or self.directory / "state"

    @property
    def flows_path(self) -> Path:
        """Where the history of flows is."""
        return self.flows_dir or kept_flows(self.instance)

    @property
    def commits_path(self) -> Path:
        """Where commits are written down."""
        beside = self.state_dir / "commits" if self.state_dir else kept_commits(self.instance)
        return self.commits_dir or beside

    @property
    def events(self) -> EventSettings:
        """What the programs tell of packets, to begin with."""
        return EventSettings(Aggregation[self.aggregation.upper()], self.denial_limit)

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes of all maps that differ from the object's own. Raises `BadInput`."""
        return whole_sizes(self.map_sizes)

    @property
    def policy(self) -> builtin.Settings:
        """What of it the engine is told."""
        return builtin.Settings(
            self.allow_localhost,
            self.enforcement,
            self.policy_cidr_match_mode,
            self.workload_prefixes,
            self.node_labels,
        )
