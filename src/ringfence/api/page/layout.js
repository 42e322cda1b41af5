/**
 * The layout of the map: a box a namespace, in it a grid where callers stand left of whom they call. A place once given is
 * kept: who comes later fills free places, so nothing jumps while somebody looks.
 *
 * @typedef {{id: string, namespace: string, name: string}} Node
 * @typedef {{from: string, to: string}} Link
 * @typedef {{x: number, y: number}} Point
 * @typedef {{name: string, x: number, y: number, width: number, height: number}} Box
 */

export const NODE = { width: 150, height: 50 };
export const GAP = { x: 150, y: 26 };
const PADDING = { x: 22, top: 40, bottom: 22 };
const BETWEEN = { x: 110, y: 34 };
const MOST_ROWS = 6;
const MOST_DEPTH = 2;

/** @typedef {{column: number, row: number, group: Group}} Seat */

/** One namespace: who sits where in its grid. */
class Group {
  /** @type {Map<string, string>} */
  taken = new Map();
  columns = 1;
  rows = 1;
  /** The column of boxes that it stands in. */
  lane = 0;

  /** @param {string} name */
  constructor(name) {
    this.name = name;
  }

  /**
   * The free seat nearest to the top of a column, or of one further right where that is full.
   * @param {string} id
   * @param {number} column
   * @returns {Seat}
   */
  seat(id, column) {
    for (let at = column; ; at += 1) {
      for (let row = 0; row < MOST_ROWS; row += 1) {
        if (this.taken.has(`${at},${row}`)) continue;
        this.taken.set(`${at},${row}`, id);
        this.columns = Math.max(this.columns, at + 1);
        this.rows = Math.max(this.rows, row + 1);
        return { column: at, row, group: this };
      }
    }
  }

  get width() {
    return 2 * PADDING.x + this.columns * NODE.width + (this.columns - 1) * GAP.x;
  }

  get height() {
    return PADDING.top + PADDING.bottom + this.rows * NODE.height + (this.rows - 1) * GAP.y;
  }
}

/** Where everybody stands. */
export class Layout {
  /** @type {Map<string, Seat>} */
  #seats = new Map();
  /** @type {Map<string, Group>} */
  #groups = new Map();

  /** @param {number} width that a reader sees at a time, in the map's own units */
  constructor(width) {
    this.width = width;
  }

  /** How many have a place. */
  get size() {
    return this.#seats.size;
  }

