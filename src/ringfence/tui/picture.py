"""The picture: all that the dashboard knows, made of news. It waits for nothing and draws nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import singledispatchmethod
from typing import TYPE_CHECKING, Final

from ringfence.tui.byhand import HandKey, Ledger, Standing, standing
from ringfence.tui.flowlist import FlowKey, FlowList, opened
from ringfence.tui.news import (
    ByHandCame,
    Digested,
    EndpointsCame,
    Failed,
    Gone,
    Judged,
    Made,
    News,
    PolicyCame,
    Refused,
    RulesCame,
    StatusCame,
)
from ringfence.tui.series import Rates, Series
from ringfence.tui.terms import NOTHING_ASKED, Asked
from ringfence.tui.wording import rule_text

if TYPE_CHECKING:
    from ringfence.api.flow_shapes import DigestShape, FlowShape
    from ringfence.api.shapes import EndpointShape, EntryShape, PolicyShape, RuleShape, Status, SubjectShape

Wanted = Callable[["FlowShape"], bool]
_NO_POLICY: Final = ""


class Picture:
    """What is known now. `message` is the newest thing to tell, in lines; `gone` why the agent does not answer,
    where it does not.
    """

    def __init__(self, asked: Asked = NOTHING_ASKED) -> None:
        self.asked = asked
        self.gone: str | None = None
        self.message: tuple[str, ...] = ()
        self.revision = 0
        self.digest: DigestShape | None = None
        self.allowed, self.denied, self.lost = Series(), Series(), Series()
        self.flows = FlowList()
        self.status: Status | None = None
        self.endpoints: list[EndpointShape] = []
        self.subjects: dict[int, SubjectShape] = {}
        self.rules: list[RuleShape] = []
        self.hits = Rates()
        self.packets = Rates()
        self.by_hand: list[EntryShape] = []
        self.before: Standing | None = None
        self.ledger = Ledger()
        self.policies: dict[str, PolicyShape | None] = {}
        self._losses: int | None = None

    def ask(self, asked: Asked) -> None:
        """Something else is asked for: what was gathered of the old is gone."""
        self.asked = asked
        self.digest = None
        self.flows.clear()
        for series in (self.allowed, self.denied, self.lost):
            series.clear()

    @property
    def set_here(self) -> list[EntryShape]:
        """Entries that are set by hand, and were set here."""
        return [entry for entry in self.by_hand if HandKey.of(entry) in self.ledger.mine]

    @property
    def set_before(self) -> list[EntryShape]:
        """Entries that are set by hand, but not here."""
        return [entry for entry in self.by_hand if HandKey.of(entry) not in self.ledger.mine]

    def chosen_flow(self, key: FlowKey | None) -> FlowShape | None:
        """The newest verdict of a flow."""
        row = self.flows.get(key) if key is not None else None
        return row.flow if row else None

    def sample(self) -> Sequence[FlowShape]:
        """The newest verdicts, oldest first: a part of all there were where they were many."""
        return self.digest["flows"] if self.digest else []

    def policy_of(self, flow: FlowShape) -> PolicyShape | None:
        """The policy of a flow's deciding rule, if its text came."""
        return self.policies.get(flow["rule"]["policy"] if flow["rule"] else _NO_POLICY)

    @singledispatchmethod
    def take(self, news: News) -> None:
        """Take news in."""
        raise TypeError(f"no news: {news!r}")

    @take.register
    def _(self, news: Digested) -> None:
        self.gone = None
        self.revision = news.digest["revision"]
        if news.asked is not self.asked:
            return
        digest = self.digest = news.digest
        seconds = max(digest["seconds"], 1e-6)
        self.allowed.add(digest["allowed"] / seconds)
        self.denied.add(digest["denied"] / seconds)
        self.lost.add(self._lost(digest) / seconds)
        self.flows.take(digest)

    def _lost(self, digest: DigestShape) -> int:
        """Events lost since the digest before, at any stage: what this stream lost is among the subscribers'."""
        now = sum(digest["losses"].values())  # type: ignore[arg-type] # all of them are numbers
        before, self._losses = self._losses, now
        return max(0, now - before) if before is not None else 0

    @take.register
    def _(self, news: Refused) -> None:
        self.message = (f"not asked for {news.asked.line}:", news.reason)
        if news.asked is self.asked:
            self.ask(news.instead)

    @take.register
    def _(self, news: Gone) -> None:
        self.gone = news.reason

    @take.register
    def _(self, news: StatusCame) -> None:
        self.gone = None
        self.status = news.status
        self.revision = news.status["revision"]
        counters = news.status["counters"]
        self.packets.take(news.at, [("allowed", counters["allowed"]), ("denied", counters["denied"])])

    @take.register
    def _(self, news: EndpointsCame) -> None:
        self.endpoints = news.endpoints
        self.subjects = {subject["identity"]: subject for subject in news.subjects}

    @take.register
    def _(self, news: RulesCame) -> None:
        self.rules = news.rules
        self.hits.take(news.at, [(rule_key(rule), rule["packets"]) for rule in news.rules])

    @take.register
    def _(self, news: ByHandCame) -> None:
        self.by_hand = news.entries
        if self.before is None:
            self.before = standing(news.entries)

    @take.register
    def _(self, news: PolicyCame) -> None:
        self.policies[news.uid] = news.policy

    @take.register
    def _(self, news: Made) -> None:
        self.revision = news.revision
        if news.entries:
            self.ledger.note(news.entries, news.before)
        else:
            self.ledger.forget()
        self.message = (f"{news.what}, revision {news.revision}", "no packet yet")

    @take.register
    def _(self, news: Judged) -> None:
        flow = opened(news.flow)
        verdict = f"{flow['verdict'].upper()}, {rule_text(flow['rule'])}"
        self.message = (
            f"{news.what}, revision {news.revision}",
            f"first packet judged after {news.milliseconds:.1f} ms: {verdict}",
        )

    @take.register
    def _(self, news: Failed) -> None:
        self.message = (f"not done: {news.what}", news.reason)


def rule_key(rule: RuleShape) -> tuple[object, ...]:
    """What tells a rule from all others in force."""
    return rule["policy"], rule["index"], rule["direction"], rule["tier"], rule["verdict"], rule["text"]
