/** The map: layout and edges drawn as SVG. What is chosen shows beside it; what is not of it steps back. */

import { curve, laneOf, widthOf } from "./curves.js";
import { html, keyed, say, set, svg } from "./dom.js";
import { Layout, NODE } from "./layout.js";
import { fullName, OUTSIDE } from "./names.js";
import { rate } from "./numbers.js";

/** @typedef {import("./edges.js").Edge} Edge */
/** @typedef {import("./names.js").Place} Place */

// Beyond so many, labels would cover the lines: then only those of what is chosen or pointed at show.
const MOST_LABELS = 24;
const MOST_NODES = 250;
const MARGIN = 16;
const LARGEST = 1.15;
const SMALLEST = 0.6;
const LONGEST_NAME = 18;

/** The picture: one element that scrolls, and the SVG in it. */
export class Picture {
  #boxes = svg("g");
  #lines = svg("g");
  #nodes = svg("g");
  #labels = svg("g", { class: "labels" });
  /** @type {Layout | null} */
  #layout = null;
  /** @type {Map<string, Place>} */
  #known = new Map();
  #zoom = 1;

  /** @param {(chosen: string, byKey: boolean) => void} onChoose gets the key of an edge or the id of a node */
  constructor(onChoose) {
    this.onChoose = onChoose;
    this.svg = svg(
      "svg",
      { role: "group", "aria-label": "Service map" },
      markers(),
      this.#boxes,
      this.#lines,
      this.#labels,
      this.#nodes,
    );
    this.element = html(
      "div",
      { class: "picture", tabindex: 0, role: "region", "aria-label": "Service map, scrolls" },
      this.svg,
    );
  }

  /** Draw larger or smaller than what fits. @param {number} factor; 0 fits again */
  zoom(factor) {
    this.#zoom = factor ? Math.min(3, Math.max(0.3, this.#zoom * factor)) : 1;
    this.#fit();
  }

  /** Forget all places. */
  clear() {
    this.#layout = null;
    this.#known.clear();
  }

  /**
   * @param {Edge[]} edges
   * @param {string} chosen
   */
  draw(edges, chosen) {
    this.#place(edges);
    const { boxes, places } = /** @type {Layout} */ (this.#layout).drawn();
    const near = neighbourhood(edges, chosen);
    this.svg.classList.toggle("chosen", near.size > 0);
    this.svg.classList.toggle("crowded", edges.length > MOST_LABELS);
    keyed(this.#boxes, boxes, (box) => box.name, makeBox, moveBox);
    const lanes = lanesOf(edges);
    const drawn = edges.map((edge) => ({
      edge,
      ...curve(point(places, edge.from.id), point(places, edge.to.id), lanes.get(edge.key) ?? 0),
      near: near.has(edge.key),
      chosen: edge.key === chosen,
    }));
    keyed(
      this.#lines,
      drawn,
      ({ edge }) => edge.key,
      ({ edge }) => this.#makeLine(edge),
      moveLine,
    );
    keyed(
      this.#labels,
      drawn,
      ({ edge }) => edge.key,
      () => svg("text"),
      moveLabel,
    );
    const busy = new Set(edges.flatMap((edge) => [edge.from.id, edge.to.id]));
    const nodes = [...this.#known.values()].map((place) => ({
      place,
      at: point(places, place.id),
      idle: !busy.has(place.id),
      near: near.has(place.id),
      chosen: place.id === chosen,
    }));
    keyed(
      this.#nodes,
      nodes,
      ({ place }) => place.id,
      ({ place }) => this.#makeNode(place),
      moveNode,
    );
    this.#fit();
  }

  /** @param {Edge[]} edges */
  #place(edges) {
    const heard = new Set(edges.flatMap(({ from, to }) => [from.id, to.id]));
    // Who has said nothing for long gives up its place only when there are many: the others then move.
    if (this.#known.size > MOST_NODES && heard.size < this.#known.size * 0.8) this.clear();
    this.#layout ??= new Layout(Math.max(this.element.clientWidth, 320) / 0.75);
    for (const { from, to } of edges) for (const place of [from, to]) this.#known.set(place.id, place);
    const busiest = [...edges].sort((a, b) => b.events - a.events);
    const links = busiest.map((edge) => ({ from: edge.from.id, to: edge.to.id }));
    this.#layout.place([...this.#known.values()], links);
  }

