"""The documents that travel over the API, each as a typed dictionary: what the server's OpenAPI is made from and what
the client's methods return. Times are RFC 3339 texts, sizes bytes, durations what their name says.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from ringfence.api.flow_shapes import EventCounts, Recording


class ProblemShape(TypedDict):
    """One thing wrong with an input, and where (1-based)."""

    file: str
    line: int
    column: int
    found: str
    expected: str
    severity: str


class ErrorShape(TypedDict):
    """What every refused request answers."""

    error: str
    problems: list[ProblemShape]


class VerdictCounts(TypedDict):
    """Packets since the programs were loaded."""

    allowed: int
    denied: int


class Attachment(TypedDict):
    """How an endpoint's interface is hooked. `programs_ok`: both programs were found there by a query just now.
    `problems` say why packets may pass unjudged, `others` what of other tools runs there besides.
    """

    endpoint: str
    ifindex: int
    mechanism: str
    programs_ok: bool
    problems: list[str]
    others: list[str]
    delivery: str
    delivery_reason: str


class Drops(TypedDict):
    """Dropped packets of one reason and direction."""

    reason: str
    direction: str
    packets: int
    bytes: int


class LastCommit(TypedDict):
    """What the newest commit wrote and how long it took."""

    revision: int
    time: str
    entries: int
    prefixes: int
    rules: int
    milliseconds: float


class HostConfig(TypedDict):
    """What of a host can be set while its agent runs; a new start begins with its options.

    `aggregation`: which packets of endpoints without a setting of their own are events. `denial_limit`: how many
    denials of one flow each CPU tells a second, 0 for all.
    """

    aggregation: Literal["packets", "connections", "verdicts", "off"]
    denial_limit: int


class HostConfigRequest(TypedDict):
    """What is to be set of it."""

    aggregation: NotRequired[Literal["packets", "connections", "verdicts", "off"]]
    denial_limit: NotRequired[int]


class Status(TypedDict):
    """The agent at a glance. `aggregations` are endpoints with a setting of their own, by name."""

    revision: int
    instance: str
    endpoints: int
    policies: int
    identities: int
    uptime_seconds: float
    events: EventCounts
    recording: Recording
    config: HostConfig
    aggregations: dict[str, str]
    counters: VerdictCounts
    attach: list[Attachment]
    drops: list[Drops]
    last_commit: LastCommit | None
    abi: str
    warnings: list[str]


class Drift(TypedDict):
    """One place where the kernel is not as the agent wants it. `entry` names it in words; what there is nothing of is
    None.
    """

    map: str
    change: Literal["changed", "lost", "added"]
    entry: str
    wanted: str | None
    found: str | None


class Checked(TypedDict):
    """How much was read back."""

    entries: int
    rules: int
    prefixes: int
    endpoints: int


class Verification(TypedDict):
    """The maps of the kernel at a revision: `equal` if nothing drifted and the policies' proof holds for them."""

    revision: int
    equal: bool
    checked: Checked
    drift: list[Drift]
    proof: dict[str, Any]


class Enforcement(TypedDict):
    """Which directions of an endpoint are isolated: only what a rule allows passes."""

    ingress: bool
    egress: bool


class EndpointRequest(TypedDict):
    """A workload to manage. `netns` is a name under /run/netns or a path; `labels` empty: not known yet.

    `ports` are those it has names for, as `http=8080/TCP`: policies may speak of them by name. Without `aggregation`
    an endpoint that is there keeps its own (see `EndpointConfig`), and a new one has the host's.
    """

    netns: str
    interface: NotRequired[str]
    labels: NotRequired[list[str]]
    namespace: NotRequired[str | None]
    pod: NotRequired[str | None]
    ports: NotRequired[list[str]]
    aggregation: NotRequired[Literal["packets", "connections", "verdicts", "off", "host"]]


class EndpointConfig(TypedDict):
    """What of an endpoint can be set while it runs. `aggregation`: which of its packets are events; host is what the
    host's setting says.
    """

    aggregation: NotRequired[Literal["packets", "connections", "verdicts", "off", "host"]]


class EndpointShape(TypedDict):
    """An endpoint. `state`: attaching, ready or disconnected (its interface is gone). `aggregation` is its own setting,
    or host; `aggregation_in_force` what that comes to. `ports` are those it has names for, as http=8080/TCP.
    """

    id: int
    name: str
    identity: int
    labels: list[str]
    ports: NotRequired[list[str]]
    addresses: list[str]
    ifindex: int
    interface: str
    netns: str
    state: str
    enforcement: Enforcement
    delivery: str
    delivery_reason: str
    aggregation: str
    aggregation_in_force: str


class IdentityShape(TypedDict):
    """The number of one set of labels."""

    id: int
    labels: list[str]


class SourceShape(TypedDict):
    """One file of manifests: a name for messages and its text."""

    name: str
    text: str


class Guard(TypedDict):
    """What must not be cut, but with `allow_lockout`: connections to the node's ports for administration, and the one
    that `ssh_connection` names as SSH_CONNECTION does (ssh(1)).
    """

    ssh_connection: NotRequired[str]
    allow_lockout: NotRequired[bool]


