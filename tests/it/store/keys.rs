//! Gateway keys.

use super::{NOW, actor, last_entry, oid, populated, workspace};
use crate::support::databases::both_engines;
use gatehouse::{
    domain::{
        ids::new_id,
        keys::{Key, KeyKind, Scope, Scopes},
    },
    store::{Db, Error},
};

both_engines!(create_and_list, revoke, uses, warnings, refusals);

fn key(workspace_id: &str, n: u8) -> Key {
    Key {
        id: format!("key-{n}"),
        workspace_id: workspace_id.to_owned(),
        kind: if n % 2 == 1 { KeyKind::Tenant } else { KeyKind::Workspace },
        tenant_id: (n % 2 == 1).then(|| oid(1)),
        name: format!("Key {n}"),
        scopes: Scopes::new([Scope::PostsRead, Scope::PostsDelete]),
        prefix: "sk_ght_abcd".into(),
        last_four: "wxyz".into(),
        created_at: NOW + i64::from(n),
        created_by: "Ann".into(),
        expires_at: None,
        last_used_at: None,
        last_used_from: None,
        revoked_at: None,
    }
}

async fn store(db: &Db, key: &Key) {
    let n = key.id.as_bytes()[4];
    db.create_key(&actor(), key, &[n; 32], "pepper-1").await.unwrap();
}

async fn create_and_list(db: Db) {
    let acme = populated(&db, 2).await;
    let other = workspace(&db, "Other").await.id;
    let version = db.access_version().await.unwrap();
    let keys: Vec<Key> = (1..=5).map(|n| key(&acme, n)).collect();
    for key in &keys {
        store(&db, key).await;
    }
    assert_eq!(db.access_version().await.unwrap(), version + 5);
    assert_eq!(db.key(&acme, "key-3").await.unwrap().as_ref(), Some(&keys[2]));
    assert_eq!(db.key(&other, "key-3").await.unwrap(), None);
    let newest_first: Vec<Key> = keys.iter().rev().cloned().collect();
    assert_eq!(db.keys(&acme, None, None, 10).await.unwrap(), newest_first);
    assert_eq!(db.keys(&acme, None, None, 2).await.unwrap(), newest_first[..2]);
    assert_eq!(db.keys(&acme, None, Some("key-4"), 10).await.unwrap(), newest_first[2..]);
    let of_tenant: Vec<Key> = newest_first.iter().filter(|k| k.tenant_id.is_some()).cloned().collect();
    assert_eq!(db.keys(&acme, Some(&oid(1)), None, 10).await.unwrap(), of_tenant);
    assert_eq!(db.keys(&acme, Some(&oid(2)), None, 10).await.unwrap(), []);
    assert_eq!(db.keys(&other, None, None, 10).await.unwrap(), []);
    let entry = last_entry(&db).await;
    assert_eq!((entry.action.as_str(), entry.workspace_id.clone()), ("key.create", Some(acme)));
    let change = entry.detail("change").unwrap();
    assert!(change.contains("posts:read posts:delete") && change.contains(r#""expiresAt":null"#), "{change}");
}

async fn revoke(db: Db) {
    let acme = populated(&db, 1).await;
    let (one, two) = (key(&acme, 1), Key { expires_at: Some(NOW + 100), ..key(&acme, 2) });
    store(&db, &one).await;
    store(&db, &two).await;
    let live = |now| {
        let db = db.clone();
        async move {
            let mut live: Vec<_> =
                db.live_keys(now).await.unwrap().into_iter().map(|k| (k.key.id, k.mac)).collect();
            live.sort();
            live
        }
    };
    let (first, second) = (("key-1".to_owned(), vec![b'1'; 32]), ("key-2".to_owned(), vec![b'2'; 32]));
    assert_eq!(live(NOW + 99).await, [first.clone(), second]);
    assert_eq!(live(NOW + 100).await, [first]);
    assert!(db.revoke_key(&actor(), &one, NOW + 7).await.unwrap());
    assert_eq!(live(NOW + 100).await, []);
    let size = db.audit_head().await.unwrap().size;
    assert!(!db.revoke_key(&actor(), &one, NOW + 8).await.unwrap());
    assert_eq!(db.audit_head().await.unwrap().size, size);
    assert_eq!(db.key(&acme, "key-1").await.unwrap().unwrap().revoked_at, Some(NOW + 7));
}

async fn uses(db: Db) {
    let acme = populated(&db, 1).await;
    store(&db, &key(&acme, 1)).await;
    let note = async |at, from: &str| {
        db.note_key_uses(&[("key-1".to_owned(), at, from.to_owned()), ("gone".to_owned(), at, "x".into())])
            .await
            .unwrap();
        let key = db.key(&acme, "key-1").await.unwrap().unwrap();
        (key.last_used_at, key.last_used_from.unwrap_or_default())
    };
    assert_eq!(note(NOW, "10.0.0.1").await, (Some(NOW), "10.0.0.1".into()));
    assert_eq!(note(NOW - 1, "10.0.0.2").await, (Some(NOW), "10.0.0.1".into()));
    assert_eq!(note(NOW + 1, "::1").await, (Some(NOW + 1), "::1".into()));
}

async fn warnings(db: Db) {
    let acme = populated(&db, 1).await;
    assert_eq!(db.count_key_warnings(&acme, NOW, NOW + 10, NOW).await.unwrap(), (0, 0));
    store(&db, &Key { expires_at: Some(NOW + 10), ..key(&acme, 1) }).await;
    store(&db, &Key { expires_at: Some(NOW), ..key(&acme, 2) }).await;
    store(&db, &Key { created_at: NOW - 100, ..key(&acme, 3) }).await;
    assert_eq!(db.count_key_warnings(&acme, NOW, NOW + 10, NOW).await.unwrap(), (1, 1));
    assert_eq!(db.count_key_warnings(&acme, NOW, NOW + 9, NOW - 100).await.unwrap(), (0, 0));
}

async fn refusals(db: Db) {
    let acme = populated(&db, 1).await;
    store(&db, &key(&acme, 1)).await;
    let same_secret = Key { id: new_id(), ..key(&acme, 2) };
    let refused = db.create_key(&actor(), &same_secret, &[b'1'; 32], "pepper-1").await;
    assert!(matches!(refused, Err(Error::Taken)), "{refused:?}");
    let stranger = Key { tenant_id: Some(oid(9)), ..key(&acme, 3) };
    let refused = db.create_key(&actor(), &stranger, &[3; 32], "pepper-1").await;
    assert!(matches!(refused, Err(Error::Database(_))), "{refused:?}");
    // The connection is as good as before.
    store(&db, &key(&acme, 5)).await;
}
