"""Probes: real TCP connects, UDP questions and ICMP echoes between namespaces, many at a time.

A denied probe is silent, so all of a batch wait for one deadline together. A UDP question or an echo request is asked
again within it, and the kernel repeats a SYN, so that one lost packet is not taken for a verdict. Where nobody listens
on a probed port a server is started for as long as the probes last: what got through is then about policy alone.
"""

from __future__ import annotations

import selectors
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Thread
from time import monotonic

from ringfence.lab.attempt import Attempt, Target
from ringfence.lab.echo import EchoServers, Service
from ringfence.lab.namespaces import inside

# The kernel repeats a SYN after one second: the deadline leaves room for one repetition.
DEADLINE = 1.5
ASK_AGAIN = 0.3
# Sockets open at once; a process may usually have 1,024.
BATCH = 400


@dataclass(frozen=True, slots=True)
class Route:
    """One probe to be made: from the namespace of a source to a target, for which any of some sockets answers."""

    source: str
    target: Target
    listeners: tuple[Service, ...]


def run(routes: Sequence[Route], deadline: float = DEADLINE) -> list[bool]:
    """Try all routes and tell for each whether an answer came back within `deadline` seconds."""
    with _servers(routes):
        batches = (routes[start : start + BATCH] for start in range(0, len(routes), BATCH))
        return [through for batch in batches for through in _run_batch(batch, deadline)]


@contextmanager
def _servers(routes: Iterable[Route]) -> Iterator[None]:
    """Answer on every probed port that nobody else answers on."""
    servers = EchoServers()
    thread = Thread(target=servers.serve, daemon=True)
    try:
        for service in sorted({listener for route in routes for listener in route.listeners}):
            servers.bind(service)
        thread.start()
        yield
    finally:
        servers.stop()
        if thread.ident is not None:
            thread.join()


def _run_batch(routes: Sequence[Route], deadline: float) -> list[bool]:
    through = [False] * len(routes)
    with selectors.DefaultSelector() as selector:
        for source in sorted({route.source for route in routes}):
            numbers = [number for number, route in enumerate(routes) if route.source == source]
            inside(source, partial(_start, selector, routes, numbers))
        try:
            for number in _answers(selector, deadline):
                through[number] = True
        finally:
            for key in selector.get_map().values():
                _attempt(key)[1].close()
    return through


def _start(selector: selectors.BaseSelector, routes: Sequence[Route], numbers: Iterable[int]) -> None:
    for number in numbers:
        try:
            attempt = Attempt(routes[number].target)
        except OSError:
            # No address or route of that family: nothing gets through.
            continue
        selector.register(attempt.socket, attempt.interest, (number, attempt))


def _answers(selector: selectors.BaseSelector, deadline: float) -> Iterator[int]:
    """Yield the numbers of the attempts that are answered, until none is left or the deadline is over."""
    end = monotonic() + deadline
    ask_at = monotonic() + ASK_AGAIN
    while selector.get_map() and (now := monotonic()) < end:
        if now >= ask_at:
            ask_at = now + ASK_AGAIN
            for key in selector.get_map().values():
                _attempt(key)[1].ask_again()
        for key, _ in selector.select(min(end, ask_at) - now):
            number, attempt = _attempt(key)
            if attempt.answered():
                yield number
            elif attempt.target.protocol != "TCP":
                # An error that belongs to one question; the next may be answered.
                continue
            selector.unregister(attempt.socket)
            attempt.close()


def _attempt(key: selectors.SelectorKey) -> tuple[int, Attempt]:
    number, attempt = key.data
    if not isinstance(number, int) or not isinstance(attempt, Attempt):
        raise TypeError("the selector holds something else than a numbered attempt")
    return number, attempt