  /**
   * Give a place to everybody who has none yet.
   * @param {Node[]} nodes
   * @param {Link[]} links the busiest first
   */
  place(nodes, links) {
    const added = nodes.filter((node) => !this.#seats.has(node.id));
    if (!added.length) return;
    const boxOf = new Map(nodes.map((node) => [node.id, node.namespace]));
    const [inside, across] = [true, false].map((wanted) => links.filter((link) => inOne(link, boxOf) === wanted));
    const columns = new Map([...this.#seats].map(([id, seat]) => [id, seat.column]));
    const depths = depthsOf(inside, columns, MOST_DEPTH);
    const depth = (/** @type {Node} */ node) => depths.get(node.id) ?? 0;
    added.sort((a, b) => depth(a) - depth(b) || compare(a.name, b.name) || compare(a.id, b.id));
    for (const name of ordered(new Set(added.map((node) => node.namespace)), across, boxOf)) {
      const group = this.#groups.get(name) ?? new Group(name);
      const members = added.filter((node) => node.namespace === name);
      for (const node of members) this.#seats.set(node.id, group.seat(node.id, depth(node)));
      if (this.#groups.has(name)) continue;
      group.lane = this.#lane(group.width);
      this.#groups.set(name, group);
    }
  }

  /**
   * The boxes, and the place of each node's upper left corner.
   * @returns {{boxes: Box[], places: Map<string, Point>, width: number, height: number}}
   */
  drawn() {
    const boxes = this.#boxes();
    const places = new Map();
    for (const [id, { column, row, group }] of this.#seats) {
      const box = /** @type {Box} */ (boxes.get(group));
      const x = box.x + PADDING.x + column * (NODE.width + GAP.x);
      places.set(id, { x, y: box.y + PADDING.top + row * (NODE.height + GAP.y) });
    }
    const all = [...boxes.values()];
    const width = Math.max(0, ...all.map((box) => box.x + box.width));
    return { boxes: all, places, width, height: Math.max(0, ...all.map((box) => box.y + box.height)) };
  }

  #boxes() {
    /** @type {Map<Group, Box>} */
    const found = new Map();
    const lanes = [...Map.groupBy(this.#groups.values(), (group) => group.lane).entries()].sort(([a], [b]) => a - b);
    let x = 0;
    for (const [, groups] of lanes) {
      let y = 0;
      for (const group of groups) {
        found.set(group, { name: group.name, x, y, width: group.width, height: group.height });
        y += group.height + BETWEEN.y;
      }
      x += Math.max(...groups.map((group) => group.width)) + BETWEEN.x;
    }
    return found;
  }

  /**
   * The column of boxes for a new one: a further one while the width allows, else the one that is least high.
   * @param {number} own its width
   */
  #lane(own) {
    const lanes = Map.groupBy(this.#groups.values(), (group) => group.lane);
    let width = 0;
    let [lowest, least] = [0, Infinity];
    for (const [lane, groups] of lanes) {
      width += Math.max(...groups.map((group) => group.width)) + BETWEEN.x;
      const height = groups.reduce((sum, group) => sum + group.height + BETWEEN.y, 0);
      if (height < least) [lowest, least] = [lane, height];
    }
    return lanes.size === 0 || width + own <= this.width ? lanes.size : lowest;
  }
}

/**
 * Whether both ends of a link are of one namespace.
 * @param {Link} link
 * @param {Map<string, string>} boxOf
 */
const inOne = ({ from, to }, boxOf) => boxOf.get(from) === boxOf.get(to);

/**
 * Namespaces, those that call others first.
 * @param {Set<string>} names
 * @param {Link[]} across links between nodes of different ones
 * @param {Map<string, string>} boxOf
 */
function ordered(names, across, boxOf) {
  const box = (/** @type {string} */ id) => boxOf.get(id) ?? "";
  const depths = depthsOf(
    across.map(({ from, to }) => ({ from: box(from), to: box(to) })),
    new Map(),
    names.size,
  );
  const depth = (/** @type {string} */ name) => depths.get(name) ?? 0;
  return [...names].sort((a, b) => depth(a) - depth(b) || compare(a, b));
}

/**
 * How far right everybody belongs who is called: one further than who calls them.
 * @param {Link[]} links the busiest first
 * @param {Map<string, number>} fixed where somebody stands already
 * @param {number} most
 * @returns {Map<string, number>}
 */
function depthsOf(links, fixed, most) {
  const depths = new Map(fixed);
  const acyclic = withoutCycles(links);
  for (let round = 0; round < most; round += 1) {
    for (const { from, to } of acyclic) {
      if (fixed.has(to)) continue;
      depths.set(to, Math.max(depths.get(to) ?? 0, Math.min((depths.get(from) ?? 0) + 1, most)));
    }
  }
  return depths;
}

/**
 * The links that lead to no one who leads back; of a circle the later ones are left out.
 * @param {Link[]} links the most telling first
 */
function withoutCycles(links) {
  /** @type {Map<string, Set<string>>} */
  const called = new Map();
  const reaches = (/** @type {string} */ from, /** @type {string} */ to) => {
    const [seen, waiting] = [new Set(), [from]];
    for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
      if (id === to) return true;
      if (!seen.has(id)) waiting.push(...(called.get(id) ?? []));
      seen.add(id);
    }
    return false;
  };
  return links.filter(({ from, to }) => {
    if (reaches(to, from)) return false;
    called.set(from, (called.get(from) ?? new Set()).add(to));
    return true;
  });
}

/**
 * @param {string} a
 * @param {string} b
 */
const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
