//! Deleting and updating a post: the policy before the intent, and what a success does to the mirror.

use super::{
    Caller, Changed, Read, Refusal, Road, backups,
    change::{Change, Settled},
};
use crate::{
    clock::SECOND,
    domain::{
        audit::{Action, ActorType, Draft, Outcome, UpstreamResult},
        ids,
        jobs::ItemState,
        operations::{Asked, OpState, Snapshot, Verb},
        posts::{Pause, Post, PostStatus, blocked_delete},
        times,
        updates::Update,
    },
    mirror::RefreshError,
    store::operations::{Effect, ItemResult},
    upstream::{
        Method, Reply,
        types::{Failure, FoundPost, read_granted},
    },
};
use serde_json::Value;

/// An update that ended this lately may not be in the mirror yet; older ones are told apart by their times.
const JUST_UPDATED: i64 = 10 * SECOND;

impl Road {
    /// Deletes a post, under the workspace's delete policy. A post that upstream does not know (any more) is `gone`:
    /// nothing is sent but the look-up, and upstream's 404 is the answer.
    pub async fn delete_post(
        &self,
        caller: &Caller,
        post_id: &str,
        reason: Option<&str>,
    ) -> Result<Changed, Refusal> {
        if !ids::is_object_id(post_id) {
            return Err(Refusal::InvalidId);
        }
        // Both turns now: nothing may lie between the look-up and the delete that it decides about.
        self.turns(caller, 2).await;
        let reply = self.read(caller, Read::GetPost(post_id.to_owned())).await;
        if let Some(seat) = &caller.seat {
            seat.leave();
        }
        let reply = reply?;
        if reply.status == 404 {
            return self.note_gone(caller, post_id, reply).await;
        }
        if !reply.is_success() {
            return self.note_refused(caller, post_id, reply).await;
        }
        let found: FoundPost = serde_json::from_slice(&reply.body)
            .map_err(|e| Refusal::Upstream(crate::upstream::Error::BadReply(e.to_string())))?;
        let statuses = found.posts.iter().map(|p| p.status.as_str());
        let policy = caller.account.workspace.delete_policy;
        if let Some(status) = blocked_delete(policy, statuses, found.processing_status.as_deref()) {
            self.deny(caller, Action::PostDelete, "delete_blocked", Some(("post", post_id))).await?;
            return Err(Refusal::DeleteBlocked(status));
        }
        let mirrored = self.mirrored(caller, post_id).await?.map(|m| m.0);
        let snapshot = snapshot(mirrored.as_ref(), Some(&found));
        let change = Change {
            verb: Verb::PostDelete,
            target: post_id.to_owned(),
            asked: Asked::default(),
            shown: Vec::new(),
            was: shown_before(&snapshot),
            snapshot: Some(snapshot),
            call: self.call(caller, Method::Delete, &["delete-post", post_id]),
            reason: reason.map(str::to_owned),
            backup: caller.keep_backup.then(|| backups::copy(mirrored.as_ref(), &reply)),
        };
        let gone = self.gone_effects(caller, &change);
        self.change(caller, change, |reply, _, _| Settled {
            effects: gone,
            granted_at: None,
            made: None,
            usable: reply.json().is_some_and(|body| body.get("success") == Some(&Value::Bool(true))),
        })
        .await
    }

