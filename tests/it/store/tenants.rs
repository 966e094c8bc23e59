//! Tenants: the import, the lists and how fresh each mirror is.

use super::{MirrorPosts, NOW, actor, keys::key, last_entry, oid, populated, post, user, workspace};
use crate::support::databases::both_engines;
use gatehouse::{
    domain::{
        keys::Key,
        posts::PostStatus,
        tenants::{ManagedUser, TenantState},
        workspaces::Frozen,
    },
    store::{
        Db,
        audit::AuditFilter,
        posts::Listing,
        tenants::{Imported, TenantFilter},
    },
};

both_engines!(
    import,
    filters,
    keyset,
    failing,
    names_and_usernames,
    freeze,
    staleness,
    due,
    awaiting,
    hostile_names,
    search_beyond_ascii
);

async fn ids(db: &Db, workspace: &str, filter: &TenantFilter) -> Vec<String> {
    let tenants = db.tenants(workspace, filter, None, 100).await.unwrap();
    assert_eq!(db.count_tenants(workspace, filter).await.unwrap(), tenants.len() as i64);
    tenants.into_iter().map(|t| t.id).collect()
}

fn search(text: &str) -> TenantFilter {
    TenantFilter { search: Some(text.into()), ..Default::default() }
}

fn state(state: TenantState) -> TenantFilter {
    TenantFilter { state: Some(state), ..Default::default() }
}

async fn import(db: Db) {
    let acme = workspace(&db, "Acme").await.id;
    let run =
        async |users: &[ManagedUser], now| db.import_tenants(&actor(), &acme, users, now).await.unwrap();
    let version = db.access_version().await.unwrap();
    assert_eq!(run(&[user(1), user(2), user(3)], NOW).await, Imported { added: 3, returned: 0, detached: 0 });
    assert_eq!(db.workspace(&acme).await.unwrap().unwrap().imported_at, Some(NOW));

    let key = Key { tenant_id: Some(oid(2)), ..key(&acme, 1) };
    assert!(db.create_key(&actor(), &key, &[1; 32], "pepper-1").await.unwrap());
    let mut renamed = user(1);
    renamed.display_name = "Renamed".into();
    renamed.link_expires_at = Some(NOW + 9);
    assert_eq!(run(&[renamed, user(3)], NOW + 1).await, Imported { added: 0, returned: 0, detached: 1 });
    let one = db.tenant(&acme, &oid(1)).await.unwrap().unwrap();
    assert_eq!(
        (one.display_name.as_str(), one.link_expires_at, one.created_at),
        ("Renamed", Some(NOW + 9), NOW)
    );
    let two = db.tenant(&acme, &oid(2)).await.unwrap().unwrap();
    assert_eq!((two.detached_at, two.state()), (Some(NOW + 1), TenantState::Detached));
    assert_eq!(db.key(&acme, &key.id).await.unwrap().unwrap().revoked_at, Some(NOW + 1));
    let entry = last_entry(&db).await;
    assert_eq!((entry.action.as_str(), entry.tenant_id), ("key.revoke", Some(oid(2))));

    assert_eq!(
        run(&[user(1), user(2), user(3)], NOW + 2).await,
        Imported { added: 0, returned: 1, detached: 0 }
    );
    assert_eq!(db.tenant(&acme, &oid(2)).await.unwrap().unwrap().detached_at, None);
    assert!(db.access_version().await.unwrap() >= version + 3);
    assert_eq!(db.tenant("other", &oid(2)).await.unwrap(), None);

    let of_tenants = AuditFilter { action: Some("tenant.".into()), ..Default::default() };
    let entries = db.audit_page(&of_tenants, None, Some(-1), 100).await.unwrap();
    let actions: Vec<_> = entries.iter().map(|e| (e.action.as_str(), e.tenant_id.clone().unwrap())).collect();
    assert_eq!(actions[..3], [1, 2, 3].map(|n| ("tenant.import", oid(n))));
    assert_eq!(actions[3..], [("tenant.detach", oid(2)), ("tenant.reattach", oid(2))]);

    db.note_import_error(&actor(), &acme, "unreachable", NOW).await.unwrap();
    let stored = db.workspace(&acme).await.unwrap().unwrap();
    assert_eq!((stored.import_error.as_deref(), stored.imported_at), (Some("unreachable"), Some(NOW + 2)));
    run(&[user(1)], NOW + 3).await;
    assert_eq!(db.workspace(&acme).await.unwrap().unwrap().import_error, None);
}

