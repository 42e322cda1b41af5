/** Numbers and times as people read them. */

const WHOLE = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const SMALL = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** 98,412. @param {number} number */
export const count = (number) => WHOLE.format(Math.round(number));

/** So many a second: 0.4/s, 12/s, 98.4K/s. @param {number} number */
export function rate(number) {
  if (number < 0.05) return "0/s";
  return `${number < 10 ? SMALL.format(number) : number < 10000 ? count(number) : SHORT.format(number)}/s`;
}

/** 1.5 KiB. @param {number} size */
export function bytes(size) {
  let unit = 0;
  for (; size >= 1024 && unit < UNITS.length - 1; unit += 1) size /= 1024;
  return `${unit ? SMALL.format(size) : count(size)} ${UNITS[unit]}`;
}

/** The time of day, to the millisecond, where the reader is. @param {string} time in RFC 3339 */
export function clock(time) {
  const at = new Date(time);
  const [hours, minutes, seconds] = [at.getHours(), at.getMinutes(), at.getSeconds()].map((n) =>
    String(n).padStart(2, "0"),
  );
  return `${hours}:${minutes}:${seconds}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

/** 2 d 3 h, 4 min 5 s. @param {number} seconds */
export function duration(seconds) {
  const parts = /** @type {[number, string][]} */ ([
    [86400, "d"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ]);
  const told = [];
  let left = Math.floor(seconds);
  for (const [size, unit] of parts) {
    if (left >= size) told.push(`${Math.floor(left / size)} ${unit}`);
    left %= size;
  }
  return told.slice(0, 2).join(" ") || "0 s";
}
