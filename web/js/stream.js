/** The live stream: one connection, opened again for ever, snapshot first each time. */
import { denied, get, url } from "./api.js";
import { signal } from "./signal.js";

/** @typedef {"connecting" | "live" | "lost"} Connection */

/** @type {{value: Connection, set: (value: Connection) => void, watch: (watcher: (value: Connection) => void) => () => void}} */
export const connection = signal(/** @type {Connection} */ ("connecting"));

// The daemon sends its status once a second; a silence this long is a dead connection that TCP has
// not noticed yet.
const SILENCE_MS = 12_000;
const RETRY_MS_MAX = 4_000;

/**
 * @param {{
 *   snapshot: (rows: import("./types.js").Row[]) => void,
 *   levels: (rows: import("./types.js").Row[]) => void,
 *   status: (status: import("./types.js").Status) => void,
 *   notice: (event: import("./types.js").IndexEvent) => void,
 * }} to
 */
export function openStream(to) {
  /** @type {EventSource | null} */
  let source = null;
  let retry_ms = 250;
  let heard = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  function open() {
    clearTimeout(timer);
    source?.close();
    heard = Date.now();
    source = new EventSource(url("stream"));
    source.onerror = lost;
    /** @type {(name: string, take: (data: any) => void) => void} */
    const on = (name, take) => source?.addEventListener(name, (event) => {
      heard = Date.now();
      take(JSON.parse(/** @type {MessageEvent<string>} */ (event).data));
    });
    on("snapshot", (data) => {
      retry_ms = 250;
      to.snapshot(data.levels ?? []);
      if (data.status) to.status(data.status);
      if (connection.value !== "live") connection.set("live");
    });
    on("levels", to.levels);
    on("status", to.status);
    on("notice", to.notice);
  }

  // EventSource does not say why it failed, and gives up on any answer but 200: so it is closed and
  // opened again here, and a plain request finds out whether we have to sign in.
  function lost() {
    source?.close();
    source = null;
    if (connection.value !== "lost") connection.set("lost");
    clearTimeout(timer);
    timer = setTimeout(ask, retry_ms);
    retry_ms = Math.min(retry_ms * 1.7, RETRY_MS_MAX);
  }

  async function ask() {
    try {
      await get("status", {}, AbortSignal.timeout(5_000));
    } catch {
      if (!denied.value) lost();
      return;
    }
    open();
  }

  setInterval(() => {
    if (source && Date.now() - heard > SILENCE_MS) lost();
  }, 1_000);
  const now = () => {
    if (connection.value === "lost" && !denied.value) {
      retry_ms = 250;
      clearTimeout(timer);
      ask();
    }
  };
  addEventListener("online", now);
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && now());
  denied.watch((asked) => !asked && ask());
  open();
}
