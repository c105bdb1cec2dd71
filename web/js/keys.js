/** The keyboard. */
import { $ } from "./dom.js";
import { RANGES } from "./history.js";
import { first, step } from "./list.js";
import { go, route } from "./route.js";
import { toggleTheme } from "./theme.js";
import { nextZone } from "./zone.js";

const filter = /** @type {HTMLInputElement} */ ($("filter"));
const help = /** @type {HTMLDialogElement} */ ($("help"));

/** @type {Record<string, () => void>} */
const KEYS = {
  "/": () => {
    // On a phone the list may be behind the index.
    if (filter.offsetParent === null) go({ view: "list", code: null });
    filter.focus();
    filter.select();
  },
  j: () => step(1),
  k: () => step(-1),
  Enter: enter,
  Escape: back,
  c: () => go({ kind: route.value.kind === "line" ? "candles" : "line" }),
  d: toggleTheme,
  f: () => go({ view: route.value.view === "feed" ? (route.value.code ? "index" : "list") : "feed" }),
  z: nextZone,
  "?": () => help.showModal(),
};

function enter() {
  if (route.value.view !== "index") return;
  document.getElementById("detail-title")?.focus();
}

function back() {
  if (route.value.filter) go({ filter: "" });
  else if (route.value.view === "feed") go({ view: route.value.code ? "index" : "list" });
  else if (route.value.compare.length) go({ compare: [] });
  else if (route.value.view === "index") go({ view: "list", code: null });
}

/** @param {KeyboardEvent} event */
function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (document.querySelector("dialog[open]")) return;
  const target = /** @type {HTMLElement} */ (event.target);
  if (target === filter) return type(event);
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName)) {
    if (event.key === "Escape") target.blur();
    return;
  }
  // Enter on a link or a button is theirs.
  if (event.key === "Enter" && target.closest("a, button")) return;
  const range = RANGES[Number(event.key) - 1];
  const act = range && route.value.view === "index" ? () => go({ range: range.key }) : KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

/** In the filter. @param {KeyboardEvent} event */
function type(event) {
  if (event.key === "Escape") {
    if (filter.value) go({ filter: "" });
    else filter.blur();
  } else if (event.key === "Enter") {
    const code = first();
    if (code) go({ view: "index", code });
    filter.blur();
  } else if (event.key === "ArrowDown") {
    filter.blur();
    step(1);
  } else return;
  event.preventDefault();
}

export function startKeys() {
  document.addEventListener("keydown", press);
  $("theme").addEventListener("click", toggleTheme);
  $("zone").addEventListener("click", nextZone);
  $("help-open").addEventListener("click", () => help.showModal());
}
