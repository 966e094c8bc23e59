//! How keys end: revoked, or replaced by another.

use super::{NOW, actor, keys::key, last_entry, populated};
use crate::support::databases::both_engines;
use gatehouse::{
    clock::{DAY, HOUR},
    domain::{
        audit::Actor,
        keys::{Key, KeyStatus, PENDING_LIFE, Rotation},
    },
    store::{
        Db,
        audit::AuditFilter,
        keys::{KeyFilter, KeyList},
    },
};

both_engines!(
    the_first_use_ends_the_old_key,
    without_an_overlap_the_old_key_ends_at_once,
    a_cancelled_rotation_leaves_the_old_key,
    an_unused_key_lapses_and_leaves_the_old_one,
    revoking_either_key_leaves_one,
    the_tenant_doors_own_key_stays_that,
    one_rotation_at_a_time,
    of_a_rotation_and_the_next_one_issued_one_key_is_left,
    of_a_first_use_and_a_cancellation_one_happens,
);

/// An old key, and the new one to replace it with.
async fn pair(db: &Db, overlap: i64) -> (Key, Key) {
    let acme = populated(db, 1).await;
    let old = key(&acme, 1);
    db.create_key(&actor(), &old, &[b'1'; 32], "pepper-1").await.unwrap();
    let rotation = Rotation {
        replaces: Some(old.id.clone()),
        pending_until: Some(NOW + PENDING_LIFE),
        overlap: Some(overlap),
        ..Rotation::default()
    };
    (old, Key { created_at: NOW, rotation, ..key(&acme, 3) })
}

async fn rotate(db: &Db, old: &Key, new: &Key) -> bool {
    db.rotate_key(&actor(), old, new, &[new.id.as_bytes()[4]; 32], "pepper-1").await.unwrap()
}

async fn get(db: &Db, key: &Key) -> Key {
    db.key(&key.workspace_id, &key.id).await.unwrap().unwrap()
}

/// Ids of the keys that open something at that time.
async fn live(db: &Db, now: i64) -> Vec<String> {
    let mut ids: Vec<_> = db.live_keys(now).await.unwrap().into_iter().map(|k| k.key.id).collect();
    ids.sort();
    ids
}

async fn listed(db: &Db, key: &Key, list: KeyList, now: i64) -> Vec<String> {
    let filter = KeyFilter { list: Some(list), now, ..KeyFilter::default() };
    let found = db.keys(&key.workspace_id, &filter, None, 10).await.unwrap();
    assert_eq!(db.count_keys(&key.workspace_id, &filter).await.unwrap(), found.len() as i64);
    found.into_iter().map(|k| k.id).collect()
}

/// Actions about keys, the newest first.
async fn actions(db: &Db) -> Vec<String> {
    let filter = AuditFilter { action: Some("key.".into()), ..AuditFilter::default() };
    db.audit_page(&filter, None, None, 50).await.unwrap().into_iter().map(|e| e.action).collect()
}

fn system() -> Actor {
    Actor::system("keys")
}

