"""The `ringfence` command: its subcommands, its global options and what becomes of errors.

No traceback reaches a user. An error of Ringfence's own is its message; anything else is one line that says how to see
the details.
"""

from __future__ import annotations

import os

import click

from ringfence.cli.lazy import Lazy, LazyGroup
from ringfence.cli.session import Session
from ringfence.errors import BadInput, RingfenceError, Unavailable

COMMANDS = {
    "agent": Lazy("ringfence.cli.agent:agent", "Run the agent of this host."),
    "endpoint": Lazy("ringfence.cli.endpoint:endpoint", "Workloads: add, list, get, config, delete."),
    "config": Lazy("ringfence.cli.config:config", "Settings of the host that can be changed while the agent runs."),
    "identity": Lazy("ringfence.cli.identity:identity", "Identities, the numbers of label sets: list, get."),
    "policy": Lazy("ringfence.cli.policy:policy", "Policies: apply, delete, list, get, test."),
    "service": Lazy("ringfence.cli.service:service", "Services: apply, add, list, delete."),
    "prefilter": Lazy("ringfence.cli.prefilter:prefilter", "Sources dropped at the uplink: add, list, ..."),
    "status": Lazy("ringfence.cli.status:status", "The agent's state: revision, attachments, counters, drops."),
    "bpf": Lazy("ringfence.cli.bpf:bpf", "The kernel's maps: policy, ipcache, ct, map."),
    "observe": Lazy("ringfence.cli.observe:observe", "Flows, past and as they come, filtered as with Hubble."),
    "flows": Lazy("ringfence.cli.flows:flows", "The history of flows on disk: query, top, export, info."),
    "monitor": Lazy("ringfence.cli.monitor:monitor", "Verdicts, live, each with the rule that decided it."),
    "explain": Lazy("ringfence.cli.explain:explain", "Why a flow is allowed or denied, and what nearly changed it."),
    "top": Lazy("ringfence.cli.top:top", "The dashboard: flows, rules and losses, live, with rules flipped by a key."),
    "web": Lazy("ringfence.cli.web:web", "The web page on a loopback port: service map, flows, rules."),
    "sysdump": Lazy("ringfence.cli.sysdump:sysdump", "All state in one archive, for a bug report."),
    "lab": Lazy("ringfence.cli.lab:lab", "Manifests as network namespaces: up, probe, down."),
    "demo": Lazy("ringfence.cli.demo:demo", "A policy at work and flipped, in a lab of its own."),
}
#: The extra that brings a module; those that are not here come with the agent.
EXTRAS = {
    "duckdb": "flows",
    "pyarrow": "flows",
    "pytz": "flows",
    "grpc": "hubble",
    "google": "hubble",
    "textual": "top",
}
EPILOG = """\b
Exit codes:
  0  done
  1  a negative result: a failed test, a refused change, an internal error
  2  bad input: nothing was applied
  3  unavailable: no agent, no root, no BPF
  4  not found
"""
INTERRUPTED = 130


class Root(LazyGroup):
    """The outermost group: the one place where errors become lines and exit codes."""

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; every error but click's own ends here."""
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.Abort, click.ClickException):
            raise
        except (Exception, KeyboardInterrupt) as error:
            if os.environ.get("RINGFENCE_DEBUG"):
                raise
            ctx.exit(_tell(error))


def _tell(error: BaseException) -> int:
    """Say an error in as few lines as it needs; returns the exit code."""
    if isinstance(error, RingfenceError):
        _report(error)
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        # The reader (`| head`) has seen enough; what is still buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("ringfence"):
        extra = EXTRAS.get(error.name.partition(".")[0], "agent")
        click.echo(f"this needs {error.name}; get it with: pip install 'ringfence[{extra}]'", err=True)
        return Unavailable.exit_code
    message = " ".join(str(error).split())
    click.echo(f"internal error: {type(error).__name__}: {message} (RINGFENCE_DEBUG=1 shows where)", err=True)
    return 1


def _report(error: RingfenceError) -> None:
    if isinstance(error, BadInput) and error.problems:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        return
    click.echo(str(error), err=True)


def _show_version(ctx: click.Context, _: click.Parameter, wanted: object) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - a quarter of what --help takes

        try:
            click.echo(version("ringfence"))
        except PackageNotFoundError:
            click.echo("unknown: not installed as a package")
        ctx.exit()


@click.group(
    cls=Root,
    lazy=COMMANDS,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option("--instance", envvar="RINGFENCE_INSTANCE", help="Agent to talk to or to run.  [default: default]")
@click.option(
    "--socket", envvar="RINGFENCE_SOCKET", help="The agent's socket.  [default: /run/ringfence/INSTANCE/agent.sock]"
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Print the version."
)
@click.pass_context
def cli(ctx: click.Context, instance: str | None, socket: str | None) -> None:
    """Ringfence: which workload may talk to which, decided in the kernel, with the reason for every packet."""
    ctx.obj = Session(instance, socket)


def main() -> None:
    """Run the command line."""
    cli(prog_name="ringfence")
