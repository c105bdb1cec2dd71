/** The chart with its bar: ranges, kind, comparison, legend, markers, keyboard. */
import { connection } from "./stream.js";
import { LevelChart, stamp } from "./chart.js";
import { isAbort } from "./api.js";
import { colour, h, setText } from "./dom.js";
import { number } from "./format.js";
import * as history from "./history.js";
import { moved, rows } from "./market.js";
import { COMPARED_MAX, go, route } from "./route.js";

/** @typedef {import("./types.js").Row} Row */
/** @typedef {import("./types.js").Bar} Bar */

// What is merged on the way here may lack a high or a low; the daemon's candles have it.
const REFRESH_MS = 60_000;
/** The rows of a correction count a moment after it was told. */
const RESTATED_MS = 2_000;
/** The lines of a comparison as the chart dashes them, for the swatches. */
const DASH_LENGTHS = [[], [12, 8], [4, 6], [18, 10], [4, 14]];
const MARK = /** @type {const} */ ({
  revision: { shape: "circle", position: "belowBar", colour: "--accent", text: "R" },
  action: { shape: "square", position: "belowBar", colour: "--warn", text: "A" },
  correction: { shape: "arrowDown", position: "aboveBar", colour: "--down", text: "C" },
});

export class Plot {
  /** @param {string} code */
  constructor(code) {
    this.code = code;
    this.day_zone = "UTC";
    /** @type {history.History | null} */
    this.history = null;
    /** @type {history.History[]} */
    this.others = [];
    /** @type {import("./types.js").IndexEvent[]} */
    this.events = [];
    this.cursor = -1;
    this.begun = false;
    this.loading = false;
    this.abort = new AbortController();
    this.view = this.build();
    this.chart = new LevelChart(this.view.canvas);
    this.chart.onHover = (t) => this.legend(t);
    this.chart.onFollow = (following) => (this.view.reset.hidden = following);
    this.unwatch = [
      moved.watch((some) => this.take(some)),
      connection.watch((state) => state === "live" && this.load()),
      this.printed(),
    ];
    this.timer = setInterval(() => document.visibilityState === "visible" && this.load(true), REFRESH_MS);
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.soon = undefined;
    this.before = { ...route.value };
    this.controls();
  }

  build() {
    const ranges = h("div", { class: "segments", role: "group", "aria-label": "Range" }, ...history.RANGES.map((range) =>
      h("button", { type: "button", dataset: { range: range.key }, title: range.spoken, onclick: () => go({ range: range.key }) }, range.text)));
    const kinds = h("div", { class: "segments", role: "group", "aria-label": "Kind" },
      h("button", { type: "button", dataset: { kind: "line" }, onclick: () => go({ kind: "line" }) }, "Line"),
      h("button", { type: "button", dataset: { kind: "candles" }, onclick: () => go({ kind: "candles" }) }, "Candles"));
    const input = h("input", { id: "compare", placeholder: "Compare with…", "aria-label": "Compare with another index", autocomplete: "off", spellcheck: false });
    input.setAttribute("list", "compare-codes");
    input.addEventListener("focus", () => this.offer());
    input.addEventListener("change", () => this.add(input));
    const codes = h("datalist", { id: "compare-codes" });
    const chips = h("div", { class: "compare" });
    const words = h("div", { class: "legend" });
    const canvas = h("div", { class: "canvas" });
    const veil = h("p", { class: "veil" }, "Reading the history…");
    const reset = h("button", { type: "button", class: "plain reset", hidden: true, onclick: () => this.chart.follow(true) }, "Show all");
    const spoken = h("p", { class: "hidden", role: "status" });
    const plot = h("div", { class: "plot", role: "group", tabIndex: 0, onkeydown: (/** @type {KeyboardEvent} */ event) => this.key(event) },
      canvas, words, veil, reset);
    plot.addEventListener("blur", () => this.chart.unpoint());
    const element = h("div", { class: "card chart-card" },
      h("div", { class: "bar" }, ranges, kinds, h("span", { class: "grow" }), h("div", { class: "compare" }, chips, input, codes)),
      plot, spoken);
    return { ranges, kinds, codes, chips, words, canvas, veil, reset, spoken, plot, element };
  }

  /** Called with the day's zone of the definition: the first moment at which a range can be read. @param {string} day_zone */
  begin(day_zone) {
    this.day_zone = day_zone;
    this.begun = true;
    this.load();
  }

