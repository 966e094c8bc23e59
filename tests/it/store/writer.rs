//! The group-commit writer: every acknowledged record is there, in dense numbers, and a bad one fails alone.

use super::{MirrorPosts, NOW, actor, audit::verify, oid, populated, post};
use crate::support::databases::both_engines;
use gatehouse::{
    audit::{Unavailable, Writer},
    clock::Clock,
    domain::{
        audit::{Action, Draft, Outcome},
        operations::OpState,
        posts::PostStatus,
    },
    store::{Db, Error, operations::Effect},
};

both_engines!(a_thousand_at_once, one_bad_record, entries_and_effects_together, closed_database);

fn draft(n: usize) -> Draft {
    Draft::new(&actor(), Action::PostDelete, Outcome::Intent)
        .workspace("w")
        .tenant(Some(&oid(n % 5)))
        .target("post", &oid(n))
}

fn close_unknown() -> Effect {
    Effect::Close {
        op_id: "unknown".into(),
        state: OpState::Failed,
        at: NOW,
        check_at: NOW,
        status: None,
        granted_at: None,
        doubted: false,
    }
}

async fn a_thousand_at_once(db: Db) {
    let writer = Writer::start(db.clone(), Clock::default(), Default::default());
    let records = (0..1_000).map(|n| {
        let writer = writer.clone();
        tokio::spawn(async move { writer.record(vec![draft(n), draft(n)], vec![]).await })
    });
    for record in futures_util::future::join_all(records).await {
        record.unwrap().unwrap();
    }
    assert_eq!(verify(&db).await, 2_000);
}

async fn one_bad_record(db: Db) {
    let writer = Writer::start(db.clone(), Clock::default(), Default::default());
    let records = (0..100).map(|n| {
        let writer = writer.clone();
        let effects = if n % 20 == 7 { vec![close_unknown()] } else { vec![] };
        tokio::spawn(async move { (n, writer.record(vec![draft(n)], effects).await) })
    });
    for record in futures_util::future::join_all(records).await {
        match record.unwrap() {
            (n, Ok(())) => assert_ne!(n % 20, 7),
            (n, Err(Unavailable::Store(Error::Taken))) => assert_eq!(n % 20, 7),
            (n, other) => panic!("{n}: {other:?}"),
        }
    }
    assert_eq!(verify(&db).await, 95);
}

/// Of a record that fails nothing is kept, neither its entry nor the effects before the failing one.
async fn entries_and_effects_together(db: Db) {
    let acme = populated(&db, 1).await;
    db.mirror_posts(&acme, &oid(1), &[post(1, 7, PostStatus::Draft)], NOW, false, None, NOW).await.unwrap();
    let size = verify(&db).await;
    let writer = Writer::start(db.clone(), Clock::default(), Default::default());
    let gone = Effect::PostGone { workspace_id: acme.clone(), tenant_id: oid(1), post_id: oid(7) };
    let refused = writer.record(vec![draft(7)], vec![gone.clone(), close_unknown()]).await;
    assert!(matches!(refused, Err(Unavailable::Store(Error::Taken))), "{refused:?}");
    assert!(db.post(&acme, &oid(1), &oid(7)).await.unwrap().is_some());
    assert_eq!(verify(&db).await, size);
    writer.record(vec![draft(7)], vec![gone]).await.unwrap();
    assert!(db.post(&acme, &oid(1), &oid(7)).await.unwrap().is_none());
    assert_eq!(verify(&db).await, size + 1);
}

async fn closed_database(db: Db) {
    let writer = Writer::start(db.clone(), Clock::default(), Default::default());
    db.close().await;
    let refused = writer.record(vec![draft(1)], vec![]).await;
    assert!(matches!(refused, Err(Unavailable::Store(_))), "{refused:?}");
}
