/** Feed health: what comes in, what is refused, what waits. */
import { get } from "./api.js";
import { $, colour, h, setText } from "./dom.js";
import { eventList, sorted } from "./events.js";
import { count, DASH, duration, rate, stateBadge, writeState } from "./format.js";
import { notice, status } from "./market.js";
import { route } from "./route.js";
import { draw } from "./spark.js";
import { connection } from "./stream.js";
import { moment } from "./zone.js";

/** @typedef {import("./types.js").Status} Status */

const RATES_MAX = 180; // seconds of the rate that the page remembers

/** @type {number[]} */
const rates = [];
/** @type {import("./types.js").IndexEvent[]} */
let events = [];
/**
 * By the daemon's clock, where it tells it: this machine's may be another.
 * @param {string} iso @param {Status} status
 */
const age = (iso, { now }) => duration(Math.max(0, ((now ? Date.parse(now) : Date.now()) - Date.parse(iso)) / 1000));

/** @typedef {(status: Status) => [string, string?, string?]} Figure value, unit, what stands below */

/** @type {[string, Figure][]} */
const TILES = [
  ["Ticks per second", ({ feed }) => [rate(feed?.rate)]],
  ["Last tick", (now) => (now.feed?.last_tick ? [age(now.feed.last_tick, now), "ago", moment(now.feed.last_tick)] : [DASH])],
  ["Tick to level, median", ({ feed }) => millis(feed?.p50_ms)],
  ["Tick to level, 99 %", ({ feed }) => millis(feed?.p99_ms)],
  ["PostgreSQL lags", ({ feed, pos, projected }) => [duration(feed?.lag_s), "", feed?.lag_rows === undefined || feed.lag_rows === null
    ? behind(pos, projected) : `${count(feed.lag_rows)} rows`]],
  ["Gaps", ({ feed }) => [count(feed?.gaps)]],
  ["Connections", ({ feed }) => [count(feed?.connections)]],
  ["Indexes", ({ indexes, securities }) => [count(indexes), "", `${count(securities)} securities`]],
];

/** @type {[string, (status: Status) => string | null | undefined][]} */
const FACTS = [
  ["Accepted", ({ feed }) => known(feed?.accepted)],
  ["Late", ({ feed }) => known(feed?.late)],
  ["Duplicate", ({ feed }) => known(feed?.duplicate)],
  ["Held", ({ feed }) => known(feed?.held)],
  ["Stored without effect", ({ feed }) => known(feed?.passed)],
  ["Lost by slow subscribers", ({ feed }) => known(feed?.lost)],
  ["Position", ({ pos }) => known(pos)],
  ["Stored up to", ({ projected }) => known(projected)],
  ["Running for", ({ uptime_s }) => (uptime_s === null || uptime_s === undefined ? null : duration(uptime_s))],
  ["Boot", ({ epoch }) => known(epoch)],
  ["Version", ({ version }) => version],
  ["MQTT", ({ mqtt }) => mqtt?.listen?.join(", ")],
];

/** @param {number | null | undefined} value */
function known(value) {
  return value === null || value === undefined ? null : count(value);
}

/** @param {number | null | undefined} value @returns {[string, string?]} */
function millis(value) {
  return value === null || value === undefined ? [DASH] : [value < 10 ? value.toFixed(2) : value.toFixed(0), "ms"];
}

/** @param {number | null | undefined} pos @param {number | null | undefined} projected */
function behind(pos, projected) {
  return pos === null || pos === undefined || projected === null || projected === undefined ? "" : `${count(pos - projected)} positions`;
}

/** @type {HTMLElement} */
let title;
/** @type {Map<string, {value: HTMLElement, unit: HTMLElement, sub: HTMLElement}>} */
const tiles = new Map();
const states = { store: stateBadge(DASH), journal: stateBadge(DASH), daemon: stateBadge(DASH) };
const trend = h("canvas", { "aria-hidden": "true" });
const asof = h("p", { class: "asof" });
const reasons = h("div", { class: "card" });
const facts = h("div", { class: "card" });
const happened = h("div", { class: "card" });

