//! Jobs by program: how far they are, what became of each post, and what can be asked of them.

use super::{
    super::{Answer, Call, Error},
    key::Program,
    plans::{self, invalid},
};
use crate::{
    app::App,
    domain::{
        ids,
        jobs::{ItemState, Job, JobItem, Purpose, Wanted, retryable},
        times,
    },
    jobs::follow_ups,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// Posts of one answer.
const ITEMS: i64 = 500;

pub async fn show(app: Arc<App>, call: Call) -> Result<Answer, Error> {
    let job = looked_at(&app, &call).await?;
    Ok(Answer::json(200, &describe(&job)))
}

/// The job's posts in order: `?from=` a number, `?state=` one of their states.
pub async fn items(app: Arc<App>, call: Call) -> Result<Answer, Error> {
    let job = looked_at(&app, &call).await?;
    let (mut from, mut state) = (0, None);
    for (name, value) in call.query_pairs() {
        match name.as_str() {
            "from" => from = value.parse().map_err(|_| invalid("from", "from must be a whole number"))?,
            "state" => {
                let known = ItemState::parse(&value);
                state = Some(known.ok_or_else(|| invalid("state", "There is no such state of a post"))?);
            }
            _ => return Err(invalid("query", "Known are from and state")),
        }
    }
    let items = app.db.job_items(&job.id, state, from, ITEMS).await?;
    let next = (items.len() as i64 == ITEMS).then(|| items.last().map(|i| i.n + 1)).flatten();
    let items: Vec<Value> = items.iter().map(item).collect();
    Ok(Answer::json(200, &json!({ "items": items, "next": next })))
}

pub async fn pause(app: Arc<App>, call: Call) -> Result<Answer, Error> {
    ask(app, call, Wanted::Pause).await
}

pub async fn resume(app: Arc<App>, call: Call) -> Result<Answer, Error> {
    ask(app, call, Wanted::Run).await
}

pub async fn cancel(app: Arc<App>, call: Call) -> Result<Answer, Error> {
    ask(app, call, Wanted::Cancel).await
}

/// Takes effect before the job's next post; the answer is the job as it stands.
async fn ask(app: Arc<App>, call: Call, wanted: Wanted) -> Result<Answer, Error> {
    let (program, job) = job_of(&app, &call).await?;
    program.may(&app, &call, job.action).await?;
    if !app.db.ask_job(&program.actor, &job, wanted, app.clock.now()).await? {
        return Err(Error::Conflict("The job has ended, or is being cancelled"));
    }
    app.jobs.ring();
    let (_, job) = job_of(&app, &call).await?;
    Ok(Answer::json(202, &describe(&job)))
}

/// A plan for what failed for a reason that passes.
pub async fn retry(app: Arc<App>, call: Call) -> Result<Answer, Error> {
    follow(app, call, Purpose::Retry).await
}

/// A plan for the way back.
pub async fn undo(app: Arc<App>, call: Call) -> Result<Answer, Error> {
    follow(app, call, Purpose::Undo).await
}

async fn follow(app: Arc<App>, call: Call, purpose: Purpose) -> Result<Answer, Error> {
    let (program, job) = job_of(&app, &call).await?;
    let action = match purpose {
        Purpose::Retry => job.action,
        Purpose::Undo => follow_ups::inverse(job.action).unwrap_or(job.action),
    };
    program.may(&app, &call, action).await?;
    if !job.state.is_final() {
        return Err(Error::Conflict("The job has not ended"));
    }
    let workspace = &program.account.workspace;
    let plan = follow_ups::make(&app, workspace, &job, purpose, &program.actor).await?;
    Ok(plans::made(&app, &plan))
}

/// A job for a call that asks for nothing else.
async fn looked_at(app: &App, call: &Call) -> Result<Job, Error> {
    let (program, job) = job_of(app, call).await?;
    program.enters(app, call).await?;
    Ok(job)
}

/// A workspace's job: any workspace key may look at it, as any operator may. The call is not let in by that.
async fn job_of(app: &App, call: &Call) -> Result<(Program, Job), Error> {
    let program = Program::identify(app, call).await?;
    let id = call.param("id");
    let found = if ids::is_own_id(id) { app.db.job(&program.account.workspace.id, id).await? } else { None };
    match found {
        Some(job) => Ok((program, job)),
        None => Err(program.not_found(app).await?),
    }
}

fn describe(job: &Job) -> Value {
    json!({
        "jobId": job.id,
        "planId": job.plan_id,
        "action": job.action.as_str(),
        "state": job.state.as_str(),
        "wanted": job.wanted.as_str(),
        "ended": job.state.is_final(),
        "reason": job.reason,
        "counts": job.counts,
        "total": job.counts.total(),
        "createdAt": times::to_iso(job.created_at),
        "startsAt": job.starts_at.map(times::to_iso),
        "startedAt": job.started_at.map(times::to_iso),
        "endedAt": job.ended_at.map(times::to_iso),
    })
}

fn item(item: &JobItem) -> Value {
    json!({
        "n": item.n,
        "tenant": item.tenant_id,
        "postGroupId": item.post_id,
        "state": item.state.as_str(),
        "code": item.code,
        "retryable": item.state == ItemState::Failed && item.code.as_deref().is_some_and(retryable),
        "message": item.message,
        "timeBefore": item.expected_at.map(times::to_iso),
        "askedTime": item.target_at.map(times::to_iso),
        "grantedTime": item.granted_at.map(times::to_iso),
        "newPostGroupId": item.created_id,
        "operationId": item.op_id,
        "endedAt": item.ended_at.map(times::to_iso),
    })
}
