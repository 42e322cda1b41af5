"""The report: the same tables on the terminal, in RESULTS.md and, as plain data, in results.json."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.flips import PACE_MICROSECONDS, Flips
from benchmarks.gates import FLIP_MS, Results, gates
from benchmarks.machine import Machine
from benchmarks.realpackets import MEASUREMENTS, Measurement, Standing
from benchmarks.scenario import OTHERS
from benchmarks.testruns import Timing

ABOUT_TEST_RUNS: Final = (
    "What the datapath adds to an empty TC program, which alone takes the time in the last column. A wrapper puts the "
    "TTL back (delivery lowers it) and gives each repetition another source port where flows differ; the same wrapper "
    "around an empty program, run right before, is subtracted. 64 k flows come in another order than they were opened "
    "in. The policy map holds {others:,} entries of other workloads beside those that count here. Medians; ± is the "
    "range between the quartiles. Events are written, and read between the runs."
)
ABOUT_REAL_PACKETS: Final = (
    "Two workloads in network namespaces, veth pairs and plain IPv4 routes through a third namespace that plays the "
    "node; each contender has namespaces of its own and they take turns. Both ends of request-response, connections "
    "and one way share one CPU, throughput (iperf3, one stream) uses two. One-way time is from one datagram of a raw "
    "socket to the next, all the way to the receiving socket's full buffer; 64 k flows are established ones. Ringfence "
    "isolates both workloads both ways and holds {others:,} entries of others. The iptables FORWARD chain drops by "
    "default, without connection tracking, and its last rule is the one that matches. Beside each figure: its ratio "
    "to no policy in the same round (one way: the difference); medians over the rounds."
)
ABOUT_FLIPS: Final = (
    "A deny rule added and taken away in turn by the agent's API in a lab of its own, while a datagram comes every "
    "{pace} µs: from the call to the kernel's time of the first packet judged by the new revision. YAML parsing, "
    "resolution, the journal on disk and the commit are all in it."
)


@dataclass(frozen=True, slots=True)
class Section:
    """A table with its title and what to know about it."""

    title: str
    about: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def sections(results: Results) -> Iterator[Section]:
    """The tables of what was measured, the aims first."""
    rows = [(gate.aim, gate.measured, "met" if gate.met else "**missed**") for gate in gates(results)]
    yield Section("Aims", "", ("aim", "measured", ""), rows)
    if results.timings:
        yield _test_runs(results.timings)
    if results.standings:
        yield _real_packets(results)
    if results.flips:
        yield _flips(results.flips)


def _test_runs(timings: Sequence[Timing]) -> Section:
    rows = [
        (each.name, f"+{each.added:,.0f}", f"± {each.spread:.0f}", f"{each.ratio:.1f}", f"{each.empty:.0f}")
        for each in timings
    ]
    columns = ("program", "ns per packet", "", "of the empty program", "empty, ns")
    return Section("ns per packet, `BPF_PROG_TEST_RUN`", ABOUT_TEST_RUNS.format(others=OTHERS), columns, rows)


def _real_packets(results: Results) -> Section:
    units = {measurement.name: measurement for measurement in MEASUREMENTS}
    columns = [f"{name}, {units[name].unit}" for name in results.standings]
    by_contender = zip(*results.standings.values(), strict=True)
    measured = [units[name] for name in results.standings]
    rows = [
        [standings[0].contender, *(_beside(*pair) for pair in zip(measured, standings, strict=True))]
        for standings in by_contender
    ]
    return Section("Real packets", ABOUT_REAL_PACKETS.format(others=OTHERS), ["on the path", *columns], rows)


def _beside(measurement: Measurement, standing: Standing) -> str:
    digits = 1 if standing.figure < 100 else 0
    if measurement.unit == "ns":
        return f"{standing.figure:,.{digits}f} ({standing.difference:+,.0f})"
    return f"{standing.figure:,.{digits}f} ({standing.ratio:.2f})"


def _flips(flips: Flips) -> Section:
    row = (
        str(len(flips.milliseconds)),
        *(f"{value:.2f}" for value in (flips.milliseconds[0], flips.median, flips.most)),
        f"{flips.share_within(FLIP_MS):.0%}",
    )
    columns = ("flips", "least, ms", "median, ms", "most, ms", f"within {FLIP_MS:.0f} ms")
    return Section("A flipped rule", ABOUT_FLIPS.format(pace=PACE_MICROSECONDS), columns, [row])


def show(results: Results, machine: Machine) -> None:
    """Print the tables."""
    console = Console()
    console.print(str(machine), highlight=False)
    for section in sections(results):
        table = Table(*section.columns, title=section.title, title_justify="left")
        for row in section.rows:
            table.add_row(*(cell.replace("**", "") for cell in row))
        console.print(table)


def write(results: Results, machine: Machine, directory: Path) -> None:
    """Write RESULTS.md and results.json."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "RESULTS.md").write_text("\n".join(_markdown(results, machine)))
    data = {
        "machine": asdict(machine),
        "gates": [asdict(gate) for gate in gates(results)],
        "test_runs": [asdict(timing) for timing in results.timings],
        "real_packets": {name: [asdict(each) for each in found] for name, found in results.standings.items()},
        "flips_ms": list(results.flips.milliseconds) if results.flips else [],
    }
    (directory / "results.json").write_text(json.dumps(data, indent=1) + "\n")


def _markdown(results: Results, machine: Machine) -> Iterator[str]:
    yield "# Measured\n"
    yield f"Written by `make bench`. {machine} Compare figures within a table only; ratios carry over, times do not.\n"
    for section in sections(results):
        yield f"## {section.title}\n"
        if section.about:
            yield f"{section.about}\n"
        yield f"| {' | '.join(section.columns)} |"
        yield "|" + "---|" * len(section.columns)
        yield from (f"| {' | '.join(row)} |" for row in section.rows)
        yield ""
