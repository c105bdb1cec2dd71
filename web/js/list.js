/** The list of indexes: filter, order, selection. */
import { $, flash, h, setAttribute, setText } from "./dom.js";
import { compareDecimals, count, percent, sign, signed, stateBadge, writeData, writeMove, writeState } from "./format.js";
import { catalogue, moved, rows } from "./market.js";
import { go, linkTo, route } from "./route.js";
import { drawRow, extend, onArrival } from "./spark.js";
import { columnHeads, VirtualRows } from "./virtual.js";

/** @typedef {import("./types.js").Row} Row */

const COLUMNS = [
  { key: "code", text: "Index", class: "col-index" },
  { key: "trend", text: "Trend", class: "col-trend", fixed: true },
  { key: "level", text: "Level", class: "col-level", down: true },
  { key: "change", text: "Change", class: "col-change", down: true },
  { key: "status", text: "Status", class: "col-state" },
];

const DRAWN_MS = 900;

/** The codes in the order in which they are shown. */
let order = /** @type {string[]} */ ([]);
const filter = /** @type {HTMLInputElement} */ ($("filter"));
const heads = columnHeads($("list-columns"), COLUMNS, (sort) => go({ sort }));
const table = new VirtualRows({
  scroller: $("list-scroller"),
  table: /** @type {HTMLTableElement} */ ($("list-table")),
  body: $("list-rows"),
  key: (/** @type {Row} */ row) => row.code,
  make,
  write,
});

/** @typedef {{link: HTMLAnchorElement, name: HTMLElement, trend: HTMLCanvasElement, level: HTMLDataElement, pct: HTMLElement, chg: HTMLElement, state: HTMLElement, drawn: number}} Parts */
/** @type {WeakMap<HTMLElement, Parts>} */
const parts = new WeakMap();

/** @param {Row} row */
function make(row) {
  const name = h("small", null);
  const link = h("a", { href: linkTo(row.code) }, h("b", null, row.code), name);
  const trend = h("canvas", { "aria-hidden": "true" });
  const level = h("data", null);
  const pct = h("span", null);
  const chg = h("small", null);
  const state = stateBadge(row.status ?? "pending");
  const line = h(
    "tr", { dataset: { code: row.code }, onclick: (/** @type {MouseEvent} */ event) => open(event, row.code) },
    h("td", null, link), h("td", { class: "col-trend" }, trend), h("td", { class: "level" }, level), h("td", null, pct, chg), h("td", { class: "col-state" }, state),
  );
  parts.set(line, { link, name, trend, level, pct, chg, state, drawn: -DRAWN_MS });
  return line;
}

/** @param {MouseEvent} event @param {string} code */
function open(event, code) {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go({ view: "index", code });
}

/** @param {HTMLTableRowElement} line @param {Row} given */
function write(line, given) {
  const row = rows.get(given.code) ?? given;
  const part = parts.get(line);
  if (!part) return;
  const selected = route.value.view === "index" && route.value.code === row.code;
  line.classList.toggle("selected", selected);
  setAttribute(part.link, "aria-current", selected ? "true" : null);
  setAttribute(part.link, "href", linkTo(row.code));
  setText(part.name, row.name ?? row.currency ?? "");
  writeData(part.level, row.level);
  const direction = sign(row.chg);
  writeMove(part.pct, direction, percent(row.chg_pct));
  setText(part.chg, row.chg ? signed(row.chg) : "");
  writeState(part.state, row.status ?? "pending");
  // A line of hours does not look different several times a second.
  const now = performance.now();
  if (now - part.drawn < DRAWN_MS) return;
  part.drawn = now;
  drawRow(part.trend, row);
}

/** @type {Record<string, (a: Row, b: Row) => number>} */
const ORDERS = {
  code: (a, b) => (a.code < b.code ? -1 : a.code > b.code ? 1 : 0),
  level: (a, b) => compareDecimals(a.level, b.level),
  change: (a, b) => compareDecimals(a.chg_pct, b.chg_pct),
  status: (a, b) => (a.status ?? "").localeCompare(b.status ?? "") || ORDERS.code?.(a, b) || 0,
};

