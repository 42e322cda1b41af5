/** The filter line: what is typed there, read as terms, or what is wrong with it. It holds for the map and the flows. */

import { html, say } from "./dom.js";
import { EXAMPLE, FilterError, parseFilter, TERMS } from "./filter.js";

/** The form above the views. */
export class FilterLine {
  #error = html("p", { class: "error", role: "alert", id: "filter-error" });
  #input = /** @type {HTMLInputElement} */ (
    html("input", {
      type: "search",
      id: "filter-line",
      placeholder: EXAMPLE,
      spellcheck: "false",
      autocapitalize: "off",
      list: "filter-terms",
      "aria-describedby": "filter-error",
      search: () => this.#submit(),
    })
  );

  /**
   * @param {HTMLElement} form
   * @param {(line: string) => void} onChange
   */
  constructor(form, onChange) {
    this.onChange = onChange;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    const names = [...TERMS.keys()].map((name) => html("option", { value: `--${name} ` }));
    const help = `Terms as in ringfence observe: ${[...TERMS.keys()].map((name) => `--${name}`).join(", ")}. Several values of one term are alternatives, different terms must all agree; --not before a term excludes what it means.`;
    form.append(
      html("label", { for: "filter-line" }, "Filter"),
      this.#input,
      html("button", { type: "submit" }, "Apply"),
      html("button", { type: "button", click: () => this.#clear() }, "Clear"),
      html("details", {}, html("summary", {}, "Terms"), html("p", {}, help)),
      this.#error,
      html("datalist", { id: "filter-terms" }, ...names),
    );
  }

  /** Show a line that came from elsewhere. @param {string} line */
  set(line) {
    if (this.#input.value !== line) this.#input.value = line;
  }

  /** Say what is wrong with the line, or nothing. @param {string} message */
  fail(message) {
    say(this.#error, message);
    this.#input.setAttribute("aria-invalid", String(message !== ""));
  }

  #clear() {
    this.#input.value = "";
    this.#submit();
    this.#input.focus();
  }

  #submit() {
    const line = this.#input.value.trim();
    try {
      parseFilter(line);
    } catch (error) {
      if (!(error instanceof FilterError)) throw error;
      this.fail(error.message);
      return;
    }
    this.fail("");
    this.onChange(line);
  }
}
