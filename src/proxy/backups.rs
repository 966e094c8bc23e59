//! Copies of what jobs delete, encrypted for the one item they belong to, and stored with the intent of the delete.

use super::{Caller, Refusal, Road, change::Change};
use crate::{
    domain::{
        posts::{PlatformPost, Post},
        times,
    },
    envelope::{self, CannotOpen},
    store::{self, operations::Effect},
    upstream::Reply,
};
use secrecy::SecretString;
use serde_json::{Value, json};

/// What a deleted post can be made again from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PostCopy {
    pub content: String,
    pub platforms: Vec<PlatformPost>,
    /// Where its media were. The files are not kept.
    pub media: Vec<String>,
}

impl PostCopy {
    /// Whether upstream makes a post of it.
    pub fn is_complete(&self) -> bool {
        !self.content.trim().is_empty() && !self.platforms.is_empty()
    }

    /// Reads what [`copy`] has written. The list's words go first; what it did not tell, `get-post` did.
    fn read(copy: &Value) -> Self {
        let (listed, found) = (&copy["listed"], &copy["post"]["posts"]);
        let texts = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
        };
        let word = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let mut ids = texts(&listed["platforms"]);
        if ids.is_empty() {
            let id =
                |post: &Value| Some(format!("{}-{}", word(&post["platform"])?, word(&post["platformId"])?));
            ids = found.as_array().into_iter().flatten().filter_map(id).collect();
        }
        let platform = |id: String| PlatformPost {
            platform: id.split('-').next().unwrap_or_default().to_owned(),
            status: String::new(),
            id,
        };
        Self {
            content: word(&listed["content"]).or_else(|| word(&found[0]["content"])).unwrap_or_default(),
            platforms: ids.into_iter().map(platform).collect(),
            media: texts(&listed["mediaUrls"]),
        }
    }
}

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

    /// What a copy of a post holds. One that is no JSON, which we never wrote, holds nothing.
    pub fn read_backup(&self, job_id: &str, n: i64, sealed: &[u8]) -> Result<PostCopy, CannotOpen> {
        let text = self.open_backup(job_id, n, sealed)?;
        Ok(PostCopy::read(&serde_json::from_str(envelope::expose(&text)).unwrap_or_default()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_read_from_what_there_is() {
        let found = json!({ "posts": [
            { "platform": "bluesky", "platformId": "did:plc:abc", "content": "Found" },
            { "platform": "telegram", "platformId": "-100", "content": "Found" },
        ]});
        let of = |listed: Value| {
            let copy = PostCopy::read(&json!({ "listed": listed, "post": found }));
            (
                copy.content.clone(),
                copy.platforms.iter().map(|p| p.id.clone()).collect::<Vec<_>>(),
                copy.is_complete(),
            )
        };
        let listed = json!({ "content": "Listed", "platforms": ["twitter-1"], "mediaUrls": ["https://x.example/a.jpg"] });
        assert_eq!(of(listed.clone()), ("Listed".into(), vec!["twitter-1".into()], true));
        let both = vec!["bluesky-did:plc:abc".to_owned(), "telegram--100".into()];
        assert_eq!(of(Value::Null), ("Found".into(), both, true));
        let copy = PostCopy::read(&json!({ "listed": listed }));
        assert_eq!((copy.media.len(), copy.platforms[0].platform.as_str()), (1, "twitter"));
        assert!(!PostCopy::read(&Value::Null).is_complete());
        let blank = json!({ "listed": { "content": " ", "platforms": ["twitter-1"] }, "post": null });
        assert!(!PostCopy::read(&blank).is_complete());
    }
}
