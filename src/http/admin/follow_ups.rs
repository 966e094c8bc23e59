//! Plans made from an earlier job: another try, or the way back. What they hold is decided in `jobs::follow_ups`.

use super::{
    super::{Answer, Error},
    jobs::{job_of, title},
    present,
    views::{FollowUp, Link},
    visit::Visit,
};
use crate::{
    domain::{
        jobs::{Job, Purpose},
        plans::BulkAction,
    },
    jobs::{
        follow_ups::{self, Offer},
        planning,
    },
};

/// `POST …/jobs/{id}/follow`: makes the plan and shows it.
pub async fn create(visit: Visit) -> Result<Answer, Error> {
    let job = job_of(&visit).await?;
    let purpose = Purpose::parse(visit.form.get("purpose"))
        .ok_or_else(|| Error::bad("invalid_form", "There is no such follow-up"))?;
    let back = format!("/w/{}/jobs/{}?done=nothing_left", job.workspace_id, job.id);
    if !job.state.is_final() {
        return Ok(Answer::see_other(&back));
    }
    match follow_ups::make(&visit.app, visit.workspace()?, &job, purpose, &visit.actor).await {
        Ok(plan) => Ok(Answer::see_other(&format!("/w/{}/plans/{}", plan.workspace_id, plan.id))),
        Err(planning::Error::NothingLeft) => Ok(Answer::see_other(&back)),
        Err(error) => Err(error.into()),
    }
}

/// The buttons of a job that has ended.
pub async fn buttons(visit: &Visit, job: &Job) -> Result<Vec<FollowUp>, Error> {
    let offers = follow_ups::offers(&visit.app, job).await?;
    Ok(offers.iter().map(|offer| FollowUp { purpose: offer.purpose.as_str(), text: text(offer) }).collect())
}

fn text(offer: &Offer) -> String {
    let n = offer.count.map(present::count);
    match (offer.purpose, offer.action, n) {
        (Purpose::Retry, _, Some(n)) => format!("Retry {n} retryable…"),
        (Purpose::Retry, _, None) => "Retry…".into(),
        (Purpose::Undo, BulkAction::Resume, Some(n)) => format!("Resume these {n}…"),
        (Purpose::Undo, BulkAction::Recreate, Some(n)) => format!("Recreate {n} as drafts…"),
        (Purpose::Undo, BulkAction::Reschedule, _) => "Restore previous times…".into(),
        (Purpose::Undo, BulkAction::Pause, _) => "Pause those not yet published…".into(),
        (Purpose::Undo, ..) => "Undo…".into(),
    }
}

/// The job that this one was made from, and those made from it.
pub async fn family(visit: &Visit, job: &Job) -> Result<(Option<Link>, Vec<Link>), Error> {
    let db = &visit.app.db;
    let parent = match db.plan_parent(&job.plan_id).await? {
        Some((id, purpose)) => db.job(&job.workspace_id, &id).await?.map(|job| link(&job, purpose)),
        None => None,
    };
    let mut children = Vec::new();
    for (id, purpose) in db.job_children(&job.id).await? {
        children.extend(db.job(&job.workspace_id, &id).await?.map(|job| link(&job, purpose)));
    }
    Ok((parent, children))
}

fn link(job: &Job, purpose: Purpose) -> Link {
    let why = match purpose {
        Purpose::Retry => "another try",
        Purpose::Undo => "the way back",
    };
    Link { text: format!("{} ({why})", title(job)), url: format!("/w/{}/jobs/{}", job.workspace_id, job.id) }
}
