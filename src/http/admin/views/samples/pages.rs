//! One render of every page for a sample.

use super::super::*;
use super::{Sample, Sort, bulk, keys, operations, reference};

pub fn all(s: &Sample) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    let mut add =
        |name, page: &dyn askama::DynTemplate| out.push((name, page.dyn_render().expect("renders")));
    people(s, &mut add);
    dashboard(s, &mut add);
    workspaces(s, &mut add);
    tenants(s, &mut add);
    keys::keys(s, &mut add);
    bulk::posts(s, &mut add);
    bulk::plans(s, &mut add);
    bulk::jobs(s, &mut add);
    operations::operations(s, &mut add);
    reference::reference(s, &mut add);
    audit(s, &mut add);
    rest(s, &mut add);
    out
}

pub type Add<'a> = dyn FnMut(&'static str, &dyn askama::DynTemplate) + 'a;

fn people(s: &Sample, add: &mut Add) {
    let anon = |title| Shell { admin: None, workspace: None, workspaces: vec![], ..s.shell(title, "/login") };
    let email = s.field("email", "ada@example.com");
    let error = s.opt(s.t("The e-mail address or the password is wrong."));
    add(
        "login",
        &LoginPage { shell: anon("Sign in"), error, email: email.clone(), next: s.t("/w/w1/posts") },
    );
    add(
        "setup",
        &SetupPage {
            shell: anon("Set up"),
            error: s.whole_error(),
            name: s.field("name", "Ada Byron"),
            email,
            password: s.field("password", ""),
        },
    );
    add(
        "people",
        &PeoplePage {
            shell: s.shell("People", "/people"),
            rows: s.rows(3, |_| PersonRow {
                name: s.t("Ada Byron"),
                email: s.t("ada@example.com"),
                state: Badge::state("active"),
                roles: s.t("operator of Blue Bakery"),
                since: s.at("3 Jan 2026, 09:12 UTC", "8 weeks ago"),
                erase_url: s.opt("/people/p1/erase".to_owned()),
            }),
        },
    );
    add(
        "erase",
        &ErasePage {
            shell: s.shell("Erase Blue Bakery", "/w/w1/tenants/t1/erase"),
            list: "Tenants".into(),
            list_url: "/w/w1/tenants".into(),
            back_url: "/w/w1/tenants/t1".into(),
            action: "/w/w1/tenants/t1/erase".into(),
            title: s.t("Erase Blue Bakery"),
            goes: vec![s.t("The tenant's names and posts.")],
            stays: vec![s.t("What PostPost has.")],
            held: None,
            last: s.opt(LastErasure {
                state: "Erased".into(),
                asked: s.at("3 Mar 2026, 09:12 UTC", "2 h ago"),
                details: s.t("12 details of the audit log"),
                rest: String::new(),
            }),
            error: s.whole_error(),
            reason: s.field("reason", "Request 17"),
            typed: s.t("erase hello@bluebakery.example"),
            confirm: s.field("confirm", ""),
            password_required: true,
            password: s.field("password", ""),
        },
    );
}

