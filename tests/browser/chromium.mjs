// A Chromium of our own, and what its pages complain about.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import puppeteer from "puppeteer-core";

export const launch = async () => {
  const profile = await mkdtemp(join(tmpdir(), "gatehouse-chromium-"));
  const browser = await puppeteer.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    headless: "shell",
    userDataDir: profile,
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
    ],
  });
  const stop = async () => {
    await browser.close().catch(() => {});
    await rm(profile, { recursive: true, force: true, maxRetries: 3 });
  };
  return { browser, stop };
};

/** The system's theme, as a page is told; without transitions, so that colours can be read at once. */
export const dress = (page, theme) => page.emulateMediaFeatures([
  { name: "prefers-color-scheme", value: theme }, { name: "prefers-reduced-motion", value: "reduce" },
]);

/** A page at a width and theme that keeps a list of what went wrong on it. */
export const open = async (context, { width = 1280, height = 800, theme = "light", js = true } = {}) => {
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  await page.setViewport({ width, height });
  await dress(page, theme);
  if (!js) await page.setJavaScriptEnabled(false);
  page.faults = [];
  const fault = (kind, text) => page.faults.push(`${kind} on ${new URL(page.url()).pathname}: ${text.slice(0, 160)}`);
  page.on("console", (message) => {
    const text = message.text();
    if (/Content Security Policy|Trusted/.test(text)) fault("CSP report", text);
    // A refused form or a missing page answers 4xx by design; Chromium calls that an error of loading.
    else if (message.type() === "error" && !(message.location().url === page.url() && /status of 4\d\d/.test(text))) fault("console error", text);
  });
  page.on("pageerror", (error) => fault("script error", error.message));
  return page;
};

/** Does what leads to a new page; its main answer. */
export const follow = async (page, act) => {
  const [answer] = await Promise.all([page.waitForNavigation({ waitUntil: "load" }), act()]);
  return answer;
};

export const click = (page, selector) => follow(page, () => page.click(selector));

/** Clicks on a page that draws itself anew as it goes, in one step. */
export const press = (page, selector) => follow(page, () => page.$eval(selector, (button) => button.click()));

/** The visible text of the first match, on one line. */
export const text = (page, selector) =>
  page.$eval(selector, (node) => node.innerText.replace(/\s+/g, " ").trim());

export const number = (text) => Number(text.replaceAll(",", "").match(/\d+/)?.[0]);

export const login = async (page, site, next = "/") => {
  await page.goto(site.url + next, { waitUntil: "load" });
  if (!new URL(page.url()).pathname.startsWith("/login")) return null;
  await page.type("#f-email", site.admin.email);
  await page.type("#f-password", site.admin.password);
  return click(page, "button.primary");
};
