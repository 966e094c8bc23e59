//! Leases: who does a piece of background work, until when. A later holder has a larger token.

use super::{Db, Result};
use crate::clock::Millis;

impl Db {
    /// Takes or renews a lease. `None` if somebody else holds it.
    pub async fn take_lease(
        &self,
        name: &str,
        owner: &str,
        now: Millis,
        until: Millis,
    ) -> Result<Option<i64>> {
        let row: Option<(i64,)> = self
            .write(
                "INSERT INTO leases (name, owner, token, until) VALUES ($1, $2, 1, $3)
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
        Ok(row.map(|r| r.0))
    }

    /// Gives a lease back early, so that the next holder need not wait for its end.
    pub async fn release_lease(&self, name: &str, owner: &str) -> Result<()> {
        self.write("UPDATE leases SET until = 0 WHERE name = $1 AND owner = $2")
            .bind(name)
            .bind(owner)
            .run()
            .await?;
        Ok(())
    }

    /// Ends all leases. Only right where one process alone opens the database, at its start.
    pub async fn end_all_leases(&self) -> Result<()> {
        self.write("UPDATE leases SET until = 0").run().await.map(drop)
    }
}
