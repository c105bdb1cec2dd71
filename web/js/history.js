/** Candles of a range, in steps that fit what there is. */
import { get, path } from "./api.js";
import { dayStart } from "./zone.js";

/** @typedef {import("./types.js").Bar} Bar */

/** The daemon's steps, finest first. @type {[string, number][]} */
const STEPS = [["1s", 1], ["5s", 5], ["1m", 60], ["5m", 300], ["15m", 900], ["1h", 3600], ["1d", 86400]];

export const RANGES = [
  { key: "1d", text: "1D", spoken: "one day", step: "1m" },
  { key: "5d", text: "5D", spoken: "five days", step: "5m" },
  { key: "1m", text: "1M", spoken: "one month", step: "1h" },
  { key: "ytd", text: "YTD", spoken: "year to date", step: "1d" },
  { key: "1y", text: "1Y", spoken: "one year", step: "1d" },
  { key: "max", text: "Max", spoken: "all there is", step: "1d" },
];

const DAY_MS = 86_400_000;
// Fewer bars than this look empty, so a finer step is taken where it does not make too many.
const BARS_MIN = 90;
const BARS_MAX = 1_600;

/**
 * @typedef {object} History
 * @property {string} step
 * @property {number} step_s
 * @property {string | null} from
 * @property {Bar[]} bars
 * @property {boolean} [isLiveOnly]  nothing of the daemon's is in it
 */

/** @param {import("./types.js").Candle} candle @returns {Bar} */
function bar(candle) {
  return {
    t: Math.floor(Date.parse(candle.ts) / 1000),
    open: Number(candle.open),
    high: Number(candle.high),
    low: Number(candle.low),
    close: Number(candle.close),
  };
}

/**
 * Where a range begins, counted from the index's last level: an index of the past has a last day too.
 * @param {string} code @param {string} range @param {number} last_ms @param {string} day_zone @param {AbortSignal} abort
 */
async function start(code, range, last_ms, day_zone, abort) {
  const last = new Date(last_ms);
  switch (range) {
    case "max": return null;
    case "1y": return last.setUTCFullYear(last.getUTCFullYear() - 1);
    case "ytd": return dayStart(Date.UTC(last.getUTCFullYear(), 0, 1, 12), day_zone);
    case "1m": return last.setUTCMonth(last.getUTCMonth() - 1);
    case "5d": {
      // The last five days with levels, whatever weekends and holidays lie between.
      const from = new Date(last_ms - 14 * DAY_MS).toISOString();
      const days = (await get(path("indexes", code, "candles"), { from, step: "1d" }, abort)).rows;
      const fifth = days.at(-5) ?? days[0];
      return fifth ? dayStart(Date.parse(fifth.ts) + DAY_MS / 2, day_zone) : last_ms - 5 * DAY_MS;
    }
    default: return dayStart(last_ms, day_zone);
  }
}

/**
 * @param {string} code @param {string} range @param {number} last_ms @param {string} day_zone @param {AbortSignal} abort
 * @returns {Promise<History>}
 */
export async function load(code, range, last_ms, day_zone, abort) {
  const begin = await start(code, range, last_ms, day_zone, abort);
  const from = begin === null ? null : new Date(begin).toISOString();
  const coarse = RANGES.find((known) => known.key === range)?.step ?? "1m";
  const history = await read(code, coarse, from, abort);
  const finer = finerStep(history);
  if (!finer) return history;
  const first = history.bars[0];
  const better = await read(code, finer, first ? new Date(first.t * 1000).toISOString() : from, abort);
  return better.bars.length > history.bars.length ? { ...better, from } : history;
}

/**
 * The same for another index, in steps that are given: for comparing.
 * @param {string} code @param {string} step @param {string | null} from @param {AbortSignal} abort
 * @returns {Promise<History>}
 */
export async function read(code, step, from, abort) {
  const { rows } = await get(path("indexes", code, "candles"), { from, step }, abort);
  const step_s = STEPS.find(([name]) => name === step)?.[1] ?? 60;
  return { step, step_s, from, bars: rows.map(bar) };
}

/** What can be drawn where there is no history. @returns {History} */
export function liveOnly() {
  return { step: "1s", step_s: 1, from: null, bars: [], isLiveOnly: true };
}

/** @param {History} history */
function finerStep({ bars, step_s }) {
  const [first, last] = [bars[0], bars.at(-1)];
  if (!first || !last || bars.length >= BARS_MIN) return null;
  const span = last.t - first.t + step_s;
  const fits = STEPS.find(([, seconds]) => span / seconds <= BARS_MAX);
  return fits && fits[1] < step_s ? fits[0] : null;
}

/**
 * Takes a live level into the bars; the result is the bar that changed.
 * @param {History} history @param {number} seconds @param {number} level
 */
export function extend(history, seconds, level) {
  const last = history.bars.at(-1);
  if (last && seconds < last.t) return null;
  if (last && seconds < last.t + history.step_s) {
    last.high = Math.max(last.high, level);
    last.low = Math.min(last.low, level);
    last.close = level;
    return last;
  }
  const t = Math.floor(seconds / history.step_s) * history.step_s;
  const next = { t, open: level, high: level, low: level, close: level };
  history.bars.push(next);
  return next;
}

/** Too many bars of a fine step: time for the next one. @param {History} history */
export function outgrown(history) {
  return history.bars.length > BARS_MAX * 1.5;
}
