/** A thousand indexes: the list stays small in the browser, and every row can be reached. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Look, launch } from "./browser.mjs";
import { Daemon, until } from "./daemon.mjs";

const MANY = 1_000;
const daemon = new Daemon();
const dir = mkdtempSync(join(tmpdir(), "divisor-many-"));
/** @type {import("playwright-core").Browser} */
let browser;
/** @type {{stop: () => Promise<void>}} */
let market;

before(async () => {
  await daemon.start();
  const symbols = Array.from({ length: 50 }, (_, at) => `S${at}`);
  const file = join(dir, "many.json");
  writeFileSync(file, JSON.stringify({
    securities: symbols.map((symbol) => ({ symbol, currency: "USD" })),
    prices: symbols.map((symbol, at) => ({ symbol, price: String(10 + at) })),
    indexes: Array.from({ length: MANY }, (_, at) => ({
      code: `M${String(at).padStart(4, "0")}`, name: `Number ${at}`, currency: "USD", weighting: { scheme: "price" }, base: { value: "1000" },
      basket: [symbols[at % 50], symbols[(at * 7 + 1) % 50], symbols[(at * 3 + 2) % 50]].filter((symbol, i, all) => all.indexOf(symbol) === i).map((symbol) => ({ symbol })),
    })),
  }));
  daemon.divisor("load", file);
  market = daemon.simulate("--rate", "100");
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await market?.stop();
  await daemon.remove();
  rmSync(dir, { recursive: true, force: true });
});

test("a thousand rows cost as much as those in view", async () => {
  const look = await Look.open(browser);
  await look.page.goto(daemon.url);
  await until("all to be known", async () => ((await look.text("#list-count")) ?? "").includes("1,000 indexes"));
  const count = () => look.page.locator("#list-rows tr[data-code]").count();
  assert.ok((await count()) < 60, "only what is in view is there");
  await look.page.locator("#list-scroller").evaluate((scroller) => (scroller.scrollTop = scroller.scrollHeight));
  await until("the last row", async () => (await look.levels()).M0999);
  assert.ok((await count()) < 60);
  const moved = await look.levels();
  await until("levels to move down there", async () => {
    const now = await look.levels();
    return Object.keys(now).some((code) => moved[code] && now[code] !== moved[code]);
  });
  await look.page.keyboard.press("k");
  const code = () => look.page.evaluate(() => /** @type {HTMLElement | null} */ (document.querySelector("#list-rows tr.selected"))?.dataset.code);
  await until("the selection to come into view", async () => Boolean(await code()));
  for (let step = 0; step < 40; step += 1) await look.page.keyboard.press("j");
  await until("the selection to be 40 further", async () => (await code()) === "M0040");
  await look.page.locator("#filter").fill("M077");
  await until("ten rows", async () => (await count()) === 10);
  await look.close();
});
