"""Which packets are told: the host's setting and the endpoints' own, and the ends of connections with their totals."""

from __future__ import annotations

from typing import Any

import pytest

from ringfence.abi import Aggregation, CtStatus, Direction, EventKind, Reason, Verdict
from ringfence.datapath.untold import Ends
from ringfence.engine.commands import Peer
from tests.bpf.conftest import BACKEND, FRONTEND, WORLD
from tests.bpf.host import Host
from tests.bpf.packets import CLIENT_PORT, Network, ping, tcp, tcp_reply, udp

UNANSWERED_UDP_SECONDS = 61


def kinds(*outcomes: Any) -> list[str]:
    """The kinds of the events of these packets, in order."""
    return [EventKind(int(kind)).name for outcome in outcomes for kind in outcome.events["kind"]]


def conversation(host: Host, net: Network, end: str, *, whole: bool = True) -> list[Any]:
    """A connection up to the last segments, of the flags `end`: the client's and, if `whole`, the server's."""
    client = [tcp(net.frontend, net.backend, flags) for flags in ("S", "A", "PA", "A")]
    server = [tcp_reply(net.backend, net.frontend, flags) for flags in ("SA", "PA", "A")]
    first = [host.sends("frontend", client[0]), host.sends("backend", server[0])]
    talk = [host.sends("frontend", each) for each in client[1:]] + [host.sends("backend", each) for each in server[1:]]
    last = [host.sends("frontend", tcp(net.frontend, net.backend, end))]
    return [*first, *talk, *last, *([server_ends(host, net, end)] if whole else [])]


def server_ends(host: Host, net: Network, end: str) -> Any:
    """The server's last segment."""
    return host.sends("backend", tcp_reply(net.backend, net.frontend, end))


def test_a_connection_is_told_by_its_beginning_and_its_end(host: Host, net: Network) -> None:
    """SYN, the answer to it, the first FIN and the last: four events, however much was said in between."""
    outcomes = conversation(host, net, "FA")
    assert ["VERDICT", "FLAGS", "FLAGS", "CLOSE"] == kinds(*outcomes)


def test_the_end_has_the_totals_of_both_directions(host: Host, net: Network) -> None:
    """The event of a connection's last packet has all its packets and bytes, as opened and replies."""
    (close,) = conversation(host, net, "FA")[-1].events
    (entry,) = host.connections(net.family)
    assert [5, 4] == close["packets"].tolist() == entry["packets"].tolist()
    size = 40 if net.family == 4 else 60
    assert [5 * size, 4 * size] == close["bytes"].tolist()
    assert (CtStatus.REPLY, Verdict.ALLOW) == (close["status"], close["verdict"])
    assert (BACKEND, FRONTEND) == (close["source_identity"], close["destination_identity"])


def test_a_reset_ends_a_connection_at_once(host: Host, net: Network) -> None:
    """RST from one side is the end; what comes behind it is told no more."""
    outcomes = conversation(host, net, "RA")
    assert ["VERDICT", "FLAGS", "CLOSE", "FLAGS"] == kinds(*outcomes)
    assert [] == kinds(host.sends("backend", tcp_reply(net.backend, net.frontend, "RA")))


def test_the_end_is_told_also_of_a_packet_that_is_judged_again(host: Host, net: Network) -> None:
    """A commit just before the last segment does not lose the totals."""
    outcomes = conversation(host, net, "FA", whole=False)
    host.known({"198.51.100.0/24": Peer(WORLD, 0, 0)})
    last = server_ends(host, net, "FA")
    assert ["CLOSE"] == kinds(last)
    assert len(outcomes) + 1 == last.event["packets"].sum()
    assert host.committer.revision == last.event["revision"]


