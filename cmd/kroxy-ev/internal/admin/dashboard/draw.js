// Tables and sparklines that are updated in place: what is up to date is not touched. All text is set as text, never as markup.

import { points } from './history.js';

const svg = 'http://www.w3.org/2000/svg';

/** A new element with a class and text. */
export function make(tag, cls = '', text = '') {
  const e = document.createElement(tag);
  if (cls) e.className = cls;
  if (text) e.textContent = text;
  return e;
}

/** One of the symbols in index.html. change(name) shows another one. */
export function icon(name) {
  const s = document.createElementNS(svg, 'svg');
  s.setAttribute('class', 'icon');
  s.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS(svg, 'use');
  s.append(use);
  s.change = (n) => attribute(use, 'href', `#${n}`);
  s.change(name);
  return s;
}

/** Sets an attribute unless it has that value already. */
export function attribute(e, name, value) {
  if (e.getAttribute(name) !== value) e.setAttribute(name, value);
}

/** A function that shows text in e, with a tooltip of the full text if it may be truncated. */
export function writer(e, cut = false) {
  let shown = '';
  return (text) => {
    if (text === shown) return;
    shown = text;
    e.textContent = text;
    if (cut) e.title = text;
  };
}

/** A line of a track's points; a line of errors may be drawn over it at the same scale. */
export class Spark {
  constructor(height) {
    this.height = height;
    this.node = document.createElementNS(svg, 'svg');
    attribute(this.node, 'class', 'spark');
    attribute(this.node, 'viewBox', `0 0 ${points - 1} ${height}`);
    attribute(this.node, 'preserveAspectRatio', 'none');
    attribute(this.node, 'aria-hidden', 'true');
    this.paths = ['area', 'line', 'errors'].map((cls) => {
      const p = document.createElementNS(svg, 'path');
      p.setAttribute('class', cls);
      this.node.append(p);
      return p;
    });
    this.head = -1;
  }

  /** Draws the changes since the last drawing. */
  draw(track, errors) {
    if (track === this.track && track.head === this.head) return;
    this.track = track;
    this.head = track.head;
    const max = Math.max(track.peak, 1e-9);
    const [line, area] = this.trace(track, max);
    attribute(this.paths[0], 'd', area);
    attribute(this.paths[1], 'd', line);
    if (errors) attribute(this.paths[2], 'd', errors.peak > 0 ? this.trace(errors, max)[0] : '');
  }

  trace(track, max) {
    let line = '', area = '', from = -1;
    const y = (v) => (this.height - (this.height - 1) * Math.min(v / max, 1)).toFixed(1);
    for (let i = 0; i <= points; i++) {
      const v = i < points ? track.point(i) : NaN;
      if (Number.isNaN(v)) {
        if (from >= 0) area += `L${i - 1} ${this.height}L${from} ${this.height}Z`;
        from = -1;
        continue;
      }
      const step = `${from < 0 ? 'M' : 'L'}${i} ${y(v)}`;
      if (from < 0) from = i;
      line += step;
      area += step;
    }
    return [line, area];
  }
}

/** A column: its label, the class of its width, classes of its cells, and a function that fills a cell: fill(td, row) returns show(item). A plain
 column needs no label where rows are cards. */
export const column = (label, width, cls, fill, more = {}) => ({ label, width, cls, fill, ...more });

/** A column of texts. */
export const text = (label, width, cls, of, more) => column(label, width, cls, (td) => {
  const write = writer(td, !cls.includes('n'));
  return (item) => write(of(item));
}, more);

/** A column of sparklines: of(item) returns [track, errors]. */
export const spark = (label, of) => column(label, 'w-spark c-spark', 'spark-cell', (td, row) => {
  const s = new Spark(18);
  td.append(s.node);
  return (item) => row.later(() => s.draw(...of(item)));
});

// Visible rows are always up to date. Of many other rows, some are written in each round, so that a thousand rows cost no
// more than some hundred. A row whose class has changed is always written.
const visibility = new IntersectionObserver((entries) => {
  for (const e of entries) e.target.row.see(e.isIntersecting);
}, { rootMargin: '200px' });
export const many = 100;
const drawTurns = 8;
let made = 0;
let turn = 0;

