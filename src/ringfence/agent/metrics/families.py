"""Every metric by name, kind, labels and help: what the exposition is made from and docs/metrics.md tells.

Labels have few values: none has an address, a port, the name of a workload or its labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram", "info"]


@dataclass(frozen=True, slots=True)
class Family:
    """A metric, as Prometheus has its name."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


_OF_A_RULE: Final = ("policy", "origin", "direction", "verdict")
_SINCE_LOADED: Final = "since the programs were loaded"
_SINCE_STARTED: Final = "since the agent started"

VERDICTS: Final = Family(
    "ringfence_verdicts_total",
    "counter",
    f"Packets let through and dropped, {_SINCE_LOADED}; direction is the hook's or, of a policy denial, the rule's.",
    ("direction", "verdict", "reason"),
)
VERDICT_BYTES: Final = Family(
    "ringfence_verdict_bytes_total",
    "counter",
    f"Bytes of the packets let through and dropped, from the IP header on, {_SINCE_LOADED}.",
    VERDICTS.labels,
)
RULE_PACKETS: Final = Family(
    "ringfence_rule_packets_total",
    "counter",
    f"Packets that a rule decided in its direction, {_SINCE_STARTED}; origin is the rule's file:line. The busiest 500.",
    _OF_A_RULE,
)
RULE_BYTES: Final = Family(
    "ringfence_rule_bytes_total",
    "counter",
    f"Bytes of the packets that a rule decided in its direction, {_SINCE_STARTED}. The busiest 500 rules.",
    _OF_A_RULE,
)
RULES_NOT_EXPOSED: Final = Family(
    "ringfence_rules_not_exposed", "gauge", "Rules with less traffic than those of ringfence_rule_packets_total."
)
EVENTS: Final = Family("ringfence_events_total", "counter", f"Verdict events written to the ring, {_SINCE_LOADED}.")
EVENTS_LOST: Final = Family(
    "ringfence_events_lost_total",
    "counter",
    "Events lost, by the stage that lost them: ring (full), decode (not understood), subscriber (a reader too slow), "
    "store (not recorded).",
    ("stage",),
)
HELD_BACK: Final = Family(
    "ringfence_denials_held_back_total",
    "counter",
    f"Denied packets of a flow beyond its limit of events, {_SINCE_LOADED}; a later event tells their number.",
)
MAP_ENTRIES: Final = Family(
    "ringfence_map_entries",
    "gauge",
    "Entries in a map; ipcache with whole addresses, rules with numbers kept for late events, ct4 and ct6 with "
    "connections that have ended and were not recycled yet.",
    ("map",),
)
MAP_MAX_ENTRIES: Final = Family("ringfence_map_max_entries", "gauge", "Entries that a map has room for.", ("map",))
MAP_PRESSURE: Final = Family(
    "ringfence_map_pressure",
    "gauge",
    "Entries as a ratio of what a map has room for; of ct4 and ct6 only connections that have not ended. A full "
    "policy, ipcache, rules or endpoints map refuses a change; a full ct4, ct6 or fragments map forgets the entry "
    "unused the longest.",
    ("map",),
)
MAP_AGE: Final = Family(
    "ringfence_map_entries_age_seconds",
    "gauge",
    "How long ago the entries of a map that the programs fill were counted: it is not counted anew for 100 times as "
    "long as counting took.",
    ("map",),
)
REVISION: Final = Family("ringfence_policy_revision", "gauge", "The active revision of the policy state.")
COMMITS: Final = Family("ringfence_policy_commits_total", "counter", f"Commits made active, {_SINCE_STARTED}.")
COMMIT_FAILURES: Final = Family(
    "ringfence_policy_commit_failures_total",
    "counter",
    f"Changes that were refused and taken back when they were to be carried out, {_SINCE_STARTED}.",
)
COMMIT_DURATION: Final = Family(
    "ringfence_policy_commit_duration_seconds",
    "histogram",
    "Time of a commit: from the changes taken to the revision active and old entries gone.",
)
ENFORCEMENT_DURATION: Final = Family(
    "ringfence_policy_enforcement_duration_seconds",
    "histogram",
    "From the begin of a commit to the first packet judged by its revision; on a quiet host that is the wait for one.",
)
ENDPOINTS: Final = Family("ringfence_endpoints", "gauge", "Endpoints by state.", ("state",))
ENDPOINTS_ENFORCED: Final = Family(
    "ringfence_endpoints_enforced",
    "gauge",
    "Endpoints of which only what a rule allows passes in a direction.",
    ("direction",),
)
PROGRAMS_MISSING: Final = Family(
    "ringfence_endpoints_programs_missing",
    "gauge",
    "Endpoints whose interface was found without one of the two programs: their traffic is not judged.",
)
POLICIES: Final = Family("ringfence_policies", "gauge", "Policies in force by kind.", ("kind",))
RULES: Final = Family("ringfence_rules", "gauge", "Rules that an entry of the policy map names, defaults included.")
IDENTITIES: Final = Family("ringfence_identities", "gauge", "Identities in use, reserved and prefixes' ones included.")
CONNECTIONS: Final = Family(
    "ringfence_connections",
    "gauge",
    "Tracked connections that have not ended, by a packet or by their time.",
    ("family",),
)
SUBSCRIBERS: Final = Family("ringfence_subscribers", "gauge", "Readers of the event stream.")
RECORDING: Final = Family(
    "ringfence_recording_state", "gauge", "1 for the state that the recording of flows is in.", ("state",)
)
RECORDED_FLOWS: Final = Family("ringfence_recording_flows", "gauge", "Flows in the history on disk.")
RECORDED_BYTES: Final = Family("ringfence_recording_bytes", "gauge", "Bytes of the history on disk.")
RECORDED_SEGMENTS: Final = Family("ringfence_recording_segments", "gauge", "Segments of the history on disk.")
BUILD: Final = Family("ringfence_build_info", "info", "The version of Ringfence and of its ABI.", ("version", "abi"))
START_TIME: Final = Family(
    "ringfence_start_time_seconds", "gauge", "When the agent started, in seconds since the epoch."
)

#: All of them, in the order they are told in.
FAMILIES: Final = tuple(each for each in dict(globals()).values() if isinstance(each, Family))
