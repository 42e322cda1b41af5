"""What the agent remembers in its journal beside the engine's items: the files that policies came from, as they were
written, and the labels of namespaces; and how all of it is read back after a restart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_network
from typing import Any, Protocol

from ringfence.abi import Verdict
from ringfence.agent.journal import Item
from ringfence.engine import memory
from ringfence.engine.events import Restored
from ringfence.identity.reserved import FIRST_PREFIX
from ringfence.labels import Labels
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.rule import Policy
from ringfence.service import stored

SOURCE = "source"
POLICY = "policy"
NAMESPACE = "namespace"


class Kept(Protocol):
    """What values are read from: the journal, or a state of long ago."""

    def items(self, kind: str, /) -> Iterator[tuple[str, Any]]:
        """The values of one kind with their keys."""


def source_id(source: Source) -> str:
    """The name of a file's text in the journal: of the same text under the same name there is one."""
    return hashlib.sha256(f"{source.name}\0{source.text}".encode()).hexdigest()[:16]


class PolicyFiles:
    """Which file each policy came from. A file is remembered as long as one of its policies is in force."""

    def __init__(self) -> None:
        self._source_of: dict[str, str] = {}
        self._policies_of: dict[str, set[str]] = {}

    def read(self, journal: Kept) -> tuple[Policy, ...]:
        """The remembered policies, parsed from their files again."""
        source_of = {uid: str(source) for uid, source in journal.items(POLICY)}
        for uid, source in source_of.items():
            self._set(uid, source)
        found: dict[str, Policy] = {}
        for source, (name, text) in journal.items(SOURCE):
            parsed = parse_documents([Source(name, text)], strict=False)
            found |= {policy.uid: policy for policy in parsed.policies if source_of.get(policy.uid) == source}
        return tuple(found[uid] for uid in source_of if uid in found)

    def applied(self, sources: Iterable[Source], policies: Iterable[Policy]) -> dict[Item, object]:
        """What to remember when these files' policies are applied. A later file's policy replaces an earlier one's."""
        return self.moved(sources, policies, ())

    def deleted(self, uids: Iterable[str]) -> dict[Item, object]:
        """What to remember when these policies are taken out of force."""
        return self.moved((), (), uids)

    def moved(self, sources: Iterable[Source], policies: Iterable[Policy], gone: Iterable[str]) -> dict[Item, object]:
        """What to remember when these files' policies are applied, and others deleted with them."""
        texts = {source.name: source for source in sources}
        came_from = {policy.uid: texts[policy.origin.file] for policy in policies}
        moves: dict[str, str | None] = {uid: source_id(source) for uid, source in came_from.items()}
        return self._changes(moves | dict.fromkeys(gone), came_from.values())

    def brought_back(self, state: Kept) -> dict[Item, object]:
        """What to remember when the policies of a state are in force again, and no others."""
        wanted = {uid: str(source) for uid, source in state.items(POLICY)}
        changes: dict[Item, object] = {
            Item(POLICY, uid): source for uid, source in wanted.items() if self._source_of.get(uid) != source
        }
        changes |= {Item(POLICY, uid): None for uid in self._source_of if uid not in wanted}
        used = set(wanted.values())
        changes |= {Item(SOURCE, source): None for source in self._policies_of if source not in used}
        texts = {source: text for source, text in state.items(SOURCE) if source in used}
        return changes | {
            Item(SOURCE, source): text for source, text in texts.items() if source not in self._policies_of
        }

    def confirm(self, remembered: Mapping[Item, object]) -> None:
        """It was written."""
        for item, source in remembered.items():
            if item.kind == POLICY:
                self._set(item.key, None if source is None else str(source))

    def _changes(self, moves: Mapping[str, str | None], sources: Iterable[Source]) -> dict[Item, object]:
        changes: dict[Item, object] = {Item(POLICY, uid): source for uid, source in moves.items()}
        left = [self._source_of[uid] for uid in moves if uid in self._source_of]
        for source in left:
            if self._policies_of[source] <= moves.keys():
                changes[Item(SOURCE, source)] = None
        changes |= {Item(SOURCE, source_id(source)): [source.name, source.text] for source in sources}
        return changes

    def _set(self, uid: str, source: str | None) -> None:
        before = self._source_of.pop(uid, None)
        if before is not None:
            self._policies_of[before].discard(uid)
            if not self._policies_of[before]:
                del self._policies_of[before]
        if source is not None:
            self._source_of[uid] = source
            self._policies_of.setdefault(source, set()).add(uid)


def read_engine(journal: Kept) -> Restored:
    """The engine's own items; policies, addresses and what the kernel holds are for the caller to add."""
    identities = {int(number): Labels.parse(texts) for number, texts in journal.items(memory.IDENTITY)}
    return Restored(
        identities={number: _own(number, labels) for number, labels in identities.items()},
        rules={int(number): memory.read_rule(fields) for number, fields in journal.items(memory.RULE)},
        endpoints={int(row): memory.read_workload(fields) for row, fields in journal.items(memory.ENDPOINT)},
        services=tuple(stored.read(fields) for _, fields in journal.items(memory.SERVICE)),
        manual={memory.read_key(key): Verdict(verdict) for key, verdict in journal.items(memory.MANUAL)},
    )


def _own(number: int, labels: Labels) -> Labels:
    """Of a prefix's labels its own alone says which it is: those of its covers may be out of date."""
    if number < FIRST_PREFIX:
        return labels
    return Labels([max(labels.from_source("cidr"), key=lambda label: ip_network(label.key).prefixlen)])
