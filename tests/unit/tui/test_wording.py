from __future__ import annotations

from ringfence.tui.wording import address, count, end_name, entry_text, place, rate, rule_brief, rule_text, size
from tests.unit.tui.shop import LABELS, OPEN, flow, hand_entry, party


def test_an_end_has_the_shortest_name_that_tells_it() -> None:
    """An endpoint's name, else labels without those of its namespace, else the address."""
    elsewhere = {**party("web"), "endpoint": None}
    assert "shop/web" == end_name(party("web"))
    assert "app=web" == end_name({**elsewhere, "labels": LABELS["web"]})  # type: ignore[typeddict-item] # a party still
    assert "world" == end_name(party("198.51.100.7"))
    assert "10.0.0.1" == end_name({**elsewhere, "labels": []})  # type: ignore[typeddict-item] # likewise


def test_rules_are_said_with_their_place_once() -> None:
    """A text that names its place does not get it again; in a narrow column the place alone is said."""
    denied = flow("client", "80/TCP", "deny")
    assert "denied by web, policies/web.yaml:12" == rule_text(denied["rule"])
    assert "denied (a.yaml:1)" == rule_text({"policy": "p", "text": "denied", "origin": "a.yaml:1"})
    assert "web.yaml:12" == rule_brief(denied)
    assert "default" == rule_brief(flow("client", "80/TCP", rule=OPEN))
    assert "by hand" == rule_brief(flow("client", "80/TCP", rule={**OPEN, "policy": "manual", "origin": "manual"}))
    assert "invalid source" == rule_brief(flow("client", "80/TCP", rule=None, reason="invalid source"))
    assert "no rule was asked" == rule_text(None)


def test_numbers() -> None:
    """Thousands are apart, small rates have a digit after the point, bytes their unit."""
    assert "98,412" == count(98412)
    assert ["0", "0.4", "12.5", "98,412"] == [rate(number) for number in (0, 0.4, 12.5, 98412.3)]
    assert ["999 B", "1.5 kB", "2.0 GB", "3,000.0 TB"] == [size(number) for number in (999, 1500, 2e9, 3e15)]


def test_addresses() -> None:
    """An IPv6 address with a port stands in brackets; a protocol without ports has none."""
    assert "10.0.0.1:80" == address(party("web", 80))
    assert "[fd00::1]:80" == address({**party("web", 80), "address": "fd00::1"})
    assert "fd00::1" == address({**party("web"), "address": "fd00::1"})


def test_entries_by_hand_in_words() -> None:
    """What is done in which direction, of whom and with whom, for which traffic."""
    exact = hand_entry(
        {"direction": "egress", "subject": 257, "peer": 256, "protocol": 6, "port": 80, "action": "allow"}
    )
    anyone = hand_entry({"direction": "ingress", "subject": 999, "action": "deny"})
    assert "allow egress of app=client to app=web, 80/TCP" == entry_text(exact)
    assert "deny ingress of 999 from anyone, any" == entry_text(anyone)


def test_a_place_has_no_directories() -> None:
    """The file's name and the line are enough to find it."""
    assert "web.yaml:12" == place("/etc/policies/web.yaml:12")
    assert "" == place("")
