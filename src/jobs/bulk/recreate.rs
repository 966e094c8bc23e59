//! Making deleted posts again from their backups: as drafts, with new ids. Never twice of one backup: while an item of a
//! deleted post has no end, no other job has one of it, and with the end it is on record what was made.

use super::Run;
use crate::{
    domain::{created_posts::NewPost, jobs::JobItem, plans::SkipReason},
    store,
};

/// The draft to be made for an item, or why none is.
pub(super) async fn draft_of(run: &Run, item: &JobItem) -> store::Result<Result<NewPost, SkipReason>> {
    let Run { app, account, .. } = run;
    let Some((job_id, n)) = &item.backup else { return Ok(Err(SkipReason::IncompleteCopy)) };
    let found = app.db.backup(&account.workspace.id, &item.tenant_id, job_id, *n).await?;
    let Some(backup) = found else { return Ok(Err(SkipReason::IncompleteCopy)) };
    if backup.recreated {
        return Ok(Err(SkipReason::AlreadyRecreated));
    }
    let copy = app.road.read_backup(job_id, *n, &backup.sealed).ok().filter(|copy| copy.is_complete());
    let Some(copy) = copy else { return Ok(Err(SkipReason::IncompleteCopy)) };
    let platforms = copy.platforms.into_iter().map(|platform| platform.id).collect();
    Ok(Ok(NewPost::draft(copy.content, platforms)))
}
