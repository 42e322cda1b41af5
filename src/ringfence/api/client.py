"""The caller's side of the agent's API: one method a route, over the unix socket, each answer as its shape.

Errors come back as the `RingfenceError` that the agent raised, or `Unavailable` when nobody answers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import quote, urlencode

from ringfence.api.exchange import Answer, Connection
from ringfence.errors import BadInput, NotFound, Problem, RingfenceError, Unavailable

if TYPE_CHECKING:
    from ringfence.api import shapes

_OK, _BAD_REQUEST = 200, 400
_Query = Mapping[str, str | int | Sequence[str] | None]


def default_socket(instance: str = "default") -> str:
    """Path of an instance's socket: `RINGFENCE_SOCKET` in the environment, or the one under /run/ringfence."""
    return os.environ.get("RINGFENCE_SOCKET") or f"/run/ringfence/{instance}/agent.sock"


class Client:
    """A caller of one agent. Methods raise `RingfenceError`: what the agent refused and why.

    Any thread may call; requests share a connection and go one after another, a stream of events has its own.
    """

    def __init__(self, socket: str | None = None, timeout_seconds: float = 30.0) -> None:
        self.socket = socket or default_socket()
        self._timeout_seconds = timeout_seconds
        self._lock = Lock()
        self._idle: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._drop()

    def status(self) -> shapes.Status:
        """The agent at a glance."""
        return cast("shapes.Status", self._call("GET", "/v1/status"))

    def verify(self) -> shapes.Verification:
        """The maps read back from the kernel, held against what the agent wants and against the policies."""
        return cast("shapes.Verification", self._call("GET", "/v1/verify"))

    def endpoints(self) -> list[shapes.EndpointShape]:
        """All endpoints, by name."""
        return cast("list[shapes.EndpointShape]", self._call("GET", "/v1/endpoints"))

    def endpoint(self, name: str) -> shapes.EndpointShape:
        """One endpoint."""
        return cast("shapes.EndpointShape", self._call("GET", _path("endpoints", name)))

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
        return cast("shapes.EndpointShape", self._call("PUT", _path("endpoints", name), body=body))

    def delete_endpoint(self, name: str) -> shapes.Revision:
        """Stop managing a workload."""
        return cast("shapes.Revision", self._call("DELETE", _path("endpoints", name)))

    def identities(self) -> list[shapes.IdentityShape]:
        """All live identities, by number."""
        return cast("list[shapes.IdentityShape]", self._call("GET", "/v1/identities"))

    def identity(self, number: int) -> shapes.IdentityShape:
        """One identity."""
        return cast("shapes.IdentityShape", self._call("GET", _path("identities", str(number))))

    def apply_policies(self, sources: Sequence[tuple[str, str]], origin: str | None = None) -> shapes.Applied:
        """Add policies given as (name, text) of files. Raises `BadInput` with every problem, nothing applied."""
        body = {"sources": [{"name": name, "text": text} for name, text in sources], "origin": origin}
        return cast("shapes.Applied", self._call("POST", "/v1/policies", body=body))

    def policies(self) -> list[shapes.PolicyShape]:
        """All policies in force, without their text."""
        return cast("list[shapes.PolicyShape]", self._call("GET", "/v1/policies"))

    def policy(self, uid: str) -> shapes.PolicyShape:
        """One policy with its text."""
        return cast("shapes.PolicyShape", self._call("GET", _path("policies", uid)))

    def delete_policies(self, uids: Sequence[str]) -> shapes.Applied:
        """Take policies out of force, all in one commit."""
        return cast("shapes.Applied", self._call("DELETE", "/v1/policies", body={"uids": list(uids)}))

    def entries(self, subject: int | None = None, peer: int | None = None) -> list[shapes.EntryShape]:
        """The entries of the policy map that is active in the kernel."""
        query = {"subject": subject, "peer": peer}
        return cast("list[shapes.EntryShape]", self._call("GET", "/v1/bpf/policy", query=query))

    def set_entry(self, entry: shapes.EntryRequest) -> shapes.Revision:
        """Set an entry by hand; it stays until it is deleted by hand."""
        return cast("shapes.Revision", self._call("PUT", "/v1/bpf/policy", body=entry))

    def delete_entry(self, key: shapes.EntryKey) -> shapes.Revision:
        """Delete an entry that was set by hand."""
        return cast("shapes.Revision", self._call("DELETE", "/v1/bpf/policy", body=key))

    def ipcache(self, address: str | None = None) -> list[shapes.IpcacheShape]:
        """What is known of every prefix, or of the longest one that contains an address."""
        answer = self._call("GET", "/v1/bpf/ipcache", query={"address": address})
        return cast("list[shapes.IpcacheShape]", answer)

    def connections(self) -> list[shapes.ConnectionShape]:
        """The tracked connections."""
        return cast("list[shapes.ConnectionShape]", self._call("GET", "/v1/bpf/ct"))

    def flush_connections(self) -> shapes.Flushed:
        """Forget every tracked connection; live ones are judged anew at their next packet."""
        return cast("shapes.Flushed", self._call("DELETE", "/v1/bpf/ct"))

    def maps(self) -> list[shapes.MapShape]:
        """The BPF maps."""
        return cast("list[shapes.MapShape]", self._call("GET", "/v1/bpf/maps"))

    def map(self, name: str) -> shapes.MapDump:
        """The decoded elements of one map."""
        return cast("shapes.MapDump", self._call("GET", _path("bpf/maps", name)))

    @contextmanager
    def events(
        self,
        *,
        type: str | None = None,  # noqa: A002 - the name of the query parameter
        from_: Sequence[str] = (),
        to: Sequence[str] = (),
        port: str | None = None,
    ) -> Iterator[Iterator[shapes.FlowShape | shapes.Lost]]:
        """Verdicts from now on. Inside the block every later event is certain to be in the stream, or counted lost."""
        query = {"type": type, "from": list(from_), "to": list(to), "port": port}
        with self._reported():
            connection = Connection(self.socket, self._timeout_seconds)
        try:
            with self._reported():
                answer = connection.send("GET", _target("/v1/events", query), b"")
                if answer.status != _OK:
                    raise _refusal(answer, connection.body(answer))
                connection.wait_forever()
            yield self._lines(connection)
        finally:
            connection.close()

    def _lines(self, connection: Connection) -> Iterator[shapes.FlowShape | shapes.Lost]:
        with self._reported():
            for line in connection.lines():
                yield json.loads(line)

    def _call(self, method: str, path: str, *, query: _Query | None = None, body: object = None) -> object:
        sent = b"" if body is None else json.dumps(body).encode()
        with self._lock, self._reported():
            connection = self._connection()
            try:
                answer = connection.send(method, _target(path, query or {}), sent)
                received = connection.body(answer)
            except BaseException:
                # Whatever the rest of the answer is, it must not be taken for that of the next request.
                self._drop()
                raise
        if answer.status != _OK:
            raise _refusal(answer, received)
        return json.loads(received)

    def _connection(self) -> Connection:
        if self._idle is not None and not self._idle.usable:
            self._drop()
        if self._idle is None:
            self._idle = Connection(self.socket, self._timeout_seconds)
        return self._idle

    def _drop(self) -> None:
        if self._idle is not None:
            self._idle.close()
            self._idle = None

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, ConnectionRefusedError, PermissionError) as error:
            message = f"no agent answers at {self.socket}; start one with: ringfence agent"
            raise Unavailable(message) from error
        except TimeoutError as error:
            raise Unavailable(f"the agent at {self.socket} did not answer in time") from error
        except (OSError, ValueError) as error:
            raise Unavailable(f"the agent at {self.socket} closed the connection") from error


def _path(*parts: str) -> str:
    return "/v1/" + "/".join((*parts[:-1], quote(parts[-1], safe="")))


def _target(path: str, query: _Query) -> str:
    given = {name: value for name, value in query.items() if value is not None and value != []}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def _refusal(answer: Answer, body: bytes) -> RingfenceError:
    """The error that the agent raised, rebuilt from the answer's status and body."""
    try:
        document: dict[str, Any] = json.loads(body)
        message = str(document["error"])
    except (ValueError, KeyError, TypeError):
        return RingfenceError(f"the agent answered {answer.status}: {body[:200].decode(errors='replace')}")
    problems = tuple(Problem(**problem) for problem in document.get("problems", ()))
    if answer.status == _BAD_REQUEST:
        return BadInput(problems or message)
    kinds: dict[int, type[RingfenceError]] = {404: NotFound, 503: Unavailable}
    return kinds.get(answer.status, RingfenceError)(message)
