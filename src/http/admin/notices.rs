//! The banner of a job that has ended, on the posts list of the person who started it, until it is seen or dismissed.

use super::{
    super::{Answer, Error},
    form::Form,
    jobs::{job_of, state, title},
    post_filter::{self, PostQuery},
    present,
    views::JobNotice,
    visit::Visit,
};
use crate::domain::{jobs::Job, plans::BulkAction};

/// Banners on one page; those of older jobs come up as these go.
const SHOWN: i64 = 3;

/// The banners of a posts list, the newest job first.
pub async fn of_list(visit: &Visit, query: Option<&PostQuery>) -> Result<Vec<JobNotice>, Error> {
    let (db, ws) = (&visit.app.db, &visit.workspace()?.id);
    let filter = query.map(PostQuery::text).unwrap_or_default();
    let mut notices = Vec::new();
    for id in db.notices(ws, &visit.admin.id, SHOWN).await? {
        let Some(job) = db.job(ws, &id).await? else { continue };
        let url = format!("/w/{ws}/jobs/{id}");
        let (kind, text) = outcome(&job, state(&job, visit.app.clock.now()));
        notices.push(JobNotice { kind, text, url, title: title(&job), filter: filter.clone() });
    }
    Ok(notices)
}

/// "Job “Delete 4,180 posts” finished: 4,036 deleted, 132 skipped, 12 failed."
fn outcome(job: &Job, state: &str) -> (&'static str, String) {
    let done = match job.action {
        BulkAction::Delete => "deleted",
        BulkAction::Pause => "paused",
        BulkAction::Resume => "resumed",
        BulkAction::Reschedule => "rescheduled",
        BulkAction::Recreate => "made again",
    };
    let (kind, ended) = match state {
        "completed" => ("ok", "finished"),
        "cancelled" => ("info", "was cancelled"),
        "stopped" => ("warn", "stopped after too many failures in a row"),
        _ => ("warn", "finished"),
    };
    let c = &job.counts;
    let parts: Vec<String> = [
        (c.succeeded, done),
        (c.gone, "already gone"),
        (c.skipped, "skipped"),
        (c.failed, "failed"),
        (c.unknown, "in doubt"),
        (c.cancelled, "not touched"),
    ]
    .into_iter()
    .filter(|(n, _)| *n > 0)
    .map(|(n, word)| format!("{} {word}", present::count(n)))
    .collect();
    (kind, format!("Job “{}” {ended}: {}.", title(job), parts.join(", ")))
}

/// `POST …/jobs/{id}/seen`: takes the banner away and leads back to the list with its filters.
pub async fn dismiss(visit: Visit) -> Result<Answer, Error> {
    let job = job_of(&visit).await?;
    let query = post_filter::read(&Form::from_text(visit.form.get("filter")))
        .map_err(|e| Error::bad("invalid_filter", e))?;
    visit.app.db.note_seen(&job.workspace_id, &visit.admin.id, &job.id).await?;
    Ok(Answer::see_other(&query.url(&format!("/w/{}/posts", job.workspace_id), &[])))
}
