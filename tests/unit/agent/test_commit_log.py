from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ringfence.agent.commits.log import CommitLog
from ringfence.agent.commits.record import Note, Record, State, last_note, noted, recovered
from ringfence.agent.journal import Item, Journal
from ringfence.errors import NotFound, RingfenceError

NOTE = Note("alice", "apply", {"CiliumNetworkPolicy/default/web": "added"}, "the shop opens")


def record(revision: int, size: int = 1) -> Record:
    """A commit at second <revision> that writes one policy's file."""
    items = {Item("policy", "web"): f"s{revision}", Item("source", f"s{revision}"): ["web.yaml", "x" * size]}
    gone = {Item("source", f"s{revision - 1}"): None} if revision > 1 else {}
    return Record(revision, float(revision), (NOTE,), {**items, **gone})


def policy_of(state: State) -> str | None:
    """The file of the one policy in a state."""
    return dict(state.items("policy")).get("web")


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Let the kernel refuse what would make a file larger, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_every_commit_is_found_again_with_the_state_it_led_to(tmp_path: Path) -> None:
    """A log that is opened again has every commit with its notes, and each state from before the first to the last."""
    log = CommitLog(tmp_path)
    for revision in (3, 4, 5):
        log.note(record(revision))
    log.close()
    log = CommitLog(tmp_path)
    assert [(3, (NOTE,)), (4, (NOTE,)), (5, (NOTE,))] == [(each.revision, each.notes) for each, _ in log.walk()]
    assert ["s3", "s4", "s5"] == [policy_of(log.state_at(revision)) for revision in (3, 4, 5)]
    assert (None, "s3") == (policy_of(log.state_at(2)), policy_of(log.state_when(3.9)))
    assert policy_of(log.state) == "s5"
    log.close()


def test_a_revision_that_never_was_is_not_found(tmp_path: Path) -> None:
    """A revision of the future is refused with the newest that there is."""
    log = CommitLog(tmp_path)
    log.note(record(1))
    with pytest.raises(NotFound, match="there was no revision 9 yet; the newest in the commit log is 1"):
        log.state_at(9)
    log.close()


def test_a_line_cut_short_by_a_kill_is_dropped(tmp_path: Path) -> None:
    """At whatever byte a write was cut, all commits before it are there, and the next is written behind them."""
    log = CommitLog(tmp_path)
    log.note(record(1))
    (segment,) = tmp_path.glob("*.jsonl")
    whole = len(segment.read_bytes())
    log.note(record(2))
    log.close()
    data = segment.read_bytes()
    for end in range(whole, len(data)):
        segment.write_bytes(data[:end])
        log = CommitLog(tmp_path)
        log.note(record(3))
        assert [1, 3] == [each.revision for each, _ in log.walk()]
        log.close()


def test_what_a_kill_kept_from_the_log_is_written_after(tmp_path: Path) -> None:
    """A commit that the journal has and the log has not is recorded at the next start, with who made it and why."""
    journal = Journal(tmp_path / "journal")
    log = CommitLog(tmp_path)
    log.note(record(1))
    lost = record(2)
    journal.write({**lost.items, **noted(lost.notes, lost.time)})
    after = State({item: value for item, value in lost.items.items() if value is not None})
    log.note(recovered(last_note(journal), log.state, after, 2, 99.0))
    found = [each for each, _ in log.walk()][-1]
    assert lost == found
    assert after == log.state
    log.close()


def test_its_size_is_bounded(tmp_path: Path) -> None:
    """However much is committed the files stay within the limit, the newest commits are kept and say everything."""
    log = CommitLog(tmp_path, max_bytes=200_000)
    for revision in range(1, 500):
        log.note(record(revision, 2000))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 200_000
    kept = [each.revision for each, _ in log.walk()]
    assert list(range(kept[0], 500)) == kept
    assert len(kept) > 50
    assert policy_of(log.state_at(kept[0])) == f"s{kept[0]}"
    with pytest.raises(NotFound, match="the commit log has no revision 1;"):
        log.state_at(1)
    log.close()


def test_a_log_that_cannot_be_read_says_which_file(tmp_path: Path) -> None:
    """A file that is no log is named, and nothing is written over it."""
    (tmp_path / "commits-00000001.jsonl").write_text("{}\n")
    with pytest.raises(RingfenceError, match=r"commits-00000001.jsonl cannot be read: .*; move it away to go on"):
        CommitLog(tmp_path)


def test_after_a_failure_the_next_commit_says_everything(tmp_path: Path) -> None:
    """A log that could not be written says so; once it can, it goes on with the whole state, the lost commit's too."""
    log = CommitLog(tmp_path)
    log.note(record(1))
    (segment,) = tmp_path.iterdir()
    with files_no_larger_than(segment.stat().st_size + 10):
        log.note(record(2))
    assert f"commits are not recorded in {tmp_path}: File too large" == log.problem
    log.note(record(3))
    assert not log.problem
    found = [(each.revision, policy_of(log.state_at(each.revision))) for each, _ in log.walk()]
    assert [(1, "s1"), (3, "s3")] == found
    assert policy_of(log.moment(lambda each: each.revision == 3, "it").before) == "s2"
    log.close()
