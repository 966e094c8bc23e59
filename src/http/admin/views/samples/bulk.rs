//! Renders of posts, plans and jobs for a sample.

use super::super::*;
use super::pages::Add;
use super::{Sample, Sort};

pub fn posts(s: &Sample, add: &mut Add) {
    let texts = [
        "Fresh sourdough every morning from seven. Come early: the rye is gone by nine, and the cardamom buns rarely see ten o'clock.",
        "We are hiring a bicycle mechanic!",
        "",
        "Museum night on Friday. Doors open at 19:00, last entry 23:30. Bring somebody you like.",
    ];
    let states = ["scheduled", "published", "failed", "paused", "draft", "partially_published", "publishing"];
    let row = |i: usize| PostRow {
        id: CopyId::short("post ID", s.t(&format!("507f1f77bcf86cd79943{i:04}"))),
        tenant_id: format!("t{}", i % 4),
        tenant: s.t(["Blue Bakery", "Harbour Cycles", "Øst Kaffe & Te", "Museum of Small Things"][i % 4]),
        content: s.t(texts[i % 4]),
        platforms: ["X", "LinkedIn", "Instagram", "Threads"][..=i % 4].iter().map(|p| s.t(p)).collect(),
        badge: Badge::post(states[i % states.len()]),
        scheduled: (i % 6 != 4).then(|| s.at("15 Mar 2026, 18:30 UTC", "in 3 h")),
        scheduled_note: if i % 7 == 3 { "Was due".into() } else { String::new() },
        updated: s.at("15 Mar 2026, 14:02 UTC", "30 min ago"),
        media: (i % 3) as u64,
        left_out: false,
    };
    let filter = PostFilter {
        tenants: s.choices(&[("t1", "Blue Bakery"), ("t2", "Harbour Cycles")]),
        statuses: s.choices(&[
            ("scheduled", "Scheduled"),
            ("draft", "Draft"),
            ("published_any", "Published (any)"),
        ]),
        platforms: s.choices(&[("twitter", "X"), ("linkedin", "LinkedIn"), ("instagram", "Instagram")]),
        from: s.t(""),
        to: s.t(""),
        no_time: false,
        zone: s.t("Europe/Berlin"),
        created_from: s.t(""),
        created_to: s.t(""),
        media: s.choices(&[("", "With or without media"), ("with", "With media")]),
        q: s.t(""),
        sorts: s.choices(&[("scheduled", "Earliest scheduled"), ("-updated", "Latest change")]),
        pers: s.choices(&[("50", "50 a page"), ("25", "25 a page"), ("100", "100 a page")]),
        presets: vec![
            Link::new("Today", "?preset=today"),
            Link::new("Next 24 h", "?p=24"),
            Link::new("Overdue", "?p"),
        ],
    };
    let page = || PostListPage {
        shell: s.shell("Posts", "/w/w1/posts"),
        query: s.t("status=scheduled"),
        views: s.rows(3, |i| SavedView {
            id: format!("v{i}"),
            name: s.t(["Failed ones", "Next week of the bakery", "Paused"][i]),
            url: "/w/w1/posts?status=failed".into(),
            current: i == 1,
        }),
        notices: s.rows(2, |i| JobNotice {
            kind: ["ok", "warn"][i],
            text: s.t("Job “Delete 4,180 posts” finished: 4,036 deleted, 132 skipped, 12 failed."),
            title: s.t("Delete 4,180 posts"),
            url: format!("/w/w1/jobs/j{i}"),
            filter: s.t("status=scheduled"),
        }),
        ws: "w1".into(),
        filter: filter.clone(),
        chips: s.chips(),
        clear_url: "/w/w1/posts".into(),
        filter_error: None,
        result_line: s.t("1 to 50 of 4,312 · sorted by scheduled time, earliest first · synced 40 s ago"),
        sync_notice: s.opt(Banner {
            link: Some(Link::new("Show them", "/w/w1/tenants?state=failing")),
            ..Banner::new("warn", s.t("2 of 57 tenants failed to sync; their posts may be out of date."))
        }),
        total: Counted { n: s.n(4312), more: false },
        empty: "none",
        rows: s.rows(50, row),
        pager: Pager::pages(None, s.opt(s.t("?after=abc"))),
        selection: Selection {
            matching: false,
            filter: s.t("status=scheduled"),
            words: s.t("status Scheduled or Failed"),
            select_url: "?select=matching".into(),
            clear_url: "?".into(),
            ..Selection::default()
        },
        before: s.opt(s.t("1")),
        after: s.opt(s.t("2")),
        sort_scheduled: SortLink { url: "?sort=-scheduled".into(), order: "ascending" },
        sort_updated: SortLink { url: "?sort=-updated".into(), order: "" },
    };
    add("posts", &page());
    let selection = Selection {
        matching: true,
        id: s.t("0191f3a2-7c11-7d2e-9a55-0d3a8e6c1f42"),
        shown: s.t("t1:p1 t1:p2"),
        left_out: s.n(3),
        elsewhere: s.n(2),
        ..page().selection
    };
    let rows = s.rows(50, |i| PostRow { left_out: i == 2, ..row(i) });
    add("posts-matching", &PostListPage { selection: selection.clone(), rows, ..page() });
    let total = Counted { n: s.n(10_000), more: true };
    let result_line = s.t("1 to 50 of 10,000+ · sorted by scheduled time, earliest first · synced 40 s ago");
    let selection = Selection { left_out: s.n(3), ..selection };
    add("posts-many", &PostListPage { selection, total, result_line, rows: s.rows(50, row), ..page() });
    let viewer = Shell { can_write: false, density: "compact".into(), theme: "dark".into(), ..page().shell };
    add("posts-viewer", &PostListPage { shell: viewer, ..page() });
    let filter_error = Some(s.t("There is no platform \"myspace\"."));
    add("posts-bad-filter", &PostListPage { filter_error, ..page() });
    add("posts-no-match", &PostListPage { rows: vec![], empty: "no_match", ..page() });
    add("posts-unsynced", &PostListPage { rows: vec![], empty: "sync_failed", ..page() });

    let platform = |i: usize| PlatformPost {
        platform: s.t(["X", "LinkedIn", "Instagram"][i]),
        account: s.t("@bluebakery"),
        badge: Badge::post(["published", "published", "failed"][i]),
        posted_id: (i < 2).then(|| s.t("1768411254730199041")),
        error_code: if i == 2 { s.t("PLATFORM_AUTH_EXPIRED") } else { String::new() },
        error_message: if i == 2 { s.t("The access token has expired.") } else { String::new() },
        error_detail: if i == 2 { s.t("platform answered 401 · cannot be retried") } else { String::new() },
        content: (i == 1).then(|| s.t(texts[3])),
    };
    add(
        "post",
        &PostPage {
            shell: s.shell("Post of Blue Bakery", "/w/w1/posts/t1/p1"),
            ws: "w1".into(),
            id: CopyId::short("post ID", s.t("507f1f77bcf86cd799439011")),
            tenant_id: s.t("t1"),
            tenant: s.t("Blue Bakery"),
            content: s.opt(s.t(texts[0])).unwrap_or_default(),
            badge: Badge::post("partially_published"),
            scheduled: s.opt(s.at("15 Mar 2026, 14:30 UTC", "2 min ago")),
            created: s.opt(s.at("14 Mar 2026, 09:00 UTC", "1 d ago")),
            updated: s.opt(s.at("15 Mar 2026, 14:31 UTC", "1 min ago")),
            source: s.t("PostPost, just now"),
            paused_note: (s.sort == Sort::Hostile).then(|| s.t("Paused by Ada")),
            platforms: s.rows(3, platform),
            media: s.rows(2, |i| s.t(["https://cdn.postpost.example/a/bread.jpg", "b.png"][i])),
            log: s.rows(3, |i| LogEvent {
                at: s.at("15 Mar 2026, 14:30:02 UTC", "2 min ago"),
                event: s.t(["scheduled", "publish_attempted", "publish_failed"][i]),
                platform: s.t("Instagram"),
                detail: s.t("HTTP 401, try 1"),
            }),
            raw: s.t("{\n  \"postGroupId\": \"507f1f77bcf86cd799439011\"\n}"),
            audit: s.audit_rows(3),
            actions: vec!["pause", "resume", "reschedule", "delete"],
            back_url: s.opt(s.t("/w/w1/posts?status=failed")).unwrap_or_default(),
        },
    );
}

