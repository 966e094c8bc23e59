//! Bulk jobs: the list, and what can be asked of a job. Its page is in `job_page`, live updates and downloads in `bulk`.

use super::{
    super::{Answer, Error},
    present,
    views::{Badge, CancelPage, Choice, Count, Counters, JobListPage, JobRow, Pager},
    visit::Visit,
};
use crate::{
    app::App,
    clock::{Millis, SECOND},
    domain::{
        audit::ActorType,
        ids,
        jobs::{Counts, Job, JobState, Wanted},
        plans::BulkAction,
        words,
    },
    store::{self, jobs::JobFilter},
};

/// The rate is that of the last so many milliseconds: what was paused or held up before says nothing about what is left.
const RATE_WINDOW: i64 = 20 * SECOND;

words! {
    /// `?state=` of the list.
    Show { Unfinished = "unfinished", Completed = "completed", Cancelled = "cancelled", Stopped = "stopped" }
}

impl Show {
    fn states(self) -> &'static [JobState] {
        match self {
            Self::Unfinished => &[JobState::Queued, JobState::Running, JobState::Paused],
            Self::Completed => &[JobState::Completed],
            Self::Cancelled => &[JobState::Cancelled],
            Self::Stopped => &[JobState::Stopped],
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Unfinished => "Not ended",
            Self::Completed => "Completed",
            Self::Cancelled => "Cancelled",
            Self::Stopped => "Stopped",
        }
    }
}

/// "Delete 4,180 posts": as many as were confirmed. Those the plan left out are items of the job too, and are counted below.
pub fn title(job: &Job) -> String {
    format!("{} {}", job.action.label(), present::count(job.confirmed).of("post", "posts"))
}

/// The word pages and live updates use: between what was asked and what is so, and how it ended.
pub fn state(job: &Job, now: Millis) -> &'static str {
    match (job.state, job.wanted) {
        (JobState::Completed, _) if job.counts.failed + job.counts.unknown > 0 => "completed_with_errors",
        (JobState::Completed, _) => "completed",
        (JobState::Cancelled, _) => "cancelled",
        (JobState::Stopped, _) => "stopped",
        (_, Wanted::Cancel) => "cancelling",
        (JobState::Paused, Wanted::Pause) => "paused",
        (_, Wanted::Pause) => "pausing",
        (JobState::Queued, _) if job.starts_at.is_some_and(|at| at > now) => "starting",
        (JobState::Queued, _) => "queued",
        (JobState::Running | JobState::Paused, Wanted::Run) => "running",
    }
}

pub fn counters(counts: &Counts) -> Counters {
    let c = present::count;
    Counters {
        total: c(counts.total()),
        pending: c(counts.pending),
        running: c(counts.running),
        succeeded: c(counts.succeeded),
        gone: c(counts.gone),
        skipped: c(counts.skipped),
        failed: c(counts.failed),
        unknown: c(counts.unknown),
        cancelled: c(counts.cancelled),
    }
}

/// Items a second of late, and the seconds left at that rate.
pub async fn pace(app: &App, job: &Job) -> store::Result<Option<(f64, i64)>> {
    let (Some(begun), JobState::Running, Wanted::Run) = (job.started_at, job.state, job.wanted) else {
        return Ok(None);
    };
    let now = app.clock.now();
    let since = begun.max(now - RATE_WINDOW);
    let ended = app.db.ended_since(&job.id, since).await?;
    if ended < 3 || now - since < SECOND {
        return Ok(None);
    }
    let rate = ended as f64 * SECOND as f64 / (now - since) as f64;
    Ok(Some((rate, ((job.counts.pending + job.counts.running) as f64 / rate).ceil() as i64)))
}

/// Who has started a job, as the pages call them: people by their names, which an entry of the log does not know.
pub async fn starter(app: &App, job: &Job) -> store::Result<String> {
    let person = match job.actor.kind() {
        ActorType::Admin => app.db.admin(&job.actor.id).await?,
        _ => None,
    };
    Ok(person.map_or_else(|| job.actor.name.clone(), |(admin, _)| admin.name))
}

pub fn row(job: &Job, workspace: &str, actor: &str, now: Millis) -> JobRow {
    JobRow {
        id: job.id.clone(),
        url: format!("/w/{}/jobs/{}", job.workspace_id, job.id),
        title: title(job),
        workspace: workspace.into(),
        actor: actor.into(),
        badge: Badge::job(state(job, now)),
        counters: counters(&job.counts),
        started: present::exact_moment(job.started_at.unwrap_or(job.created_at), now),
        duration: match job.started_at {
            Some(begun) => present::span(job.ended_at.unwrap_or(now) - begun),
            None => String::new(),
        },
    }
}

/// A job of the path's workspace.
pub async fn job_of(visit: &Visit) -> Result<Job, Error> {
    visit.app.db.job(&visit.workspace()?.id, visit.own_id("id")?).await?.ok_or(Error::NotFound)
}

