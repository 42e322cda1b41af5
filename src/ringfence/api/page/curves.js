/**
 * Curves: the line of an edge between two nodes, and where its label stands.
 *
 * @typedef {import("./layout.js").Point} Point
 * @typedef {{path: string, middle: Point, beside: boolean}} Curve `beside`: the label stands right of its middle
 */

import { GAP, NODE } from "./layout.js";

const APART = 16;
const LEAST_BEND = 36;
const TIP = 9;
// How far a line bows out that would else run behind a node on its way: into the gap between two rows.
const ARC = { height: 58, bend: 90 };
// Labels stand nearer to who sends: lines come together at who is called by many.
const AT = 0.42;

/**
 * The line from one node to another, both by their upper left corners.
 * @param {Point} from
 * @param {Point} to
 * @param {number} lane which of the lines between the two, counted from the middle: 0, or -0.5 and 0.5, ...
 * @returns {Curve}
 */
export function curve(from, to, lane) {
  const shift = Math.max(-NODE.height / 2 + 5, Math.min(NODE.height / 2 - 5, lane * APART));
  const middle = NODE.height / 2;
  const side = facing(from, to);
  const loop = from.x === to.x && from.y === to.y;
  const start = { x: from.x + (side.start > 0 ? NODE.width : 0), y: from.y + middle + (loop ? -12 : shift) };
  const end = { x: to.x + (side.end > 0 ? NODE.width : 0) + side.end * TIP, y: to.y + middle + (loop ? 12 : shift) };
  const beside = side.start === side.end;
  // To the right above those in between, to the left below them.
  const arc = passesOthers(from, to) ? ARC.height * side.end : 0;
  const across = arc ? ARC.bend : Math.abs(end.x - start.x) / 2;
  const bend = Math.max(LEAST_BEND, across, beside ? Math.abs(end.y - start.y) / 3 : 0);
  const [a, b] = [
    { x: start.x + side.start * bend, y: start.y + arc },
    { x: end.x + side.end * bend, y: end.y + arc },
  ];
  const path = `M${point(start)} C${point(a)} ${point(b)} ${point(end)}`;
  const between = (/** @type {"x" | "y"} */ axis) =>
    beside ? cubic(0.5, start[axis], a[axis], b[axis], end[axis]) : cubic(AT, start[axis], a[axis], b[axis], end[axis]);
  return { path, middle: { x: between("x"), y: between("y") }, beside };
}

/**
 * The lane of each of so many lines between the same two nodes.
 * @param {number} index
 * @param {number} lines
 */
export const laneOf = (index, lines) => index - (lines - 1) / 2;

/**
 * The width of a line: on a logarithmic scale, for rates differ by thousands.
 * @param {number} rate events a second
 */
export const widthOf = (rate) => Math.min(9, 1.5 + 1.6 * Math.log10(1 + Math.max(rate, 0)));

/**
 * The sides that a line leaves and arrives by: 1 is right, -1 left. Of two in one column both are the right one.
 * @param {Point} from
 * @param {Point} to
 */
function facing(from, to) {
  if (to.x >= from.x + NODE.width) return { start: 1, end: -1 };
  if (from.x >= to.x + NODE.width) return { start: -1, end: 1 };
  return { start: 1, end: 1 };
}

/**
 * A cubic Bezier curve in one axis.
 * @param {number} t from 0 to 1
 * @param {number} p0
 * @param {number} p1
 * @param {number} p2
 * @param {number} p3
 */
const cubic = (t, p0, p1, p2, p3) =>
  (1 - t) ** 3 * p0 + 3 * (1 - t) ** 2 * t * p1 + 3 * (1 - t) * t ** 2 * p2 + t ** 3 * p3;

/**
 * Whether a straight line would run behind nodes between the two: they stand in one row, and not side by side.
 * @param {Point} from
 * @param {Point} to
 */
const passesOthers = (from, to) =>
  Math.abs(to.y - from.y) < NODE.height && Math.abs(to.x - from.x) > NODE.width + 2 * GAP.x;

/** @param {Point} point */
const point = ({ x, y }) => `${x.toFixed(1)},${y.toFixed(1)}`;
