"""The service: what the API asks for, done by engine, changes and kernel. One method a route."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from socket import gethostname
from time import monotonic
from typing import Any, cast

from ringfence.abi import DIGEST, Aggregation
from ringfence.agent import service_views, views
from ringfence.agent.changes import Changes
from ringfence.agent.commits.changed import entries_changed, removed, what_changes
from ringfence.agent.commits.control import Commits
from ringfence.agent.explaining import explain
from ringfence.agent.hub import Form, Hub
from ringfence.agent.inspection import Inspection
from ringfence.agent.kernel import Hook, Kernel
from ringfence.agent.metrics.exposition import Metrics
from ringfence.agent.metrics.snapshot import Parts as MetricsParts
from ringfence.agent.namespaces import Namespaces
from ringfence.agent.node_policies import NodePolicies
from ringfence.agent.observation import Observation, hubble_form
from ringfence.agent.past import Past
from ringfence.agent.prefix_list import PrefixList
from ringfence.agent.previewing import Preview, failed_cases
from ringfence.agent.recording import Recording, warnings
from ringfence.agent.staging import Staging
from ringfence.agent.store import PolicyFiles
from ringfence.agent.verification import Verification
from ringfence.agent.wiring import Wiring
from ringfence.api import flow_shapes, shapes
from ringfence.api.explaining import ExplainRequest, Explanation
from ringfence.api.preview_shapes import PreviewShape
from ringfence.api.service_shapes import ServiceShape
from ringfence.datapath.interfaces import WorkloadInterface
from ringfence.engine.commands import Attach
from ringfence.engine.engine import Engine
from ringfence.engine.events import (
    EndpointAdded,
    EndpointConfigured,
    EndpointRemoved,
    EntryDeleted,
    EntrySet,
    Event,
    PoliciesApplied,
    PoliciesDeleted,
    ServicesApplied,
    ServicesDeleted,
    Together,
    Workload,
)
from ringfence.errors import BadInput, NotFound, RingfenceError
from ringfence.flow.connections import ConnectionFilter
from ringfence.flow.filter import FlowFilter
from ringfence.flow.query import FlowQuery
from ringfence.flow.request import FlowRequest
from ringfence.identity.prefixes import host_network
from ringfence.labels import DEFAULT_NAMESPACE, Label, Labels, port_labels, workload_labels
from ringfence.policy.parse import Parsed, Source, parse_documents
from ringfence.policy.service_set import ServiceObject
from ringfence.traffic import parse_named_port

_DIGESTED_EVENTS = 1 << 20  # what an interval may hold before events of it are lost to its digest
_INIT = Labels([Label("reserved", "init")])
_SLICE = 32  # entries shown in one go, some 0.3 ms: a change of policy does not wait for a long list
_PARSED_BESIDE = 1 << 15  # characters; more than that would hold up everything else for over 10 ms


@dataclass(frozen=True, slots=True)
class Parts:
    """What a service works with. `find` looks for a workload's interface (netns, interface)."""

    instance: str
    engine: Engine
    kernel: Kernel
    changes: Changes
    wiring: Wiring
    hub: Hub
    files: PolicyFiles
    namespaces: Namespaces
    past: Past
    recording: Recording
    prefixes: PrefixList
    commits: Commits
    staging: Staging
    node: NodePolicies
    find: Callable[[str, str], WorkloadInterface]