fn dashboard(s: &Sample, add: &mut Add) {
    let step = |done, text: &str, url: &str| Step {
        done,
        text: s.t(text),
        link: (!url.is_empty()).then(|| Link::new("Open", url)),
    };
    let attention = [
        ("danger", 12, "posts failed in the last 24 h"),
        ("danger", 3, "connections have expired tokens"),
        ("warn", 5, "tokens expire within 7 days"),
        ("warn", 2, "tenants could not be read"),
    ];
    let tiles = [
        ("Scheduled", "next 24 h", "1,204", "+12 % on the 24 h before", ""),
        ("Published", "last 24 h", "1,076", "−3 % on the 24 h before", ""),
        ("Failed", "last 24 h", "12", "1.1 % of attempts", "danger"),
        ("Active tenants", "last 7 d", "55", "of 57", ""),
    ];
    let day = |i: usize| Day {
        label: format!("{} Mar", i + 1),
        published: Count(if i < 15 { 700 + (i as u64 * 97) % 420 } else { 0 }),
        failed: Count(if i < 15 { (i as u64 * 13) % 60 } else { 0 }),
        scheduled: Count(if i >= 14 { 900u64.saturating_sub(i as u64 * 20) } else { 0 }),
        today: i == 14,
        url: "/w/w1/posts".into(),
    };
    let bar = |i: usize| Bar {
        label: s.t(["Instagram", "X", "LinkedIn", "TikTok"][i]),
        n: Count([31, 12, 4, 0][i]),
        total: Count([842, 1920, 733, 201][i]),
        url: "/w/w1/posts".into(),
    };
    add(
        "dashboard",
        &DashboardPage {
            shell: s.flash(s.shell("Dashboard", "/"), "Signed in."),
            last_sign_in: s.opt(s.t("3 Mar 2026, 09:12 UTC, 203.0.113.7, Firefox")),
            checklist: (s.sort == Sort::Empty).then(|| {
                vec![
                    step(true, "Add a workspace key", "/workspaces/new"),
                    step(false, "Create a tenant", "/w/w1/tenants/new"),
                    step(false, "Send a connection link", ""),
                ]
            }),
            data_line: s
                .opt(s.t("Data as of 14:31:40 UTC, 2 of 57 tenants failed to sync."))
                .unwrap_or_default(),
            data_link: s.opt(Link::new(s.t("Show them"), "/w/w1/tenants?state=failing")),
            attention: s.rows(4, |i| Attention {
                kind: attention[i].0,
                count: Count(attention[i].1),
                text: s.t(attention[i].2),
                url: "/w/w1/posts?status=failed".into(),
            }),
            tiles: s.rows(4, |i| Tile {
                label: s.t(tiles[i].0),
                period: tiles[i].1.into(),
                value: tiles[i].2.into(),
                note: s.t(tiles[i].3),
                url: "/w/w1/posts".into(),
                kind: tiles[i].4,
            }),
            days: s.opt(DayBars {
                caption: s.t("1,076 published yesterday; 6,204 are coming in 14 days."),
                days: s.rows(29, day),
            }),
            failures: s.opt(Bars { caption: s.t("Instagram fails most: 3.7 %."), bars: s.rows(4, bar) }),
            jobs: s.job_rows(2),
            operations: s.rows(1, |_| operations::row(s, "in_doubt")),
            operations_url: "/w/w1/operations".into(),
            audit: s.audit_rows(10),
            audit_url: "/audit".into(),
        },
    );
    let quiet = DashboardPage { shell: s.shell("Dashboard", "/"), ..DashboardPage::default() };
    add("dashboard-quiet", &quiet);
}

fn workspaces(s: &Sample, add: &mut Add) {
    let rows = s.rows(3, |i| WorkspaceRow {
        id: format!("w{i}"),
        name: s.t(["Northwind Social", "Northwind Staging", "Contoso"][i]),
        environment: ["production", "staging", "development"][i].into(),
        key_prefix: s.t("sk_kzq5mjw_…"),
        state: Badge::state(["active", "frozen", "key_invalid"][i]),
        tenants: Count(57),
        scheduled: Count(4312),
        last_sync: s.opt(s.at("15 Mar 2026, 14:30 UTC", "40 s ago")),
        created: s.at("3 Jan 2026, 09:12 UTC", ""),
    });
    let list = s.shell("Workspaces", "/workspaces");
    add("workspaces", &WorkspaceListPage { shell: list, rows });
    add(
        "workspace-new",
        &NewWorkspacePage {
            shell: s.shell("Add workspace", "/workspaces/new"),
            error: s.whole_error(),
            name: s.field("name", "Northwind Social"),
            environment: s.field("environment", ""),
            environments: s.choices(&[
                ("production", "Production"),
                ("staging", "Staging"),
                ("development", "Development"),
            ]),
            base_url: s.field("base_url", "https://api.postpost.example"),
            upstream_key: s.field("upstream_key", ""),
        },
    );
    let frozen =
        Frozen { at: s.at("15 Mar 2026, 14:30 UTC", "2 h ago"), by: s.t("Ada"), reason: s.t("Incident") };
    let page = WorkspacePage {
        shell: s.shell("Northwind Social", "/w/w1"),
        ws: "w1".into(),
        name: s.t("Northwind Social"),
        environment: "production".into(),
        base_url: s.t("https://api.postpost.example"),
        state: Badge::state("active"),
        created: s.at("3 Jan 2026, 09:12 UTC", ""),
        tenants: s.n(57),
        scheduled: s.n(4312),
        keys: s.n(61),
        last_sync: s.opt(s.at("15 Mar 2026, 14:30 UTC", "40 s ago")),
        sync_failed: s.opt(Link::new(s.t("2 of 57 tenants failed"), "/w/w1/tenants?state=failing")),
        key_prefix: s.t("sk_kzq5mjw_…"),
        key_added_by: s.t("Ada Byron"),
        key_added_at: s.at("3 Jan 2026, 09:12 UTC", ""),
        key_error: None,
        frozen: None,
        policy: "protect".into(),
        import: s.opt(ImportResult {
            at: s.opt(s.at("15 Mar 2026, 09:00 UTC", "5 h ago")),
            error: (s.sort == Sort::Hostile).then(|| s.t("Stopped at page 3")),
        }),
        error: s.whole_error(),
        upstream_key: s.field("upstream_key", ""),
        reason: s.field("reason", ""),
    };
    add("workspace", &page);
    let shell = Shell { can_manage: s.sort != Sort::Full, ..page.shell.clone() };
    let key_error = Some(s.t("Invalid API key"));
    add("workspace-frozen", &WorkspacePage { shell, frozen: Some(frozen), key_error, ..page });
}

