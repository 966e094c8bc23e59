//! The parts of a plan's page: its breakdowns, each count a link to the posts behind it; why posts are skipped; what must
//! not be overlooked; the posts with their old and new times.

use super::{
    form::{Form, query_string},
    post_filter::{self, platform_label},
    present::{self, Clocks},
    views::{
        Badge, Breakdown, BreakdownRow, Callout, Link, Moment, Pager, PlanItem as ItemRow, SkipRow, Tab,
    },
};
use crate::{
    clock::Millis,
    domain::{
        ids,
        plans::{BulkAction, Plan, PlanItem, SkipReason, Summary, TOP_TENANTS},
        posts::{PLATFORMS, PostStatus},
        times,
    },
    store::plans::Show,
};
use std::collections::HashMap;

/// Which of the plan's posts the page lists: `?show=`, `?tenant=`, `?platform=` or `?status=`. The counts of the breakdowns
/// are of the posts to be acted on, and so are the lists behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    All,
    Acted,
    Skipped(SkipReason),
    Soon,
    Tenant(String),
    Platform(String),
    Status(PostStatus),
}

impl Part {
    pub fn read(form: &Form) -> Self {
        let (tenant, platform) = (form.get("tenant"), form.get("platform"));
        match form.get("show") {
            "todo" => Self::Acted,
            "soon" => Self::Soon,
            _ if ids::is_object_id(tenant) => Self::Tenant(tenant.to_owned()),
            _ if PLATFORMS.contains(&platform) => Self::Platform(platform.to_owned()),
            word => match (SkipReason::parse(word), PostStatus::parse(form.get("status"))) {
                (Some(reason), _) => Self::Skipped(reason),
                (None, Some(status)) => Self::Status(status),
                (None, None) => Self::All,
            },
        }
    }

    pub fn is_whole(&self) -> bool {
        *self == Self::All
    }

    pub fn tenant(&self) -> Option<&str> {
        match self {
            Self::Tenant(id) => Some(id),
            _ => None,
        }
    }

    pub fn show(&self) -> Show<'_> {
        match self {
            Self::All => Show::All,
            Self::Acted => Show::Acted,
            Self::Skipped(reason) => Show::Skipped(*reason),
            Self::Soon => Show::Soon,
            Self::Tenant(id) => Show::Tenant(id),
            Self::Platform(name) => Show::Platform(name),
            Self::Status(status) => Show::Status(*status),
        }
    }

    fn pair(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::All => None,
            Self::Acted => Some(("show", "todo")),
            Self::Skipped(reason) => Some(("show", reason.as_str())),
            Self::Soon => Some(("show", "soon")),
            Self::Tenant(id) => Some(("tenant", id)),
            Self::Platform(name) => Some(("platform", name)),
            Self::Status(status) => Some(("status", status.as_str())),
        }
    }

    /// The page of these posts.
    fn url(&self, base: &str) -> String {
        match self.pair() {
            None => base.to_owned(),
            Some(pair) => format!("{base}?{}#items", query_string([pair])),
        }
    }

    /// How many posts it lists; `None` where that is not known without counting.
    fn count(&self, totals: &Summary) -> Option<i64> {
        let of =
            |counts: &[(String, i64)], word: &str| counts.iter().find(|(w, _)| w == word).map(|(_, n)| *n);
        match self {
            Self::All => Some(totals.total()),
            Self::Acted => Some(totals.acted),
            Self::Skipped(reason) => Some(totals.skipped_as(*reason)),
            Self::Soon => Some(totals.soon),
            Self::Tenant(id) => of(&totals.top_tenants, id),
            Self::Platform(name) => of(&totals.platforms, name),
            Self::Status(status) => of(&totals.statuses, status.as_str()),
        }
    }

    fn label(&self, names: &HashMap<String, String>) -> String {
        match self {
            Self::All => "All".into(),
            Self::Acted => "To do".into(),
            Self::Skipped(reason) => short_reason(*reason).into(),
            Self::Soon => "Within 10 minutes".into(),
            Self::Tenant(id) => names.get(id).unwrap_or(id).clone(),
            Self::Platform(name) => platform_label(name),
            Self::Status(status) => post_filter::status_label(status.as_str()).to_owned(),
        }
    }

    pub fn pager(&self, base: &str, from: i64, next: Option<i64>) -> Pager {
        let link = |n: i64| {
            let from = n.to_string();
            let pairs = self.pair().into_iter().chain([("from", from.as_str())]);
            format!("{base}?{}#items", query_string(pairs))
        };
        // Back goes to the first page: numbers of other pages are not known when posts are left out of the tab.
        Pager::pages((from > 0).then(|| link(0)), next.map(link))
    }
}

