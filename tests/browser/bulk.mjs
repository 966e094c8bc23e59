// Bulk work, as an operator does it: with and without JavaScript.

import { click, follow, login, number, open, press, text } from "./chromium.mjs";
import { sleep } from "./demo.mjs";
import { check, fail, holds, is, none } from "./report.mjs";

const counters = (page) => page.$$eval("dl.counters [data-job-n]", (nodes) =>
  Object.fromEntries(nodes.map((node) => [node.dataset.jobN, Number(node.textContent.replaceAll(",", ""))])));

const total = async (page, url) => {
  await page.goto(url, { waitUntil: "load" });
  // "1 to 50 of 452 · …" or, on one page, "12 posts · …".
  return await page.$("p.result") ? number((await text(page, "p.result")).replace(/^.* of /, "")) : 0;
};

/** Ends with the job's page of a job that has ended. Without scripts the page is asked again and again. */
const ended = async (page, seconds = 60) => {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(300)) {
    if (await page.$("[data-job]:not([data-events])")) return;
    if (!page.isJavaScriptEnabled()) await page.reload({ waitUntil: "load" });
  }
  fail("the job did not end");
};

const addsUp = async (page, wanted) => {
  const n = await counters(page);
  is("sum of the counters", Object.values(n).reduce((a, b) => a + b, 0), wanted);
  is("pending and running", n.pending + n.running, 0);
  return n;
};

const action = (page, name) => click(page, `.bulk-buttons button[value=${name}]`);
const confirm = "section.confirm form button";

/** Eight tabs look at a job; a ninth page is not kept waiting by their streams (ui.md B10). */
const manyTabs = async (context, job, other) => {
  const tabs = await Promise.all(Array.from({ length: 8 }, async () => {
    const tab = await open(context);
    await tab.goto(job, { waitUntil: "load" });
    return tab;
  }));
  const live = async () => (await Promise.all(tabs.map((tab) => text(tab, "[data-live]")))).filter((chip) => chip === "Live").length;
  for (const end = Date.now() + 5_000; Date.now() < end && await live() === 0; await sleep(100));
  const n = await live();
  holds(`streams of eight tabs: ${n}`, n >= 1 && n <= 4);
  const ninth = await open(context);
  const began = Date.now();
  await ninth.goto(other, { waitUntil: "load" });
  holds(`the ninth page took ${Date.now() - began} ms`, Date.now() - began < 2_000);
  for (const tab of tabs) none("complaints of a tab", tab.faults);
  await Promise.all([...tabs, ninth].map((tab) => tab.close()));
};

