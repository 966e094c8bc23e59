//! Idempotency keys: one claim per key, and the answer that every later call with it gets. Keys are kept as digests: what a
//! caller sends is not ours to store.

use super::{Db, Error, Result, Tx};
use crate::clock::Millis;

/// The attempt that may act under an idempotency key. Another attempt has another `id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub workspace_id: String,
    /// Empty for the workspace owner's own account.
    pub tenant_id: String,
    /// SHA-256 of the key, in hex.
    pub key: String,
    pub id: String,
}

/// How a call with an idempotency key stands.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has used the key: this attempt may act.
    First,
    /// The key came with another request.
    Mismatch,
    /// Answered before; the answer is encrypted.
    Answered { status: u16, answer: Vec<u8> },
    /// An attempt without an answer.
    Unanswered {
        /// Its claim.
        claim: String,
        /// The operation it has opened.
        op_id: Option<String>,
        /// Its process lives, and it has not had more time than a call can take.
        alive: bool,
    },
}

#[derive(sqlx::FromRow)]
struct Row {
    fingerprint: Vec<u8>,
    claim: String,
    node: String,
    op_id: Option<String>,
    status: Option<i64>,
    answer: Option<Vec<u8>>,
    claimed_at: i64,
}

impl Db {
    /// Claims a key for a request, or tells how it stands. An attempt claimed before `stale` counts as ended.
    pub async fn claim_idempotency_key(
        &self,
        claim: &Claim,
        fingerprint: &[u8],
        node: &str,
        now: Millis,
        stale: Millis,
    ) -> Result<Standing> {
        let claimed = self
            .write(
                "INSERT INTO idempotency_keys (workspace_id, tenant_id, key, fingerprint, claim, node, created_at, claimed_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT (workspace_id, tenant_id, key) DO NOTHING",
            )
            .bind(&claim.workspace_id)
            .bind(&claim.tenant_id)
            .bind(&claim.key)
            .bind(fingerprint)
            .bind(&claim.id)
            .bind(node)
            .bind(now)
            .run()
            .await?;
        if claimed == 1 {
            return Ok(Standing::First);
        }
        let row: Option<Row> = self
            .write(
                "SELECT fingerprint, claim, node, op_id, status, answer, claimed_at FROM idempotency_keys
                 WHERE workspace_id = $1 AND tenant_id = $2 AND key = $3",
            )
            .bind(&claim.workspace_id)
            .bind(&claim.tenant_id)
            .bind(&claim.key)
            .opt()
            .await?;
        let Some(row) = row else {
            // Given up between the two statements: whoever asks again may act.
            return Ok(Standing::Unanswered { claim: String::new(), op_id: None, alive: true });
        };
        if row.fingerprint != fingerprint {
            return Ok(Standing::Mismatch);
        }
        if let (Some(status), Some(answer)) = (row.status, row.answer) {
            let status = u16::try_from(status).map_err(|_| Error::Corrupt("an answer's status".into()))?;
            return Ok(Standing::Answered { status, answer });
        }
        let alive = row.claimed_at >= stale && self.node_is_alive(&row.node, now).await?;
        Ok(Standing::Unanswered { claim: row.claim, op_id: row.op_id, alive })
    }

    /// Takes an attempt's claim over, as `claim`, if it still stands as it was seen: `op_id` is the operation it had
    /// opened. `false` if it has moved on since, somebody else took it, or it was answered.
    pub async fn take_over_claim(
        &self,
        claim: &Claim,
        from: &str,
        op_id: Option<&str>,
        node: &str,
        now: Millis,
    ) -> Result<bool> {
        let taken = self
            .write(
                "UPDATE idempotency_keys SET claim = $4, node = $6, claimed_at = $7, op_id = NULL
                 WHERE workspace_id = $1 AND tenant_id = $2 AND key = $3 AND claim = $5 AND status IS NULL
                   AND COALESCE(op_id, '') = $8",
            )
            .bind(&claim.workspace_id)
            .bind(&claim.tenant_id)
            .bind(&claim.key)
            .bind(&claim.id)
            .bind(from)
            .bind(node)
            .bind(now)
            .bind(op_id.unwrap_or_default())
            .run()
            .await?;
        Ok(taken == 1)
    }

    /// Stores the answer of an attempt whose operation was settled after it had ended.
    pub async fn answer_claim(&self, claim: &Claim, status: u16, answer: &[u8]) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.answer_claim(claim, status, answer).await?;
        tx.commit().await
    }

    /// Gives a claim up: nothing was done under it, and the same call may be tried again.
    pub async fn release_claim(&self, claim: &Claim) -> Result<()> {
        self.write(
            "DELETE FROM idempotency_keys
             WHERE workspace_id = $1 AND tenant_id = $2 AND key = $3 AND claim = $4 AND status IS NULL",
        )
        .bind(&claim.workspace_id)
        .bind(&claim.tenant_id)
        .bind(&claim.key)
        .bind(&claim.id)
        .run()
        .await
        .map(drop)
    }

    /// Forgets keys first used before the given time.
    pub async fn sweep_idempotency_keys(&self, created_before: Millis) -> Result<()> {
        self.write("DELETE FROM idempotency_keys WHERE created_at < $1 AND claimed_at < $1")
            .bind(created_before)
            .run()
            .await
            .map(drop)
    }
}

impl Tx {
    /// Ties the operation that is about to be opened to its claim.
    ///
    /// # Errors
    /// [`Error::Fenced`] if another attempt has the claim now: this one must not act any more.
    pub(crate) async fn open_under_claim(&mut self, claim: &Claim, op_id: &str) -> Result<()> {
        let held = self
            .sql(
                "UPDATE idempotency_keys SET op_id = $5
                 WHERE workspace_id = $1 AND tenant_id = $2 AND key = $3 AND claim = $4 AND status IS NULL",
            )
            .bind(&claim.workspace_id)
            .bind(&claim.tenant_id)
            .bind(&claim.key)
            .bind(&claim.id)
            .bind(op_id)
            .run()
            .await?;
        if held == 1 { Ok(()) } else { Err(Error::Fenced) }
    }

    pub(crate) async fn answer_claim(&mut self, claim: &Claim, status: u16, answer: &[u8]) -> Result<()> {
        self.sql(
            "UPDATE idempotency_keys SET status = $5, answer = $6
             WHERE workspace_id = $1 AND tenant_id = $2 AND key = $3 AND claim = $4 AND status IS NULL",
        )
        .bind(&claim.workspace_id)
        .bind(&claim.tenant_id)
        .bind(&claim.key)
        .bind(&claim.id)
        .bind(i64::from(status))
        .bind(answer)
        .run()
        .await
        .map(drop)
    }
}
