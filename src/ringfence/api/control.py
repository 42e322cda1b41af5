"""What the API asks of the process behind it. The agent is a `Control`; a test may be another.

Every method raises `RingfenceError` when it refuses, with nothing changed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from ringfence.api import flow_shapes, shapes
from ringfence.api.commit_shapes import CommitDetail, CommitShape, RollbackRequest
from ringfence.api.explaining import ExplainRequest, Explanation
from ringfence.api.inspected import Element, ElementChanged, LocalAddress, MapChange, MetricShape
from ringfence.api.nat_shapes import TranslationShape
from ringfence.api.prefilter_shapes import ListedPrefix, PrefilterShape, PrefixesChanged
from ringfence.api.preview_shapes import PreviewShape
from ringfence.api.service_shapes import BalancingShape, ServiceShape
from ringfence.api.staged_shapes import StagedShape, StageRequest
from ringfence.flow.connections import ConnectionFilter
from ringfence.flow.filter import FlowFilter
from ringfence.flow.query import FlowQuery
from ringfence.flow.request import FlowRequest
from ringfence.identity.prefixes import Address


class Inspection(Protocol):
    """The kernel's maps, as the API sees them."""

    async def connections(self, wanted: ConnectionFilter) -> list[shapes.ConnectionShape]:
        """The tracked connections that are wanted."""

    async def flush_connections(self, wanted: ConnectionFilter) -> shapes.Flushed:
        """Forget the tracked connections that are wanted."""

    async def maps(self) -> list[shapes.MapShape]:
        """The BPF maps."""

    async def map(self, name: str) -> shapes.MapDump:
        """The elements of one map. Raises `NotFound`."""

    async def metrics(self) -> list[MetricShape]:
        """Packets by reason and direction, the most first."""

    async def endpoints(self) -> list[LocalAddress]:
        """The addresses of this host's workloads, as the kernel has them."""

    async def balancing(self) -> BalancingShape:
        """Frontends and backends of services, as the kernel has them. Raises `Unavailable`."""

    async def translations(self, within: str | None, protocol: str | None) -> list[TranslationShape]:
        """What leaves by an uplink under the host's own address. Raises `BadInput`."""

    async def flush_translations(self, within: str | None, protocol: str | None) -> shapes.Flushed:
        """Forget some of it. Raises `BadInput`."""

    def map_changes(self, name: str, *, follow: bool) -> AsyncIterator[MapChange | dict[str, int]]:
        """The last changes that the agent made to a map, and with `follow` every later one, registered before this
        returns. Where a reader is too slow `{"lost": N}` stands for so many commits. Raises `NotFound`.
        """

    async def write_element(self, name: str, element: Element) -> ElementChanged:
        """Write an element of a map by hand, past everything that the agent knows."""

    async def delete_element(self, name: str, element: Element) -> ElementChanged:
        """Delete an element of a map by hand, past everything that the agent knows. Raises `NotFound`."""


class Commits(Protocol):
    """The commits, as the API sees them."""

    async def history(self, since: str | None, *, everything: bool) -> list[CommitShape]:
        """The commits that are kept, the oldest first: those that somebody answers for, or all. Raises `BadInput`."""

    async def commit(self, revision: int) -> CommitDetail:
        """One commit in full. Raises `NotFound`."""

    async def roll_back(self, revision: int, request: RollbackRequest) -> shapes.Applied:
        """Bring what was wanted at a revision into force. Raises `NotFound`."""

    async def confirm(self) -> shapes.Applied:
        """The change that waits stays. Raises `NotFound`."""

    async def take_back(self) -> shapes.Applied:
        """The change that waits goes back now. Raises `NotFound`."""


class Staging(Protocol):
    """Staged policies, as the API sees them."""

    def shape(self) -> StagedShape:
        """What is staged, and where it disagreed with what is in force."""

    async def stage(self, request: StageRequest) -> shapes.Applied:
        """Stage policies. Raises `BadInput` and `NotFound`."""

    async def unstage(self) -> shapes.Applied:
        """Drop what is staged. Raises `NotFound`."""

    async def promote(self, request: shapes.Guard) -> shapes.Applied:
        """Bring what is staged into force. Raises `NotFound`."""

    def follow(self) -> AsyncIterator[bytes]:
        """Disagreements as lines of JSON, registered before this returns."""


class Prefilter(Protocol):
    """The prefilter, as the API sees it."""

    async def shape(self) -> PrefilterShape:
        """The uplinks, and how many prefixes there are."""

    async def listed(self, address: Address | None) -> list[ListedPrefix]:
        """The prefixes, or those that an address is in, the busiest first."""

    async def add(self, texts: list[str], *, everything: bool) -> PrefixesChanged:
        """Add prefixes."""

    async def delete(self, texts: list[str]) -> PrefixesChanged:
        """Delete prefixes."""

    async def replace(self, name: str, text: str, *, everything: bool) -> PrefixesChanged:
        """Put the list of a file into force."""


