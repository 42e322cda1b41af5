from __future__ import annotations

import re
from pathlib import Path

from ringfence.history.table import SCHEMA

DOCS = Path(__file__).parents[3] / "docs" / "flows.md"


def test_every_column_is_documented() -> None:
    """What can be asked for stands in the documentation; of two that differ by their side alone, one is enough."""
    told = set(re.findall(r"`([a-z_]+)`", DOCS.read_text()))
    other = {"destination_": "source_", "ingress_": "egress_"}

    def is_told(name: str) -> bool:
        return name in told or any(
            name.startswith(side) and name.replace(side, same, 1) in told for side, same in other.items()
        )

    assert [] == [name for name in SCHEMA.names if not is_told(name)]
