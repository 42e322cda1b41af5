"""What numbers are known by: the names of identities, rules, endpoints and services, also of those that were given back
lately, because events and connections that name them are still read.
"""

from __future__ import annotations

from collections import OrderedDict

from ringfence.engine.endpoints import Endpoints
from ringfence.engine.numbers import RuleNumbers
from ringfence.identity.allocator import Allocator
from ringfence.identity.reserved import RESERVED_LABELS
from ringfence.labels import Labels
from ringfence.verdict import RuleText

_REMEMBERED_IDENTITIES = 65536


class Known:
    """The present and recent meaning of every number; the `Names` that flows are enriched with.

    Any thread may ask while the agent's changes it: each question is single reads of dicts, whose values are never
    changed themselves, and a text is kept together with the labels that it was made of, so that one which another
    thread made of labels that have just been replaced is never believed.
    """

    def __init__(self, numbers: RuleNumbers, endpoints: Endpoints) -> None:
        self._numbers = numbers
        self._endpoints = endpoints
        self._labels: dict[int, Labels] = dict(RESERVED_LABELS)
        self._texts: dict[int, tuple[Labels, tuple[str, ...]]] = {}
        self._gone: OrderedDict[int, None] = OrderedDict()
        self._just_gone: dict[int, Labels] = {}
        self._services: dict[int, str] = {}

    def identity(self, number: int, labels: Labels | None) -> None:
        """An identity has come, has other labels, or has gone."""
        if labels is None:
            self._gone[number] = None
            if number in self._labels:
                self._just_gone[number] = self._labels[number]
            return
        self._gone.pop(number, None)
        self._just_gone.pop(number, None)
        self._labels[number] = labels
        self._texts.pop(number, None)

    def reinstate(self, allocator: Allocator) -> None:
        """Let labels that have just gone find their number again."""
        for number, labels in self._just_gone.items():
            allocator.restore(number, labels)

    def settle(self) -> None:
        """What has just gone will not be taken back; what went longest ago is forgotten."""
        self._just_gone.clear()
        while len(self._gone) > _REMEMBERED_IDENTITIES:
            number, _ = self._gone.popitem(last=False)
            del self._labels[number]
            self._texts.pop(number, None)

    def labels_of(self, identity: int) -> tuple[str, ...]:
        """The labels of an identity as texts; empty if it was never known."""
        labels = self._labels.get(identity)
        if labels is None:
            return ()
        made_of, texts = self._texts.get(identity, (None, ()))
        if made_of is not labels:
            texts = tuple(labels.texts())
            self._texts[identity] = labels, texts
        return texts

    def rule_of(self, number: int) -> RuleText | None:
        """What a rule number stands for, or stood for last."""
        return self._numbers.text(number)

    def service(self, row: int, name: str) -> None:
        """A service has a frontend in a row of the services array now."""
        self._services[row] = name

    def service_of(self, row: int) -> str | None:
        """The namespace/name of the service that has a row, or had it last."""
        return self._services.get(row)

    def endpoint_of(self, row: int) -> str | None:
        """The name of the endpoint that has a row, or had it last."""
        return self._endpoints.name_of(row)
