//! Operations from intent to end, and each effect an audit entry can carry.

use super::{MirrorPosts, NOW, actor, keys::key, last_entry, oid, plan, populated, post, user, workspace};
use crate::support::databases::both_engines;
use gatehouse::{
    audit::{Unavailable, Writer},
    clock::Clock,
    domain::{
        jobs::ItemState,
        keys::Key,
        operations::{Asked, OpState, Operation, Snapshot, Verb},
        posts::{Post, PostStatus},
        tenants::ManagedUser,
    },
    store::{Db, Error, leases::node_lease, operations::Effect},
};

both_engines!(
    open_and_close,
    one_update_of_a_post,
    twins,
    how_it_ended,
    one_worker_per_item,
    unsettled,
    posts,
    pauses,
    tenants,
    hostile_snapshot,
);

fn operation(workspace_id: &str, id: &str) -> Operation {
    Operation {
        id: id.into(),
        workspace_id: workspace_id.into(),
        tenant_id: Some(oid(1)),
        verb: Verb::PostUpdate,
        target: oid(id.bytes().map(usize::from).sum()),
        actor: actor(),
        asked: Asked { status: Some("draft".into()), scheduled_at: Some(NOW), ..Asked::default() },
        snapshot: Some(Snapshot { existed: true, content: Some("Text".into()), ..Default::default() }),
        state: OpState::Open,
        item: None,
        node: "node-1".into(),
        started_at: NOW,
        checks: 0,
        ended_at: None,
        doubted_at: None,
        upstream_status: None,
        granted_at: None,
    }
}

async fn apply(db: &Db, effect: Effect) -> Result<(), Unavailable> {
    Writer::start(db.clone(), Clock::default(), Default::default()).record(vec![], vec![effect]).await
}

async fn open(db: &Db, operation: Operation) -> Result<(), Unavailable> {
    apply(db, Effect::Open(Box::new(operation))).await
}

fn close(id: &str, state: OpState, at: i64) -> Effect {
    let doubted = matches!(state, OpState::InDoubt | OpState::Applied | OpState::NotApplied);
    Effect::Close { op_id: id.into(), state, at, check_at: at + 10, status: None, granted_at: None, doubted }
}

fn taken(result: &Result<(), Unavailable>) -> bool {
    matches!(result, Err(Unavailable::Store(Error::Taken)))
}

async fn open_and_close(db: Db) {
    let acme = populated(&db, 1).await;
    let full = operation(&acme, "op-1");
    open(&db, full.clone()).await.unwrap();
    let stored = db.operation(&acme, "op-1").await.unwrap().unwrap();
    assert_eq!(format!("{stored:?}"), format!("{full:?}"));
    assert!(db.operation("other", "op-1").await.unwrap().is_none());
    let bare =
        Operation { tenant_id: None, snapshot: None, asked: Asked::default(), ..operation(&acme, "op-2") };
    open(&db, bare.clone()).await.unwrap();
    assert_eq!(format!("{:?}", db.operation(&acme, "op-2").await.unwrap().unwrap()), format!("{bare:?}"));
    let again = open(&db, bare).await;
    assert!(taken(&again), "{again:?}");

    let ids =
        async || db.open_operations(&acme, 10).await.unwrap().into_iter().map(|o| o.id).collect::<Vec<_>>();
    assert_eq!(ids().await, ["op-1", "op-2"]);
    apply(&db, close("op-1", OpState::InDoubt, NOW)).await.unwrap();
    assert_eq!(ids().await, ["op-1", "op-2"]);
    apply(&db, close("op-1", OpState::Applied, NOW + 1)).await.unwrap();
    assert_eq!(ids().await, ["op-2"]);
    assert_eq!(db.operation(&acme, "op-1").await.unwrap().unwrap().state, OpState::Applied);
    let again = apply(&db, close("op-1", OpState::NotApplied, NOW + 2)).await;
    assert!(taken(&again), "{again:?}");
    assert_eq!(db.operation(&acme, "op-1").await.unwrap().unwrap().state, OpState::Applied);
    assert_eq!(db.open_operations("other", 10).await.unwrap().len(), 0);
}

