//! From a selection to a confirmed job: make the plan, change its options, confirm it. What the page shows is in
//! `plan_page`; what happens to each post is decided in `domain::plans`.

use super::{
    super::{Answer, Error},
    form::Form,
    login::prove,
    plan_options,
    plan_page::{self, Mistakes},
    plan_parts, post_filter, present, selections,
    views::{Pager, PlanTenantsPage},
    visit::Visit,
};
use crate::{
    domain::{
        ids,
        plans::{BulkAction, Plan, PlanOptions, typed_count_matches},
    },
    jobs::planning::{self, Request, Selection},
};

pub async fn create(visit: Visit) -> Result<Answer, Error> {
    let form = &visit.form;
    let workspace = visit.workspace()?;
    let action = BulkAction::of_posts(form.get("action"))
        .ok_or_else(|| Error::bad("invalid_form", "There is no such bulk action"))?;
    let filter_text = form.get("filter").to_owned();
    let query =
        post_filter::read(&Form::from_text(&filter_text)).map_err(|e| Error::bad("invalid_filter", e))?;
    let selection = if form.get("scope") == "matching" {
        let except = selections::left_out(&visit, &query).await?.into_iter().collect();
        Selection::Matching { filter: Box::new(query.filter.clone()), except }
    } else {
        Selection::Ticked(selections::ticked(form)?)
    };
    let request = Request {
        workspace,
        action,
        options: first_options(&visit),
        filter_text: query.filter_text(),
        actor: &visit.actor,
    };
    preview(&visit, request, selection).await
}

/// Makes the plan and leads to its page; a pause of a few posts of one tenant, which can be taken back, goes straight to
/// its job (ui.md §2.3).
pub async fn preview(visit: &Visit, request: Request<'_>, selection: Selection) -> Result<Answer, Error> {
    let app = &visit.app;
    let plan = planning::make(app, request, selection).await?;
    if !plan_page::demands_of(&plan).preview && plan.summary.acted > 0 {
        let job = app.db.confirm_plan(&visit.actor, &plan, &ids::new_id(), "", None, app.clock.now()).await?;
        if let Some(job) = job {
            app.jobs.ring();
            return Ok(Answer::see_other(&job_url(&plan, &job)));
        }
    }
    Ok(Answer::see_other(&plan_url(&plan)))
}

fn plan_url(plan: &Plan) -> String {
    format!("/w/{}/plans/{}", plan.workspace_id, plan.id)
}

fn job_url(plan: &Plan, job: &str) -> String {
    format!("/w/{}/jobs/{job}?done=job_started", plan.workspace_id)
}

/// The options a person starts with: times are typed in the zone they are shown in.
pub fn first_options(visit: &Visit) -> PlanOptions {
    PlanOptions { zone: visit.admin.preferences.zone.clone(), ..PlanOptions::default() }
}

/// The plan of the path: this workspace's, and only for the person who made it. Another person's plan is not theirs to
/// confirm; they make their own.
pub async fn plan_of(visit: &Visit) -> Result<Plan, Error> {
    let plan = visit.app.db.plan(&visit.workspace()?.id, visit.own_id("id")?).await?;
    plan.filter(|p| p.created_by == visit.admin.id).ok_or(Error::NotFound)
}

pub async fn show(visit: Visit) -> Result<Answer, Error> {
    let plan = plan_of(&visit).await?;
    plan_page::render(&visit, &plan, Mistakes::default()).await
}

pub async fn set_options(visit: Visit) -> Result<Answer, Error> {
    let plan = plan_of(&visit).await?;
    // A plan that was confirmed meanwhile shows its job.
    if plan.job_id.is_some() {
        return Ok(Answer::see_other(&plan_url(&plan)));
    }
    let options = match plan_options::read(&visit.form, &plan, visit.app.clock.now()) {
        Ok(options) => options,
        Err(invalid) => return plan_page::render(&visit, &plan, Mistakes::options(invalid)).await,
    };
    planning::remake(&visit.app, &visit.actor, visit.workspace()?, &plan, options).await?;
    Ok(Answer::see_other(&plan_url(&plan)))
}

