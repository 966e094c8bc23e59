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
        plans::{BulkAction, Move, Plan, PlanItem, SkipReason, typed_confirmation},
        posts::PostStatus,
        times,
    },
    store::plans::{PlanGroup, Show},
};
use std::collections::{BTreeMap, HashMap};

/// Posts shown on one page of a plan.
const PER_PAGE: i64 = 50;
/// Rows of a breakdown.
const TOP: usize = 10;

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

/// What has to be given before the plan is confirmed (ui.md §2.3).
pub struct Demands {
    pub count: i64,
    pub typed: Option<String>,
    pub reason: bool,
}

struct Totals {
    acted: i64,
    skipped: i64,
    tenants: usize,
    groups: Vec<PlanGroup>,
}

async fn totals(visit: &Visit, plan: &Plan) -> Result<Totals, Error> {
    let groups = visit.app.db.plan_groups(&plan.id).await?;
    let sum = |skipped: bool| groups.iter().filter(|g| g.3.is_some() == skipped).map(|g| g.4).sum();
    let mut tenants: Vec<&str> = groups.iter().filter(|g| g.3.is_none()).map(|g| g.0.as_str()).collect();
    tenants.sort_unstable();
    tenants.dedup();
    Ok(Totals { acted: sum(false), skipped: sum(true), tenants: tenants.len(), groups })
}

pub async fn demands(visit: &Visit, plan: &Plan) -> Result<Demands, Error> {
    Ok(demands_of(plan, &totals(visit, plan).await?))
}

fn demands_of(plan: &Plan, totals: &Totals) -> Demands {
    let large = totals.acted > 1_000 || plan.matching;
    Demands {
        count: totals.acted,
        typed: typed_confirmation(plan.action, totals.acted as usize, totals.tenants, plan.matching),
        reason: plan.action == BulkAction::Delete || large,
    }
}

pub async fn render(visit: &Visit, plan: &Plan, mistakes: Mistakes) -> Result<Answer, Error> {
    let app = &visit.app;
    let now = app.clock.now();
    let totals = totals(visit, plan).await?;
    let demands = demands_of(plan, &totals);
    let base = format!("/w/{}/plans/{}", plan.workspace_id, plan.id);
    let show = read_show(visit);
    let from = visit.form.get("from").parse().unwrap_or(0);
    let mut items = app.db.plan_items(&plan.id, show, from, PER_PAGE + 1).await?;
    let next = (items.len() as i64 > PER_PAGE).then(|| items.pop()).flatten();
    let tenant_ids: Vec<&str> = totals
        .groups
        .iter()
        .map(|g| g.0.as_str())
        .chain(items.iter().map(|i| i.tenant_id.as_str()))
        .collect();
    let names = app.db.tenant_names(&plan.workspace_id, &tenant_ids).await?;
    let query =
        post_filter::read(&Form::from_text(&plan.filter)).map_err(|e| Error::bad("invalid_filter", e))?;
    let keep_url = query.url(&format!("/w/{}/posts", plan.workspace_id), &[]);
    let headline = headline(plan, &totals);
    let status = if mistakes.any() { 422 } else { 200 };
    let shell =
        if mistakes.any() { visit.error_shell(headline.clone()) } else { visit.shell(headline.clone()) };
    let window = app.db.plan_window(&plan.id).await?;
    let untimed = app.db.plan_untimed(&plan.id).await?;
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
        selected: match (plan.matching, query.words(&names).as_str()) {
            (true, "") => "all posts of the workspace".into(),
            (true, words) => format!("all posts matching {words}"),
            (false, _) => present::count(totals.acted + totals.skipped).of("ticked post", "ticked posts"),
        },
        snapshot: present::exact_moment(plan.created_at, now),
        mirror_line: match plan.mirrored_at {
            Some(at) => {
                format!("The oldest copy it was made from was {} old.", present::age(at, plan.created_at))
            }
            None => String::new(),
        },
        expires: present::exact_moment(plan.expires_at, now),
        count: present::count(totals.acted),
        callouts: callouts(plan, &totals, window.as_ref().map(|w| w.0), now),
        breakdowns: breakdowns(&totals, &names),
        window: window.map(|(first, last)| (present::moment(first, now), present::moment(last, now))),
        skips: skips(&totals, &base),
        options: options_view(visit, plan, &totals, untimed, &mistakes),
        tabs: tabs(&totals, show, &base),
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
fn headline(plan: &Plan, totals: &Totals) -> String {
    let posts = present::count(totals.acted).of("post", "posts");
    let tenants = Count(totals.tenants as u64).of("tenant", "tenants");
    match totals.acted {
        0 => format!("{} no posts.", plan.action.label()),
        _ => format!("{} {posts} of {tenants}.", plan.action.label()),
    }
}

fn read_show(visit: &Visit) -> Show {
    match visit.form.get("show") {
        "todo" => Show::Acted,
        word => SkipReason::parse(word).map_or(Show::All, Show::Skipped),
    }
}

fn tabs(totals: &Totals, show: Show, base: &str) -> Vec<Tab> {
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
        let count =
            totals.groups.iter().filter(|g| g.3.as_deref() == Some(reason.as_str())).map(|g| g.4).sum();
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
        SkipReason::TenantFrozen => "Tenant frozen",
        SkipReason::TenantDetached => "Tenant detached",
        SkipReason::Locked => "In another job",
        SkipReason::Changed => "Changed",
        SkipReason::LimitReached => "Plan limit",
    }
}

