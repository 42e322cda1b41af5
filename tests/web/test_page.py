from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.unit.api.running import Running, running
from tests.web.conftest import OpenPage
from tests.web.shop import HOSTILE, RULE_LINES, UID, Shop


def live(page: Page) -> None:
    """Wait until the page's stream is open: every later event is in it."""
    expect(page.locator("#connection")).to_have_text("live")


@pytest.fixture
def page(agent: Running, shop: Shop, open_page: OpenPage) -> Page:
    """The page, with the shop known and nothing said yet."""
    del shop
    found = open_page(agent.url)
    live(found)
    return found


def denied_edge(page: Page) -> str:
    """Where the line of a denied edge is."""
    edge = page.locator(".edge.deny")
    expect(edge).to_have_count(1)
    return edge.get_attribute("data-key") or ""


def test_an_idle_page_says_so(page: Page) -> None:
    """Before anybody spoke the map says that it waits, and not that something is wrong."""
    expect(page.get_by_text("No verdicts yet")).to_be_visible()


def test_the_map_tells_allowed_from_denied(shop: Shop, page: Page) -> None:
    """Each edge is named with ends, port, verdict and rate; denied ones are dashed and end in a cross."""
    shop.allowed(count=20)
    shop.denied(destination_port=8081)
    expect(page.get_by_role("button", name="shop/frontend to shop/backend, 8080/TCP, allowed")).to_be_attached()
    expect(page.get_by_role("button", name="shop/stranger to shop/backend, 8081/TCP, denied")).to_be_attached()
    dashes = "element => getComputedStyle(element.querySelector('.line')).strokeDasharray"
    assert "none" == page.locator(".edge.allow").evaluate(dashes)
    assert "none" != page.locator(".edge.deny").evaluate(dashes)
    assert "#tip-deny" in (page.locator(".edge.deny .line").get_attribute("marker-end") or "")
    expect(page.get_by_text("2 edges in the last minute, 1 denied")).to_be_visible()
    widths = page.locator(".edge .line").evaluate_all(
        "lines => lines.map(line => Number(line.getAttribute('stroke-width')))"
    )
    assert len(set(widths)) == 2, "twenty a second and one are as wide as each other"


def test_nodes_do_not_jump(shop: Shop, page: Page) -> None:
    """A workload keeps its place on the map while others come and rates change."""
    shop.allowed()
    expect(page.locator(".node")).to_have_count(2)
    place = "nodes => Object.fromEntries(nodes.map(n => [n.dataset.key, n.getAttribute('transform')]))"
    before = page.locator(".node").evaluate_all(place)
    shop.denied(count=50)
    expect(page.locator(".node")).to_have_count(3)
    after = page.locator(".node").evaluate_all(place)
    assert before == {name: after[name] for name in before}


def test_a_denied_edge_leads_to_the_line_that_denied(shop: Shop, page: Page) -> None:
    """A click on a denied edge names the rule with file and line; its page shows the policy with that line marked."""
    shop.denied(destination_port=8081)
    page.locator(".edge.deny .reach").click(force=True)
    beside = page.get_by_role("complementary")
    expect(beside).to_contain_text("✕ denied shop/stranger → shop/backend")
    expect(beside).to_contain_text("10.0.0.3:40000 → 10.0.0.2:8081")
    beside.get_by_role("link", name="no rule allows this; isolated by shop.yaml:13").click()
    expect(page.get_by_role("heading", name=UID)).to_be_visible()
    named = page.locator(".source [aria-current]")
    expect(named).to_have_text("  - fromEndpoints:")
    assert "13" == named.get_attribute("value")
    marked = page.locator(".source .named, .source .marked").evaluate_all("lines => lines.map(line => line.value)")
    assert list(RULE_LINES) == marked
    assert "3" == page.locator(".source li").first.get_attribute("value")
    expect(page.locator(".rules tbody tr")).to_have_count(2)  # what the line allows, and what is denied because of it
    expect(page.locator(".brief tr")).to_have_count(1)
    expect(page.locator(".brief")).to_contain_text("shop/stranger → shop/backend")