async fn filters(db: Db) {
    let acme = populated(&db, 4).await;
    let mut users: Vec<_> = (1..=3).map(user).collect();
    users[0].display_name = "100% Cotton_Mill".into();
    db.import_tenants(&actor(), &acme, &users, NOW).await.unwrap();
    db.freeze_tenant(&actor(), &acme, &oid(2), Some("late"), NOW).await.unwrap();
    // Frozen and detached counts as detached.
    db.freeze_tenant(&actor(), &acme, &oid(4), Some("late"), NOW).await.unwrap();

    assert_eq!(ids(&db, &acme, &TenantFilter::default()).await, [1, 2, 3, 4].map(oid));
    assert_eq!(ids(&db, &acme, &state(TenantState::Active)).await, [1, 3].map(oid));
    assert_eq!(ids(&db, &acme, &state(TenantState::Frozen)).await, [oid(2)]);
    assert_eq!(ids(&db, &acme, &state(TenantState::Detached)).await, [oid(4)]);
    assert_eq!(ids(&db, &acme, &search("cotton")).await, [oid(1)]);
    assert_eq!(ids(&db, &acme, &search("TENANT")).await, [2, 3, 4].map(oid));
    assert_eq!(ids(&db, &acme, &search("USER02@")).await, [oid(2)]);
    assert_eq!(ids(&db, &acme, &search(&oid(3))).await, [oid(3)]);
    // Wildcards are letters like any other.
    assert_eq!(ids(&db, &acme, &search("0%")).await, [oid(1)]);
    assert_eq!(ids(&db, &acme, &search("n_m")).await, [oid(1)]);
    assert_eq!(ids(&db, &acme, &search("%")).await, [oid(1)]);
    assert_eq!(ids(&db, &acme, &search(r"\")).await, [""; 0]);
    assert_eq!(ids(&db, &acme, &search("a\0b")).await, [""; 0]);
    assert_eq!(ids(&db, "other", &TenantFilter::default()).await, [""; 0]);

    let mut states = db.tenant_states().await.unwrap();
    states.sort();
    let frozen = Some("late".to_owned());
    let expected = [
        (acme.clone(), oid(1), None, false),
        (acme.clone(), oid(2), frozen.clone(), false),
        (acme.clone(), oid(3), None, false),
        (acme.clone(), oid(4), frozen, true),
    ];
    assert_eq!(states, expected);
}

/// Pages joined are the list, with equal names and names whose order hangs on the collation.
async fn keyset(db: Db) {
    let acme = workspace(&db, "Acme").await.id;
    let names = ["b", "B", "a-a", "aa", "_", "same", "same", "same", "Ä", "z"];
    let users: Vec<ManagedUser> = names
        .iter()
        .enumerate()
        .map(|(n, name)| ManagedUser { display_name: (*name).into(), ..user(n) })
        .collect();
    db.import_tenants(&actor(), &acme, &users, NOW).await.unwrap();
    let all = db.tenants(&acme, &TenantFilter::default(), None, 100).await.unwrap();
    let mut expected: Vec<_> = users.iter().map(|u| (u.display_name.clone(), u.id.clone())).collect();
    expected.sort();
    assert_eq!(all.iter().map(|t| (t.display_name.clone(), t.id.clone())).collect::<Vec<_>>(), expected);

    let mut joined = Vec::new();
    loop {
        let after = joined.last().map(|(name, id): &(String, String)| (name.as_str(), id.as_str()));
        let page = db.tenants(&acme, &TenantFilter::default(), after, 3).await.unwrap();
        if page.is_empty() {
            break;
        }
        joined.extend(page.into_iter().map(|t| (t.display_name, t.id)));
    }
    assert_eq!(joined, expected);

    // Backwards: the page before each place is what stands before it.
    for start in 0..expected.len() {
        let (name, id) = &expected[start];
        let page = db.tenants_before(&acme, &TenantFilter::default(), (name, id), 3).await.unwrap();
        let page: Vec<_> = page.into_iter().map(|t| (t.display_name, t.id)).collect();
        assert_eq!(page, expected[start.saturating_sub(3)..start], "before {name} {id}");
    }
    let page = db.tenants_before(&acme, &search("same"), ("z", ""), 2).await.unwrap();
    assert_eq!(page.iter().map(|t| t.id.as_str()).collect::<Vec<_>>(), [oid(6), oid(7)]);
    assert_eq!(db.tenants_before("other", &TenantFilter::default(), ("z", ""), 2).await.unwrap(), []);
}

async fn failing(db: Db) {
    let acme = populated(&db, 4).await;
    let failing = TenantFilter { failing: true, ..Default::default() };
    assert_eq!(ids(&db, &acme, &failing).await, [""; 0]);
    for n in [1, 2, 4] {
        db.note_sync_error(&acme, &oid(n), "timed out", NOW, NOW).await.unwrap();
    }
    // A detached tenant's mirror is nobody's worry.
    db.import_tenants(&actor(), &acme, &[user(1), user(2), user(3)], NOW).await.unwrap();
    assert_eq!(ids(&db, &acme, &failing).await, [1, 2].map(oid));
    assert_eq!(db.sync_summary(&acme).await.unwrap().2, 2, "the number leads to as many tenants");
    let both = TenantFilter { search: Some("user02@".into()), ..failing.clone() };
    assert_eq!(ids(&db, &acme, &both).await, [oid(2)]);
    db.freeze_tenant(&actor(), &acme, &oid(1), Some("late"), NOW).await.unwrap();
    let both = TenantFilter { state: Some(TenantState::Frozen), ..failing.clone() };
    assert_eq!(ids(&db, &acme, &both).await, [oid(1)]);
    db.mirror_posts(&acme, &oid(1), &[], NOW, false, None, NOW).await.unwrap();
    assert_eq!(ids(&db, &acme, &failing).await, [oid(2)]);
}

async fn names_and_usernames(db: Db) {
    let acme = populated(&db, 3).await;
    let other = workspace(&db, "Other").await.id;
    db.import_tenants(&actor(), &acme, &[user(1), user(2)], NOW).await.unwrap();
    let by_username = async |workspace: &str, name: &str| {
        db.tenant_by_username(workspace, name).await.unwrap().map(|t| t.id)
    };
    assert_eq!(by_username(&acme, "user02@example.com").await, Some(oid(2)));
    assert_eq!(by_username(&acme, "USER02@Example.com").await, Some(oid(2)));
    assert_eq!(by_username(&acme, "user0_@example.com").await, None);
    assert_eq!(by_username(&acme, "user03@example.com").await, None, "it is detached");
    assert_eq!(by_username(&other, "user02@example.com").await, None);

    let mut names: Vec<_> =
        db.tenant_names(&acme, &[&oid(1), &oid(3), &oid(9)]).await.unwrap().into_iter().collect();
    names.sort();
    assert_eq!(names, [1, 3].map(|n| (oid(n), format!("Tenant {n:02}"))), "detached ones have a name too");
    assert!(db.tenant_names(&acme, &[]).await.unwrap().is_empty());
    assert!(db.tenant_names(&other, &[&oid(1)]).await.unwrap().is_empty());
    // More than one statement can hold.
    let many: Vec<String> = (1..=1_200).map(oid).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(db.tenant_names(&acme, &many).await.unwrap().len(), 3);
}

async fn freeze(db: Db) {
    let acme = populated(&db, 2).await;
    db.freeze_tenant(&actor(), &acme, &oid(1), Some("asked for it"), NOW).await.unwrap();
    let frozen = db.tenant(&acme, &oid(1)).await.unwrap().unwrap().frozen;
    assert_eq!(frozen, Some(Frozen { at: NOW, reason: "asked for it".into() }));
    assert_eq!(db.tenant(&acme, &oid(2)).await.unwrap().unwrap().frozen, None);
    db.freeze_tenant(&actor(), &acme, &oid(1), None, NOW + 1).await.unwrap();
    assert_eq!(db.tenant(&acme, &oid(1)).await.unwrap().unwrap().frozen, None);
    let entry = last_entry(&db).await;
    assert_eq!((entry.action.as_str(), entry.tenant_id), ("tenant.unfreeze", Some(oid(1))));
}

async fn staleness(db: Db) {
    let acme = populated(&db, 4).await;
    db.import_tenants(&actor(), &acme, &[user(1), user(2), user(3)], NOW).await.unwrap();
    assert_eq!(db.sync_summary(&acme).await.unwrap(), (3, 3, 0, None));
    assert_eq!(db.sync_summary("other").await.unwrap(), (0, 0, 0, None));
    db.mirror_posts(&acme, &oid(1), &[], NOW, true, None, NOW + 5).await.unwrap();
    db.mirror_posts(&acme, &oid(2), &[], NOW - 50, false, None, NOW - 50).await.unwrap();
    db.note_sync_error(&acme, &oid(3), "timed out", NOW, NOW + 30_000).await.unwrap();
    assert_eq!(db.sync_summary(&acme).await.unwrap(), (3, 1, 1, Some(NOW - 50)));
    let sync = db.tenant(&acme, &oid(3)).await.unwrap().unwrap().sync;
    assert_eq!((sync.error.as_deref(), sync.error_at, sync.synced_at), (Some("timed out"), Some(NOW), None));

    let (one, two_id, three_id) = (oid(1), oid(2), oid(3));
    assert_eq!(db.oldest_sync(&acme, &[&two_id]).await.unwrap(), Some(NOW - 50));
    assert_eq!(db.oldest_sync(&acme, &[&one, &two_id]).await.unwrap(), Some(NOW - 50));
    assert_eq!(db.oldest_sync(&acme, &[&two_id, &three_id]).await.unwrap(), None, "one was never synced");
    assert_eq!(db.oldest_sync(&acme, &[]).await.unwrap(), None);
    let before = async |at| db.synced_before(&acme, &[&two_id, &three_id], at).await.unwrap();
    assert_eq!(before(NOW - 50).await, std::slice::from_ref(&three_id));
    assert_eq!(before(NOW - 49).await, [two_id.clone(), three_id.clone()]);
    assert!(db.synced_before("other", &[&two_id], NOW).await.unwrap().is_empty());
    db.mirror_posts(&acme, &oid(3), &[], NOW + 1, false, None, NOW + 1).await.unwrap();
    let sync = db.tenant(&acme, &oid(3)).await.unwrap().unwrap().sync;
    assert_eq!((sync.error, sync.error_at, sync.synced_at), (None, None, Some(NOW + 1)));
    // As old as the beginning of its listing; one that took longer than another does not make it older.
    db.mirror_posts(&acme, &oid(3), &[], NOW - 30, false, None, NOW + 2).await.unwrap();
    assert_eq!(db.tenant(&acme, &oid(3)).await.unwrap().unwrap().sync.synced_at, Some(NOW + 1));
}

/// What is due, longest first: never read, then by the time each refresh named. Detached ones never.
async fn due(db: Db) {
    let acme = populated(&db, 5).await;
    let due = async |now, limit| db.due_tenants(&acme, now, limit).await.unwrap();
    assert_eq!(due(0, 10).await, (1..=5).map(oid).collect::<Vec<_>>());
    let read = async |n: usize, started, complete, read_to, due_at| {
        let listing = Listing { posts: &[], started, complete, read_to, due_at };
        db.mirror_listing(&acme, &oid(n), &listing, None, started).await.unwrap();
        db.tenant(&acme, &oid(n)).await.unwrap().unwrap().sync
    };
    let sync = read(1, NOW, true, Some(70), NOW + 30).await;
    assert_eq!((sync.swept_at, sync.read_to, sync.due_at), (Some(NOW), Some(70), NOW + 30));
    // A later listing that saw nothing, or only older changes, does not make them unknown.
    assert_eq!(read(1, NOW + 1, false, None, NOW + 31).await.read_to, Some(70));
    let sync = read(1, NOW + 2, false, Some(60), NOW + 32).await;
    assert_eq!((sync.swept_at, sync.read_to, sync.due_at), (Some(NOW), Some(70), NOW + 32));
    assert_eq!(read(1, NOW + 3, false, Some(80), NOW + 33).await.read_to, Some(80));
    read(2, NOW, false, None, NOW + 20).await;
    db.note_sync_error(&acme, &oid(3), "timed out", NOW, NOW + 10).await.unwrap();
    db.import_tenants(&actor(), &acme, &[user(1), user(2), user(3), user(4)], NOW).await.unwrap();
    assert_eq!(due(NOW, 10).await, [oid(4)]);
    assert_eq!(due(NOW + 33, 10).await, [4, 3, 2, 1].map(oid));
    assert_eq!(due(NOW + 33, 2).await, [4, 3].map(oid));
    assert!(db.due_tenants("other", NOW + 33, 10).await.unwrap().is_empty());
}

/// Tenants with a post whose time has come since they were read.
async fn awaiting(db: Db) {
    let acme = populated(&db, 6).await;
    let minute = 60_000;
    // Each has a post due a minute from now but for the second; the third is a draft.
    for n in 1..=5 {
        let status = if n == 3 { PostStatus::Draft } else { PostStatus::Scheduled };
        let post = post(n, if n == 2 { 30 } else { 1 }, status);
        db.mirror_posts(&acme, &oid(n), &[post], NOW - n as i64, true, None, NOW).await.unwrap();
    }
    let at = |now: i64| now - 15 * minute..now;
    let awaiting = async |now, limit| db.awaiting_tenants(&acme, at(now), 5_000, limit).await.unwrap();
    assert!(awaiting(NOW + minute, 10).await.is_empty(), "not yet");
    let later = NOW + minute + 1;
    assert_eq!(awaiting(later, 10).await, [5, 4, 1].map(oid), "read longest ago first");
    assert_eq!(awaiting(later, 1).await, [oid(5)]);
    assert!(db.awaiting_tenants("other", at(later), 5_000, 10).await.unwrap().is_empty());
    assert!(awaiting(NOW + 17 * minute, 10).await.is_empty(), "long ago");
    // Read again, but too soon after the time; read late enough; failed; detached.
    db.mirror_posts(&acme, &oid(1), &[], later + 3_000, false, None, later).await.unwrap();
    assert_eq!(awaiting(later, 10).await, [5, 4, 1].map(oid));
    db.mirror_posts(&acme, &oid(1), &[], later + 5_000, false, None, later).await.unwrap();
    db.note_sync_error(&acme, &oid(4), "timed out", NOW, NOW).await.unwrap();
    assert_eq!(awaiting(later, 10).await, [oid(5)]);
    db.import_tenants(&actor(), &acme, &[user(1)], NOW).await.unwrap();
    assert!(awaiting(later, 10).await.is_empty());
}

/// A name PostgreSQL cannot hold must not stop the import of a whole workspace.
async fn hostile_names(db: Db) {
    let acme = workspace(&db, "Acme").await.id;
    let hostile = ManagedUser { display_name: "nul\0l '); --".into(), username: "a\0@b.c".into(), ..user(1) };
    let imported = db.import_tenants(&actor(), &acme, &[hostile, user(2)], NOW).await.unwrap();
    assert_eq!(imported.added, 2);
    let stored = db.tenant(&acme, &oid(1)).await.unwrap().unwrap();
    assert_eq!((stored.display_name.as_str(), stored.username.as_str()), ("null '); --", "a@b.c"));
}

/// Whatever the engine thinks of capitals beyond ASCII: text finds itself.
async fn search_beyond_ascii(db: Db) {
    let acme = workspace(&db, "Acme").await.id;
    let tenant = ManagedUser { display_name: "Übung ÄÖ İstanbul".into(), ..user(1) };
    db.import_tenants(&actor(), &acme, &[tenant], NOW).await.unwrap();
    for text in ["Übung", "ÄÖ", "İst", "BUNG", "stanBUL"] {
        assert_eq!(ids(&db, &acme, &search(text)).await, [oid(1)], "{text}");
    }
}
