"""Driving a dashboard: keys in, the screen out as a person reads it, and waiting for what it is to show."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

from rich.segment import Segment
from textual.color import Color
from textual.events import Key
from textual.keys import _character_to_key as character_to_key
from textual.pilot import Pilot

from ringfence.tui.app import Options, Top
from tests.unit.api.serving import serving
from tests.unit.tui.shop import Shop

PATIENCE_SECONDS = 20.0
SIZE = (80, 24)


class Driver:
    """A dashboard under test, and the shop it looks at."""

    def __init__(self, top: Top, pilot: Pilot[None], shop: Shop) -> None:
        self.top = top
        self.shop = shop
        self._pilot = pilot

    @property
    def screen(self) -> str:
        """The screen line by line, without colours and without the blanks at the ends of lines."""
        strips = self.top.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in strips) + "\n"

    @property
    def colours(self) -> set[str | None]:
        """The colours of letters on the screen; None is that of the terminal."""
        segments = (segment for strip in self.top.screen._compositor.render_strips() for segment in strip)
        styles = [filtered.style for segment in segments for filtered in self._filtered(segment)]
        return {style.color.name if style and style.color and not style.color.is_default else None for style in styles}

    def _filtered(self, segment: Segment) -> list[Segment]:
        """As it goes to the terminal."""
        found = [segment]
        for line_filter in self.top._filters:
            if line_filter.enabled:
                found = line_filter.apply(found, Color.parse("black"))
        return found

    async def press(self, *keys: str) -> None:
        """Press keys, each when what the one before it did is done."""
        await self._pilot.press(*keys)
        await self._pilot.pause()

    async def write(self, text: str) -> None:
        """Type a text, all in one go, as it comes over a slow line."""
        for letter in text:
            self.top.post_message(Key(character_to_key(letter), letter))
        await self._pilot.pause()

    async def until(self, so: Callable[[], bool]) -> None:
        """Wait until something is so."""
        end = monotonic() + PATIENCE_SECONDS
        while not so():
            assert monotonic() < end, f"not so after {PATIENCE_SECONDS:.0f} s:\n{self.screen}"
            await self._pilot.pause(0.02)
        await self._pilot.pause()

    async def shows(self, *texts: str) -> str:
        """Wait until the screen shows some texts; returns the screen."""
        await self.until(lambda: all(text in self.screen for text in texts))
        return self.screen

    async def shows_no(self, text: str) -> str:
        """Wait until the screen does not show a text any more; returns the screen."""
        await self.until(lambda: text not in self.screen)
        return self.screen

    async def read(self) -> None:
        """Wait until all that the shop has told is drawn."""
        last = self.shop.script[-1]
        await self.until(lambda: self.top.picture.digest == last and self.top.picture.status is not None)


def drive(
    directory: Path,
    act: Callable[[Driver], Awaitable[None]],
    shop: Shop | None = None,
    size: tuple[int, int] = SIZE,
    **options: object,
) -> Shop:
    """Open a dashboard on a shop, wait until it shows what there is, and act; returns the shop."""
    shop = shop or Shop()
    path = directory / "agent.sock"

    async def acted() -> None:
        async with opened(path, shop, size, options) as driver:
            await driver.read()
            await act(driver)

    with serving(shop, path):
        try:
            asyncio.run(acted())
        finally:
            shop.end()
    return shop


@asynccontextmanager
async def opened(path: Path, shop: Shop, size: tuple[int, int], options: dict[str, object]) -> AsyncIterator[Driver]:
    top = Top(Options(str(path), **options))  # type: ignore[arg-type] # a test's options are those there are
    async with top.run_test(size=size) as pilot:
        yield Driver(top, pilot, shop)