export const bulk = async (browser, site, ws) => {
  const context = await browser.createBrowserContext();
  const page = await open(context);
  await login(page, site);
  const posts = `${site.url}/w/${ws}/posts`;
  const [first, second, third, fourth] = site.tenants.map((tenant) => tenant.id);
  const list = `${posts}?tenant=${first}&tenant=${second}&status=scheduled&per=25`;

  await check("ticking: shift-click takes the range, the header box the page, a line offers all that match", async () => {
    const all = await total(page, list);
    holds(`enough posts to test with: ${all}`, all > 25);
    const boxes = await page.$$("tbody .tick input");
    is("rows", boxes.length, 25);
    const bar = "[data-bulk-bar]";
    is("bar before", await page.$eval(bar, (node) => getComputedStyle(node).display), "none");
    await boxes[2].click();
    await page.keyboard.down("Shift");
    await boxes[6].click();
    await page.keyboard.up("Shift");
    is("after shift-click", await text(page, "[data-bulk-count]"), "5 posts selected");
    holds("the buttons name the count", (await text(page, ".bulk-buttons button[value=delete]")).includes("Delete 5"));
    holds("the header box is in between", await page.$eval("[data-tick-all]", (box) => box.indeterminate));
    is("line before the whole page is ticked", await page.$eval(".select-line", (node) => getComputedStyle(node).display), "none");
    await page.click("[data-tick-all]");
    is("after the header box", await text(page, "[data-bulk-count]"), "25 posts selected");
    holds("the line offers all", (await text(page, ".select-line a")).includes(`Select all ${all}`));
    await page.click("[data-bulk-clear]");
    is("bar after clearing", await page.$eval(bar, (node) => getComputedStyle(node).display), "none");
  });

  await check("delete: all that match, preview, a wrong count is refused, live progress, gone from the list", async () => {
    const all = await total(page, list);
    const untouched = await total(page, posts) - all;
    await page.goto(list, { waitUntil: "load" });
    await page.click("[data-tick-all]");
    await click(page, ".select-line a");
    is("selected", await text(page, "[data-bulk-count]"), `All ${all} matching`);
    await (await page.$("tbody .tick input")).click();
    is("one left out", await text(page, "[data-bulk-count]"), `All ${all} matching but 1`);
    holds("the buttons name the rest", (await text(page, ".bulk-buttons button[value=delete]")).includes(`Delete ${all - 1}`));
    // On to the next page, where another is left out, and back.
    await click(page, ".pager button[name=after]");
    is("on the next page", await text(page, "[data-bulk-count]"), `All ${all} matching but 1`);
    await (await page.$("tbody .tick input")).click();
    is("two left out", await text(page, "[data-bulk-count]"), `All ${all} matching but 2`);
    await click(page, ".pager button[name=before]");
    is("back on the first page", await text(page, "[data-bulk-count]"), `All ${all} matching but 2`);
    holds("the box is as it was left", !(await page.$eval("tbody .tick input", (box) => box.checked)));
    // Back and Forward ask the server again.
    for (const way of ["goBack", "goForward"]) {
      await page[way]({ waitUntil: "load" });
      await page.waitForFunction((words) => document.querySelector("[data-bulk-count]")?.innerText.trim() === words, {}, `All ${all} matching but 2`);
    }
    await page.goto(page.url(), { waitUntil: "load" });
    await (await page.$("tbody .tick input")).click();
    await click(page, ".pager button[name=after]");
    await (await page.$("tbody .tick input")).click();
    is("none left out again", await text(page, "[data-bulk-count]"), `All ${all} matching`);
    await action(page, "delete");
    const words = await text(page, "code.typed");
    const count = number(words);
    holds(`the headline has the count: ${await text(page, "h1")}`, (await text(page, "h1")).startsWith(`Delete ${count} posts of 2 tenants.`));
    holds("focus does not start on the danger button", !await page.evaluate(() => document.activeElement.matches("button")));
    await page.type("#f-reason", "The browser suite tidies up");
    await page.type("#f-confirm", `delete ${count + 1}`);
    is("status of a wrong count", (await click(page, confirm)).status(), 422);
    holds("focus is on the summary", await page.evaluate(() => document.activeElement.matches(".summary[role=alert]")));
    holds("the title begins with Error", (await page.title()).startsWith("Error: "));
    is("reason kept", await page.$eval("#f-reason", (field) => field.value), "The browser suite tidies up");
    await page.$eval("#f-confirm", (field) => { field.value = ""; });
    // Keys of digits are enough, and a bare verb does not leave the browser.
    await page.type("#f-confirm", "delete");
    holds("a verb without a count is refused at once", await page.$eval("#f-confirm", (field) => field.inputMode === "numeric" && !field.checkValidity()));
    await page.$eval("#f-confirm", (field) => { field.value = ""; });
    await page.type("#f-confirm", number(words).toLocaleString("en"));
    await click(page, confirm);
    holds("at a job", /\/jobs\/[^/]+$/.test(new URL(page.url()).pathname));
    await page.evaluate(() => { window.sameDocument = true; });
    const seen = new Set();
    let live = false;
    for (const end = Date.now() + 60_000; Date.now() < end && await page.$("[data-job][data-events]"); await sleep(150)) {
      seen.add((await counters(page)).succeeded);
      live ||= await page.$eval("[data-live]", (chip) => chip.textContent === "Live").catch(() => false);
    }
    holds("the page was live", live);
    holds(`the counters moved: ${[...seen].join(", ")}`, seen.size >= 3);
    holds("the page was not loaded again", await page.evaluate(() => window.sameDocument === true));
    const n = await addsUp(page, all);
    is("deleted or gone", n.succeeded + n.gone, count);
    holds("the title has no percentage at the end", !/^\(\d+%\)/.test(await page.title()));
    is("left of the list", await total(page, list), all - count);
    is("all other posts", await total(page, posts) - (all - count), untouched);
    none("complaints", page.faults);
  });

  await check("a double click on confirm makes one job", async () => {
    await page.goto(`${posts}?tenant=${third}&status=scheduled`, { waitUntil: "load" });
    for (const box of (await page.$$("tbody .tick input")).slice(0, 3)) await box.click();
    await action(page, "reschedule");
    const plan = page.url();
    const sent = [];
    const note = (request) => { if (request.method() === "POST") sent.push(request.url()); };
    page.on("request", note);
    const form = await page.$eval(`${confirm}`, (button) => Object.fromEntries(new FormData(button.form)));
    await follow(page, () => page.click(confirm, { count: 2, delay: 20 }));
    page.off("request", note);
    const job = page.url().replace(/\?.*/, "");
    is("forms sent by two clicks", sent.length, 1);
    // The same form once more, past the script: the server has the last word.
    const again = await page.evaluate(async (url, body) => {
      const answer = await fetch(`${url}/confirm`, { method: "POST", body: new URLSearchParams(body) });
      return answer.url.replace(/\?.*/, "");
    }, plan, form);
    is("answer to the same form", again, job);
    await ended(page);
    await page.goto(plan, { waitUntil: "load" });
    is("the plan's job", await page.$eval(".banner.ok a", (link) => link.href), job);
  });

  await check("pause and resume: paused posts are marked, resuming brings them back", async () => {
    const scheduled = `${posts}?tenant=${third}&status=scheduled`;
    const paused = `${posts}?tenant=${third}&status=paused`;
    await page.goto(scheduled, { waitUntil: "load" });
    for (const box of (await page.$$("tbody .tick input")).slice(0, 3)) await box.click();
    await action(page, "pause");
    holds("a pause of three posts of one tenant goes straight to its job", /\/jobs\/[^/]+$/.test(new URL(page.url()).pathname));
    await ended(page);
    const [before, marked] = [await total(page, scheduled), await total(page, paused)];
    holds("they are marked", marked >= 3);
    let [resumed, left] = [0, -1];
    // What was paused a moment ago is skipped as changed until the mirror has read it again.
    for (const end = Date.now() + 30_000; left !== 0 && Date.now() < end;) {
      const all = marked - resumed;
      await page.goto(`${paused}&select=matching`, { waitUntil: "load" });
      await action(page, "resume");
      const count = number(await text(page, "h1"));
      const words = await page.$("code.typed") && await text(page, "code.typed");
      if (words) await page.type("#f-confirm", words);
      if (await page.$("#f-reason[required]")) await page.type("#f-reason", "On again");
      await click(page, confirm);
      await ended(page);
      const n = await addsUp(page, all);
      resumed += n.succeeded;
      left = count - n.succeeded;
    }
    is("left of what was to be resumed", left, 0);
    is("scheduled again", await total(page, scheduled), before + resumed);
    is("still paused", await total(page, paused), marked - resumed);
    none("complaints", page.faults);
  });

  await check("reschedule: the shift is previewed and arrives", async () => {
    await page.goto(`${posts}?tenant=${fourth}&status=scheduled&from=2026-01-01T00:00`, { waitUntil: "load" });
    for (const box of (await page.$$("tbody .tick input")).slice(-3)) await box.click();
    await action(page, "reschedule");
    await page.click("input[name=mode][value=shift]");
    await page.$eval("#f-amount", (field) => { field.value = "3"; });
    await page.select("#unit", "days");
    await click(page, "form[action$='/options'] button");
    const times = await page.$$eval("#items ~ .panel tbody tr", (rows) => rows.map((row) => ({
      post: row.querySelector("td.title a").href, times: [...row.querySelectorAll("time")].map((time) => Date.parse(time.dateTime)),
    })));
    is("rows", times.length, 3);
    for (const row of times) is("shift in hours", (row.times[1] - row.times[0]) / 3_600_000, 72);
    await click(page, confirm);
    await ended(page);
    is("moved", (await addsUp(page, 3)).succeeded, 3);
    await page.goto(times[0].post, { waitUntil: "load" });
    const now = await page.$$eval(".facts > div", (rows) =>
      Date.parse(rows.find((row) => row.textContent.includes("Scheduled")).querySelector("time").dateTime));
    is("the post's time", Math.abs(now - times[0].times[1]) < 15 * 60_000, true);
    none("complaints", page.faults);
  });

  await check("a list: bad lines are told, a time zone is kept, a missing time is refused", async () => {
    await page.goto(`${site.url}/w/${ws}/plans/new`, { waitUntil: "load" });
    await page.type("#f-list", "nonsense\n");
    await page.select("#action", "reschedule");
    is("status", (await click(page, "main form button.primary")).status(), 422);
    holds("the line is told", (await text(page, "main")).includes("is not the id of a post"));
    await page.goto(`${posts}?tenant=${fourth}&status=scheduled`, { waitUntil: "load" });
    for (const box of (await page.$$("tbody .tick input")).slice(0, 2)) await box.click();
    await action(page, "reschedule");
    await page.click("input[name=mode][value=set]");
    await page.$eval("#f-zone", (field) => { field.value = "Europe/Berlin"; });
    await page.$eval("#f-at", (field) => { field.value = "2030-03-31T02:30"; });
    is("a time that does not exist", (await click(page, "form[action$='/options'] button")).status(), 422);
    holds("why", (await text(page, ".summary")).includes("does not exist in Europe/Berlin"));
    await page.$eval("#f-at", (field) => { field.value = "2030-03-31T03:30"; });
    await click(page, "form[action$='/options'] button");
    holds("both clocks are shown", (await text(page, "#items ~ .panel tbody")).includes("03:30 CEST"));
    none("complaints", page.faults);
  });

  await check("a running job is paused, shows it, and is resumed or cancelled from its page", async () => {
    await page.goto(`${posts}?status=scheduled&select=matching`, { waitUntil: "load" });
    await action(page, "pause");
    if (await page.$("#f-reason[required]")) await page.type("#f-reason", "Pause it midway");
    await click(page, confirm);
    const wanted = Object.values(await counters(page)).reduce((a, b) => a + b, 0);
    await press(page, "form[action$='/pause'] button");
    await page.waitForSelector("[data-job][data-state=paused]");
    const n = await counters(page);
    holds("some are left", n.pending > 0);
    await sleep(1_000);
    is("nothing happens while paused", (await counters(page)).pending, n.pending);
    await manyTabs(context, page.url(), posts);
    await page.bringToFront();
    await press(page, "form[action$='/resume'] button");
    await ended(page);
    await addsUp(page, wanted);
    none("complaints", page.faults);
  });

  await check("what a job has paused is resumed from its page, and the two jobs name each other", async () => {
    const parent = page.url().replace(/\?.*/, "");
    const button = "form[action$='/follow'] button[value=undo]";
    const offered = number(await text(page, button));
    holds("some can be resumed", offered > 0);
    await click(page, button);
    holds(`the preview is of a resume: ${await text(page, "h1")}`, (await text(page, "h1")).startsWith("Resume "));
    const words = await page.$("code.typed") && await text(page, "code.typed");
    if (words) await page.type("#f-confirm", words);
    if (await page.$("#f-reason[required]")) await page.type("#f-reason", "On again");
    await click(page, confirm);
    const child = page.url().replace(/\?.*/, "");
    await ended(page);
    holds("most are scheduled again", (await addsUp(page, offered)).succeeded > offered / 2);
    is("made from", await page.$eval("dl.facts a[href*='/jobs/']", (link) => link.href), parent);
    await page.goto(parent, { waitUntil: "load" });
    is("followed by", await page.$eval("dl.facts a[href*='/jobs/']", (link) => link.href), child);
    none("complaints", page.faults);
  });

  await check("a banner tells how a job ended, until it is seen or dismissed; the filters stay", async () => {
    const filtered = `${posts}?tenant=${fourth}&status=scheduled&per=25`;
    await page.goto(filtered, { waitUntil: "load" });
    while (await page.$("main > .banner form")) await click(page, "main > .banner form button");
    for (const end of ["a[href*='/jobs/']", "form button"]) {
      await page.goto(filtered, { waitUntil: "load" });
      await (await page.$$("tbody .tick input")).at(-1).click();
      // Sent without looking at the job.
      await page.evaluate(async () => {
        const form = document.querySelector("#bulk");
        const body = new URLSearchParams(new FormData(form, form.querySelector("button[value=pause]")));
        await fetch(form.getAttribute("action"), { method: "POST", body, redirect: "manual" });
      });
      let banner = null;
      for (const stop = Date.now() + 20_000; !banner && Date.now() < stop; await sleep(200)) {
        await page.goto(filtered, { waitUntil: "load" });
        banner = await page.$("main > .banner[role=status]:has(form)");
      }
      if (!banner) fail("no banner came");
      holds(`it says ${await text(page, "main > .banner")}`, (await text(page, "main > .banner")).startsWith("Job “Pause 1 post” finished: 1 "));
      await click(page, `main > .banner ${end}`);
      if (end.endsWith("button")) is("address", page.url(), filtered);
      else holds("at the job", page.url().includes("/jobs/"));
      await page.goto(filtered, { waitUntil: "load" });
      holds("the banner is gone", !(await page.$("main > .banner:has(form)")));
    }
    none("complaints", page.faults);
  });

  await check("jobs are found by state and action, and a filter that finds none says so", async () => {
    const jobs = `${site.url}/w/${ws}/jobs`;
    await page.goto(`${jobs}?state=completed`, { waitUntil: "load" });
    holds("some have completed", (await page.$$("tbody tr")).length >= 3);
    await page.select("#action", "reschedule");
    await click(page, "form.filters button");
    is("state kept", new URL(page.url()).searchParams.get("state"), "completed");
    const titles = await page.$$eval("td.title a", (links) => links.map((link) => link.textContent));
    holds(`only reschedules: ${titles.join(", ")}`, titles.length > 0 && titles.every((title) => title.startsWith("Reschedule")));
    await page.goto(`${jobs}?state=stopped`, { waitUntil: "load" });
    holds("nothing was stopped", (await text(page, "main")).includes("No job matches"));
    none("complaints", page.faults);
  });
  await context.close();
};

