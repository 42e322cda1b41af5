/** The pulse: verdicts a second in the header, allowed and denied, as numbers and as a line over the last minute and a half. */

import { html, say, set, svg } from "./dom.js";
import { count, rate } from "./numbers.js";
import { MOST_RATES } from "./state.js";

const SIZE = { width: 132, height: 28 };

export class Pulse {
  #allowed = html("span", { class: "allow" });
  #denied = html("span", { class: "deny" });
  #revision = html("span", { class: "revision" });
  #lost = html("a", { class: "lost", href: "#/status" });
  #lines = { allowed: svg("polyline", { class: "allow" }), denied: svg("polyline", { class: "deny" }) };

  /** @param {HTMLElement} element */
  constructor(element) {
    const drawing = svg(
      "svg",
      { ...SIZE, viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, "aria-hidden": "true" },
      this.#lines.allowed,
      this.#lines.denied,
    );
    element.append(
      drawing,
      html("p", {}, this.#allowed, " ", this.#denied),
      html("p", {}, this.#revision, " ", this.#lost),
    );
  }

  /** @param {import("./state.js").State} state */
  update({ rates, last }) {
    const now = rates.at(-1) ?? { allowed: 0, denied: 0 };
    say(this.#allowed, `${rate(now.allowed)} allowed`);
    say(this.#denied, `${rate(now.denied)} denied`);
    say(this.#revision, last ? `revision ${count(last.revision)}` : "");
    const lost = Object.values(last?.losses ?? {}).reduce((sum, each) => sum + each, 0);
    this.#lost.hidden = !lost;
    say(this.#lost, `${count(lost)} events lost`);
    const most = Math.max(1, ...rates.flatMap(({ allowed, denied }) => [allowed, denied]));
    for (const name of /** @type {const} */ (["allowed", "denied"])) {
      const points = rates.map((each, index) => pointOf(index + MOST_RATES - rates.length, each[name] / most));
      set(this.#lines[name], { points: points.join(" ") });
    }
  }
}

/**
 * @param {number} index
 * @param {number} height from 0 to 1; drawn by its square root, so that few denials show beside many allowances
 */
const pointOf = (index, height) =>
  `${((index / (MOST_RATES - 1)) * SIZE.width).toFixed(1)},${(SIZE.height - 2 - Math.sqrt(height) * (SIZE.height - 4)).toFixed(1)}`;
