//! Keeping the mirror fresh in the background, each workspace by itself, so that a large or slow one holds nobody up. In
//! each round come the tenants we changed something of, then as many of each kind: those people look at, those with a post
//! whose time has come, and those due for longest. Of several processes one does it for a workspace, by its lease.

use crate::{
    access::Account,
    app::App,
    clock::{MINUTE, Millis, SECOND},
    mirror::RefreshError,
    store::{self, leases::Fence},
    upstream::{Error, types::Failure},
};
use futures_util::{StreamExt, stream};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};
use tokio::task::{AbortHandle, JoinSet};

/// Tenants of a workspace refreshed at the same time. Pacing bounds the calls; this bounds the memory.
const AT_ONCE: usize = 4;
/// Tenants of each kind in a round. Short rounds, so that what we have changed never waits long.
const OF_EACH: usize = 8;
/// Upstream has published a post this long after its time, or will not say so soon.
const GRACE: Millis = 30 * SECOND;
/// After so long a post whose time has come is nothing to hurry for.
const AWAITED: Millis = 15 * MINUTE;

/// The worker: one keeper for each workspace there is.
pub async fn run(app: Arc<App>) {
    let mut stopping = app.stopping.clone();
    // Dropped with this task, and the keepers with it. A refresh can be dropped anywhere: it stores a whole listing or
    // nothing.
    let mut tasks = JoinSet::new();
    let mut keepers: HashMap<String, AbortHandle> = HashMap::new();
    while !*stopping.borrow() {
        while tasks.try_join_next().is_some() {}
        keepers.retain(|_, keeper| !keeper.is_finished());
        for account in app.access.accounts() {
            let id = &account.workspace.id;
            if !keepers.contains_key(id) {
                keepers.insert(id.clone(), tasks.spawn(keep(app.clone(), id.clone())));
            }
        }
        tokio::select! {
            () = tokio::time::sleep(app.config.tuning.tick) => {}
            _ = stopping.changed() => {}
        }
    }
}

/// Round after round of a workspace, for as long as there is one.
async fn keep(app: Arc<App>, workspace_id: String) {
    let bell = app.mirror.bell(&workspace_id);
    while !*app.stopping.borrow()
        && let Some(account) = app.access.account(&workspace_id)
    {
        match round(&app, &account).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(workspace_id, %error, "a round of the mirror failed; the next one tries again");
            }
        }
        let _ = tokio::time::timeout(app.config.tuning.tick, bell.notified()).await;
    }
}

/// One round of a workspace. Whether there may be more to do at once.
async fn round(app: &App, account: &Account) -> store::Result<bool> {
    let id = &account.workspace.id;
    let now = app.clock.now();
    let changed = app.mirror.take_changed(id);
    if account.workspace.suspended_at.is_some()
        || matches!(app.upstream.ready(&account.endpoint), Err(Error::KeyRefused))
    {
        return Ok(false);
    }
    let looked_at = app.mirror.take_looked_at(id, OF_EACH);
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut work: Vec<(String, Option<Fence>)> = Vec::new();
    for tenant in changed.into_iter().chain(looked_at) {
        if seen.insert(tenant.clone()) {
            work.push((tenant, None));
        }
    }
    let mut full = false;
    if let Some(fence) = app.leases.take(&format!("sync:{id}")).await? {
        let span = now - AWAITED..now - GRACE;
        let awaiting = app.db.awaiting_tenants(id, span, GRACE, OF_EACH as i64).await?;
        let due = app.db.due_tenants(id, now, OF_EACH as i64).await?;
        full = due.len() == OF_EACH;
        for tenant in awaiting.into_iter().chain(due) {
            if seen.insert(tenant.clone()) {
                work.push((tenant, Some(fence.clone())));
            }
        }
    }
    stream::iter(work)
        .for_each_concurrent(AT_ONCE, |(tenant, fence)| async move {
            if !*app.stopping.borrow() {
                refresh(app, account, &tenant, now, fence.as_ref()).await;
            }
        })
        .await;
    Ok(full)
}

/// Failures are noted on the tenant and shown; one tenant never stops the others.
async fn refresh(app: &App, account: &Account, tenant: &str, since: Millis, fence: Option<&Fence>) {
    // With an open breaker it goes on, and notes on the tenant why it fails: its turn comes after the others'.
    if matches!(app.upstream.ready(&account.endpoint), Err(Error::KeyRefused)) {
        return;
    }
    match app.mirror.refresh_in_turn(account, tenant, since, fence).await {
        Ok(()) => {}
        Err(RefreshError::Store(store::Error::Fenced)) => {
            if let Some(fence) = fence {
                app.leases.note_lost(fence, "mirror");
            }
        }
        // Thousands of tenants may be due in an outage; the breaker has said so once.
        Err(RefreshError::Upstream(Failure::Failed(Error::BreakerOpen { .. }))) => {}
        Err(error) => {
            let workspace = &account.workspace.id;
            tracing::info!(workspace, tenant, %error, "the mirror of a tenant could not be refreshed");
        }
    }
}