async fn one_update_of_a_post(db: Db) {
    let (acme, other) = (populated(&db, 1).await, workspace(&db, "Other").await.id);
    let first = operation(&acme, "op-1");
    let of_it = |id: &str| Operation { target: first.target.clone(), ..operation(&acme, id) };
    open(&db, first.clone()).await.unwrap();
    assert_eq!(db.unsettled_update(&acme, &first.target).await.unwrap().as_deref(), Some("op-1"));
    assert!(taken(&open(&db, of_it("op-2")).await));
    assert!(db.operation(&acme, "op-2").await.unwrap().is_none());
    // A delete, another post, and a post of that id elsewhere are not held up.
    open(&db, Operation { verb: Verb::PostDelete, ..of_it("op-3") }).await.unwrap();
    open(&db, operation(&acme, "op-4")).await.unwrap();
    open(&db, Operation { workspace_id: other.clone(), ..of_it("op-5") }).await.unwrap();
    apply(&db, close("op-1", OpState::InDoubt, NOW)).await.unwrap();
    assert!(taken(&open(&db, of_it("op-2")).await), "in doubt is no end");
    apply(&db, close("op-1", OpState::NotApplied, NOW)).await.unwrap();
    assert_eq!(db.unsettled_update(&acme, &first.target).await.unwrap(), None);
    let ended = db.operation(&acme, "op-1").await.unwrap().unwrap().ended_at.unwrap();
    assert!(db.updated_since(&acme, &first.target, ended).await.unwrap());
    assert!(!db.updated_since(&acme, &first.target, ended + 1).await.unwrap());
    assert!(!db.updated_since("elsewhere", &first.target, ended).await.unwrap());
    open(&db, of_it("op-2")).await.unwrap();
}

async fn twins(db: Db) {
    let (acme, other) = (populated(&db, 1).await, workspace(&db, "Other").await.id);
    let first = Operation { verb: Verb::PostDelete, ..operation(&acme, "op-1") };
    let of_it = |id: &str, at| Operation { id: id.into(), started_at: NOW + at, ..first.clone() };
    for twin in [first.clone(), of_it("op-2", 5), of_it("op-3", 9)] {
        open(&db, twin).await.unwrap();
    }
    open(&db, Operation { verb: Verb::PostUpdate, ..of_it("update", 1) }).await.unwrap();
    open(&db, Operation { target: oid(1), ..of_it("another post", 1) }).await.unwrap();
    open(&db, Operation { workspace_id: other, ..of_it("elsewhere", 1) }).await.unwrap();
    apply(&db, close("op-2", OpState::Succeeded, NOW)).await.unwrap();
    let mut twins = db.twins(&first).await.unwrap();
    twins.sort_by_key(|t| t.started_at);
    let twins: Vec<_> = twins.into_iter().map(|t| (t.state, t.started_at)).collect();
    assert_eq!(twins, [(OpState::Succeeded, NOW + 5), (OpState::Open, NOW + 9)]);
}

