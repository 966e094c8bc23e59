//! Two replicas that sign at once: whatever either has signed is in the one log.

use super::SOON;
use crate::testapp::TestApp;
use gatehouse::{
    audit::proof::verify_consistency,
    clock::{HOUR, MINUTE},
    domain::audit::{Action, Actor, Draft, Outcome},
};
use std::fs;

#[test]
fn two_that_sign_at_once() {
    crate::support::databases::gateway_on_postgres(async |engine| {
        let app = TestApp::spawn_with(engine, |config| config.tuning.checkpoint = SOON).await;
        let other = app.replica().await;
        let both = [app.app().clone(), other.app.clone()];
        assert_eq!(both[0].audit_log.public(), both[1].audit_log.public());
        let writers = both.clone().map(|app| {
            tokio::spawn(async move {
                let mut signed = Vec::new();
                for n in 0..40 {
                    let draft = Draft::new(&Actor::system("test"), Action::PostDelete, Outcome::Succeeded);
                    app.audit.record(vec![draft.clone(), draft], vec![]).await.unwrap();
                    if n % 2 == 0 {
                        match app.audit_log.checkpoint_now(i64::MAX).await {
                            Ok(now) => signed.push(now),
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
                signed
            })
        });
        let mut signed = Vec::new();
        for writer in writers {
            signed.extend(writer.await.unwrap());
        }
        let last = app.app().audit_log.checkpoint_now(i64::MAX).await.unwrap();
        let mut proofs = app.app().audit_log.proofs(&last);
        let now = &last.checkpoint;
        for earlier in signed.iter().map(|signed| &signed.checkpoint) {
            let proof = proofs.consistency(earlier.size).await.unwrap();
            assert!(
                verify_consistency(earlier.size, now.size, &earlier.root, &now.root, &proof),
                "{earlier:?}"
            );
        }
        for app in &both {
            assert_eq!(app.audit_log.status().fork, None);
        }

        // One heartbeat for both, and each has a guard of its own that has all that was signed.
        app.clock.advance(HOUR + MINUTE);
        app.until("a heartbeat", || async { app.entries().await[0]["action"] == "audit.heartbeat" }).await;
        tokio::time::sleep(SOON * 6).await;
        let beats = app.entries().await.iter().filter(|e| e["action"] == "audit.heartbeat").count();
        assert_eq!(beats, 1);
        app.until("both guards have it", || async {
            let size = app.app().db.audit_head().await.unwrap().size as u64;
            both.iter().all(|app| {
                let note = fs::read_to_string(&app.config.audit_head).unwrap_or_default();
                app.audit_log.public().checkpoint(&note).is_ok_and(|checkpoint| checkpoint.size == size)
            })
        })
        .await;
        other.stop().await;
    });
}
