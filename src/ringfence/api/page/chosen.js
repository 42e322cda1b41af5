/** What is chosen on the map, in full: an edge with its rule and newest flows, or a node with its labels and edges. */

import { html } from "./dom.js";
import { keyOf } from "./edges.js";
import { term } from "./filter.js";
import { fullName } from "./names.js";
import { bytes, clock, count, rate } from "./numbers.js";
import { routeTo } from "./route.js";
import { ruleLink, verdictMark } from "./words.js";

/** @typedef {import("./edges.js").Edge} Edge */

const MOST_FLOWS = 8;

/**
 * @param {import("./state.js").State} state
 * @param {string} chosen key of an edge or id of a node
 * @param {string} filter the filter line, to be kept in addresses
 * @returns {HTMLElement[]} nothing where it is gone
 */
export function chosenParts(state, chosen, filter) {
  const edge = state.edges.all.get(chosen);
  if (edge)
    return edgeParts(
      edge,
      state.flows.filter((flow) => keyOf(flow) === edge.key),
    );
  const edges = [...state.edges.all.values()].filter(({ from, to }) => chosen === from.id || chosen === to.id);
  return edges.length ? nodeParts(edges, chosen, filter) : [];
}

/**
 * @param {Edge} edge
 * @param {import("./state.js").HeldFlow[]} flows
 */
function edgeParts(edge, flows) {
  const { flow } = edge;
  return [
    html("h2", {}, verdictMark(edge.verdict), ` ${fullName(edge.from)} → ${fullName(edge.to)}`),
    facts([
      ["Port", edge.port],
      ["Rule", ruleLink(flow.rule)],
      [
        "Decided",
        `${flow.direction}, ${flow.reason}${flow.match && flow.match !== "none" ? `, match ${flow.match}` : ""}`,
      ],
      ["Rate", `${rate(edge.rate)}, ${count(edge.events)} events since this page looks`],
      [
        "Accounted",
        edge.packets
          ? `${count(edge.packets)} packets, ${bytes(edge.bytes)}`
          : "nothing yet: told when connections close",
      ],
      ["Last seen", clock(flow.time)],
    ]),
    html("p", {}, html("a", { href: routeTo("flows", { filter: filterOf(edge) }) }, "Its flows in the table")),
    html(
      "h3",
      {},
      `Newest flows (${flows.length > MOST_FLOWS ? `${MOST_FLOWS} of ` : ""}${count(flows.length)} held here)`,
    ),
    html(
      "ul",
      { class: "plain" },
      ...flows.slice(0, MOST_FLOWS).map((each) => html("li", {}, html("code", {}, flowLine(each)))),
    ),
  ];
}

/**
 * @param {Edge[]} edges
 * @param {string} id
 * @param {string} filter
 */
function nodeParts(edges, id, filter) {
  const place = edges[0].from.id === id ? edges[0].from : edges[0].to;
  return [
    html("h2", {}, fullName(place)),
    facts([
      ["Identity", String(place.identity)],
      ["Endpoint", place.endpoint ?? "none on this host"],
      [
        "Labels",
        html("ul", { class: "plain labels" }, ...place.labels.map((label) => html("li", {}, html("code", {}, label)))),
      ],
    ]),
    html("h3", {}, "Its edges"),
    html(
      "ul",
      { class: "plain" },
      ...edges.map((edge) =>
        html(
          "li",
          {},
          verdictMark(edge.verdict),
          " ",
          html(
            "a",
            { href: routeTo("map", { filter, chosen: edge.key }) },
            edge.from.id === id ? `→ ${fullName(edge.to)}` : `← ${fullName(edge.from)}`,
          ),
          ` ${edge.port} ${rate(edge.rate)}`,
        ),
      ),
    ),
  ];
}

/** @param {import("./shapes.js").Flow} flow */
function flowLine({ time, source, destination, tcp_flags: flags, kind }) {
  const address = (/** @type {import("./shapes.js").Party} */ party) =>
    `${party.address}${party.port ? `:${party.port}` : ""}`;
  return [clock(time), address(source), "→", address(destination), flags, kind === "verdict" ? "" : kind]
    .filter(Boolean)
    .join(" ");
}

/**
 * A filter that lets the flows of an edge through, as exact as names allow.
 * @param {Edge} edge
 */
function filterOf(edge) {
  const end = (/** @type {string} */ side, /** @type {import("./names.js").Place} */ place) =>
    place.endpoint ? term(`${side}-endpoint`, place.endpoint) : term(`${side}-identity`, String(place.identity));
  const verdict = term("verdict", edge.verdict === "deny" ? "DROPPED" : "FORWARDED");
  return [end("from", edge.from), end("to", edge.to), verdict].join(" ");
}

/** @param {[string, Node | string][]} pairs */
const facts = (pairs) =>
  html("dl", { class: "facts" }, ...pairs.flatMap(([name, value]) => [html("dt", {}, name), html("dd", {}, value)]));
