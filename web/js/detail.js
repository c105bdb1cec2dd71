/** One index: the quote on top, and the parts below it. */
import { address, ApiError, get, isAbort, path, url } from "./api.js";
import { $, copy, flash, h, setText } from "./dom.js";
import { eventList, sorted } from "./events.js";
import { factList } from "./facts.js";
import { compareDecimals, DASH, percent, sign, signed, stateBadge, writeData, writeMove, writeState } from "./format.js";
import { moved, notice, rows } from "./market.js";
import { Members } from "./members.js";
import { Plot } from "./plot.js";
import { go, route } from "./route.js";
import { connection } from "./stream.js";
import { Topics } from "./topics.js";
import { moment } from "./zone.js";

/** @typedef {import("./types.js").Row} Row */
/** @typedef {import("./types.js").Facts} Facts */

// Constituents follow the level, at most this often; an index of thousands less often.
const FACTS_MS = 1_000;
const FACTS_LARGE_MS = 4_000;
const LARGE = 400;

export class Detail {
  /** @param {string} code */
  constructor(code) {
    this.code = code;
    /** @type {Facts | null} */
    this.facts = null;
    /** @type {any} */
    this.revision = null;
    /** @type {import("./types.js").IndexEvent[]} */
    this.events = [];
    this.level = /** @type {string | null} */ (null);
    this.abort = new AbortController();
    this.asked = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.plot = new Plot(code);
    this.topics = new Topics(code);
    this.members = new Members(rows.get(code)?.currency ?? "");
    this.view = this.build();
    this.links();
    this.topic = route.value.topic;
    this.quote();
    this.unwatch = [
      moved.watch((some) => some.some((row) => row.code === code) && this.take()),
      notice.watch((event) => event?.index === code && this.noted(event)),
      connection.watch((state) => state === "live" && this.read()),
    ];
    this.read();
  }

  build() {
    const view = {
      name: h("span", null),
      state: stateBadge("pending"),
      last: h("data", { class: "last" }),
      currency: h("span", { class: "currency" }),
      change: h("span", { class: "moved" }),
      asof: h("span", null),
      calculated: h("span", null),
      numbers: h("span", null),
      csv: h("a", { class: "plain", id: "csv" }, "CSV"),
      facts: h("div", { class: "card" }, h("h2", null, "Facts"), h("p", { class: "none" }, "Reading…")),
      events: h("div", { class: "card" }, h("h2", null, "Events"), h("p", { class: "none" }, "Reading…")),
    };
    const quote = h("header", { class: "quote" },
      h("h1", { tabIndex: -1, id: "detail-title" }, this.code, view.name, view.state),
      h("p", { class: "figure" }, view.last, view.currency, view.change),
      h("p", { class: "asof" }, view.asof, view.calculated, view.numbers),
      h("div", { class: "actions" }, view.csv,
        h("button", { type: "button", class: "plain", id: "copy-api", onclick: () => copy(this.address(), "API address") }, "Copy API URL"),
        h("button", { type: "button", class: "plain", id: "copy-link", onclick: () => copy(location.href, "Link") }, "Copy link")));
    const element = h("div", { class: "sheet" },
      h("a", { class: "back", href: "#/", onclick: back }, "← Indexes"),
      quote, this.plot.view.element,
      h("div", { class: "below" }, this.members.element, h("div", { class: "aside" }, view.facts, view.events, this.topics.element)));
    return { ...view, element };
  }

  /** The query of what the chart shows. */
  query() {
    const { history } = this.plot;
    return { from: history?.from ?? null, step: history?.step ?? "1m" };
  }

  address() {
    return address(path("indexes", this.code, "candles"), this.query());
  }

  links() {
    this.view.csv.href = url(`${path("indexes", this.code)}/candles.csv`, this.query());
    this.view.csv.download = `${this.code}-${route.value.range}.csv`;
  }

  quote() {
    const row = rows.get(this.code);
    setText(this.view.name, row?.name ?? "");
    writeState(this.view.state, row?.status ?? "unknown");
    writeData(this.view.last, row?.level);
    setText(this.view.currency, row?.currency ?? "");
    const direction = sign(row?.chg);
    writeMove(this.view.change, direction, row?.chg ? `${signed(row.chg)} (${percent(row.chg_pct)})` : "");
    setText(this.view.asof, row?.ts ? `as of ${moment(row.ts, 3)}` : `as of ${DASH}`);
    setText(this.view.calculated, row?.ts_calc ? `calculated ${moment(row.ts_calc, 3).slice(-16)}` : "");
    this.view.calculated.title = row?.ts_calc ? moment(row.ts_calc, 6) : "";
    setText(this.view.numbers, [row?.seq ? `level #${row.seq}` : "", row?.rev ? `revision ${row.rev}` : ""].filter(Boolean).join(" · "));
    document.title = row?.level ? `${this.view.last.textContent} ${this.code} · Divisor` : `${this.code} · Divisor`;
  }

