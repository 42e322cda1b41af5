/** A policy's document, line by line, as its file numbers them, and the place that an origin names. */

/**
 * File and line of an origin. A file's name may have colons in it.
 * @param {string} origin
 * @returns {{file: string, line: number} | null}
 */
export function readOrigin(origin) {
  const found = /^(.*):(\d+)$/.exec(origin);
  return found && { file: found[1], line: Number(found[2]) };
}

/**
 * The lines of a policy's text with their numbers in its file. `named` is the line of an origin, `marked` that and the rest
 * of the list's item that begins there, which is how rules are written.
 * @param {{text?: string, text_line?: number}} policy
 * @param {string} origin
 * @returns {{number: number, text: string, named: boolean, marked: boolean}[]}
 */
export function linesOf({ text = "", text_line: first = 1 }, origin) {
  const lines = text.replace(/\n$/, "").split("\n");
  const at = (readOrigin(origin)?.line ?? 0) - first;
  const end = at in lines ? endOf(lines, at) : at;
  return lines.map((line, index) => ({
    number: index + first,
    text: line,
    named: index === at,
    marked: index >= at && index < end,
  }));
}

/**
 * Behind the last line of what begins on a line.
 * @param {string[]} lines
 * @param {number} at
 */
function endOf(lines, at) {
  const item = /^\s*-\s+/.exec(lines[at]);
  if (!item) return at + 1;
  const further = lines.findIndex(
    (line, index) => index > at && line.trim() !== "" && line.search(/\S/) < item[0].length,
  );
  return further < 0 ? lines.length : further;
}