class Control(Protocol):
    """The agent, as its API sees it."""

    @property
    def inspection(self) -> Inspection:
        """The kernel's maps."""

    @property
    def commits(self) -> Commits:
        """The commits."""

    @property
    def staging(self) -> Staging:
        """Staged policies."""

    @property
    def prefilter(self) -> Prefilter:
        """What is dropped at the uplinks."""

    async def status(self) -> shapes.Status:
        """The agent at a glance."""

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        """What the agent counts, as text for Prometheus, and its content type. `accept` are the types that are taken.

        Raises `Unavailable`.
        """

    async def verify(self) -> shapes.Verification:
        """The maps read back from the kernel, held against what is wanted and against the policies."""

    def endpoints(self) -> list[shapes.EndpointShape]:
        """All endpoints, by name."""

    def endpoint(self, name: str) -> shapes.EndpointShape:
        """One endpoint. Raises `NotFound`."""

    async def put_endpoint(self, name: str, request: shapes.EndpointRequest) -> shapes.EndpointShape:
        """Manage a workload; returns when it is attached."""

    async def configure_endpoint(self, name: str, request: shapes.EndpointConfig) -> shapes.EndpointShape:
        """Set what of an endpoint can be set while it runs. Raises `NotFound`."""

    def config(self) -> shapes.HostConfig:
        """What of the host can be set while the agent runs."""

    def configure(self, request: shapes.HostConfigRequest) -> shapes.HostConfig:
        """Set some of it."""

    async def delete_endpoint(self, name: str) -> shapes.Revision:
        """Stop managing a workload; returns when it is detached."""

    def identities(self) -> list[shapes.IdentityShape]:
        """All live identities, by number."""

    def identity(self, number: int) -> shapes.IdentityShape:
        """One identity. Raises `NotFound`."""

    async def apply_policies(self, request: shapes.ApplyRequest) -> shapes.Applied:
        """Add policies; all or none."""

    async def preview(self, request: shapes.ApplyRequest) -> PreviewShape:
        """What applying would do to live connections, and to what was denied lately."""

    async def delete_policies(self, request: shapes.PolicyUids) -> shapes.Applied:
        """Take policies out of force; all or none."""

    def services(self) -> list[ServiceShape]:
        """All services, by namespace and name."""

    async def delete_services(self, names: list[str]) -> shapes.Applied:
        """Forget services, each with its slices; all or none. Raises `NotFound`."""

    def policies(self) -> list[shapes.PolicyShape]:
        """All policies in force, by uid."""

    def policy(self, uid: str) -> shapes.PolicyShape:
        """One policy with its text. Raises `NotFound`."""

    async def entries(self, subject: int | None, peer: int | None, *, by_hand: bool = False) -> list[shapes.EntryShape]:
        """The active entries of the policy map, or only those that were set by hand."""

    async def rules(self) -> list[shapes.RuleShape]:
        """The rules in force, with what they have counted."""

    async def explain(self, request: ExplainRequest) -> Explanation:
        """Why a flow is allowed or denied by the policies in force. Raises `NotFound` for an unknown workload."""

    async def subjects(self) -> list[shapes.SubjectShape]:
        """The identities that have entries, with their policies and counters."""

    async def set_entry(self, request: shapes.EntryRequest) -> shapes.Revision:
        """Set an entry by hand."""

    async def delete_entry(self, key: shapes.EntryKey) -> shapes.Revision:
        """Delete an entry set by hand. Raises `NotFound`."""

    async def change_entries(self, request: shapes.EntriesRequest) -> shapes.Revision:
        """Set and delete entries by hand, in one commit. Raises `NotFound`."""

    def ipcache(self, address: str | None) -> list[shapes.IpcacheShape]:
        """What is known of every prefix, or of the one that an address falls under."""

    def subscribe(self, wanted: FlowFilter) -> AsyncIterator[bytes]:
        """Lines of JSON for later events, registered before this returns. Ends when the agent stops."""

    async def flows(self, request: FlowRequest, form: flow_shapes.FlowForm) -> AsyncIterator[bytes]:
        """Lines of JSON: past flows, and with `follow` every later one, registered before this returns."""

    def digests(self, wanted: FlowQuery, seconds: float) -> AsyncIterator[flow_shapes.DigestShape]:
        """A digest of later events every so many seconds, registered before this returns. Ends when the agent stops."""