pub async fn list(visit: Visit) -> Result<Answer, Error> {
    let workspace = visit.workspace()?;
    let base = format!("/w/{}/jobs", workspace.id);
    let form = &visit.form;
    let before = form.some("before").filter(|id| ids::is_own_id(id));
    // A word that is none of ours is a mistake to see, not an empty list (ui.md P3).
    let unknown = |what: &str| Error::bad("invalid_filter", format!("There is no such {what} to filter by"));
    let show = form.some("state").map(|w| Show::parse(w).ok_or_else(|| unknown("state"))).transpose()?;
    let action =
        form.some("action").map(|w| BulkAction::parse(w).ok_or_else(|| unknown("action"))).transpose()?;
    let actors = visit.app.db.job_actors(&workspace.id).await?;
    let actor = form.some("actor").map(str::to_owned);
    if actor.as_ref().is_some_and(|actor| !actors.iter().any(|(id, _)| id == actor)) {
        return Err(unknown("person"));
    }
    let filter = JobFilter {
        states: show.map(Show::states).unwrap_or_default().to_vec(),
        action,
        actor: actor.clone(),
    };
    let size = visit.admin.preferences.rows_per_page;
    let mut jobs = visit.app.db.jobs(&workspace.id, &filter, before, size + 1).await?;
    let more = jobs.len() as i64 > size;
    jobs.truncate(size as usize);
    let chosen: Vec<(&str, &str)> = [
        ("state", show.map(Show::as_str)),
        ("action", action.map(BulkAction::as_str)),
        ("actor", actor.as_deref()),
    ]
    .into_iter()
    .filter_map(|(name, value)| value.map(|value| (name, value)))
    .collect();
    let link = |before: Option<&str>| {
        let pairs = chosen.iter().copied().chain(before.map(|id| ("before", id)));
        let query = super::form::query_string(pairs);
        if query.is_empty() { base.clone() } else { format!("{base}?{query}") }
    };
    let older = jobs.last().filter(|_| more).map(|job| link(Some(&job.id)));
    let now = visit.app.clock.now();
    let any = || Choice::new("", "Any", false);
    let page = JobListPage {
        shell: visit.shell("Bulk jobs"),
        ws: workspace.id.clone(),
        states: std::iter::once(any())
            .chain(Show::ALL.iter().map(|s| Choice::new(s.as_str(), s.label(), show == Some(*s))))
            .collect(),
        actions: std::iter::once(any())
            .chain(BulkAction::ALL.iter().map(|a| Choice::new(a.as_str(), a.label(), action == Some(*a))))
            .collect(),
        actors: std::iter::once(any())
            .chain(actors.iter().map(|(id, name)| Choice::new(id, name, actor.as_ref() == Some(id))))
            .collect(),
        result_line: "Newest first".into(),
        filtered: before.is_some() || !chosen.is_empty(),
        rows: jobs.iter().map(|job| row(job, &workspace.name, name_of(&actors, job), now)).collect(),
        pager: Pager::times(before.map(|_| link(None)), older),
    };
    Ok(present::page(&page))
}

fn name_of<'a>(actors: &'a [(String, String)], job: &'a Job) -> &'a str {
    actors.iter().find(|(id, _)| *id == job.actor.id).map_or(&job.actor.name, |(_, name)| name)
}

pub async fn pause(visit: Visit) -> Result<Answer, Error> {
    ask(&visit, Wanted::Pause, "pausing").await
}

pub async fn resume(visit: Visit) -> Result<Answer, Error> {
    ask(&visit, Wanted::Run, "resumed").await
}

pub async fn cancel(visit: Visit) -> Result<Answer, Error> {
    ask(&visit, Wanted::Cancel, "cancelling").await
}

/// A job that has ended meanwhile is just shown.
async fn ask(visit: &Visit, wanted: Wanted, done: &str) -> Result<Answer, Error> {
    let job = job_of(visit).await?;
    let app = &visit.app;
    let asked = app.db.ask_job(&visit.actor, &job, wanted, app.clock.now()).await?;
    app.jobs.ring();
    let suffix = if asked { format!("?done={done}") } else { String::new() };
    Ok(Answer::see_other(&format!("/w/{}/jobs/{}{suffix}", job.workspace_id, job.id)))
}

pub async fn cancel_form(visit: Visit) -> Result<Answer, Error> {
    let job = job_of(&visit).await?;
    if job.state.is_final() {
        return Ok(Answer::see_other(&format!("/w/{}/jobs/{}", job.workspace_id, job.id)));
    }
    let done = present::count(job.counts.succeeded);
    let consequence = match job.action {
        BulkAction::Delete => format!("{done} already deleted cannot be restored."),
        BulkAction::Recreate => format!("{done} already made stay as drafts."),
        _ => format!("{done} already changed stay as they are now."),
    };
    let page = CancelPage {
        shell: visit.shell(format!("Cancel: {}", title(&job))),
        ws: job.workspace_id.clone(),
        id: job.id.clone(),
        title: title(&job),
        consequence: format!(
            "{consequence} {} will not be touched.",
            Count(job.counts.pending.max(0).unsigned_abs())
        ),
    };
    Ok(present::page(&page))
}
