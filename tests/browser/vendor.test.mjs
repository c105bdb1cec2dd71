/** The vendored file is the package's, and what its README says. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { ROOT } from "./daemon.mjs";

const NAME = "lightweight-charts.standalone.production.mjs";

test("the vendored chart library is unchanged", () => {
  const vendored = readFileSync(join(ROOT, "web/vendor", NAME));
  const sum = createHash("sha256").update(vendored).digest("hex");
  const readme = readFileSync(join(ROOT, "web/vendor/README.md"), "utf8");
  assert.ok(readme.includes(`\`${sum}\``), `web/vendor/README.md has ${sum}`);
  const home = dirname(createRequire(import.meta.url).resolve("lightweight-charts/package.json"));
  const { version } = JSON.parse(readFileSync(join(home, "package.json"), "utf8"));
  assert.ok(readme.includes(`| ${version} |`), `web/vendor/README.md says version ${version}`);
  assert.ok(vendored.equals(readFileSync(join(home, "dist", NAME))), "the file is the package's");
});

test("the page names no other host", () => {
  for (const name of ["index.html", "js/api.js", "js/stream.js", "js/main.js", "style/base.css"]) {
    const text = readFileSync(join(ROOT, "web", name), "utf8").replaceAll("https://www.tradingview.com/", "").replaceAll("http://www.w3.org/", "");
    assert.ok(!/https?:\/\//.test(text), name);
  }
});
