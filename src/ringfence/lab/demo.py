"""The demo: the article's policy at work between three workloads, and one of its rules flipped while they talk.

A frontend, which the policy lets in, and a stranger, which it does not, ping the backend and connect to its ports 80
and 8080 all the time. A deny rule blocks port 8080 (phase `before`), is taken away (`flipped`) and comes back
(`restored`); each is one atomic commit. While it flips, the frontend pings every millisecond, so that the time to the
first packet judged by the new revision is seen that closely.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from ringfence.api.client import Client
from ringfence.api.watch import Watcher
from ringfence.errors import RingfenceError
from ringfence.lab import laboratory
from ringfence.lab.attempt import Target
from ringfence.lab.laboratory import Say
from ringfence.lab.plan import Plan, PlannedPod, plan
from ringfence.lab.traffic import Sender, Stream

PHASES = ("before", "flipped", "restored")
BACKEND = "default/backend"
SENDERS = ("default/frontend", "default/stranger")
FLIPPED_RULE = "block-8080.yaml"
POLICIES = ("access.yaml", FLIPPED_RULE)
JUDGED_SECONDS = 5.0


class Demo:
    """A running demo. `open` says whether port 8080 is, `milliseconds` how long the first flip took to judge."""

    def __init__(self, instance: str, laid_out: Plan) -> None:
        self.open = False
        self.milliseconds: float | None = None
        self.phase = PHASES[0]
        self.phases = [PHASES[0]]
        self.plan = laid_out
        socket = laboratory.socket_path(instance)
        self.client = Client(socket)
        self.watcher = Watcher(socket)
        backend = _pod(laid_out, BACKEND)
        self.streams = {name: _streams(name, backend) for name in SENDERS}
        self._senders = [Sender(_pod(laid_out, name).wire.namespace, self.streams[name]) for name in SENDERS]
        self._uid = ""

    def start(self) -> None:
        """Begin to send and to watch, in the first phase."""
        self._uid = next(policy["uid"] for policy in self.client.policies() if policy["name"] == "block-8080")
        # Each flip is timed by the first denial, also where another was less than a second ago.
        self.client.configure(denial_limit=0)
        self.watcher.start()
        for sender in self._senders:
            sender.start()
            sender.begin(self.phase)

    def flip(self, *, open_port: bool) -> float:
        """Open or block port 8080; returns the milliseconds from the call to the first packet judged by it."""
        self.settle()
        pings = self.streams[SENDERS[0]][0]
        # The first request on a connection that has been idle would be timed with its set-up.
        self.client.policies()
        self._senders[0].hurry(pings)
        called = datetime.now(UTC)
        revision = self._open() if open_port else self._block()
        judged = self.watcher.first_judged(revision, JUDGED_SECONDS)
        if judged is None:
            raise RingfenceError(f"no packet was judged by revision {revision} within {JUDGED_SECONDS:.0f} seconds")
        milliseconds = (judged - called).total_seconds() * 1000
        self.note(milliseconds)
        self.open = open_port
        self.begin(PHASES[1] if open_port else PHASES[2])
        return milliseconds

    def note(self, milliseconds: float) -> None:
        """Take in how long a flip took to judge; the totals tell the first."""
        self.milliseconds = milliseconds if self.milliseconds is None else self.milliseconds

    def begin(self, phase: str) -> None:
        """Count what is sent from now on under a phase."""
        self.phase = phase
        self.phases = list(dict.fromkeys([*self.phases, phase]))
        for sender in self._senders:
            sender.begin(phase)

    def hurry(self, stream: Stream) -> None:
        """Send a stream's packets every millisecond, uncounted, until a phase begins."""
        self._senders[SENDERS.index(stream.source)].hurry(stream)

    def settle(self) -> None:
        """Wait until every counted attempt is answered or given up."""
        for sender in self._senders:
            sender.settle()

    def stop(self) -> None:
        """End the traffic; the totals stay."""
        self.settle()
        self.watcher.stop()
        for sender in self._senders:
            sender.stop()

    def counts(self, stream: Stream, phase: str) -> tuple[int, int]:
        """How many attempts of a stream were sent and answered in a phase."""
        return (
            sum(sender.sent[stream, phase] for sender in self._senders),
            sum(sender.received[stream, phase] for sender in self._senders),
        )

    def summary(self) -> dict[str, Any]:
        """The totals, as `--headless` prints them."""
        state = self.client.status()
        return {
            "flows": [row for phase in self.phases for row in self._rows(phase)],
            "events": {"seen": state["events"]["seen"], "lost": state["events"]["lost"] + self.watcher.lost},
            "counters": dict(state["counters"]),
            "time_to_enforcement_ms": None if self.milliseconds is None else round(self.milliseconds, 3),
        }

    def _rows(self, phase: str) -> Iterator[dict[str, Any]]:
        for stream in (stream for streams in self.streams.values() for stream in streams):
            sent, received = self.counts(stream, phase)
            ends = {"from": stream.source, "to": stream.destination, "port": stream.port}
            if sent:
                yield {**ends, "phase": phase, "sent": sent, "received": received}

    def _open(self) -> int:
        return self.client.delete_policies([self._uid])["revision"]

    def _block(self) -> int:
        return self.client.apply_policies([_source(FLIPPED_RULE)])["revision"]


@contextmanager
def running(instance: str, say: Say) -> Iterator[Demo]:
    """Bring the demo's lab up and its traffic on, and take all of it down at the end, whatever happened."""
    laid_out = plan(instance, [_source("workloads.yaml")])
    with laboratory.alone(instance):
        yield from _running(instance, laid_out, say)


def _running(instance: str, laid_out: Plan, say: Say) -> Iterator[Demo]:
    laboratory.up(laid_out, [_source(name) for name in POLICIES], say)
    try:
        demo = Demo(instance, laid_out)
        with demo.client:
            try:
                demo.start()
                yield demo
            finally:
                demo.stop()
    finally:
        laboratory.down(instance)
        say("everything removed")


def _streams(name: str, backend: PlannedPod) -> list[Stream]:
    address = backend.wire.addresses[0]
    ping = Stream(name, BACKEND, "echo-request/ICMP", Target(address, "ICMP"))
    return [ping, *(Stream(name, BACKEND, f"{port}/TCP", Target(address, "TCP", port)) for port in (80, 8080))]


def _pod(laid_out: Plan, name: str) -> PlannedPod:
    return next(pod for pod in laid_out.pods if pod.name == name)


def _source(name: str) -> tuple[str, str]:
    return name, files("ringfence.lab").joinpath("demo_files", name).read_text("utf-8")