fn tenants(s: &Sample, add: &mut Add) {
    let names = ["Blue Bakery", "Harbour Cycles", "Øst Kaffe & Te", "Museum of Small Things"];
    let row = |i: usize| TenantRow {
        id: format!("t{i}"),
        name: s.t(names[i % 4]),
        username: s.t("hello@bluebakery.example"),
        upstream_id: CopyId::short("tenant ID", s.t("507f1f77bcf86cd799439011")),
        state: Badge::state(["active", "active", "active", "frozen", "detached"][i % 5]),
        scheduled: Count(i as u64 * 37 % 190),
        failed: Count([0, 0, 3, 0][i % 4]),
        failed_url: "/w/w1/posts?tenant=t1&status=failed".into(),
        last_published: (i % 4 != 3).then(|| s.at("15 Mar 2026, 13:02 UTC", "1 h ago")),
        last_sync: Some(s.at("15 Mar 2026, 14:30 UTC", "40 s ago")),
        sync_error: (i == 2).then(|| s.t("PostPost answered 500")),
        link_state: ["None", "Valid until 3 Apr 2026", "Expired 3 Mar 2026"][i % 3].into(),
    };
    add(
        "tenants",
        &TenantListPage {
            shell: s.shell("Tenants", "/w/w1/tenants"),
            ws: "w1".into(),
            q: s.t(""),
            state: s.t("active"),
            tabs: s.tabs(&[("All", 57), ("Active", 51), ("Frozen", 2), ("Detached", 4), ("Sync failing", 2)]),
            result_line: s.opt(s.t("1 to 25 of 57 · sorted by name")).unwrap_or_default(),
            filtered: s.sort == Sort::Hostile,
            rows: s.rows(25, row),
            pager: Pager::pages(None, s.opt(s.t("?after=x"))),
        },
    );
    add(
        "tenant-new",
        &NewTenantPage {
            shell: s.shell("New tenant", "/w/w1/tenants/new"),
            ws: "w1".into(),
            error: s.whole_error(),
            username: s.field("username", "hello@bluebakery.example"),
            display_name: s.field("display_name", "Blue Bakery"),
            existing: s.opt(Link::new(s.t("Blue Bakery"), "/w/w1/tenants/t1")),
        },
    );
    let connection = |i: usize| Connection {
        platform: s.t(["Instagram", "X", "LinkedIn"][i]),
        handle: s.t("@bluebakery"),
        id: CopyId::short("connection ID", s.t("instagram-17841405822304914")),
        badge: [
            Badge::token("valid", "Valid"),
            Badge::token("expiring_soon", "Expires in 5 d"),
            Badge::token("expired", "Expired"),
        ][i]
            .clone(),
        expires: (i != 0).then(|| s.at("20 Mar 2026, 14:30 UTC", "in 5 d")),
        last_success: (i != 2).then(|| s.at("15 Mar 2026, 13:02 UTC", "1 h ago")),
        last_error: (i == 2).then(|| s.t("The user has revoked access to this application.")),
    };
    add(
        "tenant",
        &TenantPage {
            shell: s.shell("Blue Bakery", "/w/w1/tenants/t1"),
            ws: "w1".into(),
            id: s.t("t1"),
            name: s.t("Blue Bakery"),
            username: s.t("hello@bluebakery.example"),
            upstream_id: CopyId::whole("tenant ID", s.t("507f1f77bcf86cd799439011")),
            state: Badge::state("frozen"),
            created: s.at("3 Jan 2026, 09:12 UTC", ""),
            scheduled: s.n(188),
            published: s.n(2044),
            failed: s.n(3),
            keys: s.n(2),
            last_published: s.opt(s.at("15 Mar 2026, 13:02 UTC", "1 h ago")),
            last_sync: s.opt(s.at("15 Mar 2026, 14:30 UTC", "40 s ago")),
            sync_error: (s.sort == Sort::Hostile).then(|| s.t("PostPost answered 500")),
            frozen: (s.sort == Sort::Hostile).then(|| Frozen { by: s.t("Ada"), ..Frozen::default() }),
            detached: false,
            connections: s.rows(3, connection),
            connections_error: None,
            link_state: s.t("Valid until 3 Apr 2026"),
            error: s.whole_error(),
            days: s.field("days", "30"),
            reason: s.field("reason", ""),
            audit: s.audit_rows(5),
        },
    );
    add(
        "tenant-detach",
        &DetachPage {
            shell: s.shell("Detach Blue Bakery", "/w/w1/tenants/t1/detach"),
            ws: "w1".into(),
            id: s.t("t1"),
            name: s.t("Blue Bakery"),
            username: s.t("hello@bluebakery.example"),
            scheduled: s.n(188),
            keys: s.n(2),
            error: s.whole_error(),
            confirm: s.field("confirm", ""),
        },
    );
}

