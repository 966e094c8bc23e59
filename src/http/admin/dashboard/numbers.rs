//! "Needs attention" and the four tiles. A number and the list it leads to come from one filter.

use crate::{
    clock::{DAY, MINUTE, Millis},
    domain::{tenants::TenantState, times},
    http::{
        Error,
        admin::{
            form::query_string,
            jobs, present,
            views::{Attention, Count, Tile},
            visit::Visit,
        },
    },
    store::{
        jobs::JobFilter,
        keys::{KeyFilter, KeyList},
        posts::{PostFilter, StatusFilter},
        tenants::TenantFilter,
    },
};

/// A scheduled post this long after its time should have been published.
const OVERDUE: Millis = 10 * MINUTE;
/// Ended jobs that are looked through for failures.
const JOBS: i64 = 20;

/// The address of the list of posts that a filter shows. Only filters whose times are whole minutes can be written.
pub(super) fn posts_url(ws: &str, filter: &PostFilter) -> String {
    let times =
        [("from", filter.from), ("to", filter.to)].map(|(name, at)| (name, at.map(times::to_local_utc)));
    let pairs = filter
        .tenants
        .iter()
        .map(|id| ("tenant", id.as_str()))
        .chain(filter.statuses.iter().map(|s| ("status", s.as_str())))
        .chain(filter.platforms.iter().map(|p| ("platform", p.as_str())))
        .chain(times.iter().filter_map(|(name, at)| Some((*name, at.as_deref()?))));
    format!("/w/{ws}/posts?{}", query_string(pairs))
}

/// Posts of one status whose time is in a span.
pub(super) fn in_span(status: StatusFilter, from: Millis, to: Millis) -> PostFilter {
    PostFilter { statuses: vec![status], from: Some(from), to: Some(to), ..PostFilter::default() }
}

/// The beginning of this minute.
pub(super) fn this_minute(now: Millis) -> Millis {
    now - now.rem_euclid(MINUTE)
}

pub(super) async fn attention(
    visit: &Visit,
    ws: &str,
    failing: i64,
    now: Millis,
) -> Result<Vec<Attention>, Error> {
    let db = &visit.app.db;
    let end = this_minute(now) + MINUTE;
    let mut rows = Vec::new();
    let mut add = |kind, count: i64, [one, many]: [&str; 2], url: String| {
        if count > 0 {
            let text = if count == 1 { one } else { many }.to_owned();
            rows.push(Attention { kind, count: present::count(count), text, url });
        }
    };
    let suspended = visit.workspace()?.suspended_at.is_some();
    let text = "PostPost key is refused: all calls are suspended until it is replaced";
    add("danger", suspended.into(), [text, text], format!("/w/{ws}"));
    let failed = in_span(StatusFilter::Failed, end - DAY, end);
    let n = db.count_posts(ws, &failed).await?;
    add(
        "danger",
        n,
        ["post failed in the last 24 h", "posts failed in the last 24 h"],
        posts_url(ws, &failed),
    );
    let partly = in_span(StatusFilter::PartiallyPublished, end - DAY, end);
    let n = db.count_posts(ws, &partly).await?;
    add(
        "warn",
        n,
        [
            "post was only partly published in the last 24 h",
            "posts were only partly published in the last 24 h",
        ],
        posts_url(ws, &partly),
    );
    let overdue = PostFilter {
        statuses: vec![StatusFilter::Scheduled],
        to: Some(this_minute(now) - OVERDUE),
        ..PostFilter::default()
    };
    let n = db.count_posts(ws, &overdue).await?;
    add("danger", n, ["scheduled post is overdue", "scheduled posts are overdue"], posts_url(ws, &overdue));
    for job in db.jobs(ws, &JobFilter::default(), None, JOBS).await? {
        if job.counts.failed > 0 && job.ended_at.is_some_and(|at| at > now - DAY) {
            let many = format!("items failed in the job \u{201c}{}\u{201d}", jobs::title(&job));
            let one = many.replacen("items", "item", 1);
            let url = format!("/w/{ws}/jobs/{}?result=failed", job.id);
            add("danger", job.counts.failed, [&one, &many], url);
        }
    }
    add(
        "warn",
        failing,
        ["tenant failed to sync", "tenants failed to sync"],
        format!("/w/{ws}/tenants?state=failing"),
    );
    for (list, text) in [
        (KeyList::Expiring, ["key expires within 7 days", "keys expire within 7 days"]),
        (KeyList::Unused, ["key was not used for 90 days", "keys were not used for 90 days"]),
    ] {
        let n = db.count_keys(ws, &KeyFilter { tenant_id: None, list: Some(list), now }).await?;
        add("warn", n, text, format!("/w/{ws}/keys?status={list}"));
    }
    Ok(rows)
}

