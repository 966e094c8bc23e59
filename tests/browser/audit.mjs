// The audit log (ui.md A1 to A5), with scripts and without: a search, its chips, folded jobs, an entry and its proof. The
// export alone makes an entry.

import { click, follow, login, number, open, text } from "./chromium.mjs";
import { check, holds, none } from "./report.mjs";

const query = (page) => new URL(page.url()).searchParams.get("q");

const walk = async (page, site, ws, how) => {
  const list = `${site.url}/w/${ws}/audit`;
  const go = (more) => page.goto(`${list}${more}`, { waitUntil: "load" });
  const rows = () => page.$$eval("tbody tr", (found) => found.map((row) => row.innerText.replace(/\s+/g, " ")));
  const counted = async () => number(await text(page, "section[aria-labelledby=export] p"));
  await check(`audit, ${how}: a search finds what it says, and the form writes into it`, async () => {
    await go("");
    const all = await counted();
    await page.type("#q", "action:post -outcome:intent");
    await click(page, ".audit-search button.primary");
    holds(`the search is ${query(page)}`, query(page) === "action:post -outcome:intent");
    const some = await counted();
    holds(`${some} of ${all} entries match`, some > 0 && some < all);
    const chips = await page.$$eval(".chips .chip", (found) => found.map((chip) => chip.innerText.trim()));
    holds(`the chips are ${chips}`, chips.join() === "action:post,-outcome:intent");
    // A wide page shows the form without its button.
    if (!(await page.$eval("#outcome", (field) => field.checkVisibility()))) await page.click(".audit-search .filter-box > summary");
    await page.select("#outcome", "succeeded");
    await click(page, ".audit-search button.primary");
    const box = await page.$eval("#q", (field) => field.value);
    holds(`the box says ${box}`, box === "action:post -outcome:intent outcome:succeeded");
    holds("another outcome is shown", (await page.$$eval("td[data-label=Outcome]", (cells) => cells.map((c) => c.innerText))).every((o) => o.includes("Success")));
    await follow(page, () => page.$$eval(".chips .chip", (links) => links.find((link) => link.innerText.includes("-outcome")).click()));
    holds(`left with ${query(page)}`, query(page) === "action:post outcome:succeeded");
  });
  await check(`audit, ${how}: a mistake is named, and what matches nothing says so`, async () => {
    const answer = await go(`?q=${encodeURIComponent("colour:red")}`);
    holds(`${answer.status()}`, answer.status() === 422 && (await text(page, ".summary")).includes("“colour:”"));
    holds("the search is lost", await page.$eval("#q", (field) => field.value) === "colour:red");
    await go("?q=nothing-is-like-this");
    holds("it does not say that no entry matches", (await text(page, ".empty")).startsWith("No entry matches"));
    await click(page, ".empty a, .panel a.btn");
    holds("a cleared search shows nothing", (await rows()).length > 0);
  });
  await check(`audit, ${how}: the help lists the qualifiers`, async () => {
    await go("");
    await page.click(".search-help > summary");
    holds("it is not seen", await page.$eval(".search-help dl", (list) => list.checkVisibility()));
    holds("a qualifier is missing", (await text(page, ".search-help")).includes("created:2026-03-01..2026-03-15"));
  });
  await check(`audit, ${how}: pages lie next to each other`, async () => {
    await go("?fold=no");
    const numbers = () => page.$$eval("td[data-label=Time] a", (links) => links.map((link) => link.pathname));
    const first = await numbers();
    await click(page, "a[rel=next]");
    const second = await numbers();
    holds("an entry stands on two pages", second.length > 0 && second.every((path) => !first.includes(path)));
    await click(page, "a[rel=prev]");
    holds("the way back leads elsewhere", (await numbers()).join() === first.join());
  });
  await check(`audit, ${how}: a job is one line, until it is unfolded`, async () => {
    await go(`?q=${encodeURIComponent("action:post")}`);
    const folded = await page.$("td[data-label=Target] a[href*='job%3A']");
    holds("no job is folded", folded);
    const says = number(await page.evaluate((link) => link.innerText, folded));
    await follow(page, () => page.evaluate((link) => link.click(), folded));
    holds(`${query(page)}`, query(page).includes("job:"));
    holds("unfolded, it has another number", (await counted()) === says);
    holds("it is still folded", !(await page.$("td[data-label=Target] a[href*='job%3A']")));
  });
  await check(`audit, ${how}: an entry has what belongs to it, and its proof`, async () => {
    await click(page, "td[data-label=Time] a");
    holds("there is no other entry of the change", (await page.$$("table caption")).length > 0);
    holds("the proof is not told of", /signed/.test(await text(page, "section[aria-labelledby=proof]")));
    const url = `${page.url()}/proof.json`;
    const proof = await page.evaluate(async (url) => (await fetch(url)).json(), url).catch(() => null);
    if (proof) holds("the proof is not one", proof.line.entry.v === 1 && proof.seq === proof.line.entry.seq);
  });
  await check(`audit, ${how}: nothing went wrong on the way`, () => none("faults", page.faults));
};

export const audit = async (browser, site, ws) => {
  for (const js of [true, false]) {
    const context = await browser.createBrowserContext();
    const page = await open(context, { js });
    await login(page, site, "/");
    await walk(page, site, ws, js ? "with scripts" : "without scripts");
    await context.close();
  }
};
