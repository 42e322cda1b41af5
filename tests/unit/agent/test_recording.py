from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ringfence.agent.hub import Hub
from ringfence.agent.recording import Recording, warnings
from ringfence.agent.settings import AgentSettings
from ringfence.engine.engine import Engine
from tests.unit.flow.batch import event


def start(directory: Path, hub: Hub | None = None, **settings: Any) -> Recording:
    return Recording.start(
        AgentSettings(flows_dir=directory / "flows", **settings), hub or Hub(Engine().known), lambda _: None
    )


def test_published_events_are_recorded_and_told(tmp_path: Path) -> None:
    """What the hub hands out is in the archive, and the status says how much there is, of when, and where."""
    hub = Hub(Engine().known)
    recording = start(tmp_path, hub)
    hub.publish(event(time=1_500_000_000_123_456_789))
    archive = recording.archive
    assert archive is not None
    assert 1 == sum(len(events) for events, _ in archive.batches(None, None, newest_first=True))
    state = recording.status()
    assert {
        "state": "recording",
        "reason": "",
        "directory": str(tmp_path / "flows"),
        "segments": 1,
        "bytes": state["bytes"],
        "flows": 1,
        "oldest": "2017-07-14T02:40:00.123456Z",
    } == state
    assert 120 < state["bytes"]
    assert ([], 0) == (warnings(state), recording.lost)
    recording.close()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"record_flows": False}, "not asked for"), ({"dry_run": True}, "a dry run records nothing")],
)
def test_recording_is_off_with_a_reason(tmp_path: Path, settings: dict[str, Any], reason: str) -> None:
    """Who does not want a history, or makes a dry run, leaves nothing on the disk."""
    recording = start(tmp_path, **settings)
    recording.close()
    assert (None, "off", reason) == (recording.archive, recording.status()["state"], recording.status()["reason"])
    assert [] == list(tmp_path.iterdir())


def test_missing_extra_turns_recording_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyarrow the agent works as ever, and says how to get a history."""
    monkeypatch.setattr("ringfence.history.extra.find_spec", lambda _: None)
    state = start(tmp_path).status()
    assert ("off", "pyarrow is not installed: pip install 'ringfence[flows]'") == (state["state"], state["reason"])
    assert [] == warnings(state)


def test_stopped_recording_is_a_warning(tmp_path: Path) -> None:
    """Recording that has stopped is among the warnings of the status, with its reason, and its losses are counted."""
    (tmp_path / "flows").write_text("in the way")
    hub = Hub(Engine().known)
    recording = start(tmp_path, hub)
    hub.publish(event())
    assert recording.recorder is not None
    recording.recorder.flush(60.0)
    state = recording.status()
    assert (["recording stopped: File exists"], 1) == (warnings(state), recording.lost)
    recording.close()