def test_edges_are_chosen_by_keys(shop: Shop, page: Page) -> None:
    """Without a mouse: Enter on an edge tells of it and moves there, Escape closes and moves back."""
    shop.denied()
    key = denied_edge(page)
    page.locator(".edge.deny").focus()
    page.keyboard.press("Enter")
    beside = page.get_by_role("complementary")
    expect(beside).to_be_focused()
    page.keyboard.press("Tab")
    expect(beside.get_by_role("link").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(beside).to_be_hidden()
    expect(page.locator(".edge.deny")).to_be_focused()
    assert key == page.evaluate("document.activeElement.dataset.key")


def test_a_node_tells_its_labels_and_edges(shop: Shop, page: Page) -> None:
    """A click on a workload tells its identity and labels; whom it does not speak to steps back."""
    shop.allowed()
    shop.denied()
    page.get_by_role("button", name="shop/frontend", exact=True).click()
    beside = page.get_by_role("complementary")
    expect(beside).to_contain_text("k8s:app=frontend")
    expect(beside.get_by_role("link", name="→ shop/backend")).to_be_visible()
    expect(page.locator(".node.near")).to_have_count(2)


def test_the_table_has_each_flow_with_its_rule(shop: Shop, page: Page) -> None:
    """The flow table shows both ends, port, verdict and rule, and behind it the chain from address to rule."""
    shop.allowed()
    shop.denied()
    page.get_by_role("link", name="Flows", exact=True).click()
    expect(page.locator(".flows tbody tr")).to_have_count(2)
    row = page.locator(".flows tr.deny")
    for text in (
        "✕ denied",
        "shop/stranger",
        "10.0.0.3:40000",
        "8080/TCP",
        "no rule allows this; isolated by shop.yaml:13",
    ):
        expect(row).to_contain_text(text)
    row.get_by_text("chain").click()
    expect(row).to_contain_text("10.0.0.3 → identity 258 → k8s:app=stranger, k8s:io.kubernetes.pod.namespace=shop")
    expect(page.get_by_text("showing 2 of 2; paused")).to_be_visible()  # it stays while somebody reads


def test_what_is_sampled_is_said(shop: Shop, page: Page) -> None:
    """Of many events only a sample is shown, and the page says of how many."""
    page.get_by_role("link", name="Flows", exact=True).click()
    shop.allowed(count=98_412)
    expect(page.get_by_text("showing 50 of 98,412; a sample: the agent sent the newest 50")).to_be_visible()
    expect(page.locator(".flows tbody tr")).to_have_count(50)


def test_a_paused_table_stays(shop: Shop, page: Page) -> None:
    """While the table is paused nothing moves; when it goes on, what came since is there."""
    page.get_by_role("link", name="Flows", exact=True).click()
    shop.allowed()
    expect(page.locator(".flows tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Pause").click()
    shop.denied()
    expect(page.get_by_text("showing 1 of 2; paused")).to_be_visible()
    expect(page.locator(".flows tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Go on").click()
    expect(page.locator(".flows tbody tr")).to_have_count(2)


def test_a_filter_narrows_what_the_agent_sends(shop: Shop, page: Page) -> None:
    """The filter line holds for the map and the table, stays in the address, and ends when it is cleared."""
    page.get_by_label("Filter").fill("--verdict DROPPED --from-label app=stranger")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"filter=--verdict\+DROPPED"))
    live(page)
    shop.allowed()
    shop.denied()
    expect(page.locator(".edge.deny")).to_have_count(1)
    expect(page.locator(".edge")).to_have_count(1)
    page.get_by_role("link", name="Flows", exact=True).click()
    expect(page.locator(".flows tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_label("Filter")).to_have_value("")
    expect(page.locator(".flows tbody tr")).to_have_count(0)
    live(page)
    shop.allowed()
    expect(page.locator(".flows tr.allow")).to_have_count(1)


def test_a_filter_that_is_none_is_refused(page: Page, complaints: list[str]) -> None:
    """A term that there is not is refused by the page, a value that there is not by the agent, in its words."""
    line = page.get_by_label("Filter")
    line.fill("frontend")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("“frontend” is no term")
    line.fill("--port nonsense")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("nonsense")
    expect(page.locator("#connection")).to_have_text("the agent refuses the filter")
    complaints.clear()  # Chromium tells of every answer 400
    page.get_by_role("button", name="Clear").click()
    live(page)
    expect(page.get_by_role("alert")).to_be_hidden()


def test_an_agent_that_stops_and_comes_back(
    agent: Running, shop: Shop, page: Page, tmp_path: Path, complaints: list[str]
) -> None:
    """While the agent is away the page says so and keeps what it knew; when it is back the page goes on by itself."""
    shop.allowed()
    expect(page.locator(".edge")).to_have_count(1)
    agent.stop()
    expect(page.locator("#connection")).to_contain_text("agent not reachable")
    expect(page.locator(".edge")).to_have_count(1)
    again = tmp_path / "again"
    again.mkdir()
    port = urlsplit(agent.url).port
    assert port is not None
    with running(again, ("127.0.0.1", port)) as other:
        live(page)
        complaints.clear()  # Chromium tells of every connection that was refused
        Shop(other).denied()
        expect(page.locator(".edge.deny")).to_have_count(1)
        page.close()


def test_names_of_workloads_are_no_html(agent: Running, open_page: OpenPage) -> None:
    """A workload that calls itself by a piece of HTML is shown by that name, everywhere, and nothing of it runs."""
    shop = Shop(agent, HOSTILE)
    page = open_page(agent.url)
    live(page)
    shop.denied(HOSTILE, "backend")
    page.locator(".edge.deny .reach").click(force=True)
    expect(page.get_by_role("complementary")).to_contain_text(f"shop/{HOSTILE} → shop/backend")
    page.get_by_text("The same as a table").click()
    expect(page.locator("details.table")).to_contain_text(HOSTILE)
    for view in ("Flows", "Status"):
        page.get_by_role("link", name=view, exact=True).click()
        expect(page.locator("main")).to_contain_text(HOSTILE)
    expect(page).to_have_title("Status, Ringfence")
    assert 1 == page.locator("img").count()  # the page's own


def test_policies_are_listed_with_their_rules(page: Page) -> None:
    """Every policy is listed with its rules and hits, and so are the defaults."""
    page.get_by_role("link", name="Policies").click()
    expect(page.get_by_role("link", name=UID)).to_be_visible()
    expect(page.get_by_role("link", name="allowed by backend-access, shop.yaml:13")).to_be_visible()
    expect(page.get_by_role("heading", name="Defaults, where no policy decides")).to_be_visible()
    page.get_by_role("link", name="allowed by default: no policy isolates it").first.click()
    expect(page.get_by_text("No file says this")).to_be_visible()


def test_the_status_tells_losses_and_endpoints(page: Page) -> None:
    """The status shows losses by stage, recording and every endpoint with its labels."""
    page.get_by_role("link", name="Status").click()
    for text in ("found the ring full", "off: not asked for", "shop/backend", "k8s:app=stranger", "instance test"):
        expect(page.locator("main")).to_contain_text(text)


@pytest.mark.parametrize("view", ["map", "flows", "policies", "status"])
def test_a_phone_shows_all_of_it(agent: Running, shop: Shop, open_page: OpenPage, view: str) -> None:
    """At a phone's width nothing sticks out to the side of the page."""
    page = open_page(f"{agent.url}#/{view}", viewport={"width": 360, "height": 740})
    live(page)
    shop.allowed(count=3)
    shop.denied()
    expect(page.locator("#pulse")).not_to_contain_text("0/s denied")
    expect(page.locator("main h1")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system(agent: Running, open_page: OpenPage, scheme: str) -> None:
    """The page is light or dark as the system is."""
    page = open_page(agent.url, color_scheme=scheme)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
    assert ("light" if sum(ground) > 3 * 128 else "dark") == scheme
