from __future__ import annotations

import json
from dataclasses import replace

from ringfence.abi import Aggregation
from ringfence.engine import memory
from ringfence.policy.mapstate import PolicyKey
from tests.unit.engine.script import WEB, policies, workload


def test_what_is_remembered_reads_back_the_same() -> None:
    """A value that went through JSON is the value it was."""
    rule = policies(WEB)[0].rules[0].text
    found = replace(workload("a", "web", "fd00::1", 7), aggregation=Aggregation.OFF)
    key = PolicyKey(256, 257, 80, 6, 24, 0, 1, 1)
    assert rule == memory.read_rule(json.loads(json.dumps(memory.write_rule(rule))))
    assert found == memory.read_workload(json.loads(json.dumps(memory.write_workload(found))))
    assert key == memory.read_key(memory.write_key(key))


def test_a_workload_of_an_earlier_version_has_the_hosts_setting() -> None:
    """What was remembered before there were settings of an endpoint's own is read as having none."""
    written = memory.write_workload(workload("a", "web", "fd00::1", 7))
    del written["aggregation"]
    assert memory.read_workload(written).aggregation is Aggregation.HOST
