//! Who is told that a job has ended.

use super::{NOW, actor, held, plan, populated, post, workspace};
use crate::support::databases::both_engines;
use gatehouse::{
    domain::{
        audit::{Actor, ActorType},
        jobs::JobState,
        posts::PostStatus,
    },
    store::Db,
};

both_engines!(told_until_seen);

async fn told_until_seen(db: Db) {
    let acme = populated(&db, 1).await;
    let other = workspace(&db, "Other").await.id;
    let program = Actor::new(ActorType::Key, "key-1", "CI");
    let fence = held(&db).await;
    for (n, by) in [(1, actor()), (2, actor()), (3, program)] {
        let (plan, _) = plan(&db, &acme, &[post(1, n, PostStatus::Scheduled)]).await;
        let id = format!("job-{n}");
        db.confirm_plan(&by, &plan, &id, "", None, NOW).await.unwrap().unwrap();
    }
    let told = async |ws: &str, who: &str| db.notices(ws, who, 10).await.unwrap();
    assert!(told(&acme, "admin-1").await.is_empty(), "nothing has ended");
    for id in ["job-1", "job-2", "job-3"] {
        let job = db.job(&acme, id).await.unwrap().unwrap();
        db.finish_job(&fence, &job, JobState::Completed, None, NOW).await.unwrap();
        // Its end is told once, however often it is written down.
        db.finish_job(&fence, &job, JobState::Completed, None, NOW).await.unwrap();
    }
    assert_eq!(told(&acme, "admin-1").await, ["job-2", "job-1"]);
    assert_eq!(db.notices(&acme, "admin-1", 1).await.unwrap(), ["job-2"]);
    for (ws, who) in [(&acme, "admin-2"), (&acme, "key-1"), (&other, "admin-1")] {
        assert!(told(ws, who).await.is_empty());
        db.note_seen(ws, who, "job-1").await.unwrap();
    }
    db.note_seen(&acme, "admin-1", "job-2").await.unwrap();
    assert_eq!(told(&acme, "admin-1").await, ["job-1"]);
}
