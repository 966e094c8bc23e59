//! The page of a plan: the sentence, what is skipped and why, the posts with their old and new times, and what has to be
//! typed before it is confirmed.

use super::{
    super::{Answer, Error},
    form::Form,
    post_filter::{self, platform_label},
    present,
    views::{
        Badge, Breakdown, BreakdownRow, Choice, Count, Field, Moment, Pager, PlanItem as ItemRow,
        PlanOptions as OptionsView, PlanPage, PlanState, SkipRow, Tab,
    },
    visit::Visit,
};
use crate::{
    clock::{DAY, HOUR, MINUTE, Millis},
    domain::{
        Invalid,
        plans::{BulkAction, Demands, Move, PastDue, Plan, PlanItem, SkipReason, Source, Summary, demands},
        posts::PostStatus,
        times,
    },
    store::plans::Show,
};
use std::collections::HashMap;

/// Posts shown on one page of a plan.
const PER_PAGE: i64 = 50;

/// What was wrong with a form of this page, and what had been typed.
#[derive(Default)]
pub struct Mistakes {
    pub whole: Option<String>,
    fields: Vec<(&'static str, String)>,
    reason: String,
    options_typed: bool,
}

impl Mistakes {
    pub fn options(invalid: Invalid) -> Self {
        Self { fields: vec![(invalid.field, invalid.reason)], options_typed: true, ..Self::default() }
    }

    pub fn with_reason(reason: &str) -> Self {
        Self { reason: reason.to_owned(), ..Self::default() }
    }

    pub fn add(&mut self, field: &'static str, text: &str) {
        self.fields.push((field, text.to_owned()));
    }

    pub fn any(&self) -> bool {
        self.whole.is_some() || !self.fields.is_empty()
    }

