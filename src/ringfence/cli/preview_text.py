"""What `policy apply --preview` prints, and its exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ringfence.cli.output import print_json

if TYPE_CHECKING:
    from ringfence.api.preview_shapes import PreviewShape

#: As those of `policy diff`.
_OPENED, _CLOSED = 5, 6
_MOST_SHOWN = 100


def show_preview(found: PreviewShape, output: str) -> int:
    """Print it. 0, or whether something opens (5), is cut (6), or both (7)."""
    cuts, opens = found["cuts"], found["opens"]
    if output == "json":
        print_json(found)
    else:
        for cut in cuts[:_MOST_SHOWN]:
            port = f":{cut['source_port']}" if cut["source_port"] else ""
            ends = f"{cut['source']} ({cut['source_address']}{port}) -> {cut['destination']} {cut['port']}"
            click.echo(f"{click.style('cuts ', fg='red')} {ends}: {cut['rule']}")
        for path in opens[:_MOST_SHOWN]:
            ends = f"{path['source']} -> {path['destination']} {path['port']}"
            click.echo(f"{click.style('opens', fg='green')} {ends}, denied {path['flows']} times: {path['rule']}")
        cut_told, open_told = _count(len(cuts), "live connection"), _count(len(opens), "path")
        click.echo(f"cuts {cut_told}; opens {open_told} denied within the last hour")
    return {(False, False): 0, (True, False): _OPENED, (False, True): _CLOSED}.get((bool(opens), bool(cuts)), 7)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