  take() {
    const row = rows.get(this.code);
    if (this.level && row?.level && row.level !== this.level) flash(this.view.last, compareDecimals(row.level, this.level));
    this.level = row?.level ?? null;
    this.quote();
    this.links();
    this.topics.moved();
    if (this.timer !== undefined) return;
    const often = (row?.constituents ?? 0) > LARGE ? FACTS_LARGE_MS : FACTS_MS;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      if (document.visibilityState === "visible") this.readFacts();
    }, Math.max(0, this.asked + often - Date.now()));
  }

  /** Everything that is not in the stream. */
  async read() {
    await this.readFacts();
    await Promise.all([this.readEvents(), this.readRevision()]);
  }

  async readFacts() {
    this.asked = Date.now();
    this.abort.abort();
    const abort = (this.abort = new AbortController()).signal;
    try {
      const facts = /** @type {Facts} */ (await get(path("indexes", this.code), {}, abort));
      const first = this.facts === null;
      this.facts = facts;
      this.members.currency = facts.row.currency ?? "";
      this.members.take(facts.members ?? []);
      this.showFacts();
      if (first) {
        this.plot.begin(facts.definition?.day?.zone ?? "UTC");
        this.topics.offer((facts.members ?? []).map((member) => member.symbol));
      }
    } catch (error) {
      if (isAbort(error)) return;
      if (error instanceof ApiError && error.status === 404) this.missing();
    }
  }

  missing() {
    this.plot.cover(`There is no index ${this.code}.`);
    this.view.facts.replaceChildren(h("h2", null, "Facts"), h("p", { class: "none" }, "None known."));
  }

  showFacts() {
    if (this.facts) this.view.facts.replaceChildren(h("h2", null, "Facts"), factList(this.facts, this.revision));
  }

  async readRevision() {
    const answer = await get(path("indexes", this.code, "revisions")).catch(() => null);
    const known = /** @type {any[]} */ (answer?.rows ?? []);
    this.revision = known.reduce((best, one) => (!best || one.revision > best.revision ? one : best), null);
    this.showFacts();
  }

  async readEvents() {
    const answer = await get(path("indexes", this.code, "events")).catch(() => null);
    this.showEvents(sorted([...(answer?.rows ?? []), ...this.events]));
  }

  /** @param {import("./types.js").IndexEvent} event */
  noted(event) {
    this.showEvents(sorted([event, ...this.events]));
    if (event.kind !== "status") this.readRevision();
    if (event.kind === "correction") this.plot.restated();
  }

  /** @param {import("./types.js").IndexEvent[]} events */
  showEvents(events) {
    this.events = events;
    this.view.events.replaceChildren(h("h2", null, "Events"), eventList(events));
    this.plot.mark(events);
  }

  /** The route has changed, but not the index. */
  follow() {
    this.plot.follow();
    this.members.arrange();
    this.links();
    if (route.value.topic !== this.topic) this.topics.offer(this.topics.members);
    this.topic = route.value.topic;
  }

  restyle() {
    this.plot.restyle();
    this.quote();
    this.showFacts();
    this.showEvents(this.events);
  }

  remove() {
    clearTimeout(this.timer);
    this.abort.abort();
    for (const end of this.unwatch) end();
    this.plot.remove();
    this.topics.remove();
    this.members.remove();
    this.view.element.remove();
  }
}

/** @param {Event} event */
function back(event) {
  event.preventDefault();
  go({ view: "list", code: null });
}

/** @type {Detail | null} */
let open = null;

export function startDetail() {
  show();
  route.watch(show);
}

function show() {
  const { view, code } = route.value;
  const wanted = view === "index" ? code : null;
  if (open && open.code === wanted) return open.follow();
  open?.remove();
  open = null;
  const section = $("detail");
  if (!wanted) {
    document.title = "Divisor";
    section.replaceChildren(h("p", { class: "empty" }, "Choose an index from the list, or press j."));
    return;
  }
  section.scrollTop = 0;
  open = new Detail(wanted);
  section.replaceChildren(open.view.element);
}

/** Theme or zone changed. */
export function restyle() {
  open?.restyle();
}
