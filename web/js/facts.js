/** What the index is. */
import { h } from "./dom.js";
import { count, DASH, number } from "./format.js";
import { moment } from "./zone.js";

/** @typedef {import("./types.js").Facts} Facts */

const WEIGHTINGS = /** @type {Record<string, string>} */ ({
  price: "Price-weighted",
  market_cap: "Market capitalisation",
  fixed_units: "Fixed units",
  equal: "Equal weights",
  fixed_weight: "Fixed weights",
  constant_weight: "Constant weights, daily return chain",
});

/** @param {Facts} facts */
function methodology({ definition, row }) {
  const scheme = definition?.weighting?.scheme ?? row.weighting;
  if (!scheme) return null;
  const reset = definition?.weighting?.reset;
  return (WEIGHTINGS[scheme] ?? scheme) + (reset && reset !== "never" ? `, reset ${reset}` : "");
}

/** @param {Facts} facts */
function dissemination({ definition }) {
  const rule = definition?.dissemination;
  if (!rule?.mode) return null;
  if (rule.mode === "interval") return `every ${rule.every_ms} ms, when something changed`;
  return rule.mode === "tick" ? "at each tick" : "newest level of each commit";
}

/** @param {Facts} facts */
function rounding({ definition }) {
  const cut = definition?.rounding;
  if (!cut?.level) return null;
  return `level ${cut.level.places}, divisor ${cut.divisor?.places ?? DASH} places`;
}

/** @param {Facts} facts */
function base({ base: known, definition }) {
  const value = known?.value ?? definition?.base?.value;
  const divisor = definition?.base?.divisor;
  const start = value ? number(value) : divisor ? `divisor ${number(divisor)}` : null;
  return [start, known?.date ? `on ${known.date}` : null].filter(Boolean).join(" ") || null;
}

/**
 * @param {Facts} facts
 * @param {{revision: number, effective?: string | null, cause?: string | null} | null} revision the one in force
 */
export function factList(facts, revision) {
  const { row, definition } = facts;
  const since = revision?.effective ? `${row.rev ?? revision.revision}, since ${moment(revision.effective)}` : row.rev ? String(row.rev) : null;
  /** @type {[string, string | null | undefined][]} */
  const pairs = [
    ["Base", base(facts)],
    ["Divisor", facts.divisor ? number(facts.divisor) : null],
    ["Methodology", methodology(facts)],
    ["Currency", row.currency],
    ["Constituents", row.constituents === undefined ? null : count(row.constituents)],
    ["Revision", since],
    ["Next review", facts.next_review ? moment(facts.next_review) : "none announced"],
    ["Cash", facts.cash && /[1-9]/.test(facts.cash) ? number(facts.cash) : undefined],
    ["Previous close", row.prev_close ? number(row.prev_close) : null],
    ["Rounding", rounding(facts)],
    ["Dissemination", dissemination(facts)],
    ["Day", definition?.day?.zone],
    ["Waiting for", facts.waits_for ?? undefined],
  ];
  // `undefined` is a fact that this index does not have; `null` one that the daemon does not tell.
  return h("dl", { class: "facts" }, ...pairs.filter(([, value]) => value !== undefined).map(([name, value]) =>
    h("div", null, h("dt", null, name), h("dd", { class: value ? "" : "dash" }, value ?? DASH))));
}
