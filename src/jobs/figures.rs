//! What monitoring shows that no call tells: how much is open, how old the mirrors are, whether we are well. Asked of the
//! database here, now and then, so that `/metrics` itself is read from memory.

use crate::{app::App, domain::jobs::JobState, store};
use std::{sync::Arc, time::Duration};

/// Looks of the other workers between two rounds: what a scrape shows is at most 15 s old.
pub const TICKS: u32 = 15;

pub async fn round(app: Arc<App>) -> store::Result<()> {
    crate::http::look_at_health(&app).await;
    app.metrics.operations_open(app.db.count_unsettled().await?);
    let jobs = app.db.unfinished_by_state().await?;
    for state in JobState::ALL.iter().filter(|state| !state.is_final()) {
        let count = jobs.iter().find(|(word, _)| word == state.as_str()).map_or(0, |(_, n)| *n);
        app.metrics.jobs(state.as_str(), count);
    }
    let now = app.clock.now();
    if let Some(signed) = app.audit_log.status().signed {
        app.metrics.audit_checkpoint_age(Duration::from_millis((now - signed.at).max(0) as u64));
    }
    for account in app.access.accounts() {
        let id = &account.workspace.id;
        let (_, _, failing, oldest) = app.db.sync_summary(id).await?;
        let age = oldest.map_or(0, |at| (now - at).max(0));
        app.metrics.mirror(id, Duration::from_millis(age as u64), failing);
    }
    Ok(())
}
