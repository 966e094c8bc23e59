//! Plans, and that a job is made of exactly what was previewed, once.

use super::{NOW, actor, last_entry, oid, plan, populated, post};
use crate::support::databases::both_engines;
use gatehouse::{
    domain::{
        ids::new_id,
        jobs::{Counts, ItemState},
        plans::{Difference, Fold, Move, PastDue, Plan, PlanItem, PlanOptions, SkipReason, Summary, Weekday},
        posts::{Post, PostStatus},
    },
    store::{Db, jobs::JobFilter, plans::Show},
};

both_engines!(
    round_trip,
    show_and_tenants,
    confirm,
    confirm_is_refused,
    confirmed_at_once_by_many,
    one_post_in_one_job,
    two_plans_at_once,
    sweep
);

fn posts(from: usize, to: usize) -> Vec<Post> {
    (from..=to).map(|n| post(1 + n % 2, n, PostStatus::Scheduled)).collect()
}

async fn items(db: &Db, plan: &Plan, show: Show<'_>) -> Vec<PlanItem> {
    db.plan_items(&plan.id, show, 0, 1_000).await.unwrap()
}

async fn round_trip(db: Db) {
    let acme = populated(&db, 2).await;
    let (mut plan, items_then) = plan(&db, &acme, &posts(0, 449)).await;
    let stored = db.plan(&acme, &plan.id).await.unwrap().unwrap();
    assert_eq!(format!("{stored:?}"), format!("{plan:?}"));
    assert!(db.plan("other", &plan.id).await.unwrap().is_none());
    assert_eq!(items(&db, &plan, Show::All).await, items_then);
    assert_eq!(db.plan_items(&plan.id, Show::All, 440, 5).await.unwrap(), items_then[440..445]);

    // The operator chooses another time: the same plan, new options, new posts.
    plan.options = PlanOptions {
        moved: Move::Weekday { day: Weekday::Friday, minute: 570 },
        past_due: PastDue::Spread { from: NOW, every: 60_000 },
        zone: "Europe/Berlin".into(),
        fold: Some(Fold::Later),
        rate: Some(5),
        stop_after: 3,
        starts_at: Some(NOW + 9),
        keep_backup: false,
    };
    plan.digest = "another".into();
    plan.summary = Summary::of(&items_then, NOW);
    plan.difference = Some(Difference { added: 7, removed: 2, changed: 1 });
    assert!(db.put_plan(&actor(), &plan, &items_then[..2]).await.unwrap());
    let stored = db.plan(&acme, &plan.id).await.unwrap().unwrap();
    assert_eq!(format!("{stored:?}"), format!("{plan:?}"));
    assert_eq!(items(&db, &plan, Show::All).await, items_then[..2]);
    assert!(db.put_plan(&actor(), &plan, &[]).await.unwrap());
    assert_eq!(items(&db, &plan, Show::All).await, []);
}

async fn show_and_tenants(db: Db) {
    let acme = populated(&db, 2).await;
    let (plan, mut all) = plan(&db, &acme, &posts(0, 5)).await;
    all[1].skip = Some(SkipReason::DueSoon);
    all[3].skip = Some(SkipReason::Published);
    all[3].target_at = Some(NOW);
    assert!(db.put_plan(&actor(), &plan, &all).await.unwrap());
    let (first, second) = (oid(1), oid(2));
    let numbers = async |show| items(&db, &plan, show).await.iter().map(|i| i.n).collect::<Vec<_>>();
    assert_eq!(items(&db, &plan, Show::All).await, all);
    assert_eq!(numbers(Show::Acted).await, [0, 2, 4, 5]);
    assert_eq!(numbers(Show::Skipped(SkipReason::DueSoon)).await, [1]);
    assert_eq!(numbers(Show::Skipped(SkipReason::Locked)).await, [0; 0]);
    assert_eq!(numbers(Show::Tenant(&first)).await, [0, 2, 4]);
    assert_eq!(numbers(Show::Tenant(&second)).await, [5]);
    assert_eq!(numbers(Show::Platform("twitter")).await, [0, 2, 4, 5]);
    assert_eq!(numbers(Show::Platform("witter")).await, [0; 0]);
    assert_eq!(numbers(Show::Status(PostStatus::Scheduled)).await, [0, 2, 4, 5]);
    assert_eq!(numbers(Show::Status(PostStatus::Draft)).await, [0; 0]);
    // The plan was made at `NOW`; its posts are due a minute after each other.
    assert_eq!(numbers(Show::Soon).await, [2, 4, 5]);
    let tenants = async |skip, limit| db.plan_tenants(&plan.id, skip, limit).await.unwrap();
    assert_eq!(tenants(0, 10).await, [(oid(1), 3), (oid(2), 1)]);
    assert_eq!(tenants(1, 10).await, [(oid(2), 1)]);
    assert_eq!(tenants(0, 1).await, [(oid(1), 3)]);
}

