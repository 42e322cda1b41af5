/** The page: one stream, one state, and the view that the address names. */

import { html, say } from "./dom.js";
import { parametersOf, parseFilter } from "./filter.js";
import { FilterLine } from "./filterline.js";
import { FlowsView } from "./flows.js";
import { MapView } from "./mapview.js";
import { PoliciesView } from "./policies.js";
import { Pulse } from "./pulse.js";
import { readRoute, routeTo } from "./route.js";
import { RuleView } from "./rule.js";
import { State } from "./state.js";
import { StatusView } from "./status.js";
import { Stream } from "./stream.js";

/**
 * @typedef {{
 *   title: string, live: boolean, element: HTMLElement, show: (parameters: URLSearchParams) => void, update: () => void,
 *   hide?: () => void, clear?: () => void
 * }} View `live` is one whose content the filter narrows
 */

/** @param {string} id */
const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

class Page {
  #filter = "";
  #state = new State();
  /** @type {Record<string, View>} */
  #views = {
    map: new MapView(this.#state, () => this.#filter),
    flows: new FlowsView(this.#state),
    policies: new PoliciesView(),
    rule: new RuleView(this.#state, () => this.#filter),
    status: new StatusView(),
  };
  /** @type {View | null} */
  #shown = null;
  #drawing = false;
  #pulse = new Pulse(byId("pulse"));
  #line = new FilterLine(byId("filter"), (line) => this.#refilter(line));
  #stream = new Stream(
    (digest) => this.#state.take(digest),
    (connection) => this.#tell(connection),
  );

  start() {
    this.#state.listen(() => this.#draw());
    window.addEventListener("hashchange", () => this.#route());
    window.addEventListener("resize", () => this.#draw());
    document.addEventListener("visibilitychange", () => document.hidden || this.#stream.hurry());
    this.#filter = readRoute(location.hash).parameters.get("filter") ?? "";
    this.#route();
    this.#listen();
  }

  /** Show the view that the address names, with the filter that stands there. */
  #route() {
    const { view: name, parameters } = readRoute(location.hash);
    const view = this.#views[name] ?? this.#views.map;
    if (view.live) this.#takeFilter(parameters.get("filter") ?? "");
    if (view !== this.#shown) this.#change(view);
    this.#navigate(name);
    view.show(parameters);
  }

  /** @param {View} view */
  #change(view) {
    this.#shown?.hide?.();
    const first = this.#shown === null;
    this.#shown = view;
    document.title = `${view.title}, Ringfence`;
    byId("main").replaceChildren(view.element);
    byId("filter").hidden = !view.live;
    if (!first) byId("main").focus();
  }

  /** @param {string} name */
  #navigate(name) {
    const listed = ["map", "flows", "policies", "status"].map((each) => {
      const view = this.#views[each];
      const here = each === name || (each === "policies" && name === "rule");
      return html(
        "a",
        { href: routeTo(each, { filter: view.live ? this.#filter : null }), "aria-current": here && "page" },
        view.title,
      );
    });
    byId("views").replaceChildren(...listed);
  }

  /** @param {string} line */
  #refilter(line) {
    const { view, parameters } = readRoute(location.hash);
    location.hash = routeTo(view, { ...Object.fromEntries(parameters), filter: line, chosen: null });
  }

  /** @param {string} line */
  #takeFilter(line) {
    this.#line.set(line);
    if (line === this.#filter) return;
    this.#filter = line;
    for (const view of Object.values(this.#views)) view.clear?.();
    this.#state.clear();
    this.#listen();
  }

  #listen() {
    this.#line.fail("");
    try {
      this.#stream.open(parametersOf(parseFilter(this.#filter)));
    } catch (error) {
      this.#line.fail(/** @type {Error} */ (error).message);
    }
  }

  /** Draw once a frame at most, however often something changes. */
  #draw() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      this.#pulse.update(this.#state);
      this.#shown?.update();
    });
  }

  /** @param {import("./stream.js").Connection} connection */
  #tell(connection) {
    const told = byId("connection");
    if (connection.name === "connecting" && told.dataset.state === "unreachable") return;
    told.dataset.state = connection.name;
    document.body.classList.toggle("stale", connection.name === "unreachable");
    if (connection.name === "refused") this.#line.fail(connection.detail);
    say(told, connectionText(connection));
  }
}

/** @param {import("./stream.js").Connection} connection */
function connectionText(connection) {
  switch (connection.name) {
    case "live":
      return "live";
    case "refused":
      return "the agent refuses the filter";
    case "unreachable":
      return `agent not reachable (${connection.detail}); what you see is the last it said. Trying again every few seconds.`;
    default:
      return "connecting";
  }
}

new Page().start();