/** Begins the next round. */
export function round() {
  turn++;
}

class Row {
  constructor(columns, first) {
    this.number = made++;
    this.node = make('tr');
    attribute(this.node, 'role', 'row');
    this.node.row = this;
    this.drawn = [];
    this.shows = columns.map((c, i) => {
      const cell = make(i === 0 ? 'th' : 'td', c.cls);
      if (i === 0) attribute(cell, 'scope', first);
      else attribute(cell, 'data-label', c.plain ? '' : c.label);
      attribute(cell, 'role', i === 0 ? 'rowheader' : 'cell');
      this.node.append(cell);
      return c.fill(cell, this);
    });
    visibility.observe(this.node);
  }

  /** Calls draw whenever the row is written while it is visible. */
  later(draw) {
    this.drawn.push(draw);
  }

  see(seen) {
    this.seen = seen;
    if (seen) this.write();
  }

  show(item, always = true) {
    this.item = item;
    const cls = item.rowClass ?? '';
    const hidden = Boolean(item.hidden);
    const other = this.cls !== cls || this.node.hidden !== hidden;
    if (this.cls !== cls) this.node.className = this.cls = cls;
    if (this.node.hidden !== hidden) this.node.hidden = hidden;
    if (!hidden && (always || other || this.seen || (turn + this.number) % drawTurns === 0)) this.write();
  }

  write() {
    this.drawn.length = 0;
    for (const s of this.shows) s(this.item);
    if (this.seen) for (const d of this.drawn) d();
  }

  remove() {
    visibility.unobserve(this.node);
    this.node.remove();
  }
}

/** Adds the columns to a table, with headings. */
export function head(table, columns) {
  attribute(table, 'role', 'table');
  const group = make('colgroup');
  const thead = make('thead');
  const tr = make('tr');
  attribute(thead, 'role', 'rowgroup');
  attribute(tr, 'role', 'row');
  for (const c of columns) {
    group.append(make('col', `${c.width}${c.cls.includes('c-extra') ? ' c-extra' : ''}`));
    const th = make('th', c.cls, c.label);
    attribute(th, 'scope', 'col');
    attribute(th, 'role', 'columnheader');
    if (c.title) th.title = c.title;
    tr.append(th);
  }
  thead.append(tr);
  table.append(group, thead);
}

/** The rows of one tbody, by key. A row for their group may precede them. */
export class Rows {
  constructor(columns, none = '') {
    this.columns = columns;
    this.rows = new Map();
    this.node = make('tbody');
    attribute(this.node, 'role', 'rowgroup');
    if (none) {
      this.empty = make('tr', 'empty');
      const td = make('td', '', none);
      td.colSpan = columns.length;
      this.empty.append(td);
      attribute(this.empty, 'role', 'row');
      attribute(td, 'role', 'cell');
    }
  }

  /** Shows the items, which have unique keys, in their order; with always, invisible rows are written too. */
  show(items, always, group, groupColumns) {
    const keys = new Set(items.map((i) => i.key));
    for (const [key, row] of this.rows) {
      if (keys.has(key)) continue;
      row.remove();
      this.rows.delete(key);
    }
    if (items.length > 0) this.empty?.remove();
    let next = this.node.firstElementChild;
    const put = (node) => { // a node in the right place is not moved, because it would lose the focus
      if (node === next) next = next.nextElementSibling;
      else this.node.insertBefore(node, next);
    };
    if (group) {
      this.group ??= new Row(groupColumns, 'rowgroup');
      this.group.show(group);
      put(this.group.node);
    }
    for (const item of items) {
      let row = this.rows.get(item.key);
      if (!row) this.rows.set(item.key, row = new Row(this.columns, 'row'));
      row.show(item, always);
      put(row.node);
    }
    if (this.empty && items.length === 0 && next !== this.empty) this.node.append(this.empty);
  }

  remove() {
    for (const row of this.rows.values()) row.remove();
    this.group?.remove();
    this.node.remove();
  }
}
