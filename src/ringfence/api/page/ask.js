/** Asking the agent for a document, once or again and again while a view is open. */

/**
 * The document at a path of the API. Throws what the agent answered when it refused.
 * @param {string} path
 * @returns {Promise<any>}
 */
export async function ask(path) {
  const answer = await fetch(path, { cache: "no-store" });
  if (!answer.ok) throw new Error(await errorText(answer));
  return answer.json();
}

/**
 * What an answer that refuses says.
 * @param {Response} answer
 */
export async function errorText(answer) {
  const text = await answer.text();
  try {
    return String(JSON.parse(text).error);
  } catch {
    return `the agent answered ${answer.status}`;
  }
}

/** Asks for documents every so often, from `start` to `stop`, and never twice at a time. */
export class Poll {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #turn = 0;

  /**
   * @param {number} pause between an answer and the next question, in ms
   * @param {() => Promise<void>} question
   * @param {(error: Error) => void} onError
   */
  constructor(pause, question, onError) {
    this.pause = pause;
    this.question = question;
    this.onError = onError;
  }

  start() {
    this.stop();
    void this.#ask(this.#turn);
  }

  stop() {
    this.#turn += 1;
    clearTimeout(this.#timer);
  }

  /** @param {number} turn */
  async #ask(turn) {
    // Nobody looks at a hidden tab.
    if (!document.hidden) await this.question().catch(this.onError);
    if (turn === this.#turn) this.#timer = setTimeout(() => void this.#ask(turn), this.pause);
  }
}
