//! Which creates have made which posts.

use super::{MirrorPosts, NOW, actor, oid, plan, populated, post, workspace};
use crate::support::databases::both_engines;
use gatehouse::{
    audit::{Unavailable, Writer},
    clock::Clock,
    domain::{
        ids::new_id,
        jobs::ItemState,
        operations::{Asked, OpState, Operation, Verb},
        posts::{Post, PostStatus},
    },
    store::{
        Db, Error,
        operations::{Effect, ItemResult},
        plans::Show,
    },
};

both_engines!(one_post_of_one_create, made_since, made_of_a_backup);

fn create(workspace_id: &str, id: &str) -> Operation {
    Operation {
        id: id.into(),
        workspace_id: workspace_id.into(),
        tenant_id: Some(oid(1)),
        verb: Verb::PostCreate,
        target: String::new(),
        actor: actor(),
        asked: Asked {
            content: Some("digest".into()),
            platforms: vec!["twitter-1".into()],
            ..Asked::default()
        },
        snapshot: None,
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

fn close(id: &str, state: OpState) -> Effect {
    Effect::Close {
        op_id: id.into(),
        state,
        at: NOW + 1,
        check_at: NOW,
        status: None,
        granted_at: None,
        doubted: state == OpState::InDoubt,
    }
}

async fn one_post_of_one_create(db: Db) {
    let (acme, other) = (populated(&db, 1).await, workspace(&db, "Other").await.id);
    let writer = Writer::start(db.clone(), Clock::default(), Default::default());
    let apply = async |effects: Vec<Effect>| writer.record(vec![], effects).await;
    let created = |op: &str, n: usize| Effect::Created { op_id: op.into(), item: None, post_id: oid(n) };
    // Any number may have no post yet.
    for operation in [create(&acme, "a"), create(&acme, "b"), create(&acme, "c"), create(&other, "d")] {
        apply(vec![Effect::Open(Box::new(operation))]).await.unwrap();
    }
    let ids = async || {
        let open = db.unsettled_creates(&acme).await.unwrap();
        open.into_iter().map(|o| (o.id, o.asked.content.unwrap(), o.asked.platforms)).collect::<Vec<_>>()
    };
    let row = |id: &str| (id.to_owned(), "digest".to_owned(), vec!["twitter-1".to_owned()]);
    assert_eq!(ids().await, [row("a"), row("b"), row("c")]);
    apply(vec![close("a", OpState::InDoubt)]).await.unwrap();
    apply(vec![created("b", 7), close("b", OpState::Succeeded)]).await.unwrap();
    assert_eq!(ids().await, [row("a"), row("c")]);
    assert_eq!(db.operation(&acme, "b").await.unwrap().unwrap().target, oid(7));
    // Another create's post is not this one's, and then nothing of the record is kept.
    let taken = apply(vec![created("a", 7), close("a", OpState::Applied)]).await;
    assert!(matches!(taken, Err(Unavailable::Store(Error::Taken))), "{taken:?}");
    assert_eq!(db.operation(&acme, "a").await.unwrap().unwrap().state, OpState::InDoubt);
    apply(vec![created("a", 8), close("a", OpState::Applied)]).await.unwrap();
    // Another workspace is another account.
    apply(vec![created("d", 7), close("d", OpState::Succeeded)]).await.unwrap();
    let posts: Vec<String> = (7..10).map(oid).collect();
    let mut known = db.created_by_others(&acme, &posts).await.unwrap();
    known.sort();
    assert_eq!(known, posts[..2]);
    assert!(db.created_by_others(&acme, &[]).await.unwrap().is_empty());
}

async fn made_since(db: Db) {
    let acme = populated(&db, 2).await;
    for tenant in [1, 2] {
        let at = |n: usize, created_at| Post {
            created_at,
            content: format!("Text {n}"),
            ..post(tenant, n, PostStatus::Draft)
        };
        let posts = [at(1, NOW - 1), at(2, NOW), at(3, NOW + 5)];
        db.mirror_posts(&acme, &oid(tenant), &posts, NOW, false, None, NOW).await.unwrap();
    }
    let since = async |at| db.posts_created_since(&acme, &oid(1), at).await.unwrap();
    let row = |n: usize| (oid(n), format!("Text {n}"));
    assert_eq!(since(NOW).await, [row(2), row(3)]);
    assert_eq!(since(0).await, [row(1), row(2), row(3)]);
    assert!(since(NOW + 6).await.is_empty());
    assert!(db.posts_created_since("other", &oid(1), 0).await.unwrap().is_empty());
}

/// Of what a job has deleted there are copies, and of each copy one post is made.
async fn made_of_a_backup(db: Db) {
    let (acme, other) = (populated(&db, 1).await, workspace(&db, "Other").await.id);
    let writer = Writer::start(db.clone(), Clock::default(), Default::default());
    let posts: Vec<_> = (0..3).map(|n| post(1, n, PostStatus::Scheduled)).collect();
    let (deletes, _) = plan(&db, &acme, &posts).await;
    let deleter = db.confirm_plan(&actor(), &deletes, &new_id(), "", None, NOW).await.unwrap().unwrap();
    let result = |state| ItemResult { state, code: None, message: None, granted_at: None };
    let mut effects = Vec::new();
    for (n, state) in [(0, ItemState::Succeeded), (1, ItemState::Failed), (2, ItemState::Succeeded)] {
        let sealed = format!("copy {n}").into_bytes();
        effects.push(Effect::Backup { job_id: deleter.clone(), n, sealed, at: NOW });
        effects.push(Effect::Item { job_id: deleter.clone(), n, result: result(state), at: NOW });
    }
    writer.record(vec![], effects).await.unwrap();
    let numbers = async |from, limit| {
        let found = db.backups_of_deleted(&acme, &deleter, from, limit).await.unwrap();
        found.into_iter().map(|b| (b.n, b.recreated)).collect::<Vec<_>>()
    };
    assert_eq!(numbers(0, 9).await, [(0, false), (2, false)], "what was not deleted is still there");
    assert_eq!((numbers(1, 9).await, numbers(0, 1).await), (vec![(2, false)], vec![(0, false)]));
    assert_eq!(db.count_recreatable(&deleter).await.unwrap(), 2);
    assert!(db.backups_of_deleted(&other, &deleter, 0, 9).await.unwrap().is_empty());
    let found = db.backup(&acme, &oid(1), &deleter, 2).await.unwrap().unwrap();
    assert_eq!(
        (found.post_id.as_str(), found.sealed.as_slice()),
        (posts[2].id.as_str(), b"copy 2".as_slice())
    );
    assert_eq!((found.status, found.scheduled_at), (PostStatus::Scheduled, posts[2].scheduled_at));
    for (ws, tenant, n) in [(&other, oid(1), 2), (&acme, oid(2), 2), (&acme, oid(1), 1)] {
        assert!(db.backup(ws, &tenant, &deleter, n).await.unwrap().is_none());
    }

    let (again, mut items) = plan(&db, &acme, &posts[2..]).await;
    items[0].backup = Some((deleter.clone(), 2));
    db.put_plan(&actor(), &again, &items).await.unwrap();
    assert_eq!(db.plan_items(&again.id, Show::All, 0, 9).await.unwrap(), items);
    let maker = db.confirm_plan(&actor(), &again, &new_id(), "", None, NOW).await.unwrap().unwrap();
    let item = async || db.job_items(&maker, None, 0, 9).await.unwrap().remove(0);
    assert_eq!((item().await.backup, item().await.created_id), (Some((deleter.clone(), 2)), None));
    let operation = Operation { item: Some((maker.clone(), 0)), ..create(&acme, "op") };
    writer.record(vec![], vec![Effect::Open(Box::new(operation))]).await.unwrap();
    let made = Effect::Created { op_id: "op".into(), item: Some((maker.clone(), 0)), post_id: oid(77) };
    let end = Effect::Item { job_id: maker.clone(), n: 0, result: result(ItemState::Succeeded), at: NOW };
    writer.record(vec![], vec![made, close("op", OpState::Succeeded), end]).await.unwrap();
    assert_eq!(item().await.created_id, Some(oid(77)));
    assert_eq!(numbers(0, 9).await, [(0, false), (2, true)]);
    assert_eq!(db.count_recreatable(&deleter).await.unwrap(), 1);
    assert!(db.backup(&acme, &oid(1), &deleter, 2).await.unwrap().unwrap().recreated);
}
