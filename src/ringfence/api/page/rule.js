/** A rule's page: its policy as it was written, the rule's lines marked, what it has decided, and the newest flows by it. */

import { ask, Poll } from "./ask.js";
import { html, keyed, say } from "./dom.js";
import { count } from "./numbers.js";
import { routeTo } from "./route.js";
import { Rules } from "./rules.js";
import { RuleTable } from "./ruletable.js";
import { linesOf } from "./source.js";
import { clock } from "./numbers.js";
import { verdictMark } from "./words.js";

/** @typedef {import("./shapes.js").DecidingRule} DecidingRule */
/** @typedef {import("./state.js").HeldFlow} HeldFlow */

const PAUSE_MS = 1500;
const MOST_FLOWS = 12;

/** Rule. */
export class RuleView {
  title = "Rule";
  live = false;
  #heading = html("h1");
  #origin = html("p", { class: "summary" });
  #told = html("p", { class: "told", role: "status" });
  #source = html("ol", { class: "source", "aria-label": "The policy as it was written" });
  #table = new RuleTable();
  #flows = html("tbody");
  #flowsTold = html("p", { class: "summary" });
  #rules = new Rules();
  /** @type {DecidingRule} */
  #shown = { policy: "", origin: "", text: "" };

  /**
   * @param {import("./state.js").State} state
   * @param {() => string} filter the filter line that narrows what this page holds
   */
  constructor(state, filter) {
    this.state = state;
    this.filter = filter;
    this.poll = new Poll(
      PAUSE_MS,
      () => this.#refresh(),
      (error) => say(this.#told, error.message),
    );
    this.element = html(
      "section",
      { class: "rule" },
      html(
        "div",
        { class: "heading" },
        this.#heading,
        this.#origin,
        html("a", { href: routeTo("policies") }, "All policies"),
      ),
      this.#told,
      html(
        "div",
        { class: "columns" },
        html("div", { class: "scrolls", tabindex: 0, role: "region", "aria-label": "Policy, scrolls" }, this.#source),
        html(
          "div",
          {},
          html("h2", {}, "Hits"),
          html("div", { class: "scrolls" }, this.#table.element),
          html("h2", {}, "Newest flows by it"),
          this.#flowsTold,
          html("table", { class: "brief" }, this.#flows),
        ),
      ),
    );
  }

  /** @param {URLSearchParams} parameters */
  show(parameters) {
    const [policy, origin, text] = ["policy", "origin", "text"].map((name) => parameters.get(name) ?? "");
    this.#shown = { policy, origin, text };
    // A narrow screen breaks a uid behind its slashes.
    const parts = (policy || "Built in").split(/(?<=\/)/);
    this.#heading.replaceChildren(...parts.flatMap((part) => [html("wbr"), part]));
    say(this.#origin, origin || text);
    say(this.#told, "");
    this.#source.replaceChildren();
    void this.#readSource().catch((error) => say(this.#told, error.message));
    this.poll.start();
    this.update();
  }

  hide() {
    this.poll.stop();
  }

  update() {
    const decided = this.state.flows.filter((flow) => this.#decided(flow));
    const filter = this.filter();
    const held = `${count(this.state.flows.length)} flows that this page holds${filter ? ` through the filter ${filter}` : ""}`;
    say(this.#flowsTold, `${decided.length ? count(decided.length) : "none"} among the ${held}`);
    keyed(this.#flows, decided.slice(0, MOST_FLOWS), (flow) => String(flow.number), makeFlow);
  }

  /** @param {HeldFlow} flow */
  #decided(flow) {
    const rules = flow.verdict === "deny" ? [flow.rule] : [flow.rules.egress, flow.rules.ingress];
    return rules.some((rule) => rule !== null && this.#isShown(rule));
  }

  /** @param {DecidingRule} rule */
  #isShown({ policy, origin, text }) {
    const shown = this.#shown;
    return policy === shown.policy && (shown.origin ? origin === shown.origin : !shown.text || text === shown.text);
  }

  async #refresh() {
    await this.#rules.refresh();
    const all = this.#rules.of(this.#shown.policy);
    const shown = all.filter((rule) => this.#isShown(rule));
    // A policy's own address, from the list of policies, is not where any of its rules stands.
    this.#table.update(shown.length ? shown : all, (rule) => this.#rules.rateOf(rule));
  }

  async #readSource() {
    const shown = this.#shown;
    if (!shown.origin)
      return say(this.#told, "No file says this: it is what Ringfence does by itself, or was set by hand.");
    const policy = await ask(`/v1/policies/${encodeURIComponent(shown.policy)}`);
    if (shown !== this.#shown) return undefined;
    this.#source.replaceChildren(...linesOf(policy, shown.origin).map(makeLine));
    this.#source.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
    return undefined;
  }
}

/** @param {{number: number, text: string, named: boolean, marked: boolean}} line */
function makeLine({ number, text, named, marked }) {
  const kind = named ? "named" : marked ? "marked" : null;
  return html("li", { value: number, class: kind, "aria-current": named && "true" }, html("code", {}, text || " "));
}

/** @param {HeldFlow} flow */
function makeFlow(flow) {
  const name = (/** @type {import("./shapes.js").Party} */ party) => party.endpoint ?? party.address;
  const cells = [
    clock(flow.time),
    verdictMark(flow.verdict),
    `${name(flow.source)} → ${name(flow.destination)}`,
    flow.port,
  ];
  return html("tr", { class: flow.verdict }, ...cells.map((cell) => html("td", {}, cell)));
}