  /** The past has become another one. */
  restated() {
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.load(true), RESTATED_MS);
  }

  /** The route has changed. */
  follow() {
    const [now, before] = [route.value, this.before];
    this.before = { ...now };
    this.controls();
    if (now.range !== before.range) this.load();
    else if (now.compare.join() !== before.compare.join()) this.compare();
    else if (now.kind !== before.kind) this.draw();
  }

  controls() {
    const { range, kind, compare } = route.value;
    for (const button of this.view.ranges.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.range === range));
    for (const button of this.view.kinds.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.kind === kind && compare.length === 0));
      button.disabled = compare.length > 0;
    }
    this.view.chips.replaceChildren(...(compare.length ? [this.code, ...compare] : []).map((code, at) => this.chip(code, at)));
  }

  /** @param {string} code @param {number} at */
  chip(code, at) {
    const line = h("canvas", { width: 40, height: 16, "aria-hidden": "true" });
    const context = line.getContext("2d");
    if (context) {
      context.strokeStyle = colour(`--series-${at + 1}`);
      context.lineWidth = 4;
      context.setLineDash(DASH_LENGTHS[at] ?? []);
      context.beginPath();
      context.moveTo(0, 8);
      context.lineTo(40, 8);
      context.stroke();
    }
    const drop = () => go({ compare: route.value.compare.filter((other) => other !== code) });
    return h("span", { class: "chip" }, line, code,
      at > 0 ? h("button", { type: "button", "aria-label": `Do not compare with ${code}`, onclick: drop }, "×") : h("span"));
  }

  offer() {
    const taken = new Set([this.code, ...route.value.compare]);
    this.view.codes.replaceChildren(...[...rows.values()].filter((row) => !taken.has(row.code)).map((row) => h("option", { value: row.code }, row.name ?? "")));
  }

  /** @param {HTMLInputElement} input */
  add(input) {
    const wanted = input.value.trim().toLowerCase();
    const found = [...rows.keys()].find((code) => code.toLowerCase() === wanted);
    if (!found || found === this.code) return;
    input.value = "";
    go({ compare: [...new Set([...route.value.compare, found])].slice(-COMPARED_MAX) });
  }

  /** @param {boolean} [quietly] the picture stays where it is */
  async load(quietly = false) {
    if (!this.begun) return;
    const row = rows.get(this.code);
    if (!row?.ts) return this.cover("No level yet.");
    this.abort.abort();
    const abort = (this.abort = new AbortController()).signal;
    this.loading = true;
    try {
      this.history = await history.load(this.code, route.value.range, Date.parse(row.ts), this.day_zone, abort);
      this.others = await this.readOthers(abort);
    } catch (error) {
      if (isAbort(error)) return;
      this.loading = false;
      if (quietly && this.history) return;
      // A daemon without a database has no history; what comes from now on can be drawn all the same.
      this.history = history.liveOnly();
      this.draw();
      this.cover(`No history: ${error instanceof Error ? error.message : error}`);
      return;
    }
    // What came just before the end must not draw on a chart that is no more.
    if (abort.aborted) return;
    this.loading = false;
    this.cover(this.history.bars.length ? "" : "No levels in this range.");
    this.draw(quietly);
  }

  async compare() {
    if (!this.history) return;
    this.abort.abort();
    const abort = (this.abort = new AbortController()).signal;
    try {
      this.others = await this.readOthers(abort);
      if (!abort.aborted) this.draw();
    } catch (error) {
      if (!isAbort(error)) this.cover(`No comparison: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** @param {AbortSignal} abort */
  readOthers(abort) {
    const { step, bars } = /** @type {history.History} */ (this.history);
    const from = bars[0] ? new Date(bars[0].t * 1000).toISOString() : null;
    return Promise.all(route.value.compare.map((code) => history.read(code, step, from, abort)));
  }

  /** @param {boolean} [quietly] */
  draw(quietly = false) {
    if (!this.history) return;
    const row = rows.get(this.code);
    const { kind, compare, range } = route.value;
    const base = range === "1d" && row?.prev_close ? Number(row.prev_close) : null;
    const view = quietly && !this.chart.following ? this.chart.chart.timeScale().getVisibleLogicalRange() : null;
    const compared = compare.map((code, at) => ({ code, bars: this.others[at]?.bars ?? [] }));
    this.chart.show({ code: this.code, kind, bars: this.history.bars, places: places(row), base, compared });
    if (view) this.chart.chart.timeScale().setVisibleLogicalRange(view);
    else this.chart.follow(true);
    this.mark(this.events);
    this.legend(null);
    this.describe();
  }

  /** @param {Row[]} some */
  take(some) {
    for (const row of some) {
      if (!row.level || !row.ts) continue;
      const at = row.code === this.code ? 0 : route.value.compare.indexOf(row.code) + 1;
      const own = at === 0 ? this.history : this.others[at - 1];
      if ((at === 0 && row.code !== this.code) || !own) {
        if (row.code === this.code && !this.history && !this.loading) this.load();
        continue;
      }
      const bar = history.extend(own, Math.floor(Date.parse(row.ts) / 1000), Number(row.level));
      if (bar) this.chart.update(bar, at);
      if (at === 0 && history.outgrown(own)) this.load(true);
      if (at === 0) this.cover("");
    }
    if (this.cursor < 0) this.legend(null);
  }

  /** @param {import("./types.js").IndexEvent[]} events */
  mark(events) {
    this.events = events;
    const bars = this.history?.bars ?? [];
    const first = bars[0]?.t ?? Infinity;
    const markers = [];
    for (const event of events) {
      const style = MARK[/** @type {keyof typeof MARK} */ (event.kind)];
      const t = Date.parse(event.ts) / 1000;
      if (!style || t < first) continue;
      const bar = bars.findLast((known) => known.t <= t);
      if (!bar) continue;
      const time = /** @type {import("lightweight-charts").UTCTimestamp} */ (bar.t);
      markers.push({ time, position: style.position, shape: style.shape, color: colour(style.colour), text: event.kind === "revision" && event.rev ? `R${event.rev}` : style.text });
    }
    markers.sort((a, b) => a.time - b.time);
    this.view.plot.dataset.marks = markers.map(({ text }) => text).join(" ");
    this.chart.mark(markers);
  }

  /** The numbers of the bar under the crosshair, else of the last one. @param {number | null} t */
  legend(t) {
    const bars = this.history?.bars ?? [];
    const bar = t === null ? bars.at(-1) : bars.find((known) => known.t === t);
    if (!bar) return this.view.words.replaceChildren();
    const shown = (/** @type {number} */ value) => number(value.toFixed(places(rows.get(this.code))));
    const { compare, kind } = route.value;
    /** @type {[string, string][]} */
    const prices = compare.length ? [] : kind === "line" ? [["", shown(bar.close)]]
      : [["O", shown(bar.open)], ["H", shown(bar.high)], ["L", shown(bar.low)], ["C", shown(bar.close)]];
    const pairs = prices.map(([name, value]) => h("span", null, name ? `${name} ` : "", h("b", null, value)));
    const step = this.history?.isLiveOnly ? "since the page was opened" : this.history?.step ?? "";
    this.view.words.replaceChildren(...pairs, h("span", null, stamp(bar.t)), h("span", null, step));
  }

  /** What the chart shows, in words. */
  describe() {
    const { range, compare, kind } = route.value;
    const bars = this.history?.bars ?? [];
    const spoken = history.RANGES.find((known) => known.key === range)?.spoken ?? range;
    const low = Math.min(...bars.map((bar) => bar.low));
    const high = Math.max(...bars.map((bar) => bar.high));
    const shown = (/** @type {number | undefined} */ value) => value?.toFixed(places(rows.get(this.code))) ?? "unknown";
    const what = compare.length ? `Comparison of ${[this.code, ...compare].join(", ")}, rebased to 100` : `Chart of ${this.code}, ${kind}`;
    const numbers = bars.length ? `: from ${shown(bars[0]?.open)} to ${shown(bars.at(-1)?.close)}, low ${shown(low)}, high ${shown(high)}` : ": no levels";
    this.view.plot.setAttribute("aria-label", `${what}, ${spoken}${numbers}. Arrow keys read it bar by bar.`);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const bars = this.history?.bars ?? [];
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20 }[event.key];
    if (step !== undefined && bars.length) {
      const at = this.cursor < 0 ? bars.length : this.cursor;
      this.cursor = Math.min(bars.length - 1, Math.max(0, at + step));
      const bar = /** @type {Bar} */ (bars[this.cursor]);
      this.chart.point(bar);
      setText(this.view.spoken, `${stamp(bar.t)}: ${bar.close.toFixed(places(rows.get(this.code)))}`);
    } else if (event.key === "+") this.chart.zoom(1.5);
    else if (event.key === "-") this.chart.zoom(1 / 1.5);
    else if (event.key === "Home") this.chart.follow(true);
    else if (event.key === "Escape" && this.cursor >= 0) {
      this.cursor = -1;
      this.chart.unpoint();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {string} text */
  cover(text) {
    setText(this.view.veil, text);
    this.view.veil.hidden = text === "";
  }

  /** Theme or zone changed. */
  restyle() {
    this.chart.restyle();
    this.mark(this.events);
    this.controls();
    this.legend(null);
  }

  /** The chart draws when the next frame comes, which on the way to the printer is too late. */
  printed() {
    const print = () => {
      const picture = this.chart.picture ? this.chart.chart.takeScreenshot() : null;
      if (!picture) return;
      picture.className = "printed";
      picture.setAttribute("aria-hidden", "true");
      this.view.plot.append(picture);
    };
    const forget = () => this.view.plot.querySelector(".printed")?.remove();
    addEventListener("beforeprint", print);
    addEventListener("afterprint", forget);
    return () => {
      removeEventListener("beforeprint", print);
      removeEventListener("afterprint", forget);
    };
  }

  remove() {
    clearInterval(this.timer);
    clearTimeout(this.soon);
    this.abort.abort();
    for (const end of this.unwatch) end();
    // First out of the page: what has the focus hears of it, and still asks the chart for something.
    this.view.element.remove();
    this.chart.remove();
  }
}

/** Decimal places of the level, as the daemon writes it. @param {Row | undefined} row */
function places(row) {
  return row?.level?.split(".")[1]?.length ?? 2;
}
