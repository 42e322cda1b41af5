"""The agent's life: take the lock, take over what the kernel holds, bring it to what is remembered, serve, stop.

      lock -> features -> maps (opened or loaded) -> journal -> engine -> reconcile -> hooks -> API, events, news

Stopping ends the process only: the programs stay on their interfaces and go on judging by the last revision.
"""

from __future__ import annotations

import asyncio
import gc
import shutil
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time

import structlog

from ringfence.agent.changes import Changes
from ringfence.agent.commits.control import Commits
from ringfence.agent.commits.log import CommitLog
from ringfence.agent.commits.record import LastNote, last_note, recovered, state_of
from ringfence.agent.dry import DryKernel
from ringfence.agent.http import ApiServer, WebServer
from ringfence.agent.hub import Hub
from ringfence.agent.hubble import HubbleServer, hubble_wanted, observed
from ringfence.agent.journal import Journal
from ringfence.agent.kernel import Kernel
from ringfence.agent.listening import listen, url
from ringfence.agent.lock import InstanceLock
from ringfence.agent.maplog import MapLog
from ringfence.agent.metrics.listener import MetricsListener
from ringfence.agent.namespaces import Namespaces
from ringfence.agent.netnews import NetworkNews
from ringfence.agent.node_policies import NodePolicies
from ringfence.agent.past import Past
from ringfence.agent.prefix_list import PrefixList
from ringfence.agent.reader import Reader
from ringfence.agent.recording import Recording
from ringfence.agent.service import Parts, Service
from ringfence.agent.settings import AgentSettings
from ringfence.agent.store import PolicyFiles, read_engine
from ringfence.agent.sweeper import Sweeper
from ringfence.agent.takeover import Taken, take
from ringfence.agent.uplinks import Uplinks
from ringfence.agent.wiring import Wiring
from ringfence.datapath.interfaces import node_addresses, workload_interface
from ringfence.datapath.recognition import Recognition, Remembered
from ringfence.engine.commands import ClearEndpoint, Commit, Detach
from ringfence.engine.engine import Engine
from ringfence.engine.events import Restored, Workload
from ringfence.errors import Unavailable
from ringfence.flow.recent import Recent

JOURNAL = "journal.jsonl"
PREFIXES = "prefilter.list"
COMMITS = "commits"
_log = structlog.get_logger()
Server = ApiServer | WebServer | MetricsListener | HubbleServer

# Interfaces are hooked by threads beside the loop: a change of policy does not wait 5 ms, the default, for its turn.
_SWITCH_SECONDS = 0.0005


def run(settings: AgentSettings) -> None:
    """Run an agent until SIGTERM or SIGINT. Raises `RingfenceError` when it cannot start."""
    _ = settings.sizes, hubble_wanted(settings)  # refused before anything is touched
    sys.setswitchinterval(_SWITCH_SECONDS)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with ExitStack() as on_exit:
        ports = (settings.metrics_listen, settings.web)
        scraped, web = (on_exit.enter_context(listen(port)) if port else None for port in ports)
        try:
            settings.directory.mkdir(parents=True, exist_ok=True)
            state = _dry_state(settings, on_exit) if settings.dry_run else _state(settings, on_exit)
        except PermissionError as error:
            raise Unavailable(f"cannot write to {error.filename}: run as root") from error
        taken = None if settings.dry_run else take(settings)
        kernel: Kernel = taken.kernel if taken else DryKernel(_print, settings.events)
        on_exit.callback(kernel.close)
        journal = Journal(state / JOURNAL)
        on_exit.callback(journal.close)
        asyncio.run(_Agent(settings, kernel, journal, state, taken, scraped, web).run())


def _state(settings: AgentSettings, on_exit: ExitStack) -> Path:
    """The state directory, ours alone until the end."""
    lock = InstanceLock(settings.directory / "lock")
    on_exit.callback(lock.release)
    settings.state_path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return settings.state_path


