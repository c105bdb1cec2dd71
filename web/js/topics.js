/** The topic inspector: what lies on a topic now, and how to hear it elsewhere. */
import { ApiError, get, isAbort, path } from "./api.js";
import { copy, h, setText } from "./dom.js";
import { status } from "./market.js";
import { go, route } from "./route.js";

const OFTEN_MS = 500;
const WORDS = /** @type {Record<number, string>} */ ({
  403: "You have no right to this topic.",
  404: "No message is retained on this topic: subscribe to hear the next one.",
});

export class Topics {
  /** @param {string} code */
  constructor(code) {
    this.code = code;
    this.abort = new AbortController();
    this.asked = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.select = h("select", { "aria-label": "Topic", onchange: () => go({ topic: this.select.value === this.topics()[0] ? null : this.select.value }) });
    this.payload = h("pre", { tabIndex: 0, "aria-label": "Payload" });
    this.line = h("code", null);
    const button = h("button", { type: "button", class: "plain", onclick: () => copy(this.line.textContent ?? "", "Command") }, "Copy");
    this.element = h("div", { class: "card topics-card" }, h("h2", null, "Topic"),
      h("div", { class: "topics" }, this.select, this.payload, h("div", { class: "copyline" }, this.line, button)));
    this.members = /** @type {string[]} */ ([]);
    this.offered = "";
    // The daemon's address may become known only later.
    this.unwatch = status.watch(() => setText(this.line, subscription(this.select.value)));
    this.offer([]);
  }

  topics() {
    const own = `indexes/${this.code}`;
    return [`${own}/level`, `${own}/event`, "divisor/status", ...this.members.map((symbol) => `securities/${symbol}/price`)];
  }

  /** @param {string[]} symbols */
  offer(symbols) {
    this.members = symbols;
    const topics = this.topics();
    const chosen = route.value.topic && topics.includes(route.value.topic) ? route.value.topic : topics[0];
    if (this.offered !== topics.join("\n")) {
      this.offered = topics.join("\n");
      this.select.replaceChildren(...topics.map((topic) => h("option", { value: topic }, topic)));
    }
    this.select.value = chosen ?? "";
    setText(this.line, subscription(this.select.value));
    this.refresh();
  }

  /** Something moved: asks again, at most twice a second. */
  moved() {
    if (this.timer !== undefined) return;
    const wait = Math.max(0, this.asked + OFTEN_MS - Date.now());
    this.timer = setTimeout(() => {
      this.timer = undefined;
      if (document.visibilityState === "visible") this.refresh();
    }, wait);
  }

  async refresh() {
    this.asked = Date.now();
    this.abort.abort();
    const abort = (this.abort = new AbortController()).signal;
    const topic = this.select.value;
    try {
      const { payload } = await get(`topics/${topic.split("/").map((part) => path(part)).join("/")}`, {}, abort);
      if (!abort.aborted) setText(this.payload, pretty(payload));
    } catch (error) {
      if (isAbort(error)) return;
      const said = error instanceof ApiError ? WORDS[error.status] : undefined;
      setText(this.payload, said ?? "–");
    }
  }

  remove() {
    clearTimeout(this.timer);
    this.unwatch();
    this.abort.abort();
  }
}

/**
 * One field a line; the texts stay as they are, since parsing would cut long numbers.
 * @param {string} payload
 */
function pretty(payload) {
  return payload.startsWith("{") ? payload.replace(/,"/g, ',\n "') : payload;
}

/**
 * The line for a terminal, with the address that the daemon states for MQTT.
 * @param {string} topic
 */
export function subscription(topic) {
  const listen = status.value?.mqtt?.listen?.[0];
  const found = listen && /^\[?(.*?)\]?:(\d+)$/.exec(listen);
  const quoted = `'${topic.replaceAll("'", "'\\''")}'`;
  if (!found) return `mosquitto_sub -v -t ${quoted}`;
  const [, host = "", port] = found;
  const anywhere = host === "0.0.0.0" || host === "::";
  return `mosquitto_sub -h ${anywhere ? location.hostname : host} -p ${port} -v -t ${quoted}`;
}
