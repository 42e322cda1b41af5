"""A shop whose workloads' verdicts a test makes up, in an agent over a dry kernel."""

from __future__ import annotations

from time import time_ns
from typing import Any

import numpy as np

from ringfence.abi import Direction, Reason, Verdict
from ringfence.api.client import Client
from ringfence.api.shapes import EndpointShape
from tests.unit.api.running import Running
from tests.unit.flow.batch import event

UID = "CiliumNetworkPolicy/shop/backend-access"
# The rule stands on line 13 of the file; its document begins on line 3.
POLICY = """\
# Who may speak to the backend.
---

# Only the frontend may.
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: backend-access, namespace: shop}
spec:
  endpointSelector:
    matchLabels:
      app: backend
  ingress:
  - fromEndpoints:
    - matchLabels:
        app: frontend
    toPorts:
    - ports: [{port: "8080", protocol: TCP}]
  egress:
  - toEntities: [all]
"""
RULE_LINES = range(13, 18)
HOSTILE = "<img src=x onerror=document.title='owned'>"


class Shop:
    """A frontend, a backend and a stranger; only the frontend may speak to the backend, on port 8080."""

    def __init__(self, agent: Running, *more: str) -> None:
        self._agent = agent
        with Client(str(agent.socket)) as client:
            client.apply_policies([("shop.yaml", POLICY)])
            for number, name in enumerate(("frontend", "backend", "stranger", *more), 1):
                client.put_endpoint(f"shop/{name}", netns=str(number), labels=[f"app={name}"], namespace="shop")
            self._endpoints = {each["name"]: each for each in client.endpoints()}
        self._numbers = {
            (rule.policy, rule.verdict, rule.direction): number
            for number in range(1, 64)
            if (rule := agent.engine.known.rule_of(number))
        }

    def allowed(self, source: str = "frontend", destination: str = "backend", count: int = 1, **fields: Any) -> None:
        """Let so many packets have been allowed."""
        self._publish(source, destination, count, ingress_rule=self._rule(UID, Verdict.ALLOW), **fields)

    def denied(self, source: str = "stranger", destination: str = "backend", count: int = 1, **fields: Any) -> None:
        """Let so many packets have been denied, for no rule allows them."""
        isolated = self._rule(UID, Verdict.DENY)
        told = {"verdict": Verdict.DENY, "reason": Reason.POLICY_DENIED, "direction": Direction.INGRESS}
        self._publish(source, destination, count, ingress_rule=isolated, **told, **fields)

    def _rule(self, policy: str, verdict: Verdict) -> int:
        return self._numbers[policy, verdict, Direction.INGRESS]

    def _publish(self, source: str, destination: str, count: int, **fields: Any) -> None:
        ends = self._end("source", source) | self._end("destination", destination)
        egress = self._numbers["", Verdict.ALLOW, Direction.EGRESS]
        values = {"egress_rule": egress, "time": time_ns(), "packets": [1, 0], **ends, **fields}
        addresses = (self._shape(name)["addresses"][0] for name in (source, destination))
        self._agent.publish(np.repeat(event(*addresses, **values), count))

    def _end(self, side: str, name: str) -> dict[str, int]:
        return {f"{side}_endpoint": self._shape(name)["id"], f"{side}_identity": self._shape(name)["identity"]}

    def _shape(self, name: str) -> EndpointShape:
        return self._endpoints[f"shop/{name}"]