pub fn plans(s: &Sample, add: &mut Add) {
    let breakdown = |title: &str, labels: [&str; 3]| Breakdown {
        title: title.into(),
        rows: s.rows(3, |i| BreakdownRow {
            label: s.t(labels[i]),
            count: Count([2400, 1300, 480][i]),
            share: [57, 31, 11][i],
            url: if i == 2 { String::new() } else { "?show=x".into() },
        }),
        more: s.opt(Link::new(s.t("All 23 tenants"), "?show=tenants")),
    };
    let item = |i: usize| PlanItem {
        url: "/w/w1/posts/t1/p1".into(),
        content: s.t("Fresh sourdough every morning from seven. Come early: the rye is gone by nine."),
        tenant: s.t("Blue Bakery"),
        platforms: s.t("X, LinkedIn"),
        badge: Badge::post("scheduled"),
        old_time: (i != 3).then(|| s.at("15 Mar 2026, 18:30 UTC", "in 3 h")),
        old_local: s.t("Sun 15 Mar 2026, 19:30 CET"),
        new_local: s.t("Mon 16 Mar 2026, 19:30 CET"),
        new_time: (i != 4).then(|| s.at("16 Mar 2026, 18:30 UTC", "in 27 h")),
        skip: if i == 4 { s.t("time in the past") } else { String::new() },
    };
    let options = |times| PlanOptions {
        times,
        first: s.field("first", "2026-03-16T09:00"),
        every: s.field("every", "30"),
        zone: s.field("zone", "Europe/Berlin"),
        folds: s.choices(&[("", "leave such posts out"), ("earlier", "the first is meant")]),
        rate: s.field("rate", ""),
        backups: s.choices(&[("keep", "keep a copy of each post"), ("none", "keep none")]),
        stop_after: s.field("stop_after", "20"),
        start: s.field("start", ""),
    };
    let page = |action| PlanPage {
        shell: s.shell("Preview: delete 4,180 posts", "/w/w1/plans/p1"),
        ws: "w1".into(),
        id: s.t("p1"),
        action,
        headline: s.t("Delete 4,180 posts of 23 tenants."),
        skipped_line: s.t("132 will be skipped."),
        selected: s.t("all posts matching status Failed, tenant Blue Bakery; 3 left out"),
        snapshot: s.at("15 Mar 2026, 14:32:05 UTC", ""),
        mirror_line: s.t("The mirror was 40 s old."),
        expires: s.at("15 Mar 2026, 14:47:05 UTC", ""),
        count: s.n(4180),
        difference_line: s.t("Since the last preview: +7 −2, 3 changed."),
        callouts: s.rows(1, |_| Callout {
            text: s.t("18 of these posts publish within 10 minutes."),
            url: "?show=soon".into(),
        }),
        breakdowns: vec![
            breakdown("Tenant", ["Blue Bakery", "Harbour Cycles", "Øst Kaffe & Te"]),
            breakdown("Platform", ["X", "LinkedIn", "Instagram"]),
            breakdown("Status", ["Scheduled", "Draft", "Failed"]),
        ],
        window: s.opt((s.at("15 Mar 2026, 14:38 UTC", "in 6 min"), s.at("2 Apr 2026, 09:00 UTC", "in 18 d"))),
        skips: s.rows(2, |i| SkipRow {
            reason: s.t(["Published already", "Publishing now"][i]),
            explanation: s
                .t("Deleting it would remove PostPost's record; the post on the platform may stay."),
            count: Count(66),
            url: "?show=published".into(),
        }),
        options: options(PlanTimes::None),
        tabs: s.tabs(&[("To do", 4180), ("Skipped", 132)]),
        items: s.rows(8, item),
        pager: Pager::pages(None, s.opt("?after=20".into())),
        csv_url: "/w/w1/plans/p1/plan.csv".into(),
        error: s.whole_error(),
        typed: s.opt(s.t("delete 4180")),
        confirm: s.field("confirm", ""),
        reason: s.field("reason", ""),
        reason_required: true,
        password_required: s.sort != Sort::Empty,
        password: s.field("password", ""),
        delay_line: s.t("The job starts after 30 s; until then nothing has happened and you can cancel it."),
        submit: s.t("Delete 4,180 posts"),
        keep_url: "/w/w1/posts?status=failed".into(),
        ..PlanPage::default()
    };
    add("plan-delete", &page("delete"));
    let times = PlanTimes::Reschedule {
        mode: s.field("mode", ""),
        modes: s.choices(&[("shift", "Shift each time"), ("set", "Set one time for all")]),
        amount: s.field("amount", "1"),
        units: s.choices(&[("days", "days"), ("hours", "hours"), ("minutes", "minutes")]),
        signs: s.choices(&[("later", "later"), ("earlier", "earlier")]),
        at: s.field("at", ""),
        day: s.field("day", ""),
        days: s.choices(&[("monday", "Monday"), ("tuesday", "Tuesday")]),
        time: s.field("time", "09:00"),
    };
    let headline = s.t("Reschedule 812 posts of 6 tenants.");
    let submit = s.t("Reschedule 812 posts");
    add("plan-reschedule", &PlanPage { options: options(times), headline, submit, ..page("reschedule") });
    let times = PlanTimes::Resume {
        choices: s.choices(&[
            ("leave", "Leave them paused"),
            ("shift", "Shift all by the length of their pause"),
            ("publish_now", "Publish them now"),
        ]),
        past_due: s.field("past_due", ""),
        left: s.n(41),
    };
    let headline = s.t("Resume 812 posts of 6 tenants.");
    let submit = "Resume 812 posts".into();
    add("plan-resume", &PlanPage { options: options(times), headline, submit, ..page("resume") });
    add("plan-expired", &PlanPage { state: PlanState::Expired, ..page("delete") });
    let state = PlanState::Confirmed { job: s.t("j1") };
    add("plan-confirmed", &PlanPage { state, ..page("pause") });
    let all = breakdown("Tenant", ["Blue Bakery", "Harbour Cycles", "Øst Kaffe & Te"]);
    let tenants = PlanTenantsPage {
        shell: s.shell("Tenants of the plan", "/w/w1/plans/p1/tenants"),
        plan_url: "/w/w1/plans/p1".into(),
        headline: s.t("Delete 4,180 posts of 23 tenants."),
        rows: all.rows,
        pager: Pager::pages(None, s.opt("?skip=100".into())),
    };
    add("plan-tenants", &tenants);
    let listed = ListedPage {
        shell: s.shell("Posts from a list", "/w/w1/plans/new"),
        ws: "w1".into(),
        error: s.whole_error(),
        list: s.field("list", "65f0c0ffee0000000000abcd"),
        zone: s.field("zone", "Europe/Berlin"),
        actions: s.choices(&[("", "As the list says"), ("pause", "Pause")]),
        bad: s.rows(3, |i| BadLine { number: i + 1, text: s.t("There is no such post in this workspace") }),
        more_bad: s.n(12),
        usable: s.n(812),
    };
    add("plan-new", &listed);
}

