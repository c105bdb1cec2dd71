/** What the page shows, held in the URL's hash: whoever has the link sees the same. */
import { signal } from "./signal.js";

/**
 * @typedef {object} Route
 * @property {"list" | "index" | "feed"} view
 * @property {string | null} code  the index that is open
 * @property {string} range
 * @property {"line" | "candles"} kind
 * @property {string[]} compare
 * @property {string} filter
 * @property {string} sort  of the list, "-" before it for descending
 * @property {string} members  the same of the constituents
 * @property {string | null} topic  of the inspector
 */

/** @type {Route} */
const PLAIN = { view: "list", code: null, range: "1d", kind: "line", compare: [], filter: "", sort: "", members: "", topic: null };

export const COMPARED_MAX = 4;

/**
 * @param {string} hash
 * @returns {Route}
 */
export function parse(hash) {
  const [where = "", query = ""] = hash.replace(/^#/, "").split("?");
  const [, view, code] = where.split("/");
  const given = new URLSearchParams(query);
  const opened = view === "index" && code ? decoded(code) : null;
  return {
    view: view === "feed" ? "feed" : opened ? "index" : "list",
    code: opened,
    range: given.get("range") ?? PLAIN.range,
    kind: given.get("kind") === "candles" ? "candles" : "line",
    compare: (given.get("compare") ?? "").split(",").filter(Boolean).map(decoded).slice(0, COMPARED_MAX),
    filter: given.get("filter") ?? "",
    sort: given.get("sort") ?? "",
    members: given.get("members") ?? "",
    topic: given.get("topic"),
  };
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** @param {Route} route */
export function format(route) {
  const query = new URLSearchParams();
  if (route.range !== PLAIN.range) query.set("range", route.range);
  if (route.kind !== PLAIN.kind) query.set("kind", route.kind);
  if (route.compare.length) query.set("compare", route.compare.map(encodeURIComponent).join(","));
  if (route.filter) query.set("filter", route.filter);
  if (route.sort) query.set("sort", route.sort);
  if (route.members) query.set("members", route.members);
  if (route.topic) query.set("topic", route.topic);
  const where = route.view === "index" && route.code ? `/index/${encodeURIComponent(route.code)}` : route.view === "feed" ? "/feed" : "/";
  const text = query.toString();
  return `#${where}${text ? `?${text}` : ""}`;
}

export const route = signal(parse(location.hash));
addEventListener("hashchange", () => route.set(parse(location.hash)));
addEventListener("popstate", () => {
  if (format(route.value) !== location.hash) route.set(parse(location.hash));
});

/**
 * Goes somewhere else. Another index or view is a step for the browser's "back", a setting is not.
 * @param {Partial<Route>} change
 */
export function go(change) {
  const next = { ...route.value, ...change };
  if (change.code !== undefined && change.code !== route.value.code) {
    next.topic = null;
    next.compare = next.compare.filter((code) => code !== change.code);
  }
  const step = next.view !== route.value.view || next.code !== route.value.code;
  const hash = format(next);
  if (hash === format(route.value)) return;
  history[step ? "pushState" : "replaceState"](null, "", hash);
  route.set(next);
}

/**
 * The link to an index with everything else as it is.
 * @param {string} code
 */
export function linkTo(code) {
  const compare = route.value.compare.filter((other) => other !== code);
  return format({ ...route.value, view: "index", code, compare, topic: null });
}
