/** Server-sent events out of the pieces that a response comes in (https://html.spec.whatwg.org/#server-sent-events). */

/** Splits a stream of text into the data of its events. */
export class EventReader {
  #rest = "";
  /** @type {string[]} */
  #data = [];

  /**
   * The data of the events that a further piece of text completes. Comments and other fields say nothing here.
   * @param {string} piece
   * @returns {string[]}
   */
  read(piece) {
    const lines = (this.#rest + piece).split(/\r\n|\n/);
    this.#rest = lines.pop() ?? "";
    return lines.map((line) => this.#line(line)).filter((event) => event !== null);
  }

  /**
   * @param {string} line
   * @returns {string | null} an event's data, where the line ends one
   */
  #line(line) {
    if (line.startsWith("data:")) this.#data.push(line.slice("data:".length).replace(/^ /, ""));
    if (line !== "" || !this.#data.length) return null;
    const data = this.#data.join("\n");
    this.#data = [];
    return data;
  }
}