class Service:
    """The `Control` that the API is over."""

    def __init__(self, parts: Parts) -> None:
        self._ = parts
        self._engine = parts.engine
        self._observation = Observation(parts.past)
        self._started = monotonic()
        self.prefilter = parts.prefixes
        self.commits = parts.commits
        self.staging = parts.staging
        self.inspection = Inspection(parts.engine, parts.kernel, parts.changes.log)
        looked_at = MetricsParts(
            parts.engine, parts.kernel, parts.wiring, parts.hub, self._losses, parts.recording.status
        )
        self._metrics = Metrics(looked_at, parts.changes)

    async def status(self) -> shapes.Status:
        metrics = self._.kernel.metrics()
        known = self.endpoints()
        hooks = await asyncio.to_thread(lambda: [self._.kernel.hook(each["ifindex"]) for each in known])
        recording = await asyncio.to_thread(self._.recording.status)
        attached = [_attachment(each, hook) for each, hook in zip(known, hooks, strict=True)]
        return {
            "revision": self._.kernel.revision,
            "instance": self._.instance,
            "endpoints": len(self._engine.endpoints),
            "policies": len(self._engine.state.policies),
            "identities": len(self._engine.state.identities()),
            "uptime_seconds": round(monotonic() - self._started, 3),
            "events": self._event_counts(),
            "recording": recording,
            "config": self.config(),
            "aggregations": {each["name"]: each["aggregation"] for each in known if each["aggregation"] != "host"},
            "counters": views.counters(metrics),
            "attach": attached,
            "drops": views.drops(metrics),
            "last_commit": self._.changes.last_commit,
            "abi": DIGEST[:12],
            "warnings": _missing(attached) + warnings(recording) + self._more_warnings(),
        }

    def _more_warnings(self) -> list[str]:
        return self.prefilter.warnings() + self.commits.warnings() + self._.node.warnings()

    def _event_counts(self) -> flow_shapes.EventCounts:
        counted = self._.kernel.event_counts()
        return {**counted, "losses": self._losses(counted["lost"])}

    def _losses(self, ring: int) -> flow_shapes.Losses:
        return {
            "ring": ring,
            "decode": self._.kernel.undecoded(),
            "subscriber": self._.hub.lost,
            "store": self._.recording.lost,
        }

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        return await self._metrics.scrape(accept)

    async def verify(self) -> shapes.Verification:
        return await Verification(self._engine, self._.kernel, self._.wiring).run()

    def endpoints(self) -> list[shapes.EndpointShape]:
        return [self.endpoint(name) for name in sorted(each.workload.name for each in self._engine.endpoints)]

    def endpoint(self, name: str) -> shapes.EndpointShape:
        found = self._engine.endpoints[name]
        attachment, host = self._.wiring.attachments.get(found.row), self._.kernel.event_settings.aggregation
        return views.endpoint(self._engine, found, attachment, host)

    async def put_endpoint(self, name: str, request: shapes.EndpointRequest) -> shapes.EndpointShape:
        labels = self._labels(request)
        interface = request.get("interface", "eth0")
        found = await asyncio.to_thread(self._.find, request["netns"], interface)
        known = self._engine.endpoints.get(name)
        workload = Workload(
            name=name,
            labels=labels,
            addresses=found.addresses,
            ifindex=found.host_ifindex,
            mac=found.mac,
            host_mac=found.host_mac,
            netns=request["netns"],
            interface=interface,
            cookie=found.cookie,
            aggregation=_aggregation(request, known.workload.aggregation if known else Aggregation.HOST),
        )
        made = await self._.changes.make(EndpointAdded(workload))
        try:
            await made.wired
            now = self._engine.endpoints.get(name)
            if known is not None and now is not None and now.workload == workload:
                # What it runs, and where its addresses lead, may have changed behind our back.
                await self._.wiring.start([Attach(now.row, workload.ifindex)])
        except RingfenceError:
            # Not hooked, it would be spoken of as enforced. One that was there before stays: its old hooks judge.
            if known is None:
                with suppress(RingfenceError):
                    await self._.changes.make(EndpointRemoved(name))
            raise
        return self.endpoint(name)

    async def configure_endpoint(self, name: str, request: shapes.EndpointConfig) -> shapes.EndpointShape:
        known = self._engine.endpoints[name].workload.aggregation
        await self._.changes.make(EndpointConfigured(name, _aggregation(request, known)))
        return self.endpoint(name)

    def config(self) -> shapes.HostConfig:
        return views.host_config(self._.kernel.event_settings)

    def configure(self, request: shapes.HostConfigRequest) -> shapes.HostConfig:
        self._.kernel.set_events(views.event_settings_of(request, self._.kernel.event_settings))
        return self.config()

    def _labels(self, request: shapes.EndpointRequest) -> Labels:
        """All labels of a workload; one of which nothing is known is `reserved:init`, in no namespace."""
        try:
            own = Labels.parse(request.get("labels", []))
            ports = port_labels(map(parse_named_port, request.get("ports", [])))
        except ValueError as error:
            raise BadInput(str(error)) from error
        if own.from_source("cidr") or own.ports or (own.from_source("reserved") and own != _INIT):
            raise BadInput("labels of the sources reserved, cidr and named-port are the system's to give")
        if not own or own == _INIT:
            return _INIT
        namespace = request.get("namespace") or own.namespace or DEFAULT_NAMESPACE
        return workload_labels(own | ports, namespace, self._.namespaces.labels(namespace))

    async def delete_endpoint(self, name: str) -> shapes.Revision:
        made = await self._.changes.make(EndpointRemoved(name))
        await made.wired
        return {"revision": made.revision}

    def identities(self) -> list[shapes.IdentityShape]:
        found = sorted(self._engine.state.identities().items())
        return [{"id": int(number), "labels": labels.texts()} for number, labels in found]

    def identity(self, number: int) -> shapes.IdentityShape:
        labels = self._engine.state.labels(number)
        if labels is None:
            raise NotFound(f"no identity {number} is in use")
        return {"id": number, "labels": labels.texts()}

    async def apply_policies(self, request: shapes.ApplyRequest) -> shapes.Applied:
        start = monotonic()
        sources = [Source(source["name"], source["text"]) for source in request["sources"]]
        parsed = await self._parse(sources)
        self._.node.guard(request, parsed.policies, ())
        if request.get("gate"):
            await self._pass_gate(parsed)
        remember = self._.files.applied(sources, parsed.policies) | self._.namespaces.applied(parsed.namespaces)
        relabelled = self._.namespaces.relabelled(parsed.namespaces, self._engine.endpoints)
        balanced: tuple[ServiceObject, ...] = (*parsed.services, *parsed.slices)
        events: list[Event] = [PoliciesApplied(parsed.policies), *relabelled]
        if balanced:
            events.append(ServicesApplied(balanced))
        changed = what_changes(self._engine, parsed.policies, balanced)
        confirm = request.get("confirm_seconds", 0)
        applied = await self.commits.change(Together(tuple(events)), "apply", changed, remember, confirm)
        self._.namespaces.confirm(parsed.namespaces)
        warned = (*parsed.warnings, *self._.node.unenforced(parsed.policies))
        return {**applied, "warnings": [views.problem(each) for each in warned], "milliseconds": _since(start)}

    async def preview(self, request: shapes.ApplyRequest) -> PreviewShape:
        parsed = await self._parse([Source(source["name"], source["text"]) for source in request["sources"]])
        return await self._preview(Preview(self._engine, parsed.policies))

    async def _preview(self, preview: Preview) -> PreviewShape:
        live = await self.inspection.connections(ConnectionFilter())
        return await asyncio.to_thread(preview.shape, live, self._.past)

    async def _pass_gate(self, parsed: Parsed) -> None:
        """Raises `RingfenceError` where these files would cut a live connection, or a case of theirs fails."""
        preview = Preview(self._engine, parsed.policies)
        if parsed.tests:
            settings = self._engine.state.settings
            report = await asyncio.to_thread(failed_cases, parsed, preview.policies, settings)
            if report.failed:
                raise RingfenceError("\n".join([*report.failed[0].lines(), _refused(len(report.failed), "case")]))
        cuts = (await self._preview(preview))["cuts"]
        if cuts:
            first = cuts[0]
            told = f"{first['source']} -> {first['destination']} {first['port']} would be cut: {first['rule']}"
            raise RingfenceError(f"{told}\n{_refused(len(cuts), 'live connection')}")

    async def _parse(self, sources: list[Source]) -> Parsed:
        if sum(len(source.text) for source in sources) > _PARSED_BESIDE:
            return await asyncio.to_thread(parse_documents, sources)
        return parse_documents(sources)

    async def delete_policies(self, request: shapes.PolicyUids) -> shapes.Applied:
        wanted = list(dict.fromkeys(self._engine.state.policies.find(uid).uid for uid in request["uids"]))
        self._.node.guard(request, (), wanted)
        gone = PoliciesDeleted(tuple(wanted))
        confirm = request.get("confirm_seconds", 0)
        return await self.commits.change(gone, "delete", removed(wanted), self._.files.deleted(wanted), confirm)

    def services(self) -> list[ServiceShape]:
        return service_views.services(self._engine.services)

    async def delete_services(self, names: list[str]) -> shapes.Applied:
        found = self._engine.services.with_slices(names)
        return await self.commits.change(ServicesDeleted(tuple(found)), "delete", removed(found))

    def policies(self) -> list[shapes.PolicyShape]:
        return [views.policy(found) for found in sorted(self._engine.state.policies, key=lambda policy: policy.uid)]

    def policy(self, uid: str) -> shapes.PolicyShape:
        return views.policy(self._engine.state.policies.find(uid), text=True)

    async def entries(self, subject: int | None, peer: int | None, *, by_hand: bool = False) -> list[shapes.EntryShape]:
        hits = await asyncio.to_thread(self._.kernel.hits)
        found = [
            each
            for each in self._.kernel.entries(hits)
            if subject in (None, each.key.subject) and peer in (None, each.key.peer)
            if not by_hand or each.key in self._engine.manual
        ]
        found.sort(key=lambda each: (each.key.direction, each.key.subject, each.key.tier, each.key))
        shown: list[shapes.EntryShape] = []
        for start in range(0, len(found), _SLICE):
            shown += [views.entry(each, self._engine.known) for each in found[start : start + _SLICE]]
            await asyncio.sleep(0)
        return shown

    async def rules(self) -> list[shapes.RuleShape]:
        return views.rules(self._.kernel.entries(await asyncio.to_thread(self._.kernel.hits)), self._engine.known)

    async def explain(self, request: ExplainRequest) -> Explanation:
        when = request.get("at")
        return await explain(self._engine, request, await self.commits.state_at(when) if when else None)

    async def subjects(self) -> list[shapes.SubjectShape]:
        return views.subjects(self._.kernel.entries(await asyncio.to_thread(self._.kernel.hits)), self._engine.known)

    async def set_entry(self, request: shapes.EntryRequest) -> shapes.Revision:
        return await self.change_entries({"set": [request], "delete": []})

    async def delete_entry(self, key: shapes.EntryKey) -> shapes.Revision:
        return await self.change_entries({"set": [], "delete": [key]})

    async def change_entries(self, request: shapes.EntriesRequest) -> shapes.Revision:
        gone = [views.key_of(key) for key in request["delete"]]
        put = {views.key_of(entry): views.verdict_of(entry) for entry in request["set"]}
        events: list[Event] = [EntryDeleted(key) for key in gone]
        events += [EntrySet(key, verdict) for key, verdict in put.items()]
        changed = entries_changed(self._engine, put, gone)
        made = await self.commits.change(Together(tuple(events)), "by hand", changed)
        return {"revision": made["revision"]}

    def ipcache(self, address: str | None) -> list[shapes.IpcacheShape]:
        _, peers = self._.kernel.held()
        if address is None:
            order = sorted(peers, key=lambda network: (network.version, network))
            return [views.prefix(network, peers[network], self._engine.known) for network in order]
        try:
            asked = host_network(ip_address(address))
        except ValueError as error:
            raise BadInput(f"{address!r} is no address") from error
        covering = (asked.supernet(new_prefix=length) for length in range(asked.prefixlen, -1, -1))
        found = next((network for network in covering if network in peers), None)
        if found is None:
            raise NotFound(f"nothing is known of {address}: it is the world's (identity 2)")
        return [views.prefix(found, peers[found], self._engine.known)]

    def subscribe(self, wanted: FlowFilter) -> AsyncIterator[bytes]:
        return self._.hub.lines(self._.hub.subscribe(wanted))

    async def flows(self, request: FlowRequest, form: flow_shapes.FlowForm) -> AsyncIterator[bytes]:
        return await self._observation.answer(request, hubble_form(gethostname()) if form == "hubble" else Form())

    def digests(self, wanted: FlowQuery, seconds: float) -> AsyncIterator[flow_shapes.DigestShape]:
        def about() -> dict[str, Any]:
            losses = self._losses(self._.kernel.event_counts()["lost"])
            return {"revision": self._.kernel.revision, "losses": losses}

        subscriber = self._.hub.subscribe(wanted, _DIGESTED_EVENTS)
        return cast("AsyncIterator[flow_shapes.DigestShape]", self._.hub.digests(subscriber, seconds, about))