    /// Changes a post's status or time. Refused if upstream would publish at once, unless `publish_now`.
    pub async fn update_post(
        &self,
        caller: &Caller,
        post_id: &str,
        update: &Update,
        publish_now: bool,
        reason: Option<&str>,
    ) -> Result<Changed, Refusal> {
        if !ids::is_object_id(post_id) {
            return Err(Refusal::InvalidId);
        }
        match self.standing(caller, None) {
            // What keeps a job's post from going out is what the freeze is for.
            Err(Refusal::Frozen(_)) if caller.item.is_some() && update.only_pauses() => {}
            standing => standing?,
        }
        self.after_earlier_update(caller, post_id).await?;
        self.turns(caller, 1).await;
        if !publish_now {
            let on_record = match update.needs_time_on_record() {
                true => match self.time_on_record(caller, post_id).await? {
                    Some(time) => time,
                    None => self.time_of_unlisted(caller, post_id).await?,
                },
                false => None,
            };
            if update.publishes_at_once(on_record, self.clock.now()) {
                self.deny(caller, Action::PostUpdate, "past_time", Some(("post", post_id))).await?;
                return Err(Refusal::PastTime);
            }
        }
        self.know_last_update(caller, post_id).await?;
        let mirrored = self.mirrored(caller, post_id).await?;
        let before = mirrored.as_ref().map(|m| &m.0);
        let was_scheduled = before.is_some_and(|p| p.status == PostStatus::Scheduled);
        let time_before = before.and_then(|p| p.scheduled_at);
        let snapshot = before.map(|post| snapshot(Some(post), None));
        let body = serde_json::to_vec(&update.body).unwrap_or_default();
        let mut call = self.call(caller, Method::Put, &["update-post", post_id]);
        call.body = Some(body.into());
        let mut shown: Vec<(&'static str, Value)> = Vec::new();
        if let Some(status) = update.status {
            shown.push(("status", status.as_str().into()));
        }
        if let Some(at) = update.scheduled_at {
            shown.push(("scheduledTime", times::to_iso(at).into()));
        }
        if publish_now {
            shown.push(("publishNow", true.into()));
        }
        let change = Change {
            verb: Verb::PostUpdate,
            target: post_id.to_owned(),
            asked: Asked {
                status: update.status.map(|s| s.as_str().to_owned()),
                scheduled_at: update.scheduled_at,
                ..Asked::default()
            },
            shown,
            was: snapshot.as_ref().map(shown_before).unwrap_or_default(),
            snapshot,
            call,
            reason: reason.map(str::to_owned),
            backup: None,
        };
        let place = caller
            .tenant
            .clone()
            .map(|tenant| (caller.account.workspace.id.clone(), tenant, post_id.to_owned()));
        // Only what an operator or a job pauses is ours to resume in bulk; a tenant's own draft is the tenant's.
        let pauses = update.status == Some(PostStatus::Draft)
            && was_scheduled
            && (caller.item.is_some() || caller.actor.kind() == ActorType::Admin);
        let resumes = update.status == Some(PostStatus::Scheduled);
        self.change(caller, change, move |reply, op_id, at| {
            let granted = read_granted(reply);
            let mut effects = Vec::new();
            if let Some((workspace_id, tenant_id, post_id)) = place {
                // The post before its pause, in the order in which a refresh of the mirror locks them.
                effects.push(Effect::PostChanged {
                    workspace_id: workspace_id.clone(),
                    tenant_id: tenant_id.clone(),
                    post_id: post_id.clone(),
                    status: granted.status,
                    scheduled_at: granted.scheduled_at,
                    at,
                });
                if pauses {
                    effects.push(Effect::Paused {
                        workspace_id: workspace_id.clone(),
                        tenant_id: tenant_id.clone(),
                        post_id: post_id.clone(),
                        op_id: op_id.to_owned(),
                        scheduled_at: time_before,
                        at,
                    });
                }
                if resumes {
                    effects.push(Effect::Unpaused { workspace_id, tenant_id, post_id });
                }
            }
            let usable = reply.json().is_some_and(|body| body.get("success") == Some(&Value::Bool(true)));
            Settled { effects, granted_at: granted.scheduled_at, usable, made: None }
        })
        .await
    }

    /// What an update in doubt has done is told by comparing the post with how it was before. A mirror that does not know
    /// an update of a moment ago would make that one's effect look like this one's.
    async fn know_last_update(&self, caller: &Caller, post_id: &str) -> Result<(), Refusal> {
        let Some(tenant) = &caller.tenant else { return Ok(()) };
        let since = self.clock.now() - JUST_UPDATED;
        if self.db.updated_since(&caller.account.workspace.id, post_id, since).await? {
            let fresh = self.mirror.ensure_fresh(&caller.account, tenant, 0, caller.patience).await;
            fresh.map_err(not_refreshed)?;
        }
        Ok(())
    }

    /// The time upstream has on record for a post: `None` if it does not know the post, `Some(None)` if there is no time.
    async fn time_on_record(&self, caller: &Caller, post_id: &str) -> Result<Option<Option<i64>>, Refusal> {
        let Some(tenant) = &caller.tenant else { return self.owners_time_on_record(caller, post_id).await };
        // `get-post` tells no time; the list does, and the mirror is the list.
        self.mirror.ensure_fresh(&caller.account, tenant, 0, caller.patience).await.map_err(not_refreshed)?;
        if let Some((post, _)) = self.mirrored(caller, post_id).await? {
            return Ok(Some(post.scheduled_at));
        }
        self.mirror.sweep(&caller.account, tenant, caller.patience).await.map_err(not_refreshed)?;
        Ok(self.mirrored(caller, post_id).await?.map(|(post, _)| post.scheduled_at))
    }

    /// The owner's own account is not mirrored: its list is searched.
    async fn owners_time_on_record(
        &self,
        caller: &Caller,
        post_id: &str,
    ) -> Result<Option<Option<i64>>, Refusal> {
        for page in 1.. {
            let query = [("limit", "100"), ("sortBy", "updatedAt"), ("page", &page.to_string())];
            let query = query.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
            let reply = self.read(caller, Read::ListPosts(query)).await?;
            if !reply.is_success() {
                return Err(unusable(&reply));
            }
            let body = reply.json().unwrap_or_default();
            let posts = body["posts"].as_array().cloned().unwrap_or_default();
            if let Some(post) = posts.iter().find(|p| p["postGroupId"] == post_id) {
                return Ok(Some(post["scheduledTime"].as_str().and_then(times::from_iso)));
            }
            if body["pagination"]["hasNextPage"] != true {
                break;
            }
        }
        Ok(None)
    }

    /// The list does not hold the post. If upstream does not know it either, its own 404 is the answer and nothing can be
    /// published; if it does, the list has moved under us, and the post counts as one without a time.
    async fn time_of_unlisted(&self, caller: &Caller, post_id: &str) -> Result<Option<i64>, Refusal> {
        let reply = self.read(caller, Read::GetPost(post_id.to_owned())).await?;
        match reply.status {
            404 => Ok(Some(i64::MAX)),
            _ if reply.is_success() => Ok(None),
            _ => Err(unusable(&reply)),
        }
    }

    async fn mirrored(
        &self,
        caller: &Caller,
        post_id: &str,
    ) -> Result<Option<(Post, Option<Pause>)>, Refusal> {
        let Some(tenant) = &caller.tenant else { return Ok(None) };
        let found = self.mirror.post(&caller.account.workspace.id, tenant, post_id).await?;
        Ok(found.map(|m| (m.post, m.pause)))
    }

    /// The post is not there: one entry, and the mirror forgets it.
    async fn note_gone(&self, caller: &Caller, post_id: &str, reply: Reply) -> Result<Changed, Refusal> {
        let mut effects = Vec::new();
        if let Some(tenant) = &caller.tenant {
            let workspace_id = caller.account.workspace.id.clone();
            effects.push(Effect::PostGone {
                workspace_id,
                tenant_id: tenant.clone(),
                post_id: post_id.to_owned(),
            });
        }
        self.note_unsent(caller, post_id, reply, OpState::Gone, effects).await
    }

    /// Upstream refused even to show the post.
    async fn note_refused(&self, caller: &Caller, post_id: &str, reply: Reply) -> Result<Changed, Refusal> {
        // A job's item waits while upstream is busy or away; what it documents as its own failure ends the item.
        let hopeless = caller.item.is_some() && reply.status == 500;
        if reply.status >= 500 && !hopeless {
            return Err(unusable(&reply));
        }
        // Nothing to write down: the item comes again, when PostPost says.
        if caller.item.is_some() && reply.status == 429 {
            return Ok(Changed { reply, state: OpState::Refused, granted_at: None, op_id: String::new() });
        }
        self.note_unsent(caller, post_id, reply, OpState::Refused, Vec::new()).await
    }

    async fn note_unsent(
        &self,
        caller: &Caller,
        post_id: &str,
        reply: Reply,
        state: OpState,
        mut effects: Vec<Effect>,
    ) -> Result<Changed, Refusal> {
        // No operation stands behind this record, whose end only one could write down.
        let mut guarded = self.fences(caller);
        guarded.append(&mut effects);
        let mut effects = guarded;
        effects.extend(self.answered(caller, Verb::PostDelete, &reply, state));
        let gone = state == OpState::Gone;
        let code = (!gone).then(|| reply.error_code().unwrap_or_else(|| format!("http_{}", reply.status)));
        let mut entry = Draft::new(
            &caller.actor,
            Action::PostDelete,
            if gone { Outcome::Gone } else { Outcome::Refused },
        )
        .workspace(&caller.account.workspace.id)
        .tenant(caller.tenant.as_deref())
        .target("post", post_id);
        entry.upstream = Some(UpstreamResult {
            status: Some(reply.status),
            latency_ms: reply.latency_ms,
            code: code.clone(),
        });
        if let Some((job_id, n)) = &caller.item {
            entry.job_id = Some(job_id.clone());
            let state = if gone { ItemState::Gone } else { ItemState::Failed };
            let message = (!gone).then(|| reply.error_text().unwrap_or_default());
            let result = ItemResult { state, code, message, granted_at: None };
            effects.push(Effect::Item { job_id: job_id.clone(), n: *n, result, at: self.clock.now() });
        }
        self.audit.record(vec![entry], effects).await.map_err(|error| match error {
            crate::audit::Unavailable::Store(crate::store::Error::Fenced) => self.note_stale(caller, "item"),
            other => Refusal::Audit(other),
        })?;
        Ok(Changed { reply, state, granted_at: None, op_id: String::new() })
    }
}

/// The mirror could not be brought up to date before a change: nothing was sent.
fn not_refreshed(error: RefreshError) -> Refusal {
    match error {
        RefreshError::Store(error) => Refusal::Store(error),
        RefreshError::Upstream(Failure::Failed(error)) => error.into(),
        // The key: `upstream` has noted it.
        RefreshError::Upstream(Failure::Refused(reply)) if reply.status == 401 => Refusal::Suspended,
        RefreshError::Upstream(refused) => {
            Refusal::Upstream(crate::upstream::Error::BadReply(refused.to_string()))
        }
    }
}

/// An answer to a look-up that says nothing about the post.
fn unusable(reply: &Reply) -> Refusal {
    let detail = format!("PostPost answered {} to a look-up before the change", reply.status);
    Refusal::Upstream(crate::upstream::Error::BadReply(detail))
}

/// What is kept of a post before it is changed.
fn snapshot(mirrored: Option<&Post>, found: Option<&FoundPost>) -> Snapshot {
    Snapshot {
        existed: found.is_some(),
        status: mirrored.map(|p| p.status.as_str().to_owned()),
        scheduled_at: mirrored.and_then(|p| p.scheduled_at),
        updated_at: mirrored.map(|p| p.updated_at),
        content: mirrored
            .map(|p| p.content.clone())
            .or_else(|| found?.posts.first().map(|p| p.content.clone())),
        platforms: match (mirrored, found) {
            (Some(post), _) => post.platforms.clone(),
            (None, Some(found)) => found
                .posts
                .iter()
                .map(|p| crate::domain::posts::PlatformPost {
                    id: format!("{}-{}", p.platform, p.platform_id),
                    platform: p.platform.clone(),
                    status: p.status.clone(),
                })
                .collect(),
            (None, None) => Vec::new(),
        },
        media: mirrored.map(|p| p.media.clone()).unwrap_or_default(),
        ..Snapshot::default()
    }
}

/// The allow-listed fields of an entry's "before".
fn shown_before(snapshot: &Snapshot) -> Vec<(&'static str, Value)> {
    let mut was: Vec<(&'static str, Value)> = Vec::new();
    if let Some(status) = &snapshot.status {
        was.push(("status", status.as_str().into()));
    }
    if let Some(at) = snapshot.scheduled_at {
        was.push(("scheduledTime", times::to_iso(at).into()));
    }
    if !snapshot.platforms.is_empty() {
        was.push(("platforms", snapshot.platforms.iter().map(|p| p.id.as_str()).collect::<Vec<_>>().into()));
    }
    was
}
