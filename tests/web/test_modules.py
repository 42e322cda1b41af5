"""The page's pure modules, asked in the browser that they are written for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from ringfence.cli.observe_filters import FILTERS
from ringfence.tui import terms
from tests.unit.api.running import running

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def ask(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Evaluate an expression with a module's exports in scope as `m`, and an argument as `given`."""
    with running(tmp_path_factory.mktemp("agent"), ("127.0.0.1", 0)) as agent, browser.new_page() as page:
        page.goto(f"{agent.url}page/icon.svg")  # a document of the same origin, without the page at work in it
        yield evaluator(page)


def evaluator(page: Page) -> Ask:
    """What asks a page."""

    def evaluate(module: str, expression: str, given: object = None) -> Any:
        program = f"async (given) => {{ const m = await import('/page/{module}.js'); return {expression}; }}"
        return page.evaluate(program, given)

    return evaluate


@pytest.mark.parametrize(
    ("line", "query"),
    [
        ("", {"allow": [], "deny": []}),
        ("--verdict DROPPED", {"allow": [{"verdict": ["DROPPED"]}], "deny": []}),
        (
            "from-label=app=web to-pod shop/api",
            {"allow": [{"source_label": ["app=web"], "destination_pod": ["shop/api"]}], "deny": []},
        ),
        ("--port 80 --port 443", {"allow": [{"port": ["80", "443"]}], "deny": []}),
        ("--not --port 53 --ip 10.0.0.1", {"allow": [{"ip": ["10.0.0.1"]}], "deny": [{"port": ["53"]}]}),
        ("--label 'tier in (a, b)'", {"allow": [{"label": ["tier in (a, b)"]}], "deny": []}),
        ("--ipv6 --verdict denied", {"allow": [{"ip_version": ["v6"], "verdict": ["DROPPED"]}], "deny": []}),
        ("from:app=web -rule:web.yaml:3", {"allow": [{"from": ["app=web"]}], "deny": [{"rule": ["web.yaml:3"]}]}),
        ('to:"tier in (a, b)"', {"allow": [{"to": ["tier in (a, b)"]}], "deny": []}),
        ("source_port:80", {"allow": [{"source_port": ["80"]}], "deny": []}),
        ("--rule shop.yaml:13", {"allow": [{"rule": ["shop.yaml:13"]}], "deny": []}),
    ],
)
def test_filter_lines_become_the_agents_filters(ask: Ask, line: str, query: object) -> None:
    """Terms of a line become fields of a filter: values of one term are alternatives, `--not` excludes."""
    assert query == ask("filter", "m.parseFilter(given)", line)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("web", "“web” is no term"),
        ("--port", "--port needs a value behind it"),
        ("--not", "--not reverses the term behind it"),
    ],
)
def test_filter_lines_that_are_none_say_why(ask: Ask, line: str, message: str) -> None:
    """What cannot be read as terms is one message that says what to write."""
    told = ask("filter", "(() => { try { m.parseFilter(given) } catch (error) { return error.message } })()", line)
    assert message in told


def test_terms_are_those_of_observe(ask: Ask) -> None:
    """Whatever `ringfence observe` can be asked for, the page can be asked for by the same term."""
    here = ask("filter", "Object.fromEntries(m.TERMS)")
    flags = {each.name: {"field": each.field} | ({"value": each.value} if each.value else {}) for each in FILTERS}
    assert flags == here


def test_a_line_of_the_dashboard_means_the_same_here(ask: Ask) -> None:
    """A filter line of `ringfence top` asks the agent for the same flows from the page."""
    asked = terms.parse_line(terms.EXAMPLE)
    query = ask("filter", "m.parseFilter(given)", terms.EXAMPLE)
    as_here = [{"verdict" if name == "type" else name: value for name, value in json.loads(asked.allow[0]).items()}]
    as_here[0]["verdict"] = ["DROPPED"]
    assert {"allow": as_here, "deny": [json.loads(text) for text in asked.deny]} == query


def test_events_come_whole_however_they_are_cut(ask: Ask) -> None:
    """Server-sent events are read whole, wherever the network cuts them; comments are no events."""
    text = ': hello\n\ndata: {"a":1}\n\n: quiet\n\ndata: one\r\ndata: two\r\n\r\n'
    read = "(() => { const r = new m.EventReader(); return given.flatMap((piece) => r.read(piece)); })()"
    for size in (1, 2, 7, len(text)):
        pieces = [text[start : start + size] for start in range(0, len(text), size)]
        assert ['{"a":1}', "one\ntwo"] == ask("events", read, pieces)


