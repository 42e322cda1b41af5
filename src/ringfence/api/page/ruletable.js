/** A table of rules with what they have decided. */

import { html, keyed, say, set } from "./dom.js";
import { bytes, count, rate } from "./numbers.js";
import { keyOf } from "./rules.js";
import { ruleLink, verdictMark } from "./words.js";

/** @typedef {import("./shapes.js").Rule} Rule */

const COLUMNS = ["Verdict", "Rule", "Direction", "Entries", "Packets", "Bytes", "Now"];

export class RuleTable {
  #rows = html("tbody");

  constructor() {
    const heading = COLUMNS.map((text, index) =>
      html("th", { scope: "col", class: index > 2 ? "number" : null }, text),
    );
    this.element = html("table", { class: "rules" }, html("thead", {}, html("tr", {}, ...heading)), this.#rows);
  }

  /**
   * @param {Rule[]} rules
   * @param {(rule: Rule) => number} rateOf
   */
  update(rules, rateOf) {
    keyed(this.#rows, rules, keyOf, makeRow, (row, rule) => updateRow(row, rule, rateOf(rule)));
  }
}

/** @param {Rule} rule */
function makeRow(rule) {
  const numbers = [0, 1, 2, 3].map(() => html("td", { class: "number" }));
  const where = rule.tier === "normal" ? rule.direction : `${rule.direction}, ${rule.tier} tier`;
  return html(
    "tr",
    { class: rule.verdict },
    html("td", {}, verdictMark(rule.verdict)),
    html("td", {}, ruleLink(rule)),
    html("td", {}, where),
    ...numbers,
  );
}

/**
 * @param {Element} row
 * @param {Rule} rule
 * @param {number} now
 */
function updateRow(row, rule, now) {
  const texts = [count(rule.entries), count(rule.packets), bytes(rule.bytes), now ? rate(now) : "–"];
  texts.forEach((text, index) => say(row.children[3 + index], text));
  set(row, { "data-hits": rule.packets });
}