class ApplyRequest(Guard):
    """Policy files to add; a policy of the same kind, namespace and name is replaced.

    `gate`: refused where it would cut a live connection or a PolicyTest of the files fails.
    `confirm_seconds`: it goes back by itself after so long, unless it is confirmed.
    """

    sources: list[SourceShape]
    origin: NotRequired[str | None]
    gate: NotRequired[bool]
    confirm_seconds: NotRequired[float]


class Applied(TypedDict):
    """A change of policies. `milliseconds`: from the request read to the new revision active.

    `goes_back_at`: when it goes back by itself unless it is confirmed, as RFC 3339.
    """

    revision: int
    applied: list[str]
    warnings: list[ProblemShape]
    milliseconds: float
    goes_back_at: NotRequired[str]


class PolicyUids(Guard):
    """Policies by uid: kind/namespace/name, to delete. The rest is as in `ApplyRequest`."""

    uids: list[str]
    confirm_seconds: NotRequired[float]


class PolicyShape(TypedDict):
    """A policy that is in force. `origin` is file:line, `text` the document as it was written, `text_line` the line of
    its file that the text begins with.
    """

    uid: str
    kind: str
    namespace: str
    name: str
    origin: str
    rules: int
    text: NotRequired[str]
    text_line: NotRequired[int]


class EntryKey(TypedDict):
    """Where a manual entry stands. Without `prefix`, it follows from what is given: port, protocol or neither."""

    direction: Literal["ingress", "egress"]
    subject: int
    peer: NotRequired[int]
    peer_kind: NotRequired[Literal["identity", "prefix_class", "any"] | None]
    port: NotRequired[int | None]
    protocol: NotRequired[int]
    prefix: NotRequired[int | None]
    tier: NotRequired[Literal["admin", "normal", "baseline"]]


class EntryRequest(EntryKey):
    """A manual entry to set: it comes before every rule at its key."""

    action: Literal["allow", "deny"]


class EntriesRequest(TypedDict):
    """Manual entries to set and to delete, all in one commit or none."""

    set: list[EntryRequest]
    delete: list[EntryKey]


class Revision(TypedDict):
    """The revision that a change became active with."""

    revision: int


class EntryShape(TypedDict):
    """One entry of the policy map. `port`, `prefix` and `protocol` as in the key; `traffic` says them to people."""

    direction: str
    subject: int
    subject_labels: list[str]
    peer: int
    peer_kind: str
    peer_labels: list[str]
    port: int
    prefix: int
    protocol: int
    traffic: str
    action: str
    precedence: int
    tier: str
    packets: int
    bytes: int
    rule: str
    policy: str
    origin: str
    record: int
    rule_number: int


class IpcacheShape(TypedDict):
    """What a prefix stands for. `endpoint` is the name of the endpoint of this host that has the address."""

    prefix: str
    identity: int
    labels: list[str]
    prefix_class: int
    endpoint: str | None


class ConnectionShape(TypedDict):
    """A tracked connection, as it was opened. `remaining_seconds` until it is forgotten without another packet;
    `tcp_flags` are all flags seen, as opened and of replies.
    """

    protocol: int
    source: str
    source_port: int
    destination: str
    destination_port: int
    source_identity: int
    source_labels: list[str]
    destination_identity: int
    destination_labels: list[str]
    revision: int
    state: list[str]
    idle_seconds: float
    remaining_seconds: float
    age_seconds: float
    packets: int
    bytes: int
    reply_packets: int
    reply_bytes: int
    tcp_flags: list[int]
    egress_rule: str
    ingress_rule: str


class Flushed(TypedDict):
    """How many connections were forgotten."""

    flushed: int


class MapShape(TypedDict):
    """A BPF map. `entries`, and `pressure`, the share of its capacity that is in use, are None where counting them
    means nothing (a ring buffer). `errors`: writes of the agent's that failed, since it started, and of a map that the
    programs write what they could not; those of ct4 and ct6 are counted together.
    """

    name: str
    type: str
    entries: int | None
    max_entries: int
    pressure: float | None
    errors: int
    key_bytes: int
    value_bytes: int


class MapRow(TypedDict):
    """One element, decoded by the generated layout."""

    key: Any
    value: Any


class MapDump(TypedDict):
    """The elements of a map; of an array, those that are not all zero."""

    name: str
    rows: list[MapRow]


class RuleShape(TypedDict):
    """A rule in force, with what its entries have counted: packets judged by it, and by the verdicts it gave.

    `policy` is the uid, empty for the defaults, `manual` for entries set by hand; `origin` file:line or empty.
    """

    policy: str
    index: int
    direction: str
    tier: str
    verdict: str
    origin: str
    text: str
    entries: int
    packets: int
    bytes: int


class SubjectShape(TypedDict):
    """An identity of this host's endpoints: the policies its entries come from, by uid, and what they have counted,
    packets of either direction by the verdict of that direction.
    """

    identity: int
    policies: list[str]
    entries: int
    allowed: int
    denied: int
    bytes: int