fn audit(s: &Sample, add: &mut Add) {
    let page = |whole: bool| AuditListPage {
        shell: s.shell("Audit log", if whole { "/audit" } else { "/w/w1/audit" }),
        base: if whole { "/audit" } else { "/w/w1/audit" }.into(),
        whole,
        filter: AuditFilter {
            actions: s.choices(&[("", "Any action"), ("post.delete", "post.delete")]),
            tenants: s.choices(&[("", "Any tenant"), ("t1", "Blue Bakery")]),
            outcomes: s.choices(&[("", "Any outcome"), ("denied", "Denied")]),
        },
        q: s.t("action:post.delete -outcome:denied holiday"),
        qualifiers: vec![
            Qualifier {
                finds: "what was done; a noun alone is all of its actions",
                example: "action:post.delete",
            },
            Qualifier {
                finds: "days or times, UTC; either end may be *",
                example: "created:2026-03-01..2026-03-15",
            },
        ],
        chips: if whole { vec![] } else { s.chips() },
        clear_url: "?".into(),
        filter_error: (whole && s.sort == Sort::Hostile).then(|| s.t("From is after to.")),
        result_line: s.opt(s.t("4,312 entries · newest first")).unwrap_or_default(),
        status: s.opt(s.t("Verified to entry 81,203, signed 15 Mar 2026, 14:30:00 UTC.")).unwrap_or_default(),
        folding: s.opt(Link::new("Show every entry of bulk jobs", "?fold=no")),
        rows: s.audit_rows(30),
        pager: Pager::times(s.opt("?after=1".into()), s.opt("?before=2".into())),
        export: Some(ExportForm {
            rows: s.t("12,400 entries"),
            hidden: vec![("q".into(), s.t("action:post.delete"))],
            note: s.t("Larger exports are made in the background."),
        }),
    };
    add("audit", &page(false));
    add("audit-whole", &page(true));
    let fact =
        |name: &str, value: &str, url: &str| Fact { name: name.into(), value: s.t(value), url: url.into() };
    add(
        "audit-entry",
        &AuditPage {
            shell: s.shell("Entry 81,204", "/w/w1/audit/81204"),
            seq: Count(81_204),
            action: s.t("tenant.update"),
            outcome: Badge::outcome("succeeded"),
            at: s.at("15 Mar 2026, 14:30:07 UTC", ""),
            back_url: "/w/w1/audit".into(),
            prev_url: s.opt("/w/w1/audit/81205".into()),
            next_url: s.opt("/w/w1/audit/81203".into()),
            facts: vec![
                fact("Actor", "Ada Byron (admin)", ""),
                fact("Tenant", "Blue Bakery", "/w/w1/tenants/t1"),
                fact("Reason", "Asked for by the customer", ""),
            ],
            context: s.rows(3, |i| {
                fact(
                    ["Address", "User agent", "Request ID"][i],
                    ["203.0.113.7", "Mozilla/5.0 (X11; Linux x86_64) Firefox/148.0", "0191f3a2-7c11"][i],
                    "",
                )
            }),
            erased: (s.sort == Sort::Hostile).then(|| s.t("Personal data was erased.")),
            changes: s.rows(2, |i| Change {
                field: s.t(["displayName", "state"][i]),
                before: s.t(["Blue Backery", "active"][i]),
                after: s.t(["Blue Bakery", "frozen"][i]),
            }),
            bytes: s.t("{\"v\":1,\"seq\":81204,\"action\":\"tenant.update\",\"outcome\":\"success\",\"commitments\":{\"before\":\"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"}}"),
            related: s.rows(2, |i| Link::new(s.t(["8,360 entries of this bulk job", "14 entries of this session"][i]), "/w/w1/audit?q=job%3Aj1")),
            related_rows: s.audit_rows(1),
            proof: s.opt(EntryProof {
                size: Count(81_300),
                hashes: s.rows(3, |_| s.t("n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=")),
                checkpoint: s.t("gatehouse-audit/0191f3a2\n81300\nn4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=\n\n— gatehouse-audit/0191f3a2 Az3grlgt\n"),
            }),
            proof_url: "/w/w1/audit/81204/proof.json".into(),
            leaf_hash: CopyId::whole("leaf hash", s.t("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")),
        },
    );
}

