"""The machine that figures were taken on: they mean little on another."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Machine:
    """What it is, and what else it was doing."""

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    virtual: bool
    date: str
    load: float  # runnable tasks, mean of the minute before

    def __str__(self) -> str:
        kind = "virtual machine" if self.virtual else "machine"
        return (
            f"{self.date}. {self.cpu}, {self.cores} cores ({kind}), {self.memory_gib:.0f} GiB, Linux {self.kernel}. "
            f"Load before the run: {self.load:.1f} of {self.cores}."
        )


def describe() -> Machine:
    """This machine, now."""
    information = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", information, re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Machine(
        cpu=model[1] if model else platform.machine(),
        cores=os.cpu_count() or 1,
        memory_gib=memory,
        kernel=platform.release(),
        virtual="hypervisor" in information,
        date=datetime.now(UTC).strftime("%-d %B %Y, %H:%M UTC"),
        load=os.getloadavg()[0],
    )