/// All, to do, and the part that is shown if it is another.
pub fn tabs(totals: &Summary, shown: &Part, names: &HashMap<String, String>, base: &str) -> Vec<Tab> {
    let mut parts = vec![Part::All, Part::Acted];
    if !parts.contains(shown) {
        parts.push(shown.clone());
    }
    let tab = |part: &Part| Tab {
        label: part.label(names),
        count: part.count(totals).map(present::count),
        url: part.url(base),
        current: part == shown,
    };
    parts.iter().map(tab).collect()
}

fn short_reason(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::Published => "Published",
        SkipReason::Processing => "Publishing now",
        SkipReason::DueSoon => "Due within 2 minutes",
        SkipReason::NotUpdatable => "Not draft or scheduled",
        SkipReason::AlreadyDone => "Nothing to change",
        SkipReason::NotPausedByUs => "Not paused here",
        SkipReason::PastTime => "Time in the past",
        SkipReason::NoTime => "No time",
        SkipReason::NoSuchTime => "Time does not exist",
        SkipReason::TimeTwice => "Time comes twice",
        SkipReason::TenantFrozen => "Tenant frozen",
        SkipReason::TenantDetached => "Tenant detached",
        SkipReason::Locked => "In another job",
        SkipReason::Changed => "Changed",
        SkipReason::LimitReached => "Plan limit",
        SkipReason::AlreadyRecreated => "Already recreated",
        SkipReason::IncompleteCopy => "Incomplete backup",
    }
}

/// Why posts are left out, the most frequent reason first.
pub fn skips(totals: &Summary, base: &str) -> Vec<SkipRow> {
    totals
        .skips
        .iter()
        .filter_map(|(word, n)| Some((SkipReason::parse(word)?, *n)))
        .map(|(reason, n)| SkipRow {
            reason: short_reason(reason).into(),
            explanation: format!("{}.", reason.text()),
            count: present::count(n),
            url: Part::Skipped(reason).url(base),
        })
        .collect()
}

/// What must not be overlooked; only when true.
pub fn callouts(plan: &Plan, base: &str) -> Vec<Callout> {
    let summary = &plan.summary;
    let mut callouts = Vec::new();
    let mut add = |text: String, part: Part| callouts.push(Callout { text, url: part.url(base) });
    let past = summary.skipped_as(SkipReason::PastTime);
    if past > 0 {
        let text = "a time in the past: PostPost would publish at once. Skipped.";
        let posts = present::count(past).of("post would have", "posts would have");
        add(format!("{posts} {text}"), Part::Skipped(SkipReason::PastTime));
    }
    if plan.action == BulkAction::Resume && summary.untimed > 0 {
        let posts = present::count(summary.untimed).of("post will be published", "posts will be published");
        add(format!("{posts} as soon as the job gets there, because you chose so."), Part::Acted);
    }
    let twice = summary.skipped_as(SkipReason::TimeTwice);
    if twice > 0 {
        let posts = present::count(twice).of("post would get a time", "posts would get a time");
        let text = "that comes twice, because clocks go back. Choose which is meant.";
        add(format!("{posts} {text}"), Part::Skipped(SkipReason::TimeTwice));
    }
    if summary.soon > 0 {
        let posts = present::count(summary.soon).of("of these posts publishes", "of these posts publish");
        add(format!("{posts} within 10 minutes and may go out before the job gets there."), Part::Soon);
    }
    if summary.media > 0 {
        let posts = present::count(summary.media).of("of these posts", "of these posts");
        let text = "had media: the files are not in the backup, and the drafts come without them.";
        // The plan does not keep which.
        callouts.push(Callout { text: format!("{posts} {text}"), url: String::new() });
    }
    callouts
}

