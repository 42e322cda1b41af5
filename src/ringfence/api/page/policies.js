/** Policies and their rules with hits, and what decides where no policy does. */

import { ask, Poll } from "./ask.js";
import { html, keyed, say } from "./dom.js";
import { count } from "./numbers.js";
import { routeTo } from "./route.js";
import { Rules } from "./rules.js";
import { RuleTable } from "./ruletable.js";

/** @typedef {import("./shapes.js").Policy} Policy */

const PAUSE_MS = 2000;
/** @type {WeakMap<Element, RuleTable>} */
const tables = new WeakMap();

/** List of policies. */
export class PoliciesView {
  title = "Policies";
  live = false;
  #list = html("div");
  #summary = html("p", { class: "summary" });
  #rules = new Rules();

  constructor() {
    this.element = html(
      "section",
      {},
      html("div", { class: "heading" }, html("h1", {}, this.title), this.#summary),
      this.#list,
    );
    this.poll = new Poll(
      PAUSE_MS,
      () => this.#refresh(),
      (error) => say(this.#summary, error.message),
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
    const [policies] = await Promise.all([ask("/v1/policies"), this.#rules.refresh()]);
    say(this.#summary, `${count(policies.length)} in force, ${count(this.#rules.all.length)} rules with entries`);
    const written = new Set(policies.map((/** @type {Policy} */ policy) => policy.uid));
    const unwritten = [...new Set(this.#rules.all.map((rule) => rule.policy))]
      .filter((uid) => !written.has(uid))
      .sort();
    const all = [...policies, ...unwritten.map((uid) => ({ uid, origin: "", rules: 0 }))];
    keyed(
      this.#list,
      all,
      (policy) => policy.uid,
      makePolicy,
      (element, policy) => this.#update(element, policy),
    );
  }

  /**
   * @param {Element} element
   * @param {Policy} policy
   */
  #update(element, policy) {
    const rules = this.#rules.of(policy.uid);
    const table = /** @type {RuleTable} */ (tables.get(element));
    table.element.hidden = !rules.length;
    table.update(rules, (rule) => this.#rules.rateOf(rule));
    const quiet = element.querySelector(".quiet");
    if (quiet instanceof HTMLElement) quiet.hidden = rules.length > 0;
  }
}

/** What stands above rules that no policy wrote. @type {Map<string, string>} */
const UNWRITTEN = new Map([
  ["", "Defaults, where no policy decides"],
  ["manual", "Entries set by hand"],
]);

/** @param {Policy} policy */
function makePolicy({ uid, origin }) {
  const table = new RuleTable();
  const link = html("a", { href: routeTo("rule", { policy: uid, origin }) }, uid);
  const element = html(
    "article",
    { class: "policy" },
    html("h2", {}, origin ? link : (UNWRITTEN.get(uid) ?? uid), origin && html("small", {}, ` ${origin}`)),
    html("p", { class: "quiet" }, "None of its rules has an entry: it selects nobody here."),
    html("div", { class: "scrolls" }, table.element),
  );
  tables.set(element, table);
  return element;
}
