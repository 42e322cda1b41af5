"""What can be found in policies by the services beside them: rules that name services which mean nobody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ringfence.policy.check_written import elements
from ringfence.policy.findings import Finding, Kind, nearest
from ringfence.policy.rule import ServiceRef
from ringfence.policy.service_set import ServiceSet
from ringfence.policy.written import Written

_FIELDS: Final = ("toServices",)


def means_no_service(written: Written, services: ServiceSet) -> Iterator[Finding]:
    """Services that are not there, or that lead nowhere."""
    for item in written.items:
        for field, index, element in elements(item, _FIELDS):
            for named in written.meaning(item, field, element).peers.services:
                found = _why_nobody(named, services)
                if found:
                    yield written.finding(Kind.MEANS_NO_SERVICE, "warning", (*item.path, field, index), found)


def _why_nobody(named: ServiceRef, services: ServiceSet) -> str:
    meant = services.meant(named)
    if not meant:
        like = nearest(f"{named.namespace}/{named.name}", (each.path for each in services)) if named.name else []
        return f"no {named} is there" + (f" (nearest: {', '.join(like)})" if like else "")
    if any(each.selector or services.slices(each.path) for each in meant):
        return ""
    return f"{named} has neither a selector nor a slice, so it leads to nobody"
