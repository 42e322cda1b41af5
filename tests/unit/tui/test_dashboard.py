from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from ringfence.errors import RingfenceError
from tests.unit.api.serving import serving
from tests.unit.tui.driving import SIZE, Driver, drive, opened
from tests.unit.tui.shop import Shop, busy, digest, edge, flow, hand_entry, party

SCREENS = Path(__file__).with_name("screens")
#: Set to write the screens anew instead of comparing with them.
RENEW = "RINGFENCE_RENEW_SCREENS"


def assert_screen(name: str, screen: str) -> None:
    """Compare a screen with the one on file, as a person would read it."""
    file = SCREENS / f"{name}.txt"
    if os.environ.get(RENEW):
        file.write_text(screen)
    assert file.read_text() == screen, f"what is drawn is not {file.name}; {RENEW}=1 writes it anew"


def test_opening_it_shows_flows_and_rates(tmp_path: Path) -> None:
    """At once there are the flows by their newest verdict, each with its rule, and the rates over time."""

    async def act(driver: Driver) -> None:
        assert_screen("flows", driver.screen)

    drive(tmp_path, act)


def test_a_wide_terminal_shows_rules_in_full(tmp_path: Path) -> None:
    """What is cut or left out on 80 columns has room on more."""

    async def act(driver: Driver) -> None:
        assert_screen("flows-wide", driver.screen)

    drive(tmp_path, act, size=(140, 30))


@pytest.mark.parametrize(("key", "name", "text"), [
    ("2", "endpoints", "shop/guest"),
    ("3", "rules", "98,412"),
    ("4", "losses", "EVENTS LOST"),
    ("5", "by-hand", "deny   ingress"),
])  # fmt: skip
def test_a_number_turns_to_a_tab(tmp_path: Path, key: str, name: str, text: str) -> None:
    """1 to 5 are flows, endpoints, rules, losses and what is set by hand; each fits on 80 by 24."""
    shop = Shop()
    shop.by_hand = [hand_entry({"direction": "ingress", "subject": 256, "peer": 258, "action": "deny"})]

    async def act(driver: Driver) -> None:
        await driver.press(key)
        assert_screen(name, await driver.shows(text, "By hand 1"))

    drive(tmp_path, act, shop)


def test_enter_shows_the_chain_down_to_the_line(tmp_path: Path) -> None:
    """Of the chosen flow: address, identity, labels, rule, file:line, what was held back, and the lines themselves."""

    async def act(driver: Driver) -> None:
        await driver.press("down", "enter")
        assert_screen("chain", await driver.shows("> "))
        await driver.press("escape")
        await driver.shows("[1 Flows]")

    drive(tmp_path, act)


def test_v_shows_single_verdicts_and_of_how_many(tmp_path: Path) -> None:
    """Single verdicts are a sample, and the screen says of how many a second."""
    shop = Shop()
    shop.script.append(busy(100, seconds=0.05))

    async def act(driver: Driver) -> None:
        await driver.press("v")
        assert_screen("verdicts", await driver.shows("showing 5 of 120,020 verdicts/s"))

    drive(tmp_path, act, shop)


def test_writing_a_filter_asks_the_agent(tmp_path: Path) -> None:
    """The filter line goes to the agent, which filters: what is gathered begins anew."""

    async def act(driver: Driver) -> None:
        await driver.write("/from:app=client verdict:drop")
        await driver.press("enter")
        await driver.shows("filter from:app=client verdict:drop")
        await driver.until(lambda: len(driver.shop.asked) == 2)

    shop = drive(tmp_path, act)
    assert [0, 1] == [len(query.allow) for query in shop.asked]


def test_a_filter_that_means_nothing_is_told(tmp_path: Path) -> None:
    """A word that is no term, and a term that the agent does not know, are told; the flows go on."""

    async def act(driver: Driver) -> None:
        await driver.write("/nonsense")
        await driver.press("enter")
        await driver.shows("'nonsense' is no term")
        await driver.press("escape")
        await driver.write("/port:99999/TCP")
        await driver.press("enter")
        await driver.shows("not asked for port:99999/TCP", "no filter", "shop/client")

    drive(tmp_path, act)