async fn the_first_use_ends_the_old_key(db: Db) {
    let (old, new) = pair(&db, HOUR).await;
    let version = db.access_version().await.unwrap();
    assert!(rotate(&db, &old, &new).await);
    // An entry about each, so that both keys' pages have it.
    let entries = db.audit_page(&AuditFilter::default(), None, None, 2).await.unwrap();
    for (entry, action, target, part) in [
        (&entries[0], "key.create", "key-3", r#""replaces":"key-1""#),
        (&entries[1], "key.rotate", "key-1", r#""overlapSeconds":3600"#),
    ] {
        let change = entry.detail("change").unwrap();
        assert!(entry.action == action && change.contains(part), "{} {change}", entry.action);
        let about = AuditFilter { target: Some(target.into()), ..AuditFilter::default() };
        assert_eq!(db.audit_page(&about, None, None, 1).await.unwrap()[0].seq, entry.seq);
    }
    assert_eq!(get(&db, &new).await, new);
    assert_eq!(get(&db, &old).await.rotation.replaced_by.as_deref(), Some("key-3"));
    assert_eq!(live(&db, NOW).await, ["key-1", "key-3"]);
    assert_eq!(listed(&db, &old, KeyList::Rotating, NOW).await, ["key-3", "key-1"]);

    let used = NOW + DAY;
    assert!(db.activate_key(&actor(), &new, used).await.unwrap());
    assert!(!db.activate_key(&actor(), &new, used + 1).await.unwrap(), "once");
    assert_eq!(db.access_version().await.unwrap(), version + 2);
    let entry = last_entry(&db).await;
    assert_eq!(entry.action, "key.activate");
    assert!(entry.detail("change").unwrap().contains("oldKeyEndsAt"));
    let (stored, ended) = (get(&db, &new).await, get(&db, &old).await);
    assert_eq!((stored.rotation.pending_until, stored.status(used)), (None, KeyStatus::Active));
    assert_eq!((ended.rotation.retires_at, ended.status(used)), (Some(used + HOUR), KeyStatus::Retiring));
    assert_eq!(live(&db, used + HOUR - 1).await, ["key-1", "key-3"]);
    assert_eq!(listed(&db, &old, KeyList::Rotating, used + HOUR - 1).await, ["key-3", "key-1"]);
    // The end is a matter of the time alone; that it is written down comes later, and once.
    assert_eq!(live(&db, used + HOUR).await, ["key-3"]);
    assert_eq!(listed(&db, &old, KeyList::Expired, used + HOUR).await, ["key-1"]);
    assert!(listed(&db, &old, KeyList::Rotating, used + HOUR).await.is_empty());
    assert_eq!(db.end_keys(&system(), used + HOUR - 1).await.unwrap(), 0);
    assert_eq!(db.end_keys(&system(), used + HOUR).await.unwrap(), 1);
    assert_eq!(db.end_keys(&system(), used + 2 * HOUR).await.unwrap(), 0);
    assert_eq!(actions(&db).await, ["key.retire", "key.activate", "key.create", "key.rotate", "key.create"]);
    assert_eq!(get(&db, &old).await.status(used + HOUR), KeyStatus::Retired);
}

async fn without_an_overlap_the_old_key_ends_at_once(db: Db) {
    let (old, new) = pair(&db, 0).await;
    assert!(rotate(&db, &old, &new).await);
    assert!(db.activate_key(&actor(), &new, NOW + 5).await.unwrap());
    assert_eq!(live(&db, NOW + 5).await, ["key-3"]);
    assert_eq!(actions(&db).await[..2], ["key.retire", "key.activate"]);
    assert_eq!(db.end_keys(&system(), NOW + DAY).await.unwrap(), 0, "that is written down already");
}

async fn a_cancelled_rotation_leaves_the_old_key(db: Db) {
    let (old, new) = pair(&db, DAY).await;
    assert!(rotate(&db, &old, &new).await);
    assert!(db.cancel_rotation(&actor(), &new, NOW + 1).await.unwrap());
    assert!(!db.cancel_rotation(&actor(), &new, NOW + 2).await.unwrap());
    assert!(!db.activate_key(&actor(), &new, NOW + 2).await.unwrap());
    assert_eq!(
        actions(&db).await,
        ["key.revoke", "key.cancel_rotation", "key.create", "key.rotate", "key.create"]
    );
    assert_eq!(live(&db, NOW + PENDING_LIFE).await, ["key-1"]);
    assert_eq!(get(&db, &old).await, old, "as if nothing had been");
    assert!(rotate(&db, &old, &Key { id: "key-5".into(), ..new.clone() }).await, "another can be begun");
}

async fn an_unused_key_lapses_and_leaves_the_old_one(db: Db) {
    let (old, new) = pair(&db, HOUR).await;
    assert!(rotate(&db, &old, &new).await);
    let late = NOW + PENDING_LIFE;
    assert_eq!(live(&db, late - 1).await, ["key-1", "key-3"]);
    assert_eq!(live(&db, late).await, ["key-1"]);
    assert!(!db.activate_key(&actor(), &new, late).await.unwrap());
    assert!(!db.cancel_rotation(&actor(), &new, late).await.unwrap());
    let another = Key { id: "key-5".into(), created_at: late, ..new.clone() };
    assert!(!rotate(&db, &old, &another).await, "not until it is settled");
    assert_eq!(db.end_keys(&system(), late).await.unwrap(), 1);
    assert_eq!(db.end_keys(&system(), late).await.unwrap(), 0);
    assert_eq!(actions(&db).await[..2], ["key.lapse", "key.create"]);
    assert_eq!(get(&db, &old).await, old);
    assert_eq!(get(&db, &new).await.status(late), KeyStatus::Lapsed);
    // By a clock that is behind it would not have ended: it does not come back.
    assert!(!db.activate_key(&actor(), &new, late - 1).await.unwrap());
    assert!(!db.cancel_rotation(&actor(), &new, late - 1).await.unwrap());
    assert_eq!(live(&db, late).await, ["key-1"]);
    assert_eq!(listed(&db, &old, KeyList::Expired, late).await, ["key-3"]);
    assert!(rotate(&db, &old, &another).await);
}

async fn revoking_either_key_leaves_one(db: Db) {
    let (old, new) = pair(&db, HOUR).await;
    assert!(rotate(&db, &old, &new).await);
    assert!(db.revoke_key(&actor(), &new, NOW + 1).await.unwrap());
    assert_eq!(get(&db, &old).await, old, "a rotation that is over");
    // The old one leaked: the new one takes its place without waiting, and cannot lapse any more.
    let next = Key { id: "key-5".into(), ..new.clone() };
    assert!(rotate(&db, &old, &next).await);
    let waiting = get(&db, &old).await;
    assert!(db.revoke_key(&actor(), &waiting, NOW + 2).await.unwrap());
    assert!(!db.revoke_key(&actor(), &waiting, NOW + 3).await.unwrap());
    assert_eq!(actions(&db).await[..2], ["key.activate", "key.revoke"]);
    assert_eq!(live(&db, NOW + 2 * PENDING_LIFE).await, ["key-5"]);
    assert_eq!(db.end_keys(&system(), NOW + 2 * PENDING_LIFE).await.unwrap(), 0);
    // Ended before its overlap is over, it is not ended twice.
    let last = Key {
        id: "key-7".into(),
        created_at: NOW + 10,
        rotation: Rotation { replaces: Some("key-5".into()), ..next.rotation.clone() },
        ..next.clone()
    };
    let next = get(&db, &next).await;
    assert!(rotate(&db, &next, &last).await);
    assert!(db.activate_key(&actor(), &last, NOW + 11).await.unwrap());
    assert!(db.revoke_key(&actor(), &next, NOW + 12).await.unwrap());
    assert_eq!(db.end_keys(&system(), NOW + DAY).await.unwrap(), 0);
    assert_eq!(live(&db, NOW + DAY).await, ["key-7"]);
}

async fn the_tenant_doors_own_key_stays_that(db: Db) {
    let acme = populated(&db, 1).await;
    let issue = async |n: u8| {
        let key = key(&acme, n);
        db.issue_key(&actor(), &key, &[n; 32], "pepper-1").await.unwrap();
        key
    };
    let old = issue(1).await;
    let rotation = Rotation {
        replaces: Some(old.id.clone()),
        pending_until: Some(NOW + PENDING_LIFE),
        overlap: Some(HOUR),
        ..Rotation::default()
    };
    assert!(rotate(&db, &old, &Key { created_at: NOW, rotation, ..key(&acme, 3) }).await);
    issue(5).await;
    assert_eq!(live(&db, NOW + 10).await, ["key-5"], "the next one ends both");
}

async fn of_a_rotation_and_the_next_one_issued_one_key_is_left(db: Db) {
    let acme = populated(&db, 1).await;
    let actor = actor();
    let mut old = key(&acme, 1);
    db.issue_key(&actor, &old, &[1; 32], "pepper-1").await.unwrap();
    for n in 1..=20 {
        let rotation = Rotation {
            replaces: Some(old.id.clone()),
            pending_until: Some(NOW + PENDING_LIFE),
            overlap: Some(HOUR),
            ..Rotation::default()
        };
        let rotated = Key { rotation, ..key(&acme, 4 * n + 1) };
        let issued = key(&acme, 4 * n + 3);
        let (rotation, issue) = futures_util::future::join(
            Box::pin(db.rotate_key(&actor, &old, &rotated, &[4 * n + 1; 32], "pepper-1")),
            Box::pin(db.issue_key(&actor, &issued, &[4 * n + 3; 32], "pepper-1")),
        )
        .await;
        rotation.unwrap();
        issue.unwrap();
        assert_eq!(live(&db, NOW + HOUR).await, std::slice::from_ref(&issued.id), "round {n}");
        old = issued;
    }
}

async fn one_rotation_at_a_time(db: Db) {
    let (old, new) = pair(&db, HOUR).await;
    let other = |id: &str, replaces: &Key| Key {
        id: id.into(),
        rotation: Rotation { replaces: Some(replaces.id.clone()), ..new.rotation.clone() },
        ..new.clone()
    };
    let (five, seven) = (other("key-5", &old), other("key-7", &old));
    let races = [rotate(&db, &old, &new), rotate(&db, &old, &five), rotate(&db, &old, &seven)];
    let won = futures_util::future::join_all(races).await;
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
    let size = db.audit_head().await.unwrap().size;
    let id = get(&db, &old).await.rotation.replaced_by.unwrap();
    let new = db.key(&old.workspace_id, &id).await.unwrap().unwrap();
    let after = other("key-9", &new);
    assert!(!rotate(&db, &new, &after).await, "pending");
    assert_eq!(db.audit_head().await.unwrap().size, size, "nothing is written about it");
    assert!(db.activate_key(&actor(), &new, NOW + 1).await.unwrap());
    let later = |at| Key { created_at: at, ..after.clone() };
    assert!(!rotate(&db, &new, &later(NOW + HOUR)).await, "the old one lives on");
    assert!(!rotate(&db, &old, &later(NOW + HOUR)).await, "the old one is replaced");
    assert!(rotate(&db, &new, &later(NOW + 1 + HOUR)).await);
    // What has ended is not rotated.
    let expired = Key { id: "key-2".into(), expires_at: Some(NOW + 5), ..key(&old.workspace_id, 2) };
    db.create_key(&actor(), &expired, &[b'2'; 32], "pepper-1").await.unwrap();
    assert!(
        !rotate(&db, &expired, &Key { id: "key-4".into(), created_at: NOW + 5, ..other("x", &expired) })
            .await
    );
    db.revoke_key(&actor(), &expired, NOW + 4).await.unwrap();
    assert!(
        !rotate(&db, &expired, &Key { id: "key-6".into(), created_at: NOW + 4, ..other("x", &expired) })
            .await
    );
}

async fn of_a_first_use_and_a_cancellation_one_happens(db: Db) {
    let (old, mut new) = pair(&db, HOUR).await;
    for n in 0..20 {
        new.id = format!("key-{}", char::from(b'a' + n));
        assert!(rotate(&db, &old, &new).await);
        let (actor, at) = (actor(), NOW + 1);
        let (used, cancelled, revoked) = futures_util::future::join3(
            Box::pin(db.activate_key(&actor, &new, at)),
            Box::pin(db.cancel_rotation(&actor, &new, at)),
            Box::pin(async { if n % 2 == 0 { db.revoke_key(&actor, &new, at).await } else { Ok(false) } }),
        )
        .await;
        let (used, cancelled, revoked) = (used.unwrap(), cancelled.unwrap(), revoked.unwrap());
        let stored = get(&db, &old).await.rotation;
        if used {
            assert!(!cancelled && stored.retires_at == Some(at + HOUR), "{stored:?}");
            return;
        }
        assert!(cancelled != revoked && stored == Rotation::default(), "{cancelled} {revoked} {stored:?}");
    }
}
