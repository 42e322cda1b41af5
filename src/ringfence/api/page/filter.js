/**
 * Filters: the line that people type, in the terms of `ringfence observe`, and the JSON filters that the agent is asked by.
 * What a value may be is the agent's to say; here only the names of terms are known.
 *
 * @typedef {Record<string, string[]>} Fields of one filter: all must agree, the values of one are alternatives
 * @typedef {{allow: Fields[], deny: Fields[]}} Query
 */

const OF_AN_END = ["label", "pod", "namespace", "ip", "port", "identity", "endpoint"];
const OF_A_FLOW = {
  verdict: "verdict",
  protocol: "protocol",
  rule: "rule",
  policy: "policy",
  "drop-reason": "drop_reason_desc",
  "drop-reason-desc": "drop_reason_desc",
  "traffic-direction": "traffic_direction",
  "tcp-flags": "tcp_flags",
  "ip-version": "ip_version",
  reply: "reply",
  kind: "kind",
  type: "event_type",
};

/** Every term with the field that it asks for. @type {Map<string, string>} */
export const TERMS = new Map([
  ...OF_AN_END.flatMap(
    (name) =>
      /** @type {[string, string][]} */ ([
        [name, name],
        [`from-${name}`, `source_${name}`],
        [`to-${name}`, `destination_${name}`],
      ]),
  ),
  ...Object.entries(OF_A_FLOW),
]);

const TOKEN = /(?:[^\s"']+|"[^"]*"|'[^']*')+/g;
const QUOTED = /"([^"]*)"|'([^']*)'/g;

/** What is wrong with a line, for people. */
export class FilterError extends Error {}

/**
 * Read a line of terms: `--from-label app=web --verdict DROPPED --not --port 53`. The dashes may be left out, and a term
 * may be joined to its value by `=`. Throws `FilterError`.
 * @param {string} line
 * @returns {Query}
 */
export function parseFilter(line) {
  /** @type {Fields} */
  const wanted = {};
  /** @type {Fields[]} */
  const deny = [];
  const tokens = Array.from(line.match(TOKEN) ?? []);
  for (let negated = false; tokens.length;) {
    const token = /** @type {string} */ (tokens.shift());
    if (token === "--not" || token === "not") {
      negated = true;
      continue;
    }
    const [field, value] = readTerm(token, tokens);
    if (negated) deny.push({ [field]: [value] });
    else (wanted[field] ??= []).push(value);
    negated = false;
  }
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
 * @param {string} token
 * @param {string[]} rest the tokens behind it; its value is taken from them
 * @returns {[string, string]} field and value
 */
function readTerm(token, rest) {
  const written = token.replace(/^--/, "");
  const joined = /^([a-z-]+)=(.+)$/.exec(written);
  const name = joined && TERMS.has(joined[1]) ? joined[1] : written;
  const field = TERMS.get(name);
  if (!field)
    throw new FilterError(
      `“${unquoted(token)}” is no term. Write for example: --pod ${unquoted(written)}, --from-label app=web, --verdict DROPPED`,
    );
  const value = name === written ? rest.shift() : joined?.[2];
  if (value === undefined) throw new FilterError(`--${name} needs a value behind it`);
  return [field, unquoted(value)];
}

/** @param {string} text */
const unquoted = (text) => text.replace(QUOTED, (_, double, single) => double ?? single);
