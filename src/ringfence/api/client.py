"""The caller's side of the agent's API: one method a route, over the unix socket, each answer as its shape.

Errors come back as the `RingfenceError` that the agent raised, or `Unavailable` when nobody answers.
"""

from __future__ import annotations

import json
import os
import socket as sockets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack, cast

import httpx

from ringfence.api.author import headers_of
from ringfence.api.client_bpf import BpfCalls, Query, path_of
from ringfence.api.client_commits import CommitCalls
from ringfence.api.client_prefilter import PrefilterCalls
from ringfence.api.client_services import ServiceCalls
from ringfence.api.client_staged import StagedCalls
from ringfence.errors import BadInput, NotFound, Problem, RingfenceError, Unavailable

if TYPE_CHECKING:
    from ringfence.api import flow_shapes, shapes
    from ringfence.api.explaining import ExplainRequest, Explanation
    from ringfence.api.inspected import MapChange
    from ringfence.api.preview_shapes import PreviewShape
    from ringfence.api.staged_shapes import Disagreement
    from ringfence.flow.request import Asked

_NO_ANSWER_EXPECTED = httpx.Timeout(30.0, read=None)


def default_socket(instance: str = "default") -> str:
    """Path of an instance's socket: `RINGFENCE_SOCKET` in the environment, or the one under /run/ringfence."""
    return os.environ.get("RINGFENCE_SOCKET") or f"/run/ringfence/{instance}/agent.sock"


def nobody_answers(socket: str) -> Unavailable:
    """What is said where no agent listens."""
    return Unavailable(f"no agent answers at {socket}; start one with: ringfence agent")


