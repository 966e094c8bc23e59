//! The leases this process holds, and the heartbeat that keeps them. One of them says that the process is alive
//! (`node:<id>`), the others which background work is its own: `job:<id>`, `sync:<workspace>`, `reconciler`. Decides
//! nothing about the work itself.

use crate::{
    clock::{Clock, Millis},
    metrics::Metrics,
    store::{
        self, Db,
        leases::{Fence, node_lease},
    },
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// What is held: the token, and until when it was last renewed.
#[derive(Clone, Copy)]
struct Held {
    token: i64,
    until: Millis,
}

pub struct Leases {
    db: Db,
    clock: Clock,
    metrics: Arc<Metrics>,
    node: String,
    length: Millis,
    held: Mutex<HashMap<String, Held>>,
}

impl Leases {
    /// Takes the process's own lease. `length` is how long a process may be silent before others take its work over.
    pub async fn start(
        db: Db,
        clock: Clock,
        metrics: Arc<Metrics>,
        node: String,
        length: Duration,
    ) -> store::Result<Self> {
        let length = length.as_millis() as Millis;
        let leases = Self { db, clock, metrics, node, length, held: Mutex::default() };
        leases.take(&node_lease(&leases.node)).await?;
        Ok(leases)
    }

    /// This process, in operations and claims.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// How often [`Self::beat`] is to be called: a lease survives two beats that fail.
    pub fn beat_every(&self) -> Duration {
        Duration::from_millis((self.length / 3).unsigned_abs())
    }

    /// Takes a lease, or finds that it is held already. `None` if another process has it.
    pub async fn take(&self, name: &str) -> store::Result<Option<Fence>> {
        let now = self.clock.now();
        let fence = |token| Fence { name: name.to_owned(), token };
        if let Some(held) = self.held().get(name)
            && held.until - now > self.length / 2
        {
            return Ok(Some(fence(held.token)));
        }
        let until = now + self.length;
        let Some(taken) = self.db.take_lease(name, &self.node, now, until).await? else {
            self.forget(name);
            return Ok(None);
        };
        if taken.from_the_dead {
            let kind = name.split(':').next().unwrap_or_default();
            self.metrics.lease_taken_over(kind);
            tracing::info!(lease = name, "taken over from a process that has not been heard of");
        }
        self.held().insert(name.to_owned(), Held { token: taken.token, until });
        Ok(Some(fence(taken.token)))
    }

    /// Gives a lease back, so that the next holder need not wait.
    pub async fn release(&self, fence: &Fence) -> store::Result<()> {
        self.forget(&fence.name);
        self.db.release_lease(fence).await
    }

    /// Gives everything back, the process's own last.
    pub async fn release_all(&self) -> store::Result<()> {
        let own = node_lease(&self.node);
        let mut fences = self.fences();
        fences.sort_by_key(|fence| fence.name == own);
        for fence in &fences {
            self.release(fence).await?;
        }
        Ok(())
    }

    /// Renews what is held. What was lost meanwhile is forgotten; its work finds out at its next write.
    pub async fn beat(&self) -> store::Result<()> {
        for fence in self.fences() {
            let until = self.clock.now() + self.length;
            if self.db.renew_lease(&fence, until).await? {
                if let Some(held) = self.held().get_mut(&fence.name) {
                    held.until = until;
                }
            } else {
                self.forget(&fence.name);
            }
        }
        // A process that stood still for too long has lost its own as well, and is alive all the same.
        self.take(&node_lease(&self.node)).await.map(drop)
    }

    /// A write was refused because its lease had changed hands.
    pub fn note_lost(&self, fence: &Fence, what: &str) {
        self.forget(&fence.name);
        self.metrics.stale_write(what);
        tracing::warn!(lease = fence.name, what, "a late write was refused: another process has the work");
    }

    fn fences(&self) -> Vec<Fence> {
        self.held().iter().map(|(name, held)| Fence { name: name.clone(), token: held.token }).collect()
    }

    fn forget(&self, name: &str) {
        self.held().remove(name);
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