/** The same road with scripts off: every step is a form and a page. */
export const withoutScripts = async (browser, site, ws) => {
  const context = await browser.createBrowserContext();
  const page = await open(context, { js: false });
  await check("JavaScript off: login, tick, preview, refuse, confirm, end of the job, gone from the list", async () => {
    const tenant = site.tenants[5].id;
    const list = `/w/${ws}/posts?tenant=${tenant}&status=scheduled`;
    await login(page, site, list);
    const all = await total(page, site.url + list);
    const none_ = await action(page, "delete");
    holds("nothing ticked is refused", none_.status() >= 400 && none_.status() < 500);
    holds("and it says so", (await text(page, "main")).includes("Select at least one post"));
    await page.goto(site.url + list, { waitUntil: "load" });
    const boxes = await page.$$("tbody .tick input");
    for (const box of boxes.slice(0, 12)) await box.click();
    await action(page, "delete");
    const words = await text(page, "code.typed");
    const count = number(words);
    await page.type("#f-reason", "Without scripts");
    await page.type("#f-confirm", `${count + 1}`);
    is("status of a wrong count", (await click(page, confirm)).status(), 422);
    is("first link of the summary", await page.$eval(".summary a", (link) => link.getAttribute("href")), "#f-confirm");
    await page.$eval("#f-confirm", (field) => { field.value = ""; });
    await page.type("#f-confirm", words);
    await click(page, confirm);
    const job = page.url().replace(/\?.*/, "");
    if (await page.$("[data-job][data-events]")) {
      const links = await page.$$eval(".nojs-only a", (nodes) => nodes.map((node) => node.textContent.trim()));
      is("links that refresh", links[0], "Refresh now");
      await page.goto(`${job}?refresh=5`, { waitUntil: "load" });
      if (await page.$("[data-job][data-events]")) {
        holds("it refreshes itself when asked", /http-equiv="refresh" content="5"/.test(await page.content()));
      }
      await page.goto(job, { waitUntil: "load" });
    }
    await ended(page);
    const n = await addsUp(page, 12);
    is("deleted", n.succeeded + n.gone, count);
    is("left of the list", await total(page, site.url + list), all - count);
    none("complaints", page.faults);
  });
  await context.close();
};
