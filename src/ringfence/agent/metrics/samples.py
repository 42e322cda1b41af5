"""Samples: what a snapshot says of every family."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from ringfence.abi import Direction, Reason
from ringfence.agent import views
from ringfence.agent.metrics import families as f
from ringfence.agent.metrics.durations import Durations
from ringfence.agent.metrics.families import Family
from ringfence.agent.metrics.rule_traffic import RuleSums
from ringfence.agent.metrics.snapshot import COUNTED, Snapshot, Verdicts

Sample = tuple[tuple[str, ...], float]
_UNKNOWN_DIRECTION = 0
_FAMILIES_OF_IP = {"ct4": "ipv4", "ct6": "ipv6"}
_RECORDING = ("recording", "stopped", "off")


def numbers(snapshot: Snapshot) -> Iterator[Metric]:
    """All counters and gauges of a snapshot."""
    yield from _traffic(snapshot.verdicts, snapshot.rules)
    yield metric(f.RULES_NOT_EXPOSED, [((), snapshot.rules_not_told)])
    yield metric(f.EVENTS, [((), snapshot.events["seen"])])
    yield metric(f.EVENTS_LOST, _by_one(cast("dict[str, int]", snapshot.losses)))
    yield metric(f.HELD_BACK, [((), snapshot.events["held_back"])])
    yield from _maps(snapshot)
    yield metric(f.REVISION, [((), snapshot.revision)])
    yield metric(f.ENDPOINTS, _by_one(snapshot.endpoints))
    yield metric(f.ENDPOINTS_ENFORCED, _by_one(snapshot.enforced))
    yield metric(f.PROGRAMS_MISSING, [((), snapshot.programs_missing)])
    yield metric(f.POLICIES, _by_one(snapshot.policies))
    yield metric(f.RULES, [((), snapshot.rules_in_force)])
    yield metric(f.IDENTITIES, [((), snapshot.identities)])
    yield metric(f.SUBSCRIBERS, [((), snapshot.subscribers)])
    yield from _recording(snapshot)


def metric(family: Family, samples: Iterable[Sample]) -> Metric:
    """A counter or gauge with these values by label values."""
    made = (CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily)(
        family.name, family.help, labels=family.labels
    )
    for labels, value in samples:
        made.add_metric([_well_formed(label) for label in labels], value)
    return made


def histogram(family: Family, durations: Durations) -> Metric:
    """A histogram of durations."""
    made = HistogramMetricFamily(family.name, family.help)
    made.add_metric([], durations.buckets(), durations.sum)
    return made


def info(family: Family, *values: str) -> Metric:
    """What is always so, as labels of the number 1."""
    labels = dict(zip(family.labels, values, strict=True))
    return InfoMetricFamily(family.name.removesuffix("_info"), family.help, value=labels)


def _traffic(verdicts: Verdicts, rules: list[RuleSums]) -> Iterator[Metric]:
    """Reasons are told from the start, at 0: else the first packet of one would be no increase."""
    known = {(reason, direction): (0, 0) for reason in Reason for direction in Direction} | dict(verdicts)
    labelled = [(_verdict(*place), counted) for place, counted in known.items()]
    yield metric(f.VERDICTS, [(labels, packets) for labels, (packets, _) in labelled])
    yield metric(f.VERDICT_BYTES, [(labels, size) for labels, (_, size) in labelled])
    yield metric(f.RULE_PACKETS, [(each.labels, each.packets) for each in rules])
    yield metric(f.RULE_BYTES, [(each.labels, each.bytes) for each in rules])


def _verdict(reason: int, direction: int) -> tuple[str, str, str]:
    side = Direction(direction).name.lower() if direction != _UNKNOWN_DIRECTION else "unknown"
    return side, "allow" if reason == Reason.FORWARDED else "deny", views.reason_words(reason)


def _maps(snapshot: Snapshot) -> Iterator[Metric]:
    maps = snapshot.maps.items()
    yield metric(f.MAP_ENTRIES, [((name,), use.entries) for name, use in maps])
    yield metric(f.MAP_MAX_ENTRIES, [((name,), use.size) for name, use in maps])
    yield metric(f.MAP_PRESSURE, [((name,), use.needed / use.size) for name, use in maps])
    yield metric(f.MAP_AGE, [((name,), round(snapshot.maps[name].age_seconds, 3)) for name in COUNTED])
    tracked = [((family,), snapshot.maps[name].needed) for name, family in _FAMILIES_OF_IP.items()]
    yield metric(f.CONNECTIONS, tracked)


def _recording(snapshot: Snapshot) -> Iterator[Metric]:
    recording = snapshot.recording
    yield metric(f.RECORDING, [((state,), recording["state"] == state) for state in _RECORDING])
    yield metric(f.RECORDED_FLOWS, [((), recording["flows"])])
    yield metric(f.RECORDED_BYTES, [((), recording["bytes"])])
    yield metric(f.RECORDED_SEGMENTS, [((), recording["segments"])])


def _by_one(counted: Mapping[str, int]) -> list[Sample]:
    """Samples of a family with one label."""
    return [((label,), value) for label, value in counted.items()]


def _well_formed(label: str) -> str:
    """A file's name may hold bytes that are no text, which no exposition could be written with."""
    return label.encode("utf-8", "replace").decode()