async fn how_it_ended(db: Db) {
    let acme = populated(&db, 1).await;
    for (n, end) in
        [OpState::Applied, OpState::Succeeded, OpState::NotApplied, OpState::Gone].into_iter().enumerate()
    {
        let id = format!("op-{n}");
        open(&db, operation(&acme, &id)).await.unwrap();
        if n == 0 {
            let doubt = Effect::Close {
                op_id: id.clone(),
                state: OpState::InDoubt,
                at: NOW + 1,
                check_at: NOW,
                status: Some(503),
                granted_at: None,
                doubted: true,
            };
            apply(&db, doubt).await.unwrap();
        }
        let status = (end == OpState::Succeeded).then_some(200);
        let ended = Effect::Close {
            op_id: id,
            state: end,
            at: NOW + 10 - n as i64,
            check_at: NOW,
            status,
            granted_at: Some(NOW + 60),
            doubted: end != OpState::Succeeded,
        };
        apply(&db, ended).await.unwrap();
    }
    let first = db.operation(&acme, "op-0").await.unwrap().unwrap();
    // What the reconciler adds does not wipe out what was known when the doubt arose.
    assert_eq!(
        (first.upstream_status, first.doubted_at, first.ended_at, first.granted_at),
        (Some(503), Some(NOW + 1), Some(NOW + 10), Some(NOW + 60))
    );
    let clear = db.operation(&acme, "op-1").await.unwrap().unwrap();
    assert_eq!((clear.upstream_status, clear.doubted_at), (Some(200), None));
    let page = async |ws: &str, before: Option<&str>, limit| {
        let page = db.settled_operations(ws, before, limit).await.unwrap();
        page.into_iter().map(|o| o.id).collect::<Vec<_>>()
    };
    assert_eq!(page(&acme, None, 10).await, ["op-0", "op-2", "op-3"]);
    assert_eq!(page(&acme, None, 2).await, ["op-0", "op-2"]);
    assert_eq!(page(&acme, Some("op-2"), 2).await, ["op-3"]);
    assert!(page(&acme, Some("op-3"), 2).await.is_empty() && page("other", None, 2).await.is_empty());
}

async fn one_worker_per_item(db: Db) {
    let acme = populated(&db, 1).await;
    let (plan, _) = plan(&db, &acme, &[post(1, 7, PostStatus::Scheduled)]).await;
    db.confirm_plan(&actor(), &plan, "job", "", None, NOW).await.unwrap();
    let tries = (0..10).map(|n| {
        let (db, acme) = (db.clone(), acme.clone());
        let operation = Operation { item: Some(("job".into(), 0)), ..operation(&acme, &format!("op-{n}")) };
        tokio::spawn(async move { open(&db, operation).await })
    });
    let tries: Vec<_> = futures_util::future::join_all(tries).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(tries.iter().filter(|t| t.is_ok()).count(), 1);
    assert_eq!(tries.iter().filter(|t| taken(t)).count(), 9);
    let item = db.job_items("job", None, 0, 1).await.unwrap().remove(0);
    let opened = db.open_operations(&acme, 10).await.unwrap();
    assert_eq!(
        (item.state, item.op_id.as_deref(), opened.len()),
        (ItemState::Running, Some(opened[0].id.as_str()), 1)
    );
    assert_eq!(opened[0].item, Some(("job".into(), 0)));
}

async fn unsettled(db: Db) {
    let acme = populated(&db, 1).await;
    open(&db, operation(&acme, "mine")).await.unwrap();
    open(&db, Operation { started_at: NOW - 100, ..operation(&acme, "mine-old") }).await.unwrap();
    open(&db, Operation { node: "node-2".into(), ..operation(&acme, "theirs") }).await.unwrap();
    open(&db, operation(&acme, "doubt")).await.unwrap();
    apply(&db, close("doubt", OpState::InDoubt, NOW)).await.unwrap();
    let due = async |now, limit| {
        let due = db.unsettled("node-1", now, NOW - 50, limit).await.unwrap();
        due.into_iter().map(|o| o.id).collect::<Vec<_>>()
    };
    // Another process's call is an orphan as soon as the process has not been heard of.
    let dead = due(NOW + 9, 10).await;
    assert_eq!(dead, ["mine-old", "theirs"]);
    db.take_lease(&node_lease("node-2"), "node-2", NOW, NOW + 1_000).await.unwrap();
    let expected: &[&str] = &["mine-old"];
    assert_eq!(due(NOW + 9, 10).await, expected);
    assert_eq!(due(NOW + 10, 10).await, [expected, &["doubt"]].concat());
    assert_eq!(due(NOW + 10, 1).await, expected[..1]);
    db.defer_operation("doubt", NOW + 99).await.unwrap();
    assert_eq!(due(NOW + 98, 10).await, expected);
    assert_eq!(db.operation(&acme, "doubt").await.unwrap().unwrap().checks, 1);
    let later = db.unsettled("node-1", NOW + 99, NOW + 1, 10).await.unwrap();
    assert_eq!(later.len(), 4);
    assert_eq!(db.count_unsettled().await.unwrap(), 4);
    apply(&db, close("doubt", OpState::Applied, NOW)).await.unwrap();
    assert_eq!(db.count_unsettled().await.unwrap(), 3);
}

