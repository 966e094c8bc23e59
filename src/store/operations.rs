//! Operations from intent to end, and the effects that become durable together with an audit entry (`effects.rs` makes
//! them).

use super::{Db, Error, Json, Result, idempotency::Claim, leases::Fence};
use crate::{
    clock::Millis,
    domain::{
        audit::Actor,
        jobs::ItemState,
        operations::{Asked, OpState, Operation, Snapshot, Verb},
        posts::PostStatus,
        tenants::ManagedUser,
    },
};

/// A change of our own tables that the audit writer makes in the entry's transaction.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Nothing, unless the lease has changed hands: then the record fails with [`Error::Fenced`].
    Fence(Fence),
    /// The operation about to be opened belongs to an idempotency key. Fails with [`Error::Fenced`] if another attempt has
    /// the key's claim now.
    Claim { claim: Claim, op_id: String },
    /// The answer that every later call with the idempotency key gets.
    Answered {
        claim: Claim,
        status: u16,
        /// Encrypted.
        answer: Vec<u8>,
    },
    /// The intent: the operation, and its job item now running. Fails with [`Error::Taken`] if the item is no longer
    /// pending, so that no two workers send the same item, and for an update while an earlier one of the same post has
    /// no end.
    Open(Box<Operation>),
    /// The operation's end, or doubt; `check_at` is when the reconciler should look next.
    Close {
        op_id: String,
        state: OpState,
        at: Millis,
        check_at: Millis,
        /// Upstream's HTTP status, if it answered.
        status: Option<u16>,
        granted_at: Option<Millis>,
        /// Whether the outcome is in doubt, or was until now.
        doubted: bool,
    },
    /// Where a job item stands now.
    Item { job_id: String, n: i64, result: ItemResult, at: Millis },
    /// A copy of the post that a job is about to delete.
    Backup {
        job_id: String,
        n: i64,
        /// Encrypted.
        sealed: Vec<u8>,
        at: Millis,
    },
    /// The post that the operation has made, for its job item if it has one. Fails with [`Error::Taken`] if another
    /// operation has made it.
    Created { op_id: String, item: Option<(String, i64)>, post_id: String },
    /// The post no longer exists.
    PostGone { workspace_id: String, tenant_id: String, post_id: String },
    /// The post's status or time changed as upstream answered.
    PostChanged {
        workspace_id: String,
        tenant_id: String,
        post_id: String,
        status: Option<PostStatus>,
        scheduled_at: Option<Millis>,
        at: Millis,
    },
    /// We paused the post; its time then.
    Paused {
        workspace_id: String,
        tenant_id: String,
        post_id: String,
        op_id: String,
        scheduled_at: Option<Millis>,
        at: Millis,
    },
    /// The post is no longer one that we paused.
    Unpaused { workspace_id: String, tenant_id: String, post_id: String },
    /// Upstream has this managed user.
    TenantPut { workspace_id: String, user: ManagedUser, at: Millis },
    /// The tenant is no longer managed; its keys end. By whom, for the entries about them.
    TenantDetached { actor: Actor, workspace_id: String, tenant_id: String, at: Millis },
    /// A connection link was made.
    TenantLink { workspace_id: String, tenant_id: String, expires_at: Option<Millis> },
}

/// How a job item ended, or that it is in doubt.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemResult {
    pub state: ItemState,
    pub code: Option<String>,
    pub message: Option<String>,
    pub granted_at: Option<Millis>,
}

#[derive(sqlx::FromRow)]
pub(super) struct OperationRow {
    id: String,
    workspace_id: String,
    tenant_id: Option<String>,
    action: String,
    target: String,
    actor: Json<Actor>,
    asked: Json<Asked>,
    snapshot: Option<Json<Snapshot>>,
    state: String,
    job_id: Option<String>,
    item_n: Option<i64>,
    node: String,
    started_at: i64,
    checks: i64,
    ended_at: Option<i64>,
    doubted_at: Option<i64>,
    upstream_status: Option<i64>,
    granted_at: Option<i64>,
}

pub(super) const COLUMNS: &str = "SELECT id, workspace_id, tenant_id, action, target, actor, asked, snapshot, state, job_id, item_n, \
    node, started_at, checks, ended_at, doubted_at, upstream_status, granted_at FROM operations WHERE ";