def _dry_state(settings: AgentSettings, on_exit: ExitStack) -> Path:
    """A copy of the state: a dry run leaves no trace, also beside an agent that runs."""
    copy = Path(on_exit.enter_context(TemporaryDirectory()))
    for name in (JOURNAL, PREFIXES):
        if (settings.state_path / name).exists():
            shutil.copy(settings.state_path / name, copy)
    return copy


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@dataclass(slots=True)
class _Agent:
    """The tasks of one run."""

    settings: AgentSettings
    kernel: Kernel
    journal: Journal
    state: Path
    taken: Taken | None
    scraped: socket.socket | None
    web: socket.socket | None

    async def run(self) -> None:
        """Start everything in order, serve until a signal comes, stop everything in order."""
        engine = Engine(self.settings.policy, self.settings.maglev_size)
        wiring = Wiring(self.kernel, engine.endpoints)
        changes = Changes(engine, self.kernel, self.journal, wiring)
        commit_log, last = self._commit_log(), last_note(self.journal)
        files, namespaces = PolicyFiles(), Namespaces()
        namespaces.read(self.journal)
        uplinks = Uplinks(self.settings.uplinks, self.kernel.prefilter, self.kernel.uplinks, snat=self.settings.snat)
        self.kernel.uplinks.exclude(self.settings.snat_excluded)
        prefixes = PrefixList(self.kernel.prefilter, uplinks, self.state / PREFIXES)
        await asyncio.to_thread(prefixes.restore)
        await self._restore(changes, files, wiring)
        self._catch_up(commit_log, last)
        changes.commit_log = commit_log
        uplinks.look()
        await self._clear_leftovers(engine, wiring, set(uplinks.there().values()))
        # What is there now is there to stay: the collector need not look at it each time.
        gc.freeze()
        hub = Hub(engine.known)
        instance = self.settings.instance
        settings = self.settings
        node = NodePolicies(engine, bool(settings.uplinks), settings.admin_ports, settings.allow_lockout)
        commits = Commits(engine, self.kernel, changes, files, namespaces, commit_log, node)
        commits.resume(self.journal)
        recording = Recording.start(self.settings, hub, _log.warning)
        past = Past(hub, Recent(self.settings.recent_flows), recording.archive)
        parts = Parts(
            instance,
            engine,
            self.kernel,
            changes,
            wiring,
            hub,
            files,
            namespaces,
            past,
            recording,
            prefixes,
            commits,
            node,
            find=workload_interface,
        )
        service = Service(parts)
        servers: list[Server] = [ApiServer(self.settings.socket_path, service)]
        if self.web:
            servers.append(WebServer(self.web, service))
        if self.scraped:
            servers.append(MetricsListener(self.scraped, service.metrics))
        try:
            if hubble_wanted(self.settings):
                about = observed(parts, socket.gethostname())
                servers.append(HubbleServer(self.settings.hubble_path, self.settings.hubble_listen, about))
            await self._serve(servers, hub, changes.log, NetworkNews(engine, changes, wiring, uplinks))
        finally:
            commits.close()
            commit_log.close()
            await asyncio.to_thread(recording.close)
        await wiring.settle()

    def _commit_log(self) -> CommitLog:
        """The log; revisions go on from its newest, also after the machine has started anew."""
        place = self.state / COMMITS if self.settings.dry_run else self.settings.commits_path
        log = CommitLog(place, self.settings.commits_bytes)
        self.kernel.begin_at(log.revision)
        return log

    def _catch_up(self, log: CommitLog, last: LastNote) -> None:
        """Record what a kill has kept from the log, under a revision of its own."""
        now = state_of(self.journal)
        if now == log.state:
            return
        if self.kernel.revision <= log.revision:
            self.kernel.write(Commit())
        log.note(recovered(last, log.state, now, self.kernel.revision, time()))

    async def _restore(self, changes: Changes, files: PolicyFiles, wiring: Wiring) -> None:
        """Bring the kernel to what is remembered: one commit for all that differs, then the hooks."""
        wired = changes.now(self._remembered(files))
        if self.taken:
            self.taken.replace()
        try:
            await wired
        except Exception as error:  # noqa: BLE001 - an interface that went while nobody ran; the news tell of it
            _log.warning("endpoint_not_hooked", error=str(error))
        await wiring.settle()
        if self.taken:
            self.taken.remove_replaced()

    async def _clear_leftovers(self, engine: Engine, wiring: Wiring, uplinks: set[int]) -> None:
        """What an agent had not come to that was killed between a commit and its end."""
        rows, interfaces = self.kernel.leftovers()
        for row in rows - {endpoint.row for endpoint in engine.endpoints}:
            self.kernel.write(ClearEndpoint(row))
        strangers = interfaces - uplinks - {endpoint.workload.ifindex for endpoint in engine.endpoints}
        if strangers and self.journal.fresh:
            # Whoever lost the state did not ask for open interfaces: what is hooked drops everything until it is known.
            _log.warning("interfaces_of_unknown_endpoints_stay_closed", ifindexes=sorted(strangers))
            return
        await wiring.start([Detach(0, ifindex) for ifindex in sorted(strangers)])

    def _remembered(self, files: PolicyFiles) -> Restored:
        entries, peers = self.kernel.held()
        known = read_engine(self.journal)
        there = Recognition(self.kernel.carries)
        return replace(
            known,
            endpoints={row: _still_there(workload, there) for row, workload in known.endpoints.items()},
            policies=files.read(self.journal),
            node_addresses=node_addresses(),
            entries=entries,
            peers=peers,
            frontends=tuple(self.kernel.frontends()),
        )

    async def _serve(self, servers: Sequence[Server], hub: Hub, log: MapLog, news: NetworkNews) -> None:
        loop = asyncio.get_running_loop()
        ring = self.kernel.ring()
        reader = Reader(ring, hub) if ring else None
        sweeper = Sweeper(self.kernel)
        news.look_at_all()
        listening: dict[str, object] = {"metrics": self.scraped.getsockname()[:2]} if self.scraped else {}
        listening |= {"web": url(self.web)} if self.web else {}
        _log.info("serving", instance=self.settings.instance, revision=self.kernel.revision, **listening)

        def stop() -> None:
            hub.close()
            log.close()
            for server in servers:
                server.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        try:
            await asyncio.gather(*(server.serve() for server in servers))
        finally:
            news.close()
            sweeper.close()
            if reader:
                reader.close()
            hub.close()
        _log.info("stopped", revision=self.kernel.revision)


def _still_there(workload: Workload, there: Recognition) -> Workload:
    """A workload of an earlier run; without its interface if that is gone, or another one is in its place."""
    remembered = Remembered(workload.netns, workload.cookie, workload.ifindex, workload.host_mac)
    return workload if there.knows(remembered) else replace(workload, ifindex=0)
