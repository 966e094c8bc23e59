//! Erasures, to their end: first what can be asked for, then what is left in the database's files. Begun by whoever asks,
//! and gone on with here after a crash or while somebody still reads an older state. Every step may be taken twice.

use crate::{
    app::App,
    clock::Clock,
    domain::erasures::{
        Erasure,
        ErasureState::{Done, Erasing, Rewriting},
    },
    store::{self, Db},
};
use std::{sync::Arc, time::Duration};

/// After a failure.
const RETRY: Duration = Duration::from_secs(60);

/// One round: everything that is not done. Two processes may meet here, and do no harm.
pub async fn round(app: Arc<App>) -> store::Result<()> {
    for erasure in app.db.unfinished_erasures().await? {
        if erasure.state == Erasing {
            // What is in memory must not be written down after what it names is gone.
            let _ = app.audit.note_denials(true).await;
            app.access.flush_uses().await?;
        }
        let done = match finish(&app.db, &app.clock, &erasure).await {
            Ok(done) => done,
            Err(error) => {
                tracing::warn!(erasure = erasure.id, %error, "an erasure is not done yet; it is gone on with in a minute");
                wait(&app).await;
                return Ok(());
            }
        };
        // What it has withdrawn.
        super::exports::sweep(&app).await?;
        if let Err(error) = app.access.reload().await {
            tracing::warn!(%error, "the picture of keys and tenants could not be rebuilt after an erasure");
        }
        if !done {
            tracing::warn!(
                erasure = erasure.id,
                "erased, but for what a reader keeps in the write-ahead log"
            );
        }
    }
    Ok(())
}

/// Writing the files anew takes much disk and time: not again at once, if there was no room.
async fn wait(app: &App) {
    let mut stopping = app.stopping.clone();
    tokio::select! {
        () = tokio::time::sleep(RETRY) => {}
        _ = stopping.changed() => {}
    }
}

/// Takes an erasure as far as it goes now. `false` if older pages are still being read: it is to be tried again.
pub async fn finish(db: &Db, clock: &Clock, erasure: &Erasure) -> store::Result<bool> {
    if erasure.state == Done {
        return Ok(true);
    }
    if erasure.state == Erasing {
        db.erase_details(erasure).await?;
        db.erase_rows(erasure, clock.now()).await?;
        // After it: what is exported from now on has nothing of it.
        db.withdraw_exports("personal data was erased", clock.now()).await?;
    }
    if matches!(erasure.state, Erasing | Rewriting) {
        db.rewrite_files().await?;
        db.note_rewritten(&erasure.id).await?;
    }
    if !db.empty_wal().await? {
        return Ok(false);
    }
    db.end_erasure(erasure, clock.now()).await?;
    Ok(true)
}
