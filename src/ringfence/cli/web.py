"""`ringfence web`: the web page of an agent on a loopback port, for as long as the command runs."""

from __future__ import annotations

from contextlib import suppress

import click

from ringfence.cli.session import Session, pass_session


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8479,
    show_default=True,
    help="Port of 127.0.0.1 to listen on; 0 is any that is free.",
)
@pass_session
def web(session: Session, /, *, port: int) -> None:
    """Serve the web page on a loopback port, read-only, until Ctrl-C: service map, flows, rules with their hits.

    It reads from the agent's socket, so the agent needs no port of its own. Everybody on this host can read the page
    while it is served. From another machine: ssh -L 8479:localhost:8479 HOST.
    """
    from ringfence.agent.listening import listen, url  # noqa: PLC0415 - slow to import, and --help needs it not
    from ringfence.api import bridge  # noqa: PLC0415 - likewise
    from ringfence.cli.connection import connect  # noqa: PLC0415 - likewise

    with connect(session) as client:
        agent_socket = client.socket
    with listen(("127.0.0.1", port)) as listening:
        click.echo(f"{url(listening)} (read-only; Ctrl-C ends it)")
        # Ctrl-C is how one stops looking, not an error.
        with suppress(KeyboardInterrupt):
            bridge.run(agent_socket, listening)