async fn confirm(db: Db) {
    let acme = populated(&db, 2).await;
    let (plan, mut all) = plan(&db, &acme, &posts(0, 3)).await;
    all[2].skip = Some(SkipReason::NoTime);
    all[3].target_at = Some(NOW + 77);
    all[3].wanted_at = Some(NOW + 78);
    assert!(db.put_plan(&actor(), &plan, &all).await.unwrap());
    let id = new_id();
    let later = Some(NOW + 30_000);
    assert_eq!(db.confirm_plan(&actor(), &plan, &id, "spring", later, NOW).await.unwrap(), Some(id.clone()));
    let items = db.job_items(&id, None, 0, 100).await.unwrap();
    assert_eq!(items.len(), 4);
    for (item, planned) in items.iter().zip(&all) {
        assert_eq!(
            (item.n, &item.tenant_id, &item.post_id),
            (planned.n, &planned.tenant_id, &planned.post_id)
        );
        assert_eq!((item.expected_status, item.expected_at), (planned.status, planned.scheduled_at));
        assert_eq!((item.expected_updated_at, item.target_at), (planned.updated_at, planned.target_at));
        let skipped = planned.skip.is_some();
        assert_eq!(item.state, if skipped { ItemState::Skipped } else { ItemState::Pending });
        assert_eq!(
            (item.code.as_deref(), item.ended_at),
            if skipped { (Some("no_time"), Some(NOW)) } else { (None, None) }
        );
    }
    let job = db.job(&acme, &id).await.unwrap().unwrap();
    assert_eq!(job.counts, Counts { pending: 3, skipped: 1, ..Default::default() });
    assert_eq!(job.starts_at, later);
    assert_eq!((job.plan_id.as_str(), job.reason.as_str(), job.actor), (plan.id.as_str(), "spring", actor()));
    let entry = last_entry(&db).await;
    assert_eq!((entry.action.as_str(), entry.job_id.clone()), ("job.create", Some(id.clone())));
    assert!(entry.detail("change").unwrap().contains(r#""posts":4,"toDo":3"#));
    // What is confirmed is frozen.
    assert_eq!(db.plan(&acme, &plan.id).await.unwrap().unwrap().job_id, Some(id));
    assert!(!db.put_plan(&actor(), &plan, &[]).await.unwrap());
    assert_eq!(db.plan_items(&plan.id, Show::All, 0, 100).await.unwrap(), all);
}

async fn confirm_is_refused(db: Db) {
    let acme = populated(&db, 2).await;
    let (plan, _) = plan(&db, &acme, &posts(0, 1)).await;
    let size = db.audit_head().await.unwrap().size;
    assert_eq!(db.confirm_plan(&actor(), &plan, "j", "", None, plan.expires_at).await.unwrap(), None);
    let seen_before = Plan { digest: "an older preview".into(), ..plan.clone() };
    assert_eq!(db.confirm_plan(&actor(), &seen_before, "j", "", None, NOW).await.unwrap(), None);
    assert_eq!(db.audit_head().await.unwrap().size, size);
    assert_eq!(db.confirm_plan(&actor(), &plan, "j", "", None, NOW).await.unwrap().as_deref(), Some("j"));
    assert_eq!(db.confirm_plan(&actor(), &plan, "k", "", None, NOW).await.unwrap().as_deref(), Some("j"));
    assert_eq!(db.jobs(&acme, &JobFilter::default(), None, 10).await.unwrap().len(), 1);
}

async fn confirmed_at_once_by_many(db: Db) {
    let acme = populated(&db, 2).await;
    let (plan, _) = plan(&db, &acme, &posts(0, 9)).await;
    let tries = (0..50).map(|_| {
        let (db, plan) = (db.clone(), plan.clone());
        tokio::spawn(async move {
            db.confirm_plan(&actor(), &plan, &new_id(), "", None, NOW).await.unwrap().unwrap()
        })
    });
    let mut ids: Vec<String> =
        futures_util::future::join_all(tries).await.into_iter().map(Result::unwrap).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1, "one job, and everybody is told its id");
    let jobs = db.jobs(&acme, &JobFilter::default(), None, 100).await.unwrap();
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].counts, Counts { pending: 10, ..Default::default() });
}