@pytest.mark.parametrize(
    ("expected", "aggregation"),
    [
        (["VERDICT", "FLAGS", *["PACKET"] * 5, "FLAGS", "CLOSE"], Aggregation.PACKETS),
        (["VERDICT", "FLAGS", "FLAGS", "CLOSE"], Aggregation.CONNECTIONS),
        (["VERDICT"], Aggregation.VERDICTS),
        ([], Aggregation.OFF),
    ],
)
def test_an_endpoint_has_a_setting_of_its_own(
    host: Host, net: Network, expected: list[str], aggregation: Aggregation
) -> None:
    """The host's setting is for endpoints that have none; of two that talk the one that wants more decides."""
    host.loaded.maps[".data.events"].mmap_array()["event_aggregation"][0] = Aggregation.OFF
    host.aggregate("backend", aggregation)
    assert expected == kinds(*conversation(host, net, "FA"))


def test_what_is_not_told_is_counted(host: Host, net: Network) -> None:
    """With events off, rules and reasons count as ever, and denials are denied."""
    host.loaded.maps[".data.events"].mmap_array()["event_aggregation"][0] = Aggregation.OFF
    spoofed = host.sends("frontend", tcp(net.backend, net.outside))
    assert (False, 0) == (spoofed.passed, len(spoofed.events))
    assert 1 == sum(host.counted(Reason.INVALID_SOURCE, direction) for direction in Direction)


def test_an_end_by_time_is_told_when_somebody_looks(host: Host, net: Network) -> None:
    """UDP has no last packet: once its time is over, the end is told with the totals, once, as the opener's."""
    for _ in range(3):
        host.sends("frontend", udp(net.frontend, net.backend))
    ends = Ends(host.loaded, {})
    assert 0 == ends.tell()
    host.let_pass(UNANSWERED_UDP_SECONDS)
    assert 1 == ends.tell()
    assert 0 == ends.tell()
    (close,) = host.ring.read()
    assert (EventKind.CLOSE, [3, 0], 17) == (close["kind"], close["packets"].tolist(), close["protocol"])
    assert (FRONTEND, BACKEND) == (close["source_identity"], close["destination_identity"])
    assert CLIENT_PORT == close["source_port"]
    assert (2, 3) == (close["egress_rule"], close["ingress_rule"])


def test_an_end_by_time_of_a_ping_names_the_request(host: Host, net: Network) -> None:
    """A ping's flow ends as an echo request, whoever was heard last."""
    host.sends("frontend", ping(net.frontend, net.backend))
    host.let_pass(UNANSWERED_UDP_SECONDS)
    host.ring.read()
    assert 1 == Ends(host.loaded, {}).tell()
    (close,) = host.ring.read()
    assert (net.ping_types[0], FRONTEND) == (close["icmp_type"], close["source_identity"])


def test_a_connection_in_the_place_of_another_tells_the_others_end(host: Host, net: Network) -> None:
    """A new flow by the same ports, after the time of the old one: both are told."""
    host.sends("frontend", udp(net.frontend, net.backend))
    host.let_pass(UNANSWERED_UDP_SECONDS)
    outcome = host.sends("frontend", udp(net.frontend, net.backend))
    assert (["VERDICT"], [1, 0]) == (kinds(outcome), outcome.ends[0]["packets"].tolist())
    assert [1, 0] == host.connection(net.family)["packets"].tolist()


def test_a_closed_connection_ends_once(host: Host, net: Network) -> None:
    """What was closed by its last packet is not told again when its time is over."""
    conversation(host, net, "FA")
    host.let_pass(UNANSWERED_UDP_SECONDS)
    assert 0 == Ends(host.loaded, {}).tell()


def test_an_end_is_told_only_to_who_wants_ends(host: Host, net: Network) -> None:
    """An endpoint that wants judgements alone gets no ends; asked again, there is nothing left to tell."""
    host.loaded.maps[".data.events"].mmap_array()["event_aggregation"][0] = Aggregation.VERDICTS
    host.sends("frontend", udp(net.frontend, net.backend))
    host.let_pass(UNANSWERED_UDP_SECONDS)
    host.ring.read()
    assert (1, 0) == (Ends(host.loaded, {}).tell(), len(host.ring.read()))
