/** What happened, as a list. */
import { h } from "./dom.js";
import { linkTo } from "./route.js";
import { moment } from "./zone.js";

/** @typedef {import("./types.js").IndexEvent} IndexEvent */

const MARKS = /** @type {Record<string, string>} */ ({ revision: "R", action: "A", correction: "C", status: "S" });
export const EVENTS_MAX = 200;

/** @param {IndexEvent[]} events newest first @param {boolean} [named] with the index's code */
export function eventList(events, named = false) {
  if (events.length === 0) return h("p", { class: "none" }, "None known.");
  return h("ol", { class: "events", tabIndex: 0, "aria-label": "Events" }, ...events.slice(0, EVENTS_MAX).map((event) => h("li", null,
    h("span", { class: "mark", dataset: { kind: event.kind }, "aria-hidden": "true" }, MARKS[event.kind] ?? "·"),
    h("div", { class: "what" },
      named && event.index ? h("a", { href: linkTo(event.index) }, event.index) : null, named && event.index ? " " : null,
      sentence(event), h("time", { dateTime: event.ts }, moment(event.ts, 3))))));
}

/** @param {IndexEvent} event */
function sentence(event) {
  const text = event.text ?? "";
  const said = text.startsWith(event.kind) ? text : text ? `${event.kind}: ${text}` : event.kind;
  return said.charAt(0).toUpperCase() + said.slice(1);
}

/**
 * Newest first, each once.
 * @param {IndexEvent[]} events
 */
export function sorted(events) {
  const seen = new Set();
  return events
    .filter((event) => {
      const key = `${event.index ?? ""} ${event.ts} ${event.kind} ${event.pos ?? ""} ${event.rev ?? ""}`;
      return !seen.has(key) && seen.add(key);
    })
    .sort((a, b) => Date.parse(b.ts) - Date.parse(a.ts) || (b.pos ?? 0) - (a.pos ?? 0));
}
