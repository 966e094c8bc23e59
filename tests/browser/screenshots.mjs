// Takes the pictures of docs/screenshots from a fresh demo: node tests/browser/screenshots.mjs

import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { click, dress, launch, login, open, text } from "./chromium.mjs";
import { demo, repository, sleep } from "./demo.mjs";

const folder = join(repository, "docs/screenshots");
const LARGEST = 200 * 1024;

const [site, { browser, stop }] = await Promise.all([demo(), launch()]);
try {
  await mkdir(folder, { recursive: true });
  const page = await open(await browser.createBrowserContext(), { height: 900 });
  await login(page, site);
  const ws = await page.$eval("nav.side a[href$='/posts']", (link) => link.getAttribute("href").split("/")[2]);
  const go = (path) => page.goto(`${site.url}${path}`, { waitUntil: "load" });
  const take = async (name, height = 900, width = 1280) => {
    await page.setViewport({ width, height });
    const path = join(folder, `${name}.png`);
    await page.screenshot({ path });
    const { size } = await stat(path);
    if (size > LARGEST) throw new Error(`${name}.png has ${size} bytes`);
    console.log(`${name}.png ${Math.round(size / 1024)} KB`);
  };

  // The sign-in banner of a demo says nothing; the second look at the dashboard has none.
  await go("/");
  await take("dashboard", 1000);
  await go(`/w/${ws}/keys`);
  await take("keys");

  for (const end = Date.now() + 20_000; Date.now() < end; await sleep(300)) {
    await go("/");
    if (!await page.$(".rows.jobs")) break;
  }

  const list = `/w/${ws}/posts?status=scheduled&platform=linkedin&platform=pinterest`;
  await go(list);
  for (const box of (await page.$$("tbody .tick input")).slice(1, 4)) await box.click();
  await page.evaluate(() => document.activeElement.blur());
  await page.mouse.move(0, 0);
  await take("posts");
  await dress(page, "dark");
  await take("posts-dark");
  await dress(page, "light");
  await page.setViewport({ width: 360, height: 780 });
  await page.evaluate(() => scrollTo(0, document.querySelector("p.result").offsetTop - 72));
  await take("posts-360", 780, 360);
  await page.setViewport({ width: 1280, height: 900 });

  await go(`${list}&select=matching`);
  await click(page, ".bulk-buttons button[value=delete]");
  await take("plan", 1000);

  await go(`/w/${ws}/posts?status=scheduled&select=matching`);
  await click(page, ".bulk-buttons button[value=pause]");
  await page.type("#f-reason", "Client asked for silence until Monday");
  await click(page, "section.confirm form button");
  await page.goto(page.url().replace(/\?.*/, ""), { waitUntil: "load" });
  // A third of the way.
  for (const end = Date.now() + 20_000; Date.now() < end; await sleep(100)) {
    const [done, total] = (await text(page, ".progress-panel .big")).match(/\d+/g).map(Number);
    if (done * 3 >= total) break;
  }
  await take("job", 1000);
  await page.waitForSelector("[data-job]:not([data-events])", { timeout: 60_000 });

  await go(`/w/${ws}/audit`);
  await take("audit");
} finally {
  await Promise.all([stop(), site.stop()]);
}