async fn posts(db: Db) {
    let acme = populated(&db, 2).await;
    for tenant in [1, 2] {
        db.mirror_posts(
            &acme,
            &oid(tenant),
            &[post(tenant, 7, PostStatus::Scheduled)],
            NOW,
            false,
            None,
            NOW,
        )
        .await
        .unwrap();
    }
    let change = |status, scheduled_at| Effect::PostChanged {
        workspace_id: acme.clone(),
        tenant_id: oid(1),
        post_id: oid(7),
        status,
        scheduled_at,
        at: NOW + 5,
    };
    let stored = async |tenant| db.post(&acme, &oid(tenant), &oid(7)).await.unwrap();
    let before = post(1, 7, PostStatus::Scheduled);
    apply(&db, change(Some(PostStatus::Draft), None)).await.unwrap();
    assert_eq!(stored(1).await.unwrap().post, Post { status: PostStatus::Draft, ..before.clone() });
    apply(&db, change(None, Some(NOW + 99))).await.unwrap();
    let now = stored(1).await.unwrap();
    assert_eq!(now.post, Post { status: PostStatus::Draft, scheduled_at: Some(NOW + 99), ..before });
    assert_eq!(now.seen_at, NOW + 5);
    assert_eq!(stored(2).await.unwrap().post, post(2, 7, PostStatus::Scheduled));

    let paused = |tenant| Effect::Paused {
        workspace_id: acme.clone(),
        tenant_id: oid(tenant),
        post_id: oid(7),
        op_id: "op".into(),
        scheduled_at: None,
        at: NOW,
    };
    apply(&db, paused(1)).await.unwrap();
    apply(&db, paused(2)).await.unwrap();
    let gone = Effect::PostGone { workspace_id: acme.clone(), tenant_id: oid(1), post_id: oid(7) };
    apply(&db, gone).await.unwrap();
    assert!(stored(1).await.is_none());
    db.mirror_posts(&acme, &oid(1), &[post(1, 7, PostStatus::Draft)], NOW, false, None, NOW).await.unwrap();
    assert!(stored(1).await.unwrap().pause.is_none(), "the pause went with the post");
    assert!(stored(2).await.unwrap().pause.is_some());
}

async fn pauses(db: Db) {
    let acme = populated(&db, 1).await;
    db.mirror_posts(&acme, &oid(1), &[post(1, 7, PostStatus::Draft)], NOW, false, None, NOW).await.unwrap();
    let paused = |at, scheduled_at| Effect::Paused {
        workspace_id: acme.clone(),
        tenant_id: oid(1),
        post_id: oid(7),
        op_id: "op".into(),
        scheduled_at,
        at,
    };
    let pause = async || db.post(&acme, &oid(1), &oid(7)).await.unwrap().unwrap().pause;
    apply(&db, paused(NOW, Some(NOW + 60))).await.unwrap();
    // Pausing what is paused keeps the time it had when it was first paused.
    apply(&db, paused(NOW + 1, None)).await.unwrap();
    let stored = pause().await.unwrap();
    assert_eq!((stored.paused_at, stored.scheduled_at), (NOW, Some(NOW + 60)));
    let unpaused = Effect::Unpaused { workspace_id: acme.clone(), tenant_id: oid(1), post_id: oid(7) };
    apply(&db, unpaused).await.unwrap();
    assert!(pause().await.is_none());
}