pub fn jobs(s: &Sample, add: &mut Add) {
    add(
        "jobs",
        &JobListPage {
            shell: s.shell("Bulk jobs", "/w/w1/jobs"),
            ws: "w1".into(),
            states: s.rows(3, |i| {
                Choice::new(["", "unfinished", "stopped"][i], ["Any", "Not ended", "Stopped"][i], i == 1)
            }),
            actions: s.rows(2, |i| Choice::new(["", "delete"][i], ["Any", "Delete"][i], false)),
            actors: s.rows(2, |i| Choice::new(["", "a1"][i], s.t(["Any", "ada@agency.example"][i]), false)),
            result_line: s.opt(s.t("1 to 7 of 142 · newest first")).unwrap_or_default(),
            filtered: s.sort == Sort::Hostile,
            rows: s.job_rows(7),
            pager: Pager::times(None, s.opt("?before=7".into())),
        },
    );
    let page = || JobPage {
        shell: Shell {
            title_prefix: "(29%) ".into(),
            refresh: Some(5),
            ..s.shell("Delete 4,180 posts", "/w/w1/jobs/j1")
        },
        ws: "w1".into(),
        id: s.t("j1"),
        title: s.t("Delete 4,180 posts"),
        state: "running".into(),
        badge: Badge::job("running"),
        is_final: false,
        summary: String::new(),
        counters: s.counters(),
        rate: s.opt("4.8/s".to_owned()).unwrap_or_default(),
        time_left: s.opt("about 10 min".to_owned()).unwrap_or_default(),
        actor: s.t("Ada Byron"),
        reason: s.opt(s.t("Campaign was called off")).unwrap_or_default(),
        started: s.at("15 Mar 2026, 14:33:10 UTC", "4 min ago"),
        finished: None,
        audit_url: "/w/w1/audit?job=j1".into(),
        backups: Count(1190),
        parent: s.opt(Link::new(s.t("Job 141"), "/w/w1/jobs/141")),
        children: vec![],
        can_pause: true,
        can_resume: false,
        can_cancel: true,
        follow_ups: vec![],
        refresh_tabs: s.tabs(&[("Off", 0), ("Every 5 s", 0)]),
        tenants: s.rows(3, |i| JobTenant {
            name: s.t(["Blue Bakery", "Harbour Cycles", "Øst Kaffe & Te"][i]),
            url: "?tenant=t1".into(),
            counters: s.counters(),
        }),
        failures: s.rows(2, |i| FailureGroup {
            code: s.t(["PLATFORM_AUTH_EXPIRED", "UNKNOWN_ERROR"][i]),
            count: Count([9, 3][i]),
            meaning: s.t("The tenant has to reconnect this account: send a connection link."),
            advice: ["Trying again would most likely fail the same way.", "Can be tried again."][i],
            sample: s.t("The access token has expired."),
            request: (i == 0)
                .then(|| Link::new(s.t("0199c2f0-1c5e-7a31-9d5e-3f6f1a2b3c4d"), "/w/w1/operations/o1")),
            url: "?result=failed".into(),
        }),
        latest: s.rows(2, |_| Failure {
            code: s.t("PLATFORM_AUTH_EXPIRED"),
            tenant: s.t("Blue Bakery"),
            post: s.t("507f1f77bcf86cd799439011"),
            url: "/w/w1/posts/t1/p1".into(),
            message: s.t("The access token has expired."),
        }),
        tabs: s.tabs(&[("All", 4180), ("Done", 1190), ("Skipped", 22), ("Failed", 12), ("Unknown", 0)]),
        items: s.rows(6, |i| JobItem {
            post: s.t("507f…9011"),
            url: "/w/w1/posts/t1/p1".into(),
            content: s.t("Fresh sourdough every morning from seven."),
            tenant: s.t("Blue Bakery"),
            badge: Badge::item(["succeeded", "failed", "skipped", "unknown", "running", "pending"][i]),
            detail: if i == 1 { s.t("The access token has expired.") } else { String::new() },
            code: if i == 1 { s.t("PLATFORM_AUTH_EXPIRED") } else { String::new() },
            times: if i == 2 { "asked 14:00, got 14:07".into() } else { String::new() },
            attempts: 1,
            at: (i < 4).then(|| s.at("15 Mar 2026, 14:34:02 UTC", "")),
        }),
        pager: Pager::pages(None, s.opt("?after=6".into())),
    };
    add("job", &page());
    add(
        "job-done",
        &JobPage {
            shell: s.shell("Delete 4,180 posts", "/w/w1/jobs/j1"),
            state: "completed_with_errors".into(),
            badge: Badge::job("completed_with_errors"),
            is_final: true,
            summary: s.t("4,036 deleted, 132 skipped, 12 failed in 14 min."),
            finished: Some(s.at("15 Mar 2026, 14:47:31 UTC", "2 min ago")),
            can_pause: false,
            can_cancel: false,
            follow_ups: vec![FollowUp { purpose: "retry", text: "Retry 9 retryable…".into() }],
            ..page()
        },
    );
    let consequence = s.t("1,224 already deleted cannot be restored. 2,956 will not be touched.");
    let shell = s.shell("Cancel job", "/w/w1/jobs/j1/cancel");
    let title = s.t("Delete 4,180 posts");
    add("job-cancel", &CancelPage { shell, ws: "w1".into(), id: s.t("j1"), title, consequence });
}
