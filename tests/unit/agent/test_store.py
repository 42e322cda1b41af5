from __future__ import annotations

from pathlib import Path

import pytest

from ringfence.abi import Verdict
from ringfence.agent.journal import Item, Journal
from ringfence.agent.store import POLICY, SOURCE, PolicyFiles, read_engine
from ringfence.engine.commands import Remember
from ringfence.engine.engine import Engine
from ringfence.engine.events import EndpointAdded, EntrySet, PoliciesApplied, Restored
from ringfence.policy.mapstate import PolicyKey
from ringfence.policy.parse import Source, parse_documents
from tests.unit.engine.script import OUTSIDE, WEB, policies, workload

BOTH = Source("both.yaml", f"{WEB}---{OUTSIDE}")
WEB_AGAIN = Source("web.yaml", f"# once more\n{WEB}")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.jsonl")


def apply(files: PolicyFiles, journal: Journal, *sources: Source) -> None:
    """What the service does when files are applied."""
    changes = files.applied(sources, parse_documents(sources).policies)
    journal.write(changes)
    files.confirm(changes)


def restored(journal: Journal) -> dict[str, str]:
    """Origin by uid of what a restart would bring back."""
    return {policy.uid: str(policy.origin) for policy in PolicyFiles().read(journal)}


def test_policies_come_back_with_their_file_and_line(journal: Journal) -> None:
    """Of two files that wrote a policy, it comes back from the later; its neighbour from the earlier."""
    files = PolicyFiles()
    apply(files, journal, BOTH)
    apply(files, journal, WEB_AGAIN)
    origins = restored(journal)
    assert origins["CiliumNetworkPolicy/default/web"] == "web.yaml:3"
    assert origins["CiliumNetworkPolicy/default/outside"].startswith("both.yaml:")


def test_file_goes_with_its_last_policy(journal: Journal) -> None:
    """A file's text is remembered as long as one of its policies is in force."""
    files = PolicyFiles()
    apply(files, journal, BOTH)
    apply(files, journal, WEB_AGAIN)
    assert 2 == len(list(journal.items(SOURCE)))
    changes = files.deleted(["CiliumNetworkPolicy/default/outside"])
    journal.write(changes)
    files.confirm(changes)
    assert 1 == len(list(journal.items(SOURCE)))
    assert ["CiliumNetworkPolicy/default/web"] == [uid for uid, _ in journal.items(POLICY)]


def test_engine_finds_all_its_numbers_again(journal: Journal) -> None:
    """Numbers of identities, prefixes, rules and rows, and entries set by hand, read back as they were written."""
    engine = Engine()
    key = PolicyKey(256, 2, 22, 6, 24, 0, 1, 1)
    web = workload("a", "web", "10.0.0.1", 5)
    for event in (Restored(), PoliciesApplied(policies(WEB, OUTSIDE)), EndpointAdded(web), EntrySet(key, Verdict.DENY)):
        for command in engine.handle(event):
            if isinstance(command, Remember):
                journal.write({Item(*item): value for item, value in command.items.items()})
        engine.done()
    again = read_engine(journal)
    numbers = {number for number in engine.state.identities() if number > 10}
    assert numbers == again.identities.keys()
    assert {1: web} == again.endpoints
    assert {key: Verdict.DENY} == again.manual
    assert {number: engine.known.rule_of(number) for number in again.rules} == again.rules
    assert set(engine.actual.entries.values()) <= again.rules.keys()
