//! Jobs from queued to ended. Whatever happens, an item is in one state and the counts sum to the plan.

use super::{NOW, actor, held, last_entry, oid, plan, populated, post, workspace};
use crate::support::databases::both_engines;
use gatehouse::{
    audit::Writer,
    clock::Clock,
    domain::{
        ids::new_id,
        jobs::{Counts, ItemState, Job, JobState, Wanted},
        posts::PostStatus,
    },
    store::{
        Db,
        operations::{Effect, ItemResult},
    },
};

both_engines!(states, lists, fairness, items_by_state, ask, cancel, figures);

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
    db.finish_job(&held(&db).await, &stored, JobState::Completed, NOW + 4).await.unwrap();
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
    db.finish_job(&held(&db).await, &stored, JobState::Cancelled, NOW + 5).await.unwrap();
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
        db.jobs(&acme, before, limit)
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
    assert_eq!(db.jobs(&other, None, 10).await.unwrap().len(), 0);
    assert!(db.job(&other, "job-1").await.unwrap().is_none());
    assert!(db.job(&acme, "none").await.unwrap().is_none());
    let job = db.job(&acme, "job-1").await.unwrap().unwrap();
    db.finish_job(&held(&db).await, &job, JobState::Completed, NOW).await.unwrap();
    db.set_job_state(&held(&db).await, "job-2", &[JobState::Queued], JobState::Paused, NOW).await.unwrap();
    let unfinished: Vec<_> = db.unfinished_jobs().await.unwrap().into_iter().map(|j| j.id).collect();
    assert_eq!(unfinished, ["job-0", "job-2"]);
}

/// Each tenant's first item, then each tenant's second.
async fn fairness(db: Db) {
    let acme = populated(&db, 2).await;
    let job = job(&db, &acme, 5).await;
    let next = async |limit| {
        db.next_items(&job.id, limit).await.unwrap().into_iter().map(|i| i.n).collect::<Vec<_>>()
    };
    assert_eq!(next(4).await, [0, 5, 1, 6]);
    assert_eq!(next(100).await, [0, 5, 1, 6, 2, 3, 4]);
    end(&db, &job, 0, ItemState::Succeeded, None, NOW).await;
    end(&db, &job, 5, ItemState::Unknown, None, NOW).await;
    assert_eq!(next(3).await, [1, 6, 2]);
}

async fn items_by_state(db: Db) {
    let acme = populated(&db, 2).await;
    let job = job(&db, &acme, 4).await;
    end(&db, &job, 0, ItemState::Succeeded, None, NOW + 1).await;
    end(&db, &job, 1, ItemState::Unknown, Some("timeout"), NOW + 1).await;
    db.skip_item(&held(&db).await, &job.id, 2, "changed", "edited elsewhere", NOW + 2).await.unwrap();
    // Only what is pending can be skipped, and what has ended does not end again.
    db.skip_item(&held(&db).await, &job.id, 0, "changed", "late", NOW + 3).await.unwrap();
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
    assert_eq!(
        db.skip_tenant(&held(&db).await, &job.id, &oid(2), "tenant_frozen", NOW + 4).await.unwrap(),
        2
    );
    assert_eq!(
        db.skip_tenant(&held(&db).await, &job.id, &oid(2), "tenant_frozen", NOW + 4).await.unwrap(),
        0
    );
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
    db.finish_job(&held(&db).await, &done, JobState::Completed, NOW).await.unwrap();
    assert!(!db.ask_job(&actor(), &done, Wanted::Pause, NOW).await.unwrap());
}

async fn cancel(db: Db) {
    let acme = populated(&db, 2).await;
    let job = job(&db, &acme, 3).await;
    end(&db, &job, 0, ItemState::Failed, Some("500"), NOW).await;
    end(&db, &job, 1, ItemState::Unknown, None, NOW).await;
    db.finish_job(&held(&db).await, &job, JobState::Cancelled, NOW + 1).await.unwrap();
    let counts = again(&db, &job).await.counts;
    assert_eq!(counts, Counts { failed: 1, unknown: 1, cancelled: 3, ..Default::default() });
    // What is free again can be planned again; what is in doubt cannot.
    let locked: Vec<_> = db.locked_posts(&acme).await.unwrap();
    assert_eq!(locked, [(oid(1), oid(1))]);
}

async fn figures(db: Db) {
    let acme = populated(&db, 2).await;
    let job = job(&db, &acme, 5).await;
    for (n, at) in [(0, 30), (1, 10), (2, 20)] {
        end(&db, &job, n, ItemState::Failed, Some(if n == 1 { "409" } else { "500" }), NOW + at).await;
    }
    db.skip_item(&held(&db).await, &job.id, 3, "changed", "", NOW).await.unwrap();
    let tenants = db.job_tenants(&job.id).await.unwrap();
    let row = |tenant, state: &str, count| (oid(tenant), state.to_owned(), count);
    let expected = [row(1, "failed", 3), row(1, "pending", 1), row(1, "skipped", 1), row(2, "pending", 2)];
    assert_eq!(tenants, expected);
    let codes = db.job_codes(&job.id).await.unwrap();
    let row = |state: &str, code: &str, count| (state.to_owned(), Some(code.to_owned()), count);
    assert_eq!(codes, [row("failed", "500", 2), row("failed", "409", 1), row("skipped", "changed", 1)]);
    let latest: Vec<_> = db.latest_failures(&job.id, 2).await.unwrap().into_iter().map(|i| i.n).collect();
    assert_eq!(latest, [0, 2]);
}
