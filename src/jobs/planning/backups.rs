//! Deleted posts as plans see them: from their backups, as they were just before their delete.

use super::{Chosen, OfBackup};
use crate::{
    app::App,
    domain::posts::Post,
    store::{self, posts::MirroredPost},
};
use std::collections::HashSet;

/// Backups opened at a time.
const PAGE: i64 = 200;
/// As much of a text as a plan keeps.
const TEXT: usize = 160;

/// The posts that a job has deleted and kept copies of, or those of these numbers.
pub(super) async fn deleted_posts(
    app: &App,
    workspace_id: &str,
    job_id: &str,
    only: Option<&HashSet<i64>>,
) -> store::Result<Vec<Chosen>> {
    let (mut posts, mut from) = (Vec::new(), 0);
    loop {
        let page = app.db.backups_of_deleted(workspace_id, job_id, from, PAGE).await?;
        let Some(last) = page.last() else { return Ok(posts) };
        from = last.n + 1;
        for backup in page.into_iter().filter(|backup| only.is_none_or(|only| only.contains(&backup.n))) {
            // What cannot be read is shown as what it is: a copy nothing can be made of.
            let copy = app.road.read_backup(job_id, backup.n, &backup.sealed).unwrap_or_else(|error| {
                tracing::error!(job = job_id, item = backup.n, %error, "a backup cannot be read");
                Default::default()
            });
            let post = Post {
                content: copy.content.trim().chars().take(TEXT).collect(),
                platforms: copy.platforms,
                media: copy.media,
                tenant_id: backup.tenant_id,
                id: backup.post_id,
                status: backup.status,
                scheduled_at: backup.scheduled_at,
                created_at: 0,
                updated_at: backup.updated_at,
            };
            posts.push(Chosen {
                mirrored: MirroredPost { post, pause: None, seen_at: 0 },
                wanted_at: None,
                backup: Some(OfBackup {
                    job_id: job_id.to_owned(),
                    n: backup.n,
                    recreated: backup.recreated,
                }),
            });
        }
    }
}
