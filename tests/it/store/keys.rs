//! Gateway keys.

use super::{NOW, actor, last_entry, oid, populated, workspace};
use crate::support::databases::both_engines;
use gatehouse::{
    clock::DAY,
    domain::{
        ids::new_id,
        keys::{Key, KeyKind, KeyRules, Rotation, Scope, Scopes},
    },
    store::{
        Db, Error,
        keys::{KEY_USERS, KeyFilter, KeyList, KeyUse, KeyUser},
    },
};

both_engines!(create_and_list, pages, issue, revoke, rules, uses, users, lists, refusals);

pub(super) fn key(workspace_id: &str, n: u8) -> Key {
    Key {
        id: format!("key-{n}"),
        workspace_id: workspace_id.to_owned(),
        kind: if n % 2 == 1 { KeyKind::Tenant } else { KeyKind::Workspace },
        tenant_id: (n % 2 == 1).then(|| oid(1)),
        name: format!("Key {n}"),
        scopes: Scopes::new([Scope::PostsRead, Scope::PostsDelete]),
        rules: KeyRules::parse(if n == 3 { "10.0.0.0/8 ::1" } else { "" }, if n == 3 { "7" } else { "" })
            .unwrap(),
        prefix: "sk_ght_abcd".into(),
        last_four: "wxyz".into(),
        created_at: NOW + i64::from(n),
        created_by: "Ann".into(),
        expires_at: None,
        last_used_at: None,
        last_used_from: None,
        last_used_agent: None,
        revoked_at: None,
        rotation: Rotation::default(),
    }
}

async fn store(db: &Db, key: &Key) {
    let n = key.id.as_bytes()[4];
    db.create_key(&actor(), key, &[n; 32], "pepper-1").await.unwrap();
}

async fn issue(db: Db) {
    let acme = populated(&db, 2).await;
    store(&db, &key(&acme, 1)).await;
    for n in [3, 5] {
        db.issue_key(&actor(), &key(&acme, n), &[n; 32], "pepper-1").await.unwrap();
    }
    let live = db.live_keys(NOW + 10).await.unwrap();
    let mut live: Vec<&str> = live.iter().map(|stored| stored.key.id.as_str()).collect();
    live.sort_unstable();
    assert_eq!(live, ["key-1", "key-5"], "only the one issued before has ended");
    assert_eq!(db.key(&acme, "key-3").await.unwrap().unwrap().revoked_at, Some(NOW + 5));
    // What was made to replace an issued key ends with it.
    let rotation = Rotation {
        replaces: Some("key-5".into()),
        pending_until: Some(NOW + DAY),
        overlap: Some(DAY),
        ..Rotation::default()
    };
    let successor = Key { rotation, ..key(&acme, 7) };
    assert!(db.rotate_key(&actor(), &key(&acme, 5), &successor, &[7; 32], "pepper-1").await.unwrap());
    db.issue_key(&actor(), &key(&acme, 9), &[9; 32], "pepper-1").await.unwrap();
    for ended in ["key-5", "key-7"] {
        assert_eq!(db.key(&acme, ended).await.unwrap().unwrap().revoked_at, Some(NOW + 9), "{ended}");
    }
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
    let all = KeyFilter::default();
    assert_eq!(db.keys(&acme, &all, None, 10).await.unwrap(), newest_first);
    assert_eq!(db.keys(&acme, &all, None, 2).await.unwrap(), newest_first[..2]);
    assert_eq!(db.keys(&acme, &all, Some("key-4"), 10).await.unwrap(), newest_first[2..]);
    let (one, two) = (oid(1), oid(2));
    let of = |tenant| KeyFilter { tenant_id: Some(tenant), ..all };
    let of_tenant: Vec<Key> = newest_first.iter().filter(|k| k.tenant_id.is_some()).cloned().collect();
    assert_eq!(db.keys(&acme, &of(&one), None, 10).await.unwrap(), of_tenant);
    assert_eq!(db.count_keys(&acme, &of(&one)).await.unwrap(), 3);
    assert_eq!(db.keys(&acme, &of(&two), None, 10).await.unwrap(), []);
    assert_eq!(db.keys(&other, &all, None, 10).await.unwrap(), []);
    assert_eq!(db.count_keys(&other, &all).await.unwrap(), 0);
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
        db.note_key_uses(&[used("key-1", at, from, "curl/8"), used("gone", at, "x", "")]).await.unwrap();
        let key = db.key(&acme, "key-1").await.unwrap().unwrap();
        assert_eq!(key.last_used_agent.as_deref(), Some("curl/8"));
        (key.last_used_at, key.last_used_from.unwrap_or_default())
    };
    assert_eq!(note(NOW, "10.0.0.1").await, (Some(NOW), "10.0.0.1".into()));
    assert_eq!(note(NOW - 1, "10.0.0.2").await, (Some(NOW), "10.0.0.1".into()));
    assert_eq!(note(NOW + 1, "::1").await, (Some(NOW + 1), "::1".into()));
}

