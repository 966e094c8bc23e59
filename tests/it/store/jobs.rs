//! Jobs from queued to ended. Whatever happens, an item is in one state and the counts sum to the plan.

use super::{NOW, actor, held, last_entry, oid, plan, populated, post, workspace};
use crate::support::databases::both_engines;
use gatehouse::{
    audit::Writer,
    clock::Clock,
    domain::{
        ids::new_id,
        jobs::{Counts, ItemState, Job, JobState, Wanted},
        plans::BulkAction,
        posts::PostStatus,
    },
    store::{
        Db,
        jobs::JobFilter,
        operations::{Effect, ItemResult},
    },
};

both_engines!(states, lists, fairness, items_by_state, ask, cancel, stop, put_off, failures, figures);

/// A job over `posts` posts of tenant 1 and two of tenant 2.
async fn job(db: &Db, workspace_id: &str, posts: usize) -> Job {
    let mut all: Vec<_> = (0..posts).map(|n| post(1, n, PostStatus::Scheduled)).collect();
    all.extend([1_000, 1_001].map(|n| post(2, n, PostStatus::Scheduled)));
    let (plan, _) = plan(db, workspace_id, &all).await;
    let id = db.confirm_plan(&actor(), &plan, &new_id(), "", None, NOW).await.unwrap().unwrap();
    db.job(workspace_id, &id).await.unwrap().unwrap()
}

async fn again(db: &Db, job: &Job) -> Job {
    db.job(&job.workspace_id, &job.id).await.unwrap().unwrap()
}

async fn end(db: &Db, job: &Job, n: i64, state: ItemState, code: Option<&str>, at: i64) {
    let result = ItemResult { state, code: code.map(str::to_owned), message: None, granted_at: Some(at) };
    let effect = Effect::Item { job_id: job.id.clone(), n, result, at };
    Writer::start(db.clone(), Clock::default(), Default::default())
        .record(vec![], vec![effect])
        .await
        .unwrap();
}

fn skipped(code: &str, message: &str) -> ItemResult {
    ItemResult {
        state: ItemState::Skipped,
        code: Some(code.into()),
        message: Some(message.into()),
        granted_at: None,
    }
}

