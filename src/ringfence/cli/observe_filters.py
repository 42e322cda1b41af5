"""The filter options of `observe`, as Hubble's users know them, and the filters that a command line makes of them.

Options of one name are alternatives, options of different names must all agree. `--not` reverses the next one alone:
each reversed option is a filter of its own, of which none may agree.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
_REVERSED: Final = "not-"
_OF_ENDS: Final = {
    "ip": ("ADDRESS", "an address, or one of a prefix such as 10.0.0.0/8"),
    "label": ("SELECTOR", "labels: app=web, 'tier in (a,b)', reserved:world; those joined by commas must all hold"),
    "identity": ("IDENTITY", "an identity, by number or reserved name"),
    "namespace": ("NAMESPACE", "a namespace"),
    "pod": ("POD", "a pod by the beginning of [namespace/]name"),
    "port": ("PORT", "a port: 8080, 53/UDP, echo-request/ICMP"),
    "endpoint": ("NAME", "an endpoint of this host by its whole name"),
}
_SIDES: Final = {"from-": ("source_", "Only from"), "to-": ("destination_", "Only to"), "": ("", "Only from or to")}
_SHORT: Final = {"namespace": "-n", "label": "-l", "type": "-t", "ipv4": "-4", "ipv6": "-6"}


class Filter(NamedTuple):
    """One option: its name, the field of `FlowFilter` that it fills, and its help. A flag has its value with it."""

    name: str
    field: str
    metavar: str
    help: str
    value: str | None = None

    @property
    def parameter(self) -> str:
        """What click calls it."""
        return self.name.replace("-", "_")


_OF_FLOWS: Final = (
    Filter("verdict", "verdict", "VERDICT", "Only FORWARDED or DROPPED."),
    Filter("type", "event_type", "TYPE", "Only drop, policy-verdict or trace; drop:POLICY_DENIED has a sub-type."),
    Filter("drop-reason-desc", "drop_reason_desc", "REASON", "Only drops for a reason, such as POLICY_DENIED."),
    Filter("drop-reason", "drop_reason_desc", "REASON", "The same."),
    Filter("protocol", "protocol", "PROTOCOL", "Only tcp, udp, sctp, icmp, icmpv4, icmpv6, or a number."),
    Filter("traffic-direction", "traffic_direction", "DIRECTION", "Only ingress or egress."),
    Filter("tcp-flags", "tcp_flags", "FLAGS", "Only TCP segments with these flags, such as SYN or SYN,ACK."),
    Filter("ip-version", "ip_version", "VERSION", "Only v4 or v6."),
    Filter("ipv4", "ip_version", "", "Only IPv4.", "v4"),
    Filter("ipv6", "ip_version", "", "Only IPv6.", "v6"),
    Filter("rule", "rule", "RULE", "Only what a rule decided: a policy, web.yaml:12, or a whole file web.yaml."),
    Filter("policy", "policy", "POLICY", "Only what a policy decided: name, namespace/name or kind/namespace/name."),
    Filter("from-service", "source_service", "SERVICE", "Only answers by the address of a service."),
    Filter("to-service", "destination_service", "SERVICE", "Only what asks by the address of a service."),
    Filter("service", "service", "SERVICE", "Only by the address of a service, [namespace/]name."),
    Filter("kind", "kind", "KIND", "Only verdict, packet, flags or close: what the event is of its connection."),
)


def _of_ends() -> Iterator[Filter]:
    for name, (metavar, what) in _OF_ENDS.items():
        for side, (field, words) in _SIDES.items():
            yield Filter(f"{side}{name}", f"{field}{name}", metavar, f"{words} {what}.")


FILTERS: Final = (*_of_ends(), *_OF_FLOWS)
_BY_SWITCH: Final = {f"--{each.name}": each for each in FILTERS} | {
    _SHORT[each.name]: each for each in FILTERS if each.name in _SHORT
}


def filter_options(command: Command) -> Command:
    """Add all filters, and hidden twins of theirs for those that `--not` reverses."""
    for each in reversed(FILTERS):
        command = _option(each, f"--{_REVERSED}{each.name}", hidden=True)(command)
        switches = [f"--{each.name}", *([_SHORT[each.name]] if each.name in _SHORT else [])]
        command = _option(each, *switches)(command)
    reverse = click.option("--not", "reverse", is_flag=True, help="Reverse the next filter: leave out what it means.")
    return reverse(command)


def _option(each: Filter, *switches: str, hidden: bool = False) -> Callable[[Command], Command]:
    if each.value is not None:
        return click.option(*switches, is_flag=True, hidden=hidden, help=each.help)
    return click.option(*switches, multiple=True, metavar=each.metavar, hidden=hidden, help=each.help)


class ObserveCommand(click.Command):
    """A command whose `--not` goes with the filter after it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Join each `--not` with its filter, then read the options."""
        return super().parse_args(ctx, list(_joined(args, ctx)))


def _joined(args: Sequence[str], ctx: click.Context) -> Iterator[str]:
    rest = iter(args)
    for arg in rest:
        if arg != "--not":
            yield arg
            continue
        following = next(rest, None)
        switch, equals, value = (following or "").partition("=")
        found = _BY_SWITCH.get(switch) or (_BY_SWITCH.get(switch[:2]) if not switch.startswith("--") else None)
        if found is None:
            told = f"{following!r} is none" if following else "none follows"
            raise click.UsageError(f"--not reverses the filter after it, and {told}", ctx)
        yield f"--{_REVERSED}{found.name}{equals}{value}"
        if not switch.startswith("--") and len(switch) > 2:
            yield switch[2:]  # -tdrop


def queries(options: Mapping[str, Any], allowed: Sequence[str], denied: Sequence[str]) -> tuple[list[str], list[str]]:
    """The filters that any must agree to, and those that none may, each as a JSON text, from the options given.

    `allowed` and `denied` are such texts of the user's own: more alternatives, and more that none may agree to.
    """
    fields: dict[str, list[str]] = {}
    for each in FILTERS:
        fields.setdefault(each.field, []).extend(_values(each, options[each.parameter]))
    wanted = {field: values for field, values in _with_namespaces(fields).items() if values}
    unwanted = [
        {each.field: [value]}
        for each in FILTERS
        for value in _values(each, options[f"{_REVERSED}{each.name}".replace("-", "_")])
    ]
    allow = [json.dumps(wanted)] if wanted else []
    return [*allow, *allowed], [*map(json.dumps, unwanted), *denied]


def _values(each: Filter, given: Any) -> list[str]:
    if each.value is not None:
        return [each.value] if given else []
    return list(given)


def _with_namespaces(fields: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Pods without a namespace are of those that are asked for beside them, if there are any."""
    found = dict(fields)
    for side, _ in _SIDES.values():
        namespaces = fields[f"{side}namespace"]
        if namespaces:
            pods = fields[f"{side}pod"]
            found[f"{side}pod"] = [
                pod if "/" in pod else f"{namespace}/{pod}" for pod in pods for namespace in namespaces
            ]
    return found
