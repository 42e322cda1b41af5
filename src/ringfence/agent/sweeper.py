"""The sweeper: has the kernel tell, every so often, what no packet tells any more (`datapath/untold`), in a thread
beside everything else.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from ringfence.agent.kernel import Kernel

_SECONDS: Final = 1.0
_TURNS_OF_ENDS: Final = 10  # connections are looked at every tenth time: their maps are large
_log = structlog.get_logger()


class Sweeper:
    """Sweeps in the running loop from construction until `close`."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._task = asyncio.create_task(self._run())

    def close(self) -> None:
        """Stop; a sweep under way is finished by its thread."""
        self._task.cancel()

    async def _run(self) -> None:
        turn = 0
        while True:
            await asyncio.sleep(_SECONDS)
            turn += 1
            try:
                await asyncio.to_thread(self._kernel.tell_held_back)
                if turn % _TURNS_OF_ENDS == 0:
                    await asyncio.to_thread(self._kernel.tell_ends)
            except OSError as error:
                _log.warning("sweep_failed", error=str(error))