fn used(key: &str, at: i64, address: &str, agent: &str) -> KeyUse {
    KeyUse { key_id: key.into(), at, address: address.into(), agent: agent.into() }
}

/// Each address and program once, the last use first, and the oldest forgotten.
async fn users(db: Db) {
    let acme = populated(&db, 1).await;
    store(&db, &key(&acme, 1)).await;
    store(&db, &key(&acme, 2)).await;
    let user = |address: &str, agent: &str, used_at| KeyUser {
        address: address.into(),
        agent: agent.into(),
        used_at,
    };
    let uses = [
        used("key-1", NOW, "10.0.0.1", "curl"),
        used("key-1", NOW + 2, "10.0.0.1", ""),
        used("key-1", NOW + 1, "10.0.0.2", "curl"),
        used("key-2", NOW, "10.0.0.9", "other"),
    ];
    db.note_key_uses(&uses).await.unwrap();
    db.note_key_uses(&[
        used("key-1", NOW + 5, "10.0.0.1", "curl"),
        used("key-1", NOW - 5, "10.0.0.2", "curl"),
    ])
    .await
    .unwrap();
    let known = db.key_users(&acme, "key-1").await.unwrap();
    let expected =
        [user("10.0.0.1", "curl", NOW + 5), user("10.0.0.1", "", NOW + 2), user("10.0.0.2", "curl", NOW + 1)];
    assert_eq!(known, expected);
    assert_eq!(db.key_users("other", "key-1").await.unwrap(), []);
    for n in 0..2 * KEY_USERS {
        db.note_key_uses(&[used("key-1", NOW + 100 + n, &format!("10.1.0.{n}"), "curl")]).await.unwrap();
    }
    let known = db.key_users(&acme, "key-1").await.unwrap();
    assert_eq!(known.len() as i64, KEY_USERS);
    assert_eq!(known[0].used_at, NOW + 100 + 2 * KEY_USERS - 1);
    assert_eq!(db.key_users(&acme, "key-2").await.unwrap(), [user("10.0.0.9", "other", NOW)]);
}

/// Changed with an entry that says from what to what; the same again is no change.
async fn rules(db: Db) {
    let acme = populated(&db, 1).await;
    let three = key(&acme, 3);
    store(&db, &three).await;
    let version = db.access_version().await.unwrap();
    let wider = KeyRules::parse("10.0.0.0/8, 2001:db8::/32", "").unwrap();
    assert!(db.update_key_rules(&actor(), &three, &wider, NOW + 9).await.unwrap());
    let stored = db.key(&acme, "key-3").await.unwrap().unwrap();
    assert_eq!(stored, Key { rules: wider.clone(), ..three.clone() });
    assert_eq!(db.access_version().await.unwrap(), version + 1);
    let entry = last_entry(&db).await;
    assert_eq!((entry.action.as_str(), entry.tenant_id.as_deref()), ("key.update", Some(oid(1).as_str())));
    let change = entry.detail("change").unwrap();
    for part in [
        r#""addresses":"10.0.0.0/8 ::1""#,
        r#""rate":7"#,
        r#""addresses":"10.0.0.0/8 2001:db8::/32""#,
        r#""rate":null"#,
    ] {
        assert!(change.contains(part), "{part}: {change}");
    }
    let size = db.audit_head().await.unwrap().size;
    assert!(db.update_key_rules(&actor(), &stored, &wider, NOW + 10).await.unwrap());
    let elsewhere = Key { workspace_id: "other".into(), ..three.clone() };
    assert!(!db.update_key_rules(&actor(), &elsewhere, &KeyRules::default(), NOW + 10).await.unwrap());
    db.revoke_key(&actor(), &three, NOW + 11).await.unwrap();
    assert!(!db.update_key_rules(&actor(), &three, &KeyRules::default(), NOW + 12).await.unwrap());
    assert_eq!(db.audit_head().await.unwrap().size, size + 1, "the revocation");
}

