"""Policies for the node: whether they can be enforced here, and whether they would cut off who applies them.

The connections that must not be cut are the one that the user's SSH_CONNECTION names and those that the node has to its
ports for administration. One that the policies in force deny already is none that a change could cut.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from ringfence.abi import Verdict
from ringfence.agent.asworld import world_of
from ringfence.api.shapes import Guard
from ringfence.datapath.sockets import Inbound, established, of_ssh
from ringfence.engine.engine import Engine
from ringfence.errors import BadInput, Problem
from ringfence.identity.reserved import Reserved
from ringfence.policy.case import Party
from ringfence.policy.evaluate import Oracle
from ringfence.policy.rule import Policy
from ringfence.policy.world import Actor, place_parties
from ringfence.traffic import Protocol, Traffic
from ringfence.verdict import Judgement

OVERRIDE: Final = "--allow-lockout"
_NO_UPLINK: Final = "policies for the node are enforced at its uplinks, and the agent was told of none (--uplink)"


@dataclass(frozen=True, slots=True)
class NodePolicies:
    """What an engine's policies would do to the node itself. `find` looks for connections to some ports."""

    engine: Engine
    uplinks: bool
    ports: Collection[int]
    allow_lockout: bool = False
    find: Callable[[Collection[int]], Iterable[Inbound]] = established

    def check(
        self, put: Iterable[Policy] = (), remove: Collection[str] = (), ssh: str = "", *, allow_lockout: bool = False
    ) -> None:
        """Raises `BadInput` for a change that cannot be enforced, or that would cut a connection it must not."""
        before = {policy.uid: policy for policy in self.engine.state.policies if _counts(policy)}
        after = {uid: policy for uid, policy in before.items() if uid not in remove}
        after |= {policy.uid: policy for policy in put}
        after = {uid: policy for uid, policy in after.items() if _counts(policy)}
        if not any(map(_is_for_host, after.values())):
            return
        if self.engine.state.settings.policy_cidr_match_mode == "nodes":
            raise BadInput("policies for nodes (nodeSelector) are not enforced under --policy-cidr-match-mode nodes")
        if self.uplinks and not (allow_lockout or self.allow_lockout):
            self._keep(before, after, ssh)

    def guard(self, request: Guard, put: Iterable[Policy], remove: Collection[str]) -> None:
        """`check` as a request asks for it."""
        ssh, allow_lockout = request.get("ssh_connection", ""), request.get("allow_lockout", False)
        self.check(put, remove, ssh, allow_lockout=allow_lockout)

    def _keep(self, before: Mapping[str, Policy], after: Mapping[str, Policy], ssh: str) -> None:
        named = of_ssh(ssh)
        connections = list(dict.fromkeys([*([named] if named else []), *self.find(self.ports)]))
        verdicts = zip(connections, self._judged(before, connections), self._judged(after, connections), strict=True)
        for connection, old, new in verdicts:
            if old.allowed and not new.allowed:
                decision = next(each for each in new.decisions if each.verdict == Verdict.DENY)
                raise BadInput(
                    f"this would cut the connection {connection} to this node, {decision.rule.text}; nothing was"
                    f" changed. {OVERRIDE} changes it all the same"
                )

    def _judged(self, policies: Mapping[str, Policy], connections: Iterable[Inbound]) -> Iterator[Judgement]:
        """What would become of each connection."""
        parties = {each: Party(address=each.peer) for each in connections}
        world = place_parties(replace(world_of(self.engine), policies=tuple(policies.values())), parties.values())
        oracle = Oracle(world)
        for connection, party in parties.items():
            labels, address = self.engine.state.settings.host_labels, (connection.local,)
            host = Actor("the node", labels, address, reserved=Reserved.HOST)
            yield oracle.judge(world.parties[party], host, Traffic(Protocol.TCP, connection.local_port))

    def warnings(self) -> list[str]:
        """What is to be known of the policies in force."""
        return [_NO_UPLINK] if not self.uplinks and Reserved.HOST in self.engine.state.subjects else []

    def unenforced(self, policies: Iterable[Policy]) -> list[Problem]:
        """Of which policies nothing is enforced."""
        origins = [policy.origin for policy in policies if _is_for_host(policy)] if not self.uplinks else []
        return [Problem(each.file, each.line, 1, _NO_UPLINK, "an uplink", "warning") for each in origins]


def _is_for_host(policy: Policy) -> bool:
    return any(rule.for_host for rule in policy.rules)


def _counts(policy: Policy) -> bool:
    """Whether a policy may decide about the node: CIDR groups are what its rules may speak of."""
    return policy.group is not None or _is_for_host(policy)
