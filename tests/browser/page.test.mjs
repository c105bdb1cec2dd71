/** The page against a real daemon with a simulated market, as somebody who uses it sees it. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { Look, launch, PHONE } from "./browser.mjs";
import { Daemon, until } from "./daemon.mjs";

const daemon = new Daemon();
/** @type {import("playwright-core").Browser} */
let browser;
/** @type {{stop: () => Promise<void>}} */
let market;

before(async () => {
  await daemon.start();
  daemon.divisor("load", "fixtures/dow/before.json");
  daemon.divisor("load", "fixtures/dow/spinoff.json");
  daemon.divisor("load", "fixtures/universe/universe.json");
  daemon.divisor("simulate", "--rate", "2000", "--count", "2000", "--seed", "3");
  market = daemon.simulate("--rate", "200", "--seed", "7");
  browser = await launch();
  // Charts and sparklines are of what is stored.
  await until("history of DJIA", async () => (await daemon.get("indexes/DJIA/candles?step=1s")).rows.length > 20);
});

after(async () => {
  await browser?.close();
  await market?.stop();
  await daemon.remove();
});

/** @param {string} hash @param {Parameters<typeof Look.open>[1]} [options] */
async function open(hash = "", options = {}) {
  const look = await Look.open(browser, options);
  await look.page.goto(daemon.url + hash);
  await look.page.locator("#list-rows tr[data-code]").first().waitFor({ state: "attached" });
  return look;
}

/** Another index with a level. */
async function other() {
  return (await daemon.get("indexes")).rows.find((/** @type {any} */ row) => row.code !== "DJIA" && row.level).code;
}

test("levels on the page are those of a subscriber", async () => {
  const look = await open("#/index/DJIA");
  const subscriber = daemon.subscribe();
  await until("levels to come", () => (subscriber.levels.get("DJIA")?.length ?? 0) > 20);
  // While the market runs: what is shown was published.
  for (let round = 0; round < 5; round += 1) {
    const shown = (await look.levels()).DJIA;
    await until(`${shown} on MQTT`, () => subscriber.levels.get("DJIA")?.some((level) => level.level === shown));
    await look.page.waitForTimeout(150);
  }
  await market.stop();
  // When it rests: everything is equal, to the last digit.
  await until("the page to show the last levels", async () => {
    const shown = await look.levels();
    const codes = Object.keys(shown).filter((code) => subscriber.levels.has(code));
    return codes.length >= 10 && codes.every((code) => shown[code] === subscriber.levels.get(code)?.at(-1).level);
  });
  const last = subscriber.levels.get("DJIA")?.at(-1);
  assert.equal(await look.page.locator(".quote .last").evaluate((element) => /** @type {HTMLDataElement} */ (element).value), last.level);
  assert.match((await look.text(".quote .asof")) ?? "", new RegExp(`${last.ts.slice(0, 10)} ${last.ts.slice(11, 23)} UTC.*#${last.seq} `));
  const move = (await look.text(".quote .moved"))?.replaceAll("\u2212", "-").replaceAll(",", "") ?? "";
  if (last.chg) assert.ok(move.includes(last.chg) && move.includes(`${last.chg_pct}%`), `${move} has ${last.chg} and ${last.chg_pct}`);
  else assert.equal(move, "", "no previous close, no change");
  assert.match(await look.page.title(), /^[\d,.]+ DJIA · Divisor$/);
  await subscriber.stop();
  market = daemon.simulate("--rate", "200", "--seed", "8");
  await look.close();
});

test("the chart has ink and lies inside the window", async () => {
  const pictures = [
    ["#/index/DJIA", "line"], ["#/index/DJIA?kind=candles", "candles"], ["#/index/DJIA?range=max", "area"],
    [`#/index/DJIA?compare=${await other()}`, "comparison"],
  ];
  for (const [hash, kind] of pictures) {
    const look = await open(hash);
    const ink = await until(`ink in the ${kind}`, async () => {
      const share = await look.ink();
      return share > 0.25 && share;
    });
    assert.ok(ink <= 1);
    await look.chartInside();
    await look.fits();
    await look.close();
  }
});

