//! Renders of operations for a sample.

use super::super::*;
use super::Sample;
use super::pages::Add;

pub fn row(s: &Sample, state: &str) -> OperationRow {
    OperationRow {
        url: "/w/w1/operations/0199".into(),
        what: s.t("Delete post 507f…9011"),
        tenant: s.t("Blue Bakery"),
        actor: s.t("Blue Bakery CI"),
        state: Badge::outcome(state),
        started: s.at("15 Mar 2026, 14:30:07 UTC", "4 min ago"),
        ended: (state != "in_doubt").then(|| s.at("15 Mar 2026, 14:30:41 UTC", "3 min ago")),
    }
}

pub fn operations(s: &Sample, add: &mut Add) {
    let ended = ["applied", "not_applied", "gone"];
    let list = OperationListPage {
        shell: s.shell("Operations", "/w/w1/operations"),
        ws: "w1".into(),
        open: s.rows(2, |_| row(s, "in_doubt")),
        open_note: s.t("More are open; the oldest 100 are shown."),
        settled: s.rows(12, |i| row(s, ended[i % ended.len()])),
        later: false,
        pager: Pager::times(None, s.opt(s.t("?before=0199"))),
    };
    let later = OperationListPage { later: true, open: Vec::new(), ..list.clone() };
    add("operations", &list);
    add("operations-later", &later);
    let fact =
        |name: &str, value: &str, url: &str| Fact { name: s.t(name), value: s.t(value), url: url.into() };
    let facts = |list: &[(&str, &str, &str)]| s.rows(list.len(), |i| fact(list[i].0, list[i].1, list[i].2));
    add(
        "operation",
        &OperationPage {
            shell: s.shell("Change post 507f…9011", "/w/w1/operations/0199"),
            ws: "w1".into(),
            what: s.t("Change post 507f…9011"),
            state: Badge::outcome("applied"),
            summary: s.t("PostPost gave no clear answer; looked up afterwards, the change did happen."),
            started: s.at("15 Mar 2026, 14:30:07 UTC", "4 min ago"),
            doubted: s.opt(s.at("15 Mar 2026, 14:30:37 UTC", "4 min ago")),
            ended: s.opt(s.at("15 Mar 2026, 14:30:41 UTC", "3 min ago")),
            facts: facts(&[
                ("Asked by", "Blue Bakery CI", ""),
                ("Tenant", "Blue Bakery", "/w/w1/tenants/t1"),
                ("Post", "507f1f77bcf86cd799439011", "/w/w1/posts/t1/507f1f77bcf86cd799439011"),
                ("PostPost's answer", "None", ""),
            ]),
            asked: facts(&[("Scheduled time", "16 Mar 2026, 09:00:00 UTC", "")]),
            before: facts(&[
                ("Status", "scheduled", ""),
                ("Text", "Spring menu: sourdough, cardamom buns and the first rhubarb.", ""),
            ]),
            id: CopyId::whole("operation ID", s.t("019d8f3e-9f0a-7c11-8b5e-6a4c2f1d0e9b")),
            audit_url: "/w/w1/audit?operation=0199".into(),
            audit: s.audit_rows(3),
        },
    );
}
