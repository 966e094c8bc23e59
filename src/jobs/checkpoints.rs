//! Signing the audit log: a checkpoint a minute while it grows, an entry an hour while it does not. A log that contradicts
//! what was signed is looked at more often, so that all goes on soon after an operator has accepted it.

use crate::{app::App, store};
use std::{sync::Arc, time::Duration};

/// Between two looks at a log that is forked.
const FORKED: Duration = Duration::from_secs(2);

pub async fn run(app: Arc<App>) {
    let every = app.config.tuning.checkpoint;
    let mut stopping = app.stopping.clone();
    while !*stopping.borrow() {
        let pause = match app.audit_log.round(every).await {
            Ok(()) => every,
            // Said once, when it was found.
            Err(store::Error::AuditFork(_)) => FORKED.min(every),
            Err(error) => {
                tracing::warn!(%error, "no audit checkpoint could be signed; the next round tries again");
                every
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopping.changed() => {}
        }
    }
}
