//! Facts, data keys and leases.

use super::NOW;
use crate::support::databases::both_engines;
use gatehouse::store::Db;

both_engines!(facts, data_keys, leases, one_lease_of_many);

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
    let take = async |owner: &str, now| db.take_lease("sync", owner, now, now + 10).await.unwrap();
    assert_eq!(take("a", NOW).await, Some(1));
    assert_eq!(take("a", NOW + 5).await, Some(1), "renewed, until 15");
    assert_eq!(take("b", NOW + 15).await, None);
    assert_eq!(take("b", NOW + 16).await, Some(2));
    assert_eq!(take("a", NOW + 17).await, None);
    assert_eq!(db.take_lease("other", "a", NOW, NOW + 10).await.unwrap(), Some(1));
    db.release_lease("sync", "a").await.unwrap();
    assert_eq!(take("a", NOW + 18).await, None, "not theirs to give back");
    db.release_lease("sync", "b").await.unwrap();
    assert_eq!(take("a", NOW + 18).await, Some(3));
    db.end_all_leases().await.unwrap();
    assert_eq!(take("c", NOW + 18).await, Some(4));
}

async fn one_lease_of_many(db: Db) {
    let tries = (0..20).map(|n| {
        let db = db.clone();
        tokio::spawn(async move { db.take_lease("sync", &format!("node-{n}"), NOW, NOW + 10).await.unwrap() })
    });
    let held = futures_util::future::join_all(tries).await;
    assert_eq!(held.into_iter().filter(|held| held.as_ref().unwrap().is_some()).count(), 1);
}
