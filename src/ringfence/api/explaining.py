"""The shapes of `/v1/explain`: a flow asked about, and why it is allowed or denied."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict


class AskedEnd(TypedDict):
    """One end of a flow: `name` as a person writes it; an end that was seen also has its address and labels."""

    name: str
    address: NotRequired[str]
    labels: NotRequired[list[str]]


class ExplainRequest(TypedDict):
    """A flow to explain. `port` is 8080/TCP or echo-request/ICMP; `limit` bounds the near misses.

    `at`: how long ago, or when; asked of what was in force and ran then.
    """

    source: AskedEnd
    destination: AskedEnd
    port: str
    source_port: NotRequired[int | None]
    limit: NotRequired[int]
    at: NotRequired[str | None]


#: A rule: policy, text, origin and its lines of YAML.
ExplainedRule = dict[str, Any]


class ExplainedBackend(TypedDict):
    """Where new connections to a service go, and what policy says of it there."""

    name: str
    address: str
    port: str
    verdict: Literal["allow", "deny"]


class ExplainedService(TypedDict):
    """The service that was asked for. `reason`: why it leads nowhere, else ""."""

    name: str
    frontend: str
    reason: str
    backends: list[ExplainedBackend]


Explanation = TypedDict(
    "Explanation",
    {
        "from": str,
        "to": str,
        "port": str,
        "verdict": Literal["allow", "deny"],
        "rule": ExplainedRule | None,
        "chain": list[dict[str, Any]],
        "near_misses": list[dict[str, Any]],
        "notes": list[str],
        "service": ExplainedService | None,
    },
)
