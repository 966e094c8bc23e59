//! Erasures, to their end: first what can be asked for, then what is left in the database's files. Begun by whoever asks,
//! and gone on with here after a crash or while somebody still reads an older state. Every step may be taken twice.

use crate::{
    app::App,
    clock::Clock,
    domain::erasures::{Erasure, ErasureState},
    store::{self, Db},
};
use std::sync::Arc;

/// One round: everything that is not done. Two processes may meet here, and do no harm.
pub async fn round(app: Arc<App>) -> store::Result<()> {
    for erasure in app.db.unfinished_erasures().await? {
        // What is in memory must not be written down after what it names is gone.
        let _ = app.audit.note_denials(true).await;
        app.access.flush_uses().await?;
        let done = finish(&app.db, &app.clock, &erasure).await?;
        app.access.reload().await.map_err(|error| store::Error::Corrupt(error.to_string()))?;
        if !done {
            tracing::warn!(
                erasure = erasure.id,
                "erased, but for what a reader keeps in the write-ahead log"
            );
        }
    }
    Ok(())
}

/// Takes an erasure as far as it goes now. `false` if older pages are still being read: it is to be tried again.
pub async fn finish(db: &Db, clock: &Clock, erasure: &Erasure) -> store::Result<bool> {
    if erasure.state == ErasureState::Done {
        return Ok(true);
    }
    if erasure.state == ErasureState::Erasing {
        db.erase_details(erasure).await?;
        db.erase_rows(erasure, clock.now()).await?;
    }
    if !db.scrub().await? {
        return Ok(false);
    }
    db.end_erasure(erasure, clock.now()).await?;
    Ok(true)
}
