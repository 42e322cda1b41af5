/**
 * Filters: the line that people type, in the terms of `ringfence observe` or as in `ringfence top`, and the JSON filters
 * that the agent is asked by. What a value may be is the agent's to say; here only the names of terms are known.
 *
 * @typedef {Record<string, string[]>} Fields of one filter: all must agree, the values of one are alternatives
 * @typedef {{allow: Fields[], deny: Fields[]}} Query
 * @typedef {{field: string, value?: string}} Term a field of the agent's filters; one with a value is a flag
 */

const OF_AN_END = ["label", "pod", "namespace", "ip", "port", "identity", "endpoint"];
/** @type {[string, Term][]} */
const OF_A_FLOW = [
  ["verdict", { field: "verdict" }],
  ["protocol", { field: "protocol" }],
  ["rule", { field: "rule" }],
  ["policy", { field: "policy" }],
  ["drop-reason", { field: "drop_reason_desc" }],
  ["drop-reason-desc", { field: "drop_reason_desc" }],
  ["traffic-direction", { field: "traffic_direction" }],
  ["tcp-flags", { field: "tcp_flags" }],
  ["ip-version", { field: "ip_version" }],
  ["ipv4", { field: "ip_version", value: "v4" }],
  ["ipv6", { field: "ip_version", value: "v6" }],
  ["service", { field: "service" }],
  ["from-service", { field: "source_service" }],
  ["to-service", { field: "destination_service" }],
  ["kind", { field: "kind" }],
  ["type", { field: "event_type" }],
];

/** Every term of `ringfence observe`. @type {Map<string, Term>} */
export const TERMS = new Map([
  ...OF_AN_END.flatMap(
    (name) =>
      /** @type {[string, Term][]} */ ([
        [name, { field: name }],
        [`from-${name}`, { field: `source_${name}` }],
        [`to-${name}`, { field: `destination_${name}` }],
      ]),
  ),
  ...OF_A_FLOW,
]);
/** What is understood beside them: whoever an end is, and the fields by their own names. @type {Map<string, Term>} */
const UNDERSTOOD = new Map([
  ...["from", "to", "reply", ...[...TERMS.values()].map(({ field }) => field)].map(
    (field) => /** @type {[string, Term]} */ ([field.replaceAll("_", "-"), { field }]),
  ),
  ...TERMS,
]);
const VERDICTS = /** @type {Record<string, string>} */ ({
  allow: "FORWARDED",
  allowed: "FORWARDED",
  deny: "DROPPED",
  denied: "DROPPED",
  drop: "DROPPED",
});

const TOKEN = /(?:[^\s"']+|"[^"]*"|'[^']*')+/g;
const QUOTED = /"([^"]*)"|'([^']*)'/g;

export const EXAMPLE = "--from-label app=web --verdict DROPPED --not --port 53";

/** What is wrong with a line, for people. */
export class FilterError extends Error {}

/**
 * Read a line of terms: `--from-label app=web --verdict DROPPED --not --port 53`, or `from:app=web -port:53`. The two
 * dashes may be left out, and a term may be joined to its value by `=` or `:`. Throws `FilterError`.
 * @param {string} line
 * @returns {Query}
 */
export function parseFilter(line) {
  /** @type {Fields} */
  const wanted = {};
  /** @type {Fields[]} */
  const deny = [];
  const tokens = Array.from(line.match(TOKEN) ?? []);
  let negated = false;
  for (let token = tokens.shift(); token !== undefined; token = tokens.shift()) {
    if (token === "--not" || token === "not") {
      negated = true;
      continue;
    }
    const minus = /^-[^-]/.test(token);
    const [field, value] = readTerm(minus ? token.slice(1) : token.replace(/^--/, ""), tokens);
    if (negated || minus) deny.push({ [field]: [value] });
    else (wanted[field] ??= []).push(value);
    negated = false;
  }
  if (negated) throw new FilterError("--not reverses the term behind it, and there is none");
  return { allow: Object.keys(wanted).length ? [wanted] : [], deny };
}

/**
 * The parameters that a query travels in.
 * @param {Query} query
 */
export function parametersOf(query) {
  const parameters = new URLSearchParams();
  for (const fields of query.allow) parameters.append("allow", JSON.stringify(fields));
  for (const fields of query.deny) parameters.append("deny", JSON.stringify(fields));
  return parameters;
}

/**
 * A term as it is typed, its value in quotes where it needs them.
 * @param {string} name
 * @param {string} value
 */
export const term = (name, value) => `--${name} ${/[\s"']/.test(value) ? JSON.stringify(value) : value}`;

/**
 * @param {string} token without its dashes
 * @param {string[]} rest the tokens behind it; its value is taken from them
 * @returns {[string, string]} field and value
 */
function readTerm(token, rest) {
  const joined = /^([A-Za-z_-]+)[=:](.*)$/.exec(token);
  const name = (joined ? joined[1] : token).replaceAll("_", "-");
  const term = UNDERSTOOD.get(name);
  if (!term) throw new FilterError(`“${unquoted(token)}” is no term; write such as ${EXAMPLE}`);
  if (term.value) return [term.field, term.value];
  const value = unquoted((joined ? joined[2] : rest.shift()) ?? "");
  if (!value) throw new FilterError(`--${name} needs a value behind it`);
  return [term.field, term.field === "verdict" ? (VERDICTS[value.toLowerCase()] ?? value) : value];
}

/** @param {string} text */
const unquoted = (text) => text.replace(QUOTED, (_, double, single) => double ?? single);
