//! Plans made from a job, and what of a job can be turned back.

use super::{NOW, actor, oid, plan, populated, post};
use crate::support::databases::both_engines;
use gatehouse::{
    audit::Writer,
    clock::Clock,
    domain::{
        ids::new_id,
        jobs::{ItemState, Purpose},
        posts::PostStatus,
    },
    store::{
        Db,
        operations::{Effect, ItemResult},
    },
};

both_engines!(family, paused_by_a_job);

async fn family(db: Db) {
    let acme = populated(&db, 1).await;
    let (first, _) = plan(&db, &acme, &[post(1, 0, PostStatus::Scheduled)]).await;
    let parent = db.confirm_plan(&actor(), &first, &new_id(), "", None, NOW).await.unwrap().unwrap();
    let (second, _) = plan(&db, &acme, &[post(1, 1, PostStatus::Scheduled)]).await;
    db.link_plan(&second.id, &parent, Purpose::Retry).await.unwrap();
    db.link_plan(&second.id, &parent, Purpose::Undo).await.unwrap();
    assert_eq!(db.plan_parent(&second.id).await.unwrap(), Some((parent.clone(), Purpose::Retry)));
    assert_eq!(db.plan_parent(&first.id).await.unwrap(), None);
    assert_eq!(db.job_children(&parent).await.unwrap(), [], "a plan is not a job yet");
    let child = db.confirm_plan(&actor(), &second, &new_id(), "", None, NOW).await.unwrap().unwrap();
    assert_eq!(db.job_children(&parent).await.unwrap(), [(child, Purpose::Retry)]);
    // A plan that was never confirmed goes, and its link with it.
    let (third, _) = plan(&db, &acme, &[post(1, 2, PostStatus::Scheduled)]).await;
    db.link_plan(&third.id, &parent, Purpose::Undo).await.unwrap();
    db.sweep_plans(i64::MAX).await.unwrap();
    assert_eq!(db.plan_parent(&third.id).await.unwrap(), None);
}

/// Only what the job itself has paused, and only as long as that pause lasts.
async fn paused_by_a_job(db: Db) {
    let acme = populated(&db, 1).await;
    let posts: Vec<_> = (0..3).map(|n| post(1, n, PostStatus::Scheduled)).collect();
    let (made, _) = plan(&db, &acme, &posts).await;
    let job = db.confirm_plan(&actor(), &made, &new_id(), "", None, NOW).await.unwrap().unwrap();
    let writer = Writer::start(db.clone(), Clock::default(), Default::default());
    let paused = |n: usize, op_id: &str| Effect::Paused {
        workspace_id: acme.clone(),
        tenant_id: oid(1),
        post_id: posts[n].id.clone(),
        op_id: op_id.into(),
        scheduled_at: None,
        at: NOW,
    };
    let result = ItemResult { state: ItemState::Succeeded, code: None, message: None, granted_at: None };
    let mut effects = vec![paused(0, "op-0"), paused(1, "of-another-job"), paused(2, "op-2")];
    for n in 0..3 {
        effects.push(Effect::Item { job_id: job.clone(), n, result: result.clone(), at: NOW });
    }
    writer.record(vec![], effects).await.unwrap();
    for (n, op) in [("0", "op-0"), ("1", "op-1"), ("2", "op-2")] {
        let text = "UPDATE job_items SET op_id = $1 WHERE job_id = $2 AND CAST(n AS TEXT) = $3";
        crate::support::databases::execute(&db, text, &[op, &job, n]).await.unwrap();
    }
    assert_eq!(
        db.still_paused_by(&job).await.unwrap(),
        [(oid(1), posts[0].id.clone()), (oid(1), posts[2].id.clone())]
    );
    let unpaused =
        Effect::Unpaused { workspace_id: acme.clone(), tenant_id: oid(1), post_id: posts[0].id.clone() };
    writer.record(vec![], vec![unpaused]).await.unwrap();
    assert_eq!(db.still_paused_by(&job).await.unwrap(), [(oid(1), posts[2].id.clone())]);
}
