//! The audit log: dense numbers, linked chains, a root anybody can recompute, and pages by filter.

use super::{NOW, actor, raw};
use crate::support::databases::both_engines;
use gatehouse::{
    audit::{
        entry,
        tree::{Range, leaf_hash},
    },
    domain::audit::{Action, Actor, ActorType, Context, Draft, Entry, Outcome, UpstreamResult},
    store::{Db, audit::AuditFilter},
};
use serde_json::{Value, json};
use std::collections::HashMap;

both_engines!(
    dense_and_linked,
    order_within_a_transaction,
    filters,
    pages,
    details,
    by_name,
    time,
    frozen,
    rolled_back,
    hostile_text
);

fn draft(action: &str) -> Draft {
    Draft::new(&actor(), Action::parse(action).expect("an action"), Outcome::Succeeded)
}

async fn all(db: &Db) -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    loop {
        let after = all.last().map_or(-1, |e| e.seq);
        let page = db.audit_page(&AuditFilter::default(), None, Some(after), 50).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// Checks all that can be checked without the store: bytes, leaves, numbers, links and root.
pub async fn verify(db: &Db) -> usize {
    let entries = all(db).await;
    let mut range = Range::default();
    let mut chains: HashMap<(String, String), (i64, String)> = HashMap::new();
    for (n, stored) in entries.iter().enumerate() {
        let leaf = leaf_hash(&stored.bytes);
        assert_eq!((stored.seq, stored.leaf.as_slice()), (n as i64, leaf.as_slice()));
        let bytes: Value = serde_json::from_slice(&stored.bytes).unwrap();
        assert_eq!(bytes["seq"], json!(n));
        for (chain, tenant) in [("inWorkspace", None), ("inTenant", stored.tenant_id.clone())] {
            if stored.workspace_id.is_none() || chain == "inTenant" && tenant.is_none() {
                assert_eq!(bytes[chain], Value::Null);
                continue;
            }
            let key = (stored.workspace_id.clone().unwrap(), tenant.unwrap_or_default());
            let last = chains.get(&key);
            assert_eq!(bytes[chain]["seq"], json!(last.map_or(0, |(seq, _)| seq + 1)), "{key:?}");
            assert_eq!(bytes[chain]["previous"], json!(last.map(|(_, leaf)| leaf)), "{key:?}");
            let seq = last.map_or(0, |(seq, _)| seq + 1);
            chains.insert(key, (seq, hex::encode(leaf)));
        }
        for detail in &stored.details {
            assert_eq!(bytes["commitments"][&detail.part], json!(entry::commitment(detail)));
        }
        assert_eq!(bytes["commitments"].as_object().unwrap().len(), stored.details.len());
        range.push(leaf);
    }
    let head = db.audit_head().await.unwrap();
    assert_eq!((head.size, head.root), (entries.len() as i64, range.root()));
    entries.len()
}

async fn dense_and_linked(db: Db) {
    assert_eq!(db.audit_head().await.unwrap().size, 0);
    assert_eq!(verify(&db).await, 0);
    let workers = (0..8).map(|w: usize| {
        let db = db.clone();
        tokio::spawn(async move {
            for n in 0..25 {
                let tenant = format!("tenant-{}", n % 3);
                let plain = draft("post.create").target("post", "p");
                let in_workspace = draft("post.delete").workspace(&format!("w{}", w % 2));
                let in_tenant = in_workspace.clone().tenant(Some(&tenant));
                let drafts: &[&Draft] = match n % 4 {
                    0 => &[&plain],
                    1 => &[&in_workspace],
                    2 => &[&in_tenant],
                    _ => &[&in_tenant, &plain, &in_tenant, &in_workspace],
                };
                db.append(NOW + n, drafts).await.unwrap();
            }
        })
    });
    for worker in futures_util::future::join_all(workers).await {
        worker.unwrap();
    }
    assert_eq!(verify(&db).await, 8 * (25 + 6 * 3));
}

async fn order_within_a_transaction(db: Db) {
    let mut tx = db.begin().await.unwrap();
    assert_eq!(tx.append(NOW, &[&draft("key.create"), &draft("key.update")]).await.unwrap(), 0);
    assert_eq!(tx.append(NOW, &[&draft("key.revoke")]).await.unwrap(), 2);
    assert_eq!(tx.append(NOW, &[]).await.unwrap(), 3);
    tx.commit().await.unwrap();
    let actions: Vec<_> = all(&db).await.into_iter().map(|e| e.action).collect();
    assert_eq!(actions, ["key.create", "key.update", "key.revoke"]);
    verify(&db).await;
}

async fn filters(db: Db) {
    let key = Actor::new(ActorType::Key, "key-7", "CI bot");
    let mut upstream = Draft::new(&key, Action::parse("post.delete").unwrap(), Outcome::Refused)
        .workspace("w1")
        .tenant(Some("t1"));
    upstream.upstream = Some(UpstreamResult { status: Some(409), latency_ms: 12, code: Some("busy".into()) });
    upstream.op_id = Some("op-1".into());
    upstream.job_id = Some("job-1".into());
    let drafts = [
        draft("post.delete").workspace("w1").tenant(Some("t1")).target("post", "p1").target("post", "p2"),
        upstream.target("post", "p2"),
        draft("post.update").workspace("w1").tenant(Some("t2")),
        draft("plan.create").workspace("w2").tenant(Some("t1")),
        draft("admin.login"),
    ];
    for (n, draft) in drafts.iter().enumerate() {
        db.append(NOW + n as i64, &[draft]).await.unwrap();
    }
    let any = AuditFilter::default;
    let of = async |filter: AuditFilter| {
        let found = db.audit_page(&filter, None, None, 100).await.unwrap();
        assert_eq!(db.audit_count(&filter).await.unwrap(), found.len() as i64);
        found.into_iter().map(|e| e.seq).collect::<Vec<_>>()
    };
    let text = |t: &str| Some(t.to_owned());
    assert_eq!(of(any()).await, [4, 3, 2, 1, 0]);
    assert_eq!(of(AuditFilter { workspace_id: text("w1"), ..any() }).await, [2, 1, 0]);
    assert_eq!(of(AuditFilter { workspace_id: text("w1"), tenant_id: text("t1"), ..any() }).await, [1, 0]);
    assert_eq!(of(AuditFilter { action: text("post.delete"), ..any() }).await, [1, 0]);
    assert_eq!(of(AuditFilter { action: text("post."), ..any() }).await, [2, 1, 0]);
    assert_eq!(of(AuditFilter { action: text("post"), ..any() }).await, [0; 0]);
    assert_eq!(of(AuditFilter { outcome: Some(Outcome::Refused), ..any() }).await, [1]);
    assert_eq!(of(AuditFilter { from: Some(NOW + 1), to: Some(NOW + 3), ..any() }).await, [2, 1]);
    assert_eq!(of(AuditFilter { op_id: text("op-1"), ..any() }).await, [1]);
    assert_eq!(of(AuditFilter { job_id: text("job-1"), ..any() }).await, [1]);
    assert_eq!(of(AuditFilter { target: text("p1"), ..any() }).await, [0]);
    assert_eq!(of(AuditFilter { target: text("p2"), ..any() }).await, [1, 0]);
    assert_eq!(of(AuditFilter { actor: text("key-7"), ..any() }).await, [1]);
    assert_eq!(of(AuditFilter { actor: text("q\0q"), ..any() }).await, [0; 0]);

    let stored = db.audit_entry(Some("w1"), 1).await.unwrap().unwrap();
    assert_eq!(
        (stored.actor_type, stored.actor_id.as_str(), stored.outcome),
        (ActorType::Key, "key-7", Outcome::Refused)
    );
    assert_eq!(
        (stored.op_id.as_deref(), stored.job_id.as_deref(), stored.at),
        (Some("op-1"), Some("job-1"), NOW + 1)
    );
    let bytes: Value = serde_json::from_slice(&stored.bytes).unwrap();
    assert_eq!(bytes["upstream"], json!({ "status": 409, "latencyMs": 12, "code": "busy" }));
    assert!(db.audit_entry(Some("w2"), 1).await.unwrap().is_none());
    assert!(db.audit_entry(Some("w1"), 4).await.unwrap().is_none());
    assert_eq!(db.audit_entry(None, 4).await.unwrap().unwrap().action, "admin.login");
    assert!(db.audit_entry(None, 5).await.unwrap().is_none());
    verify(&db).await;
}

async fn pages(db: Db) {
    let drafts: Vec<Draft> = (0..20).map(|n| draft("post.delete").workspace(["w1", "w2"][n % 2])).collect();
    db.append(NOW, &drafts.iter().collect::<Vec<_>>()).await.unwrap();
    let filter = AuditFilter { workspace_id: Some("w1".into()), ..Default::default() };
    let page = async |before, after, limit| {
        db.audit_page(&filter, before, after, limit)
            .await
            .unwrap()
            .into_iter()
            .map(|e| e.seq)
            .collect::<Vec<_>>()
    };
    assert_eq!(page(None, None, 3).await, [18, 16, 14]);
    assert_eq!(page(Some(14), None, 3).await, [12, 10, 8]);
    assert_eq!(page(None, Some(8), 3).await, [10, 12, 14], "oldest first, next to the given one");
    assert_eq!(page(Some(14), Some(8), 9).await, [10, 12]);
    assert_eq!(page(Some(0), None, 3).await, [0; 0]);
}

async fn details(db: Db) {
    let mut full = draft("tenant.freeze").workspace("w").reason("tidy").was("name", "a").set("name", "b");
    full.actor.context.client = Some("cli".into());
    let bare = Draft::new(
        &Actor::anonymous(Context::default()),
        Action::parse("admin.login").unwrap(),
        Outcome::Denied,
    );
    db.append(NOW, &[&full, &bare]).await.unwrap();
    let entries = all(&db).await;
    let parts: Vec<_> = entries[0].details.iter().map(|d| (d.part.as_str(), d.body.as_str())).collect();
    let context = r#"{"client":"cli","ip":"203.0.113.7","requestId":"r-1","userAgent":"Browser"}"#;
    let expected = [
        ("change", r#"{"after":{"name":"b"},"before":{"name":"a"}}"#),
        ("context", context),
        ("names", r#"{"actor":"Ann Example"}"#),
        ("reason", r#""tidy""#),
    ];
    assert_eq!(parts, expected);
    assert_eq!(entries[1].details, []);
    let salts: std::collections::HashSet<_> = entries[0].details.iter().map(|d| d.salt.clone()).collect();
    assert_eq!(salts.len(), 4, "equal texts must not be seen to be equal");
    let bytes = String::from_utf8(entries[0].bytes.clone()).unwrap();
    assert!(!bytes.contains("Ann") && !bytes.contains("tidy") && !bytes.contains("203.0.113.7"));
    verify(&db).await;
}

/// By the name as it was then: any part of it, and nothing but the name.
async fn by_name(db: Db) {
    for name in ["Ann \"The Boss\" Ölgärt", "Bob", "act_or"] {
        let actor = Actor::new(ActorType::Admin, name.len().to_string(), name);
        db.append(NOW, &[&Draft::new(&actor, Action::parse("post.delete").unwrap(), Outcome::Succeeded)])
            .await
            .unwrap();
    }
    let of = async |name: &str| {
        let filter = AuditFilter { actor: Some(name.into()), ..Default::default() };
        let found = db.audit_page(&filter, None, None, 10).await.unwrap();
        assert_eq!(db.audit_count(&filter).await.unwrap(), found.len() as i64);
        found.into_iter().map(|e| e.seq).collect::<Vec<_>>()
    };
    assert_eq!(of("ann").await, [0]);
    assert_eq!(of("\"the boss\"").await, [0]);
    assert_eq!(of("Ölgärt").await, [0]);
    assert_eq!(of("bob").await, [1]);
    assert_eq!(of("act").await, [2]);
    assert_eq!(of("t_o").await, [2]);
    assert_eq!(of("actor").await, [0; 0]);
    assert_eq!(of("{").await, [0; 0]);
}

async fn time(db: Db) {
    db.append(NOW, &[&draft("post.delete")]).await.unwrap();
    db.append(NOW - 1_000, &[&draft("post.delete")]).await.unwrap();
    db.append(NOW + 1, &[&draft("post.delete")]).await.unwrap();
    let times: Vec<_> = all(&db).await.into_iter().map(|e| e.at).collect();
    assert_eq!(times, [NOW, NOW, NOW + 1], "a clock set back does not set the log back");
    assert_eq!(db.audit_head().await.unwrap().at, NOW + 1);
}

async fn frozen(db: Db) {
    db.append(NOW, &[&draft("post.delete")]).await.unwrap();
    let changes = [
        "UPDATE audit_entries SET action = 'c.d'",
        "DELETE FROM audit_entries",
        "UPDATE audit_entries SET at = at WHERE seq = 0",
        "DELETE FROM audit_entries WHERE seq = 0",
    ];
    for change in changes {
        let refused = raw(&db, change).await.unwrap_err().to_string();
        assert!(refused.contains("audit entries are never"), "{change}: {refused}");
    }
    assert_eq!(verify(&db).await, 1);
}

/// Dropped is undone, also for the next one's numbers.
async fn rolled_back(db: Db) {
    let mut tx = db.begin().await.unwrap();
    tx.append(NOW, &[&draft("post.delete").workspace("w")]).await.unwrap();
    drop(tx);
    assert_eq!(verify(&db).await, 0);
    assert_eq!(db.append(NOW, &[&draft("post.delete").workspace("w")]).await.unwrap(), 0);
    assert_eq!(verify(&db).await, 1);
}

/// Nothing a caller sends may keep an entry from being written.
async fn hostile_text(db: Db) {
    let mut actor = Actor::new(ActorType::Key, "k", "nul\0 \u{202e}\u{10ffff}");
    actor.context.user_agent = Some("'; DROP TABLE audit_entries; --\0".into());
    let draft = Draft::new(&actor, Action::parse("post.delete").unwrap(), Outcome::Denied)
        .reason("\0")
        .set("name", "a\0b")
        .target("post", "p");
    db.append(NOW, &[&draft]).await.unwrap();
    let stored = db.audit_entry(None, 0).await.unwrap().unwrap();
    assert_eq!(stored.detail("reason"), Some(r#""\u0000""#));
    verify(&db).await;
}