class Client(BpfCalls, ServiceCalls, PrefilterCalls, CommitCalls, StagedCalls):
    """A connection to one agent. Methods raise `RingfenceError`: what the agent refused and why."""

    def __init__(self, socket: str | None = None, timeout_seconds: float = 30.0, why: str = "") -> None:
        """`why` is written down with whatever this changes."""
        self.socket = socket or default_socket()
        # There is no TLS on a unix socket: reading the system's certificates would take as long as a whole command.
        transport = httpx.HTTPTransport(uds=self.socket, verify=False)
        self._http = httpx.Client(
            transport=transport, base_url="http://ringfence", timeout=timeout_seconds, headers=headers_of(why)
        )
        self._streaming: sockets.socket | None = None
        self._interrupted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def status(self) -> shapes.Status:
        """The agent at a glance."""
        return cast("shapes.Status", self._call("GET", "/v1/status"))

    def verify(self) -> shapes.Verification:
        """The maps read back from the kernel, held against what the agent wants and against the policies."""
        return cast("shapes.Verification", self._call("GET", "/v1/verify"))

    def metrics_text(self) -> str:
        """What the agent counts, as Prometheus reads it."""
        with self._reported():
            response = self._http.get("/metrics")
        if response.is_error:
            raise _refusal(response)
        return response.text

    def endpoints(self) -> list[shapes.EndpointShape]:
        """All endpoints, by name."""
        return cast("list[shapes.EndpointShape]", self._call("GET", "/v1/endpoints"))

    def endpoint(self, name: str) -> shapes.EndpointShape:
        """One endpoint."""
        return cast("shapes.EndpointShape", self._call("GET", path_of("endpoints", name)))

    def put_endpoint(
        self,
        name: str,
        *,
        netns: str,
        interface: str = "eth0",
        labels: Sequence[str] = (),
        namespace: str | None = None,
        pod: str | None = None,
        ports: Sequence[str] = (),
    ) -> shapes.EndpointShape:
        """Manage a workload, or change what is known of it. Returns once it is attached.

        `ports` are those it has names for, as `http=8080/TCP`.
        """
        body = {"netns": netns, "interface": interface, "labels": list(labels), "namespace": namespace, "pod": pod}
        if ports:
            body["ports"] = list(ports)
        return cast("shapes.EndpointShape", self._call("PUT", path_of("endpoints", name), body=body))

    def configure_endpoint(self, name: str, **settings: Unpack[shapes.EndpointConfig]) -> shapes.EndpointShape:
        """Set what of an endpoint can be set while it runs."""
        return cast("shapes.EndpointShape", self._call("PATCH", path_of("endpoints", name), body=settings))

    def config(self) -> shapes.HostConfig:
        """What of the host can be set while the agent runs."""
        return cast("shapes.HostConfig", self._call("GET", "/v1/config"))

    def configure(self, **settings: Unpack[shapes.HostConfigRequest]) -> shapes.HostConfig:
        """Set some of it."""
        return cast("shapes.HostConfig", self._call("PATCH", "/v1/config", body=settings))

    def delete_endpoint(self, name: str) -> shapes.Revision:
        """Stop managing a workload."""
        return cast("shapes.Revision", self._call("DELETE", path_of("endpoints", name)))

    def identities(self) -> list[shapes.IdentityShape]:
        """All live identities, by number."""
        return cast("list[shapes.IdentityShape]", self._call("GET", "/v1/identities"))

    def identity(self, number: int) -> shapes.IdentityShape:
        """One identity."""
        return cast("shapes.IdentityShape", self._call("GET", path_of("identities", str(number))))

    def apply_policies(
        self,
        sources: Sequence[tuple[str, str]],
        origin: str | None = None,
        confirm_seconds: float = 0,
        *,
        ssh_connection: str = "",
        allow_lockout: bool = False,
        gate: bool = False,
    ) -> shapes.Applied:
        """Add policies given as (name, text) of files. Raises `BadInput` with every problem, nothing applied.

        With `confirm_seconds` they go back after that time unless `confirm` is called. Policies for the node that would
        cut `ssh_connection` (as SSH_CONNECTION has it) or a connection to one of the node's ports for administration
        are a problem too, unless `allow_lockout`. With `gate` they are refused as well
        where they would cut any live connection, or a PolicyTest among them fails.
        """
        files = [{"name": name, "text": text} for name, text in sources]
        body = {
            "sources": files,
            "origin": origin,
            "confirm_seconds": confirm_seconds,
            "ssh_connection": ssh_connection,
            "allow_lockout": allow_lockout,
            "gate": gate,
        }
        return cast("shapes.Applied", self._call("POST", "/v1/policies", body=body))

    def preview(self, sources: Sequence[tuple[str, str]]) -> PreviewShape:
        """What applying these files would do to live connections, and to what was denied within the last hour."""
        files = [{"name": name, "text": text} for name, text in sources]
        return cast("PreviewShape", self._call("POST", "/v1/policies/preview", body={"sources": files}))

    def policies(self) -> list[shapes.PolicyShape]:
        """All policies in force, without their text."""
        return cast("list[shapes.PolicyShape]", self._call("GET", "/v1/policies"))

    def policy(self, uid: str) -> shapes.PolicyShape:
        """One policy with its text."""
        return cast("shapes.PolicyShape", self._call("GET", path_of("policies", uid)))

    def delete_policies(
        self, uids: Sequence[str], confirm_seconds: float = 0, *, ssh_connection: str = "", allow_lockout: bool = False
    ) -> shapes.Applied:
        """Take policies out of force, all in one commit. The rest is as for `apply_policies`."""
        body = {
            "uids": list(uids),
            "confirm_seconds": confirm_seconds,
            "ssh_connection": ssh_connection,
            "allow_lockout": allow_lockout,
        }
        return cast("shapes.Applied", self._call("DELETE", "/v1/policies", body=body))

    def entries(
        self, subject: int | None = None, peer: int | None = None, *, by_hand: bool = False
    ) -> list[shapes.EntryShape]:
        """The entries of the policy map that is active in the kernel, or only those that were set by hand."""
        query = {"subject": subject, "peer": peer, "by_hand": "true" if by_hand else None}
        return cast("list[shapes.EntryShape]", self._call("GET", "/v1/bpf/policy", query=query))

    def explain(self, request: ExplainRequest) -> Explanation:
        """Why a flow is allowed or denied by the policies in force."""
        return cast("Explanation", self._call("POST", "/v1/explain", body=request))

    def rules(self) -> list[shapes.RuleShape]:
        """The rules in force, with what they have counted."""
        return cast("list[shapes.RuleShape]", self._call("GET", "/v1/rules"))

    def set_entry(self, entry: shapes.EntryRequest) -> shapes.Revision:
        """Set an entry by hand; it stays until it is deleted by hand."""
        return cast("shapes.Revision", self._call("PUT", "/v1/bpf/policy", body=entry))

    def delete_entry(self, key: shapes.EntryKey) -> shapes.Revision:
        """Delete an entry that was set by hand."""
        return cast("shapes.Revision", self._call("DELETE", "/v1/bpf/policy", body=key))

    def change_entries(
        self, *, set_: Sequence[shapes.EntryRequest] = (), delete: Sequence[shapes.EntryKey] = ()
    ) -> shapes.Revision:
        """Set and delete entries by hand, all in one commit or none."""
        body = {"set": list(set_), "delete": list(delete)}
        return cast("shapes.Revision", self._call("PATCH", "/v1/bpf/policy", body=body))

    def subjects(self) -> list[shapes.SubjectShape]:
        """The identities that have entries, with their policies and counters."""
        return cast("list[shapes.SubjectShape]", self._call("GET", "/v1/subjects"))

    @contextmanager
    def events(
        self,
        *,
        type: str | None = None,  # noqa: A002 - the name of the query parameter
        from_: Sequence[str] = (),
        to: Sequence[str] = (),
        port: str | None = None,
    ) -> Iterator[Iterator[flow_shapes.FlowShape | flow_shapes.Lost]]:
        """Verdicts from now on. Inside the block every later event is certain to be in the stream, or counted lost."""
        query = _given({"type": type, "from": list(from_), "to": list(to), "port": port})
        with self._streamed("/v1/events", query) as got:
            yield self._lines(got)

    @contextmanager
    def flows(
        self,
        *,
        allow: Sequence[str] = (),
        deny: Sequence[str] = (),
        asked: Asked | None = None,
        follow: bool = False,
        form: flow_shapes.FlowForm = "flow",
    ) -> Iterator[Iterator[flow_shapes.FlowShape | flow_shapes.Lost | flow_shapes.NewestOnly]]:
        """Past flows within the bounds that are asked for, and with `follow` every later one. Filters are JSON texts,
        see `FlowQuery`. In the form `hubble` the lines are those of `hubble observe -o json`.
        """
        bounds = cast("Query", asked or {})
        query = _given({"allow": list(allow), "deny": list(deny), **bounds, "follow": str(follow), "form": form})
        with self._streamed("/v1/flows", query) as got:
            yield self._lines(got)

    @contextmanager
    def digests(
        self, *, allow: Sequence[str] = (), deny: Sequence[str] = (), seconds: float = 1.0
    ) -> Iterator[Iterator[flow_shapes.DigestShape]]:
        """A digest of the verdicts from now on, every so many seconds. Filters are JSON texts, see `FlowQuery`."""
        query = _given({"allow": list(allow), "deny": list(deny), "seconds": str(seconds)})
        with self._streamed("/v1/digests", query) as got:
            yield self._lines(got)

    @contextmanager
    def disagreements(self) -> Iterator[Iterator[Disagreement | flow_shapes.Lost]]:
        """What the staged policies judge otherwise, from now on."""
        with self._streamed("/v1/staged/events", {}) as got:
            yield self._lines(got)

    @contextmanager
    def map_changes(self, name: str, *, follow: bool = False) -> Iterator[Iterator[MapChange | flow_shapes.Lost]]:
        """The last changes that the agent made to a map, oldest first, and with `follow` every later one."""
        with self._streamed(f"{path_of('bpf/maps', name)}/changes", {"follow": str(follow)}) as got:
            yield self._lines(got)

    def interrupt(self) -> None:
        """End the stream that another thread reads, now and for good: it raises `Unavailable` there."""
        self._interrupted = True
        if self._streaming is not None:
            # Closing it would leave the other thread waiting; a socket that is already closed needs no more.
            with suppress(OSError):
                self._streaming.shutdown(sockets.SHUT_RDWR)

    @contextmanager
    def _streamed(self, path: str, query: dict[str, Any]) -> Iterator[httpx.Response]:
        with self._reported(), self._http.stream("GET", path, params=query, timeout=_NO_ANSWER_EXPECTED) as got:
            if got.is_error:
                got.read()
                raise _refusal(got)
            self._streaming = got.extensions["network_stream"].get_extra_info("socket")
            if self._interrupted:
                raise Unavailable("the stream was interrupted")
            yield got

    def _lines(self, response: httpx.Response) -> Iterator[Any]:
        with self._reported():
            for line in response.iter_lines():
                if line:
                    yield json.loads(line)

    def _call(self, method: str, path: str, *, query: Query | None = None, body: object = None) -> object:
        with self._reported():
            response = self._http.request(method, path, params=_given(query or {}), json=body)
        if response.is_error:
            raise _refusal(response)
        return response.json()

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError as error:
            raise nobody_answers(self.socket) from error
        except httpx.TimeoutException as error:
            raise Unavailable(f"the agent at {self.socket} did not answer in time") from error
        except httpx.TransportError as error:
            raise Unavailable(f"the agent at {self.socket} closed the connection") from error


def _given(query: Query) -> dict[str, Any]:
    return {key: value for key, value in query.items() if value is not None and value != []}


def _refusal(response: httpx.Response) -> RingfenceError:
    """The error that the agent raised, rebuilt from the answer's status and body."""
    try:
        document = response.json()
        message = str(document["error"])
    except (ValueError, KeyError, TypeError):
        return RingfenceError(f"the agent answered {response.status_code}: {response.text[:200]}")
    problems = tuple(Problem(**problem) for problem in document.get("problems", ()))
    if response.status_code == httpx.codes.BAD_REQUEST:
        return BadInput(problems or message)
    kinds: dict[int, type[RingfenceError]] = {404: NotFound, 503: Unavailable}
    return kinds.get(response.status_code, RingfenceError)(message)