def _refused(number: int, what: str) -> str:
    told = f"{number} {what}" if number == 1 else f"{number} {what}s"
    verb = ("fails" if number == 1 else "fail") if what == "case" else "would be cut"
    return f"{told} {verb}: nothing was changed, as --gate demands"


def _since(start: float) -> float:
    """Milliseconds since a monotonic time."""
    return round((monotonic() - start) * 1000, 3)


def _attachment(endpoint: shapes.EndpointShape, hook: Hook) -> shapes.Attachment:
    return {
        "endpoint": endpoint["name"],
        "ifindex": endpoint["ifindex"],
        "mechanism": hook.mechanism,
        "programs_ok": hook.programs_ok,
        "problems": list(hook.problems),
        "others": list(hook.others),
        "delivery": endpoint["delivery"],
        "delivery_reason": endpoint["delivery_reason"],
    }


def _aggregation(request: shapes.EndpointRequest | shapes.EndpointConfig, known: Aggregation) -> Aggregation:
    """What is asked for, or as it is."""
    asked = request.get("aggregation")
    return Aggregation[asked.upper()] if asked else known


def _missing(attached: list[shapes.Attachment]) -> list[str]:
    """Why packets may pass unjudged; an interface that is gone has no programs."""
    told = [(each["endpoint"], problem) for each in attached for problem in each["problems"]]
    told += [
        (each["endpoint"], "programs missing") for each in attached if not each["programs_ok"] and not each["problems"]
    ]
    return [f"{endpoint}: {problem}" for endpoint, problem in told]
