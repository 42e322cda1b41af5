/**
 * Edges: who spoke to whom on which port with which verdict, summed over digests and forgotten after a minute of silence.
 *
 * @typedef {import("./names.js").Place} Place
 * @typedef {{
 *   key: string, from: Place, to: Place, port: string, verdict: string, flow: import("./shapes.js").Flow,
 *   rate: number, events: number, packets: number, bytes: number, seen: number
 * }} Edge `rate` in events a second, denials with those held back; `seen` when last, in ms.
 */

import { placeOf } from "./names.js";

/** After so long without an event an edge is gone. */
export const KEPT_MS = 60_000;
/** More are not kept: those that were seen last stay. */
export const MOST_EDGES = 400;
// Of a new rate so much counts at once: a single busy second does not make an edge thick.
const WEIGHT = 0.5;

/**
 * The ends of a flow as its connection was opened.
 * @param {import("./shapes.js").Flow} flow
 * @returns {[Place, Place]}
 */
export function ends(flow) {
  const [source, destination] = [placeOf(flow.source), placeOf(flow.destination)];
  return flow.status === "reply" ? [destination, source] : [source, destination];
}

/**
 * What makes two flows be of one edge.
 * @param {import("./shapes.js").Flow} flow
 */
export function keyOf(flow) {
  const [from, to] = ends(flow);
  return [from.id, to.id, flow.port, flow.verdict].join(" | ");
}

/** All edges that the map shows. */
export class Edges {
  constructor() {
    /** @type {Map<string, Edge>} */
    this.all = new Map();
  }

  /**
   * Take in a digest.
   * @param {import("./shapes.js").Digest} digest
   */
  take(digest) {
    const now = Date.parse(digest.time);
    const interval = Math.max(digest.seconds, 0.001);
    /** @type {Map<string, number>} */
    const heard = new Map();
    for (const told of digest.edges) {
      const edge = this.#edge(told.flow);
      // A denial stands for those that the kernel held back, too.
      const events = told.flow.verdict === "deny" ? Math.max(told.events, told.packets) : told.events;
      heard.set(edge.key, (heard.get(edge.key) ?? 0) + events);
      edge.flow = told.flow.time >= edge.flow.time ? told.flow : edge.flow;
      edge.events += events;
      edge.packets += told.packets;
      edge.bytes += told.bytes;
      edge.seen = now;
    }
    for (const edge of this.all.values()) smooth(edge, (heard.get(edge.key) ?? 0) / interval);
    this.#forget(now);
  }

  clear() {
    this.all.clear();
  }

  /** @param {import("./shapes.js").Flow} flow */
  #edge(flow) {
    const key = keyOf(flow);
    let edge = this.all.get(key);
    if (!edge) {
      const [from, to] = ends(flow);
      const { port, verdict } = flow;
      edge = { key, from, to, port, verdict, flow, rate: NaN, events: 0, packets: 0, bytes: 0, seen: 0 };
      this.all.set(key, edge);
    }
    return edge;
  }

  /** @param {number} now */
  #forget(now) {
    for (const [key, edge] of this.all) if (now - edge.seen > KEPT_MS) this.all.delete(key);
    if (this.all.size <= MOST_EDGES) return;
    const oldest = [...this.all.values()].sort((a, b) => a.seen - b.seen).slice(0, this.all.size - MOST_EDGES);
    for (const edge of oldest) this.all.delete(edge.key);
  }
}

/**
 * @param {Edge} edge
 * @param {number} rate
 */
function smooth(edge, rate) {
  edge.rate = Number.isNaN(edge.rate) ? rate : edge.rate * (1 - WEIGHT) + rate * WEIGHT;
}