/// The same selection, looked at anew.
pub async fn again(visit: Visit) -> Result<Answer, Error> {
    let plan = plan_of(&visit).await?;
    if plan.job_id.is_some() {
        return Ok(Answer::see_other(&plan_url(&plan)));
    }
    let query =
        post_filter::read(&Form::from_text(&plan.filter)).map_err(|e| Error::bad("invalid_filter", e))?;
    planning::again(&visit.app, &visit.actor, visit.workspace()?, &plan, query.filter).await?;
    Ok(Answer::see_other(&plan_url(&plan)))
}

pub async fn confirm(visit: Visit) -> Result<Answer, Error> {
    let plan = plan_of(&visit).await?;
    if let Some(job) = &plan.job_id {
        return Ok(Answer::see_other(&job_url(&plan, job)));
    }
    let demands = plan_page::demands_of(&plan);
    let reason = visit.form.get("reason").trim();
    let mut mistakes = Mistakes::with_reason(reason);
    if visit.form.get("digest") != plan.digest {
        mistakes.whole =
            Some("This preview was changed in another window. Check it again before you confirm".into());
    }
    if demands.reason && reason.is_empty() {
        mistakes.add("reason", "Enter a reason; it goes into the audit log");
    }
    if reason.chars().count() > 500 {
        mistakes.add("reason", "Enter at most 500 characters");
    }
    if let Some(wanted) = &demands.typed
        && !typed_count_matches(wanted, visit.form.get("confirm"))
    {
        mistakes
            .add("confirm", &format!("Type {wanted}, or the number alone: it is how many will be changed"));
    }
    if plan.summary.acted == 0 {
        mistakes.whole = Some("No post of this plan would be changed".into());
    }
    // Last, so that no mistake elsewhere costs an attempt.
    if !mistakes.any()
        && plan_page::needs_password(&visit, &demands)
        && let Err(text) = prove(&visit).await?
    {
        mistakes.add("password", &text);
    }
    if mistakes.any() {
        return plan_page::render(&visit, &plan, mistakes).await;
    }
    let app = &visit.app;
    let now = app.clock.now();
    let earliest = demands.delayed.then(|| now + app.config.tuning.start_delay.as_millis() as i64);
    let starts_at = plan.options.starts_at.max(earliest);
    match app.db.confirm_plan(&visit.actor, &plan, &ids::new_id(), reason, starts_at, now).await? {
        Some(job) => {
            app.jobs.ring();
            Ok(Answer::see_other(&job_url(&plan, &job)))
        }
        // Expired, or previewed again with other options in another window: show what it is now.
        None => Ok(Answer::see_other(&plan_url(&plan))),
    }
}

/// Tenants on one page of a plan's tenants.
const TENANTS: i64 = 100;

/// All tenants of a plan, the ones with the most posts first.
pub async fn tenants(visit: Visit) -> Result<Answer, Error> {
    let plan = plan_of(&visit).await?;
    let skip = visit.form.get("skip").parse().unwrap_or(0i64).max(0);
    let mut counts = visit.app.db.plan_tenants(&plan.id, skip, TENANTS + 1).await?;
    let more = counts.len() as i64 > TENANTS;
    counts.truncate(TENANTS as usize);
    let ids: Vec<&str> = counts.iter().map(|(id, _)| id.as_str()).collect();
    let names = visit.app.db.tenant_names(&plan.workspace_id, &ids).await?;
    let base = format!("{}/tenants", plan_url(&plan));
    let page = PlanTenantsPage {
        shell: visit.shell("Tenants of the plan"),
        headline: plan_page::headline(&plan),
        rows: plan_parts::tenant_rows(&counts, plan.summary.acted, &names, &plan_url(&plan)),
        pager: Pager::pages(
            (skip > 0).then(|| format!("{base}?skip={}", (skip - TENANTS).max(0))),
            more.then(|| format!("{base}?skip={}", skip + TENANTS)),
        ),
        plan_url: plan_url(&plan),
    };
    Ok(present::page(&page))
}
