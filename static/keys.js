// Single keys: along the rows of a list, ticking, searching, help. None of them sends anything. They do nothing in fields, with
// Ctrl, Cmd or Alt, and for somebody who has turned them off in Settings. Served behind app.js.
"use strict";
(() => {
  const { $, $$, say } = globalThis.gatehouse;
  if (!("keys" in document.body.dataset)) return;
  const help = $("#keys");

  const rows = () => $$("main table.list tbody tr");
  const link = (row) => $("td.title a, a", row);
  // The row that has the focus, or had it last.
  let last = null;
  const current = () => {
    const row = document.activeElement.closest("main table.list tbody tr") || last;
    return row && row.isConnected ? row : null;
  };
  const go = (step) => {
    const all = rows();
    if (!all.length) return;
    const at = all.indexOf(current());
    const row = all[Math.min(Math.max(at < 0 ? (step > 0 ? 0 : all.length - 1) : at + step, 0), all.length - 1)];
    last = row;
    const to = link(row);
    if (to) to.focus();
  };
  const tick = (range) => {
    const box = current() && $(".tick input", current());
    if (!box) { say("Go to a post first: press j."); return; }
    box.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, shiftKey: range }));
    say(box.checked ? "Selected." : "Not selected.");
  };
  const click = (node) => { if (node) node.click(); };

  const keys = {
    j: () => go(1),
    k: () => go(-1),
    x: () => tick(false),
    X: () => tick(true),
    "*": () => click($("[data-tick-all]")),
    // All that match are not given up by a slip of the finger: what was left out would be lost.
    Escape: () => click($("[data-bulk][data-matching=false] [data-bulk-bar]:not(.idle) [data-bulk-clear]")),
    "/": () => {
      const field = [$("[data-slash]"), $("#find")].find((it) => it && it.getClientRects().length);
      if (field) field.focus();
    },
    o: () => click(current() && link(current())),
    "?": () => help.showModal(),
  };
  // Before others, so that Escape closes an open menu and no more.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || help.open) return;
    if (event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]")) return;
    if (event.key === "Escape" && $("details.menu[open]")) return;
    if (!Object.hasOwn(keys, event.key) || (event.repeat && !"jk".includes(event.key))) return;
    if (event.key !== "Escape") event.preventDefault();
    keys[event.key]();
  }, true);
  for (const button of $$("[data-keys-help]")) button.addEventListener("click", () => help.showModal());
})();
