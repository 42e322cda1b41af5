/** The agent's status: losses by stage, recording, drops by reason, endpoints. */

import { ask, Poll } from "./ask.js";
import { html, keyed, say, set } from "./dom.js";
import { bytes, clock, count, duration } from "./numbers.js";

/** @typedef {import("./shapes.js").Status} Status */
/** @typedef {import("./shapes.js").Endpoint} Endpoint */

const PAUSE_MS = 2000;
const STAGES = /** @type {const} */ ([
  ["ring", "found the ring full"],
  ["decode", "were of another layout"],
  ["subscriber", "found a reader's queue full"],
  ["store", "could not be recorded"],
]);
const COLUMNS = ["Endpoint", "State", "Identity", "Labels", "Addresses", "Isolated", "Delivery"];

/** Status. */
export class StatusView {
  title = "Status";
  live = false;
  #told = html("p", { class: "summary" });
  #warnings = html("ul", { class: "warnings", role: "alert" });
  #facts = html("dl", { class: "facts" });
  #losses = html("tbody");
  #drops = html("tbody");
  #endpoints = html("tbody");

  constructor() {
    this.poll = new Poll(
      PAUSE_MS,
      () => this.#refresh(),
      (error) => say(this.#told, error.message),
    );
    this.element = html(
      "section",
      { class: "status" },
      html("div", { class: "heading" }, html("h1", {}, this.title), this.#told),
      this.#warnings,
      html(
        "div",
        { class: "columns even" },
        html("div", {}, html("h2", {}, "Agent"), this.#facts),
        html("div", {}, html("h2", {}, "Events lost"), table(["Stage", "", "Events"], this.#losses)),
        html("div", {}, html("h2", {}, "Dropped packets"), table(["Reason", "Direction", "Packets"], this.#drops)),
      ),
      html("h2", {}, "Endpoints"),
      html("div", { class: "scrolls" }, table(COLUMNS, this.#endpoints)),
    );
  }

  show() {
    this.poll.start();
  }

  hide() {
    this.poll.stop();
  }

  update() {}

  async #refresh() {
    const [status, endpoints] = await Promise.all([ask("/v1/status"), ask("/v1/endpoints")]);
    say(this.#told, `instance ${status.instance}, revision ${count(status.revision)}`);
    keyed(
      this.#warnings,
      /** @type {string[]} */ (status.warnings),
      (text) => text,
      (text) => html("li", {}, text),
    );
    keyed(
      this.#facts,
      factsOf(status),
      ([name]) => name,
      makeFact,
      (pair, [, value]) => say(/** @type {Element} */ (pair.lastElementChild), value),
    );
    rows(
      this.#losses,
      STAGES.map(([stage, what]) => [stage, what, count(status.events.losses[stage])]),
    );
    rows(
      this.#drops,
      status.drops.map((/** @type {Status["drops"][0]} */ drop) => [drop.reason, drop.direction, count(drop.packets)]),
    );
    rows(this.#endpoints, endpoints.map(endpointCells));
  }
}

/**
 * @param {Status} status
 * @returns {[string, string][]}
 */
function factsOf({
  uptime_seconds: uptime,
  endpoints,
  policies,
  identities,
  events,
  counters,
  recording,
  last_commit: commit,
}) {
  return [
    ["Running for", duration(uptime)],
    ["Endpoints", count(endpoints)],
    ["Policies", count(policies)],
    ["Identities", count(identities)],
    ["Packets", `${count(counters.allowed)} allowed, ${count(counters.denied)} denied`],
    ["Events", `${count(events.seen)} seen, ${count(events.held_back)} denials held back in the kernel`],
    ["Recording", recordingText(recording)],
    [
      "Last commit",
      commit
        ? `revision ${count(commit.revision)} at ${clock(commit.time)}, ${count(commit.entries)} entries in ${commit.milliseconds.toFixed(1)} ms`
        : "none since the start",
    ],
  ];
}

/** @param {Status["recording"]} recording */
function recordingText({ state, reason, segments, bytes: size, flows, directory, oldest }) {
  const held = `${count(flows)} flows in ${count(segments)} segments, ${bytes(size)}, in ${directory}${oldest ? `, since ${new Date(oldest).toLocaleString()}` : ""}`;
  return state === "recording" ? held : `${state}: ${reason}`;
}

/** @param {Endpoint} endpoint */
function endpointCells({ name, state, identity, labels, addresses, enforcement, delivery, delivery_reason: why }) {
  const isolated =
    Object.entries(enforcement)
      .filter(([, is]) => is)
      .map(([direction]) => direction)
      .join(", ") || "no";
  return [
    name,
    state,
    String(identity),
    labels.join(", "),
    addresses.join(", "),
    isolated,
    why ? `${delivery}: ${why}` : delivery,
  ];
}

/** @param {[string, string]} fact */
const makeFact = ([name]) => html("div", {}, html("dt", {}, name), html("dd", {}));

/**
 * @param {Element} body
 * @param {string[][]} lines the first cell names a line
 */
function rows(body, lines) {
  const make = (/** @type {string[]} */ cells) =>
    html("tr", {}, html("th", { scope: "row" }), ...cells.slice(1).map(() => html("td", {})));
  keyed(
    body,
    lines,
    (cells) => `${cells[0]} ${cells[1]}`,
    make,
    (row, cells) => cells.forEach((text, index) => say(row.children[index], text)),
  );
  set(/** @type {Element} */ (body.parentElement), { "data-empty": lines.length === 0 });
}

/**
 * @param {string[]} columns
 * @param {HTMLElement} body
 */
const table = (columns, body) =>
  html(
    "table",
    {},
    html("thead", {}, html("tr", {}, ...columns.map((text) => html("th", { scope: "col" }, text)))),
    body,
  );
