/**
 * The DOM: elements made from plain values. Every text goes in as a text node, for labels come from workloads, which may
 * call themselves anything; no module of this page sets HTML.
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @typedef {Node | string | number | null | undefined | false} Child
 * @typedef {Record<string, string | number | boolean | null | undefined | ((event: any) => void)>} Attributes
 */

/**
 * An HTML element. An attribute that is null or false is left out; one that is a function listens to the event.
 * @param {string} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {HTMLElement}
 */
export function html(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/**
 * An SVG element, made likewise.
 * @param {string} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {SVGElement}
 */
export function svg(tag, attributes = {}, ...children) {
  return filled(/** @type {SVGElement} */ (document.createElementNS(SVG, tag)), attributes, children);
}

/**
 * Set attributes of an element, where they differ from what is there.
 * @param {Element} element
 * @param {Attributes} attributes
 */
export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === null || value === undefined || value === false) element.removeAttribute(name);
    else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
  }
}

/**
 * Set an element's text, where it differs: a reader's selection stays.
 * @param {Element} element
 * @param {string | number} text
 */
export function say(element, text) {
  if (element.textContent !== String(text)) element.textContent = String(text);
}

/** @type {WeakMap<Element, Map<string, Element>>} */
const held = new WeakMap();

/**
 * Let an element have one child an item, in order. A child whose key stays is kept, with its focus, and updated.
 * @template Item
 * @param {Element} parent
 * @param {Iterable<Item>} items
 * @param {(item: Item) => string} keyOf
 * @param {(item: Item) => Element} make
 * @param {(child: Element, item: Item) => void} [update]
 */
export function keyed(parent, items, keyOf, make, update) {
  const before = held.get(parent) ?? new Map();
  const wanted = new Map(Array.from(items, (item) => [keyOf(item), item]));
  for (const [key, child] of before) if (!wanted.has(key)) child.remove();
  const after = new Map();
  let next = parent.firstElementChild;
  for (const [key, item] of wanted) {
    const child = before.get(key) ?? make(item);
    update?.(child, item);
    after.set(key, child);
    if (child === next) next = child.nextElementSibling;
    else parent.insertBefore(child, next);
  }
  held.set(parent, after);
}

/**
 * @template {Element} Made
 * @param {Made} element
 * @param {Attributes} attributes
 * @param {Child[]} children
 * @returns {Made}
 */
function filled(element, attributes, children) {
  set(element, attributes);
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}
