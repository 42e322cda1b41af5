/**
 * Names: what an end of a flow is called and where on the map it stands. An endpoint of this host is itself; anybody else
 * is their identity.
 *
 * @typedef {{id: string, name: string, namespace: string, identity: number, labels: string[], endpoint: string | null}} Place
 */

const NAMESPACE = "k8s:io.kubernetes.pod.namespace=";
const TELLING = ["k8s:app=", "k8s:app.kubernetes.io/name=", "k8s:k8s-app=", "container:name="];

/** The group of everybody who is in no namespace: the world, the node, prefixes. */
export const OUTSIDE = "outside";

/**
 * Where an end of a flow stands.
 * @param {import("./shapes.js").Party} party
 * @returns {Place}
 */
export function placeOf(party) {
  const { identity, labels, endpoint } = party;
  const id = endpoint ? `endpoint ${endpoint}` : `identity ${identity}`;
  return { id, name: nameOf(party), namespace: namespaceOf(party), identity, labels, endpoint };
}

/** namespace/name where there is a namespace. @param {Place} place */
export const fullName = (place) => (place.namespace === OUTSIDE ? place.name : `${place.namespace}/${place.name}`);

/** @param {import("./shapes.js").Party} party */
function namespaceOf({ labels, endpoint }) {
  const label = labels.find((each) => each.startsWith(NAMESPACE));
  if (label) return label.slice(NAMESPACE.length);
  const slash = endpoint?.indexOf("/") ?? -1;
  return slash > 0 ? /** @type {string} */ (endpoint).slice(0, slash) : endpoint ? "no namespace" : OUTSIDE;
}

/** @param {import("./shapes.js").Party} party */
function nameOf({ labels, identity, endpoint }) {
  if (endpoint) return endpoint.slice(endpoint.indexOf("/") + 1);
  const reserved = labels.filter((each) => each.startsWith("reserved:"));
  const prefixes = labels.filter((each) => each.startsWith("cidr:"));
  if (prefixes.length) return longest(prefixes.map((each) => each.slice("cidr:".length).replace(/=$/, "")));
  if (reserved.length) return reserved[0].slice("reserved:".length).replace(/=$/, "");
  for (const start of TELLING) {
    const label = labels.find((each) => each.startsWith(start));
    if (label) return label.slice(start.length);
  }
  return labels.find((each) => !each.startsWith("k8s:io.")) ?? `identity ${identity}`;
}

/** @param {string[]} prefixes */
function longest(prefixes) {
  const length = (/** @type {string} */ prefix) => Number(prefix.split("/")[1] ?? 128);
  return prefixes.reduce((best, each) => (length(each) > length(best) ? each : best));
}
