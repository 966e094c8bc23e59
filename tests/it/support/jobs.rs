//! Bulk jobs and what came of calls, for tests that disturb them.

use crate::testapp::{Tenant, TestApp};
use gatehouse::{
    domain::{
        ids,
        jobs::{Counts, JobState},
        plans::{BulkAction, Plan, PlanOptions},
    },
    jobs::planning::{self, Selection},
};
use reqwest::Method;
use serde_json::Value;
use std::collections::BTreeMap;

/// Starts a job that deletes these posts of the tenant, which must be in the mirror; its id.
pub async fn delete_job(app: &TestApp, tenant: &Tenant, posts: &[String]) -> String {
    delete_job_at(app, tenant, posts, None).await
}

/// The same, to begin at a time.
pub async fn delete_job_at(app: &TestApp, tenant: &Tenant, posts: &[String], at: Option<i64>) -> String {
    delete_all(app, &app.ws, ticked(tenant, posts), at).await
}

/// Exactly these posts of a tenant.
pub fn ticked(tenant: &Tenant, posts: &[String]) -> Selection {
    Selection::Ticked(posts.iter().map(|id| (tenant.id.clone(), id.clone())).collect())
}

/// A plan that deletes what is selected in a workspace; it must be in the mirror.
pub async fn delete_plan(app: &TestApp, ws: &str, posts: Selection) -> Plan {
    let account = app.app().access.account(ws).unwrap();
    let request = planning::Request {
        workspace: &account.workspace,
        action: BulkAction::Delete,
        options: PlanOptions::default(),
        filter_text: String::new(),
        actor: &app.owner,
    };
    planning::make(app.app(), request, posts).await.unwrap()
}

/// Starts a job that deletes what is selected; its id.
pub async fn delete_all(app: &TestApp, ws: &str, posts: Selection, at: Option<i64>) -> String {
    let plan = delete_plan(app, ws, posts).await;
    let job = ids::new_id();
    app.app().db.confirm_plan(&app.owner, &plan, &job, "spring", at, app.clock.now()).await.unwrap().unwrap();
    app.app().jobs.ring();
    job
}

/// Waits until the job has ended and nothing of it is in doubt.
pub async fn ended(app: &TestApp, job: &str) -> Counts {
    app.until("the job ends", || async {
        let job = app.app().db.job(&app.ws, job).await.unwrap().unwrap();
        job.state == JobState::Completed && job.counts.unknown == 0
    })
    .await;
    app.app().db.job(&app.ws, job).await.unwrap().unwrap().counts
}

/// How often each post was deleted at PostPost, from its journal.
pub async fn deletions(app: &TestApp) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    let mut after = 0;
    loop {
        let page = app.journal(after).await;
        let Some(last) = page.last() else { return found };
        after = last["seq"].as_i64().unwrap();
        for effect in page.iter().filter(|e| e["action"] == "post.delete") {
            *found.entry(effect["postGroupId"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
}

/// The calls PostPost got since the last reset that ask for a change: method and path.
pub async fn changing_calls(app: &TestApp) -> Vec<String> {
    let calls = app.control(Method::GET, "calls?last=2000", Value::Null).await;
    let line =
        |call: &Value| format!("{} {}", call["method"].as_str().unwrap(), call["path"].as_str().unwrap());
    calls["calls"].as_array().unwrap().iter().filter(|call| call["method"] != "GET").map(line).collect()
}
