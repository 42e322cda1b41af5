/** The map's view: the picture, what is chosen beside it, and the same as a table for whoever reads rather than looks. */

import { chosenParts } from "./chosen.js";
import { html, keyed, say } from "./dom.js";
import { Picture } from "./map.js";
import { fullName } from "./names.js";
import { count, rate } from "./numbers.js";
import { routeTo } from "./route.js";
import { ruleLink, verdictMark } from "./words.js";

/** @typedef {import("./edges.js").Edge} Edge */

/** Service map. */
export class MapView {
  title = "Service map";
  live = true;
  #chosen = "";
  #empty = html("p", { class: "empty" }, "No verdicts yet. As soon as workloads speak, they show here.");
  #byKey = false;
  #aside = html("aside", {
    "aria-label": "What is chosen",
    tabindex: -1,
    keydown: (/** @type {KeyboardEvent} */ event) => event.key === "Escape" && this.#close(),
  });
  #rows = html("tbody");
  #summary = html("p", { class: "summary" });

  /**
   * @param {import("./state.js").State} state
   * @param {() => string} filter the filter line, to be kept in addresses
   */
  constructor(state, filter) {
    this.state = state;
    this.filter = filter;
    this.picture = new Picture((chosen, byKey) => this.#choose(chosen, byKey));
    const zoom = (/** @type {string} */ text, /** @type {string} */ label, /** @type {number} */ factor) =>
      html("button", { type: "button", "aria-label": label, click: () => this.picture.zoom(factor) }, text);
    const heading = ["Verdict", "From", "To", "Port", "Rate", "Rule"].map((text) => html("th", { scope: "col" }, text));
    this.element = html(
      "section",
      { class: "map" },
      html(
        "div",
        { class: "heading" },
        html("h1", {}, this.title),
        this.#summary,
        legend(),
        html(
          "div",
          { class: "zoom" },
          zoom("−", "Smaller", 0.8),
          zoom("+", "Larger", 1.25),
          zoom("Fit", "Fit to the window", 0),
        ),
      ),
      html(
        "div",
        { class: "columns" },
        html("div", { class: "canvas" }, this.#empty, this.picture.element),
        this.#aside,
      ),
      html(
        "details",
        { class: "table" },
        html("summary", {}, "The same as a table"),
        html("table", {}, html("thead", {}, html("tr", {}, ...heading)), this.#rows),
      ),
    );
  }

  /** @param {URLSearchParams} parameters */
  show(parameters) {
    this.#chosen = parameters.get("chosen") ?? "";
    const inside = this.#aside.contains(document.activeElement);
    this.update();
    this.#tellChosen();
    if (this.#chosen && (inside || this.#byKey)) this.#aside.focus();
    this.#byKey = false;
  }

  /** Forget all places: another filter means another map. */
  clear() {
    this.picture.clear();
  }

  update() {
    const edges = [...this.state.edges.all.values()];
    this.#empty.hidden = edges.length > 0;
    this.picture.element.hidden = edges.length === 0;
    if (edges.length) this.picture.draw(edges, this.#chosen);
    say(this.#summary, this.#summaryText(edges));
    if (!this.#inUse()) this.#tellChosen();
    keyed(
      this.#rows,
      edges.sort((a, b) => (a.key < b.key ? -1 : 1)),
      (edge) => edge.key,
      makeRow,
      updateRow,
    );
  }

  /** @param {Edge[]} edges */
  #summaryText(edges) {
    const denied = edges.filter((edge) => edge.verdict === "deny").length;
    const left = this.state.last?.edges_left_out ?? 0;
    const more = left ? `; ${count(left)} more pairs in the last second are left out: narrow the filter` : "";
    return `${count(edges.length)} edges in the last minute, ${count(denied)} denied${more}`;
  }

  /** Whether somebody moves about in what is told of the chosen, or selects text there: it is not replaced under them. */
  #inUse() {
    const selection = document.getSelection();
    const selects = selection && !selection.isCollapsed && this.#aside.contains(selection.anchorNode);
    return selects || this.#aside.contains(document.activeElement);
  }

  #tellChosen() {
    const parts = this.#chosen ? chosenParts(this.state, this.#chosen, this.filter()) : [];
    this.#aside.hidden = !parts.length;
    this.#aside.replaceChildren(...parts, html("button", { type: "button", click: () => this.#close() }, "Close"));
  }

  /**
   * @param {string} chosen
   * @param {boolean} byKey then the focus goes where it is told
   */
  #choose(chosen, byKey) {
    this.#byKey = byKey;
    location.hash = routeTo("map", { filter: this.filter(), chosen: chosen === this.#chosen ? null : chosen });
  }

  #close() {
    this.picture.focus(this.#chosen);
    this.#choose(this.#chosen, false);
  }
}

/** @param {Edge} edge */
function makeRow(edge) {
  const cells = [fullName(edge.from), fullName(edge.to), edge.port].map((text) => html("td", {}, text));
  return html(
    "tr",
    { class: edge.verdict },
    html("td", {}, verdictMark(edge.verdict)),
    ...cells,
    html("td", { class: "number" }),
    html("td", {}),
  );
}

/**
 * @param {Element} row
 * @param {Edge} edge
 */
function updateRow(row, edge) {
  say(row.children[4], rate(edge.rate));
  const link = ruleLink(edge.flow.rule);
  if (row.children[5].textContent !== link.textContent) row.children[5].replaceChildren(link);
}

const legend = () =>
  html(
    "p",
    { class: "legend" },
    html("span", { class: "allow" }, "allowed"),
    html("span", { class: "deny" }, "denied"),
    html("span", { class: "note" }, "wider: more a second"),
  );
