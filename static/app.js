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

  // "/" goes to the search field. Nothing else is bound to a bare key.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    const field = $("[data-slash]") || $("#find");
    if (!field || !field.getClientRects().length) return;
    event.preventDefault();
    field.focus();
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
    row.scrollLeft = here.offsetLeft - (row.clientWidth - here.offsetWidth) / 2;
  }

  // Filters stand open where there is room for them.
  const wide = matchMedia("(min-width: 769px)");
  const fit = () => { if (wide.matches) for (const box of $$("[data-filters]")) box.open = true; };
  wide.addEventListener("change", fit);
  fit();

  /** Ticking posts: the boxes of this page, or all matching posts but those left out. */
  const bulk = (form) => {
    const bar = $("[data-bulk-bar]", form);
    if (!bar) return;
    const matching = form.dataset.matching === "true";
    const total = Number(form.dataset.total);
    const boxes = $$("tbody .tick input", form);
    const all = $("[data-tick-all]", form);
    const line = $("[data-select-line]", form);
    let last = null;

    const draw = () => {
      const ticked = boxes.filter((box) => box.checked).length;
      const n = matching ? total - ticked : ticked;
      bar.classList.toggle("idle", !matching && n === 0);
      $("[data-bulk-count]", bar).textContent = matching
        ? number.format(n) + " of " + number.format(total) + " selected" : plural(n, "post", "posts") + " selected";
      for (const node of $$("[data-bulk-n]", bar)) node.textContent = " " + number.format(n);
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

  /** The part of this page inside `old`, drawn again by the server; focus stays where it was, as far as that is there. */
  const redraw = (old, then) => {
    const request = new XMLHttpRequest();
    request.open("GET", location.href);
    // The browser's own parser: markup never passes through a string of ours.
    request.responseType = "document";
    request.timeout = 10000;
    const plainly = () => location.reload();
    request.addEventListener("error", plainly);
    request.addEventListener("timeout", plainly);
    request.addEventListener("load", () => {
      const fresh = request.response && $("[data-job]", request.response);
      if (!fresh) { plainly(); return; }
      const focused = old.contains(document.activeElement) ? document.activeElement : null;
      const node = document.importNode(fresh, true);
      old.replaceWith(node);
      document.title = request.response.title;
      if (focused) {
        const same = $$("a, button, summary", node).find((it) => it.textContent === focused.textContent);
        const to = same || $("h1", node);
        if (!same) to.tabIndex = -1;
        to.focus({ preventScroll: true });
      }
      then(node);
    });
    request.send();
  };

  /** A job page: absolute counters over SSE, by polling after two errors, nothing while hidden. */
  const job = (root) => {
    const old = new AbortController();
    const title = document.title.replace(/^\(\d+%\) /, "");
    const chip = $("[data-live]", root);
    const over = new Set(["completed", "completed_with_errors", "cancelled", "stopped", "failed"]);
    let source = null, timer = null, errors = 0, seq = -1, ended = false;
    let spokenAt = 0, spokenQuarter = -1, state = root.dataset.state;
    const seen = new Set();

    const show = (text, kind) => { chip.textContent = text; chip.className = "live js-only " + kind; };
    const duration = (seconds) => seconds < 90 ? Math.round(seconds) + " s"
      : seconds < 5400 ? Math.round(seconds / 60) + " min" : Math.round(seconds / 3600) + " h";

    const draw = (data) => {
      if (typeof data.seq === "number") {
        if (data.seq < seq) return;
        seq = data.seq;
      }
      const total = Math.max(data.total, 1);
      const done = data.total - data.pending - data.running;
      const percent = Math.floor(done * 100 / total);
      for (const node of $$("[data-job-n]", root)) {
        const n = data[node.dataset.jobN];
        if (typeof n !== "number") continue;
        node.textContent = number.format(n);
        node.parentElement.classList.toggle("zero", n === 0);
      }
      $("[data-job-done]", root).textContent = number.format(done);
      const bar = $("progress.main", root);
      bar.max = total;
      bar.value = done;
      const pace = [];
      if (data.ratePerSecond > 0) pace.push(data.ratePerSecond.toFixed(1) + "/s");
      if (data.secondsLeft > 0) pace.push("about " + duration(data.secondsLeft) + " left");
      $("[data-job-pace]", root).textContent = pace.join(" · ");
      document.title = over.has(data.state) ? title : "(" + percent + "%) " + title;
      for (const failure of data.failures || []) fault(failure);
      const quarter = Math.floor(percent / 25);
      const now = Date.now();
      const changed = data.state !== state;
      if (changed || (quarter > spokenQuarter && now - spokenAt > 1000) || now - spokenAt > 30000) {
        if (spokenAt || changed) say((changed ? data.state.replaceAll("_", " ") + ". " : "") + number.format(done) + " of " + number.format(data.total) + " done, " + plural(data.failed, "failure", "failures") + ".");
        spokenAt = now;
        spokenQuarter = quarter;
      }
      // A new state brings other buttons.
      if (changed) {
        state = data.state;
        ended = true;
        stop();
        redraw(root, (fresh) => { old.abort(); if (fresh.dataset.events) job(fresh); });
      }
    };
    const fault = (failure) => {
      const key = failure.tenant + ":" + failure.post + ":" + failure.code;
      if (seen.has(key)) return;
      seen.add(key);
      const list = $("[data-fresh-failures]", root);
      if (!list) return;
      const item = document.createElement("li");
      const head = document.createElement("p");
      const code = document.createElement("code");
      code.textContent = failure.code;
      head.append(code, " ", failure.tenant, " · ", failure.post);
      const text = document.createElement("p");
      text.className = "muted wrap";
      text.textContent = failure.message || "";
      item.append(head, text);
      list.prepend(item);
      while (list.children.length > 20) list.lastElementChild.remove();
      $("[data-failures]", root).hidden = false;
    };
    const stop = () => {
      if (source) source.close();
      source = null;
      clearTimeout(timer);
      timer = null;
    };
    const read = (event) => { try { draw(JSON.parse(event.data)); } catch { /* a broken event is skipped */ } };
    const listen = () => {
      stop();
      if (ended || document.hidden) return;
      source = new EventSource(root.dataset.events);
      source.addEventListener("open", () => { errors = 0; show("Live", "on"); });
      source.addEventListener("progress", read);
      source.addEventListener("done", (event) => { read(event); ended = true; stop(); show("Finished", ""); });
      source.addEventListener("bye", () => { stop(); poll(); });
      source.addEventListener("auth", () => { ended = true; stop(); show("Signed out. The job continues.", ""); say("Signed out. The job continues."); });
      source.addEventListener("error", () => {
        errors += 1;
        show("Not live", "");
        // A refused stream is not tried again by the browser.
        if (errors >= 2 || source.readyState === EventSource.CLOSED) { stop(); poll(); }
      });
    };
    const poll = async () => {
      if (ended || document.hidden) return;
      let wait = 3000;
      try {
        const answer = await fetch(root.dataset.poll, { headers: { accept: "application/json" }, redirect: "error" });
        if (answer.status === 401 || answer.status === 403) {
          ended = true;
          show("Signed out. The job continues.", "");
          return;
        }
        if (!answer.ok) throw new Error("status " + answer.status);
        const data = await answer.json();
        show("Polling", "poll");
        draw(data);
        if (over.has(data.state)) { ended = true; show("Finished", ""); return; }
      } catch {
        show("Not live", "");
        wait = 10000;
      }
      if (!ended && !document.hidden && !source) timer = setTimeout(poll, wait);
    };
    document.addEventListener("visibilitychange", () => {
      if (ended) return;
      if (document.hidden) { stop(); show("Not live", ""); } else { errors = 0; listen(); }
    }, old);
    addEventListener("pagehide", stop, old);
    addEventListener("pageshow", (event) => { if (event.persisted && !ended) listen(); }, old);
    listen();
  };
  const running = $("[data-job][data-events]");
  if (running) job(running);
})();
