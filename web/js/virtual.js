/**
 * A table body that holds only the rows in view. A thousand indexes, or an index of three thousand
 * constituents, cost as much as thirty.
 */
import { h } from "./dom.js";

const BEYOND = 6; // rows above and below the view, so that a quick scroll shows no hole
const PRINTED_MAX = 5_000;

/** @template T */
export class VirtualRows {
  /**
   * @param {{
   *   scroller: HTMLElement, table: HTMLTableElement, body: HTMLElement,
   *   key: (item: T) => string, make: (item: T) => HTMLTableRowElement,
   *   write: (row: HTMLTableRowElement, item: T) => void,
   * }} parts  `make` builds a row, `write` brings it up to date
   */
  constructor(parts) {
    this.parts = parts;
    /** @type {T[]} */
    this.items = [];
    /** @type {Map<string, HTMLTableRowElement>} */
    this.shown = new Map();
    this.above = spacer();
    this.under = spacer();
    this.printing = false;
    this.queued = false;
    const later = () => this.queue();
    parts.scroller.addEventListener("scroll", later, { passive: true });
    this.resized = new ResizeObserver(later);
    this.resized.observe(parts.scroller);
    this.print = (/** @type {Event} */ event) => {
      this.printing = event.type === "beforeprint";
      this.render();
    };
    addEventListener("beforeprint", this.print);
    addEventListener("afterprint", this.print);
    this.end = () => {
      this.resized.disconnect();
      parts.scroller.removeEventListener("scroll", later);
      removeEventListener("beforeprint", this.print);
      removeEventListener("afterprint", this.print);
    };
  }

  /** @param {T[]} items */
  show(items) {
    this.items = items;
    this.parts.table.setAttribute("aria-rowcount", String(items.length + 1));
    this.render();
  }

  queue() {
    if (this.queued) return;
    this.queued = true;
    requestAnimationFrame(() => {
      this.queued = false;
      this.render();
    });
  }

  get rowHeight() {
    return parseFloat(getComputedStyle(this.parts.table).getPropertyValue("--row")) || 44;
  }

  /** First and last item in view, and a few beyond. */
  range() {
    if (this.printing) return [0, Math.min(this.items.length, PRINTED_MAX)];
    const { scroller, body } = this.parts;
    const height = this.rowHeight;
    const top = scroller.getBoundingClientRect().top - body.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(top / height) - BEYOND);
    const last = Math.ceil((top + scroller.clientHeight) / height) + BEYOND;
    return [Math.min(first, this.items.length), Math.max(0, Math.min(last, this.items.length))];
  }

  render() {
    const { body, key, make, write } = this.parts;
    const [first = 0, last = 0] = this.range();
    if (body.firstChild !== this.above) body.replaceChildren(this.above, this.under);
    const wanted = new Set(this.items.slice(first, last).map(key));
    for (const [name, row] of this.shown) {
      if (wanted.has(name)) continue;
      row.remove();
      this.shown.delete(name);
    }
    /** @type {Element} */
    let before = this.above;
    for (let at = first; at < last; at += 1) {
      const item = /** @type {T} */ (this.items[at]);
      let row = this.shown.get(key(item));
      if (!row) {
        row = make(item);
        this.shown.set(key(item), row);
      }
      if (before.nextElementSibling !== row) before.after(row);
      row.setAttribute("aria-rowindex", String(at + 2));
      write(row, item);
      before = row;
    }
    resize(this.above, first * this.rowHeight);
    resize(this.under, (this.items.length - last) * this.rowHeight);
  }

  /** @param {number} at */
  reveal(at) {
    const { scroller, body } = this.parts;
    const height = this.rowHeight;
    const head = body.getBoundingClientRect().top - scroller.getBoundingClientRect().top + scroller.scrollTop;
    const top = head + at * height;
    if (top - head < scroller.scrollTop) scroller.scrollTop = top - head;
    else if (top + height > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + height - scroller.clientHeight;
    this.render();
  }
}

function spacer() {
  return h("tr", { class: "spacer", "aria-hidden": "true" }, h("td", null));
}

/** @param {HTMLTableRowElement} row @param {number} height */
function resize(row, height) {
  row.hidden = height <= 0;
  row.style.height = `${Math.max(0, height)}px`;
}

/**
 * Sortable column heads: a click sorts, another turns it round, a third goes back.
 * @param {HTMLElement} line
 * @param {{key: string, text: string, class: string, down?: boolean, fixed?: boolean}[]} columns  `down`: largest first
 * @param {(sort: string) => void} choose
 */
export function columnHeads(line, columns, choose) {
  let now = "";
  const heads = columns.map((column) => {
    const click = () => {
      const [one, two] = column.down ? [`-${column.key}`, column.key] : [column.key, `-${column.key}`];
      choose(now === one ? two : now === two ? "" : one);
    };
    const inner = column.fixed ? h("span", null, column.text) : h("button", { type: "button", onclick: click }, column.text);
    return h("th", { scope: "col", class: column.class }, inner);
  });
  line.replaceChildren(...heads);
  /** @param {string} sort */
  return (sort) => {
    now = sort;
    columns.forEach((column, at) => {
      const head = heads[at];
      if (sort.replace("-", "") === column.key) head?.setAttribute("aria-sort", sort.startsWith("-") ? "descending" : "ascending");
      else head?.removeAttribute("aria-sort");
    });
  };
}
