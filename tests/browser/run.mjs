// Drives the pages in Chromium: node tests/browser/run.mjs. Starts what it needs on free ports (GATEHOUSE_BIN, else
// target/debug/gatehouse; CHROMIUM, else /usr/bin/chromium) and stops it at the end. Exit code 1 on any failure.

import { audit } from "./audit.mjs";
import { bulk, withoutScripts } from "./bulk.mjs";
import { launch, login, open } from "./chromium.mjs";
import { demo, unused } from "./demo.mjs";
import { filters } from "./filters.mjs";
import { keys } from "./keys.mjs";
import { pages } from "./pages.mjs";
import { people } from "./people.mjs";
import { check, summary } from "./report.mjs";

const LIMIT = 300_000;
const began = Date.now();
const started = [];
const keep = async (starting) => {
  const it = await starting;
  started.push(it);
  return it;
};
const end = async (code) => {
  await Promise.all(started.splice(0).map((it) => it.stop().catch(() => {})));
  process.exit(code);
};
const seconds = () => Math.round((Date.now() - began) / 1000);
setTimeout(async () => {
  await check("the suite ends in time", () => { throw new Error(`not within ${LIMIT / 1000} s`); });
  await end(summary(seconds()));
}, LIMIT).unref();
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => end(130));

/** The first workspace: the one the dashboard opens. */
const workspace = async (browser, site) => {
  const context = await browser.createBrowserContext();
  const page = await open(context);
  await login(page, site, "/");
  const ws = await page.$eval("nav.side a[href$='/posts']", (link) => link.getAttribute("href").split("/")[2]);
  await context.close();
  return ws;
};

try {
  // The flows change their world, so the walk over the pages has one of its own; both go on at the same time.
  const [acting, shown, fresh] = await Promise.all([keep(demo()), keep(demo()), keep(unused())]);
  const [hands, eyes] = await Promise.all([keep(launch()), keep(launch())]);
  await Promise.all([
    (async () => {
      const ws = await workspace(hands.browser, acting);
      await people(hands.browser, acting, ws);
      await keys(hands.browser, acting, ws);
      await withoutScripts(hands.browser, acting, ws);
      await bulk(hands.browser, acting, ws);
      await audit(hands.browser, acting, ws);
    })(),
    (async () => {
      const ws = await workspace(eyes.browser, shown);
      await filters(eyes.browser, shown, ws);
      await pages(eyes.browser, shown, fresh, ws);
    })(),
  ]);
} catch (error) {
  await check("the suite", () => { throw error; });
}
await end(summary(seconds()));