async fn tenants(db: Db) {
    let acme = populated(&db, 1).await;
    let tenant = async |n| db.tenant(&acme, &oid(n)).await.unwrap();
    let version = db.access_version().await.unwrap();
    let put = |user: ManagedUser, at| Effect::TenantPut { workspace_id: acme.clone(), user, at };
    apply(&db, put(user(2), NOW + 1)).await.unwrap();
    assert_eq!(tenant(2).await.unwrap().created_at, NOW + 1);
    let of_two = |n| Key { tenant_id: Some(oid(2)), ..key(&acme, n) };
    let ended = Key { expires_at: Some(NOW + 1), ..of_two(5) };
    for (n, key) in [(1, key(&acme, 1)), (3, of_two(3)), (5, ended)] {
        assert!(db.create_key(&actor(), &key, &[n; 32], "pepper-1").await.unwrap());
    }
    let by = actor();
    let detached =
        Effect::TenantDetached { actor: by, workspace_id: acme.clone(), tenant_id: oid(2), at: NOW + 2 };
    apply(&db, detached).await.unwrap();
    // Its keys that still opened something end with it, and nobody is given another.
    let revoked = async |id| db.key(&acme, id).await.unwrap().unwrap().revoked_at;
    assert_eq!(
        [revoked("key-1").await, revoked("key-3").await, revoked("key-5").await],
        [None, Some(NOW + 2), None]
    );
    let entry = last_entry(&db).await;
    assert_eq!((entry.action.as_str(), entry.tenant_id), ("key.revoke", Some(oid(2))));
    let size = db.audit_head().await.unwrap().size;
    assert!(!db.create_key(&actor(), &of_two(7), &[7; 32], "pepper-1").await.unwrap());
    assert!(!db.issue_key(&actor(), &of_two(7), &[7; 32], "pepper-1").await.unwrap());
    assert_eq!((db.key(&acme, "key-7").await.unwrap(), db.audit_head().await.unwrap().size), (None, size));
    assert_eq!(tenant(2).await.unwrap().detached_at, Some(NOW + 2));
    assert_eq!(tenant(1).await.unwrap().detached_at, None);
    apply(&db, put(user(2), NOW + 3)).await.unwrap();
    assert_eq!((tenant(2).await.unwrap().detached_at, tenant(2).await.unwrap().created_at), (None, NOW + 1));
    assert_eq!(revoked("key-3").await, Some(NOW + 2), "what was revoked stays so");
    assert_eq!(db.access_version().await.unwrap(), version + 6);
    let link = |expires_at| Effect::TenantLink { workspace_id: acme.clone(), tenant_id: oid(2), expires_at };
    apply(&db, link(Some(NOW + 4))).await.unwrap();
    assert_eq!(tenant(2).await.unwrap().link_expires_at, Some(NOW + 4));
    apply(&db, link(None)).await.unwrap();
    assert_eq!(tenant(2).await.unwrap().link_expires_at, None);
}

/// A post with a NUL in its text can still be deleted: the snapshot is stored without it.
async fn hostile_snapshot(db: Db) {
    let acme = populated(&db, 1).await;
    let mut hostile = operation(&acme, "op-1");
    hostile.snapshot.as_mut().unwrap().content = Some("a\0b \\u0000".into());
    hostile.actor.name = "n\0".into();
    hostile.asked.username = Some("u\0".into());
    open(&db, hostile).await.unwrap();
    let stored = db.operation(&acme, "op-1").await.unwrap().unwrap();
    assert_eq!(stored.snapshot.unwrap().content.as_deref(), Some("ab \\u0000"));
    assert_eq!((stored.actor.name.as_str(), stored.asked.username.as_deref()), ("n", Some("u")));
}
