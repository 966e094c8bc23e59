//! Entries in bulk: the same as one by one, whatever the scope, the filter and the text.

use super::{NOW, actor};
use crate::support::databases::both_engines;
use futures_util::TryStreamExt;
use gatehouse::{
    clock::HOUR,
    domain::audit::{Action, Actor, ActorType, Draft, ExportFormat, Outcome},
    exports::{self, Cut},
    store::{
        Db,
        audit::AuditFilter,
        audit_batches::{Batch, Scope},
    },
};
use std::sync::Arc;

both_engines!(scopes, filters, resumed, reads, parts_of_the_log_are_missing);

/// Entries of two workspaces, three tenants and the instance, in turn; every third with a change and a reason.
async fn fill(db: &Db, count: usize) {
    let drafts: Vec<Draft> = (0..count)
        .map(|n| {
            let mut draft = Draft::new(&actor(), Action::PostDelete, Outcome::Succeeded);
            if n % 5 > 0 {
                draft = draft.workspace(["w1", "w2"][n % 2]);
            }
            if n % 5 > 1 {
                draft = draft.tenant(Some(["t1", "t2", "t3"][n % 3]));
            }
            if n % 3 == 0 {
                draft = draft.set("text", "a\u{0}b \"ü\"\n, =1+1").reason("line\nbreak");
            }
            draft
        })
        .collect();
    for drafts in drafts.chunks(300) {
        db.append(NOW, &drafts.iter().collect::<Vec<_>>()).await.unwrap();
    }
}

type Plain = (i64, Vec<u8>, Vec<u8>, Vec<(String, Vec<u8>, String)>);

fn plain(batch: &Batch) -> Vec<Plain> {
    let one = |e: gatehouse::store::audit_batches::StoredEntry<'_>| {
        let details =
            e.details.iter().map(|d| (d.part.to_owned(), d.salt.to_vec(), d.body.to_owned())).collect();
        (e.seq, e.bytes.to_vec(), e.leaf.to_vec(), details)
    };
    batch.iter().map(one).collect()
}

/// What matches, read one page of the list at a time.
async fn expected(db: &Db, filter: &AuditFilter, after: i64, until: i64) -> Vec<Plain> {
    let (mut all, mut after): (Vec<Plain>, i64) = (Vec::new(), after);
    loop {
        let page = db.audit_page(filter, Some(until), Some(after), 100).await.unwrap();
        let Some(last) = page.last() else { return all };
        after = last.seq;
        all.extend(page.into_iter().map(|e| {
            let details = e.details.into_iter().map(|d| (d.part, d.salt, d.body)).collect();
            (e.seq, e.bytes, e.leaf, details)
        }));
    }
}

async fn scopes(db: Db) {
    let text = str::to_owned;
    assert_eq!(db.audit_scope_len(&Scope::Log, i64::MAX).await.unwrap(), 0);
    assert_eq!(db.audit_scope_len(&Scope::Workspace(text("w1")), 9).await.unwrap(), 0);
    assert!(db.audit_scope_batch(&Scope::Log, 0..10).await.unwrap().is_empty());
    fill(&db, 1_234).await;
    for scope in [
        Scope::Log,
        Scope::Workspace(text("w1")),
        Scope::Workspace(text("w2")),
        Scope::Tenant(text("w1"), text("t2")),
        Scope::Tenant(text("w2"), text("t2")),
        Scope::Workspace(text("nobody's")),
    ] {
        let (workspace_id, tenant_id) = match scope.clone() {
            Scope::Log => (None, None),
            Scope::Workspace(workspace) => (Some(workspace), None),
            Scope::Tenant(workspace, tenant) => (Some(workspace), Some(tenant)),
        };
        let filter = AuditFilter { workspace_id, tenant_id, ..Default::default() };
        assert_eq!(filter.scope(), Some(scope.clone()));
        let all = expected(&db, &filter, -1, 1_234).await;
        for below in [0, 1, 7, 8, 9, 617, 1_233, 1_234, 9_999] {
            let count = all.iter().filter(|e| e.0 < below).count() as i64;
            assert_eq!(db.audit_scope_len(&scope, below).await.unwrap(), count, "{scope:?} below {below}");
            assert_eq!(db.audit_matches(&filter, -1, below).await.unwrap(), count);
        }
        let read = db.audit_scope_batch(&scope, 0..2_000).await.unwrap();
        assert_eq!(plain(&read), all);
        assert_eq!((read.len(), read.last()), (all.len(), all.last().map(|e| e.0)));
        let some = db.audit_scope_batch(&scope, 3..11).await.unwrap();
        assert_eq!(plain(&some), all.iter().skip(3).take(8).cloned().collect::<Vec<_>>());
        let cut = Cut { filter, after: -1, until: 1_234 };
        let streamed: Vec<Batch> =
            exports::batches(db.clone(), cut, Arc::default()).try_collect().await.unwrap();
        assert_eq!(streamed.iter().flat_map(plain).collect::<Vec<_>>(), all);
    }
}

