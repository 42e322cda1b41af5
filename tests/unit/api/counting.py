"""A dry kernel that counts what a test says was judged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ringfence.abi import COUNTER
from ringfence.agent.kernel import Hits
from ringfence.engine.commands import ClearEndpoint, Commit, WriteEndpoint
from ringfence.policy.mapstate import PolicyKey
from tests.unit.api.running import Kernel


class CountingKernel(Kernel):
    """A dry kernel with counters that a test sets, by row of an entry's record."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[PolicyKey, int] = {}
        self.counted = np.zeros(65536, COUNTER)
        self.asked = 0
        self.verdicts: dict[tuple[int, int], tuple[int, int]] = {}

    def write(self, command: WriteEndpoint | Commit | ClearEndpoint) -> None:
        super().write(command)
        if isinstance(command, Commit):
            for key, number in command.policy.items():
                if not number:
                    self.rows.pop(key)
                elif key not in self.rows:
                    self.rows[key] = max(self.rows.values(), default=0) + 1
                    self.counted[self.rows[key]] = 0

    def records(self, keys: Iterable[PolicyKey]) -> list[int]:
        return [self.rows.get(key, 0) for key in keys]

    def hits_of(self, records: Sequence[int]) -> Hits:
        return self.counted[list(records)]

    def hits_below(self, end: int) -> Hits:
        return self.counted[:end].copy()

    def metrics(self) -> dict[tuple[int, int], tuple[int, int]]:
        self.asked += 1
        return self.verdicts

    def pass_packets(self, port: int, packets: int) -> None:
        """Let the entries of a port judge some packets of 100 bytes."""
        for row in (row for key, row in self.rows.items() if key.port == port):
            self.counted[row]["packets"] += packets
            self.counted[row]["bytes"] += 100 * packets