fn rest(s: &Sample, add: &mut Add) {
    add(
        "settings",
        &SettingsPage {
            shell: s.flash(s.shell("Settings", "/settings"), "Saved."),
            themes: s.choices(&[("auto", "As the system"), ("light", "Light"), ("dark", "Dark")]),
            densities: s.choices(&[("comfortable", "Comfortable"), ("compact", "Compact")]),
            zone: s.field("zone", "Europe/Berlin"),
            zones: s.rows(3, |i| s.t(["Europe/Berlin", "UTC", "Asia/Tokyo"][i])),
            now: s.t("15 Mar 2026, 15:30 CET"),
            rows: s.choices(&[("25", "25"), ("50", "50"), ("100", "100")]),
            shortcuts: s.choices(&[("on", "On"), ("off", "Off")]),
            error: s.whole_error(),
            current_password: s.field("current_password", ""),
            new_password: s.field("new_password", ""),
            sessions: s.rows(2, |i| SessionRow {
                id: s.t("s1"),
                device: s.t(["Firefox on Linux", "Safari on macOS"][i]),
                address: s.t("203.0.113.7"),
                created: s.at("15 Mar 2026, 09:12 UTC", "5 h ago"),
                seen: s.at("15 Mar 2026, 14:30 UTC", "now"),
                current: i == 0,
            }),
        },
    );
    let admin = s.opt(AdminRef::default());
    add(
        "error",
        &ErrorPage {
            shell: Shell { admin, ..s.shell("Page not found", "/w/w1/nothing") },
            status: 404,
            heading: s.t("Page not found"),
            happened: s.t("There is no such page, or you may not see it."),
            todo: s.t("Check the address, or start again from the dashboard."),
            request_id: s.t("0191f3a2-7c11-7d2e-9a55-0d3a8e6c1f42"),
            link: None,
        },
    );
}
