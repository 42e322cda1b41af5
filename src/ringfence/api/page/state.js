/**
 * The state: everything the views show of the one digest stream, bounded however long the page stays open.
 *
 * @typedef {import("./shapes.js").Flow & {number: number}} HeldFlow
 * @typedef {{allowed: number, denied: number}} Rates a second
 */

import { Edges } from "./edges.js";

/** The newest flows that are kept. */
export const MOST_FLOWS = 500;
/** Intervals whose rates are kept. */
export const MOST_RATES = 90;

/** What is known, and who wants to hear of changes. */
export class State {
  constructor() {
    this.edges = new Edges();
    /** Newest first. @type {HeldFlow[]} */
    this.flows = [];
    /** Oldest first. @type {Rates[]} */
    this.rates = [];
    /** @type {import("./shapes.js").Digest | null} */
    this.last = null;
    this.events = 0;
    this.lost = 0;
    this.received = 0;
    /** @type {(() => void)[]} */
    this.listeners = [];
  }

  /** Call something after every change. @param {() => void} listener */
  listen(listener) {
    this.listeners.push(listener);
  }

  /** Take in a digest. @param {import("./shapes.js").Digest} digest */
  take(digest) {
    this.last = digest;
    this.events += digest.events;
    this.lost += digest.lost;
    this.edges.take(digest);
    const flows = digest.flows.map((flow) => ({ ...flow, number: (this.received += 1) })).reverse();
    this.flows = [...flows, ...this.flows].slice(0, MOST_FLOWS);
    const seconds = Math.max(digest.seconds, 0.001);
    this.rates.push({ allowed: digest.allowed / seconds, denied: digest.denied / seconds });
    this.rates = this.rates.slice(-MOST_RATES);
    for (const listener of this.listeners) listener();
  }

  /** Forget what another filter let through. */
  clear() {
    this.edges.clear();
    this.flows = [];
    this.rates = [];
    this.events = 0;
    this.lost = 0;
    this.received = 0;
    for (const listener of this.listeners) listener();
  }
}