  #fit() {
    const { width, height } = this.#layout?.drawn() ?? { width: 0, height: 0 };
    const [wide, high] = [width + 2 * MARGIN, height + 2 * MARGIN];
    const room = this.element.clientWidth - 2;
    const scale = this.#zoom * Math.min(LARGEST, Math.max(SMALLEST, room / wide));
    set(this.svg, {
      viewBox: `${-MARGIN} ${-MARGIN} ${wide} ${high}`,
      width: Math.round(wide * scale),
      height: Math.round(high * scale),
    });
  }

  /** Put the focus back on what was chosen. @param {string} key */
  focus(key) {
    const found = [...this.svg.querySelectorAll("[data-key]")].find(
      (element) => element.getAttribute("data-key") === key,
    );
    if (found instanceof SVGElement) found.focus();
  }

  /**
   * What chooses something: a click, or a key as on a button.
   * @param {string} key
   */
  #choosing(key) {
    return {
      click: () => this.onChoose(key, false),
      keydown: (/** @type {KeyboardEvent} */ event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        this.onChoose(key, true);
      },
    };
  }

  /** @param {Edge} edge */
  #makeLine(edge) {
    const choose = this.#choosing(edge.key);
    return svg(
      "g",
      { class: `edge ${edge.verdict}`, role: "button", tabindex: 0, "data-key": edge.key, ...choose },
      svg("path", { class: "reach" }),
      svg("path", { class: "line", "marker-end": `url(#tip-${edge.verdict})` }),
    );
  }

  /** @param {Place} place */
  #makeNode(place) {
    const choose = this.#choosing(place.id);
    const id = place.endpoint
      ? `identity ${place.identity}`
      : place.namespace === OUTSIDE
        ? `identity ${place.identity}`
        : "elsewhere";
    return svg(
      "g",
      { role: "button", tabindex: 0, "aria-label": fullName(place), "data-key": place.id, ...choose },
      svg("title", {}, [fullName(place), ...place.labels].join("\n")),
      svg("rect", { width: NODE.width, height: NODE.height, rx: 8 }),
      svg("text", { x: 12, y: 21, class: "name" }, shortened(place.name)),
      svg("text", { x: 12, y: 38, class: "about" }, id),
    );
  }
}

/** @param {import("./layout.js").Box} box */
const makeBox = (box) =>
  svg("g", { class: "box" }, svg("rect", { rx: 12 }), svg("text", { x: 16, y: 25 }, shortened(box.name)));

/**
 * @param {Element} element
 * @param {import("./layout.js").Box} box
 */
function moveBox(element, { x, y, width, height }) {
  set(element, { transform: `translate(${x} ${y})` });
  set(/** @type {Element} */ (element.firstElementChild), { width, height });
}

/**
 * @param {Element} element
 * @param {{edge: Edge, path: string, near: boolean, chosen: boolean}} drawn
 */
function moveLine(element, { edge, path, near, chosen }) {
  const [reach, line] = element.children;
  set(reach, { d: path });
  set(line, { d: path, "stroke-width": widthOf(edge.rate).toFixed(2) });
  element.classList.toggle("near", near);
  element.classList.toggle("quiet", edge.rate < 0.05);
  set(element, { "aria-label": edgeText(edge), "aria-pressed": String(chosen) });
}

/**
 * @param {Element} element
 * @param {{edge: Edge, middle: import("./layout.js").Point, beside: boolean, near: boolean}} drawn
 */
function moveLabel(element, { edge, middle, beside, near }) {
  const x = beside ? middle.x + 6 : middle.x;
  set(element, {
    x: x.toFixed(1),
    y: (middle.y + 4).toFixed(1),
    "text-anchor": beside ? "start" : "middle",
    class: `${edge.verdict}${near ? " near" : ""}`,
  });
  say(element, `${edge.port} ${edge.rate < 0.05 ? "" : rate(edge.rate)}`.trim());
}

/**
 * @param {Element} element
 * @param {{at: import("./layout.js").Point, idle: boolean, near: boolean, chosen: boolean}} node
 */
function moveNode(element, { at, idle, near, chosen }) {
  set(element, {
    transform: `translate(${at.x} ${at.y})`,
    class: ["node", idle && "idle", near && "near"].filter(Boolean).join(" "),
  });
  set(element, { "aria-pressed": String(chosen) });
}

/**
 * An edge in words.
 * @param {Edge} edge
 */
export const edgeText = (edge) =>
  `${fullName(edge.from)} to ${fullName(edge.to)}, ${edge.port}, ${edge.verdict === "deny" ? "denied" : "allowed"}, ${rate(edge.rate)}`;

/**
 * What belongs to what is chosen: of a node its edges and those at their other ends, of an edge its ends.
 * @param {Edge[]} edges
 * @param {string} chosen
 */
function neighbourhood(edges, chosen) {
  const found = edges.filter((edge) => [edge.key, edge.from.id, edge.to.id].includes(chosen));
  return new Set(found.flatMap((edge) => [edge.key, edge.from.id, edge.to.id]));
}

/**
 * The lane of every edge among those between the same two nodes.
 * @param {Edge[]} edges
 */
function lanesOf(edges) {
  const lanes = new Map();
  const pairs = Map.groupBy(edges, ({ from, to }) => [from.id, to.id].sort().join(" | "));
  for (const lines of pairs.values()) {
    const ordered = lines.map((edge) => edge.key).sort();
    for (const edge of lines) lanes.set(edge.key, laneOf(ordered.indexOf(edge.key), ordered.length));
  }
  return lanes;
}

/** The ends of lines: an arrow for what arrives, a cross for what does not. */
function markers() {
  const common = {
    markerUnits: "userSpaceOnUse",
    orient: "auto",
    markerWidth: 14,
    markerHeight: 14,
    viewBox: "-7 -7 14 14",
  };
  return svg(
    "defs",
    {},
    svg("marker", { ...common, id: "tip-allow", class: "tip allow" }, svg("path", { d: "M-6 -5.5 L6 0 L-6 5.5 Z" })),
    svg("marker", { ...common, id: "tip-deny", class: "tip deny" }, svg("path", { d: "M-5 -5 L5 5 M-5 5 L5 -5" })),
  );
}

/**
 * @param {Map<string, import("./layout.js").Point>} places
 * @param {string} id
 */
const point = (places, id) => places.get(id) ?? { x: 0, y: 0 };

/** @param {string} name */
const shortened = (name) => (name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME - 1)}…` : name);
