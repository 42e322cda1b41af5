"""Write docs/metrics.md: every metric with its kind, labels and meaning.

Run as `python -m tools.generate_metrics_docs`; with `--check` it fails when the page is not current.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from ringfence.agent.metrics.families import FAMILIES, Family
from tools.generated import parser, settle

ROOT: Final = Path(__file__).resolve().parents[1]
TARGET: Final = ROOT / "docs" / "metrics.md"
_HEAD: Final = """\
<!-- Written by tools/generate_metrics_docs.py from src/ringfence/agent/metrics/families.py; do not edit. -->

# Metrics

The agent answers `GET /metrics` on its socket, in Prometheus' text format or as OpenMetrics, whichever is asked for:

    curl --unix-socket /run/ringfence/default/agent.sock http://ringfence/metrics

Prometheus itself cannot scrape a unix socket. For it, let the agent listen on a port too, which serves nothing but
`/metrics`:

    ringfence agent --metrics-listen 127.0.0.1:9479

An address that other hosts reach needs `--metrics-anywhere`: there is no login, and labels tell names of policies and
files. [deploy/prometheus/](../deploy/prometheus/) has a scrape configuration and alert rules, each with what to do;
[deploy/grafana/](../deploy/grafana/) a dashboard to import.

Scrapes share collections: one at a time, and one a second at most. What is kept by programs in maps too large to read
each time (connections, fragments, hooks of interfaces) is counted anew when a hundred times as long has passed as
counting took, so that it costs a hundredth of a processor; `ringfence_map_entries_age_seconds` tells how old a number
is. Nothing of it is in the way of a packet.

Labels have few values: no addresses, ports, names of workloads or labels of theirs. At most 500 rules are told, those
with the most packets since the agent started; `ringfence_rules_not_exposed` is how many are not. The counters of a rule
go on when it is deleted and comes back, and are told for another 15 minutes after it is gone. When an entry changes
from one rule to another, packets of the fraction of a millisecond around the commit may count for the one before.

What is counted "since the programs were loaded" survives a restart of the agent. What is counted "since the agent
started" begins at zero with it, which `rate` and `increase` allow for.

"""
_TAIL: Final = """
Beside these there are `process_*` and `python_info` of the agent's process, as Prometheus' client for Python has them.
"""


def page() -> str:
    """The whole page."""
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|", *map(_row, FAMILIES)]
    return _HEAD + "\n".join(rows) + "\n" + _TAIL


def _row(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels)
    return f"| `{family.name}` | {family.kind} | {labels} | {family.help} |"


def main() -> int:
    """Write the page, or with --check compare. Exit code 1 when it is not current."""
    options = parser(__doc__).parse_args()
    return settle([(TARGET, page())], check=options.check)


if __name__ == "__main__":
    sys.exit(main())
