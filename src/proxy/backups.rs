//! Copies of what jobs delete, encrypted for the one item they belong to, and stored with the intent of the delete.

use super::{Caller, Refusal, Road, change::Change};
use crate::{
    domain::{posts::Post, times},
    envelope::CannotOpen,
    store::{self, operations::Effect},
    upstream::Reply,
};
use secrecy::SecretString;
use serde_json::json;

impl Road {
    /// The encrypted copy of what a job is about to delete.
    pub(super) fn backup(&self, caller: &Caller, change: &Change) -> Result<Option<Effect>, Refusal> {
        let Some(((job_id, n), text)) = caller.item.as_ref().zip(change.backup.as_ref()) else {
            return Ok(None);
        };
        // Without it nothing is deleted.
        let sealed = self.keyring.seal(place(&row(job_id, *n)), text).map_err(|error| {
            Refusal::Store(store::Error::Corrupt(format!("a backup could not be encrypted: {error}")))
        })?;
        Ok(Some(Effect::Backup { job_id: job_id.clone(), n: *n, sealed, at: self.clock.now() }))
    }

    /// Opens a copy of the post of a job's item.
    pub fn open_backup(&self, job_id: &str, n: i64, sealed: &[u8]) -> Result<SecretString, CannotOpen> {
        self.keyring.open_secret(place(&row(job_id, n)), sealed)
    }
}

/// The row identity that a copy is encrypted for.
fn place(row: &str) -> [&str; 3] {
    ["post_backups", "sealed", row]
}

fn row(job_id: &str, n: i64) -> String {
    format!("{job_id}/{n}")
}

/// All that can be known of a post before it is deleted: what the list has told, and `get-post` as it is.
pub(super) fn copy(mirrored: Option<&Post>, reply: &Reply) -> String {
    let listed = mirrored.map(|post| {
        json!({
            "postGroupId": post.id,
            "content": post.content,
            "status": post.status.as_str(),
            "scheduledTime": post.scheduled_at.map(times::to_iso),
            "createdAt": times::to_iso(post.created_at),
            "updatedAt": times::to_iso(post.updated_at),
            "platforms": post.platforms.iter().map(|p| p.id.as_str()).collect::<Vec<_>>(),
            "mediaUrls": post.media,
        })
    });
    json!({ "listed": listed, "post": reply.json() }).to_string()
}
