"""The exposition: a snapshot in the text format that the scraper asks for.

One collection at a time, and one a second: whoever asks meanwhile gets the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic, time

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from ringfence import __version__
from ringfence.abi import DIGEST
from ringfence.agent.changes import Changes
from ringfence.agent.metrics import families as f
from ringfence.agent.metrics import samples
from ringfence.agent.metrics.commits import CommitWatch
from ringfence.agent.metrics.snapshot import Parts, Photographer, Snapshot
from ringfence.errors import Unavailable

_SHARED_SECONDS = 1.0
_OPENMETRICS = "application/openmetrics-text"
_TEXT = ("text/plain", "text/*", "*/*")


class Metrics:
    """What the agent tells Prometheus, counted from construction on."""

    def __init__(self, parts: Parts, changes: Changes) -> None:
        self._watch = CommitWatch(parts.kernel, parts.engine.known)
        changes.watcher = self._watch
        parts.hub.feed(self._watch.enforcement.see)
        self._photographer = Photographer(parts, self._watch)
        self._collector = _SnapshotCollector(self._watch)
        self._registry = CollectorRegistry()
        self._registry.register(self._collector)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._turn = asyncio.Lock()
        self._taken_at = 0.0
        self._texts: dict[str, bytes] = {}

    async def scrape(self, accept: str = "") -> tuple[bytes, str]:
        """Everything, as text and the type it has. `accept` are the types that the asker takes (Accept).

        Raises `Unavailable`.
        """
        encode, content_type = _format(accept)
        async with self._turn:
            if not self._texts or monotonic() - self._taken_at >= _SHARED_SECONDS:
                self._texts.clear()
                self._collector.snapshot = await self._snapshot()
                self._taken_at = monotonic()
            if content_type not in self._texts:
                self._texts[content_type] = await asyncio.to_thread(encode, self._registry)
            return self._texts[content_type], content_type

    async def _snapshot(self) -> Snapshot:
        try:
            return await self._photographer.take()
        except OSError as error:
            raise Unavailable(f"the kernel does not tell its counters: {error}") from error


class _SnapshotCollector(Collector):
    """The newest snapshot, as metrics."""

    def __init__(self, watch: CommitWatch) -> None:
        self._watch = watch
        self._started = time()
        self.snapshot: Snapshot | None = None

    def describe(self) -> Iterator[Metric]:
        """Nothing yet: registering is not to ask the kernel."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        watch = self._watch
        if self.snapshot:
            yield from samples.numbers(self.snapshot)
        yield samples.metric(f.COMMITS, [((), watch.durations.count)])
        yield samples.metric(f.COMMIT_FAILURES, [((), watch.failures)])
        yield samples.histogram(f.COMMIT_DURATION, watch.durations)
        yield samples.histogram(f.ENFORCEMENT_DURATION, watch.enforcement.durations)
        yield samples.info(f.BUILD, __version__, DIGEST[:12])
        yield samples.metric(f.START_TIME, [((), self._started)])


def _format(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    """How to write it: OpenMetrics where it is preferred to plain text."""
    if _weight(accept, (_OPENMETRICS,)) > _weight(accept, _TEXT):
        return partial(openmetrics.generate_latest, version="1.0.0"), openmetrics.CONTENT_TYPE_LATEST
    return generate_latest, CONTENT_TYPE_PLAIN_0_0_4


def _weight(accept: str, types: tuple[str, ...]) -> float:
    """The weight (RFC 9110, 12.5.1) that any of some types has in an Accept header."""
    weights = [0.0]
    for each in accept.split(","):
        media, *parameters = (part.strip().lower() for part in each.split(";"))
        given = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        if media in types and given.replace(".", "", 1).isdecimal():
            weights.append(float(given))
    return max(weights)