    fn of(&self, field: &'static str, value: impl Into<String>) -> Field {
        let mut view = Field::filled(field, value);
        view.error = self.fields.iter().find(|(name, _)| *name == field).map(|(_, text)| text.clone());
        view
    }
}

/// What the plan demands before it is confirmed.
pub fn demands_of(plan: &Plan) -> Demands {
    let summary = &plan.summary;
    demands(plan.action, summary.acted, summary.tenants, plan.source == Source::Matching)
}

pub async fn render(visit: &Visit, plan: &Plan, mistakes: Mistakes) -> Result<Answer, Error> {
    let app = &visit.app;
    let now = app.clock.now();
    let totals = &plan.summary;
    let demands = demands_of(plan);
    let base = format!("/w/{}/plans/{}", plan.workspace_id, plan.id);
    let show = read_show(visit);
    let from = visit.form.get("from").parse().unwrap_or(0);
    let mut items = app.db.plan_items(&plan.id, show, from, PER_PAGE + 1).await?;
    let next = (items.len() as i64 > PER_PAGE).then(|| items.pop()).flatten();
    let tenant_ids: Vec<&str> = totals
        .top_tenants
        .iter()
        .map(|(tenant, _)| tenant.as_str())
        .chain(items.iter().map(|i| i.tenant_id.as_str()))
        .collect();
    let names = app.db.tenant_names(&plan.workspace_id, &tenant_ids).await?;
    let query =
        post_filter::read(&Form::from_text(&plan.filter)).map_err(|e| Error::bad("invalid_filter", e))?;
    let keep_url = query.url(&format!("/w/{}/posts", plan.workspace_id), &[]);
    let headline = headline(plan);
    let status = if mistakes.any() { 422 } else { 200 };
    let shell =
        if mistakes.any() { visit.error_shell(headline.clone()) } else { visit.shell(headline.clone()) };
    let page = PlanPage {
        ws: plan.workspace_id.clone(),
        id: plan.id.clone(),
        digest: plan.digest.clone(),
        action: plan.action.as_str(),
        state: match &plan.job_id {
            Some(job) => PlanState::Confirmed { job: job.clone() },
            None if plan.expires_at <= now => PlanState::Expired { again_url: keep_url.clone() },
            None => PlanState::Open,
        },
        headline,
        skipped_line: match totals.skipped {
            0 => String::new(),
            n => format!("{} will be skipped.", present::count(n)),
        },
        selected: selected(plan, &query.words(&names)),
        snapshot: present::exact_moment(plan.created_at, now),
        mirror_line: match plan.mirrored_at {
            Some(at) => {
                format!("The oldest copy it was made from was {} old.", present::age(at, plan.created_at))
            }
            None => String::new(),
        },
        expires: present::exact_moment(plan.expires_at, now),
        count: present::count(totals.acted),
        callouts: callouts(plan),
        breakdowns: breakdowns(totals, &names),
        window: totals.window.map(|(first, last)| (present::moment(first, now), present::moment(last, now))),
        skips: skips(totals, &base),
        options: options_view(visit, plan, &mistakes),
        tabs: tabs(totals, show, &base),
        items: items.iter().map(|item| item_row(plan, item, &names, now)).collect(),
        pager: pager(visit, &base, from, next.map(|i| i.n)),
        error: mistakes.whole.clone(),
        submit: format!("{} {}", plan.action.label(), present::count(totals.acted).of("post", "posts")),
        typed: demands.typed,
        confirm: mistakes.of("confirm", ""),
        reason: mistakes.of("reason", mistakes.reason.clone()),
        reason_required: demands.reason,
        password_required: false,
        password: Field::new("password"),
        delay_line: String::new(),
        keep_url,
        shell,
    };
    Ok(present::page_with_status(status, &page))
}

/// "Delete 4,180 posts of 23 tenants."
fn headline(plan: &Plan) -> String {
    let posts = present::count(plan.summary.acted).of("post", "posts");
    let tenants = Count(plan.summary.tenants as u64).of("tenant", "tenants");
    match plan.summary.acted {
        0 => format!("{} no posts.", plan.action.label()),
        _ => format!("{} {posts} of {tenants}.", plan.action.label()),
    }
}

/// How the posts were chosen, in words.
fn selected(plan: &Plan, filters: &str) -> String {
    let all = present::count(plan.summary.total());
    let left_out = match plan.excluded.len() {
        0 => String::new(),
        n => format!("; {n} left out"),
    };
    match (plan.source, filters) {
        (Source::Matching, "") => format!("all posts of the workspace{left_out}"),
        (Source::Matching, words) => format!("all posts matching {words}{left_out}"),
        (Source::Ticked, _) => all.of("ticked post", "ticked posts"),
        (Source::Listed, _) => all.of("listed post", "listed posts"),
        (Source::Job, _) => all.of("post of an earlier job", "posts of an earlier job"),
    }
}

fn read_show(visit: &Visit) -> Show {
    match visit.form.get("show") {
        "todo" => Show::Acted,
        word => SkipReason::parse(word).map_or(Show::All, Show::Skipped),
    }
}

fn tabs(totals: &Summary, show: Show, base: &str) -> Vec<Tab> {
    let all = totals.acted + totals.skipped;
    let tab = |label: &str, count: i64, query: &str, current: bool| Tab {
        label: label.into(),
        count: Some(present::count(count)),
        url: format!("{base}{query}"),
        current,
    };
    let mut tabs = vec![
        tab("All", all, "", show == Show::All),
        tab("To do", totals.acted, "?show=todo", show == Show::Acted),
    ];
    if let Show::Skipped(reason) = show {
        let count = totals.skipped_as(reason);
        tabs.push(tab(short_reason(reason), count, &format!("?show={reason}"), true));
    }
    tabs
}

fn pager(visit: &Visit, base: &str, from: i64, next: Option<i64>) -> Pager {
    let show = visit.form.get("show");
    let link = |n: i64| {
        let from = n.to_string();
        let mut pairs = vec![("from", from.as_str())];
        if !show.is_empty() {
            pairs.insert(0, ("show", show));
        }
        format!("{base}?{}", super::form::query_string(pairs))
    };
    // Back goes to the first page: numbers of other pages are not known when posts are left out of the tab.
    Pager::pages((from > 0).then(|| link(0)), next.map(link))
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
    }
}

fn skips(totals: &Summary, base: &str) -> Vec<SkipRow> {
    totals
        .skips
        .iter()
        .filter_map(|(word, n)| Some((SkipReason::parse(word)?, *n)))
        .map(|(reason, n)| SkipRow {
            reason: short_reason(reason).into(),
            explanation: format!("{}.", reason.text()),
            count: present::count(n),
            url: format!("{base}?show={reason}"),
        })
        .collect()
}

/// What must not be overlooked; only when true.
fn callouts(plan: &Plan) -> Vec<String> {
    let summary = &plan.summary;
    let mut callouts = Vec::new();
    let past = summary.skipped_as(SkipReason::PastTime);
    if past > 0 {
        callouts.push(format!(
            "{} a time in the past: PostPost would publish at once. Skipped.",
            present::count(past).of("post would have", "posts would have")
        ));
    }
    if plan.action == BulkAction::Resume && summary.untimed > 0 {
        callouts.push(format!(
            "{} immediately, because you chose so: the time has passed, or there is none.",
            present::count(summary.untimed).of("post will be published", "posts will be published")
        ));
    }
    if summary.soon > 0 {
        callouts.push(format!(
            "{} within 10 minutes and may go out before the job gets there.",
            present::count(summary.soon).of("of these posts publishes", "of these posts publish")
        ));
    }
    callouts
}

