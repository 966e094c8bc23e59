//! The effects of a batch of records, in a few statements for each kind whatever their number: on PostgreSQL each is a
//! round trip that all calls wait for. All batches lock in one order, which is also that of the mirror's refreshes: leases,
//! posts, pauses, tenants.

use super::{
    Error, Json, Result, Tx,
    idempotency::Claim,
    leases::Fence,
    operations::{Effect, ItemResult},
    sql::even_chunks,
};
use crate::{
    clock::Millis,
    domain::{
        audit::{Actor, Draft},
        jobs::ItemState,
        operations::{OpState, Operation},
        posts::PostStatus,
        tenants::ManagedUser,
    },
};

/// Workspace, tenant and post.
type Place<'a> = (&'a str, &'a str, &'a str);

/// A batch by kind. No two effects of one kind are of the same item or operation: a record is acknowledged after its commit,
/// and what follows on it comes later. Where two processes settle the same operation, one of them finds it [`Error::Taken`].
#[derive(Default)]
struct Kinds<'a> {
    fences: Vec<&'a Fence>,
    claims: Vec<(&'a Claim, &'a str)>,
    answers: Vec<(&'a Claim, u16, &'a [u8])>,
    changed: Vec<(Place<'a>, Option<PostStatus>, Option<Millis>, Millis)>,
    gone: Vec<Place<'a>>,
    paused: Vec<(Place<'a>, &'a str, Option<Millis>, Millis)>,
    unpaused: Vec<Place<'a>>,
    users: Vec<(&'a str, &'a ManagedUser, Millis)>,
    detached: Vec<(&'a Actor, &'a str, &'a str, Millis)>,
    links: Vec<(&'a str, &'a str, Option<Millis>)>,
    opened: Vec<&'a Operation>,
    backups: Vec<(&'a str, i64, &'a [u8], Millis)>,
    created: Vec<(&'a str, Option<&'a (String, i64)>, &'a str)>,
    closed: Vec<Closed<'a>>,
    items: Vec<(&'a str, i64, &'a ItemResult, Millis)>,
}

struct Closed<'a> {
    op_id: &'a str,
    state: OpState,
    at: Millis,
    check_at: Millis,
    status: Option<u16>,
    granted_at: Option<Millis>,
    doubted: bool,
}

impl<'a> Kinds<'a> {
    fn take(&mut self, effect: &'a Effect) {
        match effect {
            // All items of a job are under one lease.
            Effect::Fence(fence) if self.fences.contains(&fence) => {}
            Effect::Fence(fence) => self.fences.push(fence),
            Effect::Claim { claim, op_id } => self.claims.push((claim, op_id)),
            Effect::Answered { claim, status, answer } => self.answers.push((claim, *status, answer)),
            Effect::Open(operation) => self.opened.push(operation),
            Effect::Close { op_id, state, at, check_at, status, granted_at, doubted } => {
                self.closed.push(Closed {
                    op_id,
                    state: *state,
                    at: *at,
                    check_at: *check_at,
                    status: *status,
                    granted_at: *granted_at,
                    doubted: *doubted,
                });
            }
            Effect::Item { job_id, n, result, at } => self.items.push((job_id, *n, result, *at)),
            Effect::Backup { job_id, n, sealed, at } => self.backups.push((job_id, *n, sealed, *at)),
            Effect::Created { op_id, item, post_id } => self.created.push((op_id, item.as_ref(), post_id)),
            Effect::PostGone { workspace_id, tenant_id, post_id } => {
                self.gone.push((workspace_id, tenant_id, post_id));
            }
            Effect::PostChanged { workspace_id, tenant_id, post_id, status, scheduled_at, at } => {
                self.changed.push(((workspace_id, tenant_id, post_id), *status, *scheduled_at, *at));
            }
            Effect::Paused { workspace_id, tenant_id, post_id, op_id, scheduled_at, at } => {
                self.paused.push(((workspace_id, tenant_id, post_id), op_id, *scheduled_at, *at));
            }
            Effect::Unpaused { workspace_id, tenant_id, post_id } => {
                self.unpaused.push((workspace_id, tenant_id, post_id));
            }
            Effect::TenantPut { workspace_id, user, at } => self.users.push((workspace_id, user, *at)),
            Effect::TenantDetached { actor, workspace_id, tenant_id, at } => {
                self.detached.push((actor, workspace_id, tenant_id, *at));
            }
            Effect::TenantLink { workspace_id, tenant_id, expires_at } => {
                self.links.push((workspace_id, tenant_id, *expires_at));
            }
        }
    }
}

impl Tx {
    /// Makes the changes of a batch of records; gives entries about what else they have changed.
    ///
    /// # Errors
    /// Those [`Effect`] names; one effect that fails fails all.
    pub(crate) async fn apply<'a>(
        &mut self,
        effects: impl Iterator<Item = &'a Effect>,
    ) -> Result<Vec<Draft>> {
        let mut kinds = Kinds::default();
        effects.for_each(|effect| kinds.take(effect));
        self.plan_by_key().await?;
        for fence in kinds.fences {
            self.hold(fence).await?;
        }
        for (claim, op_id) in kinds.claims {
            self.open_under_claim(claim, op_id).await?;
        }
        for (claim, status, answer) in kinds.answers {
            self.answer_claim(claim, status, answer).await?;
        }
        kinds.gone.sort_unstable();
        kinds.unpaused.extend(&kinds.gone);
        kinds.unpaused.sort_unstable();
        self.change_posts(&kinds.changed).await?;
        self.forget_posts(&kinds.gone).await?;
        self.note_pauses(&kinds.paused).await?;
        self.end_pauses(&kinds.unpaused).await?;
        if !(kinds.users.is_empty() && kinds.detached.is_empty()) {
            self.touch_access().await?;
        }
        for (workspace_id, user, at) in kinds.users {
            self.put_tenant(workspace_id, user, at).await?;
        }
        let mut further = Vec::new();
        for (actor, workspace_id, tenant_id, at) in kinds.detached {
            further.extend(self.detach_tenant(actor, workspace_id, tenant_id, at).await?);
        }
        for (workspace_id, tenant_id, expires_at) in kinds.links {
            self.put_link(workspace_id, tenant_id, expires_at).await?;
        }
        self.open_operations(&kinds.opened).await?;
        self.keep_backups(&kinds.backups).await?;
        // While they are open.
        for (op_id, item, post_id) in kinds.created {
            self.note_created(op_id, item, post_id).await?;
        }
        self.close_operations(&kinds.closed).await?;
        self.end_items(&kinds.items).await?;
        Ok(further)
    }

    /// Each row is looked up by its key. PostgreSQL would as soon read a table of some thousand rows as a whole, or all that is
    /// pending, and knows no better before it has counted them. For the same reason no state below is compared as it is:
    /// that keeps the partial indexes out of the choice.
    async fn plan_by_key(&mut self) -> Result<()> {
        if let Self::Postgres(..) = self {
            self.sql(
                "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
                   set_config('enable_mergejoin', 'off', true), set_config('enable_bitmapscan', 'off', true)",
            )
            .run()
            .await?;
        }
        Ok(())
    }

    async fn change_posts(
        &mut self,
        changed: &[(Place<'_>, Option<PostStatus>, Option<Millis>, Millis)],
    ) -> Result<()> {
        // One by one: two changes of one post are made in their order.
        for ((workspace_id, tenant_id, post_id), status, scheduled_at, at) in changed {
            self.sql(
                "UPDATE posts SET status = COALESCE($4, status), scheduled_at = COALESCE($5, scheduled_at), seen_at = $6
                 WHERE workspace_id = $1 AND tenant_id = $2 AND id = $3",
            )
            .bind(*workspace_id)
            .bind(*tenant_id)
            .bind(*post_id)
            .bind(status.map(PostStatus::as_str))
            .bind(*scheduled_at)
            .bind(*at)
            .run()
            .await?;
        }
        Ok(())
    }

    pub(super) async fn forget_posts(&mut self, gone: &[Place<'_>]) -> Result<()> {
        for chunk in even_chunks(gone) {
            self.sql("DELETE FROM posts WHERE (workspace_id, tenant_id, id) IN (VALUES ")
                .rows(chunk, |sql, (workspace, tenant, post)| {
                    sql.arg(*workspace).and_arg(*tenant).and_arg(*post)
                })
                .push(")")
                .run()
                .await?;
        }
        Ok(())
    }

    async fn note_pauses(&mut self, paused: &[(Place<'_>, &str, Option<Millis>, Millis)]) -> Result<()> {
        for chunk in even_chunks(paused) {
            self.sql("INSERT INTO pauses (workspace_id, tenant_id, post_id, op_id, scheduled_at, paused_at) VALUES ")
                .rows(chunk, |sql, ((workspace, tenant, post), op_id, scheduled_at, at)| {
                    let sql = sql.arg(*workspace).and_arg(*tenant).and_arg(*post);
                    sql.and_arg(*op_id).and_arg(*scheduled_at).and_arg(*at)
                })
                .push(" ON CONFLICT (workspace_id, tenant_id, post_id) DO NOTHING")
                .run()
                .await?;
        }
        Ok(())
    }

    pub(super) async fn end_pauses(&mut self, unpaused: &[Place<'_>]) -> Result<()> {
        for chunk in even_chunks(unpaused) {
            self.sql("DELETE FROM pauses WHERE (workspace_id, tenant_id, post_id) IN (VALUES ")
                .rows(chunk, |sql, (workspace, tenant, post)| {
                    sql.arg(*workspace).and_arg(*tenant).and_arg(*post)
                })
                .push(")")
                .run()
                .await?;
        }
        Ok(())
    }

    async fn put_link(
        &mut self,
        workspace_id: &str,
        tenant_id: &str,
        expires_at: Option<Millis>,
    ) -> Result<()> {
        self.sql("UPDATE tenants SET link_expires_at = $3 WHERE workspace_id = $1 AND id = $2")
            .bind(workspace_id)
            .bind(tenant_id)
            .bind(expires_at)
            .run()
            .await
            .map(drop)
    }

    async fn open_operations(&mut self, opened: &[&Operation]) -> Result<()> {
        let items: Vec<_> = opened.iter().filter_map(|o| o.item.as_ref().map(|item| (item, &o.id))).collect();
        for chunk in even_chunks(&items) {
            let taken = self
                .sql("UPDATE job_items SET state = 'running', op_id = v.column3, attempts = attempts + 1 FROM (VALUES ")
                .rows(chunk, |sql, ((job_id, n), op_id)| sql.arg(job_id).and_arg(*n).and_arg(*op_id))
                .push(") v WHERE job_id = v.column1 AND n = v.column2 AND (state || '') = 'pending'")
                .run()
                .await?;
            if taken != chunk.len() as u64 {
                return Err(Error::Taken);
            }
        }
        for chunk in even_chunks(opened) {
            self.sql(
                "INSERT INTO operations (id, workspace_id, tenant_id, action, target, actor, asked, snapshot, state, job_id,
                   item_n, node, started_at, check_at, checks) VALUES ",
            )
            .rows(chunk, |sql, o| {
                sql.arg(&o.id)
                    .and_arg(&o.workspace_id)
                    .and_arg(&o.tenant_id)
                    .and_arg(o.verb.as_str())
                    .and_arg(&o.target)
                    .and_arg(Json(&o.actor))
                    .and_arg(Json(&o.asked))
                    .and_arg(o.snapshot.as_ref().map(Json))
                    .and_arg(o.state.as_str())
                    .and_arg(o.item.as_ref().map(|i| i.0.as_str()))
                    .and_arg(o.item.as_ref().map(|i| i.1))
                    .and_arg(&o.node)
                    .and_arg(o.started_at)
                    .and_arg(o.started_at)
                    .push(", 0")
            })
            .run()
            .await?;
        }
        Ok(())
    }

    /// A second try has a newer copy.
    async fn keep_backups(&mut self, backups: &[(&str, i64, &[u8], Millis)]) -> Result<()> {
        for chunk in even_chunks(backups) {
            self.sql("INSERT INTO post_backups (job_id, n, sealed, at) VALUES ")
                .rows(chunk, |sql, (job_id, n, sealed, at)| {
                    sql.arg(*job_id).and_arg(*n).and_arg(*sealed).and_arg(*at)
                })
                .push(" ON CONFLICT (job_id, n) DO UPDATE SET sealed = excluded.sealed, at = excluded.at")
                .run()
                .await?;
        }
        Ok(())
    }

    async fn close_operations(&mut self, closed: &[Closed<'_>]) -> Result<()> {
        for chunk in even_chunks(closed) {
            let changed = self
                .sql(
                    "UPDATE operations SET state = v.column2, ended_at = v.column3, check_at = v.column4,
                       upstream_status = COALESCE(v.column5, upstream_status), granted_at = COALESCE(v.column6, granted_at),
                       doubted_at = COALESCE(doubted_at, v.column7) FROM (VALUES ",
                )
                .rows(chunk, |sql, c| {
                    let ended = (c.state != OpState::InDoubt).then_some(c.at);
                    sql.arg(c.op_id)
                        .and_arg(c.state.as_str())
                        .and_arg(ended)
                        .and_arg(c.check_at)
                        .and_arg(c.status.map(i64::from))
                        .and_arg(c.granted_at)
                        .and_arg(c.doubted.then_some(c.at))
                })
                .push(") v WHERE id = v.column1 AND (state || '') IN ('open', 'in_doubt')")
                .run()
                .await?;
            // Somebody else closed it: theirs stands, and this entry must not be written a second time.
            if changed != chunk.len() as u64 {
                return Err(Error::Taken);
            }
        }
        Ok(())
    }

    async fn end_items(&mut self, items: &[(&str, i64, &ItemResult, Millis)]) -> Result<()> {
        for chunk in even_chunks(items) {
            self.sql(
                "UPDATE job_items SET state = v.column3, code = v.column4, message = v.column5, granted_at = v.column6,
                   ended_at = v.column7, attempts = attempts + CASE WHEN state = 'pending' THEN 1 ELSE 0 END FROM (VALUES ",
            )
            .rows(chunk, |sql, (job_id, n, result, at)| {
                let goes_on = [ItemState::Pending, ItemState::Running, ItemState::Unknown];
                sql.arg(*job_id)
                    .and_arg(*n)
                    .and_arg(result.state.as_str())
                    .and_arg(&result.code)
                    .and_arg(&result.message)
                    .and_arg(result.granted_at)
                    .and_arg((!goes_on.contains(&result.state)).then_some(*at))
            })
            .push(
                ") v WHERE job_id = v.column1 AND n = v.column2 AND (state || '') IN ('pending', 'running', 'unknown')",
            )
            .run()
            .await?;
        }
        Ok(())
    }
}
