"""Flows as `hubble observe` prints them: compact lines, dictionaries, a table, each made of Hubble's JSON of a flow.

What it adds is where the deciding rule stands, after the name of its policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import click

from ringfence.cli.output import print_line, print_table

Document = Mapping[str, Any]
COLOURS: Final = {"FORWARDED": "green", "DROPPED": "red"}
_POLICY_VERDICT: Final = 5
_DROP: Final = 1
_ORIGIN: Final = "ringfence.io/origin="
_DECIDED: Final = ("egress_denied_by", "ingress_denied_by", "egress_allowed_by", "ingress_allowed_by")
_LAST_RESERVED: Final = 255
_SEPARATOR: Final = "------------"


@dataclass(frozen=True, slots=True)
class Style:
    """How flows are written: whether ends go by their addresses alone, and whether policies and the node are named."""

    numeric: bool = False
    policies: bool = True
    node: bool = False

    def fields(self, document: Document) -> dict[str, str]:
        """What each column says of a flow."""
        flow = document["flow"]
        fields = {"TIMESTAMP": _time(document["time"])}
        if self.node:
            fields["NODE"] = document["node_name"]
        return fields | {
            "SOURCE": self.end(flow, "source"),
            "DESTINATION": self.end(flow, "destination"),
            "TYPE": _type(flow),
            "VERDICT": _verdict(flow) + self.by(flow),
            "SUMMARY": flow["Summary"],
        }

    def compact(self, document: Document) -> str:
        """A flow as one line; a reply is turned around, so that who opened the connection stands first."""
        flow, fields = document["flow"], self.fields(document)
        ends = [f"{fields[side.upper()]} {_identity(flow[side])}" for side in ("source", "destination")]
        reply = flow.get("is_reply")
        arrow = "<>" if reply is None else "<-" if reply else "->"
        first, second = ends[::-1] if reply else ends
        node = f" [{document['node_name']}]" if self.node else ""
        told = f"{fields['TYPE']} {fields['VERDICT']} ({fields['SUMMARY']})"
        return f"{fields['TIMESTAMP']}{node}: {first} {arrow} {second} {told}"

    def dictionary(self, document: Document) -> str:
        """A flow as a line a field, with all that the rules say of it."""
        fields = self.fields(document)
        rules = document["flow"].get("policy_log", ()) if self.policies else ()
        lines = [*fields.items(), *(("RULE", text) for text in rules)]
        return "\n".join(f"{name:>11}: {value}" for name, value in lines)

    def end(self, flow: Document, side: str) -> str:
        """Who an end is, pod or address, and its port."""
        end, host = flow[side], flow["IP"][side]
        if not self.numeric and end.get("pod_name"):
            host = "/".join(part for part in (end.get("namespace"), end["pod_name"]) if part)
        [layer4] = flow.get("l4", {"": {}}).values()
        port = layer4.get(f"{side}_port")
        if not port:
            return str(host)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def by(self, flow: Document) -> str:
        """The policies that decided, each with its kind and with where the rule stands."""
        if not self.policies:
            return ""
        named = [_policy(policy) for field in _deciding(flow) for policy in flow.get(field, ())]
        if not named and flow.get("policy_log"):
            named = ["default"]
        return f" BY {', '.join(dict.fromkeys(named))}" if named else ""


def _deciding(flow: Document) -> tuple[str, ...]:
    """Of a denial the fields of denials alone: what the other direction allowed did not decide."""
    return _DECIDED[:2] if flow["verdict"] == "DROPPED" else _DECIDED[2:]


def _policy(policy: Document) -> str:
    places = (label.removeprefix(_ORIGIN) for label in policy.get("labels", ()) if label.startswith(_ORIGIN))
    kind = f"({policy['kind']})" if policy.get("kind") else ""
    return " ".join(part for part in (policy["name"], kind, *places) if part)


def _time(text: str) -> str:
    """Hubble's time: `Jan  2 03:04:05.678`, in UTC."""
    moment = datetime.fromisoformat(text)
    return f"{moment:%b} {moment.day:>2} {moment:%H:%M:%S}.{moment.microsecond // 1000:03}"


def _identity(end: Document) -> str:
    number = end["identity"]
    reserved = (label.removeprefix("reserved:") for label in end["labels"] if label.startswith("reserved:"))
    name = next(reserved, None) if number <= _LAST_RESERVED else None
    return click.style(f"({name})" if name else f"(ID:{number})", fg="magenta")


def _type(flow: Document) -> str:
    kind = flow["event_type"]["type"]
    if kind == _POLICY_VERDICT:
        return f"policy-verdict:{_match(flow['policy_match_type'])} {flow['traffic_direction']}"
    if kind == _DROP:
        return str(flow["drop_reason_desc"]).replace("_", " ").capitalize()
    return str(flow["trace_observation_point"]).lower().replace("_", "-")


def _match(number: int) -> str:
    from ringfence.flow.match import MatchType  # noqa: PLC0415 - numpy comes with it

    return MatchType(number).text


def _verdict(flow: Document) -> str:
    verdict = flow["verdict"]
    of_policy = flow["event_type"]["type"] == _POLICY_VERDICT
    told = {"FORWARDED": "ALLOWED", "DROPPED": "DENIED"}.get(verdict, verdict) if of_policy else verdict
    return click.style(told, fg=COLOURS.get(verdict), bold=True)


def _without_remarks(documents: Iterable[Document]) -> Iterator[Document]:
    """Flows and losses. That an answer was cut goes to standard error, whatever the form."""
    for document in documents:
        if "newest_only" in document:
            number = document["newest_only"]
            click.echo(f"only the newest {number} flows; --since, --until or a filter ask for fewer", err=True)
        else:
            yield document


def _flows(documents: Iterable[Document]) -> Iterator[Document]:
    """The flows alone; losses go to standard error too."""
    for document in documents:
        if "lost_events" in document:
            lost = document["lost_events"]["num_events_lost"]
            click.secho(f"{lost} flows lost: read too slowly", fg="yellow", err=True)
        else:
            yield document


def print_flows(documents: Iterable[Document], form: str, style: Style) -> None:
    """Print flows as they come; a table needs all of them first."""
    told = _without_remarks(documents)
    if form in {"json", "jsonpb"}:
        for document in told:
            print_line(document)
    elif form == "compact":
        for document in _flows(told):
            click.echo(style.compact(document))
    elif form == "dict":
        for number, document in enumerate(_flows(told)):
            click.echo(f"{_SEPARATOR}\n{style.dictionary(document)}" if number else style.dictionary(document))
    else:
        rows = [style.fields(document) for document in _flows(told)]
        columns = list(rows[0]) if rows else []
        print_table(columns, ([click.unstyle(row[column]) for column in columns] for row in rows))
