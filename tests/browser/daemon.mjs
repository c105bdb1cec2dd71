/** A real divisord on free ports with a state directory of its own, and what feeds it. */
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
/** How long a start, stop or condition may take on a loaded machine. */
export const PATIENCE_MS = 120_000;

/** @param {string} name @param {string} variable */
function program(name, variable) {
  const path = process.env[variable] ?? join(process.env.CARGO_TARGET_DIR ?? join(ROOT, "target"), "debug", name);
  if (!existsSync(path)) throw new Error(`${path} is missing: cargo build, or set ${variable}`);
  return path;
}

const DIVISORD = program("divisord", "DIVISORD");
const DIVISOR = program("divisor", "DIVISOR");

/**
 * Waits for a condition; what it returns is the result.
 * @template T
 * @param {string} what @param {() => Promise<T> | T} condition
 * @returns {Promise<NonNullable<T>>}
 */
export async function until(what, condition) {
  const end = Date.now() + PATIENCE_MS;
  let last;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`waited in vain for ${what}; last: ${last instanceof Error ? last.message : JSON.stringify(last)}`);
    await new Promise((wake) => setTimeout(wake, 100));
  }
}

/** Everything that was started here and has not ended: nothing is left behind, whatever happens. */
const children = new Set();
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(130));

export class Daemon {
  /** @param {...string} sets keys of the configuration, as `key=value` */
  constructor(...sets) {
    this.sets = sets;
    this.state = mkdtempSync(join(tmpdir(), "divisor-browser-"));
    // PostgreSQL refuses to be root, and its other user must pass through.
    chmodSync(this.state, 0o711);
    this.words = "";
    this.mqtt = "127.0.0.1:0";
    this.http = "127.0.0.1:0";
  }

  /** Starts, and returns when it listens; on the same ports when it ran before. */
  async start() {
    this.words = "";
    const environment = Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith("DIVISOR")));
    const child = spawn(DIVISORD, [
      "run", "--state", this.state, "--listen", this.mqtt,
      "--set", `http.listen=["${this.http}"]`, "--set", "journal.segment_bytes=1MiB", "--set", "log.filter=info",
      ...this.sets.flatMap((assignment) => ["--set", assignment]),
    ], { env: { ...environment, NO_COLOR: "1" }, stdio: ["ignore", "ignore", "pipe"] });
    this.child = child;
    children.add(child);
    child.on("exit", () => children.delete(child));
    child.stderr.setEncoding("utf8").on("data", (text) => (this.words += text));
    const address = (/** @type {RegExp} */ pattern) => pattern.exec(this.words)?.[1];
    await until(`the daemon to listen: ${this.words}`, () => {
      if (child.exitCode !== null) throw new Error(`divisord ended: ${this.words}`);
      return address(/listening for MQTT.*?(127\.0\.0\.1:\d+)/) && address(/listening for HTTP.*?http:\/\/(127\.0\.0\.1:\d+)/);
    });
    this.mqtt = address(/listening for MQTT.*?(127\.0\.0\.1:\d+)/) ?? "";
    this.http = address(/listening for HTTP.*?http:\/\/(127\.0\.0\.1:\d+)/) ?? "";
    return this;
  }

  /** Gives a user a password and a role. @param {string} file @param {string} user @param {string} role */
  passwd(file, user, role) {
    const run = spawnSync(DIVISORD, ["passwd", user, "--role", role, "--file", file, "--state", this.state], { input: `${user}-secret\n`, encoding: "utf8", timeout: PATIENCE_MS });
    if (run.status !== 0) throw new Error(`divisord passwd ended with ${run.status}: ${run.stderr}`);
  }

  get url() {
    return `http://${this.http}/`;
  }

  /** @param {NodeJS.Signals} signal */
  async end(signal) {
    const child = this.child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((done) => child.once("exit", done));
    process.kill(child.pid ?? 0, signal);
    await ended;
  }

  async remove() {
    await this.end("SIGTERM");
    rmSync(this.state, { recursive: true, force: true, maxRetries: 20, retryDelay: 250 });
  }

  /** Runs `divisor` to its end. @param {...string} args */
  divisor(...args) {
    const run = spawnSync(DIVISOR, [...args, "--url", `mqtt://${this.mqtt}`], { cwd: ROOT, encoding: "utf8", timeout: PATIENCE_MS });
    if (run.status !== 0) throw new Error(`divisor ${args.join(" ")} ended with ${run.status}: ${run.stderr}`);
    return run.stdout;
  }

  /** A market that runs until it is stopped. @param {...string} args */
  simulate(...args) {
    const child = spawn(DIVISOR, ["simulate", "--url", `mqtt://${this.mqtt}`, ...args], { cwd: ROOT, stdio: "ignore" });
    return stoppable(child);
  }

  /** An independent subscriber to all levels. */
  subscribe() {
    const [host = "", port = ""] = this.mqtt.split(":");
    const child = spawn("mosquitto_sub", ["-h", host, "-p", port, "-t", "indexes/+/level"], { stdio: ["ignore", "pipe", "inherit"] });
    /** @type {Map<string, any[]>} */
    const levels = new Map();
    let rest = "";
    child.stdout.setEncoding("utf8").on("data", (text) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const level = JSON.parse(line);
        levels.set(level.index, [...(levels.get(level.index) ?? []), level]);
      }
    });
    return { ...stoppable(child), levels };
  }

  /** @param {string} path */
  async get(path) {
    const response = await fetch(`${this.url}api/v1/${path}`);
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }
}

/** @param {import("node:child_process").ChildProcess} child */
function stoppable(child) {
  children.add(child);
  const ended = new Promise((done) => child.once("exit", done));
  child.once("exit", () => children.delete(child));
  child.once("error", (error) => {
    throw error;
  });
  return {
    async stop() {
      child.kill("SIGINT");
      await ended;
    },
  };
}
