//! Facts, data keys and leases.

use super::{MirrorPosts, NOW, actor, oid, populated, post};
use crate::support::databases::both_engines;
use gatehouse::{
    audit::{Unavailable, Writer},
    clock::Clock,
    domain::{
        audit::{Action, Draft},
        posts::PostStatus,
    },
    store::{
        Db, Error,
        leases::{Fence, node_lease},
        operations::Effect,
    },
};

both_engines!(facts, data_keys, leases, one_lease_of_many, a_lost_lease_writes_nothing);

async fn facts(db: Db) {
    assert_eq!(db.access_version().await.unwrap(), 1);
    assert_eq!(db.fact("canary").await.unwrap(), None);
    assert_eq!(db.fact_or("canary", "one").await.unwrap(), "one");
    assert_eq!(db.fact_or("canary", "two").await.unwrap(), "one");
    assert_eq!(db.fact("canary").await.unwrap().as_deref(), Some("one"));
    db.check_writable(NOW).await.unwrap();
    db.check_writable(NOW + 1).await.unwrap();
    assert_eq!(db.fact("checked_at").await.unwrap(), Some((NOW + 1).to_string()));
    assert_eq!(db.is_embedded(), matches!(db, Db::Sqlite { .. }));
}

async fn data_keys(db: Db) {
    assert_eq!(db.data_key().await.unwrap(), None);
    db.add_data_key("a", &[0, 255], NOW).await.unwrap();
    db.add_data_key("b", &[1], NOW + 1).await.unwrap();
    db.add_data_key("c", &[2], NOW - 1).await.unwrap();
    assert_eq!(db.data_key().await.unwrap(), Some(("b".into(), vec![1])));
}

async fn leases(db: Db) {
    let take = async |owner: &str, now| {
        let taken = db.take_lease("sync", owner, now, now + 10).await.unwrap();
        taken.map(|t| (t.token - NOW, t.from_the_dead))
    };
    let fence = |token| Fence { name: "sync".into(), token: NOW + token };
    assert_eq!(take("a", NOW).await, Some((0, false)));
    assert_eq!(take("a", NOW + 5).await, Some((0, false)), "renewed, until 15");
    assert_eq!(take("b", NOW + 15).await, None);
    assert_eq!(take("b", NOW + 16).await, Some((1, true)));
    assert_eq!(take("a", NOW + 17).await, None);
    assert!(db.take_lease("other", "a", NOW, NOW + 10).await.unwrap().is_some());
    db.release_lease(&fence(0)).await.unwrap();
    assert_eq!(take("a", NOW + 18).await, None, "not theirs to give back");
    assert!(!db.renew_lease(&fence(0), NOW + 100).await.unwrap(), "nor to keep");
    assert!(db.renew_lease(&fence(1), NOW + 30).await.unwrap());
    assert_eq!(take("a", NOW + 27).await, None);
    db.release_lease(&fence(1)).await.unwrap();
    assert!(!db.renew_lease(&fence(1), NOW + 100).await.unwrap(), "given back");
    assert_eq!(take("a", NOW + 18).await, Some((2, false)));
    db.end_all_leases().await.unwrap();
    assert_eq!(take("c", NOW + 18).await, Some((3, false)));

    assert!(!db.node_is_alive("n", NOW).await.unwrap());
    db.take_lease(&node_lease("n"), "n", NOW, NOW + 10).await.unwrap();
    assert!(db.node_is_alive("n", NOW + 10).await.unwrap());
    assert!(!db.node_is_alive("n", NOW + 11).await.unwrap());
    db.sweep_leases(NOW + 15).await.unwrap();
    assert!(db.renew_lease(&fence(3), NOW + 40).await.unwrap(), "still held");
    let anew = db.take_lease("other", "b", NOW + 20, NOW + 30).await.unwrap().unwrap();
    assert_eq!(anew.token, NOW + 20, "larger than any token of the lease that was swept away");
}

/// Whoever has lost a lease writes nothing any more, neither on its own nor within a record.
async fn a_lost_lease_writes_nothing(db: Db) {
    let acme = populated(&db, 1).await;
    let first = db.take_lease("sync", "a", NOW, NOW + 10).await.unwrap().unwrap();
    let old = Fence { name: "sync".into(), token: first.token };
    let posts = [post(1, 1, PostStatus::Draft)];
    db.mirror_posts(&acme, &oid(1), &posts, NOW, false, Some(&old), NOW).await.unwrap();
    db.take_lease("sync", "b", NOW + 11, NOW + 20).await.unwrap().unwrap();
    let late = db.mirror_posts(&acme, &oid(1), &[], NOW + 1, true, Some(&old), NOW + 12).await;
    assert!(matches!(late, Err(Error::Fenced)), "{late:?}");
    assert!(db.post(&acme, &oid(1), &posts[0].id).await.unwrap().is_some());
    let gone =
        Effect::PostGone { workspace_id: acme.clone(), tenant_id: oid(1), post_id: posts[0].id.clone() };
    let writer = Writer::start(db.clone(), Clock::default(), Default::default());
    let size = db.audit_head().await.unwrap().size;
    let draft = Draft::done(&actor(), Action::PostDelete).workspace(&acme);
    let late = writer.record(vec![draft], vec![Effect::Fence(old), gone]).await;
    assert!(matches!(late, Err(Unavailable::Store(Error::Fenced))), "{late:?}");
    assert!(db.post(&acme, &oid(1), &posts[0].id).await.unwrap().is_some());
    assert_eq!(db.audit_head().await.unwrap().size, size);
}

async fn one_lease_of_many(db: Db) {
    let tries = (0..20).map(|n| {
        let db = db.clone();
        tokio::spawn(async move { db.take_lease("sync", &format!("node-{n}"), NOW, NOW + 10).await.unwrap() })
    });
    let held = futures_util::future::join_all(tries).await;
    assert_eq!(held.into_iter().filter(|held| held.as_ref().unwrap().is_some()).count(), 1);
}
