//! Posts as the mirror keeps them, and the rule about which may be deleted.

use crate::{
    clock::Millis,
    domain::{words, workspaces::DeletePolicy},
};
use serde::{Deserialize, Serialize};

words! {
    /// A post group's status upstream.
    PostStatus {
        Draft = "draft",
        Scheduled = "scheduled",
        Published = "published",
        Failed = "failed",
        PartiallyPublished = "partially_published",
        /// A word of upstream's that we do not know; such a post is shown and left alone.
        Unknown = "unknown",
    }
}

impl PostStatus {
    /// Whether upstream takes an update in this status (`contract.md`, update-post).
    pub fn may_update(self) -> bool {
        matches!(self, Self::Draft | Self::Scheduled)
    }
}

/// The platforms PostPost publishes to.
pub const PLATFORMS: &[&str] = &[
    "twitter",
    "linkedin",
    "instagram",
    "threads",
    "tiktok",
    "youtube",
    "facebook",
    "bluesky",
    "mastodon",
    "telegram",
    "pinterest",
];

/// One target account of a post, as `list-posts` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformPost {
    /// Compound id, such as `twitter-123`.
    pub id: String,
    pub platform: String,
    /// Upstream's word; may be one we do not know.
    pub status: String,
}

/// A post in the mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    pub tenant_id: String,
    /// The post group's id.
    pub id: String,
    pub content: String,
    pub status: PostStatus,
    pub scheduled_at: Option<Millis>,
    pub created_at: Millis,
    pub updated_at: Millis,
    pub platforms: Vec<PlatformPost>,
    pub media: Vec<String>,
}

/// A post we paused and upstream shows as a draft (design §13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    pub paused_at: Millis,
    /// The post's time when it was paused.
    pub scheduled_at: Option<Millis>,
}

/// The word `protect` names when it refuses a delete, or `None` if the post may go: the first of processing, pending,
/// partially_published (published beside others), published. `group` is upstream's word for the group's own processing.
pub fn blocked_delete<'a>(
    policy: DeletePolicy,
    platform_statuses: impl Iterator<Item = &'a str>,
    group: Option<&str>,
) -> Option<&'static str> {
    if policy == DeletePolicy::Any {
        return None;
    }
    let (mut processing, mut pending) = (group == Some("processing"), group == Some("pending"));
    let (mut published, mut other) = (false, false);
    for status in platform_statuses {
        match status {
            "processing" => processing = true,
            "pending" => pending = true,
            "published" => published = true,
            _ => other = true,
        }
    }
    match (processing, pending, published, other) {
        (true, ..) => Some("processing"),
        (_, true, ..) => Some("pending"),
        (_, _, true, true) => Some("partially_published"),
        (_, _, true, false) => Some("published"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delete_table() {
        let blocked =
            |statuses: &[&str], group| blocked_delete(DeletePolicy::Protect, statuses.iter().copied(), group);
        assert_eq!(blocked(&["draft"], None), None);
        assert_eq!(blocked(&["scheduled", "failed"], None), None);
        assert_eq!(blocked(&["failed"], None), None);
        assert_eq!(blocked(&["published", "processing"], None), Some("processing"));
        assert_eq!(blocked(&["scheduled"], Some("processing")), Some("processing"));
        assert_eq!(blocked(&["scheduled"], Some("pending")), Some("pending"));
        assert_eq!(blocked(&["failed"], Some("finished")), None);
        assert_eq!(blocked(&["published", "pending"], None), Some("pending"));
        assert_eq!(blocked(&["published", "failed"], None), Some("partially_published"));
        assert_eq!(blocked(&["published", "published"], None), Some("published"));
        assert_eq!(blocked_delete(DeletePolicy::Any, ["processing"].into_iter(), Some("processing")), None);
    }
}