fn skips(totals: &Totals, base: &str) -> Vec<SkipRow> {
    let mut reasons: BTreeMap<&str, i64> = BTreeMap::new();
    for group in &totals.groups {
        if let Some(reason) = &group.3 {
            *reasons.entry(reason).or_default() += group.4;
        }
    }
    let mut rows: Vec<_> =
        reasons.into_iter().filter_map(|(word, n)| Some((SkipReason::parse(word)?, n))).collect();
    rows.sort_by_key(|(_, n)| -n);
    rows.into_iter()
        .map(|(reason, n)| SkipRow {
            reason: short_reason(reason).into(),
            explanation: format!("{}.", reason.text()),
            count: present::count(n),
            url: format!("{base}?show={reason}"),
        })
        .collect()
}

/// What must not be overlooked; only when true.
fn callouts(plan: &Plan, totals: &Totals, first: Option<Millis>, now: Millis) -> Vec<String> {
    let mut callouts = Vec::new();
    let past: i64 = totals.groups.iter().filter(|g| g.3.as_deref() == Some("past_time")).map(|g| g.4).sum();
    if past > 0 && matches!(plan.action, BulkAction::Resume | BulkAction::Reschedule) {
        callouts.push(format!(
            "{} a time in the past: PostPost would publish at once. Skipped.",
            present::count(past).of("post would have", "posts would have")
        ));
    }
    if plan.action == BulkAction::Resume && plan.options.publish_past_due {
        callouts
            .push("Posts whose time has passed will be published immediately, because you chose so.".into());
    }
    if let Some(first) = first
        && totals.acted > 0
        && first > now
        && first < now + 10 * MINUTE
    {
        callouts.push(
            "Some of these posts are due within 10 minutes and may go out before they are reached.".into(),
        );
    }
    callouts
}

fn breakdowns(totals: &Totals, names: &HashMap<String, String>) -> Vec<Breakdown> {
    let by = |title: &str, key: &dyn Fn(&PlanGroup) -> Vec<String>| {
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        for group in totals.groups.iter().filter(|g| g.3.is_none()) {
            for label in key(group) {
                *counts.entry(label).or_default() += group.4;
            }
        }
        let mut rows: Vec<_> = counts.into_iter().collect();
        rows.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let rows = rows
            .into_iter()
            .take(TOP)
            .map(|(label, n)| BreakdownRow {
                label,
                count: present::count(n),
                share: (n * 100 / totals.acted.max(1)).unsigned_abs(),
                url: String::new(),
            })
            .collect();
        Breakdown { title: title.into(), rows, more: None }
    };
    if totals.acted == 0 {
        return Vec::new();
    }
    vec![
        by("Tenant", &|g| vec![names.get(&g.0).cloned().unwrap_or_else(|| g.0.clone())]),
        by("Platform", &|g| g.1.split(", ").filter(|p| !p.is_empty()).map(platform_label).collect()),
        by("Status", &|g| vec![post_filter::status_label(&g.2).to_owned()]),
    ]
}

fn options_view(
    visit: &Visit,
    plan: &Plan,
    totals: &Totals,
    untimed: i64,
    mistakes: &Mistakes,
) -> OptionsView {
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
                Move::Set { at } => ("set", DAY, times::to_local_utc(at)),
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
            let stored = if plan.options.publish_past_due { "publish_now" } else { "skip" };
            // With "publish now" they are acted on; the choice must stay on the page to be taken back.
            let late = match plan.options.publish_past_due {
                true => untimed,
                false => totals
                    .groups
                    .iter()
                    .filter(|g| matches!(g.3.as_deref(), Some("past_time" | "no_time")))
                    .map(|g| g.4)
                    .sum(),
            };
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