test("the chart follows live levels and keeps what a person moved", async () => {
  const look = await open("#/index/DJIA");
  await until("ink", async () => (await look.ink()) > 0.2);
  const legend = () => look.text(".legend");
  const before = await legend();
  await until("another bar", async () => (await legend()) !== before);
  const box = await look.page.locator(".plot").boundingBox();
  assert.ok(box);
  await look.page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await look.page.mouse.wheel(0, -300);
  await look.page.getByRole("button", { name: "Show all" }).click();
  await look.page.getByRole("button", { name: "Show all" }).waitFor({ state: "hidden" });
  await look.close();
});

test("what happens to an index is marked on its chart", async () => {
  const look = await open("#/index/DJIA?range=max");
  const marks = async () => ((await look.page.locator(".plot").getAttribute("data-marks")) ?? "").split(" ").filter(Boolean);
  // The spin-off of the fixture is a revision; so is the beginning.
  const events = (await daemon.get("indexes/DJIA/events")).rows;
  const revisions = events.filter((/** @type {any} */ event) => event.kind === "revision").map((/** @type {any} */ event) => `R${event.rev}`);
  assert.ok(revisions.length > 1, JSON.stringify(events));
  await until("the last revision", async () => (await marks()).includes(revisions.at(-1)));
  // An action comes while one looks; a change of status has no mark.
  daemon.divisor("load", "tests/browser/split.json");
  await until("an action", async () => (await daemon.get("indexes/DJIA/events")).rows.some((/** @type {any} */ event) => event.kind === "action"));
  await until("its mark", async () => (await marks()).some((mark) => mark.startsWith("A")));
  assert.ok(!(await marks()).some((mark) => mark.startsWith("S")));
  // A price of the past is corrected: its mark stands where the first level is another one.
  const [price] = (await daemon.get("securities/IBM/prices?from=2000-01-01&limit=1")).rows;
  const was = Number(price.price);
  daemon.divisor("correct", "price", "IBM", "--ts", price.ts, "--price", String(was + 1), "--reason", "a test of marks");
  await until("its mark", async () => (await marks()).some((mark) => mark.startsWith("C")));
  // The page is told before PostgreSQL has the row.
  const notice = await until("its row", async () =>
    (await daemon.get("indexes/DJIA/events")).rows.find((/** @type {any} */ event) => event.kind === "correction"));
  assert.match(notice.text, /^run 1 restates \d+ levels/);
  await until("its words", async () => ((await look.text(".events")) ?? "").includes("restates"));
  await look.close();
});

test("small lines are asked for together", async () => {
  const look = await Look.open(browser);
  const asked = /** @type {string[]} */ ([]);
  look.page.on("request", (request) => asked.push(request.url()));
  await look.page.goto(`${daemon.url}#/feed`);
  await look.page.goto(`${daemon.url}#/`);
  await until("lines", () => asked.some((url) => url.includes("/sparklines?")));
  await look.page.waitForTimeout(1_000);
  const lines = asked.filter((url) => url.includes("/sparklines?"));
  const shown = Object.keys(await look.levels()).length;
  assert.ok(shown > 10 && lines.length <= 3, `${lines.length} questions for ${shown} rows`);
  await look.close();
});

test("the keyboard does it all", async () => {
  const look = await open("#/");
  const { page } = look;
  const code = () => page.evaluate(() => /** @type {HTMLElement | null} */ (document.querySelector("#list-rows tr.selected"))?.dataset.code ?? "");
  const first = await until("the first index to be opened", code);
  await page.keyboard.press("j");
  const second = await until("the next", async () => (await code()) !== first && code());
  await page.keyboard.press("k");
  await until("the first again", async () => (await code()) === first);
  await page.keyboard.press("c");
  assert.match(page.url(), /kind=candles/);
  await page.keyboard.press("6");
  assert.match(page.url(), /range=max/);
  await page.keyboard.press("d");
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
  await page.keyboard.press("?");
  assert.ok(await page.locator("#help").isVisible());
  await page.keyboard.press("Escape");
  assert.ok(!(await page.locator("#help").isVisible()));
  await page.keyboard.press("/");
  await page.keyboard.type(second);
  await page.keyboard.press("Enter");
  await until("the index that was typed", async () => (await code()) === second);
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("#filter").inputValue(), "", "Esc clears the filter");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "detail-title");
  await until("bars to go through", async () => (await look.text(".legend")) !== "");
  await page.locator(".plot").focus();
  await page.keyboard.press("ArrowLeft");
  await until("a spoken bar", async () => /UTC: [\d.]+$/.test((await look.text(".chart-card > [role=status]")) ?? ""));
  await page.keyboard.press("f");
  assert.ok(await page.locator("#feed").isVisible());
  await page.keyboard.press("Escape");
  assert.ok(await page.locator("#feed").isHidden());
  await page.keyboard.press("Tab");
  const ring = await page.evaluate(() => document.activeElement && getComputedStyle(document.activeElement).outlineStyle);
  assert.notEqual(ring, "none", "what has the focus shows it");
  await look.close();
});

