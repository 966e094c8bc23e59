// Improves pages that already work without it: selection, copying, relative times, live progress.
// Writes text only (the policy forbids markup from strings) and never fires an action by itself.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const number = new Intl.NumberFormat("en");
  const plural = (n, one, many) => number.format(n) + " " + (n === 1 ? one : many);

  /** One polite sentence for screen readers. */
  const say = (text) => {
    const line = $("#say");
    line.textContent = "";
    setTimeout(() => { line.textContent = text; }, 50);
  };

  // Focus goes to what went wrong.
  const problem = $("[data-focus]");
  if (problem) problem.focus();

  // Menus close on Escape and on a click elsewhere; one at a time.
  document.addEventListener("click", (event) => {
    for (const menu of $$("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of $$("details.menu[open]")) {
      menu.open = false;
      $("summary", menu).focus();
    }
  });

  // A second click while the first is on its way is swallowed. The server has the last word (_once).
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post" || event.defaultPrevented) return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "1";
    if (event.submitter) event.submitter.setAttribute("aria-busy", "true");
    setTimeout(again, 4000); // a download leaves the page where it is
  });
  const again = () => {
    for (const form of $$("form[data-sent]")) delete form.dataset.sent;
    for (const button of $$("[aria-busy]")) button.removeAttribute("aria-busy");
  };
  addEventListener("pageshow", again);

  // Browsers may keep a left page in memory although it says no-store. It must not outlive the session: it is hidden as
  // it is left, and going back to it asks the server again.
  if (!document.body.classList.contains("plain")) {
    addEventListener("pagehide", () => { document.body.hidden = true; });
    addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  }

  // Copying reports what happened.
  const clipboard = async (text) => {
    if (!navigator.clipboard) return false;
    try { await navigator.clipboard.writeText(text); return true; } catch { return false; }
  };
  const selectText = (node) => {
    if (node.select) { node.focus(); node.select(); return; }
    const range = document.createRange();
    range.selectNodeContents(node);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  };
  const byHand = /Mac|iPhone|iPad/.test(navigator.platform) ? "Press Cmd+C to copy." : "Press Ctrl+C to copy.";
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy], [data-copy-from]");
    if (!button) return;
    const field = button.dataset.copyFrom && document.getElementById(button.dataset.copyFrom);
    const result = $("[data-copy-result]");
    if (await clipboard(field ? field.value : button.dataset.copy)) {
      button.classList.add("done");
      const use = $("use", button);
      if (use) use.setAttribute("href", "#i-check");
      else button.textContent = "Copied";
      if (field && result) result.textContent = "Copied.";
      else say("Copied.");
      setTimeout(() => {
        button.classList.remove("done");
        if (use) use.setAttribute("href", "#i-copy");
        else button.textContent = "Copy";
      }, 2000);
      return;
    }
    const code = button.parentElement.querySelector("code");
    if (code) code.textContent = button.dataset.copy;
    if (field || code) selectText(field || code);
    if (field && result) result.textContent = byHand;
    else say("Not copied. The text is selected. " + byHand);
  });
  for (const field of $$("[data-select]")) field.addEventListener("focus", () => field.select());

  for (const button of $$("[data-reveal]")) {
    const field = document.getElementById(button.dataset.reveal);
    button.addEventListener("click", () => {
      const shown = field.type === "text";
      field.type = shown ? "password" : "text";
      button.textContent = shown ? "Show" : "Hide";
      button.setAttribute("aria-pressed", String(!shown));
    });
    if (field.form) field.form.addEventListener("submit", () => { field.type = "password"; });
  }

  // The browser's own time zone is offered, not taken.
  for (const button of $$("[data-own-zone]")) {
    const field = document.getElementById(button.dataset.ownZone);
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    button.hidden = !zone || zone === field.value;
    button.textContent = "Use " + zone + ", as this browser";
    button.addEventListener("click", () => { field.value = zone; button.hidden = true; field.focus(); });
  }

  // Relative times grow old, in the words of the server.
  const relative = (iso) => {
    const seconds = Math.round((Date.parse(iso) - Date.now()) / 1000);
    if (Number.isNaN(seconds)) return null;
    const ago = Math.abs(seconds);
    if (ago < 60) return seconds > 0 ? "in a moment" : "just now";
    const [n, unit] = ago < 3600 ? [Math.floor(ago / 60), "min"]
      : ago < 172800 ? [Math.floor(ago / 3600), "h"] : [Math.floor(ago / 86400), "d"];
    return seconds < 0 ? n + " " + unit + " ago" : "in " + n + " " + unit;
  };
  setInterval(() => {
    if (document.hidden) return;
    for (const node of $$("[data-rel]")) {
      const text = relative(node.dataset.rel);
      if (text) node.textContent = text;
    }
  }, 60000);

  // Where the menu is a row that scrolls, it begins at the current page.
  const here = $("nav.side [aria-current]");
  if (here) {
    const row = here.closest("nav");
    const middle = here.offsetLeft - (row.clientWidth - here.offsetWidth) / 2;
    // No item is cut at the left.
    const start = $$("a", row).find((link) => link.offsetLeft >= Math.min(middle, here.offsetLeft));
    if (middle > 0) row.scrollLeft = start.offsetLeft - 1;
  }

  // Filters stand open where there is room for them.
  const wide = matchMedia("(min-width: 769px)");
  const fit = () => { if (wide.matches) for (const box of $$("[data-filters]")) box.open = true; };
  wide.addEventListener("change", fit);
  fit();

  /** Ticking posts: the boxes of this page, or all that match but those unticked here and on other pages. */
  const bulk = (form) => {
    const bar = $("[data-bulk-bar]", form);
    if (!bar) return;
    const matching = form.dataset.matching === "true";
    const total = Number(form.dataset.total);
    const more = "more" in form.dataset; // than were counted
    const counted = number.format(total) + (more ? "+" : "");
    const elsewhere = Number(form.dataset.elsewhere);
    const but = $("[data-bulk-but]", form);
    const boxes = $$("tbody .tick input", form);
    const all = $("[data-tick-all]", form);
    const line = $("[data-select-line]", form);
    let last = null;

    const draw = () => {
      const ticked = boxes.filter((box) => box.checked).length;
      const left = elsewhere + boxes.length - ticked;
      const n = matching ? total - left : ticked;
      bar.classList.toggle("idle", !matching && n === 0);
      const without = left > 0 ? " but " + number.format(left) : "";
      $("[data-bulk-count]", bar).textContent = matching
        ? "All " + counted + " matching" + without : plural(n, "post", "posts") + " selected";
      if (but) but.textContent = without;
      for (const node of $$("[data-bulk-n]", bar)) node.textContent = " " + (matching && more ? counted : number.format(n));
      for (const button of $$("button[name=action]", bar)) button.disabled = n === 0;
      if (all) {
        all.checked = ticked > 0 && ticked === boxes.length;
        all.indeterminate = ticked > 0 && ticked < boxes.length;
      }
      if (line) line.classList.toggle("on", ticked > 0 && ticked === boxes.length);
    };
    form.addEventListener("click", (event) => {
      const box = event.target;
      if (!boxes.includes(box)) return;
      const at = boxes.indexOf(box);
      if (event.shiftKey && last !== null) {
        for (let i = Math.min(at, last); i <= Math.max(at, last); i += 1) boxes[i].checked = box.checked;
      }
      last = at;
      draw();
    });
    form.addEventListener("change", draw);
    if (all) all.addEventListener("change", () => {
      for (const box of boxes) box.checked = all.checked;
      draw();
      say(all.checked ? plural(boxes.length, "post", "posts") + " on this page selected." : "Nothing selected.");
    });
    $("[data-bulk-clear]", bar).addEventListener("click", () => {
      const away = $(".select-line.on a", form);
      if (matching && away) { location.assign(away.href); return; }
      for (const box of boxes) box.checked = false;
      draw();
      say("Nothing selected.");
      if (all) all.focus();
    });
    // Enter in a box must not fire the first action of the bar.
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target.matches("input[type=checkbox]")) event.preventDefault();
    });
    // After "Back" the browser restores ticks on its own; the counts follow them.
    addEventListener("pageshow", draw);
    draw();
  };
  for (const form of $$("[data-bulk]")) bulk(form);

  // What is confirmed is what was previewed, not what was chosen since.
  for (const form of $$("[data-options]")) {
    form.addEventListener("input", () => {
      for (const note of $$("[data-stale]")) {
        note.hidden = false;
        $("button", note.closest("form")).disabled = true;
      }
    });
  }

  // A file is read into the field that is sent, so that it can be looked at before.
  for (const input of $$("[data-read-into]")) {
    input.addEventListener("change", async () => {
      const [file] = input.files;
      if (!file) return;
      if (file.size > 4 * 1024 * 1024) { say("This file is larger than 4 MiB."); return; }
      document.getElementById(input.dataset.readInto).value = await file.text();
      say(file.name + " was read.");
    });
  }

  globalThis.gatehouse = { $, $$, number, plural, say };
})();
