//! Workspaces: what is stored, and that every change leaves its entry and tells the other nodes.

use super::{NOW, actor, last_entry, workspace};
use crate::support::databases::both_engines;
use gatehouse::{
    domain::workspaces::{DeletePolicy, Environment, Frozen},
    store::{Db, Error, workspaces::SealedKey},
};

both_engines!(create_and_list, names_are_unique, key_and_policy, freeze, suspend, moved);

async fn create_and_list(db: Db) {
    db.ping().await.unwrap();
    let beta = workspace(&db, "beta").await;
    let alpha = workspace(&db, "Alpha").await;
    assert_eq!(db.workspace(&beta.id).await.unwrap(), Some(beta.clone()));
    assert_eq!(db.workspace("none").await.unwrap(), None);
    // By bytes on both engines: capitals first.
    assert_eq!(db.workspaces().await.unwrap(), [alpha, beta.clone()]);
    let keys = db.sealed_keys().await.unwrap();
    assert!(keys.len() == 2 && keys.contains(&(beta.id.clone(), vec![0, 255, 7])));
    assert_eq!(beta.environment, Environment::Staging);
}

async fn names_are_unique(db: Db) {
    let first = workspace(&db, "Acme").await;
    let version = db.access_version().await.unwrap();
    let size = db.audit_head().await.unwrap().size;
    let mut second = first.clone();
    second.id = "another".into();
    let key = SealedKey { sealed: vec![1], prefix: "sk_".into() };
    let refused = db.create_workspace(&actor(), &second, &key).await;
    assert!(matches!(refused, Err(Error::Taken)), "{refused:?}");
    assert_eq!(db.access_version().await.unwrap(), version);
    assert_eq!(db.audit_head().await.unwrap().size, size);
}

async fn key_and_policy(db: Db) {
    let acme = workspace(&db, "Acme").await;
    let other = workspace(&db, "Other").await;
    let version = db.access_version().await.unwrap();
    db.suspend_workspace(&actor(), &acme.id, acme.key_added_at, "refused", NOW).await.unwrap();
    let key = SealedKey { sealed: vec![9, 0], prefix: "sk_new".into() };
    db.replace_workspace_key(&actor(), &acme.id, &key, "Bob", NOW + 1).await.unwrap();
    db.set_delete_policy(&actor(), &acme.id, DeletePolicy::Any, NOW + 2).await.unwrap();
    let stored = db.workspace(&acme.id).await.unwrap().unwrap();
    assert_eq!(
        (stored.key_prefix.as_str(), stored.key_added_by.as_str(), stored.key_added_at),
        ("sk_new", "Bob", NOW + 1)
    );
    assert_eq!((stored.suspended_at, stored.suspended_reason), (None, None));
    assert_eq!(stored.delete_policy, DeletePolicy::Any);
    assert!(db.sealed_keys().await.unwrap().contains(&(acme.id.clone(), vec![9, 0])));
    assert_eq!(db.workspace(&other.id).await.unwrap(), Some(other));
    assert_eq!(db.access_version().await.unwrap(), version + 3);
    let entry = last_entry(&db).await;
    assert_eq!(
        (entry.action.as_str(), entry.workspace_id.clone()),
        ("workspace.set_delete_policy", Some(acme.id))
    );
    assert_eq!(entry.detail("change"), Some(r#"{"after":{"deletePolicy":"any"},"before":{}}"#));
}

async fn moved(db: Db) {
    let (acme, other) = (workspace(&db, "Acme").await, workspace(&db, "Other").await);
    let version = db.access_version().await.unwrap();
    db.move_workspaces("https://api.example.co", "http://127.0.0.1:1").await.unwrap();
    assert_eq!(db.workspaces().await.unwrap(), [acme.clone(), other.clone()], "part of an address is none");
    db.move_workspaces(&acme.base_url, "http://127.0.0.1:1").await.unwrap();
    let there = "http://127.0.0.1:1".to_owned();
    let expected =
        [acme, other].map(|w| gatehouse::domain::workspaces::Workspace { base_url: there.clone(), ..w });
    assert_eq!(db.workspaces().await.unwrap(), expected);
    assert_eq!(db.access_version().await.unwrap(), version + 2);
}

async fn freeze(db: Db) {
    let acme = workspace(&db, "Acme").await;
    db.freeze_workspace(&actor(), &acme.id, Some("unpaid"), NOW).await.unwrap();
    let frozen = db.workspace(&acme.id).await.unwrap().unwrap().frozen;
    assert_eq!(frozen, Some(Frozen { at: NOW, reason: "unpaid".into() }));
    assert_eq!(last_entry(&db).await.detail("reason"), Some("\"unpaid\""));
    db.freeze_workspace(&actor(), &acme.id, None, NOW + 1).await.unwrap();
    assert_eq!(db.workspace(&acme.id).await.unwrap().unwrap().frozen, None);
    assert_eq!(last_entry(&db).await.action, "workspace.unfreeze");
}

async fn suspend(db: Db) {
    let acme = workspace(&db, "Acme").await;
    let size = db.audit_head().await.unwrap().size;
    let suspend = async |added: i64, why: &str, at: i64| {
        db.suspend_workspace(&actor(), &acme.id, added, why, at).await.unwrap()
    };
    assert!(!suspend(acme.key_added_at - 1, "an older key", NOW).await);
    assert_eq!(db.audit_head().await.unwrap().size, size, "a late answer to a key that was replaced");
    assert!(suspend(acme.key_added_at, "401 from upstream", NOW).await);
    assert!(!suspend(acme.key_added_at, "again", NOW + 1).await, "only the first tells people");
    let stored = db.workspace(&acme.id).await.unwrap().unwrap();
    assert_eq!(
        (stored.suspended_at, stored.suspended_reason.as_deref()),
        (Some(NOW), Some("401 from upstream"))
    );
    assert_eq!(db.audit_head().await.unwrap().size, size + 1);
    assert_eq!(last_entry(&db).await.action, "workspace.suspend");
}
