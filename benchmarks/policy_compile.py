"""`python -m benchmarks.policy_compile`: what compiling policies costs, from nothing and for one change.

No kernel and no root: rules times identities to the entries of the map. Two families of worlds: a host with 100 local
identities out of 100, 1,000 and 10,000, under 1,000 policies; and the shapes of Cilium's own benchmarks, whose figures
for the same machine stand in `CILIUM_MS`. Documents are parsed before the clock starts, as Cilium's are.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from time import process_time
from typing import Final

from ringfence.abi import Direction, Verdict
from ringfence.identity.prefixes import Block
from ringfence.labels import Labels, workload_labels
from ringfence.policy.compile import requirement
from ringfence.policy.parse import Source, parse_documents
from ringfence.policy.rule import Peers, Policy, Ports, Rule
from ringfence.policy.state import PolicyState
from ringfence.selector import Operator, Selector

POLICIES: Final = 1000
LOCAL: Final = 100
NAMESPACES: Final = 20
TIERS: Final = 7
#: Milliseconds of Cilium's Go benchmarks on this kind of machine (resolve and distil together).
CILIUM_MS: Final = {"1,000 L3 rules, 3,000 identities": 5.6, "1,000 CIDR rules": 44.0}
CILIUM_IDENTITY_MS: Final = 1.5
ROUNDS: Final = 5

Change = Callable[[PolicyState], object]


@dataclass(frozen=True, slots=True)
class Measured:
    """One world. Times are medians of processor time in milliseconds, memory is what the state takes in MB."""

    world: str
    entries: int
    scratch_ms: float
    policy_ms: float
    identity_ms: float
    memory_mb: float
    cilium_ms: float | None = None


def main() -> int:
    """Measure all worlds, print them as a table; with a path, write them there as JSON too."""
    measured = [_host(count) for count in (100, 1000, 10000)]
    measured += [_alike_rules(), _cidr_rules()]
    print(f"{'world':<44}{'entries':>9}{'scratch':>10}{'policy':>9}{'identity':>10}{'MB':>7}{'Cilium':>8}   ms")
    for each in measured:
        cilium = f"{each.cilium_ms:8.1f}" if each.cilium_ms else " " * 8
        times = f"{each.scratch_ms:10.1f}{each.policy_ms:9.2f}{each.identity_ms:10.2f}"
        print(f"{each.world:<44}{each.entries:>9}{times}{each.memory_mb:7.1f}{cilium}")
    print(f"Cilium, one identity of 10,000 removed and added again: {CILIUM_IDENTITY_MS} ms")
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps([asdict(each) for each in measured], indent=1) + "\n")
    return 0


def _labels(index: int) -> Labels:
    own = Labels.parse([f"app=a{index % POLICIES}", f"tier=t{index % TIERS}", f"instance=i{index}"])
    return workload_labels(own, f"ns{index % NAMESPACES}")


def _documents() -> Iterator[str]:
    """Policies that each protect one app and let one tier of all namespaces in by two ports."""
    for index in range(POLICIES):
        yield f"""
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {{name: p{index}, namespace: ns{index % NAMESPACES}}}
spec:
  endpointSelector: {{matchLabels: {{app: a{index}}}}}
  ingress:
  - fromEndpoints:
    - matchLabels: {{tier: t{index % TIERS}}}
      matchExpressions: [{{key: "k8s:io.kubernetes.pod.namespace", operator: Exists}}]
    toPorts: [{{ports: [{{port: "{1000 + index % 50}", protocol: TCP}}, {{port: "53", protocol: UDP}}]}}]
