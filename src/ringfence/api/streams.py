"""Answers that are long: encoded a piece at a time, so that nobody else waits for all of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence

from fastapi.responses import StreamingResponse

_SLICE = 64  # elements of a list encoded in one go


def in_slices(rows: Sequence[object], about: Mapping[str, object] | None = None, name: str = "") -> StreamingResponse:
    """A long list, or a document with one under a name."""

    async def pieces() -> AsyncIterator[str]:
        opening = f"{json.dumps(about)[:-1]},{json.dumps(name)}:[" if about else "["
        for start in range(0, len(rows), _SLICE):
            yield opening + json.dumps(rows[start : start + _SLICE])[1:-1]
            opening = ","
            await asyncio.sleep(0)
        yield ("]" if rows else f"{opening}]") + ("}" if about else "")

    return StreamingResponse(pieces(), media_type="application/json")


def json_lines(documents: AsyncIterator[object]) -> StreamingResponse:
    """Documents as they come, one a line."""

    async def lines() -> AsyncIterator[str]:
        async for document in documents:
            yield json.dumps(document, separators=(",", ":")) + "\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")