/// By tenant, platform and status, of the posts to be acted on.
pub fn breakdowns(totals: &Summary, names: &HashMap<String, String>, base: &str) -> Vec<Breakdown> {
    let by = |title: &str, counts: &[(String, i64)], part: &dyn Fn(&str) -> Part| Breakdown {
        title: title.into(),
        rows: rows(counts, totals.acted, names, base, part),
        more: None,
    };
    if totals.acted == 0 {
        return Vec::new();
    }
    let mut tenants = by("Tenant", &totals.top_tenants, &|id| Part::Tenant(id.to_owned()));
    if totals.tenants > TOP_TENANTS {
        let text = format!("All {} tenants", present::count(totals.tenants as i64));
        tenants.more = Some(Link::new(text, format!("{base}/tenants")));
    }
    vec![
        tenants,
        by("Platform", &totals.platforms, &|name| Part::Platform(name.to_owned())),
        by("Status", &totals.statuses, &|word| match PostStatus::parse(word) {
            Some(status) => Part::Status(status),
            None => Part::Acted,
        }),
    ]
}

/// Rows of the page of all tenants.
pub fn tenant_rows(
    counts: &[(String, i64)],
    acted: i64,
    names: &HashMap<String, String>,
    base: &str,
) -> Vec<BreakdownRow> {
    rows(counts, acted, names, base, &|id| Part::Tenant(id.to_owned()))
}

fn rows(
    counts: &[(String, i64)],
    acted: i64,
    names: &HashMap<String, String>,
    base: &str,
    part: &dyn Fn(&str) -> Part,
) -> Vec<BreakdownRow> {
    let row = |(word, n): &(String, i64)| {
        let part = part(word);
        BreakdownRow {
            label: part.label(names),
            count: present::count(*n),
            share: (n * 100 / acted.max(1)).unsigned_abs(),
            url: part.url(base),
        }
    };
    counts.iter().map(row).collect()
}

/// A post of the plan, its old and new time by the person's clocks, and below in UTC and in the plan's zone where these differ.
pub fn item_row(plan: &Plan, item: &PlanItem, names: &HashMap<String, String>, clocks: &Clocks) -> ItemRow {
    let paused = plan.action == BulkAction::Resume
        && item.status == PostStatus::Draft
        && item.skip != Some(SkipReason::NotPausedByUs);
    let platforms: Vec<String> =
        item.platforms.split(", ").filter(|p| !p.is_empty()).map(platform_label).collect();
    let moves = matches!(plan.action, BulkAction::Reschedule | BulkAction::Resume);
    let target = item.target_at.filter(|_| moves && item.skip.is_none());
    let (own, planned) = (clocks.zone(), plan.options.zone.as_str());
    let mut zones = vec!["UTC", planned];
    zones.dedup();
    zones.retain(|zone| *zone != own);
    let local = |at: Option<Millis>| match at {
        Some(at) => zones.iter().map(|zone| times::shown_in(at, zone)).collect::<Vec<_>>().join(" · "),
        None => String::new(),
    };
    ItemRow {
        url: match plan.action {
            // It is not there any more.
            BulkAction::Recreate => String::new(),
            _ => format!("/w/{}/posts/{}/{}", plan.workspace_id, item.tenant_id, item.post_id),
        },
        content: item.content.clone(),
        tenant: names.get(&item.tenant_id).cloned().unwrap_or_else(|| item.tenant_id.clone()),
        platforms: platforms.join(", "),
        badge: Badge::post(match item.skip {
            Some(SkipReason::Processing) => "processing",
            _ if paused => "paused",
            _ => item.status.as_str(),
        }),
        old_time: item.scheduled_at.map(|at| clocks.moment(at)),
        old_local: local(item.scheduled_at),
        new_local: local(target),
        new_time: match target {
            Some(at) => Some(clocks.moment(at)),
            None if plan.action == BulkAction::Resume && item.skip.is_none() => {
                Some(Moment { absolute: "Publishes at once".into(), ..clocks.moment(clocks.now) })
            }
            None => None,
        },
        skip: item.skip.map(|reason| reason.text().to_owned()).unwrap_or_default(),
    }
}
