from __future__ import annotations

import pytest

from ringfence.api import flow_shapes, shapes
from tests.unit.cli.conftest import Answers, Run


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({}, "Recording:   off: not asked for"),
        (
            {"state": "stopped", "reason": "No space left on device"},
            "Recording:   stopped: No space left on device",
        ),
        (
            {
                "state": "recording",
                "directory": "/f",
                "segments": 2,
                "bytes": 3 << 20,
                "flows": 7,
                "oldest": "2026-01-02",
            },
            "Recording:   7 flows since 2026-01-02, 3.0 MiB in 2 segments in /f",
        ),
    ],
)
def test_status_tells_where_recording_stands(
    run: Run, answers: Answers, monkeypatch: pytest.MonkeyPatch, changed: flow_shapes.Recording, line: str
) -> None:
    """One line: how much there is and where, or why nothing is recorded."""
    plain = answers.status

    async def status() -> shapes.Status:
        found = await plain()
        return {**found, "recording": {**found["recording"], **changed}}

    monkeypatch.setattr(answers, "status", status)
    assert line in run("status").stdout.splitlines()
