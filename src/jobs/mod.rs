//! Background work: bulk jobs, the mirror, the reconciler, refused keys, the audit log's checkpoints, housekeeping. Each worker is one loop that ends when the app
//! stops; what it does is resumed by the next process from what is stored.

mod audit_words;
pub mod bulk;
mod checkpoints;
mod deliveries;
pub mod erasures;
mod figures;
pub mod follow_ups;
pub mod planning;
pub mod reconciler;
mod refused_keys;
pub mod sync;

use crate::{
    access::POLL,
    app::App,
    clock::{DAY, HOUR, MINUTE},
    domain::{
        admins::{SESSION_ABSOLUTE, SESSION_IDLE},
        audit::Actor,
    },
};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::{sync::Notify, task::JoinHandle};

/// Rung when a job was made or asked to go on, so that nobody waits for the next look.
#[derive(Default)]
pub struct Bell(Notify);

impl Bell {
    pub fn ring(&self) {
        self.0.notify_one();
    }
}

/// Starts all workers on the current runtime.
pub fn start(app: &Arc<App>) -> Vec<JoinHandle<()>> {
    vec![
        tokio::spawn(bulk::run(app.clone())),
        tokio::spawn(sync::run(app.clone())),
        tokio::spawn(refused_keys::run(app.clone())),
        tokio::spawn(checkpoints::run(app.clone())),
        tokio::spawn(deliveries::run(app.clone())),
        tokio::spawn(every(app.clone(), app.config.tuning.tick, "reconciler", reconciler::round)),
        tokio::spawn(every(app.clone(), app.config.tuning.tick * 5, "erasures", erasures::round)),
        tokio::spawn(every(app.clone(), POLL, "access", poll_access)),
        tokio::spawn(every(app.clone(), audit_words::EVERY, "audit words", audit_words::round)),
        tokio::spawn(every(app.clone(), app.config.tuning.tick * figures::TICKS, "figures", figures::round)),
        tokio::spawn(every(app.clone(), Duration::from_secs(60), "housekeeping", housekeeping)),
    ]
}

/// Runs `work` again and again until the app stops.
async fn every<F, E>(app: Arc<App>, pause: Duration, name: &str, work: impl Fn(Arc<App>) -> F)
where
    F: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let mut stopping = app.stopping.clone();
    while !*stopping.borrow() {
        if let Err(error) = work(app.clone()).await {
            tracing::warn!(worker = name, %error, "a round failed; the next one tries again");
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopping.changed() => {}
        }
    }
}

async fn poll_access(app: Arc<App>) -> Result<(), crate::access::Error> {
    app.access.poll().await
}

/// Keeps this process's leases, also while it stops: whoever aborts the task gives them back afterwards.
pub fn heartbeat(app: Arc<App>) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(app.leases.beat_every()).await;
            if let Err(error) = app.leases.beat().await {
                tracing::warn!(%error, "leases could not be renewed; the next beat tries again");
            }
        }
    })
}

/// Writes down what is gathered in memory and forgets what has served its time.
async fn housekeeping(app: Arc<App>) -> crate::store::Result<()> {
    let now = app.clock.now();
    app.limits.sweep();
    app.access.flush_uses().await?;
    app.db.end_keys(&Actor::system("keys"), now).await?;
    // Says itself what is wrong.
    let _ = app.audit.note_denials(false).await;
    crate::http::note_refused_logins(&app).await?;
    app.db.sweep_sessions(now - SESSION_IDLE, now - SESSION_ABSOLUTE, now - DAY).await?;
    app.db.sweep_selections(now - DAY).await?;
    app.db.sweep_login_failures(now - DAY, now).await?;
    app.db.sweep_reveals(now - 10 * MINUTE).await?;
    app.db.sweep_idempotency_keys(now - DAY).await?;
    app.db.sweep_leases(now - 7 * DAY).await?;
    app.db.sweep_plans(now - HOUR).await
}