impl Db {
    /// Operations the reconciler should look at: in doubt and due, or open though their call has ended: they are older than
    /// any call can be, or their process has not been heard of (`node` is the one that asks).
    pub async fn unsettled(
        &self,
        node: &str,
        now: Millis,
        call_started_before: Millis,
        limit: i64,
    ) -> Result<Vec<Operation>> {
        let rows: Vec<OperationRow> = self
            .read(COLUMNS)
            .push("state IN ('open', 'in_doubt') AND check_at <= ")
            .arg(now)
            .push(" AND (state = 'in_doubt' OR (state = 'open' AND started_at < ")
            .arg(call_started_before)
            .push(") OR (state = 'open' AND node <> ")
            .arg(node)
            .push(
                " AND NOT EXISTS (SELECT 1 FROM leases WHERE name = 'node:' || operations.node AND until >= ",
            )
            .arg(now)
            .push("))) ORDER BY check_at, id LIMIT ")
            .arg(limit)
            .all()
            .await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Operations without a final state, of all workspaces.
    pub async fn count_unsettled(&self) -> Result<i64> {
        self.read("SELECT COUNT(*) FROM operations WHERE state IN ('open', 'in_doubt')").value().await
    }

    /// Puts the next look at an operation off.
    pub async fn defer_operation(&self, id: &str, check_at: Millis) -> Result<()> {
        self.write("UPDATE operations SET check_at = $2, checks = checks + 1 WHERE id = $1")
            .bind(id)
            .bind(check_at)
            .run()
            .await
            .map(drop)
    }

    /// Operations of a workspace that have not ended, oldest first.
    pub async fn open_operations(&self, workspace_id: &str, limit: i64) -> Result<Vec<Operation>> {
        let rows: Vec<OperationRow> = self
            .read(COLUMNS)
            .push("state IN ('open', 'in_doubt') AND workspace_id = ")
            .arg(workspace_id)
            .push(" ORDER BY started_at, id LIMIT ")
            .arg(limit)
            .all()
            .await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// The update of a post that has no end yet, if there is one.
    pub async fn unsettled_update(&self, workspace_id: &str, post_id: &str) -> Result<Option<String>> {
        let row: Option<(String,)> = self
            .read("SELECT id FROM operations WHERE state IN ('open', 'in_doubt') AND action = 'post.update'")
            .and("workspace_id =", Some(workspace_id))
            .and("target =", Some(post_id))
            .push(" LIMIT 1")
            .opt()
            .await?;
        Ok(row.map(|r| r.0))
    }

    /// The other operations of the same verb on the same target, the latest few.
    pub async fn twins(&self, operation: &Operation) -> Result<Vec<Operation>> {
        let rows: Vec<OperationRow> = self
            .read(COLUMNS)
            .push("id <> ")
            .arg(&operation.id)
            .and("workspace_id =", Some(&operation.workspace_id))
            .and("target =", Some(&operation.target))
            .and("action =", Some(operation.verb.as_str()))
            .push(" ORDER BY started_at DESC, id DESC LIMIT 50")
            .all()
            .await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Whether an update of a post has ended since the given time.
    pub async fn updated_since(&self, workspace_id: &str, post_id: &str, since: Millis) -> Result<bool> {
        let found: Option<(i64,)> = self
            .read("SELECT ended_at FROM operations WHERE action = 'post.update' AND state NOT IN ('open', 'in_doubt')")
            .and("workspace_id =", Some(workspace_id))
            .and("target =", Some(post_id))
            .and("ended_at >=", Some(since))
            .push(" LIMIT 1")
            .opt()
            .await?;
        Ok(found.is_some())
    }

    /// Operations of a workspace that have ended and had been in doubt, those that ended last first; from before the one
    /// with the given id.
    pub async fn settled_operations(
        &self,
        workspace_id: &str,
        before: Option<&str>,
        limit: i64,
    ) -> Result<Vec<Operation>> {
        let mut sql = self
            .read(COLUMNS)
            .push("doubted_at IS NOT NULL AND ended_at IS NOT NULL AND workspace_id = ")
            .arg(workspace_id);
        if let Some(before) = before {
            sql = sql
                .push(" AND (ended_at, id) < (SELECT ended_at, id FROM operations WHERE workspace_id = ")
                .arg(workspace_id)
                .push(" AND id = ")
                .arg(before)
                .push(")");
        }
        let rows: Vec<OperationRow> =
            sql.push(" ORDER BY ended_at DESC, id DESC LIMIT ").arg(limit).all().await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// An operation of a workspace, whatever its state.
    pub async fn operation(&self, workspace_id: &str, id: &str) -> Result<Option<Operation>> {
        let row: Option<OperationRow> =
            self.read(COLUMNS).push("id = ").arg(id).and("workspace_id =", Some(workspace_id)).opt().await?;
        row.map(TryInto::try_into).transpose()
    }
}

impl TryFrom<OperationRow> for Operation {
    type Error = Error;

    fn try_from(row: OperationRow) -> Result<Self> {
        Ok(Self {
            verb: Verb::parse(&row.action).ok_or_else(|| Error::Corrupt("operation's action".into()))?,
            state: OpState::parse(&row.state).ok_or_else(|| Error::Corrupt("operation's state".into()))?,
            item: row.job_id.zip(row.item_n),
            id: row.id,
            workspace_id: row.workspace_id,
            tenant_id: row.tenant_id,
            target: row.target,
            actor: row.actor.0,
            asked: row.asked.0,
            snapshot: row.snapshot.map(|s| s.0),
            node: row.node,
            started_at: row.started_at,
            checks: row.checks,
            ended_at: row.ended_at,
            doubted_at: row.doubted_at,
            upstream_status: row.upstream_status,
            granted_at: row.granted_at,
        })
    }
}