def test_a_pause_before_trying_again_doubles_and_is_bounded(ask: Ask) -> None:
    """The page tries again after half a second, then ever later, up to eight seconds."""
    assert [500, 1000, 2000, 4000, 8000, 8000] == ask("stream", "[0, 1, 2, 3, 4, 50].map(m.pauseBefore)")


def nodes(*names: str) -> list[dict[str, str]]:
    return [{"id": name, "namespace": name.split("/")[0], "name": name.split("/")[1]} for name in names]


def links(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"from": source, "to": destination} for source, destination in pairs]


LAY = """(() => {
  const layout = new m.Layout(1600);
  return given.map(([nodes, links]) => {
    layout.place(nodes, links);
    const { places, boxes } = layout.drawn();
    return { places: Object.fromEntries(places), boxes };
  });
})()"""


def test_callers_stand_left_of_whom_they_call(ask: Ask) -> None:
    """In a namespace the map reads from left to right, whichever way most is said."""
    chain = links(("shop/web", "shop/api"), ("shop/api", "shop/db"), ("shop/db", "shop/web"))
    [drawn] = ask("layout", LAY, [[nodes("shop/db", "shop/api", "shop/web"), chain]])
    across = [drawn["places"][name]["x"] for name in ("shop/web", "shop/api", "shop/db")]
    assert across == sorted(set(across))


def test_namespaces_that_call_others_stand_left_of_them(ask: Ask) -> None:
    """Between namespaces, too, the map reads from left to right."""
    called = links(("shop/web", "data/db"), ("data/db", "shop/web"))
    [drawn] = ask("layout", LAY, [[nodes("data/db", "shop/web"), called]])
    assert drawn["places"]["shop/web"]["x"] < drawn["places"]["data/db"]["x"]


def test_places_are_kept_while_others_come(ask: Ask) -> None:
    """Nobody moves when another workload of the namespace appears, in whatever order they are told."""
    first = nodes("shop/web", "shop/api")
    more = [*nodes("shop/cache"), *reversed(first)]
    called = links(("shop/web", "shop/api"))
    before, after = ask("layout", LAY, [[first, called], [more, [*called, *links(("shop/api", "shop/cache"))]]])
    assert before["places"] == {name: after["places"][name] for name in before["places"]}


@pytest.mark.parametrize("count", [2, 30, 200])
def test_no_two_stand_on_each_other(ask: Ask, count: int) -> None:
    """However many there are, everybody stands in the box of their namespace, and no two in one place."""
    many = nodes(*(f"ns{number % 7}/w{number}" for number in range(count)))
    called = links(*((many[n]["id"], many[(n * 3 + 7) % count]["id"]) for n in range(count)))
    [drawn] = ask("layout", LAY, [[many, called]])
    assert count == len({(place["x"], place["y"]) for place in drawn["places"].values()})
    boxes = {box["name"]: box for box in drawn["boxes"]}
    for node in many:
        place, box = drawn["places"][node["id"]], boxes[node["namespace"]]
        assert box["x"] < place["x"] < box["x"] + box["width"]
        assert box["y"] < place["y"] < box["y"] + box["height"]
    for box in boxes.values():
        assert not any(_overlap(box, other) for other in boxes.values() if other is not box)


def _overlap(a: dict[str, float], b: dict[str, float]) -> bool:
    across = a["x"] < b["x"] + b["width"] and b["x"] < a["x"] + a["width"]
    return across and a["y"] < b["y"] + b["height"] and b["y"] < a["y"] + a["height"]


def party(name: str, identity: int) -> dict[str, Any]:
    return {
        "identity": identity,
        "labels": [f"k8s:app={name}"],
        "address": "10.0.0.1",
        "port": 1,
        "endpoint": f"shop/{name}",
    }


def digest(second: int, *edges: dict[str, Any]) -> dict[str, Any]:
    return {"time": f"2026-01-01T00:{second // 60:02}:{second % 60:02}Z", "seconds": 1.0, "edges": edges}


def edge(
    events: int, *, verdict: str = "allow", packets: int = 0, status: str = "new", time: str = ""
) -> dict[str, Any]:
    ends = {"source": party("web", 1), "destination": party("api", 2)}
    if status == "reply":
        ends = {"source": ends["destination"], "destination": ends["source"]}
    flow = {**ends, "port": "80/TCP", "verdict": verdict, "status": status, "time": time}
    return {"flow": flow, "events": events, "packets": packets, "bytes": 0}


TAKE = """(() => {
  const edges = new m.Edges();
  return given.map((told) => (edges.take(told), structuredClone([...edges.all.values()])));
})()"""


def test_replies_count_for_who_opened(ask: Ask) -> None:
    """A reply is no edge of its own: it belongs to the connection that it answers."""
    [[only]] = ask("edges", TAKE, [digest(0, edge(2), edge(3, status="reply"))])
    assert (5, "web", "api") == (only["events"], only["from"]["name"], only["to"]["name"])


