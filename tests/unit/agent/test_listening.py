from __future__ import annotations

import pytest

from ringfence.agent.listening import listen, parse_listen
from ringfence.errors import BadInput, Unavailable


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:9479", ("127.0.0.1", 9479)), ("[::1]:0", ("::1", 0)), ("127.9.9.9:1", ("127.9.9.9", 1))],
)
def test_loopback_is_taken(text: str, expected: tuple[str, int]) -> None:
    """Any loopback address of both families, with a port."""
    assert expected == parse_listen(text)


@pytest.mark.parametrize(
    "text", ["", "9479", ":9479", "127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", "::1:80", "[127.0.0.1]:1", "host:80"]
)
def test_what_is_no_address_and_port_is_refused(text: str) -> None:
    """A place to listen has both, and a family is written its own way."""
    with pytest.raises(BadInput, match=r"is not ADDRESS:PORT, as 127\.0\.0\.1:9479"):
        parse_listen(text)


def test_other_hosts_are_let_in_only_when_that_is_said() -> None:
    """An address that others reach is refused, unless anywhere is meant."""
    with pytest.raises(BadInput, match="other hosts may reach"):
        parse_listen("0.0.0.0:9479")
    assert ("0.0.0.0", 9479) == parse_listen("0.0.0.0:9479", anywhere=True)  # noqa: S104 - nothing listens there


def test_a_port_that_somebody_has_is_named() -> None:
    """Where it cannot listen, the error says where and why."""
    with listen(("127.0.0.1", 0)) as first, pytest.raises(Unavailable, match="cannot listen on"):
        listen(first.getsockname()[:2])