async fn filters(db: Db) {
    fill(&db, 1_300).await;
    let other = Actor::new(ActorType::Key, "rare", "Rare");
    db.append(NOW, &[&Draft::new(&other, Action::KeyCreate, Outcome::Denied).workspace("w1")]).await.unwrap();
    let any = AuditFilter::default;
    for filter in [
        AuditFilter { action: Some("post.".into()), ..any() },
        AuditFilter { actor: Some("rare".into()), ..any() },
        AuditFilter { outcome: Some(Outcome::Denied), workspace_id: Some("w1".into()), ..any() },
        AuditFilter { outcome: Some(Outcome::Refused), ..any() },
        AuditFilter { tenant_id: Some("t1".into()), ..any() },
    ] {
        assert_eq!(filter.scope(), None);
        for (after, until) in [(-1, 1_301), (700, 1_301), (-1, 3), (4, 4)] {
            let all = expected(&db, &filter, after, until).await;
            assert_eq!(db.audit_matches(&filter, after, until).await.unwrap(), all.len() as i64);
            let cut = Cut { filter: filter.clone(), after, until };
            let streamed: Vec<Batch> =
                exports::batches(db.clone(), cut, Arc::default()).try_collect().await.unwrap();
            assert_eq!(streamed.iter().flat_map(plain).collect::<Vec<_>>(), all, "{filter:?}");
        }
        let (batch, looked) = db.audit_batch(&filter, -1, 1_301, 10).await.unwrap();
        assert_eq!(looked, if batch.len() == 10 { batch.last().unwrap() } else { 1_300 });
    }
}

/// Cut anywhere and resumed, a file is what it would have been.
async fn resumed(db: Db) {
    fill(&db, 1_100).await;
    for (filter, format) in [
        (AuditFilter::default(), ExportFormat::Ndjson),
        (AuditFilter::default(), ExportFormat::Csv),
        (AuditFilter { workspace_id: Some("w2".into()), ..Default::default() }, ExportFormat::Ndjson),
        (AuditFilter { action: Some("post.".into()), ..Default::default() }, ExportFormat::Csv),
    ] {
        let file = async |after| {
            let cut = Cut { filter: filter.clone(), after, until: 1_100 };
            let chunks: Vec<bytes::Bytes> =
                exports::chunks(db.clone(), cut, format, Arc::default()).try_collect().await.unwrap();
            String::from_utf8(chunks.concat()).unwrap()
        };
        let whole = file(-1).await;
        for after in [0, 498, 499, 500, 777, 1_098, 1_099] {
            // Line breaks within a quoted field of CSV are not ends of lines; none of ours stands in NDJSON.
            let seq_of = |line: &str| -> Option<i64> {
                match format {
                    ExportFormat::Csv => line.strip_prefix('"')?.split('"').next()?.parse().ok(),
                    _ => serde_json::from_str::<serde_json::Value>(line).unwrap()["entry"]["seq"].as_i64(),
                }
            };
            let kept: String = whole
                .split_inclusive('\n')
                .scan(false, |ended, line| {
                    *ended = *ended || seq_of(line).is_some_and(|seq| seq > after);
                    (!*ended).then_some(line)
                })
                .collect();
            assert_eq!(format!("{kept}{}", file(after).await), whole, "{filter:?} {format} after {after}");
        }
    }
}

/// One entry a while, whoever asks how often.
async fn reads(db: Db) {
    let workspace = super::populated(&db, 1).await;
    let key = super::keys::key(&workspace, 2);
    assert!(db.create_key(&actor(), &key, &[2; 32], "pepper-1").await.unwrap());
    let entry = Draft::done(&actor(), Action::AuditRead).workspace(&workspace);
    let filter = AuditFilter { action: Some("audit.read".into()), ..Default::default() };
    for (at, entries) in [(0, 1), (1, 1), (HOUR - 1, 1), (HOUR, 2), (HOUR + 1, 2), (5 * HOUR, 3)] {
        let now = NOW + at;
        let asked = (0..4).map(|_| db.note_audit_read(&key.id, now - HOUR, now, &entry));
        for result in futures_util::future::join_all(asked).await {
            result.unwrap();
        }
        assert_eq!(db.audit_matches(&filter, -1, i64::MAX).await.unwrap(), entries, "{at}");
    }
}

/// What somebody has taken out with a trigger out of the way is for a verifier to say: everything else is still exported.
async fn parts_of_the_log_are_missing(db: Db) {
    fill(&db, 200).await;
    let drop = if db.is_embedded() {
        "DROP TRIGGER audit_entries_no_delete"
    } else {
        "ALTER TABLE audit_entries DISABLE TRIGGER USER"
    };
    super::raw(&db, drop).await.unwrap();
    super::raw(&db, "DELETE FROM audit_details WHERE seq IN (6, 7, 100)").await.unwrap();
    super::raw(&db, "DELETE FROM audit_entries WHERE seq IN (7, 100)").await.unwrap();
    let scope = Scope::Workspace("w2".into());
    let w2 = AuditFilter { workspace_id: Some("w2".into()), ..Default::default() };
    let left = expected(&db, &w2, -1, 200).await;
    for filter in [AuditFilter::default(), w2] {
        let all = expected(&db, &filter, -1, 200).await;
        let cut = Cut { filter, after: -1, until: 200 };
        let streamed: Vec<Batch> =
            exports::batches(db.clone(), cut, Arc::default()).try_collect().await.unwrap();
        assert_eq!(streamed.iter().flat_map(plain).collect::<Vec<_>>(), all);
    }
    let below = left.iter().filter(|e| e.0 < 150).count() as i64;
    assert!(db.audit_scope_len(&scope, 150).await.unwrap() >= below);
}
