from __future__ import annotations

import json

from ringfence.engine import memory
from ringfence.policy.mapstate import PolicyKey
from tests.unit.engine.script import WEB, policies, workload


def test_what_is_remembered_reads_back_the_same() -> None:
    """A value that went through JSON is the value it was."""
    rule = policies(WEB)[0].rules[0].text
    found = workload("a", "web", "fd00::1", 7)
    key = PolicyKey(256, 257, 80, 6, 24, 0, 1, 1)
    assert rule == memory.read_rule(json.loads(json.dumps(memory.write_rule(rule))))
    assert found == memory.read_workload(json.loads(json.dumps(memory.write_workload(found))))
    assert key == memory.read_key(memory.write_key(key))
