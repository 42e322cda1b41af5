from __future__ import annotations

from collections.abc import Iterable

import pytest

from ringfence.abi import Direction, PeerKind, Tier, Verdict
from ringfence.engine.engine import Engine
from ringfence.engine.events import EndpointAdded, EntrySet
from ringfence.identity.ipcache import Known
from ringfence.policy.lookup import Lookup
from ringfence.policy.mapstate import PolicyKey
from ringfence.traffic import Traffic
from ringfence.verdict import RuleText
from tests.unit.engine.script import run, started, workload

FIRST_OF_ALL = """
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: lockdown}
spec:
  priority: 0
  subject: {namespaces: {}}
  ingress:
  - {name: nobody, action: Deny, from: [{namespaces: {}}]}
"""
WEB_8080 = """
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web, namespace: default}
spec:
  endpointSelector: {matchLabels: {app: web}}
  ingressDeny:
  - toPorts: [{ports: [{port: "8080", protocol: TCP}]}]
"""


class Entries:
    """The entries that an engine wants in the kernel."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def items(self) -> Iterable[tuple[PolicyKey, RuleText]]:
        return [(key, rule) for key in self._engine.actual.entries if (rule := self.winner(key))]

    def winner(self, key: PolicyKey) -> RuleText | None:
        return self._engine.wanted(key)

    def tied(self, key: PolicyKey) -> tuple[RuleText, ...]:
        rule = self.winner(key)
        return (rule,) if rule else ()


def verdict(engine: Engine) -> Verdict:
    """Of ingress to the web server's port 8080 from the client."""
    subject, peer = (engine.endpoints[name].identity for name in ("web", "client"))
    return Lookup(Entries(engine)).decide(Direction.INGRESS, subject, Known(peer, 0), Traffic(6, 8080)).verdict


def by_hand(engine: Engine, tier: Tier, verdict: Verdict, *, exact: bool = True) -> EntrySet:
    subject, peer = (engine.endpoints[name].identity for name in ("web", "client"))
    other = (peer, PeerKind.IDENTITY) if exact else (0, PeerKind.ANY)
    key = PolicyKey(subject, other[0], 8080, 6, 24, int(other[1]), int(tier), int(Direction.INGRESS))
    return EntrySet(key, verdict)


@pytest.fixture(params=[FIRST_OF_ALL, WEB_8080], ids=["first-rule-of-all", "deny-rule"])
def engine(request: pytest.FixtureRequest) -> Engine:
    found = started(request.param)
    run(found, EndpointAdded(workload("web", "web", "10.0.0.1", 5)))
    run(found, EndpointAdded(workload("client", "client", "10.0.0.2", 6)))
    assert verdict(found) is Verdict.DENY
    return found


def test_an_exact_allow_of_the_first_tier_overrules_whatever_denies(engine: Engine) -> None:
    """An allow by hand at the exact key, in the tier that is asked first, wins over any rule of a policy."""
    run(engine, by_hand(engine, Tier.ADMIN, Verdict.ALLOW))
    assert verdict(engine) is Verdict.ALLOW


def test_of_two_entries_by_hand_the_more_exact_decides(engine: Engine) -> None:
    """Who allows one peer by hand lets it pass although everybody is denied by hand, and the other way round."""
    run(engine, by_hand(engine, Tier.ADMIN, Verdict.DENY, exact=False), by_hand(engine, Tier.ADMIN, Verdict.ALLOW))
    assert verdict(engine) is Verdict.ALLOW
    run(engine, by_hand(engine, Tier.ADMIN, Verdict.ALLOW, exact=False), by_hand(engine, Tier.ADMIN, Verdict.DENY))
    assert verdict(engine) is Verdict.DENY