def test_a_denial_stands_for_those_held_back(ask: Ask) -> None:
    """The rate of a denied edge counts what the kernel held back, too."""
    [[only]] = ask("edges", TAKE, [digest(0, edge(1, verdict="deny", packets=40))])
    assert 40 == only["rate"]


def test_an_edge_is_gone_after_a_minute_of_silence(ask: Ask) -> None:
    """An edge fades while nothing is said on it, and is gone a minute after its last event."""
    told = ask("edges", TAKE, [digest(0, edge(8)), digest(1), digest(60), digest(61)])
    assert [8, 4] == [edges[0]["rate"] for edges in told[:2]]
    assert [1, 1, 1, 0] == [len(edges) for edges in told]


def test_a_line_does_not_run_behind_who_stands_between(ask: Ask) -> None:
    """A line between two of one row with others between them bows out, so that it is not hidden behind those."""
    straight, bowed = ask("curves", "[300, 600].map((x) => m.curve({ x: 0, y: 0 }, { x, y: 0 }, 0).middle.y)")
    assert pytest.approx(25) == straight  # the middle of a node
    assert bowed < 0, "over the upper edge of who stands between"


def test_rates_are_drawn_on_a_logarithmic_scale(ask: Ask) -> None:
    """Ten times as many events make a line wider by as much each time, and none grows out of bounds."""
    one, ten, hundred, huge = ask("curves", "[10, 100, 1000, 1e9].map(m.widthOf)")
    assert ten - one == pytest.approx(hundred - ten, abs=0.1)
    assert hundred < huge <= 10


@pytest.mark.parametrize(
    ("text", "first", "origin", "marked"),
    [
        ("a:\n- b: 1\n  c: 2\n- d: 3\n", 1, "f.yaml:2", [2, 3]),
        ("a:\n- b: 1\n  c: 2\n- d: 3\n", 11, "f.yaml:14", [14]),
        ("a:\n  - b:\n    - c\n\n    d: 1\ne: 2\n", 1, "C:f.yaml:2", [2, 3, 4, 5]),
        ("spec: {a: 1}\nb: 2\n", 5, "f.yaml:5", [5]),
        ("a: 1\n", 1, "f.yaml:9", []),
        ("a: 1\n", 1, "", []),
    ],
)
def test_the_lines_of_a_rule_are_marked(ask: Ask, text: str, first: int, origin: str, marked: list[int]) -> None:
    """The line of an origin and the rest of the item that begins there are marked, numbered as in their file."""
    lines = ask(
        "source",
        "m.linesOf(given.policy, given.origin)",
        {"policy": {"text": text, "text_line": first}, "origin": origin},
    )
    assert marked == [line["number"] for line in lines if line["marked"]]
    assert text.splitlines() == [line["text"] for line in lines]


@pytest.mark.parametrize(
    ("labels", "endpoint", "place"),
    [
        (["k8s:app=web", "k8s:io.kubernetes.pod.namespace=shop"], "shop/web-1", "shop/web-1"),
        (["k8s:app=web", "k8s:io.kubernetes.pod.namespace=shop"], None, "shop/web"),
        (["reserved:world"], None, "world"),
        (["cidr:10.0.0.0/8", "cidr:10.1.0.0/16", "reserved:world"], None, "10.1.0.0/16"),
        (["k8s:x=y"], "lonely", "no namespace/lonely"),
        ([], None, "identity 7"),
    ],
)
def test_names_of_ends(ask: Ask, labels: list[str], endpoint: str | None, place: str) -> None:
    """An end is called as people call it: endpoint, application, reserved name, narrowest prefix, or its number."""
    given = {"identity": 7, "labels": labels, "endpoint": endpoint, "address": "10.0.0.1", "port": 0}
    assert place == ask("names", "m.fullName(m.placeOf(given))", given)


def test_the_page_holds_a_bounded_state(ask: Ask) -> None:
    """However long a page stays open it holds so many flows, rates and edges and no more."""
    program = """(() => {
      const state = new m.State();
      const [edge] = given.edges;
      const to = (port) => ({ ...edge, flow: { ...edge.flow, port } });
      for (let n = 0; n < 300; n += 1) {
        state.take({ ...given, time: new Date(n * 10).toISOString(), edges: [to(`${n}/TCP`), to(`${n}/UDP`)] });
      }
      return [state.flows.length, state.rates.length, state.edges.all.size, state.received];
    })()"""
    given = {**digest(0, edge(1)), "events": 20, "allowed": 20, "denied": 0, "lost": 0, "flows": [edge(1)["flow"]] * 20}
    assert [500, 90, 400, 6000] == ask("state", program, given)
