"""Feeds: threads that read the agent's API and tell what came. An agent that goes away is asked again until it is back.

What is drawn comes from digests at a fixed rate, so that a hundred thousand verdicts a second cost no more than ten; of
the rest only what is on the screen is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread
from time import monotonic
from typing import Final, Literal

from ringfence.api.client import Client
from ringfence.errors import BadInput, NotFound, RingfenceError
from ringfence.tui.news import (
    ByHandCame,
    Digested,
    EndpointsCame,
    Gone,
    News,
    PolicyCame,
    Refused,
    RulesCame,
    StatusCame,
)
from ringfence.tui.terms import NOTHING_ASKED, Asked

RETRY_SECONDS: Final = 1.0
POLL_SECONDS: Final = 1.0
STOP_SECONDS: Final = 2.0
Tell = Callable[[News], None]
Topic = Literal["endpoints", "rules"]


class DigestFeed:
    """Follows the digests of what was asked for."""

    def __init__(self, socket: str, seconds: float, tell: Tell) -> None:
        self._socket = socket
        self._seconds = seconds
        self._tell = tell
        self._asked = self._granted = NOTHING_ASKED
        self._client: Client | None = None
        self._stop = Event()
        self._again = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def start(self, asked: Asked = NOTHING_ASKED) -> None:
        """Begin to follow."""
        self._asked = asked
        self._thread.start()

    def ask(self, asked: Asked) -> None:
        """Follow something else from now on."""
        self._asked = asked
        self._again.set()
        self._interrupt()

    def stop(self) -> None:
        """End; the thread is gone when this returns, or will be with its last word unheard."""
        self._stop.set()
        self._again.set()
        self._interrupt()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def _interrupt(self) -> None:
        client = self._client
        if client is not None:
            client.interrupt()

    def _run(self) -> None:
        while not self._stop.is_set():
            asked = self._asked
            self._again.clear()
            try:
                self._follow(asked)
                reason = "the agent has ended"
            except BadInput as error:
                self._refuse(asked, str(error))
                continue
            except RingfenceError as error:
                reason = str(error)
            if self._asked is asked and not self._stop.is_set():
                self._tell(Gone(reason))
                self._again.wait(RETRY_SECONDS)

    def _follow(self, asked: Asked) -> None:
        with Client(self._socket) as client:
            self._client = client
            with client.digests(allow=asked.allow, deny=asked.deny, seconds=self._seconds) as digests:
                self._granted = asked
                for digest in digests:
                    # Another question may have come before there was a stream to interrupt.
                    if self._stop.is_set() or self._asked is not asked:
                        return
                    self._tell(Digested(asked, digest))

    def _refuse(self, asked: Asked, reason: str) -> None:
        if self._asked is asked:
            self._asked = self._granted if self._granted is not asked else NOTHING_ASKED
            self._tell(Refused(asked, reason, self._asked))


class PollFeed:
    """Asks for the agent's state, and for what else is on the screen, again and again."""

    def __init__(self, socket: str, tell: Tell) -> None:
        self._socket = socket
        self._tell = tell
        self._topic: Topic | None = None
        self._policies: list[str] = []
        self._stop = Event()
        self._now = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def look_at(self, topic: Topic | None) -> None:
        """Ask for something else besides from now on, at once."""
        self._topic = topic
        self._now.set()

    def fetch_policy(self, uid: str) -> None:
        """Ask for the text of a policy, once."""
        self._policies.append(uid)
        self._now.set()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._now.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with Client(self._socket) as client:
                    while not self._stop.is_set():
                        self._now.clear()
                        self._poll(client)
                        self._now.wait(POLL_SECONDS)
            except RingfenceError as error:
                # The digests' thread tells the same; who is told twice is told once.
                if not self._stop.is_set():
                    self._tell(Gone(str(error)))
                    self._stop.wait(RETRY_SECONDS)

    def _poll(self, client: Client) -> None:
        self._tell(StatusCame(monotonic(), client.status()))
        self._tell(ByHandCame(client.entries(by_hand=True)))
        if self._topic == "endpoints":
            self._tell(EndpointsCame(monotonic(), client.endpoints(), client.subjects()))
        elif self._topic == "rules":
            self._tell(RulesCame(monotonic(), client.rules()))
        while self._policies:
            uid = self._policies.pop()
            try:
                self._tell(PolicyCame(uid, client.policy(uid)))
            except NotFound:
                self._tell(PolicyCame(uid, None))
