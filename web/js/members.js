/** The constituents of the open index. */
import { $, flash, h, setText } from "./dom.js";
import { compareDecimals, count, DASH, number, percent, sign, signed, writeData, writeMove } from "./format.js";
import { go, route } from "./route.js";
import { columnHeads, VirtualRows } from "./virtual.js";
import { moment } from "./zone.js";

/** @typedef {import("./types.js").Member} Member */

const COLUMNS = [
  { key: "symbol", text: "Symbol", class: "m-symbol" },
  { key: "name", text: "Name", class: "name" },
  { key: "price", text: "Price", class: "m-price", down: true },
  { key: "change", text: "Change", class: "m-change", down: true },
  { key: "weight", text: "Weight", class: "m-weight", down: true },
  { key: "points", text: "Points", class: "m-points", down: true },
];

/** @type {Record<string, (member: Member) => string | null | undefined>} */
const FIELDS = {
  price: (member) => member.price,
  change: (member) => member.chg_pct,
  weight: (member) => member.weight,
  points: (member) => member.contribution,
};

/** @typedef {{line: HTMLElement, stale: HTMLElement, held: HTMLElement, price: HTMLDataElement, change: HTMLElement, weight: HTMLDataElement, gauge: HTMLElement, points: HTMLDataElement}} Parts */

export class Members {
  /** @param {string} currency of the index; other ones are named */
  constructor(currency) {
    this.currency = currency;
    /** @type {Map<string, Member>} */
    this.members = new Map();
    /** @type {Map<string, string>} */
    this.prices = new Map();
    this.largest = 0;
    /** @type {WeakMap<HTMLElement, Parts>} */
    this.parts = new WeakMap();
    const columns = h("tr", null);
    const body = h("tbody", null);
    const table = h("table", null, h("caption", { class: "hidden" }, "Constituents"), h("thead", null, columns), body);
    this.note = h("span", { class: "note" });
    this.heads = columnHeads(columns, COLUMNS, (members) => go({ members }));
    this.element = h("div", { class: "card members" },
      h("div", { class: "card-head" }, h("h2", null, "Constituents"), this.note), table);
    this.rows = new VirtualRows({
      scroller: $("detail"), table, body,
      key: (/** @type {Member} */ member) => member.symbol,
      make: (member) => this.make(member),
      write: (line, member) => this.write(line, member),
    });
  }

  /** @param {Member[]} members */
  take(members) {
    this.members = new Map(members.map((member) => [member.symbol, member]));
    this.largest = Math.max(...members.map((member) => Math.abs(Number(member.contribution ?? 0))), 0);
    this.arrange();
    setText(this.note, this.summary(members));
    for (const member of members) {
      const before = this.prices.get(member.symbol);
      if (before && member.price && before !== member.price) {
        const line = this.rows.shown.get(member.symbol);
        const part = line && this.parts.get(line);
        if (part) flash(part.price, compareDecimals(member.price, before));
      }
      if (member.price) this.prices.set(member.symbol, member.price);
    }
  }

  /** @param {Member[]} members */
  summary(members) {
    const moves = members.filter((member) => member.chg_pct !== null && member.chg_pct !== undefined);
    const up = moves.filter((member) => sign(member.chg_pct) > 0).length;
    const down = moves.filter((member) => sign(member.chg_pct) < 0).length;
    const stale = members.filter((member) => member.stale).length;
    const held = members.filter((member) => member.held).length;
    const missing = members.filter((member) => !member.price).length;
    return [
      count(members.length),
      moves.length ? `${up} up, ${down} down, ${moves.length - up - down} unchanged` : "",
      stale ? `${stale} stale` : "",
      held ? `${held} held` : "",
      missing ? `${missing} without a price` : "",
    ].filter(Boolean).join(" · ");
  }

  arrange() {
    const sort = route.value.members || "-weight";
    const field = sort.replace("-", "");
    const turn = sort.startsWith("-") ? -1 : 1;
    const of = FIELDS[field];
    const text = field === "name" ? (/** @type {Member} */ member) => member.name ?? "" : (/** @type {Member} */ member) => member.symbol;
    const shown = [...this.members.values()];
    const byText = (/** @type {Member} */ a, /** @type {Member} */ b) => (text(a) < text(b) ? -1 : text(a) > text(b) ? 1 : 0);
    if (of) shown.sort((a, b) => (of(a) && of(b) ? turn * compareDecimals(of(a), of(b)) : compareDecimals(of(a), of(b))) || byText(a, b));
    else shown.sort((a, b) => turn * byText(a, b));
    this.heads(sort);
    this.rows.show(shown);
  }

  /** @param {Member} member */
  make(member) {
    const stale = h("span", { class: "stale", hidden: true, title: "stale" }, h("span", null, "stale"));
    const held = h("span", { class: "held", hidden: true, title: "a price waits for an operator" }, "held");
    const price = h("data", null);
    const foreign = member.currency && member.currency !== this.currency;
    const change = h("td", null);
    const weight = h("data", null);
    const points = h("data", null);
    const gauge = h("i", { "aria-hidden": "true" });
    const line = h("tr", { dataset: { symbol: member.symbol } },
      h("td", null, h("b", null, member.symbol), stale, held), h("td", { class: "name" }, member.name ?? ""),
      h("td", null, price, foreign ? h("span", { class: "ccy" }, member.currency) : null), change,
      h("td", null, weight), h("td", null, h("span", { class: "gauge" }, gauge, points)));
    this.parts.set(line, { line, stale, held, price, change, weight, gauge, points });
    return line;
  }

  /** @param {HTMLTableRowElement} line @param {Member} given */
  write(line, given) {
    const member = this.members.get(given.symbol) ?? given;
    const part = this.parts.get(line);
    if (!part) return;
    part.stale.hidden = !member.stale;
    part.held.hidden = !member.held;
    line.title = member.ts ? `${member.symbol}: price of ${moment(member.ts, 3)}` : `${member.symbol}: no price yet`;
    writeData(part.price, member.price, number(member.price));
    writeMove(part.change, sign(member.chg_pct), percent(member.chg_pct));
    writeData(part.weight, member.weight, member.weight ? `${(Number(member.weight) * 100).toFixed(2)}%` : DASH);
    const direction = sign(member.contribution);
    writeData(part.points, member.contribution, points(member.contribution));
    part.points.className = direction > 0 ? "up" : direction < 0 ? "down" : "";
    part.gauge.dataset.sign = String(direction);
    const share = this.largest > 0 ? Math.abs(Number(member.contribution ?? 0)) / this.largest : 0;
    part.gauge.style.setProperty("--part", share.toFixed(3));
  }

  remove() {
    this.rows.end();
  }
}

/** @param {string | null | undefined} contribution */
function points(contribution) {
  if (!contribution) return DASH;
  const cut = Number(contribution).toFixed(2);
  return signed(cut);
}
