//! What is left out of "all that match".

use super::{NOW, first_admin, oid, populated, post, workspace};
use crate::{store::MirrorPosts, support::databases::both_engines};
use gatehouse::{
    domain::{
        ids::new_id,
        posts::PostStatus,
        selections::{LEFT_OUT_MAX, PostKey, Selection},
    },
    store::{
        Db,
        posts::{PostFilter, StatusFilter},
    },
};
use std::collections::BTreeSet;

both_engines!(kept_and_changed, two_windows_lose_nothing, counted_among_those_that_match);

fn keys(posts: impl IntoIterator<Item = usize>) -> Vec<PostKey> {
    posts.into_iter().map(|n| (oid(1), oid(n))).collect()
}

async fn begun(db: &Db, ws: &str, admin: &str) -> Selection {
    let filter = "status=draft".to_owned();
    let selection = Selection { id: new_id(), filter, left_out: BTreeSet::new() };
    db.create_selection(ws, admin, &selection, NOW).await.unwrap();
    selection
}

async fn kept_and_changed(db: Db) {
    let acme = populated(&db, 1).await;
    let other = workspace(&db, "Other").await.id;
    let admin = first_admin(&db).await.id;
    let id = &begun(&db, &acme, &admin).await.id;
    let change = async |shown: &[PostKey], ticked: &[PostKey]| {
        db.change_selection(&acme, &admin, id, (shown, ticked), NOW + 5)
            .await
            .unwrap()
            .unwrap()
            .left_out
            .len()
    };
    assert_eq!(change(&keys(1..=3), &keys([2])).await, 2);
    assert_eq!(change(&keys(4..=5), &keys([])).await, 4);
    let stored = async || db.selection(&acme, &admin, id).await.unwrap().unwrap();
    let left_out: Vec<PostKey> = stored().await.left_out.into_iter().collect();
    assert_eq!((left_out, stored().await.filter.as_str()), (keys([1, 3, 4, 5]), "status=draft"));
    // One page too much is told and not kept.
    assert_eq!(change(&keys(10..=10 + LEFT_OUT_MAX), &[]).await, LEFT_OUT_MAX + 5);
    assert_eq!(stored().await.left_out.len(), 4);
    // Nobody else's, and of no other workspace.
    for (ws, who) in [(&other, &admin), (&acme, &other)] {
        assert_eq!(db.selection(ws, who, id).await.unwrap(), None);
        assert_eq!(db.change_selection(ws, who, id, (&keys([1]), &keys([])), NOW).await.unwrap(), None);
    }
    db.sweep_selections(NOW + 5).await.unwrap();
    assert_eq!(stored().await.left_out.len(), 4);
    db.sweep_selections(NOW + 6).await.unwrap();
    assert_eq!(db.selection(&acme, &admin, id).await.unwrap(), None);
}

async fn two_windows_lose_nothing(db: Db) {
    let acme = populated(&db, 1).await;
    let admin = first_admin(&db).await.id;
    let id = begun(&db, &acme, &admin).await.id;
    let windows = (0..12).map(|n| {
        let (db, acme, admin, id) = (db.clone(), acme.clone(), admin.clone(), id.clone());
        tokio::spawn(async move {
            db.change_selection(&acme, &admin, &id, (&keys([n]), &[]), NOW).await.unwrap().unwrap()
        })
    });
    for window in futures_util::future::join_all(windows).await {
        window.unwrap();
    }
    let left_out = db.selection(&acme, &admin, &id).await.unwrap().unwrap().left_out;
    assert_eq!(left_out.into_iter().collect::<Vec<_>>(), keys(0..12));
}

async fn counted_among_those_that_match(db: Db) {
    let acme = populated(&db, 1).await;
    let posts: Vec<_> = (1..=4).map(|n| post(1, n, PostStatus::Draft)).collect();
    db.mirror_posts(&acme, &oid(1), &posts, NOW, true, None, NOW).await.unwrap();
    let failed = [post(1, 5, PostStatus::Failed)];
    db.mirror_posts(&acme, &oid(1), &failed, NOW, false, None, NOW).await.unwrap();
    let drafts = PostFilter { statuses: vec![StatusFilter::Draft], ..PostFilter::default() };
    let count = async |posts: &[PostKey]| db.count_posts_among(&acme, &drafts, posts).await.unwrap();
    assert_eq!(count(&keys([1, 4, 5, 9])).await, 2, "one is not a draft, one is not there");
    assert_eq!(count(&[]).await, 0);
    assert_eq!(count(&keys(0..LEFT_OUT_MAX)).await, 4);
}
