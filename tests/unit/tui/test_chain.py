from __future__ import annotations

from ringfence.tui.chain import chain, excerpt
from ringfence.tui.flowlist import FlowRow, key_of
from tests.unit.tui.shop import POLICY, Shop, flow


def test_the_marked_line_is_the_one_the_rule_names() -> None:
    """The line numbers are those of the file, wherever in it the document begins."""
    denied = flow("client", "8080/TCP", "deny")
    assert denied["rule"] is not None
    lines = excerpt(Shop().policy(POLICY), denied["rule"], 80)
    (marked,) = (line.text for line in lines if line.mark == "rule")
    assert marked.startswith(">   12")
    assert marked.endswith('- toPorts: [{ports: [{port: "8080", protocol: TCP}]}]')


def test_no_line_is_longer_than_the_screen() -> None:
    """On 40 columns everything is folded or cut."""
    denied = flow("client", "8080/TCP", "deny")
    lines = chain(FlowRow(key_of(denied), denied), Shop().policy(POLICY), 40)
    assert 40 >= max(len(line.text) for line in lines)


def test_a_policy_that_is_gone_leaves_the_place() -> None:
    """Without the policy's text there is still its name and where the rule stood."""
    denied = flow("client", "8080/TCP", "deny")
    lines = [line.text for line in chain(FlowRow(key_of(denied), denied), None, 80)]
    assert "ingress  denied by web, policies/web.yaml:12, match L4-Only" in lines
