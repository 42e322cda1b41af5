/** The flow table: the newest flows that the filter lets through, each with its verdict and rule. */

import { html, keyed, say } from "./dom.js";
import { MOST_FLOWS } from "./state.js";
import { clock, count } from "./numbers.js";
import { ruleLink, verdictMark } from "./words.js";

/** @typedef {import("./state.js").HeldFlow} HeldFlow */

const MOST_ROWS = 200;
const COLUMNS = ["Time", "Verdict", "From", "To", "Port", "Rule"];

/** Flow table. */
export class FlowsView {
  title = "Flows";
  live = true;
  #paused = false;
  /** What a paused table shows. @type {HeldFlow[]} */
  #held = [];
  #rows = html("tbody");
  #summary = html("p", { class: "summary" });
  #empty = html("p", { class: "empty" });
  #pause = html("button", { type: "button", "aria-pressed": "false", click: () => this.#toggle() }, "Pause");

  /** @param {import("./state.js").State} state */
  constructor(state) {
    this.state = state;
    const heading = COLUMNS.map((text) => html("th", { scope: "col" }, text));
    const table = html("table", { class: "flows" }, html("thead", {}, html("tr", {}, ...heading)), this.#rows);
    this.element = html(
      "section",
      {},
      html("div", { class: "heading" }, html("h1", {}, this.title), this.#summary, this.#pause),
      this.#empty,
      html("div", { class: "scrolls", role: "region", tabindex: 0, "aria-label": "Flows, scrolls" }, table),
    );
  }

  show() {
    this.update();
  }

  update() {
    if (!this.#paused) this.#held = this.state.flows.slice(0, MOST_ROWS);
    keyed(
      this.#rows,
      this.#held,
      (flow) => String(flow.number),
      (flow) => makeRow(flow, () => this.#paused || this.#toggle()),
    );
    this.#empty.hidden = this.#held.length > 0;
    say(this.#empty, this.state.events ? "" : "No flows that the filter lets through, yet.");
    say(this.#summary, summary(this.#held.length, this.state, this.#paused));
  }

  #toggle() {
    this.#paused = !this.#paused;
    this.#pause.setAttribute("aria-pressed", String(this.#paused));
    say(this.#pause, this.#paused ? "Go on" : "Pause");
    this.update();
  }
}

/**
 * How much of what happened is shown.
 * @param {number} shown
 * @param {import("./state.js").State} state
 * @param {boolean} paused
 */
export function summary(shown, { events, received, lost }, paused) {
  const sampled = events > received ? `; a sample: the agent sent the newest ${count(received)}` : "";
  const bounded = received > MOST_FLOWS ? `, this page keeps ${count(MOST_FLOWS)}` : "";
  const missed = lost ? `; ${count(lost)} lost to this stream` : "";
  return `showing ${count(shown)} of ${count(events)}${sampled}${bounded}${missed}${paused ? "; paused" : ""}`;
}

/**
 * @param {HeldFlow} flow
 * @param {() => void} onRead somebody reads on: the row should stay where it is
 */
function makeRow(flow, onRead) {
  const row = html(
    "tr",
    { class: flow.verdict },
    html("td", { class: "time" }, clock(flow.time)),
    html("td", {}, verdictMark(flow.verdict), flow.verdict === "deny" && held(flow)),
    html("td", {}, ...party(flow.source)),
    html("td", {}, ...party(flow.destination)),
    html(
      "td",
      {},
      flow.port,
      flow.tcp_flags ? html("small", {}, ` ${flow.tcp_flags}`) : null,
      flow.status === "reply" ? html("small", {}, " reply") : null,
    ),
    html(
      "td",
      {},
      ruleLink(flow.rule),
      flow.verdict === "deny" && flow.reason !== "policy denied" ? html("small", {}, ` ${flow.reason}`) : null,
      chain(flow, onRead),
    ),
  );
  return row;
}

/** How many packets a denial stands for. @param {HeldFlow} flow */
const held = (flow) => (flow.packets[0] > 1 ? html("small", {}, ` ×${count(flow.packets[0])}`) : null);

/** @param {import("./shapes.js").Party} party */
function party({ endpoint, labels, address, port, identity }) {
  const name =
    endpoint ??
    labels.find((label) => label.startsWith("reserved:"))?.slice("reserved:".length) ??
    labels[0] ??
    `identity ${identity}`;
  const at = address.includes(":") ? `[${address}]` : address;
  return [html("b", {}, name), html("small", {}, ` ${port ? `${at}:${port}` : address}`)];
}

/**
 * The whole chain of a flow: address, identity, labels, rules.
 * @param {HeldFlow} flow
 * @param {() => void} onRead
 */
function chain(flow, onRead) {
  const end = (/** @type {import("./shapes.js").Party} */ { address, identity, labels }) =>
    `${address} → identity ${identity} → ${labels.join(", ")}`;
  const rules = [
    flow.rules.egress && `egress: ${flow.rules.egress.text}`,
    flow.rules.ingress && `ingress: ${flow.rules.ingress.text}`,
  ];
  const about = `${flow.kind}, ${flow.direction}, ${flow.reason}, match ${flow.match}, revision ${flow.revision}, ${count(flow.length)} bytes`;
  const lines = [`from ${end(flow.source)}`, `to ${end(flow.destination)}`, ...rules.filter(Boolean), about];
  const told = lines.map((line) => html("li", {}, html("code", {}, line)));
  const toggle = (/** @type {Event} */ event) => {
    if (event.target instanceof HTMLDetailsElement && event.target.open) onRead();
  };
  return html("details", { toggle }, html("summary", {}, "chain"), html("ul", { class: "plain" }, ...told));
}
