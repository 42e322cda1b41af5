"""The extra `ringfence[flows]`: what a history takes beyond the base installation."""

from __future__ import annotations

from importlib.util import find_spec


def not_installed(*modules: str) -> str:
    """Which of these modules is missing and how to get it; empty if none is."""
    missing = next((name for name in modules if find_spec(name) is None), None)
    return f"{missing} is not installed: pip install 'ringfence[flows]'" if missing else ""
