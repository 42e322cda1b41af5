"""Recording: the history on disk of one agent, or the reason why there is none. Enforcement does not depend on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ringfence.agent.hub import Hub
from ringfence.agent.settings import AgentSettings
from ringfence.api import flow_shapes
from ringfence.flow.format import moment_text
from ringfence.history.extra import not_installed

if TYPE_CHECKING:
    from ringfence.history.archive import Archive
    from ringfence.history.recorder import Recorder

_SETTLE_SECONDS = 2.0
_CLOSE_SECONDS = 5.0


class Recording:
    """The recorder if there is one, and what the status says of it. `reason`: why there is none."""

    def __init__(self, recorder: Recorder | None, reason: str = "") -> None:
        self.recorder = recorder
        self._reason = reason

    @classmethod
    def start(cls, settings: AgentSettings, hub: Hub, tell: Callable[[str], None]) -> Recording:
        """Record what the hub gets from now on, as the settings say."""
        if not settings.record_flows or settings.dry_run:
            return cls(None, "a dry run records nothing" if settings.dry_run else "not asked for")
        if missing := not_installed("pyarrow"):
            return cls(None, missing)
        from ringfence.history.recorder import Recorder  # noqa: PLC0415 - comes with an extra, and is slow to import

        recorder = Recorder(settings.flows_path, hub.names, settings.flows_limits, tell)
        hub.feed(recorder.offer)
        return cls(recorder)

    @property
    def lost(self) -> int:
        """Events that could not be recorded."""
        return self.recorder.lost if self.recorder else 0

    @property
    def archive(self) -> Archive | None:
        """Where past flows are read from; what was recorded before a reading is found by it."""
        if self.recorder is None:
            return None
        from ringfence.history.archive import Archive  # noqa: PLC0415 - comes with an extra, and is slow to import

        recorder = self.recorder
        return Archive(recorder.directory, lambda: recorder.flush(_SETTLE_SECONDS))

    def status(self) -> flow_shapes.Recording:
        """Where recording stands. Looks at the directory: to be asked in a thread."""
        if self.recorder is None:
            return _shape("off", self._reason)
        from ringfence.history.overview import overview  # noqa: PLC0415 - comes with an extra, and is slow to import

        recorder = self.recorder
        found = _shape(recorder.state, recorder.reason, str(recorder.directory))
        try:
            seen = overview(recorder.directory)
        except OSError:  # there is none yet, or it cannot be made: the reason says why
            return found
        oldest = None if seen.oldest is None else moment_text(seen.oldest)
        return {**found, "segments": seen.segments, "bytes": seen.bytes, "flows": seen.rows, "oldest": oldest}

    def close(self) -> None:
        """Write and seal what there is, in bounded time."""
        if self.recorder:
            self.recorder.close(_CLOSE_SECONDS)


def warnings(state: flow_shapes.Recording) -> list[str]:
    """What somebody should know who looks at the status."""
    if state["state"] == "stopped":
        return [f"recording stopped: {state['reason']}"]
    return [f"recording: {state['reason']}"] if state["state"] == "recording" and state["reason"] else []


def _shape(state: str, reason: str, directory: str = "") -> flow_shapes.Recording:
    return {
        "state": state,  # type: ignore[typeddict-item] # one of the three, here and in the recorder
        "reason": reason,
        "directory": directory,
        "segments": 0,
        "bytes": 0,
        "flows": 0,
        "oldest": None,
    }
