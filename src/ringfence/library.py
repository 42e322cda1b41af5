"""The library: policies and workloads of files, asked from Python what the commands ask.

`load` and `parse` give `Policies`, which answers questions; `learn` makes policies of recorded flows. What is wrong
with an input is one `BadInput` with all problems; nothing here needs a kernel, root or an agent, or changes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike, fspath
from typing import Any, TypeVar

from ringfence.abi import Verdict
from ringfence.cli.policy_table import lines_of
from ringfence.cli.recorded import of_file
from ringfence.cli.sources import read
from ringfence.errors import BadInput, NotFound, RingfenceError
from ringfence.flow.recorded import Recording
from ringfence.flow.replayed import Replaying
from ringfence.policy.builtin import Settings
from ringfence.policy.check import check_parsed
from ringfence.policy.diff import Change, difference
from ringfence.policy.drawing import FORMS, Form
from ringfence.policy.evaluate import Oracle
from ringfence.policy.explanation.who import Asked, place_question
from ringfence.policy.findings import Finding
from ringfence.policy.learning.grants import Folding, Kind
from ringfence.policy.learning.learn import Learned, Wanted
from ringfence.policy.learning.learn import learn as learn_of
from ringfence.policy.learning.prove import Denied, Judge
from ringfence.policy.learning.seen import Seen
from ringfence.policy.parse import Parsed, Source, parse_documents
from ringfence.policy.reach import Narrowing, Reach
from ringfence.policy.reach import reach as reach_of
from ringfence.policy.replay import History, Replayed
from ringfence.policy.replay import replay as replay_of
from ringfence.policy.test import JUDGES, Report, run_tests
from ringfence.policy.verify import Proof
from ringfence.policy.verify import verify as prove
from ringfence.policy.world import DEFAULT_SETTINGS, World, build_world
from ringfence.service.explaining import explain_flow
from ringfence.traffic import Traffic, parse_traffic
from ringfence.verdict import Judgement

__all__ = [
    "BadInput", "Change", "Denied", "Finding", "Judgement", "Learned", "NotFound", "Policies", "Proof", "Reach",
    "Replayed", "Report", "RingfenceError", "Verdict", "learn", "load", "parse",
]  # fmt: skip

Flow = TypeVar("Flow")


@dataclass(frozen=True)
class Policies:
    """Policies and what they are about, taken together. `parsed` is what the documents say."""

    sources: tuple[Source, ...]
    parsed: Parsed = field(repr=False)
    settings: Settings = DEFAULT_SETTINGS

    @cached_property
    def world(self) -> World:
        """The workloads, nodes and policies that questions are asked of."""
        return build_world(self.parsed, (), self.settings)

    def evaluate(self, source: str, destination: str, port: str) -> Judgement:
        """The verdict on a packet and the rules that decide, by the book.

        An end is NAMESPACE/NAME, an address, a prefix, or an entity such as world or host; a port is written 8080/TCP
        or echo-request/ICMP. Raises NotFound for a workload that is not there, BadInput for what is no end or port.
        """
        placed = place_question(self.world, Asked(source), Asked(destination), _traffic(port))
        question = placed.question
        try:
            return Oracle(self.world).judge(question.source, question.destination, question.traffic)
        except ValueError as error:
            raise BadInput(str(error)) from error

    def allows(self, source: str, destination: str, port: str) -> bool:
        """Whether a packet passes in both directions. Raises as `evaluate`."""
        return self.evaluate(source, destination, port).allowed

    def explain(self, source: str, destination: str, port: str, *, limit: int = 5) -> dict[str, Any]:
        """Why, and what nearly made it otherwise: the document of `ringfence explain -o json`. Raises as `evaluate`."""
        return explain_flow(self.world, Asked(source), Asked(destination), _traffic(port), most=limit)

    def check(self) -> tuple[Finding, ...]:
        """What is well formed but hardly meant."""
        return check_parsed(self.sources, self.parsed)

    def test(self, judge: str = "map") -> Report:
        """Judge all PolicyTest cases among the documents, by `oracle` or by `map`, the compiled entries.

        Raises BadInput for another judge and for cases that cannot be asked.
        """
        if judge not in JUDGES:
            raise BadInput(f"no judge {judge!r}; expected {' or '.join(JUDGES)}")
        return run_tests(self.parsed, JUDGES[judge], self.settings)

    def verify(self) -> Proof:
        """Prove that the compiled policies decide every packet as their words do."""
        return prove(self.parsed, self.settings)

    def changes(self, new: Policies) -> list[Change]:
        """What opens and what closes when these policies become `new`: groups of workloads, ports, and the rule."""
        return difference(self.parsed, new.parsed, new.settings)

    def reach(
        self, *, namespaces: Sequence[str] = (), sources: Sequence[str] = (), destinations: Sequence[str] = ()
    ) -> Reach:
        """Groups that no policy tells apart, and the ports on which each reaches each.

        Narrowed to paths with an end in one of the namespaces, from and to names or patterns such as `shop/*`.
        """
        return reach_of(self.parsed, self.settings, Narrowing(tuple(namespaces), tuple(sources), tuple(destinations)))

    def graph(self, form: Form = "svg", *, defaults: bool = False, **narrowed: Sequence[str]) -> str:
        """The reachability as a text of SVG, Mermaid or DOT; `narrowed` as for `reach`.

        With `defaults` also what gets through because nothing isolates either end. Raises BadInput for another form.
        """
        if form not in FORMS:
            raise BadInput(f"no form {form!r}; expected {' or '.join(FORMS)}")
        return FORMS[form](self.reach(**narrowed), defaults=defaults)

    def table(self, *, width: int = 120, **narrowed: Sequence[str]) -> str:
        """The reachability as a matrix, in parts no wider than `width` characters; `narrowed` as for `reach`."""
        return "\n".join(lines_of(self.reach(**narrowed), width))

    def replay(self, flows: str | PathLike[str] | Iterable[str], *, old: Policies | None = None) -> Replayed:
        """Recorded flows judged by these policies: what would have been decided otherwise; flows as for `learn`.

        With `old` its verdicts stand in the place of the recorded ones. Raises BadInput for what is no flow.
        """
        history = History(_recorded(flows, Replaying(self.world).lines))
        return replay_of(history, self.parsed, self.settings, old=old.parsed if old else None)

    def uncovered(self, flows: str | PathLike[str] | Iterable[str]) -> list[Denied]:
        """The connections of recorded flows that the policies do not allow, each once; flows as for `learn`."""
        seen = Seen(_recorded(flows, Recording(self.world, by_address=True).lines))
        return list(Judge(self.parsed.policies, self.settings).denied(seen.connections))


def load(*paths: str | PathLike[str], settings: Settings = DEFAULT_SETTINGS) -> Policies:
    """Read files, and the YAML and JSON files of directories. Documents of kinds without bearing are passed over.

    Raises BadInput with every problem of every file.
    """
    return _of(tuple(Source(*text) for text in read(fspath(path) for path in paths)), settings)


def parse(text: str, name: str = "<text>", *, settings: Settings = DEFAULT_SETTINGS) -> Policies:
    """Read a text of YAML or JSON documents; errors and origins call it by `name`. Raises as `load`."""
    return _of((Source(name, text),), settings)


def learn(
    flows: str | PathLike[str] | Iterable[str],
    *,
    manifests: Policies | None = None,
    kind: Kind = "CiliumNetworkPolicy",
    by: Sequence[str] = (),
    fold: int = 32,
    fold6: int = 128,
    include_denied: bool = False,
) -> Learned:
    """The fewest policies that recorded flows need, with the proof.

    `flows` is a file or lines, a flow in JSON each; `manifests` give labels to ends that are recorded without; `fold`
    and `fold6` are how many bits of an outside address count. Raises BadInput for what is no flow, label or length.
    """
    wanted = Wanted(kind, tuple(by), Folding(fold, fold6))
    world = manifests.world if manifests else None
    recording = Recording(world, denied=include_denied, by_address=kind == "NetworkPolicy")
    return learn_of(Seen(_recorded(flows, recording.lines)), wanted)


def _of(sources: tuple[Source, ...], settings: Settings) -> Policies:
    return Policies(sources, parse_documents(sources, strict=False), settings)


def _recorded(
    flows: str | PathLike[str] | Iterable[str], read_lines: Callable[[str, Iterable[str]], Iterator[Flow]]
) -> Iterator[Flow]:
    """The flows of a file, or of lines."""
    return of_file(read_lines, fspath(flows)) if isinstance(flows, (str, PathLike)) else read_lines("<flows>", flows)


def _traffic(port: str) -> Traffic:
    try:
        return parse_traffic(port)
    except ValueError as error:
        raise BadInput(str(error)) from error