/// Scheduled, published, failed, active: each with its period and something to compare it with (ui.md D2).
pub(super) async fn tiles(visit: &Visit, ws: &str, tenants: i64, now: Millis) -> Result<Vec<Tile>, Error> {
    let db = &visit.app.db;
    let (start, end) = (this_minute(now), this_minute(now) + MINUTE);
    let scheduled = in_span(StatusFilter::Scheduled, start, start + DAY);
    let later = in_span(StatusFilter::Scheduled, start + DAY, start + 2 * DAY);
    let published = in_span(StatusFilter::AnyPublished, end - DAY, end);
    let before = in_span(StatusFilter::AnyPublished, end - 2 * DAY, end - DAY);
    let failed = in_span(StatusFilter::Failed, end - DAY, end);
    let active = TenantFilter { state: Some(TenantState::Active), ..TenantFilter::default() };
    let coming = db.count_posts(ws, &scheduled).await?;
    let after = db.count_posts(ws, &later).await?;
    let out = db.count_posts(ws, &published).await?;
    let earlier = db.count_posts(ws, &before).await?;
    let bad = db.count_posts(ws, &failed).await?;
    let alive = db.count_tenants(ws, &active).await?;
    let tile = |label: &str, period: &str, value: i64, note: String, url: String| Tile {
        label: label.into(),
        period: period.into(),
        value: present::count(value).to_string(),
        note,
        url,
        kind: "",
    };
    Ok(vec![
        tile(
            "Scheduled",
            "next 24 h",
            coming,
            format!("{} in the 24 h after", present::count(after)),
            posts_url(ws, &scheduled),
        ),
        tile("Published", "last 24 h", out, against(out, earlier), posts_url(ws, &published)),
        Tile {
            kind: if bad > 0 { "danger" } else { "" },
            ..tile("Failed", "last 24 h", bad, rate(bad, out), posts_url(ws, &failed))
        },
        tile(
            "Active tenants",
            "now",
            alive,
            format!("of {}", present::count(tenants).of("attached tenant", "attached tenants")),
            format!("/w/{ws}/tenants?state=active"),
        ),
    ])
}

/// "+12 % on the 24 h before"
fn against(n: i64, before: i64) -> String {
    match (n, before) {
        (0, 0) => "None in the 24 h before either".into(),
        (_, 0) => "None in the 24 h before".into(),
        _ => {
            let change = (n - before) * 100 / before;
            let sign = if change < 0 { "\u{2212}" } else { "+" };
            format!("{sign}{} % on the 24 h before", Count(change.unsigned_abs()))
        }
    }
}

/// "1.9 % of attempts"
fn rate(failed: i64, published: i64) -> String {
    let attempts = failed + published;
    if attempts == 0 {
        return "No attempts".into();
    }
    let tenths = failed * 1_000 / attempts;
    format!("{}.{} % of attempts", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_read_well() {
        assert_eq!(against(112, 100), "+12 % on the 24 h before");
        assert_eq!(against(97, 100), "\u{2212}3 % on the 24 h before");
        assert_eq!(against(3, 0), "None in the 24 h before");
        assert_eq!(rate(2, 98), "2.0 % of attempts");
        assert_eq!(rate(0, 0), "No attempts");
    }

    #[test]
    fn links_name_the_filter() {
        let day = 1_773_568_800_000;
        assert_eq!(
            posts_url("w1", &in_span(StatusFilter::Failed, day, day + DAY)),
            "/w/w1/posts?status=failed&from=2026-03-15T10%3A00&to=2026-03-16T10%3A00"
        );
    }
}
