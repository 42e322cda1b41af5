"""`ringfence agent`: the process that keeps the kernel at what the policies call for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ringfence.cli.agent_recording import recording_limits, recording_options
from ringfence.cli.session import DEFAULT_INSTANCE, Session, pass_session
from ringfence.service.maglev import DEFAULT_SIZE, SIZES

Command = TypeVar("Command", bound=Callable[..., Any])
# Those of the object's knobs that are for people; what each means stands in bpf/config.h too.
TIMEOUTS = {
    "ct_timeout_tcp": "an established TCP connection",
    "ct_timeout_tcp_syn": "a TCP connection that was not answered yet",
    "ct_timeout_tcp_closing": "a TCP connection after FIN or RST",
    "ct_timeout_any": "any other flow",
}
LONGEST_SECONDS = 30 * 24 * 3600
MOST_RECENT_FLOWS = 1 << 22


def _timeout_options(command: Command) -> Command:
    for name, what in reversed(TIMEOUTS.items()):
        option = click.option(
            f"--{name.replace('_', '-')}",
            type=click.IntRange(1, LONGEST_SECONDS),
            metavar="SECONDS",
            help=f"How long {what} is remembered without a packet.",
        )
        command = option(command)
    return command


def _sizes(_ctx: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, int]:
    """`policy=200000` by name."""
    found = {}
    for text in texts:
        name, _, number = text.partition("=")
        if not number.isdecimal():
            raise click.BadParameter(f"{text!r} is not NAME=N")
        found[name] = int(number)
    return found


def _prefixes(_ctx: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[Any, ...]:
    from ipaddress import ip_network  # noqa: PLC0415 - only where one is given

    try:
        return tuple(ip_network(text) for text in texts)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _node_labels(_ctx: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> Any:
    from ringfence.labels import node_labels  # noqa: PLC0415 - only where one is given

    try:
        return node_labels(texts)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@click.option("--state-dir", type=click.Path(file_okay=False, path_type=Path), help="Where it keeps what to restore.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print the kernel commands instead of carrying them out; answers on dry-run.sock beside the usual socket.",
)
@click.option(
    "--mechanism",
    type=click.Choice(["auto", "tcx", "clsact"]),
    default="auto",
    show_default=True,
    help="How programs are attached; auto is tcx where the kernel has it.",
)
@click.option(
    "--allow-localhost",
    type=click.Choice(["auto", "always", "policy"]),
    default="auto",
    show_default=True,
    help="The node's own traffic to its endpoints; auto judges it under CiliumNetworkPolicy.",
)
@click.option(
    "--policy-enforcement",
    "enforcement",
    type=click.Choice(["default", "always", "never"]),
    default="default",
    show_default=True,
    help="always: also an endpoint that no policy selects is isolated. never: no policy is in force.",
)
@click.option(
    "--policy-cidr-match-mode",
    "cidr_match",
    type=click.Choice(["nodes"]),
    help="nodes: CIDR rules of Cilium's kinds mean the addresses of nodes too.",
)
@click.option(
    "--workload-prefix",
    "workload_prefixes",
    multiple=True,
    callback=_prefixes,
    metavar="PREFIX",
    help="Addresses of workloads, here or elsewhere: one that is not known is unmanaged, not the world. Repeatable.",
)
@click.option(
    "--uplink",
    "uplinks",
    multiple=True,
    metavar="INTERFACE",
    help="By which this host is reached: node ports, `ringfence prefilter`. It need not be there yet. Repeatable.",
)
@click.option(
    "--node-label",
    "node_labels",
    multiple=True,
    callback=_node_labels,
    metavar="KEY=VALUE",
    help="A label of this node, by which policies with nodeSelector select it. Repeatable.",
)
@click.option(
    "--admin-port",
    "admin_ports",
    multiple=True,
    type=click.IntRange(1, 65535),
    default=(22,),
    show_default=True,
    metavar="PORT",
    help="People reach this node by it: a policy that would cut a connection to it is refused. Repeatable.",
)
@click.option("--allow-lockout", is_flag=True, help="Take also policies for the node that cut who applies them off.")
@click.option(
    "--snat/--no-snat",
    default=False,
    show_default=True,
    help="What endpoints send to the world leaves by an uplink with the uplink's own address.",
)
@click.option(
    "--snat-exclude",
    "snat_excluded",
    multiple=True,
    callback=_prefixes,
    metavar="PREFIX",
    help="Reached by the endpoints' own addresses all the same. Repeatable.",
)
@click.option(
    "--aggregation",
    type=click.Choice(["packets", "connections", "verdicts", "off"]),
    default="connections",
    show_default=True,
    help="What is an event: every packet; new connections, denials, TCP flags and ends; judgements alone; nothing.",
)
@click.option(
    "--denial-limit",
    type=click.IntRange(0, 1_000_000),
    default=10,
    show_default=True,
    metavar="N",
    help="Denials of one flow that each CPU tells a second; the rest are told as a number. 0: tell all.",
)
@click.option(
    "--maglev-size",
    type=click.Choice(SIZES),
    default=DEFAULT_SIZE,
    show_default=True,
    help="Entries of the table of a service that chooses by Maglev: a hundred times its backends or more.",
)
@click.option(
    "--map-size",
    "map_sizes",
    multiple=True,
    callback=_sizes,
    metavar="NAME=N",
    help="Entries of policy, ipcache, ct4, services and others, or bytes of events, the ring of each CPU. Repeatable.",
)
@click.option(
    "--recent-flows",
    type=click.IntRange(1, MOST_RECENT_FLOWS),
    default=65536,
    show_default=True,
    metavar="N",
    help="How many of the newest events it keeps in memory for observe, 128 bytes each.",
)
@click.option(
    "--hubble/--no-hubble",
    default=None,
    help="Serve Hubble's API at hubble.sock beside the usual socket; by default where ringfence[hubble] is installed.",
)
@click.option("--hubble-listen", metavar="ADDRESS:PORT", help="Serve it here too, as on 127.0.0.1:4245.")
@click.option(
    "--hubble-insecure",
    is_flag=True,
    help="Let --hubble-listen be an address that other hosts reach: they can read every flow, there is no TLS.",
)
@_timeout_options
@click.option(
    "--metrics-listen",
    metavar="ADDRESS:PORT",
    help="Answer scrapers of /metrics here too, as on 127.0.0.1:9479; the socket always does.",
)
@click.option("--metrics-anywhere", is_flag=True, help="Let --metrics-listen be an address that other hosts reach.")
@recording_options
@click.option(
    "--web",
    metavar="ADDRESS:PORT",
    help="Serve the web page on a loopback port too, read-only, as on 127.0.0.1:8479; the socket always does.",
)
@pass_session
def agent(session: Session, /, *, mechanism: str, **options: Any) -> None:
    """Run the agent of this host until it is asked to stop. Enforcement stays in place when it ends.

    It answers on its socket, which only its owner may open. A later start takes over what this one leaves; with other
    sizes or times it fills new maps beside the old ones and changes over without losing a packet.
    """
    # Nothing of this is imported for --help.
    from ringfence.agent.listening import parse_listen  # noqa: PLC0415 - only the agent listens
    from ringfence.agent.main import run  # noqa: PLC0415 - slow to import, and --help needs it not
    from ringfence.agent.settings import AgentSettings  # noqa: PLC0415 - likewise

    anywhere, metrics_listen = options.pop("metrics_anywhere"), options.pop("metrics_listen")
    record_flows, flows_limits = recording_limits(options)
    insecure, hubble_listen = options.pop("hubble_insecure"), options.pop("hubble_listen")
    web = options.pop("web")
    timeouts = {name: options.pop(name) for name in TIMEOUTS}
    run(
        AgentSettings(
            instance=session.instance or DEFAULT_INSTANCE,
            socket=Path(session.socket) if session.socket else None,
            attach_by=None if mechanism == "auto" else mechanism,  # type: ignore[arg-type] # one of the choices
            knobs={name: seconds for name, seconds in timeouts.items() if seconds is not None},
            hubble_listen=parse_listen(hubble_listen, anywhere=insecure) if hubble_listen else None,
            metrics_listen=parse_listen(metrics_listen, anywhere=anywhere) if metrics_listen else None,
            record_flows=record_flows,
            flows_limits=flows_limits,
            web=parse_listen(web) if web else None,
            policy_cidr_match_mode=options.pop("cidr_match") or "",
            **options,
        )
    )
