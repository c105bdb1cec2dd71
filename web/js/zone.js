/** Times, always with the zone they are in. */
import { DASH } from "./format.js";
import { signal } from "./signal.js";

const here = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** UTC, or the zone of the machine that shows the page. */
export const zone = signal(stored());

function stored() {
  try {
    return localStorage.getItem("divisor.zone") === "local" ? here : "UTC";
  } catch {
    return "UTC";
  }
}

export function nextZone() {
  const next = zone.value === "UTC" ? here : "UTC";
  try {
    localStorage.setItem("divisor.zone", next === "UTC" ? "UTC" : "local");
  } catch {
    // No storage: the choice lasts as long as the page.
  }
  zone.set(next);
}

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/** @param {string} name */
function format(name) {
  let known = formats.get(name);
  if (!known) {
    known = new Intl.DateTimeFormat("en-GB", {
      timeZone: name, hourCycle: "h23", year: "numeric", month: "2-digit", day: "2-digit",
      hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
    });
    formats.set(name, known);
  }
  return known;
}

/**
 * The fields of a moment in a zone.
 * @param {number} ms @param {string} [name]
 */
export function fields(ms, name = zone.value) {
  /** @type {Record<string, string>} */
  const parts = {};
  for (const part of format(name).formatToParts(ms)) parts[part.type] = part.value;
  return {
    date: `${parts.year}-${parts.month}-${parts.day}`,
    time: `${parts.hour}:${parts.minute}:${parts.second}`,
    zone: parts.timeZoneName ?? name,
  };
}

/**
 * "2026-11-25 14:25:31.123 UTC", with as many places of a second as asked for.
 * @param {string | null | undefined} iso @param {number} [places]
 */
export function moment(iso, places = 0) {
  const ms = iso ? Date.parse(iso) : NaN;
  if (!iso || Number.isNaN(ms)) return DASH;
  const at = fields(ms);
  const fraction = /\.(\d+)/.exec(iso)?.[1] ?? "";
  const shown = places > 0 ? `.${fraction.padEnd(places, "0").slice(0, places)}` : "";
  return `${at.date} ${at.time}${shown} ${at.zone}`;
}

/**
 * The moment at which the day of `ms` began in a zone.
 * @param {number} ms @param {string} name
 */
export function dayStart(ms, name) {
  const { date } = fields(ms, name);
  // A first guess as if it were UTC, corrected by the offset there; twice, for days with a change.
  const wall = Date.parse(`${date}T00:00:00Z`);
  let start = wall;
  for (let turn = 0; turn < 2; turn += 1) start = wall - offset(start, name);
  return start;
}

/** @param {number} ms @param {string} name */
function offset(ms, name) {
  const at = fields(ms, name);
  return Date.parse(`${at.date}T${at.time}Z`) - Math.floor(ms / 1000) * 1000;
}
