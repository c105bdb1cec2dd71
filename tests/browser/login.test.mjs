/** Signing in and out of a daemon that has users, from another machine and behind a proxy's prefix. */
import assert from "node:assert/strict";
import { createServer, request } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Look, launch } from "./browser.mjs";
import { Daemon, until } from "./daemon.mjs";

const PREFIX = "/quotes/live/";
const daemon = new Daemon();
/** @type {import("playwright-core").Browser} */
let browser;
/** @type {import("node:http").Server} */
let proxy;
let page = "";

before(async () => {
  // Loaded while everybody on this machine may.
  await daemon.start();
  daemon.divisor("load", "fixtures/dow/before.json");
  daemon.divisor("simulate", "--rate", "500", "--count", "500", "--seed", "3");
  await daemon.end("SIGTERM");
  const users = join(daemon.state, "users.toml");
  daemon.passwd(users, "ann", "subscriber");
  daemon.sets.push(`access.users_file=${users}`);
  await daemon.start();
  proxy = createServer((asked, answer) => {
    if (!asked.url?.startsWith(PREFIX)) return answer.writeHead(421).end();
    const headers = { ...asked.headers, "x-forwarded-for": "192.0.2.7" };
    const onward = request(new URL(asked.url.slice(PREFIX.length), daemon.url), { method: asked.method, headers }, (got) => {
      answer.writeHead(got.statusCode ?? 502, got.headers);
      got.pipe(answer);
    });
    onward.on("error", () => answer.destroy());
    answer.on("close", () => onward.destroy());
    asked.pipe(onward);
  });
  await new Promise((done) => proxy.listen(0, "127.0.0.1", () => done(null)));
  page = `http://127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (proxy.address()).port}${PREFIX}`;
  browser = await launch();
});

after(async () => {
  await browser?.close();
  proxy?.closeAllConnections();
  proxy?.close();
  await daemon.remove();
});

test("a user signs in, stays in over a reload, and out", async () => {
  const look = await Look.open(browser);
  look.allowed = /401|Failed to load resource/;
  await look.page.goto(page);
  await look.page.locator("#login").waitFor();
  assert.deepEqual(await look.levels(), {}, "nothing is shown to nobody");
  await look.accessible("the form");
  await look.page.locator("#login-user").fill("ann");
  await look.page.locator("#login-password").fill("guess");
  await look.page.getByRole("button", { name: "Sign in" }).click();
  await until("a refusal", async () => /wrong/.test((await look.text("#login-problem")) ?? ""));
  await look.page.locator("#login-password").fill("ann-secret");
  await look.page.getByRole("button", { name: "Sign in" }).click();
  await until("levels", async () => Boolean((await look.levels()).DJIA));
  await until("ink", async () => (await look.ink()) > 0.05);
  const [cookie] = await look.context.cookies(`${page}api/v1/session`);
  assert.ok(cookie?.httpOnly && cookie.sameSite === "Strict", JSON.stringify(cookie));
  assert.equal(cookie.path, `${PREFIX}api/v1`);
  await look.page.reload();
  await until("levels again", async () => Boolean((await look.levels()).DJIA));
  assert.ok(await look.page.locator("#login").isHidden());
  await look.page.getByRole("button", { name: "Sign out ann" }).click();
  await look.page.locator("#login[open]").waitFor();
  await until("nothing to be shown", async () => Object.keys(await look.levels()).length === 0);
  assert.equal((await look.context.cookies(`${page}api/v1/session`)).length, 0);
  await look.close();
});