function build() {
  const stateTile = (/** @type {string} */ name, /** @type {HTMLElement} */ badge) => h("div", null, h("dt", null, name), h("dd", null, badge));
  const figures = TILES.map(([name]) => {
    const value = h("span", null);
    const unit = h("small", null);
    const sub = h("div", { class: "sub" });
    tiles.set(name, { value, unit, sub });
    const below = name === "Ticks per second" ? trend : sub;
    return h("div", null, h("dt", null, name), h("dd", null, value, unit), h("dd", { class: "sub" }, below));
  });
  title = h("h1", null, "Feed", states.daemon);
  $("feed").replaceChildren(h("div", { class: "sheet" }, title, asof,
    h("dl", { class: "tiles" }, ...figures, stateTile("PostgreSQL", states.store), stateTile("Journal", states.journal)),
    h("div", { class: "columns" }, reasons, facts, happened)));
}

/** @param {Status} now */
function write(now) {
  writeState(states.daemon, connection.value === "lost" ? "lost" : now.state);
  writeState(states.store, now.store ?? DASH);
  writeState(states.journal, now.journal ?? DASH);
  for (const [name, figure] of TILES) {
    const tile = tiles.get(name);
    const [value, unit = "", sub = ""] = figure(now);
    if (!tile) continue;
    setText(tile.value, value);
    setText(tile.unit, unit);
    setText(tile.sub, sub);
  }
  draw(trend, rates, colour("--accent"));
  setText(asof, `as of ${moment(now.now ?? new Date().toISOString())}`);
  facts.replaceChildren(h("h2", null, "Counted since the start"), h("dl", { class: "facts" }, ...FACTS.map(([name, figure]) => {
    const value = figure(now);
    return h("div", null, h("dt", null, name), h("dd", { class: value ? "" : "dash" }, value ?? DASH));
  })));
  writeReasons(now.feed?.rejected);
}

/** @param {Record<string, number> | null | undefined} rejected */
function writeReasons(rejected) {
  const head = h("h2", null, "Refused, by reason");
  const pairs = Object.entries(rejected ?? {}).filter(([, some]) => some > 0).sort((a, b) => b[1] - a[1]);
  const most = pairs[0]?.[1] ?? 1;
  if (!pairs.length) return reasons.replaceChildren(head, h("p", { class: "none" }, rejected ? "Nothing refused." : "Not known."));
  reasons.replaceChildren(head, h("dl", { class: "reasons" }, ...pairs.map(([reason, some]) => {
    const track = h("span", { class: "track", "aria-hidden": "true" });
    track.style.setProperty("--part", String(some / most));
    return h("div", null, h("dt", null, reason.replaceAll("_", " ")), h("dd", null, track), h("dd", null, count(some)));
  })));
}

/** The line in the bar on top. @param {Status} now */
function pulse(now) {
  const { feed } = now;
  const pairs = [
    feed?.rate === null || feed?.rate === undefined ? null : [rate(feed.rate), "ticks/s"],
    feed?.p50_ms === null || feed?.p50_ms === undefined ? null : [millis(feed.p50_ms).join(" "), "tick to level"],
    feed?.lag_s === null || feed?.lag_s === undefined ? null : [duration(feed.lag_s), "stored behind"],
  ].filter((pair) => pair !== null);
  $("pulse").replaceChildren(...pairs.map(([value, name]) => h("span", null, h("b", null, value ?? ""), ` ${name}`)));
}

async function readEvents() {
  const answer = await get("events").catch(() => null);
  events = sorted([...(answer?.rows ?? []), ...events]);
  writeEvents();
}

function writeEvents() {
  happened.replaceChildren(h("h2", null, "Events of all indexes"), eventList(events, true));
}

function refresh() {
  if (route.value.view !== "feed") return;
  if (status.value) write(status.value);
}

export function startFeed() {
  build();
  status.watch((now) => {
    if (!now) return;
    if (typeof now.feed?.rate === "number") rates.push(now.feed.rate);
    if (rates.length > RATES_MAX) rates.shift();
    pulse(now);
    refresh();
  });
  notice.watch((event) => {
    if (!event) return;
    events = sorted([event, ...events]).slice(0, 500);
    if (route.value.view === "feed") writeEvents();
  });
  let before = "";
  const enter = () => {
    if (route.value.view === "feed" && before !== "feed") {
      document.title = "Feed · Divisor";
      readEvents();
      refresh();
    }
    before = route.value.view;
  };
  route.watch(enter);
  connection.watch((state) => state === "live" && route.value.view === "feed" && readEvents());
  enter();
  writeEvents();
}

/** Theme or zone changed. */
export function restyle() {
  refresh();
  writeEvents();
}
