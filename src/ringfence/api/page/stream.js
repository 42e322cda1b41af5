/**
 * The stream: one connection for the digests, made again when it breaks, after a pause that doubles up to some seconds.
 *
 * @typedef {{name: "connecting" | "live", detail: string} | {name: "unreachable", detail: string, pause: number} |
 *   {name: "refused", detail: string}} Connection `refused`: the filter is at fault, asking again would not help
 */

import { errorText } from "./ask.js";
import { EventReader } from "./events.js";

export const PATH = "/v1/digests/stream";
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8000;
// The server says a word every ten seconds; without any for so long, nobody is there any more.
const SILENCE_MS = 25_000;

/** How long to wait before the nth attempt after a failure, from 0. @param {number} attempt */
export const pauseBefore = (attempt) => Math.min(FIRST_PAUSE_MS * 2 ** attempt, LONGEST_PAUSE_MS);

/** Reads digests and says how the connection is. */
export class Stream {
  /** @type {AbortController | null} */
  #current = null;
  /** @type {() => void} */
  #hurry = () => {};

  /**
   * @param {(digest: import("./shapes.js").Digest) => void} onDigest
   * @param {(connection: Connection) => void} onConnection
   */
  constructor(onDigest, onConnection) {
    this.onDigest = onDigest;
    this.onConnection = onConnection;
  }

  /**
   * Read digests of these filters from now on, in place of whatever was read before.
   * @param {URLSearchParams} filters
   */
  open(filters) {
    this.#current?.abort();
    this.#current = new AbortController();
    void this.#keep(`${PATH}?${filters}`, this.#current.signal);
  }

  /** Do not wait any longer with the next attempt. */
  hurry() {
    this.#hurry();
  }

  /**
   * @param {string} url
   * @param {AbortSignal} stopped
   */
  async #keep(url, stopped) {
    for (let attempt = 0; !stopped.aborted; attempt += 1) {
      let refusal = "";
      const detail = await this.#read(url, stopped, () => (attempt = -1)).catch((error) => {
        if (error instanceof Refused) refusal = error.message;
        return String(error.message ?? error);
      });
      if (stopped.aborted) return;
      if (refusal) return this.onConnection({ name: "refused", detail: refusal });
      const pause = pauseBefore(Math.max(attempt, 0));
      this.onConnection({ name: "unreachable", detail, pause });
      await this.#wait(pause);
    }
  }

  /**
   * Read until the stream ends or breaks; why it did.
   * @param {string} url
   * @param {AbortSignal} stopped
   * @param {() => void} onLive
   */
  async #read(url, stopped, onLive) {
    this.onConnection({ name: "connecting", detail: "" });
    const silence = new Silence(SILENCE_MS);
    try {
      const answer = await fetch(url, { signal: AbortSignal.any([stopped, silence.signal]), cache: "no-store" });
      if (!answer.ok) throw failure(answer.status, await errorText(answer));
      const [reader, events] = [/** @type {ReadableStream} */ (answer.body).getReader(), new EventReader()];
      const text = new TextDecoder();
      this.onConnection({ name: "live", detail: "" });
      onLive();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return "the agent ended the stream";
        silence.broken();
        for (const data of events.read(text.decode(value, { stream: true }))) this.onDigest(JSON.parse(data));
      }
    } finally {
      silence.end();
    }
  }

  /** @param {number} pause */
  #wait(pause) {
    return new Promise((done) => {
      const timer = setTimeout(done, pause);
      this.#hurry = () => {
        clearTimeout(timer);
        done(undefined);
      };
    });
  }
}

class Refused extends Error {}

/**
 * @param {number} status
 * @param {string} message
 */
const failure = (status, message) => (status === 400 ? new Refused(message) : new Error(message));

/** Aborts after some time in which nothing was heard. */
class Silence {
  #controller = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {number} longest in ms */
  constructor(longest) {
    this.longest = longest;
    this.signal = this.#controller.signal;
    this.broken();
  }

  broken() {
    this.end();
    this.#timer = setTimeout(() => this.#controller.abort(new Error("nothing heard")), this.longest);
  }

  end() {
    clearTimeout(this.#timer);
  }
}