test("a filter narrows the list, and says so when nothing is left", async () => {
  const look = await open("#/");
  const all = await until("rows", async () => Object.keys(await look.levels()).length);
  await look.page.locator("#filter").fill("djia");
  await until("one row", async () => Object.keys(await look.levels()).join() === "DJIA");
  assert.match((await look.text("#list-count")) ?? "", /1 of \d+/);
  await look.page.locator("#filter").fill("no such index");
  await until("none", async () => await look.page.locator("#list-empty").isVisible());
  await look.page.locator("#filter").fill("");
  await until("all again", async () => Object.keys(await look.levels()).length === all);
  await look.close();
});

test("a link shows what its sender saw", async () => {
  const sender = await open("#/index/DJIA");
  await sender.page.getByRole("button", { name: "Max" }).click();
  await sender.page.locator(".members").getByRole("button", { name: "Price" }).click();
  await sender.page.locator("#compare").fill(await other());
  await sender.page.locator("#compare").press("Enter");
  await sender.page.locator("#copy-link").click();
  const link = await sender.page.evaluate(() => navigator.clipboard.readText());
  await sender.page.locator("#copy-api").click();
  const api = await sender.page.evaluate(() => navigator.clipboard.readText());
  assert.ok((await (await fetch(api)).json()).rows.length > 0, `${api} answers`);
  await sender.close();
  const look = await open(link.slice(daemon.url.length));
  await until("the comparison", async () => (await look.page.locator(".chip").count()) === 2);
  assert.equal(await look.page.locator("[data-range=max]").getAttribute("aria-pressed"), "true");
  assert.equal(await look.page.locator(".members th[aria-sort]").textContent(), "Price");
  await until("ink", async () => (await look.ink()) > 0.2);
  await look.close();
});

test("constituents are those of the daemon, and sort", async () => {
  const look = await open("#/index/DJIA");
  const symbols = () => look.page.locator(".members tbody tr[data-symbol] b").allTextContents();
  await until("constituents", async () => (await symbols()).length > 10);
  await look.page.locator(".members").getByRole("button", { name: "Symbol" }).click();
  const { members } = await daemon.get("indexes/DJIA");
  const sorted = members.map((/** @type {any} */ member) => member.symbol).sort();
  await until("the first in order", async () => (await symbols()).slice(0, 5).join() === sorted.slice(0, 5).join());
  await look.page.locator(".members").getByRole("button", { name: "Symbol" }).click();
  await until("the last first", async () => (await symbols())[0] === sorted.at(-1));
  const facts = (await look.text(".facts")) ?? "";
  for (const part of ["Price-weighted", "USD", "Divisor0.1"]) assert.ok(facts.includes(part), `the facts have ${part}: ${facts}`);
  assert.match((await look.text(".events")) ?? "", /Revision \d+/);
  await look.close();
});

test("the CSV is the chart's", async () => {
  const look = await open("#/index/DJIA?range=max");
  await until("ink", async () => (await look.ink()) > 0.2);
  const [download] = await Promise.all([look.page.waitForEvent("download"), look.page.locator("#csv").click()]);
  assert.equal(download.suggestedFilename(), "DJIA-max.csv");
  const lines = readFileSync(await download.path(), "utf8").trim().split(/\r?\n/);
  assert.equal(lines[0], "ts,open,high,low,close,count");
  assert.ok(lines.length > 1, "it has rows");
  await look.close();
});

