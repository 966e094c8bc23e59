// The filters of the posts list (ui.md 1.6 P1 to P5), with scripts and without. Changes nothing.

import { click, follow, login, number, open, text } from "./chromium.mjs";
import { check, holds, none } from "./report.mjs";

const params = (page) => new URL(page.url()).searchParams;

const walk = async (page, site, ws, how) => {
  const list = `${site.url}/w/${ws}/posts`;
  const go = (query) => page.goto(`${list}${query}`, { waitUntil: "load" });
  await check(`filters, ${how}: a form finds what it says and shows it as chips`, async () => {
    await go("?sort=-updated&per=25");
    const all = number((await text(page, "[data-bulk-result]")).split(" of ").pop());
    // A wide page shows the form without its button.
    if (!(await page.$eval("#q", (field) => field.checkVisibility()))) await page.click(".filter-box > summary");
    await page.$$eval(".filter-box details.menu > summary", (menus) => menus.find((menu) => menu.innerText.startsWith("More")).click());
    await page.select("#media", "with");
    await page.$eval("input[name=status][value=scheduled]", (box) => { box.checked = true; });
    await page.$eval("input[name=status][value=failed]", (box) => { box.checked = true; });
    await click(page, ".filters button.primary");
    holds(`the address says ${page.url()}`, params(page).getAll("status").join() === "scheduled,failed" && params(page).get("media") === "with");
    holds("order and page size are lost", params(page).get("sort") === "-updated" && params(page).get("per") === "25");
    const chips = await page.$$eval(".chips .chip", (found) => found.map((chip) => chip.innerText.trim()));
    holds(`the chips are ${chips}`, ["status Scheduled", "status Failed", "with media"].every((words) => chips.some((chip) => chip.includes(words))));
    const some = number((await text(page, "[data-bulk-result]")).split(" of ").pop());
    holds(`${some} of ${all} posts match`, some > 0 && some < all);
  });
  await check(`filters, ${how}: a chip that is taken away leaves the rest, from the first page`, async () => {
    const at = new URL(page.url());
    await follow(page, () => page.$$eval(".chips .chip", (links) => links.find((link) => link.innerText.includes("Failed")).click()));
    holds(`left with ${page.url()}`, params(page).getAll("status").join() === "scheduled" && params(page).get("media") === "with");
    holds(`came from ${at.search} to ${page.url()}`, params(page).get("sort") === "-updated" && params(page).get("per") === "25" && !params(page).has("after"));
  });
  await check(`filters, ${how}: order and pages`, async () => {
    await go("?per=25");
    holds("the order is not told", await page.$eval("th[aria-sort]", (head) => head.getAttribute("aria-sort")) === "ascending");
    const first = await page.$$eval("td.title a", (links) => links.map((link) => link.pathname));
    holds(`${first.length} rows`, first.length === 25);
    await click(page, "a[rel=next]");
    const second = await page.$$eval("td.title a", (links) => links.map((link) => link.pathname));
    holds("a post stands on two pages", second.every((path) => !first.includes(path)));
    await click(page, "th[aria-sort] a");
    holds("another order begins in the middle", !params(page).has("after"));
  });
  await check(`filters, ${how}: what is no filter is an error, and what matches nothing says so`, async () => {
    for (const query of ["?status=nope", "?platform=myspace", "?media=some", "?when=later", "?created_from=x", "?per=7", "?sort=size"]) {
      const answer = await go(query);
      holds(`${query}: ${answer.status()}`, answer.status() === 400 && (await text(page, ".summary")).startsWith("This filter cannot be used"));
    }
    await go("?q=nothing-is-like-this");
    holds("it does not say that no post matches", (await text(page, ".empty")).startsWith("No post matches"));
    await click(page, ".empty a, .panel a.btn");
    holds("cleared filters show nothing", (await page.$$("tbody tr")).length > 0);
  });
  await check(`filters, ${how}: nothing went wrong on the way`, () => none("faults", page.faults));
};

export const filters = async (browser, site, ws) => {
  for (const js of [true, false]) {
    const context = await browser.createBrowserContext();
    const page = await open(context, { js });
    await login(page, site, "/");
    await walk(page, site, ws, js ? "with scripts" : "without scripts");
    await context.close();
  }
};