"""


def _host(count: int) -> Measured:
    """Identities of a cluster, some of which live here, under policies of which few select those that do."""
    policies = parse_documents([Source("bench.yaml", "---".join(_documents()))]).policies
    labels = [_labels(index) for index in range(count)]
    changed = parse_documents([Source("new.yaml", next(_documents()).replace('port: "53"', 'port: "54"'))]).policies

    def prepare() -> PolicyState:
        state = PolicyState()
        for each in labels[LOCAL:]:
            state.acquire_identity(each)
        for each in labels[:LOCAL]:
            state.add_endpoint(each, ())
        return state

    def one_policy(state: PolicyState) -> None:
        state.apply(changed)
        state.take_changes()
        state.apply(policies[:1])
        state.take_changes()

    return _measure(
        f"{count:,} identities, {LOCAL} local, 1,000 policies", prepare, policies, one_policy, _labels(count)
    )


def _alike_rules() -> Measured:
    """A thousand rules of one shape: everyone of 3,000 may speak to one subject."""
    policies = [
        _policy(index, Peers(selectors=(Selector.of([requirement("any", "bar", Operator.EXISTS, [])]),)))
        for index in range(POLICIES)
    ]
    peers = [Labels.parse(["bar", f"instance=i{index}"]) for index in range(3000)]
    prepare = partial(_with_peers, peers)
    return _measure(
        "1,000 L3 rules, 3,000 identities", prepare, policies, _replace(policies), Labels.parse(["bar", "instance=new"])
    )


def _cidr_rules() -> Measured:
    """A thousand rules about nested prefixes, each with a port: a prefix means all policy prefixes in it too."""
    policies = [
        _policy(
            index, Peers(outside=(Block(_prefix(index)),)), (Ports((6, 17)[index % 3 == 0], *[index % 97 + 1] * 2),)
        )
        for index in range(POLICIES)
    ]
    newcomer = Labels.parse(["bar"])
    return _measure("1,000 CIDR rules", partial(_with_peers, ()), policies, _replace(policies), newcomer)


def _prefix(index: int) -> IPv4Network:
    length = (8, 16, 24, 28, 32)[index % 21 % 5]
    address = (10 + index % 2 << 24) | (index % 8 << 16) | (index % 31 << 8) | index % 251
    return IPv4Network((address >> (32 - length) << (32 - length), length))


def _policy(index: int, peers: Peers, traffic: tuple[Ports, ...] = (Ports(),)) -> Policy:
    subject = Selector.of([requirement("k8s", "foo", Operator.EXISTS, [])])
    uid = f"CiliumNetworkPolicy/default/p{index}"
    rule = Rule(uid, 0, Direction.INGRESS, Verdict.ALLOW, subject, peers, traffic)
    return Policy("CiliumNetworkPolicy", "default", f"p{index}", (rule,), rule.origin)


def _with_peers(peers: Iterable[Labels]) -> PolicyState:
    state = PolicyState()
    state.add_endpoint(Labels.parse(["foo"]), ())
    for labels in peers:
        state.acquire_identity(labels)
    return state


def _replace(policies: list[Policy]) -> Callable[[PolicyState], None]:
    def run(state: PolicyState) -> None:
        state.delete([policies[0].uid])
        state.take_changes()
        state.apply(policies[:1])
        state.take_changes()

    return run


def _measure(
    world: str,
    prepare: Callable[[], PolicyState],
    policies: Sequence[Policy],
    one_policy: Change,
    labels: Labels,
) -> Measured:
    """Identities are known when the clock starts; `labels` are those of one more, which comes and goes."""

    def all_policies(state: PolicyState) -> None:
        state.apply(policies)
        state.take_changes()

    def one_identity(state: PolicyState) -> None:
        number = state.acquire_identity(labels)
        state.take_changes()
        state.release_identity(number)
        state.take_changes()

    scratch = [_timed(all_policies, _started(prepare)) for _ in range(ROUNDS)]
    state = _started(prepare)
    memory = _growth(all_policies, state)
    policy = [_timed(one_policy, state) / 2 for _ in range(ROUNDS * 4)]
    identity = [_timed(one_identity, state) for _ in range(ROUNDS * 4)]
    times = [statistics.median(each) * 1000 for each in (scratch, policy, identity)]
    return Measured(world, len(state.map), times[0], times[1], times[2], memory / 2**20, CILIUM_MS.get(world))


def _started(prepare: Callable[[], PolicyState]) -> PolicyState:
    state = prepare()
    state.take_changes()
    gc.collect()
    return state


def _growth(change: Change, state: PolicyState) -> int:
    """How many bytes the state takes more after a change."""
    tracemalloc.start()
    change(state)
    gc.collect()
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return grown


def _timed(change: Change, state: PolicyState) -> float:
    start = process_time()
    change(state)
    return process_time() - start


if __name__ == "__main__":
    sys.exit(main())
