//! The effects of a batch of records, in a few statements for each kind whatever their number: on PostgreSQL each is a
//! round trip that all calls wait for. All batches lock in one order, which is also that of the mirror's refreshes: leases,
//! posts, pauses, tenants.

use super::{
    Error, Json, Result, Tx,
    idempotency::Claim,
    leases::Fence,
    operations::{Effect, ItemResult},
    sql::Cell,
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
use std::collections::BTreeMap;

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
        // A statement changes a row once: of two changes of one post, the later one counts where it says something.
        let mut latest: BTreeMap<Place<'_>, (Option<PostStatus>, Option<Millis>, Millis)> = BTreeMap::new();
        for (place, status, scheduled_at, at) in changed {
            let known = latest.entry(*place).or_insert((None, None, *at));
            *known = (status.or(known.0), scheduled_at.or(known.1), *at);
        }
        let latest: Vec<_> = latest.into_iter().collect();
        if latest.is_empty() {
            return Ok(());
        }
        self.sql(
            "UPDATE posts SET status = COALESCE(v.column4, status), scheduled_at = COALESCE(v.column5, scheduled_at),
               place_at = COALESCE(v.column5, place_at), seen_at = v.column6 FROM ",
        )
        .table(&latest, |((workspace, tenant, post), (status, scheduled_at, at))| {
            let status = status.map(PostStatus::as_str);
            [
                (*workspace).into(),
                (*tenant).into(),
                (*post).into(),
                status.into(),
                (*scheduled_at).into(),
                (*at).into(),
            ]
        })
        .push(" WHERE workspace_id = v.column1 AND tenant_id = v.column2 AND id = v.column3")
        .run()
        .await
        .map(drop)
    }

    pub(super) async fn forget_posts(&mut self, gone: &[Place<'_>]) -> Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        self.sql("DELETE FROM posts WHERE (workspace_id, tenant_id, id) IN (SELECT * FROM ")
            .table(gone, place)
            .push(")")
            .run()
            .await
            .map(drop)
    }

    async fn note_pauses(&mut self, paused: &[(Place<'_>, &str, Option<Millis>, Millis)]) -> Result<()> {
        if paused.is_empty() {
            return Ok(());
        }
        self.sql(
            "INSERT INTO pauses (workspace_id, tenant_id, post_id, op_id, scheduled_at, paused_at) SELECT * FROM ",
        )
        .table(paused, |((workspace, tenant, post), op_id, scheduled_at, at)| {
            [
                (*workspace).into(),
                (*tenant).into(),
                (*post).into(),
                (*op_id).into(),
                (*scheduled_at).into(),
                (*at).into(),
            ]
        })
        .push(" WHERE true ON CONFLICT (workspace_id, tenant_id, post_id) DO NOTHING")
        .run()
        .await
        .map(drop)
    }

    pub(super) async fn end_pauses(&mut self, unpaused: &[Place<'_>]) -> Result<()> {
        if unpaused.is_empty() {
            return Ok(());
        }
        self.sql("DELETE FROM pauses WHERE (workspace_id, tenant_id, post_id) IN (SELECT * FROM ")
            .table(unpaused, place)
            .push(")")
            .run()
            .await
            .map(drop)
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
        if !items.is_empty() {
            let taken = self
                .sql("UPDATE job_items SET state = 'running', op_id = v.column3, attempts = attempts + 1 FROM ")
                .table(&items, |((job_id, n), op_id)| [job_id.into(), (*n).into(), (*op_id).into()])
                .push(" WHERE job_id = v.column1 AND n = v.column2 AND (state || '') = 'pending'")
                .run()
                .await?;
            if taken != items.len() as u64 {
                return Err(Error::Taken);
            }
        }
        if opened.is_empty() {
            return Ok(());
        }
        self.sql(
            "INSERT INTO operations (id, workspace_id, tenant_id, action, target, actor, asked, snapshot, state, job_id,
               item_n, node, started_at, check_at, checks) SELECT * FROM ",
        )
        .table(opened, |o| {
            [
                (&o.id).into(),
                (&o.workspace_id).into(),
                (&o.tenant_id).into(),
                o.verb.as_str().into(),
                (&o.target).into(),
                Json(&o.actor).into(),
                Json(&o.asked).into(),
                o.snapshot.as_ref().map(Json).into(),
                o.state.as_str().into(),
                o.item.as_ref().map(|i| i.0.as_str()).into(),
                o.item.as_ref().map(|i| i.1).into(),
                (&o.node).into(),
                o.started_at.into(),
                o.started_at.into(),
                0.into(),
            ]
        })
        .run()
        .await
        .map(drop)
    }

    /// A second try has a newer copy.
    async fn keep_backups(&mut self, backups: &[(&str, i64, &[u8], Millis)]) -> Result<()> {
        if backups.is_empty() {
            return Ok(());
        }
        self.sql("INSERT INTO post_backups (job_id, n, sealed, at) SELECT * FROM ")
            .table(backups, |(job_id, n, sealed, at)| {
                [(*job_id).into(), (*n).into(), (*sealed).into(), (*at).into()]
            })
            .push(" WHERE true ON CONFLICT (job_id, n) DO UPDATE SET sealed = excluded.sealed, at = excluded.at")
            .run()
            .await
            .map(drop)
    }

    async fn close_operations(&mut self, closed: &[Closed<'_>]) -> Result<()> {
        if closed.is_empty() {
            return Ok(());
        }
        let changed = self
            .sql(
                "UPDATE operations SET state = v.column2, ended_at = v.column3, check_at = v.column4,
                   upstream_status = COALESCE(v.column5, upstream_status), granted_at = COALESCE(v.column6, granted_at),
                   doubted_at = COALESCE(doubted_at, v.column7) FROM ",
            )
            .table(closed, |c| {
                let ended = (c.state != OpState::InDoubt).then_some(c.at);
                [
                    c.op_id.into(),
                    c.state.as_str().into(),
                    ended.into(),
                    c.check_at.into(),
                    c.status.map(i64::from).into(),
                    c.granted_at.into(),
                    c.doubted.then_some(c.at).into(),
                ]
            })
            .push(" WHERE id = v.column1 AND (state || '') IN ('open', 'in_doubt')")
            .run()
            .await?;
        // Somebody else closed one: theirs stands, and this entry must not be written a second time.
        if changed == closed.len() as u64 { Ok(()) } else { Err(Error::Taken) }
    }

    async fn end_items(&mut self, items: &[(&str, i64, &ItemResult, Millis)]) -> Result<()> {
        if items.is_empty() {
            return Ok(());
        }
        self.sql(
            "UPDATE job_items SET state = v.column3, code = v.column4, message = v.column5, granted_at = v.column6,
               ended_at = v.column7, attempts = attempts + CASE WHEN state = 'pending' THEN 1 ELSE 0 END FROM ",
        )
        .table(items, |(job_id, n, result, at)| {
            let goes_on = [ItemState::Pending, ItemState::Running, ItemState::Unknown];
            [
                (*job_id).into(),
                (*n).into(),
                result.state.as_str().into(),
                (&result.code).into(),
                (&result.message).into(),
                result.granted_at.into(),
                (!goes_on.contains(&result.state)).then_some(*at).into(),
            ]
        })
        .push(
            " WHERE job_id = v.column1 AND n = v.column2 AND (state || '') IN ('pending', 'running', 'unknown')",
        )
        .run()
        .await
        .map(drop)
    }
}

fn place(&(workspace, tenant, post): &Place<'_>) -> [Cell; 3] {
    [workspace.into(), tenant.into(), post.into()]
}
