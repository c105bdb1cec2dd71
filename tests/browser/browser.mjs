/** The browser, and how a page is looked at. */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { PATIENCE_MS } from "./daemon.mjs";

const PROGRAM = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) => existsSync(path));
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const WIDE = { width: 1440, height: 900 };
export const PHONE = { width: 390, height: 844 };

export function launch() {
  if (!PROGRAM) throw new Error("there is no chromium: install it, or set CHROMIUM");
  return chromium.launch({
    executablePath: PROGRAM,
    headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}

/**
 * A page of its own. Whatever its console says against it, and each request that leaves the daemon,
 * fails the test at {@link Look.close}.
 */
export class Look {
  /**
   * @param {import("playwright-core").Browser} browser
   * @param {{viewport?: {width: number, height: number}, colorScheme?: "light" | "dark", bypassCSP?: boolean}} [options]
   */
  static async open(browser, options = {}) {
    const context = await browser.newContext({ viewport: WIDE, colorScheme: "light", timezoneId: "America/New_York", acceptDownloads: true, ...options });
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    context.setDefaultTimeout(PATIENCE_MS);
    return new Look(context, await context.newPage());
  }

  /** @param {import("playwright-core").BrowserContext} context @param {import("playwright-core").Page} page */
  constructor(context, page) {
    this.context = context;
    this.page = page;
    /** @type {string[]} */
    this.complaints = [];
    /** What may be said: what a daemon that is away makes the browser say. */
    this.allowed = /^$/;
    // Reading the canvas is what the test does, not the page.
    const isOurs = (/** @type {string} */ text) => text.startsWith("Canvas2D: Multiple readback");
    page.on("console", (message) => {
      const { url } = message.location();
      if (["error", "warning"].includes(message.type()) && !isOurs(message.text())) this.complaints.push(`${message.text()} ${url}`);
    });
    page.on("pageerror", (error) => this.complaints.push(String(error.stack ?? error)));
    page.on("request", (request) => {
      const url = new URL(request.url());
      if (!["data:", "blob:"].includes(url.protocol) && url.hostname !== "127.0.0.1") this.complaints.push(`request to ${request.url()}`);
    });
  }

  async close() {
    await this.context.close();
    assert.deepEqual(this.complaints.filter((said) => !this.allowed.test(said)), [], "the console is silent and nothing comes from elsewhere");
  }

  /** The text of an element. @param {string} selector */
  text(selector) {
    return this.page.locator(selector).first().textContent();
  }

  /** The exact level of each index that is shown, by code. @returns {Promise<Record<string, string>>} */
  levels() {
    return this.page.evaluate(() => Object.fromEntries([...document.querySelectorAll("#list-rows tr[data-code]")].map((row) => [
      /** @type {HTMLElement} */ (row).dataset.code ?? "", row.querySelector("data")?.value ?? "",
    ])));
  }

  /** Nothing is wider than the window. */
  async fits() {
    const over = await this.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(over <= 0, `the page is ${over} px wider than the window`);
  }

  /**
   * The share of the chart's columns that have something coloured in them. Tests of text and axe
   * pass on a chart that draws nothing.
   */
  ink() {
    return this.page.evaluate(() => {
      let best = 0;
      for (const canvas of document.querySelectorAll(".plot canvas")) {
        const { width, height } = /** @type {HTMLCanvasElement} */ (canvas);
        if (width < 100 || height < 100) continue;
        const { data } = /** @type {CanvasRenderingContext2D} */ (/** @type {HTMLCanvasElement} */ (canvas).getContext("2d")).getImageData(0, 0, width, height);
        let inked = 0;
        for (let x = 0; x < width; x += 1) {
          for (let y = 0; y < height; y += 1) {
            const at = (y * width + x) * 4;
            const [r = 0, g = 0, b = 0, a = 0] = data.subarray(at, at + 4);
            if (a > 60 && Math.max(r, g, b) - Math.min(r, g, b) > 45) {
              inked += 1;
              break;
            }
          }
        }
        best = Math.max(best, inked / width);
      }
      return best;
    });
  }

  /** The chart's box lies inside the window, with its time axis. */
  async chartInside() {
    const box = await this.page.locator(".plot").boundingBox();
    const window = this.page.viewportSize();
    assert.ok(box && window);
    assert.ok(box.height > 150 && box.width > 200, `the chart is ${box.width} by ${box.height}`);
    assert.ok(box.x >= 0 && box.x + box.width <= window.width + 0.5, "the chart is inside from left to right");
    assert.ok(box.y >= 0 && box.y + box.height <= window.height + 0.5, `the chart ends at ${box.y + box.height} of ${window.height}`);
    const canvas = await this.page.evaluate(() => {
      const plot = /** @type {Element} */ (document.querySelector(".plot")).getBoundingClientRect();
      return [...document.querySelectorAll(".plot canvas")].every((one) => one.getBoundingClientRect().bottom <= plot.bottom + 1);
    });
    assert.ok(canvas, "no canvas hangs out of the chart");
  }

  /** @param {string} where */
  async accessible(where) {
    await this.page.evaluate(AXE);
    const violations = await this.page.evaluate(async () => {
      const axe = /** @type {any} */ (window).axe;
      const { violations } = await axe.run(document, { resultTypes: ["violations"] });
      return violations.map((/** @type {any} */ one) => ({
        id: one.id, nodes: one.nodes.slice(0, 3).map((/** @type {any} */ node) => `${node.html.slice(0, 160)} ${node.failureSummary}`),
      }));
    });
    assert.deepEqual(violations, [], `axe finds nothing in ${where}`);
  }
}
