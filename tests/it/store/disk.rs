//! A full disk (security.md §0.1): inside a transaction SQLite ends the transaction by itself, and a further statement
//! would commit on its own. Nothing of such a record may be kept, and the writer must go on once there is room.

use super::{MirrorPosts, NOW, actor, audit::verify, oid, populated, post};
use crate::support::databases::sqlite;
use gatehouse::{
    audit::{Unavailable, Writer},
    clock::Clock,
    domain::{
        audit::{Action, Draft, Outcome},
        posts::PostStatus,
    },
    store::{Db, Error, operations::Effect},
};
use sqlx::AssertSqlSafe;

/// Lets the database file grow by this many pages and no more, on the connection in use.
async fn room(db: &Db, pages: i64) {
    let Db::Sqlite { writer, .. } = db else { panic!("SQLite only") };
    let (used,): (i64,) = sqlx::query_as("PRAGMA page_count").fetch_one(writer).await.unwrap();
    let text = format!("PRAGMA max_page_count = {}", used + pages);
    sqlx::query(AssertSqlSafe(text)).execute(writer).await.unwrap();
}

fn large(n: usize) -> Draft {
    Draft::new(&actor(), Action::PostDelete, Outcome::Intent)
        .workspace("w")
        .target("post", &oid(n))
        .reason(&"x".repeat(9_000))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_acknowledged_that_is_not_there() {
    let (db, _folder) = sqlite().await;
    let acme = populated(&db, 1).await;
    let posts: Vec<_> = (0..200).map(|n| post(1, n, PostStatus::Draft)).collect();
    db.mirror_posts(&acme, &oid(1), &posts, NOW, false, None, NOW).await.unwrap();
    let before = verify(&db).await;
    let writer = Writer::start(db.clone(), Clock::default(), Default::default());
    room(&db, 40).await;
    let mut kept = 0;
    for (n, post) in posts.iter().enumerate() {
        // An effect that frees space, then an entry that needs it: the effect must not survive alone.
        let gone =
            Effect::PostGone { workspace_id: acme.clone(), tenant_id: oid(1), post_id: post.id.clone() };
        match writer.record(vec![large(n)], vec![gone]).await {
            Ok(()) => kept += 1,
            Err(Unavailable::Store(Error::NoSpace(_))) => break,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!((1..100).contains(&kept), "{kept}");
    assert_eq!(verify(&db).await, before + kept);
    assert!(
        db.post(&acme, &oid(1), &oid(kept)).await.unwrap().is_some(),
        "the failed record's effect is undone"
    );

    // There is room again, and nobody had to start anything anew.
    room(&db, 10_000).await;
    writer.record(vec![large(0)], vec![]).await.unwrap();
    db.freeze_tenant(&actor(), &acme, &oid(1), Some("later"), NOW).await.unwrap();
    assert_eq!(verify(&db).await, before + kept + 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_our_own_data_is_whole_or_absent() {
    let (db, _folder) = sqlite().await;
    let acme = populated(&db, 1).await;
    room(&db, 0).await;
    let reason = "y".repeat(20_000);
    let refused = db.freeze_tenant(&actor(), &acme, &oid(1), Some(&reason), NOW).await;
    assert!(matches!(refused, Err(Error::NoSpace(_))), "{refused:?}");
    assert_eq!(db.tenant(&acme, &oid(1)).await.unwrap().unwrap().frozen, None);
    room(&db, 10_000).await;
    verify(&db).await;
    db.freeze_tenant(&actor(), &acme, &oid(1), Some(&reason), NOW).await.unwrap();
    assert!(db.tenant(&acme, &oid(1)).await.unwrap().unwrap().frozen.is_some());
}