async fn states(db: Db) {
    let acme = populated(&db, 2).await;
    let job = job(&db, &acme, 1).await;
    assert_eq!((job.state, job.wanted, job.started_at), (JobState::Queued, Wanted::Run, None));
    let set = async |from: &[JobState], to, now| {
        db.set_job_state(&held(&db).await, &job.id, from, to, now).await.unwrap()
    };
    assert!(!set(&[JobState::Paused], JobState::Running, NOW).await);
    assert!(!set(&[], JobState::Running, NOW).await);
    assert!(set(&[JobState::Queued, JobState::Paused], JobState::Running, NOW + 1).await);
    assert!(set(&[JobState::Running], JobState::Paused, NOW + 2).await);
    assert!(set(&[JobState::Paused], JobState::Running, NOW + 3).await);
    let stored = again(&db, &job).await;
    assert_eq!((stored.state, stored.started_at, stored.ended_at), (JobState::Running, Some(NOW + 1), None));
    assert_eq!(db.unfinished_by_state().await.unwrap(), [("running".to_owned(), 1)]);
    db.finish_job(&held(&db).await, &stored, JobState::Completed, None, NOW + 4).await.unwrap();
    assert_eq!(db.unfinished_by_state().await.unwrap(), []);
    let ended = again(&db, &job).await;
    assert_eq!(
        (ended.state, ended.started_at, ended.ended_at),
        (JobState::Completed, Some(NOW + 1), Some(NOW + 4))
    );
    let entry = last_entry(&db).await;
    assert_eq!((entry.action.as_str(), entry.job_id.clone()), ("job.end", Some(job.id.clone())));
    assert_eq!(entry.detail("change"), Some(r#"{"after":{"pending":3,"state":"completed"},"before":{}}"#));
    // Ended is ended.
    let size = db.audit_head().await.unwrap().size;
    db.finish_job(&held(&db).await, &stored, JobState::Cancelled, None, NOW + 5).await.unwrap();
    assert_eq!(again(&db, &job).await.state, JobState::Completed);
    assert_eq!(again(&db, &job).await.counts, Counts { pending: 3, ..Default::default() });
    assert_eq!(db.audit_head().await.unwrap().size, size);
}

async fn lists(db: Db) {
    let acme = populated(&db, 2).await;
    let other = workspace(&db, "Other").await.id;
    let mut ids = Vec::new();
    for n in 0..3 {
        let (plan, _) = plan(&db, &acme, &[post(1, n, PostStatus::Scheduled)]).await;
        ids.push(
            db.confirm_plan(&actor(), &plan, &format!("job-{n}"), "", None, NOW).await.unwrap().unwrap(),
        );
    }
    let list = async |before: Option<&str>, limit| {
        db.jobs(&acme, &JobFilter::default(), before, limit)
            .await
            .unwrap()
            .into_iter()
            .map(|j| (j.id, j.counts.total()))
            .collect::<Vec<_>>()
    };
    let all: Vec<_> = ids.iter().rev().map(|id| (id.clone(), 1)).collect();
    assert_eq!(list(None, 10).await, all);
    assert_eq!(list(None, 2).await, all[..2]);
    assert_eq!(list(Some("job-1"), 10).await, all[2..]);
    assert_eq!(db.jobs(&other, &JobFilter::default(), None, 10).await.unwrap().len(), 0);
    assert!(db.job(&other, "job-1").await.unwrap().is_none());
    assert!(db.job(&acme, "none").await.unwrap().is_none());
    let of = async |filter: JobFilter| {
        let jobs = db.jobs(&acme, &filter, None, 10).await.unwrap();
        jobs.into_iter().map(|j| j.id).collect::<Vec<_>>()
    };
    let job = db.job(&acme, "job-1").await.unwrap().unwrap();
    db.finish_job(&held(&db).await, &job, JobState::Completed, None, NOW).await.unwrap();
    db.set_job_state(&held(&db).await, "job-2", &[JobState::Queued], JobState::Paused, NOW).await.unwrap();
    let unfinished: Vec<_> = db.unfinished_jobs().await.unwrap().into_iter().map(|j| j.id).collect();
    assert_eq!(unfinished, ["job-0", "job-2"]);
    // One that begins later is not due before, but can be paused or cancelled.
    let (later, _) = plan(&db, &acme, &[post(1, 9, PostStatus::Scheduled)]).await;
    let id = db.confirm_plan(&actor(), &later, "job-3", "", Some(NOW + 9), NOW).await.unwrap().unwrap();
    let due = async |now| db.due_jobs(now).await.unwrap().into_iter().map(|j| j.id).collect::<Vec<_>>();
    assert_eq!((due(NOW + 8).await.len(), due(NOW + 9).await.len()), (2, 3));
    let later = db.job(&acme, &id).await.unwrap().unwrap();
    assert!(db.ask_job(&actor(), &later, Wanted::Cancel, NOW).await.unwrap());
    assert_eq!(due(NOW).await, ["job-0", "job-2", "job-3"]);
    db.finish_job(&held(&db).await, &later, JobState::Cancelled, None, NOW).await.unwrap();
    let any = JobFilter::default;
    assert_eq!(of(JobFilter { states: vec![JobState::Completed], ..any() }).await, ["job-1"]);
    let states = vec![JobState::Queued, JobState::Paused];
    assert_eq!(of(JobFilter { states, ..any() }).await, ["job-2", "job-0"]);
    assert_eq!(of(JobFilter { action: Some(job.action), ..any() }).await.len(), 4);
    let other_action = BulkAction::ALL.iter().copied().find(|a| *a != job.action);
    assert_eq!(of(JobFilter { action: other_action, ..any() }).await.len(), 0);
    let actors = db.job_actors(&acme).await.unwrap();
    assert_eq!((actors.len(), db.job_actors(&other).await.unwrap().len()), (1, 0), "{actors:?}");
    assert_eq!(of(JobFilter { actor: Some(actors[0].0.clone()), ..any() }).await.len(), 4);
    assert_eq!(of(JobFilter { actor: Some("nobody".into()), ..any() }).await.len(), 0);
}

/// Each tenant's first item, then each tenant's second.
async fn fairness(db: Db) {
    let acme = populated(&db, 2).await;
    let job = job(&db, &acme, 5).await;
    let next = async |limit| {
        db.next_items(&job.id, &[], limit).await.unwrap().into_iter().map(|i| i.n).collect::<Vec<_>>()
    };
    assert_eq!(next(4).await, [0, 5, 1, 6]);
    assert_eq!(next(100).await, [0, 5, 1, 6, 2, 3, 4]);
    end(&db, &job, 0, ItemState::Succeeded, None, NOW).await;
    end(&db, &job, 5, ItemState::Unknown, None, NOW).await;
    assert_eq!(next(3).await, [1, 6, 2]);
    let tenant = oid(1);
    let others = db.next_items(&job.id, &[tenant.as_str()], 100).await.unwrap();
    assert_eq!(others.into_iter().map(|i| i.n).collect::<Vec<_>>(), [6]);
}

async fn items_by_state(db: Db) {
    let acme = populated(&db, 2).await;
    let job = job(&db, &acme, 4).await;
    end(&db, &job, 0, ItemState::Succeeded, None, NOW + 1).await;
    end(&db, &job, 1, ItemState::Unknown, Some("timeout"), NOW + 1).await;
    db.end_item(&held(&db).await, &job.id, 2, &skipped("changed", "edited elsewhere"), NOW + 2)
        .await
        .unwrap();
    // Only what is pending can be skipped, and what has ended does not end again.
    db.end_item(&held(&db).await, &job.id, 0, &skipped("changed", "late"), NOW + 3).await.unwrap();
    end(&db, &job, 0, ItemState::Failed, Some("late"), NOW + 3).await;
    let items = db.job_items(&job.id, None, 0, 100).await.unwrap();
    assert_eq!(
        (items[0].state, items[0].code.clone(), items[0].ended_at),
        (ItemState::Succeeded, None, Some(NOW + 1))
    );
    assert_eq!(items[0].granted_at, Some(NOW + 1));
    assert_eq!((items[1].state, items[1].ended_at), (ItemState::Unknown, None));
    assert_eq!(
        (items[2].code.as_deref(), items[2].message.as_deref()),
        (Some("changed"), Some("edited elsewhere"))
    );
    let of = async |state, from, limit| {
        db.job_items(&job.id, state, from, limit).await.unwrap().into_iter().map(|i| i.n).collect::<Vec<_>>()
    };
    assert_eq!(of(Some(ItemState::Pending), 0, 100).await, [3, 4, 5]);
    assert_eq!(of(Some(ItemState::Pending), 4, 1).await, [4]);
    assert_eq!(of(None, 4, 100).await, [4, 5]);
    for left in [2, 0] {
        let end = skipped("tenant_frozen", "");
        let ended = db.end_tenants_items(&held(&db).await, &job.id, &oid(2), &end, NOW + 4).await.unwrap();
        assert_eq!(ended, left);
    }
    let counts = again(&db, &job).await.counts;
    assert_eq!(counts, Counts { pending: 1, succeeded: 1, unknown: 1, skipped: 3, ..Default::default() });
    assert_eq!(counts.total(), 6);
    end(&db, &job, 1, ItemState::Gone, None, NOW + 5).await;
    assert_eq!(again(&db, &job).await.counts.gone, 1);
}

async fn ask(db: Db) {
    let acme = populated(&db, 2).await;
    let job = job(&db, &acme, 1).await;
    for (wanted, action) in
        [(Wanted::Pause, "job.pause"), (Wanted::Run, "job.resume"), (Wanted::Cancel, "job.cancel")]
    {
        assert!(db.ask_job(&actor(), &job, wanted, NOW).await.unwrap());
        assert_eq!(db.job_wanted(&job.id).await.unwrap(), wanted);
        assert_eq!((again(&db, &job).await.wanted, last_entry(&db).await.action.as_str()), (wanted, action));
    }
    assert!(!db.ask_job(&actor(), &job, Wanted::Run, NOW).await.unwrap(), "a cancelled job does not go on");
    let done = self::job(&db, &acme, 0).await;
    db.finish_job(&held(&db).await, &done, JobState::Completed, None, NOW).await.unwrap();
    assert!(!db.ask_job(&actor(), &done, Wanted::Pause, NOW).await.unwrap());
}

async fn cancel(db: Db) {
    let acme = populated(&db, 2).await;
    let job = job(&db, &acme, 3).await;
    end(&db, &job, 0, ItemState::Failed, Some("500"), NOW).await;
    end(&db, &job, 1, ItemState::Unknown, None, NOW).await;
    db.finish_job(&held(&db).await, &job, JobState::Cancelled, None, NOW + 1).await.unwrap();
    let counts = again(&db, &job).await.counts;
    assert_eq!(counts, Counts { failed: 1, unknown: 1, cancelled: 3, ..Default::default() });
    // What is free again can be planned again; what is in doubt cannot.
    let locked: Vec<_> = db.locked_posts(&acme).await.unwrap();
    assert_eq!(locked, [(oid(1), oid(1))]);
}

async fn stop(db: Db) {
    let acme = populated(&db, 2).await;
    let job = job(&db, &acme, 3).await;
    end(&db, &job, 0, ItemState::Failed, Some("500"), NOW).await;
    end(&db, &job, 1, ItemState::Unknown, None, NOW).await;
    db.finish_job(&held(&db).await, &job, JobState::Stopped, Some("1 failure"), NOW + 1).await.unwrap();
    let stopped = again(&db, &job).await;
    assert_eq!((stopped.state, stopped.ended_at), (JobState::Stopped, Some(NOW + 1)));
    assert_eq!(stopped.counts, Counts { failed: 1, unknown: 1, cancelled: 3, ..Default::default() });
    let left = db.job_items(&job.id, Some(ItemState::Cancelled), 0, 9).await.unwrap();
    assert!(left.iter().all(|item| item.code.as_deref() == Some("stopped")));
    assert!(last_entry(&db).await.detail("change").unwrap().contains(r#""why":"1 failure""#));
    // Ended is ended, and the counts go on when what was in doubt is settled.
    assert!(!db.ask_job(&actor(), &job, Wanted::Run, NOW).await.unwrap());
    assert_eq!(db.unfinished_jobs().await.unwrap().len(), 0);
    end(&db, &job, 1, ItemState::Succeeded, None, NOW + 2).await;
    assert_eq!(again(&db, &job).await.counts.succeeded, 1);
}

async fn put_off(db: Db) {
    let acme = populated(&db, 2).await;
    let job = job(&db, &acme, 2).await;
    let fence = held(&db).await;
    db.put_item_off(&fence, &job.id, 0, "rate_limited", "slow down", true).await.unwrap();
    db.put_item_off(&fence, &job.id, 0, "rate_limited", "slow down", false).await.unwrap();
    let item = db.job_items(&job.id, None, 0, 1).await.unwrap().remove(0);
    assert_eq!((item.state, item.code.as_deref()), (ItemState::Pending, Some("rate_limited")));
    assert_eq!((item.attempts, item.message.as_deref()), (1, Some("slow down")));
    assert!(db.item_is_pending(&job.id, 0).await.unwrap());
    end(&db, &job, 0, ItemState::Succeeded, None, NOW).await;
    assert!(!db.item_is_pending(&job.id, 0).await.unwrap());
    db.put_item_off(&fence, &job.id, 0, "late", "", true).await.unwrap();
    let item = db.job_items(&job.id, None, 0, 1).await.unwrap().remove(0);
    assert_eq!((item.attempts, item.code), (2, None));
}

/// Counted over what was tried, in the order in which it ended.
async fn failures(db: Db) {
    let acme = populated(&db, 2).await;
    let job = job(&db, &acme, 9).await;
    let in_a_row = async |limit| db.failures_in_a_row(&job.id, limit).await.unwrap();
    assert_eq!(in_a_row(20).await, 0);
    for (n, state) in [(0, ItemState::Failed), (1, ItemState::Succeeded), (2, ItemState::Failed)] {
        end(&db, &job, n, state, None, NOW + n).await;
    }
    assert_eq!(in_a_row(20).await, 1);
    db.end_item(&held(&db).await, &job.id, 3, &skipped("changed", ""), NOW + 3).await.unwrap();
    end(&db, &job, 4, ItemState::Unknown, None, NOW + 4).await;
    end(&db, &job, 5, ItemState::Failed, None, NOW + 5).await;
    assert_eq!((in_a_row(20).await, in_a_row(1).await), (2, 1), "skipped and unknown ones do not count");
    // What was given up without a call says nothing about the next one.
    let unread = ItemResult { state: ItemState::Failed, ..skipped("tenant_unreadable", "") };
    db.end_item(&held(&db).await, &job.id, 6, &unread, NOW + 6).await.unwrap();
    assert_eq!(in_a_row(20).await, 2);
    end(&db, &job, 4, ItemState::Gone, None, NOW + 7).await;
    assert_eq!(in_a_row(20).await, 0);
}

async fn figures(db: Db) {
    let acme = populated(&db, 2).await;
    let job = job(&db, &acme, 5).await;
    for (n, at) in [(0, 30), (1, 10), (2, 20)] {
        end(&db, &job, n, ItemState::Failed, Some(if n == 1 { "409" } else { "500" }), NOW + at).await;
    }
    db.end_item(&held(&db).await, &job.id, 3, &skipped("changed", ""), NOW).await.unwrap();
    let tenants = db.job_tenants(&job.id).await.unwrap();
    let row = |tenant, state: &str, count| (oid(tenant), state.to_owned(), count);
    let expected = [row(1, "failed", 3), row(1, "pending", 1), row(1, "skipped", 1), row(2, "pending", 2)];
    assert_eq!(tenants, expected);
    let codes = db.job_codes(&job.id).await.unwrap();
    let row = |state: &str, code: &str, count| (state.to_owned(), Some(code.to_owned()), count);
    assert_eq!(codes, [row("failed", "500", 2), row("failed", "409", 1), row("skipped", "changed", 1)]);
    assert_eq!(db.ended_since(&job.id, NOW + 20).await.unwrap(), 2);
    assert_eq!(db.ended_since(&job.id, NOW).await.unwrap(), 3, "what was skipped does not count");
    let latest: Vec<_> = db.latest_failures(&job.id, 2).await.unwrap().into_iter().map(|i| i.n).collect();
    assert_eq!(latest, [0, 2]);
}
