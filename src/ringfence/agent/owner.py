"""Sockets that only the agent's owner may open, from their first moment on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def only_for_owner() -> Iterator[None]:
    """Whatever file is made meanwhile has mode 0600 at most."""
    mask = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(mask)
