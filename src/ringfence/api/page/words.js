/** Words that stand in every view: a verdict with its mark, a rule with the link to its page. */

import { html } from "./dom.js";
import { routeToRule } from "./route.js";

/**
 * A verdict, told by word, colour and sign.
 * @param {string} verdict
 */
export const verdictMark = (verdict) =>
  verdict === "deny"
    ? html("span", { class: "verdict deny" }, "✕ denied")
    : html("span", { class: `verdict ${verdict}` }, verdict === "allow" ? "✓ allowed" : verdict);

/**
 * What decided, linked to its page; its text names file and line.
 * @param {import("./shapes.js").DecidingRule | null} rule
 */
export function ruleLink(rule) {
  if (!rule) return html("span", {}, "no rule was asked");
  const text = rule.text.includes(rule.origin) ? rule.text : `${rule.text} (${rule.origin})`;
  return html("a", { href: routeToRule(rule) }, text);
}
