//! From a selection to a confirmed job: make the plan, change its options, confirm it. What the page shows is in
//! `plan_page`; what happens to each post is decided in `domain::plans`.

use super::{
    super::{Answer, Error},
    form::Form,
    plan_page::{self, Mistakes},
    post_filter,
    visit::Visit,
};
use crate::{
    domain::{
        Invalid, ids,
        plans::{BulkAction, Move, PastDue, Plan, PlanOptions, shift, typed_matches},
        times,
    },
    jobs::planning::{self, Request, Selection},
};
use std::collections::HashSet;

/// Rows that can be left out of "all matching" (ui.md §2.1).
const EXCLUDE_MAX: usize = 200;

pub async fn create(visit: Visit) -> Result<Answer, Error> {
    let form = &visit.form;
    let workspace = visit.workspace()?;
    let action = BulkAction::parse(form.get("action"))
        .ok_or_else(|| Error::bad("invalid_form", "There is no such bulk action"))?;
    let filter_text = form.get("filter").to_owned();
    let query =
        post_filter::read(&Form::from_text(&filter_text)).map_err(|e| Error::bad("invalid_filter", e))?;
    let selection = if form.get("scope") == "matching" {
        let except: HashSet<_> = post_ids(form, "exclude")?.into_iter().collect();
        if except.len() > EXCLUDE_MAX {
            return Err(Error::bad(
                "invalid_form",
                "At most 200 posts can be left out. Narrow the filters instead",
            ));
        }
        Selection::Matching { filter: Box::new(query.filter.clone()), except }
    } else {
        Selection::Ticked(post_ids(form, "post")?)
    };
    let request = Request {
        workspace,
        action,
        options: PlanOptions::default(),
        filter_text: query.filter_text(),
        created_by: &visit.admin.id,
    };
    let plan = planning::make(&visit.app, request, selection).await.map_err(explain)?;
    Ok(Answer::see_other(&format!("/w/{}/plans/{}", workspace.id, plan.id)))
}

fn post_ids(form: &Form, name: &str) -> Result<Vec<(String, String)>, Error> {
    form.all(name)
        .map(|value| match value.split_once(':') {
            Some((tenant, post)) if ids::is_object_id(tenant) && ids::is_object_id(post) => {
                Ok((tenant.to_owned(), post.to_owned()))
            }
            _ => Err(Error::bad("invalid_form", "A selected post is not an id")),
        })
        .collect()
}

fn explain(error: planning::Error) -> Error {
    let invalid = |text: String| Error::Invalid(Invalid::new("post", text));
    match error {
        planning::Error::Empty => invalid("Select at least one post".into()),
        planning::Error::TooMany(count) => {
            invalid(format!("{count} posts are too many for one job; the most is 50,000. Narrow the filters"))
        }
        planning::Error::Unknown(missing) => {
            let listed: Vec<&str> = missing.iter().take(10).map(|(_, post)| post.as_str()).collect();
            invalid(format!(
                "{} of the selected posts are not there any more: {}. Reload the list and select again",
                missing.len(),
                listed.join(", ")
            ))
        }
        planning::Error::Store(error) => Error::Store(error),
    }
}

/// The plan of the path: this workspace's, and only for the person who made it. Another person's plan is not theirs to
/// confirm; they make their own.
async fn plan_of(visit: &Visit) -> Result<Plan, Error> {
    let plan = visit.app.db.plan(&visit.workspace()?.id, visit.own_id("id")?).await?;
    plan.filter(|p| p.created_by == visit.admin.id).ok_or(Error::NotFound)
}

pub async fn show(visit: Visit) -> Result<Answer, Error> {
    let plan = plan_of(&visit).await?;
    plan_page::render(&visit, &plan, Mistakes::default()).await
}

pub async fn set_options(visit: Visit) -> Result<Answer, Error> {
    let plan = plan_of(&visit).await?;
    let options = match read_options(&visit, &plan) {
        Ok(options) => options,
        Err(invalid) => return plan_page::render(&visit, &plan, Mistakes::options(invalid)).await,
    };
    // A plan that was confirmed meanwhile shows its job.
    planning::remake(&visit.app, visit.workspace()?, &plan, options).await.map_err(explain)?;
    Ok(Answer::see_other(&format!("/w/{}/plans/{}", plan.workspace_id, plan.id)))
}

fn read_options(visit: &Visit, plan: &Plan) -> Result<PlanOptions, Invalid> {
    let form = &visit.form;
    let mut options = plan.options.clone();
    match plan.action {
        BulkAction::Reschedule => {
            options.moved = match form.get("mode") {
                "shift" => {
                    let amount = form.get("amount").trim();
                    let amount = match form.get("sign") {
                        "earlier" => format!("-{amount}"),
                        _ => amount.to_owned(),
                    };
                    shift(&amount, form.get("unit"))?
                }
                "set" => {
                    let at = times::from_local_utc(form.get("at").trim())
                        .ok_or_else(|| Invalid::new("at", "Enter a date and time"))?;
                    if at <= visit.app.clock.now() {
                        return Err(Invalid::new(
                            "at",
                            "Choose a time in the future: a past one publishes at once",
                        ));
                    }
                    Move::Set { at }
                }
                _ => return Err(Invalid::new("mode", "Choose how to move the posts")),
            };
        }
        BulkAction::Resume => {
            options.past_due = match form.get("past_due") {
                "skip" => PastDue::Leave,
                "publish_now" => PastDue::PublishNow,
                _ => return Err(Invalid::new("past_due", "Choose what to do with them")),
            };
        }
        BulkAction::Delete | BulkAction::Pause => {}
    }
    Ok(options)
}

pub async fn confirm(visit: Visit) -> Result<Answer, Error> {
    let plan = plan_of(&visit).await?;
    let jobs_url = |id: &str| format!("/w/{}/jobs/{id}?done=job_started", plan.workspace_id);
    if let Some(job) = &plan.job_id {
        return Ok(Answer::see_other(&jobs_url(job)));
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
        && !typed_matches(wanted, visit.form.get("confirm"))
    {
        mistakes.add("confirm", &format!("Type {wanted} exactly: the count is what will be changed"));
    }
    if plan.summary.acted == 0 {
        mistakes.whole = Some("No post of this plan would be changed".into());
    }
    if mistakes.any() {
        return plan_page::render(&visit, &plan, mistakes).await;
    }
    let app = &visit.app;
    let job_id = ids::new_id();
    let now = app.clock.now();
    let earliest = demands.delayed.then(|| now + app.config.tuning.start_delay.as_millis() as i64);
    let starts_at = plan.options.starts_at.max(earliest);
    match app.db.confirm_plan(&visit.actor, &plan, &job_id, reason, starts_at, now).await? {
        Some(job) => {
            app.jobs.ring();
            Ok(Answer::see_other(&jobs_url(&job)))
        }
        // Expired, or previewed again with other options in another window: show what it is now.
        None => Ok(Answer::see_other(&format!("/w/{}/plans/{}", plan.workspace_id, plan.id))),
    }
}
