/** Rules and their hits, as the agent counts them: asked for again and again while a view of them is open. */

import { ask } from "./ask.js";

/** @typedef {import("./shapes.js").Rule} Rule */

/** Rules by policy, with how fast their hits grow. */
export class Rules {
  constructor() {
    /** @type {Rule[]} */
    this.all = [];
    /** Packets a second by rule. @type {Map<string, number>} */
    this.rates = new Map();
    this.at = 0;
  }

  async refresh() {
    const found = /** @type {Rule[]} */ (await ask("/v1/rules"));
    this.take(found, performance.now());
  }

  /**
   * @param {Rule[]} found
   * @param {number} now in ms
   */
  take(found, now) {
    const before = new Map(this.all.map((rule) => [keyOf(rule), rule.packets]));
    const seconds = (now - this.at) / 1000;
    this.rates = new Map(
      found.map((rule) => [keyOf(rule), (rule.packets - (before.get(keyOf(rule)) ?? rule.packets)) / seconds]),
    );
    this.all = found;
    this.at = now;
  }

  /** @param {Rule} rule */
  rateOf(rule) {
    return Math.max(0, this.rates.get(keyOf(rule)) ?? 0);
  }

  /**
   * In the order of their policy.
   * @param {string} policy
   */
  of(policy) {
    const found = this.all.filter((rule) => rule.policy === policy);
    return found.sort(
      (a, b) =>
        a.index - b.index || (a.verdict < b.verdict ? -1 : a.verdict > b.verdict ? 1 : a.text < b.text ? -1 : 1),
    );
  }
}

/** What makes two answers speak of one rule. @param {Rule} rule */
export const keyOf = ({ policy, index, direction, verdict, origin, text }) =>
  [policy, index, direction, verdict, origin, text].join(" | ");
