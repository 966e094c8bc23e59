//! Idempotency keys: one claim, one answer, and what is left of an attempt that ended without one.

use super::{NOW, populated};
use crate::support::databases::both_engines;
use gatehouse::{
    audit::{Unavailable, Writer},
    clock::{Clock, DAY},
    store::{
        Db, Error,
        idempotency::{Claim, Standing},
        leases::node_lease,
        operations::Effect,
    },
};

both_engines!(one_claim_one_answer, what_a_dead_attempt_leaves, fifty_claims_one_first);

const STALE: i64 = NOW - 1_000;

fn claim(workspace_id: &str, id: &str) -> Claim {
    let (workspace_id, id) = (workspace_id.to_owned(), id.to_owned());
    Claim { workspace_id, tenant_id: "t".into(), key: "k".into(), id }
}

async fn stand(db: &Db, claim: &Claim, fingerprint: &[u8]) -> Standing {
    db.claim_idempotency_key(claim, fingerprint, "node-1", NOW, STALE).await.unwrap()
}

async fn apply(db: &Db, effect: Effect) -> Result<(), Unavailable> {
    Writer::start(db.clone(), Clock::default(), Default::default()).record(vec![], vec![effect]).await
}

fn unanswered(claim: &Claim, op_id: Option<&str>, alive: bool) -> Standing {
    Standing::Unanswered { claim: claim.id.clone(), op_id: op_id.map(str::to_owned), alive }
}

async fn one_claim_one_answer(db: Db) {
    let acme = populated(&db, 1).await;
    db.take_lease(&node_lease("node-1"), "node-1", NOW, NOW + 10).await.unwrap();
    let (first, second) = (claim(&acme, "a"), claim(&acme, "b"));
    assert_eq!(stand(&db, &first, b"x").await, Standing::First);
    assert_eq!(stand(&db, &second, b"x").await, unanswered(&first, None, true));
    assert_eq!(stand(&db, &second, b"y").await, Standing::Mismatch);
    let other_tenant = Claim { tenant_id: "u".into(), ..second.clone() };
    assert_eq!(stand(&db, &other_tenant, b"y").await, Standing::First);

    apply(&db, Effect::Claim { claim: first.clone(), op_id: "op-1".into() }).await.unwrap();
    assert_eq!(stand(&db, &second, b"x").await, unanswered(&first, Some("op-1"), true));
    apply(&db, Effect::Answered { claim: first.clone(), status: 200, answer: vec![7] }).await.unwrap();
    let answered = Standing::Answered { status: 200, answer: vec![7] };
    assert_eq!(stand(&db, &second, b"x").await, answered);
    db.answer_claim(&first, 500, &[8]).await.unwrap();
    db.release_claim(&first).await.unwrap();
    assert_eq!(stand(&db, &second, b"x").await, answered, "the first answer stands");

    db.sweep_idempotency_keys(NOW).await.unwrap();
    assert_eq!(stand(&db, &second, b"x").await, answered);
    db.sweep_idempotency_keys(NOW + DAY).await.unwrap();
    assert_eq!(stand(&db, &second, b"x").await, Standing::First);
    db.release_claim(&first).await.unwrap();
    assert_eq!(stand(&db, &first, b"x").await, unanswered(&second, None, true), "not theirs to give up");
    db.release_claim(&second).await.unwrap();
    assert_eq!(stand(&db, &first, b"z").await, Standing::First);
}

async fn what_a_dead_attempt_leaves(db: Db) {
    let acme = populated(&db, 1).await;
    let (first, second) = (claim(&acme, "a"), claim(&acme, "b"));
    // Its process has never been heard of.
    assert_eq!(stand(&db, &first, b"x").await, Standing::First);
    assert_eq!(stand(&db, &second, b"x").await, unanswered(&first, None, false));
    // Seen before its intent; but that is stored meanwhile, and so it is not left any more.
    apply(&db, Effect::Claim { claim: first.clone(), op_id: "op-0".into() }).await.unwrap();
    assert!(!db.take_over_claim(&second, "a", None, "node-2", NOW).await.unwrap());
    assert!(db.take_over_claim(&second, "a", Some("op-0"), "node-2", NOW).await.unwrap());
    assert!(db.take_over_claim(&first, "b", None, "node-1", NOW).await.unwrap());
    assert!(db.take_over_claim(&second, "a", None, "node-2", NOW).await.unwrap());
    assert!(!db.take_over_claim(&claim(&acme, "c"), "a", None, "node-3", NOW).await.unwrap());
    // It was only standing still, and must not act any more.
    let late = apply(&db, Effect::Claim { claim: first.clone(), op_id: "op-1".into() }).await;
    assert!(matches!(late, Err(Unavailable::Store(Error::Fenced))), "{late:?}");
    apply(&db, Effect::Answered { claim: first, status: 200, answer: vec![1] }).await.unwrap();
    assert_eq!(stand(&db, &claim(&acme, "c"), b"x").await, unanswered(&second, None, false));
    // A process that lives, but has had more time than a call can take.
    db.take_lease(&node_lease("node-2"), "node-2", NOW, NOW + 10).await.unwrap();
    let stale =
        async |stale| db.claim_idempotency_key(&claim(&acme, "c"), b"x", "node-1", NOW, stale).await.unwrap();
    assert_eq!(stale(NOW).await, unanswered(&second, None, true));
    assert_eq!(stale(NOW + 1).await, unanswered(&second, None, false));
    db.answer_claim(&second, 404, &[9]).await.unwrap();
    assert_eq!(stale(NOW + 1).await, Standing::Answered { status: 404, answer: vec![9] });
}

async fn fifty_claims_one_first(db: Db) {
    let acme = populated(&db, 1).await;
    let tries = (0..50).map(|n| {
        let (db, claim) = (db.clone(), claim(&acme, &format!("c{n}")));
        tokio::spawn(async move { stand(&db, &claim, b"x").await })
    });
    let all = futures_util::future::join_all(tries).await;
    assert_eq!(all.into_iter().filter(|s| *s.as_ref().unwrap() == Standing::First).count(), 1);
}
