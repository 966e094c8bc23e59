// Every page of the site map, at two widths and in both themes: what axe says with the policy on, and what the pages
// promise of themselves. Then every link, and every number of the dashboard against the list it leads to.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { click, dress, login, number, open, press, text } from "./chromium.mjs";
import { repository } from "./demo.mjs";
import { check, fail, holds, none } from "./report.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const WIRE = 60 * 1024;
const FILES = /\/(events|progress\.json|(results|plan)\.(csv|ndjson)|backup\.ndjson)$|^\/(static|healthz|exports)/;

/** The pages `routes` names. */
const siteMap = () => {
  const source = readFileSync(join(repository, "src/http/admin/mod.rs"), "utf8");
  const paths = [...source.matchAll(/(?:page\(|route\("GET", )"([^"]+)"/g)].map((match) => match[1]);
  return paths.filter((path) => !FILES.test(path));
};

const matches = (route, path) =>
  new RegExp(`^${route.replace(/\{[^}]+\}/g, "(?!new$)[^/?]+")}$`).test(path.replace(/\?.*/, ""));

const examine = () => {
  const root = document.documentElement;
  const faults = [];
  const over = root.scrollWidth - root.clientWidth;
  if (over > 0) faults.push(`${over} px too wide`);
  if (document.querySelectorAll("h1").length !== 1) faults.push(`${document.querySelectorAll("h1").length} h1`);
  if (!document.querySelector("main") || !document.querySelector("header")) faults.push("landmarks missing");
  if (document.body.querySelector("a")?.className !== "skip") faults.push("the skip link is not first");
  if (document.querySelector("[style]")) faults.push("style attribute");
  if ([...document.querySelectorAll("*")].some((node) => node.getAttributeNames().some((name) => name.startsWith("on")))) faults.push("inline handler");
  if (!/^(\(\d+%\) )?.+ · Gatehouse$/.test(document.title)) faults.push(`title "${document.title}"`);
  for (const form of document.forms) {
    if (form.method !== "post") continue;
    for (const name of ["_csrf", "_once"]) if (!form.querySelector(`input[name=${name}]`)?.value) faults.push(`${form.getAttribute("action")} without ${name}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
  for (const id of new Set(ids.filter((id, at) => ids.indexOf(id) !== at))) faults.push(`id "${id}" twice`);
  return faults;
};

/** Sticky parts may lie over text by design; unstuck in a tall window axe can tell every colour. */
const runAxe = async (page, width) => {
  await page.evaluate(() => {
    for (const node of document.querySelectorAll("*")) {
      if (["sticky", "fixed"].includes(getComputedStyle(node).position)) node.style.position = "static";
    }
  });
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  await page.setViewport({ width, height: Math.min(Math.max(height + 200, 800), 12_000) });
  return page.evaluate(async (tags) => {
    const result = await window.axe.run(document, { runOnly: { type: "tag", values: tags }, resultTypes: ["violations", "incomplete"] });
    const said = (rules, word) => rules.map((rule) => `${word} ${rule.id} ×${rule.nodes.length} at ${rule.nodes[0].target.join(" ")}`);
    const ran = [...result.passes, ...result.violations, ...result.incomplete, ...result.inapplicable];
    const faults = [...said(result.violations, "axe:"), ...said(result.incomplete, "axe cannot tell:")];
    if (!ran.some((rule) => rule.id === "target-size")) faults.push("target-size did not run");
    return faults;
  }, TAGS);
};

const walk = async (page, url, status, faults) => {
  page.faults.length = 0;
  const client = await page.createCDPSession();
  await client.send("Network.enable");
  await client.send("Network.setCacheDisabled", { cacheDisabled: true });
  let wire = 0;
  client.on("Network.loadingFinished", (event) => { wire += event.encodedDataLength; });
  const foreign = [];
  const note = (request) => { if (!request.url().startsWith("data:") && new URL(request.url()).origin !== new URL(url).origin) foreign.push(request.url()); };
  page.on("request", note);
  await page.setViewport({ width: 1280, height: 800 });
  await dress(page, "light");
  const answer = await page.goto(url, { waitUntil: "load" });
  page.off("request", note);
  if (answer.status() !== status) faults.push(`status ${answer.status()}`);
  if (wire > WIRE) faults.push(`${wire} bytes over the wire`);
  faults.push(...foreign.map((it) => `asks ${it}`));
  await client.detach();
  await page.evaluate(axe);
  for (const width of [1280, 360]) {
    for (const theme of ["light", "dark"]) {
      await page.setViewport({ width, height: 800 });
      await dress(page, theme);
      const found = [...await page.evaluate(examine), ...await runAxe(page, width)];
      // The suite's own unsticking is a style attribute; the first look was before it.
      const own = width === 1280 && theme === "light" ? found : found.filter((it) => it !== "style attribute");
      faults.push(...own.map((it) => `${width} ${theme}: ${it}`));
    }
  }
  faults.push(...page.faults);
  return wire;
};

const first = (page, selector) => page.$eval(selector, (link) => link.getAttribute("href"));

/** An address for each page; made where it takes a form to get there. */
const addresses = async (page, site, ws) => {
  const w = `/w/${ws}`;
  const go = (path) => page.goto(site.url + path, { waitUntil: "load" });
  const found = ["/", "/settings", "/audit", "/people", "/workspaces", "/workspaces/new", w, `${w}/tenants`, `${w}/tenants/new`,
    `${w}/keys`, `${w}/keys/new`, `${w}/posts`, `${w}/plans/new`, `${w}/jobs`, `${w}/operations`, `${w}/audit`,
    `${w}/posts?q=nothing-is-like-this`, `${w}/audit?actor=nobody`, `${w}/posts?status=scheduled&select=matching`];
  await go("/audit");
  found.push(await first(page, "td a.quiet"));
  await go(`${w}/audit`);
  found.push(await first(page, "td a.quiet"));
  const tenant = `${w}/tenants/${site.tenants[0].id}`;
  found.push(tenant, `${tenant}/detach`, `${tenant}/erase`);
  await go(`${w}/keys?status=active`);
  const key = await first(page, "td.title a");
  found.push(key, `${key}/revoke`, `${key}/rotate`);
  for (const status of ["failed", "scheduled"]) {
    await go(`${w}/posts?status=${status}`);
    found.push(await first(page, "td.title a"));
  }
  await go(`${w}/jobs`);
  found.push(await first(page, "td.title a"));
  // A secret's page, once shown; its first showing is what a person sees.
  await go(tenant);
  await click(page, `form[action='${tenant}/link'] button`);
  found.push(new URL(page.url()).pathname);
  for (const action of ["delete", "reschedule", "resume"]) {
    await go(`${w}/posts?status=${action === "resume" ? "paused" : "scheduled"}&select=matching`);
    await click(page, `.bulk-buttons button[value=${action}]`);
    found.push(new URL(page.url()).pathname);
    if (action === "delete") found.push(`${new URL(page.url()).pathname}/tenants`);
  }
  // A paused job keeps its page as it is while it runs.
  await go(`${w}/posts?status=scheduled&select=matching`);
  await click(page, ".bulk-buttons button[value=pause]");
  if (await page.$("#f-reason[required]")) await page.type("#f-reason", "To be looked at");
  await click(page, "section.confirm form button");
  await press(page, "form[action$='/pause'] button");
  await page.waitForSelector("[data-job][data-state=paused]");
  const job = new URL(page.url()).pathname;
  found.push(job, `${job}/cancel`);
  await go(`${w}/audit?action=post.update`);
  await go(await first(page, "td a.quiet"));
  found.push(await first(page, "a[href*='/operations/']"));
  return found;
};

/** Every link of every page, a few pages of each kind. */
const crawl = async (page, site) => {
  const kind = (path) => path.replace(/=[^&]*/g, "").replace(/[0-9a-f-]{24,36}/g, "*").replace(/\/\d+/g, "/*");
  const [seen, kinds, bad] = [new Map([["/", "/"]]), new Map(), []];
  const waiting = ["/"];
  while (waiting.length) {
    const batch = waiting.splice(0, 6);
    const answers = await page.evaluate((paths) => Promise.all(paths.map(async (path) => {
      const aborter = new AbortController();
      const answer = await fetch(path, { signal: aborter.signal });
      if (!answer.headers.get("content-type")?.includes("html")) { aborter.abort(); return { path, status: answer.status, links: [] }; }
      const html = await answer.text();
      const links = [...html.matchAll(/ href="([^"]+)"/g)].map((match) => match[1].replace(/&(amp|#38);/g, "&"));
      return { path, status: answer.status, links };
    })), batch);
    for (const { path, status, links } of answers) {
      if (status >= 400) bad.push(`${status} ${path} from ${seen.get(path)}`);
      for (const link of links) {
        const to = link.replace(/#.*/, "");
        if (!to.startsWith("/") || to.startsWith("/static/") || seen.has(to)) continue;
        const n = (kinds.get(kind(to)) || 0) + 1;
        if (n > 8) continue;
        kinds.set(kind(to), n);
        seen.set(to, path);
        waiting.push(to);
      }
    }
  }
  none("dead links", bad);
  holds(`enough links: ${seen.size}`, seen.size > 100);
  return seen.size;
};

export const pages = async (browser, site, fresh, ws) => {
  const context = await browser.createBrowserContext();
  const page = await open(context);
  await login(page, site);

  await check("every number of the dashboard is that of the list it leads to", async () => {
    await page.goto(`${site.url}/`, { waitUntil: "load" });
    const rows = await page.$$eval(".rows:not(.jobs) li a:has(b.num), .tiles a.tile", (links) =>
      links.map((link) => ({ name: link.innerText.replace(/\s+/g, " "), count: link.querySelector("b").textContent, href: link.getAttribute("href") })));
    holds("tiles and rows", rows.length >= 5);
    const wrong = [];
    for (const row of rows) {
      await page.goto(site.url + row.href, { waitUntil: "load" });
      const line = await page.$("p.result") ? (await text(page, "p.result")).replace(/^.* of /, "") : "0";
      if (number(line) !== number(row.count)) wrong.push(`"${row.name}" leads to "${line}"`);
    }
    none("numbers that differ", wrong);
  });

  await check("no link is dead", () => crawl(page, site));

  const paths = await check("each page of the site map can be reached", async () => {
    const found = await addresses(page, site, ws);
    // Two are for strangers; and nobody is here but the owner, who cannot be erased.
    const elsewhere = ["/login", "/setup/{token}", "/people/{id}/erase"];
    none("pages without an address", siteMap().filter((route) => !elsewhere.includes(route) && !found.some((path) => matches(route, path))));
    return found;
  });
  for (const path of [...paths || [], `/w/${ws}/nothing-here`]) {
    const name = path.replace(ws, "*").replace(/[0-9a-f-]{24,36}/g, "*");
    await check(`page ${name}`, async () => {
      const faults = [];
      // Chromium calls a 404 an error of loading; that one is by design.
      await walk(page, site.url + path, path.endsWith("nothing-here") ? 404 : 200, faults);
      none("faults", [...new Set(faults)]);
    });
  }
  await context.close();

  const stranger = await browser.createBrowserContext();
  const door = await open(stranger);
  for (const [name, url] of [["/login", `${site.url}/login`], ["/setup/*", fresh.setup]]) {
    await check(`page ${name}`, async () => {
      const faults = [];
      await walk(door, url, 200, faults);
      none("faults", [...new Set(faults)]);
    });
  }
  await check("set-up: a weak password is refused, then the empty dashboard tells where to begin", async () => {
    await door.goto(fresh.setup, { waitUntil: "load" });
    await door.type("#f-name", "First Owner");
    await door.type("#f-email", "first@gate.example");
    await door.type("#f-password", "short");
    if ((await click(door, "main form .primary")).status() !== 422) fail("a short password was taken");
    await door.type("#f-password", "a sentence of several words");
    await click(door, "main form .primary");
    holds("steps are listed", await door.$(".steps li"));
    const faults = [];
    for (const path of ["/", "/workspaces", "/audit"]) await walk(door, fresh.url + path, 200, faults);
    none("faults", [...new Set(faults)]);
  });
  await stranger.close();
};
