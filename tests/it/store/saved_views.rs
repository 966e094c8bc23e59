//! Views: each person's own, by name, and not more than there is room for.

use super::{NOW, first_admin, populated, workspace};
use crate::support::databases::both_engines;
use gatehouse::{
    domain::{
        ids::new_id,
        saved_views::{SAVED_VIEWS_MAX, SavedView},
    },
    store::Db,
};

both_engines!(kept_replaced_and_removed, no_more_than_fit);

fn view(name: &str, filter: &str) -> SavedView {
    SavedView { id: new_id(), name: name.into(), filter: filter.into() }
}

async fn kept_replaced_and_removed(db: Db) {
    let acme = populated(&db, 1).await;
    let other = workspace(&db, "Other").await.id;
    let admin = first_admin(&db).await.id;
    let (late, soon) = (view("late", "status=failed"), view("Soon", "q=soon"));
    for view in [&late, &soon] {
        assert!(db.save_view(&acme, &admin, view, NOW).await.unwrap());
    }
    assert_eq!(db.saved_views(&acme, &admin).await.unwrap(), [soon.clone(), late.clone()]);
    assert!(db.save_view(&acme, &admin, &view("late", "status=draft"), NOW).await.unwrap());
    let replaced = SavedView { filter: "status=draft".into(), ..late };
    assert_eq!(db.saved_views(&acme, &admin).await.unwrap(), [soon.clone(), replaced.clone()]);
    // Of no other workspace, and nobody else's.
    for (ws, who) in [(&other, &admin), (&acme, &other)] {
        assert!(db.saved_views(ws, who).await.unwrap().is_empty());
        assert!(!db.remove_view(ws, who, &soon.id).await.unwrap());
    }
    assert!(db.remove_view(&acme, &admin, &soon.id).await.unwrap());
    assert!(!db.remove_view(&acme, &admin, &soon.id).await.unwrap());
    assert_eq!(db.saved_views(&acme, &admin).await.unwrap(), [replaced]);
}

async fn no_more_than_fit(db: Db) {
    let acme = populated(&db, 1).await;
    let admin = first_admin(&db).await.id;
    let tries = (0..SAVED_VIEWS_MAX + 5).map(|n| {
        let (db, acme, admin) = (db.clone(), acme.clone(), admin.clone());
        tokio::spawn(
            async move { db.save_view(&acme, &admin, &view(&format!("{n}"), ""), NOW).await.unwrap() },
        )
    });
    let kept = futures_util::future::join_all(tries).await;
    assert_eq!(kept.into_iter().filter(|kept| *kept.as_ref().unwrap()).count() as i64, SAVED_VIEWS_MAX);
    let views = db.saved_views(&acme, &admin).await.unwrap();
    assert_eq!(views.len() as i64, SAVED_VIEWS_MAX);
    assert!(
        db.save_view(&acme, &admin, &view(&views[0].name, "q=x"), NOW).await.unwrap(),
        "it takes no room"
    );
}