/** @param {Row} row @param {string[]} words */
function matches(row, words) {
  const text = `${row.code} ${row.name ?? ""} ${row.currency ?? ""} ${row.status ?? ""} ${row.weighting ?? ""}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

function arrange() {
  const { filter: wanted, sort } = route.value;
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = [...rows.values()].filter((row) => matches(row, words));
  const by = ORDERS[sort.replace("-", "")];
  if (by) {
    // What has no value stays at the end in both directions.
    const turn = sort.startsWith("-") ? -1 : 1;
    const known = (/** @type {Row} */ row) => (sort.endsWith("level") ? row.level : sort.endsWith("change") ? row.chg_pct : "-");
    shown.sort((a, b) => (known(a) && known(b) ? turn * by(a, b) : by(a, b)));
  }
  heads(sort);
  order = shown.map((row) => row.code);
  table.show(shown);
  tell(shown);
}

/** @param {Row[]} shown */
function tell(shown) {
  const states = new Map();
  for (const row of shown) states.set(row.status ?? "pending", (states.get(row.status ?? "pending") ?? 0) + 1);
  const total = rows.size;
  const first = shown.length === total ? `${count(total)} ${total === 1 ? "index" : "indexes"}` : `${count(shown.length)} of ${count(total)}`;
  const text = [first, ...[...states].map(([state, some]) => `${count(some)} ${state}`)];
  $("list-count").replaceChildren(...text.map((part) => h("span", null, part)));
  const empty = $("list-empty");
  empty.hidden = shown.length > 0;
  setText(empty, total === 0 ? "No index is defined yet. “divisor load FILE” brings some." : "No index matches the filter.");
}

/** Steps through the list as it is shown. @param {number} by */
export function step(by) {
  if (order.length === 0) return;
  const at = order.indexOf(route.value.code ?? "");
  const next = at < 0 ? (by > 0 ? 0 : order.length - 1) : Math.min(order.length - 1, Math.max(0, at + by));
  const code = order[next];
  if (code === undefined) return;
  go({ view: "index", code });
  table.reveal(next);
}

/** The first index of the list. */
export function first() {
  return order[0] ?? null;
}

export function startList() {
  filter.value = route.value.filter;
  filter.addEventListener("input", () => go({ filter: filter.value }));
  let before = { ...route.value };
  route.watch((now) => {
    if (filter.value !== now.filter) filter.value = now.filter;
    if (now.filter !== before.filter || now.sort !== before.sort) arrange();
    else table.render();
    before = { ...now };
  });
  catalogue.watch(arrange);
  onArrival((codes) => redraw(codes, true));
  let queued = new Set();
  /** @type {Map<string, number>} */
  const moves = new Map();
  const last = new Map();
  moved.watch((some) => {
    for (const row of some) {
      extend(row);
      const was = last.get(row.code);
      if (was && row.level && was !== row.level) moves.set(row.code, compareDecimals(row.level, was));
      last.set(row.code, row.level);
    }
    if (queued.size === 0) requestAnimationFrame(() => {
      const codes = queued;
      queued = new Set();
      redraw(codes);
      for (const [code, direction] of moves) {
        const line = table.shown.get(code);
        const part = line && parts.get(line);
        if (part) flash(part.level, direction);
      }
      moves.clear();
    });
    for (const row of some) queued.add(row.code);
  });
  setInterval(() => resort(), 2_000);
}

/** An order by something that moves is made anew now and then, not at each tick. */
function resort() {
  if (/(level|change|status)$/.test(route.value.sort) || route.value.filter) arrange();
  else tell([...order].map((code) => rows.get(code)).filter((row) => row !== undefined));
}

/** @param {Iterable<string>} codes @param {boolean} [wholly] with its line */
function redraw(codes, wholly = false) {
  for (const code of codes) {
    const line = table.shown.get(code);
    const row = rows.get(code);
    const part = line && parts.get(line);
    if (part && wholly) part.drawn = -DRAWN_MS;
    if (line && row) write(line, row);
  }
}

/** All rows again: the theme has changed. */
export function repaint() {
  redraw(table.shown.keys(), true);
}
