/** The daemon's HTTP interface, by URLs relative to the page: a proxy may put a prefix before it. */
import { signal } from "./signal.js";

const BASE = "api/v1/";

/** Rises when the daemon asks who we are. */
export const denied = signal(false);

/** An answer other than 2xx, in the daemon's words where it has some. */
export class ApiError extends Error {
  /** @param {number} status @param {string} title @param {string} detail */
  constructor(status, title, detail) {
    super(detail || title);
    this.status = status;
  }
}

/** @typedef {Record<string, string | number | string[] | null | undefined>} Query  several values repeat the parameter */

/**
 * A path from its parts, each escaped.
 * @param {...string} parts
 */
export function path(...parts) {
  return parts.map((part) => encodeURIComponent(part)).join("/");
}

/** @param {string} where @param {Query} [query] */
export function url(where, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
  const pairs = given.flatMap(([key, value]) => (Array.isArray(value) ? value : [String(value)]).map((one) => [key, one]));
  const text = new URLSearchParams(pairs).toString();
  return BASE + where + (text ? `?${text}` : "");
}

/**
 * The same as a whole address, to be copied.
 * @param {string} where @param {Query} [query]
 */
export function address(where, query) {
  const page = new URL(location.href);
  page.hash = "";
  page.search = "";
  return new URL(url(where, query), page).href;
}

/**
 * @param {string} where @param {Query} [query] @param {AbortSignal} [abort]
 * @returns {Promise<any>}
 */
export async function get(where, query, abort) {
  const response = await fetch(url(where, query), { headers: { accept: "application/json" }, signal: abort ?? null });
  if (!response.ok) throw await problem(response);
  return response.json();
}

/** @param {Response} response */
async function problem(response) {
  if (response.status === 401) denied.set(true);
  /** @type {{title?: string, detail?: string}} */
  const body = await response.json().catch(() => ({}));
  return new ApiError(response.status, body.title ?? response.statusText, body.detail ?? "");
}

/** @param {string} user @param {string} password */
export async function signIn(user, password) {
  const response = await fetch(url("session"), {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify({ user, password }),
  });
  if (!response.ok) {
    const body = await response.json().catch(() => ({}));
    throw new ApiError(response.status, body.title ?? response.statusText, body.detail ?? "");
  }
}

/** Ends the session, and with it all that is shown. */
export async function signOut() {
  await fetch(url("session"), { method: "DELETE" });
}

/** @param {unknown} error */
export function isAbort(error) {
  return error instanceof DOMException && error.name === "AbortError";
}
