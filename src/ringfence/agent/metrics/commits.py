"""What is counted of commits: how many, how long they took, how long until a packet was judged by one, and what their
rules decided.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from time import monotonic, time_ns

import numpy as np

from ringfence.agent.kernel import Kernel
from ringfence.agent.metrics.durations import Durations
from ringfence.agent.metrics.rule_traffic import RuleTraffic
from ringfence.engine.commands import Commit
from ringfence.engine.known import Known
from ringfence.flow.decode import Events

_AWAITED = 256  # revisions that no packet was judged by yet; with events switched off none ever tells
_NS = 1_000_000_000


class Enforcement:
    """The time from the begin of a commit to the first packet that its revision judged, as events tell it."""

    def __init__(self) -> None:
        self.durations = Durations()
        self._awaited: deque[tuple[int, int]] = deque(maxlen=_AWAITED)

    def begun(self, revision: int, time_ns: int) -> None:
        """A revision is active whose commit began at this time of the wall clock."""
        self._awaited.append((revision, time_ns))

    def see(self, events: Events) -> None:
        """A batch of events came. Costs nothing while no revision is awaited, and one look at a column else."""
        if not self._awaited or not len(events):
            return
        newest = int(events["revision"].max())
        while self._awaited and self._awaited[0][0] <= newest:
            revision, begun_ns = self._awaited.popleft()
            first_ns = int(events["time"][events["revision"] >= revision].min())
            self.durations.observe(max(0, first_ns - begun_ns) / _NS)


class CommitWatch:
    """Told of every commit, in the loop; counts since the agent started."""

    def __init__(self, kernel: Kernel, known: Known) -> None:
        self._kernel = kernel
        self.traffic = RuleTraffic(known.rule_of)
        self.enforcement = Enforcement()
        self.durations = Durations()
        self.failures = 0
        self._before: list[int] = []
        self._adopt()

    def begin(self, commit: Commit) -> None:
        """A commit is about to be made: whose entries change hands is known only now."""
        self._before = self._kernel.records(commit.policy)

    def made(self, commit: Commit, begun: float) -> None:
        """It is active. `begun` is the monotonic time of the call."""
        seconds = monotonic() - begun
        self.durations.observe(seconds)
        self.enforcement.begun(self._kernel.revision, time_ns() - int(seconds * _NS))
        with suppress(OSError):  # not counted is no reason to refuse what is in force
            self._settle(commit)

    def refused(self) -> None:
        """A change could not be carried out and was taken back."""
        self.failures += 1

    def _settle(self, commit: Commit) -> None:
        """Records that were a rule's are another's, or nobody's; new ones begin at zero. Record 0 is none."""
        before, after = np.array(self._before, np.int64), np.array(self._kernel.records(commit.policy), np.int64)
        numbers = np.fromiter(commit.policy.values(), np.int64, len(before))
        leaving, wanted = before > 0, (numbers > 0) & (after > 0)
        counted = self._kernel.hits_of(before[leaving].tolist())
        self.traffic.take(before[leaving], counted)
        self.traffic.give(after[leaving & wanted], numbers[leaving & wanted], counted[wanted[leaving]])
        self.traffic.give(after[~leaving & wanted], numbers[~leaving & wanted])

    def _adopt(self) -> None:
        """What was counted before is not known to be whose."""
        with suppress(OSError):
            numbers, _ = self._kernel.held()
            records = np.array(self._kernel.records(numbers), np.int64)
            counted = self._kernel.hits_below(int(records.max(initial=-1)) + 1)
            self.traffic.give(records, np.fromiter(numbers.values(), np.int64, len(records)), counted[records])
