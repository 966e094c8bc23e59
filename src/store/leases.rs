//! Leases: who does a piece of background work, until when. Every change of hands raises the token, and what a holder
//! writes carries its token (a [`Fence`]), so that a holder that stood still for too long cannot write over its successor.

use super::{Db, Error, Result, Tx};
use crate::clock::Millis;

/// Proof of holding a lease, for the writes made on its strength.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    pub name: String,
    pub token: i64,
}

/// A lease that was just taken or renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    pub token: i64,
    /// It had run out under another holder, who had not given it back.
    pub from_the_dead: bool,
}

/// The name of the lease by which a process shows that it is alive.
pub fn node_lease(node: &str) -> String {
    format!("node:{node}")
}

impl Db {
    /// Takes or renews a lease. `None` if somebody else holds it.
    pub async fn take_lease(
        &self,
        name: &str,
        owner: &str,
        now: Millis,
        until: Millis,
    ) -> Result<Option<Taken>> {
        let before: Option<(String, i64)> =
            self.read("SELECT owner, until FROM leases WHERE name = $1").bind(name).opt().await?;
        let others = before.filter(|(holder, _)| holder != owner);
        if others.as_ref().is_some_and(|(_, until)| *until >= now) {
            return Ok(None);
        }
        // The first token is the time: larger than any of a lease of this name that was swept away.
        let row: Option<(i64,)> = self
            .write(
                "INSERT INTO leases (name, owner, token, until) VALUES ($1, $2, $4, $3)
                 ON CONFLICT (name) DO UPDATE SET
                   token = CASE WHEN leases.owner = excluded.owner THEN leases.token ELSE leases.token + 1 END,
                   owner = excluded.owner, until = excluded.until
                 WHERE leases.owner = excluded.owner OR leases.until < $4
                 RETURNING token",
            )
            .bind(name)
            .bind(owner)
            .bind(until)
            .bind(now)
            .opt()
            .await?;
        let from_the_dead = others.is_some_and(|(_, until)| until > 0);
        Ok(row.map(|(token,)| Taken { token, from_the_dead }))
    }

    /// Keeps a held lease. `false` if it has gone to somebody else or was given back.
    pub async fn renew_lease(&self, fence: &Fence, until: Millis) -> Result<bool> {
        // One at a time: several rows in one statement could be locked in another order than a batch of records locks them.
        let renewed = self
            .write("UPDATE leases SET until = $3 WHERE name = $1 AND token = $2 AND until > 0")
            .bind(&fence.name)
            .bind(fence.token)
            .bind(until)
            .run()
            .await?;
        Ok(renewed == 1)
    }

    /// Gives a lease back early, so that the next holder need not wait for its end.
    pub async fn release_lease(&self, fence: &Fence) -> Result<()> {
        self.write("UPDATE leases SET until = 0 WHERE name = $1 AND token = $2")
            .bind(&fence.name)
            .bind(fence.token)
            .run()
            .await
            .map(drop)
    }

    /// Ends all leases. Only right where one process alone opens the database, at its start.
    pub async fn end_all_leases(&self) -> Result<()> {
        self.write("UPDATE leases SET until = 0").run().await.map(drop)
    }

    /// Whether a process has been heard of lately.
    pub async fn node_is_alive(&self, node: &str, now: Millis) -> Result<bool> {
        let held: Option<(i64,)> = self
            .write("SELECT until FROM leases WHERE name = $1 AND until >= $2")
            .bind(node_lease(node))
            .bind(now)
            .opt()
            .await?;
        Ok(held.is_some())
    }

    /// Forgets leases that nobody has held since the given time.
    pub async fn sweep_leases(&self, ended_before: Millis) -> Result<()> {
        self.write("DELETE FROM leases WHERE until < $1 AND token < $1")
            .bind(ended_before)
            .run()
            .await
            .map(drop)
    }

    /// A transaction for what only the holder of the lease may write.
    pub(crate) async fn begin_fenced(&self, fence: &Fence) -> Result<Tx> {
        let mut tx = self.begin().await?;
        tx.hold(fence).await?;
        Ok(tx)
    }
}

impl Tx {
    /// Makes sure that the lease is still held, and keeps it from changing hands until the transaction ends.
    ///
    /// # Errors
    /// [`Error::Fenced`] if it has changed hands.
    pub(crate) async fn hold(&mut self, fence: &Fence) -> Result<()> {
        let held = self
            .sql("UPDATE leases SET token = token WHERE name = $1 AND token = $2")
            .bind(&fence.name)
            .bind(fence.token)
            .run()
            .await?;
        if held == 1 { Ok(()) } else { Err(Error::Fenced) }
    }
}