/// Forwards and back again through the same pages, also where a filter leaves keys out.
async fn pages(db: Db) {
    let acme = populated(&db, 1).await;
    for n in 1..=7 {
        store(&db, &key(&acme, n)).await;
    }
    let tenant = oid(1);
    for (filter, ids) in [
        (KeyFilter::default(), vec![7, 6, 5, 4, 3, 2, 1]),
        (KeyFilter { tenant_id: Some(&tenant), ..Default::default() }, vec![7, 5, 3, 1]),
    ] {
        let ids: Vec<String> = ids.iter().map(|n| format!("key-{n}")).collect();
        let names = |keys: Vec<Key>| keys.into_iter().map(|k| k.id).collect::<Vec<_>>();
        let mut last = None;
        for page in ids.chunks(3) {
            let found = names(db.keys(&acme, &filter, last.as_deref(), 3).await.unwrap());
            assert_eq!(found, page);
            last = found.last().cloned();
        }
        for start in 1..ids.len() {
            let back = names(db.keys_after(&acme, &filter, &ids[start], 3).await.unwrap());
            assert_eq!(back, ids[start.saturating_sub(3)..start], "before {}", ids[start]);
        }
        assert_eq!(db.keys_after(&acme, &filter, "key-7", 3).await.unwrap(), []);
        assert_eq!(db.keys_after("other", &filter, "key-0", 3).await.unwrap(), []);
    }
}

/// Each list at the edges of what it says; the count is the list's length.
async fn lists(db: Db) {
    let acme = populated(&db, 1).await;
    let expires = |n, at| Key { expires_at: Some(at), ..key(&acme, n) };
    let born = |n, at| Key { created_at: at, ..key(&acme, n) };
    for key in [
        key(&acme, 1),
        expires(2, NOW),
        expires(3, NOW + 1),
        expires(4, NOW + 7 * DAY),
        expires(5, NOW + 7 * DAY + 1),
        born(6, NOW - 90 * DAY),
        born(7, NOW - 90 * DAY - 1),
        born(8, NOW - 200 * DAY),
        expires(9, NOW - 1),
    ] {
        store(&db, &key).await;
    }
    // Old, but used yesterday; and one that expired and was revoked as well.
    db.note_key_uses(&[used("key-8", NOW - DAY, "::1", "")]).await.unwrap();
    db.revoke_key(&actor(), &key(&acme, 9), NOW).await.unwrap();
    let tenant = oid(1);
    for (list, ids) in [
        (None, vec![9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (Some(KeyList::Active), vec![8, 7, 6, 5, 4, 3, 1]),
        (Some(KeyList::Expiring), vec![4, 3]),
        (Some(KeyList::Unused), vec![7]),
        (Some(KeyList::Rotating), vec![]),
        (Some(KeyList::Expired), vec![2]),
        (Some(KeyList::Revoked), vec![9]),
    ] {
        // Odd ones are the tenant's.
        for (tenant_id, ids) in
            [(None, ids.clone()), (Some(tenant.as_str()), ids.into_iter().filter(|n| n % 2 == 1).collect())]
        {
            let filter = KeyFilter { tenant_id, list, now: NOW };
            let found = db.keys(&acme, &filter, None, 100).await.unwrap();
            let ids: Vec<String> = ids.iter().map(|n| format!("key-{n}")).collect();
            assert_eq!(found.iter().map(|k| k.id.clone()).collect::<Vec<_>>(), ids, "{filter:?}");
            assert_eq!(db.count_keys(&acme, &filter).await.unwrap(), ids.len() as i64, "{filter:?}");
        }
    }
    assert_eq!(KeyList::ALL.len(), 6, "a list this test does not know");
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
