// Single keys on the pages (ui.md 2.6), and the preferences that go with them. Leaves both as they were.

import { click, follow, login, open, text } from "./chromium.mjs";
import { check, holds, is, none } from "./report.mjs";

const count = (page) => page.$$eval("tbody .tick input", (boxes) => boxes.filter((box) => box.checked).length);
const row = (page) => page.evaluate(() =>
  [...document.querySelectorAll("tbody tr")].indexOf(document.activeElement.closest("tbody tr")));

export const keys = async (browser, site, ws) => {
  const context = await browser.createBrowserContext();
  const page = await open(context);
  await login(page, site);
  const list = `${site.url}/w/${ws}/posts?per=25`;
  const press = async (...all) => { for (const key of all) await page.keyboard.press(key); };
  const sent = [];
  page.on("request", (request) => { if (request.method() === "POST") sent.push(request.url()); });

  await check("keys: along the rows, ticking one, a range and the page, clearing", async () => {
    await page.goto(list, { waitUntil: "load" });
    await press("j");
    is("row after j", await row(page), 0);
    await press("j", "j", "k");
    is("row after j j k", await row(page), 1);
    holds("the focus is seen", await page.evaluate(() => document.activeElement.matches("td.title a:focus-visible")));
    await press("x");
    is("ticked", await count(page), 1);
    await press("j", "j");
    await page.keyboard.down("Shift");
    await press("X");
    await page.keyboard.up("Shift");
    is("after Shift+x", await text(page, "[data-bulk-count]"), "3 posts selected");
    await press("Escape");
    is("after Esc", await count(page), 0);
    await press("*");
    is("after *", await count(page), 25);
    await press("Escape");
  });

  await check("keys: nothing in fields, nothing with Ctrl, / searches, ? explains, o opens", async () => {
    await press("/");
    is("the focused field", await page.evaluate(() => document.activeElement.id), "q");
    await page.keyboard.type("jx*o?");
    is("the field has them", await page.$eval("#q", (field) => field.value), "jx*o?");
    is("ticked", await count(page), 0);
    await page.evaluate(() => document.activeElement.blur());
    await press("j");
    for (const modifier of ["Control", "Alt"]) {
      await page.keyboard.down(modifier);
      await press("x");
      await page.keyboard.up(modifier);
    }
    is("ticked with Ctrl and Alt", await count(page), 0);
    await press("?");
    holds("the help is open", await page.$eval("#keys", (box) => box.open));
    await press("x", "j");
    is("nothing happens behind it", await count(page), 0);
    await press("Escape");
    holds("the help is closed", !(await page.$eval("#keys", (box) => box.open)));
    const post = await page.evaluate(() => document.activeElement.href);
    await follow(page, () => press("o"));
    is("opened", page.url(), post);
    none("forms that keys have sent", sent);
  });

  await check("preferences: the browser's zone is offered, times follow it, keys can be off", async () => {
    await page.emulateTimezone("Asia/Tokyo");
    await page.goto(`${site.url}/settings`, { waitUntil: "load" });
    const save = "form[action='/settings/preferences'] .actions button";
    is("offered", await text(page, "[data-own-zone]"), "Use Asia/Tokyo, as this browser");
    await page.click("[data-own-zone]");
    await page.click("input[name=shortcuts][value=off]");
    await click(page, save);
    holds("saved", (await text(page, "main")).includes("Saved."));
    await page.goto(list, { waitUntil: "load" });
    const times = await page.$$eval("td[data-label=Scheduled] time", (nodes) => nodes.map((node) => node.textContent));
    holds(`labelled times: ${times[0]}`, times.length > 0 && times.every((time) => time.endsWith("JST")));
    await press("j", "x", "?");
    is("ticked", await count(page), 0);
    holds("there is no help to open", !(await page.$("#keys")));
    await page.goto(`${site.url}/settings`, { waitUntil: "load" });
    await page.$eval("#f-zone", (field) => { field.value = "Nowhere/Land"; });
    is("a zone that is none", (await click(page, save)).status(), 422);
    is("first link of the summary", await page.$eval(".summary a", (link) => link.getAttribute("href")), "#f-zone");
    await page.$eval("#f-zone", (field) => { field.value = "UTC"; });
    await page.click("input[name=shortcuts][value=on]");
    await click(page, save);
    await page.emulateTimezone("UTC");
    none("complaints", page.faults);
  });

  await check("saved views: filters under a name, opened, replaced, removed", async () => {
    await page.goto(`${list}&status=failed&sort=-updated`, { waitUntil: "load" });
    const menu = async () => { await page.click(".views > summary"); };
    await menu();
    await page.type("#view-name", "Failed ones");
    await click(page, ".views form.save button");
    holds("still filtered", new URL(page.url()).searchParams.get("status") === "failed");
    await page.goto(`${site.url}/w/${ws}/posts`, { waitUntil: "load" });
    is("views", await text(page, ".views > summary"), "Views (1)");
    await menu();
    await follow(page, () => page.$$eval(".views a", (links) => links.find((link) => link.textContent.includes("Failed ones")).click()));
    const found = new URL(page.url()).searchParams;
    is("what it opens", `${found.get("status")} ${found.get("sort")} ${found.get("per")}`, "failed -updated 25");
    is("it is marked", await page.$eval(".views a[aria-current]", (link) => link.textContent.trim()), "Failed ones");
    await menu();
    await click(page, ".views form[action$='/delete'] button");
    is("views after", await text(page, ".views > summary"), "Views");
    none("complaints", page.faults);
  });
  await context.close();
};
