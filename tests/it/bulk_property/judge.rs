//! Whether the jobs of a schedule tell the truth: their accounts are held against PostPost's journal, effect by effect.

use super::schedule::Schedule;
use crate::testapp::TestApp;
use gatehouse::{
    clock::{MINUTE, SECOND},
    domain::{
        jobs::{Counts, ItemState, JobItem},
        operations::Operation,
        plans::{BulkAction, PastDue, Plan},
        times,
    },
    store::plans::Show,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The furthest that `schedule` makes PostPost move a time.
const MOVED: i64 = 7 * MINUTE;

#[derive(Default)]
pub struct Judge {
    pub violations: Vec<String>,
    /// Accounts that differ from the journal where somebody else changed the same post meanwhile: that cannot be told.
    pub undecidable: Vec<String>,
    /// Items by the state they ended in and why.
    pub items: BTreeMap<String, usize>,
    pub posts: usize,
    pub effects: usize,
    /// Effects whose answer was lost.
    pub doubts: usize,
    /// Posts that were late when they were resumed.
    pub late: usize,
}

/// A job as it is stored in the end.
struct Ended {
    plan: Plan,
    items: BTreeMap<i64, JobItem>,
    /// Numbers that the plan leaves alone.
    spared: BTreeSet<i64>,
    effects: BTreeMap<i64, usize>,
}

impl Judge {
    pub async fn check(&mut self, app: &TestApp, round: &str, schedule: &Schedule) {
        let mut found = Vec::new();
        let mut jobs = BTreeMap::new();
        for (id, plan) in &schedule.jobs {
            jobs.insert(id.clone(), self.account(app, schedule, id, plan, &mut found).await);
        }
        let journal = journal(app, schedule).await;
        let mut by_post: BTreeMap<String, Vec<Operation>> = BTreeMap::new();
        for effect in journal.iter().filter(|e| e["origin"] == "api") {
            self.effects += 1;
            let id = effect["requestId"].as_str().unwrap_or_default();
            let Some(operation) = app.app().db.operation(&schedule.ws, id).await.unwrap() else {
                found.push(format!("without an intent: {effect}"));
                continue;
            };
            self.doubts += usize::from(operation.doubted_at.is_some());
            let resumed = effect["after"]["status"] == "scheduled";
            self.late +=
                usize::from(resumed && time(&effect["before"]).is_some_and(|at| at < moment(effect)));
            match explain(effect, &operation, &mut jobs) {
                Ok(()) => {}
                Err(wrong) => found.push(format!("{wrong}: {effect}, {operation:?}")),
            }
            by_post.entry(operation.target.clone()).or_default().push(operation);
        }
        for (post, operations) in &by_post {
            for pair in operations.windows(2) {
                let settled = pair[0].ended_at.is_some_and(|at| at <= pair[1].started_at);
                if pair[0].id == pair[1].id || !settled {
                    found.push(format!("changed twice with nothing between: {post}, {pair:?}"));
                }
            }
        }
        let contested: BTreeSet<&str> = journal.iter().filter(|e| contests(e)).filter_map(post_of).collect();
        for (id, job) in &jobs {
            for item in job.items.values() {
                let effects = job.effects.get(&item.n).copied().unwrap_or(0);
                if effects == usize::from(item.state == ItemState::Succeeded) {
                    continue;
                }
                let of_post: Vec<&Value> =
                    journal.iter().filter(|e| post_of(e) == Some(item.post_id.as_str())).collect();
                let told = format!(
                    "{round}: job {id} {} {effects} effects of {item:?}; {of_post:?}",
                    job.plan.action
                );
                match effects <= 1 && contested.contains(item.post_id.as_str()) {
                    true => self.undecidable.push(told),
                    false => found.push(format!("the account is not what happened: {told}")),
                }
            }
        }
        self.violations.extend(found.into_iter().map(|wrong| format!("{round}: {wrong}")));
    }

    /// The sum holds, and nothing is left open.
    async fn account(
        &mut self,
        app: &TestApp,
        schedule: &Schedule,
        id: &str,
        plan: &Plan,
        found: &mut Vec<String>,
    ) -> Ended {
        let db = &app.app().db;
        let job = db.job(&schedule.ws, id).await.unwrap().unwrap();
        let items = db.job_items(id, None, 0, 10_000).await.unwrap();
        let planned = db.plan_items(&plan.id, Show::All, 0, 10_000).await.unwrap();
        let mut counted = Counts::default();
        for item in &items {
            counted.add(item.state, 1);
            let why = item.code.as_deref().unwrap_or_default();
            *self.items.entry(format!("{} {} {why}", job.action, item.state)).or_default() += 1;
        }
        self.posts += items.len();
        let same = planned.len() == items.len()
            && planned.iter().zip(&items).all(|(p, i)| (p.n, &p.post_id) == (i.n, &i.post_id));
        if !same || job.counts != counted || counted.ended() != planned.len() as i64 {
            found.push(format!("the sum: {} planned, {:?}, {counted:?} counted", planned.len(), job.counts));
        }
        if !job.state.is_final() {
            let open = |item: &&JobItem| {
                matches!(item.state, ItemState::Pending | ItemState::Running | ItemState::Unknown)
            };
            let left: Vec<_> = items.iter().filter(open).collect();
            found.push(format!("the job does not end: {job:?}, {left:?}"));
        }
        Ended {
            plan: plan.clone(),
            spared: planned.iter().filter(|p| p.skip.is_some()).map(|p| p.n).collect(),
            items: items.into_iter().map(|item| (item.n, item)).collect(),
            effects: BTreeMap::new(),
        }
    }
}

/// Counts an effect on its item, or says what is wrong with it.
fn explain(
    effect: &Value,
    operation: &Operation,
    jobs: &mut BTreeMap<String, Ended>,
) -> Result<(), &'static str> {
    let (job, n) = operation.item.as_ref().ok_or("not of a job")?;
    let job = jobs.get_mut(job).ok_or("not of these jobs")?;
    let item = job.items.get(n).ok_or("not of the job")?;
    if post_of(effect) != Some(item.post_id.as_str()) || effect["userId"] != item.tenant_id.as_str() {
        return Err("another post than the item's");
    }
    if job.spared.contains(n) || item.code.as_deref() == Some("locked") {
        return Err("not in the plan");
    }
    let count = job.effects.entry(*n).or_default();
    *count += 1;
    if *count > 1 {
        return Err("twice");
    }
    let (status, at) = (effect["after"]["status"].as_str(), time(&effect["after"]));
    let asked = |at: Option<i64>| {
        at.zip(item.target_at).is_some_and(|(at, asked)| (asked..=asked + MOVED).contains(&at))
    };
    let publishes = status == Some("scheduled") && at.is_some_and(|at| at <= moment(effect) + SECOND);
    let chosen = job.plan.options.past_due == PastDue::PublishNow && item.target_at.is_none();
    let right = match job.plan.action {
        BulkAction::Delete => {
            return (effect["action"] == "post.delete").then_some(()).ok_or("another change");
        }
        BulkAction::Recreate => {
            return (effect["action"] == "post.create").then_some(()).ok_or("another change");
        }
        BulkAction::Resume if publishes && !chosen => return Err("published unasked"),
        BulkAction::Resume => status == Some("scheduled") && (chosen || asked(at)),
        BulkAction::Pause => status == Some("draft"),
        BulkAction::Reschedule => status == effect["before"]["status"].as_str() && asked(at),
    };
    (right && effect["action"] == "post.update").then_some(()).ok_or("another change")
}

/// Whether somebody else's change could be taken for ours, or hide it.
fn contests(effect: &Value) -> bool {
    effect["origin"] == "control"
        && (effect["action"] == "post.delete" || effect["before"] != effect["after"])
}

fn post_of(effect: &Value) -> Option<&str> {
    effect["postGroupId"].as_str()
}

fn time(state: &Value) -> Option<i64> {
    state["scheduledTime"].as_str().and_then(times::from_iso)
}

fn moment(effect: &Value) -> i64 {
    effect["at"].as_str().and_then(times::from_iso).unwrap()
}

/// All that happened to the schedule's tenants since its jobs were confirmed.
async fn journal(app: &TestApp, schedule: &Schedule) -> Vec<Value> {
    let (mut entries, mut after) = (Vec::new(), schedule.journal);
    loop {
        let page = app.journal(after).await;
        let Some(last) = page.last() else { return entries };
        after = last["seq"].as_i64().unwrap();
        let ours =
            |e: &Value| e["userId"].as_str().is_some_and(|id| schedule.tenants.iter().any(|t| t == id));
        entries.extend(page.into_iter().filter(ours));
    }
}