test("the inspector shows the retained message, and its line works", async () => {
  const look = await open("#/index/DJIA");
  await until("a payload", async () => ((await look.text(".topics pre")) ?? "").includes('"level"'));
  // The address of MQTT comes with the daemon's status.
  await until("the address in the line", async () => ((await look.text(".copyline code")) ?? "").includes(" -p "));
  const line = (await look.text(".copyline code")) ?? "";
  const heard = spawnSync("sh", ["-c", `${line} -C 1 -W 20`], { encoding: "utf8" });
  assert.match(heard.stdout, /^indexes\/DJIA\/level \{"v":1,"index":"DJIA"/, `${line}: ${heard.stderr}`);
  await until("an equal payload", async () => {
    const { payload } = await daemon.get("topics/indexes/DJIA/level");
    return ((await look.text(".topics pre")) ?? "").replace(/\n /g, "") === payload;
  });
  await look.page.getByLabel("Topic").selectOption("divisor/status");
  await until("the status", async () => ((await look.text(".topics pre")) ?? "").includes('"epoch"'));
  await look.close();
});

test("feed health counts what the daemon counts", async () => {
  spawnSync("mosquitto_pub", ["-h", "127.0.0.1", "-p", daemon.mqtt.split(":")[1] ?? "", "-t", "securities/NO.SUCH/price", "-m", "1"]);
  const look = await open("#/feed");
  await until("a refusal by its reason", async () => /unknown/.test((await look.text(".reasons")) ?? ""));
  await until("the tiles", async () => {
    const text = (await look.text(".tiles")) ?? "";
    return /Ticks per second[\d,]+/.test(text) && /PostgreSQLok/.test(text) && /Journalok/.test(text);
  });
  const { feed } = await daemon.get("status");
  await until("as many accepted", async () => {
    const shown = Number(/Accepted([\d,]+)/.exec((await look.text("#feed")) ?? "")?.[1]?.replaceAll(",", ""));
    return shown >= feed.accepted;
  });
  await look.close();
});

test("it works on a phone, in the dark as well", async () => {
  for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
    const look = await open("#/", { viewport: PHONE, colorScheme });
    await look.fits();
    assert.ok(await look.page.locator("#detail").isHidden(), "the list alone");
    await look.page.locator("#list-rows tr[data-code=DJIA]").click();
    await until("ink", async () => (await look.ink()) > 0.2);
    await look.chartInside();
    await look.fits();
    assert.ok(await look.page.locator("#list").isHidden(), "the index alone");
    const ground = await look.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const [r = 0] = (ground.match(/\d+/g) ?? []).map(Number);
    assert.ok(colorScheme === "dark" ? r < 60 : r > 200, `${ground} in ${colorScheme}`);
    await look.page.getByRole("link", { name: "← Indexes" }).click();
    await until("the list", async () => await look.page.locator("#list").isVisible());
    await look.page.goto(`${daemon.url}#/feed`);
    await look.fits();
    await look.close();
  }
});

test("axe finds no violation", async () => {
  const code = await other();
  for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
    for (const viewport of [undefined, PHONE]) {
      const look = await open("#/", { colorScheme, bypassCSP: true, ...(viewport ? { viewport } : {}) });
      for (const hash of ["#/", "#/index/DJIA", `#/index/DJIA?compare=${code}&kind=candles`, "#/feed"]) {
        await look.page.goto(daemon.url + hash);
        if (hash.includes("DJIA")) await until("constituents", async () => (await look.page.locator(".members tbody tr[data-symbol]").count()) > 3);
        await look.accessible(`${hash}, ${colorScheme}, ${viewport ? "phone" : "wide"}`);
      }
      await look.page.locator("#help-open").click();
      await look.accessible("help");
      await look.close();
    }
  }
});

test("a restart of the daemon needs no reload", async () => {
  const look = await open("#/index/DJIA");
  look.allowed = /Failed to load resource|ERR_(CONNECTION_REFUSED|INCOMPLETE_CHUNKED_ENCODING|CONNECTION_RESET|EMPTY_RESPONSE)/;
  await look.page.evaluate(() => ((/** @type {any} */ (window)).mark = "not reloaded"));
  await market.stop();
  const before = await daemon.get("status");
  await daemon.end("SIGKILL");
  await until("the page to notice", async () => (await look.text("#connection"))?.includes("no connection"));
  await daemon.start();
  await until("the page to be back", async () => (await look.text("#connection")) === "online");
  market = daemon.simulate("--rate", "200", "--seed", "9");
  const subscriber = daemon.subscribe();
  await until("new levels on the page", async () => {
    const shown = (await look.levels()).DJIA;
    const live = subscriber.levels.get("DJIA") ?? [];
    return live.length > 5 && live.slice(1).some((level) => level.level === shown);
  });
  await subscriber.stop();
  assert.ok((await daemon.get("status")).epoch > before.epoch, "the daemon is another");
  await until("ink", async () => (await look.ink()) > 0.2);
  assert.equal(await look.page.evaluate(() => (/** @type {any} */ (window)).mark), "not reloaded");
  await look.close();
});