fn breakdowns(totals: &Summary, names: &HashMap<String, String>) -> Vec<Breakdown> {
    let by = |title: &str, counts: &[(String, i64)], label: &dyn Fn(&str) -> String| {
        let row = |(word, n): &(String, i64)| BreakdownRow {
            label: label(word),
            count: present::count(*n),
            share: (n * 100 / totals.acted.max(1)).unsigned_abs(),
            url: String::new(),
        };
        Breakdown { title: title.into(), rows: counts.iter().map(row).collect(), more: None }
    };
    if totals.acted == 0 {
        return Vec::new();
    }
    vec![
        by("Tenant", &totals.top_tenants, &|id| names.get(id).cloned().unwrap_or_else(|| id.to_owned())),
        by("Platform", &totals.platforms, &platform_label),
        by("Status", &totals.statuses, &|word| post_filter::status_label(word).to_owned()),
    ]
}

fn options_view(visit: &Visit, plan: &Plan, mistakes: &Mistakes) -> OptionsView {
    let form = &visit.form;
    let typed =
        |name: &str, stored: String| if mistakes.options_typed { form.get(name).to_owned() } else { stored };
    let choices = |name: &str, all: &[(&str, &str)], stored: &str| -> Vec<Choice> {
        let current = typed(name, stored.to_owned());
        all.iter().map(|(value, label)| Choice::new(*value, *label, *value == current)).collect()
    };
    match plan.action {
        BulkAction::Reschedule => {
            let (mode, by, at) = match plan.options.moved {
                Move::Shift { by } => ("shift", by, String::new()),
                Move::Days { days } => ("shift", i64::from(days) * DAY, String::new()),
                Move::Set { at } => ("set", DAY, times::to_local_utc(at)),
                Move::Spread { .. } | Move::Weekday { .. } | Move::Listed => ("", DAY, String::new()),
            };
            let (amount, unit) = match by.abs() {
                n if n % DAY == 0 => (n / DAY, "days"),
                n if n % HOUR == 0 => (n / HOUR, "hours"),
                n => (n / MINUTE, "minutes"),
            };
            OptionsView::Reschedule {
                modes: choices("mode", &[("shift", "Shift each post"), ("set", "Set all to one time")], mode),
                amount: mistakes.of("amount", typed("amount", amount.to_string())),
                units: choices("unit", &[("minutes", "minutes"), ("hours", "hours"), ("days", "days")], unit),
                signs: choices(
                    "sign",
                    &[("later", "later"), ("earlier", "earlier")],
                    if by < 0 { "earlier" } else { "later" },
                ),
                at: mistakes.of("at", typed("at", at)),
            }
        }
        BulkAction::Resume => {
            let stored = if plan.options.past_due == PastDue::PublishNow { "publish_now" } else { "skip" };
            // With "publish now" they are acted on; the choice must stay on the page to be taken back.
            let late = plan.summary.untimed
                + plan.summary.skipped_as(SkipReason::PastTime)
                + plan.summary.skipped_as(SkipReason::NoTime);
            OptionsView::Resume {
                choices: choices(
                    "past_due",
                    &[("skip", "Leave them paused"), ("publish_now", "Publish them now")],
                    stored,
                ),
                past_due: mistakes.of("past_due", ""),
                late: present::count(late),
            }
        }
        BulkAction::Delete | BulkAction::Pause => OptionsView::None,
    }
}

fn item_row(plan: &Plan, item: &PlanItem, names: &HashMap<String, String>, now: Millis) -> ItemRow {
    let paused = plan.action == BulkAction::Resume
        && item.status == PostStatus::Draft
        && item.skip != Some(SkipReason::NotPausedByUs);
    let platforms: Vec<String> =
        item.platforms.split(", ").filter(|p| !p.is_empty()).map(platform_label).collect();
    let moves = matches!(plan.action, BulkAction::Reschedule | BulkAction::Resume);
    ItemRow {
        url: format!("/w/{}/posts/{}/{}", plan.workspace_id, item.tenant_id, item.post_id),
        content: item.content.clone(),
        tenant: names.get(&item.tenant_id).cloned().unwrap_or_else(|| item.tenant_id.clone()),
        platforms: platforms.join(", "),
        badge: Badge::post(match item.skip {
            Some(SkipReason::Processing) => "processing",
            _ if paused => "paused",
            _ => item.status.as_str(),
        }),
        old_time: item.scheduled_at.map(|at| present::moment(at, now)),
        new_time: match item.target_at.filter(|_| moves) {
            Some(at) => Some(present::moment(at, now)),
            None if plan.action == BulkAction::Resume && item.skip.is_none() => {
                Some(Moment { absolute: "Publishes at once".into(), ..present::moment(now, now) })
            }
            None => None,
        },
        skip: item.skip.map(|reason| reason.text().to_owned()).unwrap_or_default(),
    }
}
