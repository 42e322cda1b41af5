"""The lint: policies read as a careful colleague would, to find what is well formed but hardly meant.

Some findings need no workloads. Those that do are given only where the documents hold pods, for without any every
selector selects nothing, and those about services only where they hold some; what may never decide, and who is cut off
from DNS, is then asked of made-up workloads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from ringfence.policy import check_services, check_workloads, check_written
from ringfence.policy.evaluate import Oracle
from ringfence.policy.findings import Finding, Kind, in_order
from ringfence.policy.hidden import hidden_rules
from ringfence.policy.parse import Parsed, Source, parse_documents
from ringfence.policy.parties import complete_world
from ringfence.policy.written import Written, read_written
from ringfence.verdict import RuleText

_BY_DOCUMENT: Final[tuple[Callable[[Written], Iterable[Finding]], ...]] = (
    check_written.everybody,
    check_written.nobody,
    check_written.removed,
    check_written.deprecated,
)
_BY_WORKLOADS: Final[tuple[Callable[[Written, check_workloads.Workloads], Iterable[Finding]], ...]] = (
    check_workloads.selects_nothing,
    check_workloads.unknown_port_names,
    check_workloads.ignored_workloads,
)
_MOST_HIDING: Final = 3


def check(sources: Iterable[Source]) -> tuple[Finding, ...]:
    """Everything found in the policies of some texts, as it stands in them. Raises BadInput."""
    texts = list(sources)
    return check_parsed(texts, parse_documents(texts, strict=False))


def check_parsed(texts: Iterable[Source], parsed: Parsed) -> tuple[Finding, ...]:
    """The same for texts that were parsed already."""
    policies = read_written(texts, parsed)
    found = [finding for written in policies for by in _BY_DOCUMENT for finding in by(written)]
    found += check_written.outdated(parsed.warnings)
    found += check_written.duplicates(policies)
    found += _hidden(policies, parsed)
    world = complete_world(parsed)
    workloads = [actor for actor in world.everyone() if actor.local and actor.reserved is None]
    pods = [actor for actor in world.actors.values() if actor.local]
    if pods:
        known = check_workloads.Workloads(pods)
        found += [finding for written in policies for by in _BY_WORKLOADS for finding in by(written, known)]
    if world.services:
        found += [each for written in policies for each in check_services.means_no_service(written, world.services)]
    oracle = Oracle(world)
    for written in policies:
        found += check_workloads.cuts_off_dns(written, pods or workloads, oracle)
    return in_order(found)


def _hidden(policies: Iterable[Written], parsed: Parsed) -> Iterator[Finding]:
    """Rules that never decide. One that nothing written says (a default of its kind) is nobody's mistake."""
    hidden: Mapping[tuple[str, int], tuple[RuleText, ...]] = {
        (rule.policy, rule.index): instead for rule, instead in hidden_rules(parsed).items()
    }
    for written in policies:
        for item in written.items:
            instead = hidden.get((item.rule.policy, item.rule.index)) if item.rule else None
            if instead:
                found = f"hidden by {'; '.join(map(_told, instead[:_MOST_HIDING]))}"
                yield written.finding(Kind.NEVER_DECIDES, "warning", item.path, found)


def _told(text: RuleText) -> str:
    return f"{text.policy}, {text.origin} ({text.verdict.name.lower()})" if text.origin else text.text
