//! Keeping the mirror fresh in the background: tenants we changed something of at once, then the stalest.

use crate::{
    access::Account,
    app::App,
    mirror::RefreshError,
    upstream::{Error, Patience, types::Failure},
};
use futures_util::{StreamExt, stream};
use std::sync::Arc;

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

/// One round: what we changed, then some of the stalest tenants.
pub async fn round(app: &Arc<App>) -> crate::store::Result<()> {
    let tuning = app.config.tuning;
    let now = app.clock.now();
    let stale_before = now - tuning.mirror_age.as_millis() as i64;
    let sweep_before = now - tuning.sweep_age.as_millis() as i64;
    let changed = app.mirror.take_changed().into_iter().map(|(workspace, tenant)| (workspace, tenant, false));
    let stalest = app.db.stalest_tenants(stale_before, now - RETRY_MILLIS, 50).await?;
    let stalest = stalest.into_iter().map(|(workspace, tenant, _, swept)| {
        let sweep = swept.is_none_or(|at| at < sweep_before);
        (workspace, tenant, sweep)
    });
    let work: Vec<_> = changed.chain(stalest).collect();
    stream::iter(work)
        .for_each_concurrent(AT_ONCE, |(workspace, tenant, sweep)| async move {
            if let Some(account) = app.access.account(&workspace)
                && !*app.stopping.borrow()
            {
                refresh(app, &account, &tenant, sweep).await;
            }
        })
        .await;
    Ok(())
}

/// Failures are noted on the tenant and shown; one tenant never stops the others.
async fn refresh(app: &App, account: &Account, tenant: &str, sweep: bool) {
    // With an open breaker it goes on, and notes on the tenant why it fails: its turn comes after the others'.
    if matches!(app.upstream.ready(&account.endpoint), Err(Error::KeyRefused)) {
        return;
    }
    let result = if sweep {
        app.mirror.sweep(account, tenant, Patience::BACKGROUND).await
    } else {
        app.mirror.ensure_fresh(account, tenant, 0, Patience::BACKGROUND).await
    };
    match result {
        Ok(()) => {}
        // Thousands of tenants may be due in an outage; the breaker has said so once.
        Err(RefreshError::Upstream(Failure::Failed(Error::BreakerOpen { .. }))) => {}
        Err(error) => {
            tracing::info!(workspace = account.workspace.id, tenant, %error, "the mirror of a tenant could not be refreshed");
        }
    }
}
