//! Keeping the mirror fresh in the background: tenants we changed something of at once, then the stalest. Of several
//! processes one does it for a workspace, by its lease.

use crate::{
    access::Account,
    app::App,
    mirror::RefreshError,
    store::{self, leases::Fence},
    upstream::{Error, Patience, types::Failure},
};
use futures_util::{StreamExt, stream};
use std::{collections::HashMap, sync::Arc};

/// Tenants refreshed at the same time. Pacing bounds the calls; this bounds the memory.
const AT_ONCE: usize = 4;
/// A tenant whose refresh failed is left alone this long.
const RETRY_MILLIS: i64 = 30_000;

/// The worker.
pub async fn run(app: Arc<App>) {
    let mut stopping = app.stopping.clone();
    while !*stopping.borrow() {
        // A refresh can be dropped anywhere: it stores a whole listing or nothing.
        let result = tokio::select! {
            result = round(&app) => result,
            _ = stopping.changed() => break,
        };
        if let Err(error) = result {
            tracing::warn!(%error, "a round of the mirror failed; the next one tries again");
        }
        tokio::select! {
            () = app.mirror.wait_for_change(app.config.tuning.tick) => {}
            _ = stopping.changed() => {}
        }
    }
}

/// One round: what this process has changed, then some of the stalest tenants of the workspaces whose mirror is its.
pub async fn round(app: &Arc<App>) -> store::Result<()> {
    let tuning = app.config.tuning;
    let now = app.clock.now();
    let stale_before = now - tuning.mirror_age.as_millis() as i64;
    let sweep_before = now - tuning.sweep_age.as_millis() as i64;
    let mut work: Vec<Work> = app
        .mirror
        .take_changed()
        .into_iter()
        .map(|(workspace, tenant)| Work { workspace, tenant, sweep: false, fence: None })
        .collect();
    let mut fences: HashMap<String, Option<Fence>> = HashMap::new();
    for (workspace, tenant, _, swept) in app.db.stalest_tenants(stale_before, now - RETRY_MILLIS, 50).await? {
        if !fences.contains_key(&workspace) {
            let fence = app.leases.take(&format!("sync:{workspace}")).await?;
            fences.insert(workspace.clone(), fence);
        }
        if let Some(Some(fence)) = fences.get(&workspace) {
            let sweep = swept.is_none_or(|at| at < sweep_before);
            work.push(Work { workspace, tenant, sweep, fence: Some(fence.clone()) });
        }
    }
    stream::iter(work)
        .for_each_concurrent(AT_ONCE, |work| async move {
            if let Some(account) = app.access.account(&work.workspace)
                && !*app.stopping.borrow()
            {
                refresh(app, &account, &work).await;
            }
        })
        .await;
    Ok(())
}

/// A tenant to refresh, and the lease it is done under.
struct Work {
    workspace: String,
    tenant: String,
    sweep: bool,
    fence: Option<Fence>,
}

/// Failures are noted on the tenant and shown; one tenant never stops the others.
async fn refresh(app: &App, account: &Account, work: &Work) {
    // With an open breaker it goes on, and notes on the tenant why it fails: its turn comes after the others'.
    if matches!(app.upstream.ready(&account.endpoint), Err(Error::KeyRefused)) {
        return;
    }
    let result = match &work.fence {
        Some(fence) => app.mirror.refresh_leased(account, &work.tenant, work.sweep, fence).await,
        None => app.mirror.ensure_fresh(account, &work.tenant, 0, Patience::BACKGROUND).await,
    };
    match result {
        Ok(()) => {}
        Err(RefreshError::Store(store::Error::Fenced)) => {
            if let Some(fence) = &work.fence {
                app.leases.note_lost(fence, "mirror");
            }
        }
        // Thousands of tenants may be due in an outage; the breaker has said so once.
        Err(RefreshError::Upstream(Failure::Failed(Error::BreakerOpen { .. }))) => {}
        Err(error) => {
            let (workspace, tenant) = (&account.workspace.id, &work.tenant);
            tracing::info!(workspace, tenant, %error, "the mirror of a tenant could not be refreshed");
        }
    }
}
