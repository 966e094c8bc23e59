// The page of a running job: live counters, and its tables and buttons drawn again as they change. Served behind app.js.
"use strict";
(() => {
  const { $, $$, number, plural, say } = globalThis.gatehouse;

  /** This page as the server draws it now, or null. */
  const fetchPage = (then) => {
    const request = new XMLHttpRequest();
    request.open("GET", location.href);
    // The browser's own parser: markup never passes through a string of ours.
    request.responseType = "document";
    request.timeout = 10000;
    request.addEventListener("loadend", () => {
      const page = request.status === 200 ? request.response : null;
      then(page && $("[data-job]", page) ? page : null);
    });
    request.send();
  };

  /** The whole job, after a change of state; focus stays where it was, as far as that is still there. */
  const redraw = (old, then) => fetchPage((page) => {
    if (!page) { location.reload(); return; }
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const node = document.importNode($("[data-job]", page), true);
    old.replaceWith(node);
    document.title = page.title;
    if (focused) {
      const same = $$("a, button, summary", node).find((it) => it.textContent === focused.textContent);
      const to = same || $("h1", node);
      if (!same) to.tabIndex = -1;
      to.focus({ preventScroll: true });
    }
    then(node);
  });

  /** Its tables, while it runs; one that is being used stays as it is. */
  const redrawTables = (root) => fetchPage((page) => {
    if (!page || !root.isConnected) return;
    for (const old of $$("[data-fresh]", root)) {
      const fresh = $("[data-fresh=" + old.dataset.fresh + "]", page);
      if (!fresh || old.contains(document.activeElement)) continue;
      const node = document.importNode(fresh, true);
      const box = $("details", node);
      if (box && $("details[open]", old)) box.open = true;
      old.replaceWith(node);
    }
  });

  /** A job page: absolute counters over SSE, by polling after two errors, nothing while hidden. */
  const job = (root) => {
    const old = new AbortController();
    const title = document.title.replace(/^\(\d+%\) /, "");
    const chip = $("[data-live]", root);
    const over = new Set(["completed", "completed_with_errors", "cancelled", "stopped", "failed"]);
    let source = null, timer = null, errors = 0, seq = -1, ended = false;
    let tablesAt = Date.now(), spokenAt = 0, spokenQuarter = -1, state = root.dataset.state;

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
      const line = $("[data-job-summary]", root);
      line.textContent = data.summary || "";
      line.hidden = !data.summary;
      const quarter = Math.floor(percent / 25);
      const now = Date.now();
      const changed = data.state !== state;
      if (changed || (quarter > spokenQuarter && now - spokenAt > 1000) || now - spokenAt > 30000) {
        if (spokenAt || changed) say((changed ? data.state.replaceAll("_", " ") + ". " : "") + number.format(done) + " of " + number.format(data.total) + " done, " + plural(data.failed, "failure", "failures") + ".");
        spokenAt = now;
        spokenQuarter = quarter;
      }
      if (!changed && now - tablesAt > 3000) {
        tablesAt = now;
        redrawTables(root);
      }
      // A new state brings other buttons.
      if (changed) {
        state = data.state;
        ended = true;
        stop();
        redraw(root, (fresh) => { old.abort(); if (fresh.dataset.events) job(fresh); });
      }
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
    listen();
  };
  const running = $("[data-job][data-events]");
  if (running) job(running);
})();
