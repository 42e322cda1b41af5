"""What is on a dashboard's screen, as text: what a person would read, without colours."""

from __future__ import annotations

from textual.app import App


def text(app: App[None]) -> str:
    """The screen line by line, without the blanks at the ends of lines."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips) + "\n"
