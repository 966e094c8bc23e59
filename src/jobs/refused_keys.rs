//! Suspending the workspaces whose key PostPost has refused, whichever call learnt it. The process itself sends nothing any
//! more since that answer; here it becomes lasting, known to the other nodes, and an alert.

use crate::app::App;
use std::sync::Arc;

/// The worker. What cannot be stored, because the database is away or full, is tried again in the next round.
pub async fn run(app: Arc<App>) {
    let mut stopping = app.stopping.clone();
    while !*stopping.borrow() {
        tokio::select! {
            () = app.upstream.wait_for_refused_key(app.config.tuning.tick) => {}
            _ = stopping.changed() => break,
        }
        for refused in app.upstream.refused_keys() {
            let Some(account) = app.access.account(&refused.workspace_id) else { continue };
            let workspace = &account.workspace;
            if workspace.suspended_at.is_none() && workspace.key_added_at == refused.since {
                app.road.suspend(&account, &refused.text).await;
            }
        }
    }
}
