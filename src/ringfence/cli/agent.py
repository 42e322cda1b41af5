"""`ringfence agent`: the process that keeps the kernel at what the policies call for."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from ringfence.agent.main import run
from ringfence.agent.settings import AgentSettings
from ringfence.cli.session import DEFAULT_INSTANCE, Session, pass_session


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
@pass_session
def agent(
    session: Session,
    *,
    state_dir: Path | None,
    dry_run: bool,
    mechanism: Literal["auto", "tcx", "clsact"],
    allow_localhost: Literal["auto", "always", "policy"],
    enforcement: Literal["default", "always", "never"],
    cidr_match: Literal["nodes"] | None,
) -> None:
    """Run the agent of this host until it is asked to stop. Enforcement stays in place when it ends.

    It answers on its socket, which only its owner may open. A later start takes over what this one leaves.
    """
    run(
        AgentSettings(
            instance=session.instance or DEFAULT_INSTANCE,
            socket=Path(session.socket) if session.socket else None,
            state_dir=state_dir,
            dry_run=dry_run,
            allow_localhost=allow_localhost,
            enforcement=enforcement,
            policy_cidr_match_mode=cidr_match or "",
            attach_by=None if mechanism == "auto" else mechanism,
        )
    )