async fn one_post_in_one_job(db: Db) {
    let acme = populated(&db, 2).await;
    let (first, _) = plan(&db, &acme, &posts(0, 3)).await;
    let (second, _) = plan(&db, &acme, &posts(2, 5)).await;
    assert_eq!(db.locked_posts(&acme).await.unwrap(), []);
    db.confirm_plan(&actor(), &first, "j1", "", None, NOW).await.unwrap();
    let mut locked = db.locked_posts(&acme).await.unwrap();
    locked.sort();
    assert_eq!(locked, [(oid(1), oid(0)), (oid(1), oid(2)), (oid(2), oid(1)), (oid(2), oid(3))]);
    assert_eq!(db.locked_posts("other").await.unwrap(), []);
    db.confirm_plan(&actor(), &second, "j2", "", None, NOW).await.unwrap();
    let items = db.job_items("j2", None, 0, 10).await.unwrap();
    let stand: Vec<_> = items.iter().map(|i| (i.n, i.state, i.code.as_deref())).collect();
    let (pending, skipped) = (ItemState::Pending, ItemState::Skipped);
    let locked = Some("locked");
    assert_eq!(stand, [(0, skipped, locked), (1, skipped, locked), (2, pending, None), (3, pending, None)]);
}

/// Two overlapping plans confirmed in the same instant: both become jobs, and no post is in hand twice.
async fn two_plans_at_once(db: Db) {
    let acme = populated(&db, 2).await;
    for round in 0..8 {
        let (first, _) = plan(&db, &acme, &posts(round * 100, round * 100 + 30)).await;
        let (second, _) = plan(&db, &acme, &posts(round * 100, round * 100 + 30)).await;
        let confirm = |plan: Plan| {
            let db = db.clone();
            tokio::spawn(async move { db.confirm_plan(&actor(), &plan, &new_id(), "", None, NOW).await })
        };
        let (one, two) = tokio::join!(confirm(first), confirm(second));
        let (one, two) = (one.unwrap().unwrap().unwrap(), two.unwrap().unwrap().unwrap());
        let (one, two) =
            (db.job(&acme, &one).await.unwrap().unwrap(), db.job(&acme, &two).await.unwrap().unwrap());
        assert_eq!(one.counts.pending + two.counts.pending, 31);
        assert_eq!(one.counts.skipped + two.counts.skipped, 31);
    }
}

async fn sweep(db: Db) {
    let acme = populated(&db, 2).await;
    let (kept, _) = plan(&db, &acme, &posts(0, 1)).await;
    let (old, _) = plan(&db, &acme, &posts(2, 3)).await;
    db.confirm_plan(&actor(), &kept, "j", "", None, NOW).await.unwrap();
    db.sweep_plans(old.expires_at).await.unwrap();
    assert!(db.plan(&acme, &old.id).await.unwrap().is_some());
    db.sweep_plans(old.expires_at + 1).await.unwrap();
    assert!(db.plan(&acme, &old.id).await.unwrap().is_none());
    assert_eq!(items(&db, &old, Show::All).await, []);
    assert_eq!(items(&db, &kept, Show::All).await.len(), 2);
}
