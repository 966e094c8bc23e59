//! The page of a plan: the sentence, what is skipped and why, the posts with their old and new times, and what has to be
//! typed before it is confirmed.

use super::{
    super::{Answer, Error},
    form::Form,
    plan_options, plan_parts, post_filter, present,
    views::{Count, Field, PlanPage, PlanState},
    visit::Visit,
};
use crate::domain::{
    Invalid,
    plans::{BulkAction, Demands, Plan, Proof, Source, demands},
};

/// Posts shown at first, and on each page of the full list.
const FIRST: i64 = 20;
const PER_PAGE: i64 = 50;

/// What was wrong with a form of this page, and what had been typed.
#[derive(Default)]
pub struct Mistakes {
    pub whole: Option<String>,
    fields: Vec<(&'static str, String)>,
    reason: String,
    /// The options are shown as they were typed.
    pub options_typed: bool,
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

    pub fn of(&self, field: &'static str, value: impl Into<String>) -> Field {
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

/// Whether the password has to be given again before this plan is confirmed.
pub fn needs_password(visit: &Visit, demands: &Demands) -> bool {
    demands.step_up && !Proof::holds(visit.session.authenticated_at, visit.app.clock.now())
}

pub async fn render(visit: &Visit, plan: &Plan, mistakes: Mistakes) -> Result<Answer, Error> {
    let app = &visit.app;
    let clocks = visit.clocks();
    let now = clocks.now;
    let totals = &plan.summary;
    let demands = demands_of(plan);
    let base = format!("/w/{}/plans/{}", plan.workspace_id, plan.id);
    let part = plan_parts::Part::read(&visit.form);
    let from: i64 = visit.form.get("from").parse().unwrap_or(0);
    let per_page = if from == 0 && part.is_whole() { FIRST } else { PER_PAGE };
    let mut items = app.db.plan_items(&plan.id, part.show(), from, per_page + 1).await?;
    let next = (items.len() as i64 > per_page).then(|| items.pop()).flatten();
    let mut tenant_ids: Vec<&str> = totals.top_tenants.iter().map(|(tenant, _)| tenant.as_str()).collect();
    tenant_ids.extend(items.iter().map(|i| i.tenant_id.as_str()));
    let query =
        post_filter::read(&Form::from_text(&plan.filter)).map_err(|e| Error::bad("invalid_filter", e))?;
    tenant_ids.extend(query.filter.tenants.iter().map(String::as_str));
    tenant_ids.extend(part.tenant());
    let names = app.db.tenant_names(&plan.workspace_id, &tenant_ids).await?;
    let keep_url = query.url(&format!("/w/{}/posts", plan.workspace_id), &[]);
    let headline = headline(plan);
    let failed = mistakes.any();
    let page = PlanPage {
        shell: match failed {
            true => visit.error_shell(headline.clone()),
            false => visit.shell(headline.clone()),
        },
        ws: plan.workspace_id.clone(),
        id: plan.id.clone(),
        digest: plan.digest.clone(),
        action: plan.action.as_str(),
        state: match &plan.job_id {
            Some(job) => PlanState::Confirmed { job: job.clone() },
            None if plan.expires_at <= now => PlanState::Expired,
            None => PlanState::Open,
        },
        headline,
        skipped_line: match totals.skipped {
            0 => String::new(),
            n => format!("{} will be skipped.", present::count(n)),
        },
        selected: selected(plan, &query.words(&names, &clocks)),
        snapshot: present::exact_moment(plan.created_at, now),
        mirror_line: match plan.mirrored_at {
            Some(at) => {
                format!("The oldest copy it was made from was {} old.", present::age(at, plan.created_at))
            }
            None => String::new(),
        },
        difference_line: difference(plan),
        expires: present::exact_moment(plan.expires_at, now),
        count: present::count(totals.acted),
        callouts: plan_parts::callouts(plan, &base),
        breakdowns: plan_parts::breakdowns(totals, &names, &base),
        window: totals.window.map(|(first, last)| (clocks.moment(first), clocks.moment(last))),
        skips: plan_parts::skips(totals, &base),
        options_refused: mistakes.options_typed,
        options: plan_options::view(&visit.form, plan, &mistakes, now),
        tabs: plan_parts::tabs(totals, &part, &names, &base),
        items: items.iter().map(|item| plan_parts::item_row(plan, item, &names, &clocks)).collect(),
        pager: part.pager(&base, from, next.map(|i| i.n)),
        csv_url: format!("{base}/plan.csv"),
        error: mistakes.whole.clone(),
        submit: {
            let posts = present::count(totals.acted).of("post", "posts");
            format!("{} {posts}{}", plan.action.label(), as_drafts(plan))
        },
        password_required: needs_password(visit, &demands),
        delay_line: match demands.delayed {
            true => format!(
                "The job starts {} after you confirm. Until then nothing happens, and you can cancel it.",
                present::span(app.config.tuning.start_delay.as_millis() as i64)
            ),
            false => String::new(),
        },
        typed: demands.typed,
        confirm: mistakes.of("confirm", ""),
        reason: mistakes.of("reason", mistakes.reason.clone()),
        reason_required: demands.reason,
        password: Field { value: String::new(), ..mistakes.of("password", "") },
        keep_url,
    };
    Ok(present::page_with_status(if failed { 422 } else { 200 }, &page))
}

/// What has changed since the preview before: "7 posts more, 2 fewer, 1 changed".
fn difference(plan: &Plan) -> String {
    match plan.difference {
        None => String::new(),
        Some(same) if same.is_none() => "Nothing has changed since the last preview.".into(),
        Some(d) => {
            let count = |n: usize| Count(n as u64);
            format!(
                "Since the last preview: +{} \u{2212}{}, {} changed.",
                count(d.added),
                count(d.removed),
                count(d.changed)
            )
        }
    }
}

/// "Delete 4,180 posts of 23 tenants."
pub fn headline(plan: &Plan) -> String {
    let posts = present::count(plan.summary.acted).of("post", "posts");
    let tenants = Count(plan.summary.tenants as u64).of("tenant", "tenants");
    match plan.summary.acted {
        0 => format!("{} no posts.", plan.action.label()),
        _ => format!("{} {posts} of {tenants}{}.", plan.action.label(), as_drafts(plan)),
    }
}

fn as_drafts(plan: &Plan) -> &'static str {
    if plan.action == BulkAction::Recreate { " as drafts" } else { "" }
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
