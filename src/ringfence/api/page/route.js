/**
 * Routes: what the address says behind `#`: a view, and what it shows.
 *
 * @typedef {{view: string, parameters: URLSearchParams}} Route
 */

/**
 * @param {string} hash as `location.hash` has it
 * @returns {Route}
 */
export function readRoute(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  return { view: path || "map", parameters: new URLSearchParams(query) };
}

/**
 * The address of a view; parameters that say nothing are left out.
 * @param {string} view
 * @param {Record<string, string | null | undefined>} [parameters]
 */
export function routeTo(view, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value);
  const query = new URLSearchParams(/** @type {[string, string][]} */ (given));
  return `#/${view}${given.length ? `?${query}` : ""}`;
}

/**
 * The address of a rule's page. A rule is known by its policy and where it stands there; one that no file says, by its
 * text.
 * @param {{policy: string, origin: string, text: string}} rule
 */
export const routeToRule = ({ policy, origin, text }) =>
  routeTo("rule", { policy, origin, text: origin ? null : text });
