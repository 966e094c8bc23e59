//! Which creates have made which posts.

use super::{MirrorPosts, NOW, actor, oid, populated, post, workspace};
use crate::support::databases::both_engines;
use gatehouse::{
    audit::{Unavailable, Writer},
    clock::Clock,
    domain::{
        operations::{Asked, OpState, Operation, Verb},
        posts::{Post, PostStatus},
    },
    store::{Db, Error, operations::Effect},
};

both_engines!(one_post_of_one_create, made_since);

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
    let created = |op: &str, n: usize| Effect::Created { op_id: op.into(), post_id: oid(n) };
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
