/** The small line of each row: today so far, against the previous close. */
import { get } from "./api.js";
import { colour } from "./dom.js";
import { sign } from "./format.js";
import { rows } from "./market.js";

const POINTS_MAX = 90;
// Rows that appear together are asked for together.
const CODES_MAX = 60;
const GATHER_MS = 20;
const STEPS = /** @type {Record<string, number>} */ ({ "5m": 300, "5s": 5 });

/** @typedef {{step_s: number, points: {t: number, v: number}[]}} Spark */

/** @type {Map<string, Spark | null>} null while it is read */
const sparks = new Map();
/** @type {string[]} */
const waiting = [];
let isReading = false;

/** Called when lines have arrived. */
export let arrived = (/** @type {string[]} */ _codes) => {};
/** @param {(codes: string[]) => void} call */
export function onArrival(call) {
  arrived = call;
}

/**
 * The line of an index; asked for when it is not there yet.
 * @param {string} code
 */
export function sparkOf(code) {
  const known = sparks.get(code);
  if (known !== undefined) return known;
  if (!rows.get(code)?.ts) return null;
  sparks.set(code, null);
  waiting.push(code);
  if (!isReading) {
    isReading = true;
    setTimeout(read, GATHER_MS);
  }
  return null;
}

async function read() {
  while (waiting.length) {
    // The newest wish first: what was scrolled past can wait.
    const codes = waiting.splice(-CODES_MAX);
    for (const [code, spark] of await load(codes)) sparks.set(code, spark);
    arrived(codes);
  }
  isReading = false;
}

/** @param {string[]} codes @returns {Promise<Map<string, Spark>>} */
async function load(codes) {
  /** @type {Map<string, Spark>} */
  const found = new Map(codes.map((code) => [code, { step_s: 5, points: [] }]));
  // No history to be had: the line begins with the next level.
  const answer = await get("sparklines", { index: codes }).catch(() => ({ rows: [] }));
  for (const { code, step, points } of /** @type {import("./types.js").Sparkline[]} */ (answer.rows)) {
    const line = points.map(({ ts, level }) => ({ t: Date.parse(ts) / 1000, v: Number(level) }));
    found.set(code, { step_s: STEPS[step] ?? 300, points: line.slice(-POINTS_MAX) });
  }
  return found;
}

/**
 * Takes a live level in.
 * @param {import("./types.js").Row} row
 */
export function extend(row) {
  const spark = sparks.get(row.code);
  if (!spark || !row.level || !row.ts) return;
  const t = Math.floor(Date.parse(row.ts) / 1000 / spark.step_s) * spark.step_s;
  const last = spark.points.at(-1);
  if (last && t < last.t) return;
  if (last && t === last.t) last.v = Number(row.level);
  else spark.points.push({ t, v: Number(row.level) });
  if (spark.points.length > POINTS_MAX) spark.points.shift();
}

/** Lines are read anew: the daemon was away. */
export function forget() {
  for (const [code, spark] of sparks) if (spark) sparks.delete(code);
}

/** @type {{up: string, down: string, flat: string, base: string} | null} */
let colours = null;
export function forgetColours() {
  colours = null;
}
function palette() {
  colours ??= { up: colour("--up"), down: colour("--down"), flat: colour("--ink-3"), base: colour("--line-strong") };
  return colours;
}

/** @param {HTMLCanvasElement} canvas @param {import("./types.js").Row} row */
export function drawRow(canvas, row) {
  const tone = sign(row.chg);
  const colours = palette();
  const values = sparkOf(row.code)?.points.map((point) => point.v) ?? [];
  const base = row.prev_close ? Number(row.prev_close) : null;
  draw(canvas, values, tone > 0 ? colours.up : tone < 0 ? colours.down : colours.flat, base);
}

/**
 * @param {HTMLCanvasElement} canvas @param {number[]} values @param {string} stroke
 * @param {number | null} [base]  a dashed line, where it lies in the picture
 */
export function draw(canvas, values, stroke, base = null) {
  const scale = devicePixelRatio || 1;
  const width = canvas.clientWidth || 60;
  const height = canvas.clientHeight || 24;
  if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
  if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  if (!context) return;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  if (values.length < 2) return;
  let low = Math.min(...values);
  let high = Math.max(...values);
  // The base is drawn when that does not flatten the line.
  const near = base !== null && base >= low - (high - low) * 1.5 && base <= high + (high - low) * 1.5;
  if (near && base !== null) [low, high] = [Math.min(low, base), Math.max(high, base)];
  const y = (/** @type {number} */ value) => (high === low ? height / 2 : 2 + ((high - value) / (high - low)) * (height - 4));
  if (near && base !== null) {
    context.strokeStyle = palette().base;
    context.setLineDash([2, 2]);
    context.beginPath();
    context.moveTo(0, y(base));
    context.lineTo(width, y(base));
    context.stroke();
    context.setLineDash([]);
  }
  context.strokeStyle = stroke;
  context.lineWidth = 1.25;
  context.lineJoin = "round";
  context.beginPath();
  values.forEach((value, at) => context.lineTo(1 + (at / (values.length - 1)) * (width - 2), y(value)));
  context.stroke();
}
