"""When Hubble's API is served."""

from __future__ import annotations

import importlib.util

import pytest

from ringfence.agent.hubble import hubble_wanted
from ringfence.agent.settings import AgentSettings
from ringfence.errors import BadInput, Unavailable

LISTEN = ("127.0.0.1", 4245)


@pytest.mark.parametrize(
    ("expected", "settings"),
    [
        (True, AgentSettings()),
        (True, AgentSettings(hubble=True, hubble_listen=LISTEN)),
        (False, AgentSettings(hubble=False)),
        (False, AgentSettings(dry_run=True)),
    ],
)
def test_it_is_served_where_it_is_installed(expected: bool, settings: AgentSettings) -> None:  # noqa: FBT001 - what is expected
    """Unless it is left out, or the run is dry."""
    assert expected == hubble_wanted(settings)


def test_without_grpc_it_is_left_out_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that was told to serve it says how to get it, and does not start."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert not hubble_wanted(AgentSettings())
    for settings in (AgentSettings(hubble=True), AgentSettings(hubble_listen=LISTEN)):
        with pytest.raises(Unavailable, match=r"ringfence\[hubble\]"):
            hubble_wanted(settings)


def test_leaving_it_out_and_listening_exclude_each_other() -> None:
    """It is said, and not left to guess which was meant."""
    with pytest.raises(BadInput, match="--hubble-listen"):
        hubble_wanted(AgentSettings(hubble=False, hubble_listen=LISTEN))
