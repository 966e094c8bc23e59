// Getting in and out, and a key's whole life.

import { click, follow, login, open, text } from "./chromium.mjs";
import { sleep } from "./demo.mjs";
import { check, fail, holds, is, none } from "./report.mjs";

export const call = (site, key, path) => fetch(site.url + path, { headers: { "x-api-key": key } });

export const people = async (browser, site, ws) => {
  await check("login: a wrong password keeps the e-mail and says what is wrong", async () => {
    const context = await browser.createBrowserContext();
    const page = await open(context);
    await page.goto(`${site.url}/login`, { waitUntil: "load" });
    is("the focused field", await page.evaluate(() => document.activeElement.id), "f-email");
    await page.type("#f-email", site.admin.email);
    await page.type("#f-password", "not the password");
    is("status", (await click(page, "button.primary")).status(), 401);
    holds("the title begins with Error", (await page.title()).startsWith("Error: "));
    is("e-mail", await page.$eval("#f-email", (field) => field.value), site.admin.email);
    is("password", await page.$eval("#f-password", (field) => field.value), "");
    holds("focus is on the summary", await page.evaluate(() => document.activeElement.matches("[role=alert]")));
    await context.close();
  });

  await check("login: back to the page that was asked for, with its filters", async () => {
    const context = await browser.createBrowserContext();
    const page = await open(context);
    const wanted = `/w/${ws}/posts?status=draft&per=25`;
    await login(page, site, wanted);
    const now = new URL(page.url());
    is("address", now.pathname + now.search, wanted);
    await page.goto(`${site.url}/login?next=//example.org`, { waitUntil: "load" });
    is("foreign next", new URL(page.url()).pathname, "/");
    await context.close();
  });

  await check("logout: Back shows nothing", async () => {
    const context = await browser.createBrowserContext();
    const page = await open(context);
    await login(page, site, `/w/${ws}/tenants`);
    const tenant = site.tenants[0].name;
    holds("the tenant is shown before", (await page.content()).includes(tenant.split(" ")[0]));
    await page.click(".account > summary");
    await click(page, "form[action='/logout'] button");
    is("after logout", new URL(page.url()).pathname, "/login");
    // From memory or from the server, whichever the browser likes.
    await page.goBack({ waitUntil: "load" }).catch(() => {});
    for (const end = Date.now() + 5_000; Date.now() < end && new URL(page.url()).pathname !== "/login"; await sleep(50)) {
      holds("nothing is shown meanwhile", await page.evaluate(() => !document.body?.innerText.trim()).catch(() => true));
    }
    is("after Back", new URL(page.url()).pathname, "/login");
    holds("nothing of the tenant is shown", !(await page.content()).includes(tenant.split(" ")[0]));
    none("complaints", page.faults);
    await context.close();
  });

  await check("key: made, shown once, explained after a reload, used, revoked", async () => {
    const context = await browser.createBrowserContext();
    const page = await open(context);
    await login(page, site, `/w/${ws}/keys/new`);
    const tenant = site.tenants[0];
    await page.type("#f-name", "Browser suite");
    await page.select("#f-tenant", tenant.id);
    is("without a scope", (await click(page, "main form .primary")).status(), 422);
    is("name kept", await page.$eval("#f-name", (field) => field.value), "Browser suite");
    is("tenant kept", await page.$eval("#f-tenant", (field) => field.value), tenant.id);
    await page.click("input[name=scopes][value='posts:read']");
    const answer = await click(page, "main form .primary");
    holds("the secret is not stored by browsers", answer.headers()["cache-control"]?.includes("no-store"));
    const secret = await page.$eval("#secret", (field) => field.value);
    holds("it looks like a tenant key", secret.startsWith("sk_ght_"));
    const used = await call(site, secret, "/api/v1/list-posts?limit=1");
    is("status of a call", used.status, 200);
    is("posts in the answer", (await used.json()).posts.length, 1);
    await page.reload({ waitUntil: "load" });
    holds("the secret is gone", !(await page.content()).includes(secret));
    holds("the page explains", (await text(page, "h1")).includes("already shown"));
    await click(page, "main .actions a.primary");
    const address = page.url().includes("/keys/") ? page.url() : await page.$$eval("td.title a", (links) =>
      links.find((link) => link.textContent === "Browser suite").href);
    await page.goto(address, { waitUntil: "load" });
    is("heading", await text(page, "h1"), "Browser suite");
    await click(page, "a.danger");
    await click(page, "main form button.danger");
    const deadline = Date.now() + 3_000;
    let status = 0;
    while (status !== 401 && Date.now() < deadline) status = (await call(site, secret, "/api/v1/list-posts?limit=1")).status;
    is("status after revoking", status, 401);
    await page.goto(address, { waitUntil: "load" });
    holds("it stays listed as revoked", (await text(page, ".sub")).includes("Revoked"));
    none("complaints", page.faults);
    await context.close();
  });

  await check("a session that was revoked elsewhere is out at once", async () => {
    const [here, there] = [await browser.createBrowserContext(), await browser.createBrowserContext()];
    const [page, other] = [await open(here), await open(there)];
    await login(page, site, "/settings");
    await login(other, site, "/settings");
    const revoke = "form[action$='/revoke'] button";
    for (let left = 10; left && await other.$(revoke); left -= 1) await follow(other, () => other.click(revoke));
    await page.goto(`${site.url}/settings`, { waitUntil: "load" });
    if (new URL(page.url()).pathname !== "/login") fail(`still in at ${page.url()}`);
    await Promise.all([here.close(), there.close()]);
  });
};
