"""`ringfence policy`: policies applied, taken out, shown, and tested without an agent."""

from __future__ import annotations

import click

from ringfence.cli.lazy import Lazy, LazyGroup

COMMANDS = {
    "apply": Lazy("ringfence.cli.policies:apply", "Put the policies of files into force, in one atomic commit."),
    "delete": Lazy("ringfence.cli.policies:delete", "Take policies out of force, in one atomic commit."),
    "list": Lazy("ringfence.cli.policies:list_policies", "List the policies in force."),
    "get": Lazy("ringfence.cli.policies:get", "Show a policy as it was written."),
    "stage": Lazy("ringfence.cli.policy_stage:stage", "Let policies be judged on live traffic, without effect."),
    "staged": Lazy("ringfence.cli.policy_stage:staged", "Show what is staged, and where it would judge otherwise."),
    "promote": Lazy("ringfence.cli.policy_stage:promote", "Bring what is staged into force, in one atomic commit."),
    "unstage": Lazy("ringfence.cli.policy_stage:unstage", "Drop what is staged."),
    "history": Lazy("ringfence.cli.policy_history:history", "List the changes that were made: when, who, what, why."),
    "show": Lazy("ringfence.cli.policy_history:show", "Show one of them: its diff, or all that was in force after it."),
    "rollback": Lazy("ringfence.cli.policy_history:rollback", "Go back to what was in force at a revision."),
    "confirm": Lazy("ringfence.cli.policy_history:confirm", "Let a change stay that was made with --confirm."),
    "test": Lazy("ringfence.cli.policy_test:test", "Judge the cases of PolicyTest documents; no agent, no root."),
    "check": Lazy("ringfence.cli.policy_check:check", "Find what is well formed in policies but hardly meant."),
    "learn": Lazy("ringfence.cli.policy_learn:learn", "Learn a least set of policies from flows, and prove it."),
    "diff": Lazy("ringfence.cli.policy_diff:diff", "Show what a change of policies opens and closes."),
    "replay": Lazy("ringfence.cli.policy_replay:replay", "Show which recorded flows proposed policies would change."),
    "graph": Lazy("ringfence.cli.policy_graph:graph", "Draw who reaches whom: SVG, Mermaid or DOT."),
    "table": Lazy("ringfence.cli.policy_table:table", "Show who reaches whom as a matrix."),
    "verify": Lazy("ringfence.cli.policy_verify:verify", "Prove that the compiled policies say what they say."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def policy() -> None:
    """Policies: what may talk to what."""
