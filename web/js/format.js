/** How numbers and times look. Decimals are texts from the daemon; nothing here rounds them. */
import { h, setText } from "./dom.js";

export const DASH = "–";
const MINUS = "\u2212";

/**
 * -1, 0 or 1 of a decimal text, without a float.
 * @param {string | null | undefined} decimal
 */
export function sign(decimal) {
  if (!decimal || !/[1-9]/.test(decimal)) return 0;
  return decimal.startsWith("-") ? -1 : 1;
}

/**
 * Compares two decimal texts exactly; absent ones come last.
 * @param {string | null | undefined} a @param {string | null | undefined} b
 */
export function compareDecimals(a, b) {
  if (!a || !b) return a ? -1 : b ? 1 : 0;
  const [left, right] = [scaled(a), scaled(b)];
  const places = Math.max(left.places, right.places);
  const difference = left.digits * 10n ** BigInt(places - left.places) - right.digits * 10n ** BigInt(places - right.places);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

/** @param {string} decimal */
function scaled(decimal) {
  const [whole, part = ""] = decimal.split(".");
  return { digits: BigInt(whole + part), places: part.length };
}

/**
 * Thousands apart and a real minus: "-36124.23" is "−36,124.23".
 * @param {string | null | undefined} decimal
 */
export function number(decimal) {
  if (decimal === null || decimal === undefined || decimal === "") return DASH;
  const [whole = "", part] = decimal.split(".");
  const grouped = whole.replace("-", MINUS).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  return part === undefined ? grouped : `${grouped}.${part}`;
}

/** @param {string | null | undefined} decimal */
export function signed(decimal) {
  return sign(decimal) > 0 ? `+${number(decimal)}` : number(decimal);
}

/** @param {string | null | undefined} decimal */
export function percent(decimal) {
  return decimal ? `${signed(decimal)}%` : DASH;
}

const plain = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 });

/** @param {number | null | undefined} value */
export function count(value) {
  return value === null || value === undefined ? DASH : plain.format(value);
}

/** @param {number | null | undefined} value */
export function rate(value) {
  if (value === null || value === undefined) return DASH;
  return value < 100 ? fine.format(value) : plain.format(value);
}

/** @param {number | null | undefined} seconds */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return DASH;
  if (seconds < 0) return "0 s";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${plain.format(Math.round(seconds / 86400))} d`;
}

/** @param {number} direction */
export function arrow(direction) {
  return direction > 0 ? "▲" : direction < 0 ? "▼" : "";
}

/** @param {number} direction */
export function tone(direction) {
  return direction > 0 ? "up" : direction < 0 ? "down" : "";
}

/**
 * A signed figure with arrow and colour, written into an element that stays.
 * @param {HTMLElement} element @param {number} direction @param {string} text
 */
export function writeMove(element, direction, text) {
  const shown = arrow(direction) + text;
  if (element.textContent === shown) return;
  element.classList.toggle("up", direction > 0);
  element.classList.toggle("down", direction < 0);
  element.replaceChildren(...(direction ? [h("span", { class: "arrow", "aria-hidden": "true" }, arrow(direction))] : []), text);
}

/**
 * A decimal with its exact value beside what is shown.
 * @param {HTMLDataElement} element @param {string | null | undefined} decimal @param {string} [text]
 */
export function writeData(element, decimal, text = number(decimal)) {
  if (element.value !== (decimal ?? "")) element.value = decimal ?? "";
  setText(element, text);
}

/** @param {string} state */
export function stateBadge(state) {
  return h("span", { class: "state", dataset: { state } }, h("span", null, state));
}

/** @param {HTMLElement} badge @param {string} state */
export function writeState(badge, state) {
  if (badge.dataset.state !== state) badge.dataset.state = state;
  const text = badge.firstElementChild;
  if (text) setText(text, state);
}