def test_space_pauses_the_flows(tmp_path: Path) -> None:
    """Paused, the flows stay as they are; Space again shows what has come since."""

    async def act(driver: Driver) -> None:
        await driver.press("space")
        await driver.shows("PAUSED")
        driver.shop.script.append(busy(1000))
        await driver.read()
        assert "40,080" not in driver.screen
        await driver.press("space")
        await driver.shows("40,080")

    drive(tmp_path, act)


def test_d_denies_the_chosen_flow_and_tells_when_it_was_judged(tmp_path: Path) -> None:
    """D sets one entry for the flow's ends and port; first there is no packet yet, then the time to the first."""

    async def act(driver: Driver) -> None:
        await driver.shows("> ALLOW")
        await driver.press("d")
        await driver.shows("denied by hand: shop/client -> shop/web 80/TCP, revision 8", "no packet yet")
        driver.shop.verdicts.append(flow("client", "80/TCP", "deny", revision=8, time="2099-01-01T00:00:00.000000Z"))
        await driver.shows("first packet judged after", "ms: DENY")

    ((kind, request),) = drive(tmp_path, act).changes
    assert kind == "entries"
    (entry,) = request["set"]
    assert ("ingress", 256, 257, 6, 80, "admin", "deny") == tuple(
        entry[name] for name in ("direction", "subject", "peer", "protocol", "port", "tier", "action")
    )


def test_a_allows_the_chosen_flow_from_its_chain_too(tmp_path: Path) -> None:
    """The keys act on the flow whose chain is shown."""

    async def act(driver: Driver) -> None:
        await driver.press("down", "enter")
        await driver.shows("denied by web")
        await driver.press("A")
        assert_screen("allowed", await driver.shows("allowed by hand: shop/client -> shop/web 8080/TCP, revision 8"))

    drive(tmp_path, act)


def test_c_takes_back_what_was_set_here_and_no_more(tmp_path: Path) -> None:
    """C deletes the entries of this dashboard in one request; what was set before stays until that is confirmed."""
    shop = Shop()
    before = hand_entry({"direction": "ingress", "subject": 256, "peer": 258, "action": "deny"})
    shop.by_hand = [before]

    async def act(driver: Driver) -> None:
        await driver.press("d")
        await driver.shows("By hand 2")
        await driver.press("c")
        await driver.shows("taken back: 1 entry set here", "By hand 1")
        assert [before] == shop.by_hand
        await driver.press("c")
        assert_screen("clearing", await driver.shows("Y clear it too"))
        await driver.press("n")
        await driver.shows_no("Y clear it too")
        assert [before] == shop.by_hand
        await driver.press("c")
        await driver.shows("Y clear it too")
        await driver.press("y")
        await driver.shows("cleared: 1 entry set by hand before")
        assert [] == shop.by_hand

    drive(tmp_path, act, shop)


@pytest.mark.parametrize(("answer", "left"), [("u", 0), ("k", 1)], ids=["undone", "kept"])
def test_leaving_asks_what_becomes_of_what_was_set(tmp_path: Path, answer: str, left: int) -> None:
    """Q lists what was set here: U takes it back and quits, K keeps it and quits, Esc stays."""

    async def act(driver: Driver) -> None:
        await driver.press("d")
        await driver.shows("By hand 1")
        await driver.press("q")
        assert_screen("leaving", await driver.shows("U undo it and quit"))
        await driver.press("escape")
        await driver.shows_no("U undo it and quit")
        await driver.press("q", answer)
        await driver.until(lambda: not driver.top.is_running)

    assert len(drive(tmp_path, act).by_hand) == left


def test_leaving_asks_nothing_where_nothing_was_set(tmp_path: Path) -> None:
    """Q quits at once."""

    async def act(driver: Driver) -> None:
        await driver.press("q")
        await driver.until(lambda: not driver.top.is_running)

    drive(tmp_path, act)


def test_a_refused_flip_is_told(tmp_path: Path) -> None:
    """What the agent refuses is told with its reason, and nothing is noted as set."""
    shop = Shop()
    shop.refusal = RingfenceError("the kernel refused the change: the map is full")

    async def act(driver: Driver) -> None:
        await driver.press("d")
        await driver.shows("not done: denied by hand", "the map is full")
        assert {} == driver.top.picture.ledger.mine

    drive(tmp_path, act, shop)


