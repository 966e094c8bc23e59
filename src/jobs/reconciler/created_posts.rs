//! What became of a create in doubt, told from the tenant's list: a post with the same content, for the same platforms and
//! time, made since the call began, that was not there before and that no other create has made. One post is never the
//! effect of two creates: the database holds each as made by one.

use super::{Finding, MOVED_MAX, begun_upstream, stored};
use crate::{
    access::Account,
    app::App,
    clock::Millis,
    domain::{
        created_posts::platform_set,
        ids,
        operations::{OpState, Operation},
        posts::Post,
    },
    proxy::BEFORE_UNTOLD,
    store::operations::Effect,
    upstream::{Patience, pacing::Lane, types::Failure},
};
use std::collections::BTreeSet;

pub(super) async fn created(app: &App, account: &Account, operation: &Operation) -> Result<Finding, Failure> {
    let (mut posts, mut totals) = (Vec::new(), BTreeSet::new());
    for page in 1.. {
        app.pacing.turns(&operation.workspace_id, Lane::Jobs, 1).await;
        let (tenant, sort) = (operation.tenant_id.as_deref(), ("createdAt", "desc"));
        let listed = app
            .upstream
            .list_posts(&account.endpoint, tenant, page, sort, &ids::new_id(), Patience::BACKGROUND)
            .await?;
        totals.insert(listed.total);
        let more =
            listed.has_next && listed.posts.last().is_some_and(|p| p.created_at >= begun(app, operation));
        posts.extend(listed.posts);
        if !more {
            break;
        }
    }
    // The others are asked for after the list: one that ended meanwhile has its post on record by then.
    let mut others = stored(app.db.unsettled_creates(&operation.workspace_id).await)?;
    others.retain(|o| {
        o.id != operation.id
            && o.tenant_id == operation.tenant_id
            && o.asked.content == operation.asked.content
    });
    posts.retain(|post| match fit(app, operation, post) {
        Fit::Exact => true,
        // The time that another one asked for is not ours moved.
        Fit::Moved => !others.iter().any(|o| fit(app, o, post) == Fit::Exact),
        Fit::No => false,
    });
    let taken = posts.iter().map(|p| p.id.clone()).collect::<Vec<_>>();
    let taken = stored(app.db.created_by_others(&operation.workspace_id, &taken).await)?;
    posts.retain(|post| !taken.contains(&post.id));
    // The earliest: a later one may be the effect of a later call.
    let Some(post) = posts.into_iter().min_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)))
    else {
        // While the list moves, what slides over a page's border is not seen.
        return Ok(if totals.len() > 1 { Finding::Unclear } else { Finding::NotYet });
    };
    // One under way may be the one that made it. Of two whose processes have died, the earlier waits for the later.
    let waits_for = |o: &Operation| {
        o.state == OpState::Open
            && (operation.state == OpState::InDoubt || o.started_at > operation.started_at)
            && fit(app, o, &post) != Fit::No
    };
    if others.iter().any(waits_for) {
        return Ok(Finding::AfterAnother);
    }
    let granted = post.scheduled_at.filter(|_| operation.asked.scheduled_at.is_some());
    let effect =
        Effect::Created { op_id: operation.id.clone(), item: operation.item.clone(), post_id: post.id };
    Ok(Finding::Closed(OpState::Applied, vec![effect], granted))
}

/// The moment the call began by upstream's clock, or a little before.
fn begun(app: &App, operation: &Operation) -> Millis {
    begun_upstream(app, operation).unwrap_or(operation.started_at - BEFORE_UNTOLD)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    No,
    /// At a later time than asked for, as upstream may move it.
    Moved,
    Exact,
}

/// Whether a post may be what the operation has made.
fn fit(app: &App, operation: &Operation, post: &Post) -> Fit {
    let asked = &operation.asked;
    let begun = begun(app, operation);
    let known = operation.snapshot.as_ref().is_some_and(|s| s.known.contains(&post.id));
    let digest = || {
        let tenant = operation.tenant_id.as_deref();
        app.keyring.content_digest(&operation.workspace_id, tenant, &post.content)
    };
    if known
        || post.created_at < begun
        || platform_set(post.platforms.iter().map(|p| p.id.as_str())) != asked.platforms
        || asked.content.as_deref() != Some(digest().as_str())
    {
        return Fit::No;
    }
    match (asked.scheduled_at, post.scheduled_at) {
        (asked, got) if asked == got => Fit::Exact,
        // A time that has passed becomes now.
        (Some(at), Some(got)) if (at..=at.max(begun) + MOVED_MAX).contains(&got) => Fit::Moved,
        _ => Fit::No,
    }
}
