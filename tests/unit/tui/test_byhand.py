from __future__ import annotations

from typing import Any

import pytest

from ringfence.errors import RingfenceError
from ringfence.tui.byhand import HandKey, Ledger, Standing, entries_for, standing
from tests.unit.tui.shop import flow, hand_entry, party

OUTSIDE = "198.51.100.7"


def outline(entries: Standing) -> list[tuple[str, int, int, str]]:
    return [(key.direction, key.subject, key.peer, action) for key, action in entries.items()]


def test_a_deny_is_at_ingress_of_whom_it_protects() -> None:
    """Where the destination is of this host, one entry at its ingress denies, at the exact port, in the first tier."""
    ((key, action),) = entries_for(flow("client", "8080/TCP"), "deny", {}).items()
    assert HandKey("ingress", 256, "identity", 257, 6, 8080, 24, "admin") == key
    assert "deny" == action


def test_a_deny_of_what_leaves_the_host_is_at_egress() -> None:
    """Nobody here judges the ingress of an address elsewhere."""
    away = flow("client", "443/TCP", destination=party(OUTSIDE, 443), rules={"egress": None, "ingress": None})
    assert [("egress", 257, 2, "deny")] == outline(entries_for(away, "deny", {}))


def test_an_allow_of_what_ingress_denied_is_at_ingress() -> None:
    """Egress let it pass already."""
    assert [("ingress", 256, 257, "allow")] == outline(entries_for(flow("client", "8080/TCP", "deny"), "allow", {}))


def test_an_allow_of_what_egress_denied_is_at_both() -> None:
    """Ingress was not asked, so nobody knows whether it would deny too."""
    denied = flow("client", "8080/TCP", "deny", direction="egress")
    expected = [("egress", 257, 256, "allow"), ("ingress", 256, 257, "allow")]
    assert expected == outline(entries_for(denied, "allow", {}))


def test_an_allow_replaces_a_deny_by_hand_that_no_packet_met_yet() -> None:
    """The newest verdict may be older than the entry: a direction denied by hand is allowed along with the other."""
    now = entries_for(
        flow("client", "80/TCP", destination=party(OUTSIDE, 80), rules={"egress": None, "ingress": None}), "deny", {}
    )
    key = next(iter(now))._replace(peer=256)
    expected = [("egress", 257, 256, "allow"), ("ingress", 256, 257, "allow")]
    assert expected == outline(entries_for(flow("client", "80/TCP"), "allow", {key: "deny"}))


@pytest.mark.parametrize(
    ("fields", "traffic"),
    [
        ({"protocol": "ICMP", "port": "echo-request/ICMP"}, (1, 8, 24)),
        ({"protocol": "ICMPv6", "port": "echo-request/ICMPv6"}, (58, 128, 24)),
        ({"protocol": "47", "port": "0/47"}, (47, 0, 8)),
    ],
)
def test_other_protocols(fields: dict[str, Any], traffic: tuple[int, int, int]) -> None:
    """An ICMP type stands for the port; of a protocol without ports the entry is about all of it."""
    (key,) = entries_for(flow("client", "80/TCP", **fields), "deny", {})
    assert traffic == (key.protocol, key.port, key.prefix)


def test_what_no_rule_decided_cannot_be_flipped() -> None:
    """A packet dropped for its own fault, and one between two that are not of this host, are refused with a reason."""
    with pytest.raises(RingfenceError, match="invalid source"):
        entries_for(flow("client", "80/TCP", "deny", reason="invalid source"), "allow", {})
    strangers: dict[str, Any] = {
        "source": party(OUTSIDE),
        "destination": party("198.51.100.8"),
        "rules": {"egress": None, "ingress": None},
    }
    with pytest.raises(RingfenceError, match="neither end"):
        entries_for(flow("client", "80/TCP", **strangers), "allow", {})


def test_undoing_gives_back_what_was_before() -> None:
    """What was not there is deleted, what was there is set again; what somebody has changed since stays."""
    first, second, third = (HandKey("ingress", 256, "identity", peer, 6, 80, 24, "admin") for peer in (1, 2, 3))
    ledger = Ledger()
    ledger.note({first: "deny"}, {})
    ledger.note({second: "deny"}, {first: "deny", second: "allow"})
    ledger.note({third: "allow"}, {first: "deny", second: "deny"})
    ledger.note({first: "allow"}, {first: "deny", second: "deny", third: "allow"})
    set_, delete = ledger.undoing({first: "allow", second: "deny", third: "deny"})
    assert [{**second.request(), "action": "allow"}] == set_
    assert [first.request()] == delete


def test_the_agents_list_has_the_keys_that_were_set() -> None:
    """An entry that the agent lists is known again as the one that was asked for."""
    ((key, action),) = entries_for(flow("client", "8080/TCP"), "deny", {}).items()
    assert {key: action} == standing([hand_entry({**key.request(), "action": action})])
