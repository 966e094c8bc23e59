//! The file that tells an older copy of the database: lost, spoilt, of another log, and on a volume that cannot be written.

use super::{SOON, signed_in, sql};
use crate::{
    support::databases::{Engine, gateway_on_both_engines},
    testapp::TestApp,
};
use gatehouse::{
    audit::note::SigningKey,
    store::{Db, Error},
};
use reqwest::Method;
use serde_json::json;
use std::fs;

gateway_on_both_engines!(lost_spoilt_and_foreign, a_volume_that_cannot_be_written);

async fn lost_spoilt_and_foreign(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    let signed = app.app().audit_log.checkpoint_now(i64::MAX).await.unwrap();
    let path = app.config.audit_head.clone();
    // Without it the database's own checkpoints are all there is, and it is made anew.
    for spoilt in [
        None,
        Some(&b""[..]),
        Some(b"not a note"),
        Some(&[0xff, 0xfe, 0]),
        Some(&signed.note.as_bytes()[..40]),
    ] {
        app.running.take().unwrap().stop().await;
        match spoilt {
            None => fs::remove_file(&path).unwrap(),
            Some(bytes) => fs::write(&path, bytes).unwrap(),
        }
        app.restart_stopped().await;
        let log = &app.app().audit_log;
        assert_eq!(log.status().fork, None, "{spoilt:?}");
        let now = log.checkpoint_now(i64::MAX).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), now.note, "{spoilt:?}");
    }
    // An earlier one of this log agrees with it.
    app.running.take().unwrap().stop().await;
    fs::write(&path, &signed.note).unwrap();
    app.restart_stopped().await;
    assert_eq!(app.app().audit_log.status().fork, None);

    // One that says something else than the entries does not, whether by this log's key or another's.
    let log_id = app.app().audit_log.public().log_id().to_owned();
    app.running.take().unwrap().stop().await;
    let own: [u8; 32] = hex::decode(fs::read_to_string(app.config.data.join("audit.key")).unwrap())
        .unwrap()
        .try_into()
        .unwrap();
    let mut checkpoint = signed.checkpoint.clone();
    checkpoint.root = [7; 32];
    let text = checkpoint.to_string();
    for (key, says) in [
        (SigningKey::from_seed(&log_id, &own).unwrap(), "are not those that were signed"),
        (SigningKey::from_seed(&log_id, &[1; 32]).unwrap(), "is of another log"),
        (SigningKey::from_seed("other", &own).unwrap(), "is of another log"),
    ] {
        let right = fs::read(&path).unwrap();
        fs::write(&path, key.sign(&text)).unwrap();
        app.restart_stopped().await;
        let fork = app.app().audit_log.status().fork.expect(says).reason;
        assert!(fork.contains(says), "{fork}");
        app.running.take().unwrap().stop().await;
        let db = Db::connect(&app.config.database_url).await.unwrap();
        sql(&db, "UPDATE audit_head SET fork = NULL, fork_note = NULL").await;
        db.close().await;
        fs::write(&path, right).unwrap();
    }
    app.restart_stopped().await;
    assert_eq!(app.app().audit_log.status().fork, None);
}

/// Nothing is signed that the guard does not have. Changes go on: the older guard still holds for what it says.
async fn a_volume_that_cannot_be_written(engine: Engine) {
    let app = TestApp::spawn_with(engine, |config| {
        let volume = config.data.with_file_name("volume");
        fs::create_dir(&volume).unwrap();
        config.tuning.checkpoint = SOON;
        config.audit_head = volume.join("audit.head");
        config.audit_anchor_file = Some(volume.join("anchors"));
    })
    .await;
    let ann = app.tenant("ann").await;
    let posts = app.posts(&ann.id, vec![json!({ "status": "draft" }), json!({ "status": "draft" })]).await;
    let log = app.app().audit_log.clone();
    let before = log.checkpoint_now(i64::MAX).await.unwrap();
    let volume = app.config.audit_head.parent().unwrap().to_owned();
    let away = volume.with_file_name("away");
    fs::rename(&volume, &away).unwrap();
    let deleted = app.api(Method::DELETE, &format!("/api/v1/delete-post/{}", posts[0]), &ann.key, None).await;
    assert_eq!(deleted.status, 200, "{}", deleted.text);
    let refused = log.checkpoint_now(i64::MAX).await;
    assert!(matches!(&refused, Err(Error::NoSpace(text)) if text.contains("audit.head")), "{refused:?}");
    app.until("it is said", || async { log.status().failing.is_some_and(|why| why.contains("audit.head")) })
        .await;
    assert!(app.app().metrics.encode().contains(r#"gatehouse_audit_checkpoints_total{result="failed"}"#));
    let last = app.app().db.last_checkpoint().await.unwrap().unwrap();
    assert!(
        last.size < app.app().db.audit_head().await.unwrap().size,
        "nothing is signed that the guard lacks"
    );

    fs::rename(&away, &volume).unwrap();
    let size = app.app().db.audit_head().await.unwrap().size;
    app.until("it signs again", || async {
        let status = log.status();
        status.failing.is_none() && status.signed.is_some_and(|signed| signed.checkpoint.size as i64 >= size)
    })
    .await;
    let told = || signed_in(app.config.audit_anchor_file.as_ref().unwrap(), log.public());
    app.until("it is told", || async { told().last().unwrap().size as i64 >= size }).await;
    assert!(told().iter().any(|checkpoint| *checkpoint == before.checkpoint));
}
