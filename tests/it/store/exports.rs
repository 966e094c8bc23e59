//! Exports in the background: their states, whose they are, and what takes their files away.

use super::{NOW, actor, held, populated, workspace};
use crate::support::databases::both_engines;
use gatehouse::{
    clock::DAY,
    domain::{
        audit::{Action, Draft, Export, ExportFormat, ExportState},
        ids::new_id,
    },
    store::{Db, Error, exports::FileMade, leases::Fence},
};

both_engines!(a_life, whose, withdrawn, bundles);

fn export(workspace_id: Option<&str>, admin_id: &str, n: i64) -> Export {
    Export {
        id: new_id(),
        workspace_id: workspace_id.map(str::to_owned),
        admin_id: admin_id.to_owned(),
        format: ExportFormat::Bundle,
        gzip: n % 2 == 0,
        filter: "action=post.&q=a%20b".into(),
        entries: 70_000 + n,
        state: ExportState::Queued,
        done: 0,
        bytes: None,
        sha256: None,
        failure: None,
        created_at: NOW + n,
        ended_at: None,
        expires_at: None,
    }
}

async fn store(db: &Db, export: &Export) {
    let entry = Draft::done(&actor(), Action::AuditExport).target("export", &export.id);
    db.create_export(export, &entry).await.unwrap();
}

fn ready() -> FileMade {
    FileMade::Ready { done: 70_003, bytes: 1 << 30, sha256: "ab".repeat(32), expires_at: NOW + DAY }
}

async fn a_life(db: Db) {
    let admin = super::first_admin(&db).await.id;
    let (ws, fence) = (populated(&db, 1).await, held(&db).await);
    let size = db.audit_head().await.unwrap().size;
    let made = export(Some(&ws), &admin, 2);
    store(&db, &made).await;
    assert_eq!(db.audit_head().await.unwrap().size, size + 1, "with its entry");
    assert_eq!(db.exports_under_way().await.unwrap(), std::slice::from_ref(&made));
    assert!(db.note_export(&fence, &made.id, 500).await.unwrap());
    let running = db.export(Some(&ws), &made.id).await.unwrap().unwrap();
    assert_eq!(running, Export { state: ExportState::Running, done: 500, ..made.clone() });
    assert_eq!(db.exports_under_way().await.unwrap(), [running], "also what somebody has begun");
    let stale = Fence { token: fence.token - 1, ..fence.clone() };
    assert!(matches!(db.note_export(&stale, &made.id, 1).await, Err(Error::Fenced)));
    assert!(matches!(db.end_export(&stale, &made.id, &ready(), NOW).await, Err(Error::Fenced)));
    assert!(db.end_export(&fence, &made.id, &ready(), NOW + 9).await.unwrap());
    let ended = Export {
        state: ExportState::Ready,
        done: 70_003,
        bytes: Some(1 << 30),
        sha256: Some("ab".repeat(32)),
        ended_at: Some(NOW + 9),
        expires_at: Some(NOW + DAY),
        ..made.clone()
    };
    assert_eq!(db.export(Some(&ws), &made.id).await.unwrap(), Some(ended.clone()));
    assert!(db.exports_under_way().await.unwrap().is_empty());
    assert!(!db.note_export(&fence, &made.id, 1).await.unwrap(), "it has ended");
    assert!(!db.end_export(&fence, &made.id, &FileMade::Failed("late".into()), NOW).await.unwrap());
    let files = async || db.exports_with_files(&[&made.id, "no-such-id"]).await.unwrap();
    db.expire_exports(0, NOW + DAY - 1).await.unwrap();
    assert_eq!(files().await, std::slice::from_ref(&made.id));
    db.expire_exports(0, NOW + DAY).await.unwrap();
    assert!(files().await.is_empty());
    let expired = Export { state: ExportState::Expired, ..ended };
    assert_eq!(db.export(Some(&ws), &made.id).await.unwrap(), Some(expired));
    // Another one fails before it has begun.
    let second = export(Some(&ws), &admin, 3);
    store(&db, &second).await;
    assert!(db.end_export(&fence, &second.id, &FileMade::Failed("no space".into()), NOW + 5).await.unwrap());
    let failed = Export {
        state: ExportState::Failed,
        failure: Some("no space".into()),
        ended_at: Some(NOW + 5),
        ..second
    };
    assert_eq!(db.exports(Some(&ws), 1).await.unwrap(), std::slice::from_ref(&failed), "the newest first");
    db.expire_exports(failed.created_at, NOW + DAY).await.unwrap();
    assert_eq!(db.exports(Some(&ws), 9).await.unwrap(), [failed], "the older one is forgotten");
}

async fn whose(db: Db) {
    let admin = super::first_admin(&db).await.id;
    let (one, two) = (workspace(&db, "One").await.id, workspace(&db, "Two").await.id);
    let exports: Vec<Export> =
        [Some(one.as_str()), Some(two.as_str()), None].map(|ws| export(ws, &admin, 1)).into();
    for export in &exports {
        store(&db, export).await;
    }
    for (n, of) in [Some(one.as_str()), Some(two.as_str()), None].into_iter().enumerate() {
        assert_eq!(db.exports(of, 10).await.unwrap(), [exports[n].clone()]);
        for (m, other) in exports.iter().enumerate() {
            assert_eq!(db.export(of, &other.id).await.unwrap().is_some(), n == m);
        }
    }
}

async fn withdrawn(db: Db) {
    let admin = super::first_admin(&db).await.id;
    let fence = held(&db).await;
    let exports: Vec<Export> = (0..3).map(|n| export(None, &admin, n)).collect();
    for export in &exports {
        store(&db, export).await;
    }
    assert!(db.note_export(&fence, &exports[1].id, 1).await.unwrap());
    assert!(db.note_export(&fence, &exports[2].id, 1).await.unwrap());
    assert!(db.end_export(&fence, &exports[2].id, &ready(), NOW).await.unwrap());
    db.withdraw_exports("personal data was erased", NOW + 7).await.unwrap();
    for (export, state) in
        exports.iter().zip([ExportState::Failed, ExportState::Failed, ExportState::Expired])
    {
        let now = db.export(None, &export.id).await.unwrap().unwrap();
        assert_eq!((now.state, now.failure.as_deref()), (state, Some("personal data was erased")));
        assert_eq!(now.filter, "", "it can be a name");
        assert!(!db.note_export(&fence, &export.id, 2).await.unwrap());
        assert!(!db.end_export(&fence, &export.id, &ready(), NOW).await.unwrap());
    }
}

async fn bundles(db: Db) {
    for (epoch, size) in [(1, 5), (1, 90), (2, 7), (1, 5), (1, 30)] {
        db.note_bundle(epoch, size, NOW).await.unwrap();
    }
    assert_eq!(db.bundle_sizes(1, 10).await.unwrap(), [90, 30, 5]);
    assert_eq!(db.bundle_sizes(1, 2).await.unwrap(), [90, 30]);
    assert_eq!(db.bundle_sizes(2, 2).await.unwrap(), [7]);
    assert!(db.bundle_sizes(3, 2).await.unwrap().is_empty());
}