def test_question_mark_tells_the_keys(tmp_path: Path) -> None:
    """Every key is told on one screen; any key goes back."""

    async def act(driver: Driver) -> None:
        await driver.press("question_mark")
        assert_screen("help", await driver.shows("any key goes back"))
        await driver.press("x")
        await driver.shows_no("any key goes back")

    drive(tmp_path, act)


def test_the_cursor_stays_on_its_flow(tmp_path: Path) -> None:
    """When another flow becomes the busiest and takes the first row, the cursor goes along with its own."""

    async def act(driver: Driver) -> None:
        await driver.press("down")
        assert ["shop/client", "shop/web", "8080/TCP"] == _under_cursor(driver.screen)
        for _ in range(3):
            driver.shop.script.append(digest(edge(flow("198.51.100.7", "443/TCP", "isolated"), 5000)))
        await driver.read()
        assert driver.screen.index("443/TCP") < driver.screen.index("> DENY")
        assert ["shop/client", "shop/web", "8080/TCP"] == _under_cursor(driver.screen)

    drive(tmp_path, act)


def _under_cursor(screen: str) -> list[str]:
    """Source, destination and port of the row that has the cursor."""
    return next(line for line in screen.splitlines() if line.startswith("> ")).split()[3:6]


def test_it_begins_on_the_flow_that_is_wanted(tmp_path: Path) -> None:
    """The cursor begins on a flow that was asked for, also when it comes later than others, and can be moved away."""
    shop = Shop()
    guest = flow("guest", "22/TCP", "isolated")

    async def act(driver: Driver) -> None:
        assert ["shop/client", "shop/web", "80/TCP"] == _under_cursor(driver.screen)
        shop.script.append(digest(edge(guest, 1)))
        await driver.read()
        assert ["shop/guest", "shop/web", "22/TCP"] == _under_cursor(driver.screen)
        await driver.press("home")
        shop.script.append(digest(edge(guest, 2)))
        await driver.read()
        assert ["shop/client", "shop/web", "80/TCP"] == _under_cursor(driver.screen)

    drive(tmp_path, act, shop, wanted=lambda found: found["port"] == "22/TCP")


def test_it_says_that_the_agent_is_gone_and_goes_on_with_the_next(tmp_path: Path) -> None:
    """While no agent answers the dashboard says so and keeps what it has; it goes on as soon as one does."""
    first, second = Shop(), Shop()
    second.script = [busy(1000)]
    path = tmp_path / "agent.sock"

    async def both() -> None:
        async with opened(path, first, SIZE, {}) as driver:
            with serving(first, path):
                await driver.read()
                first.end()
            await driver.shows("NO AGENT", "trying again", "shop/client")
            with serving(second, path):
                driver.shop = second
                await driver.read()
                await driver.shows_no("NO AGENT")
                second.end()

    asyncio.run(both())


def test_without_colours_everything_is_still_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR takes colours away and nothing else: verdicts are words and the cursor is a mark."""
    monkeypatch.setenv("NO_COLOR", "1")

    async def act(driver: Driver) -> None:
        assert_screen("flows", driver.screen)
        assert {None} == driver.colours

    drive(tmp_path, act)


def test_what_is_written_in_a_policy_orders_the_terminal_nothing(tmp_path: Path) -> None:
    """Control characters in a label or a name are blanks on the screen."""
    shop = Shop()
    source = {**party("guest"), "endpoint": "shop/\x1b[2Jgu\test"}
    shop.script = [digest(edge(flow("guest", "80/TCP", source=source), 1))]

    async def act(driver: Driver) -> None:
        assert "shop/ [2Jgu est" in driver.screen
        assert "\x1b" not in driver.screen

    drive(tmp_path, act, shop)


def test_verdicts_have_colours(tmp_path: Path) -> None:
    """An allowance is green and a denial red, in the terminal's own colours."""

    async def act(driver: Driver) -> None:
        assert {"green", "red"} <= driver.colours

    drive(tmp_path, act)
