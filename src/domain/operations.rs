//! Operations: calls that change something upstream, from the intent on record to their one final state.

use crate::{
    clock::Millis,
    domain::{audit::Actor, jobs::ItemState, posts::PostStatus, words},
};
use serde::{Deserialize, Serialize};

words! {
    /// What is changed. The words are the audit log's actions.
    Verb {
        PostCreate = "post.create",
        PostDelete = "post.delete",
        PostUpdate = "post.update",
        TenantCreate = "tenant.create",
        TenantDetach = "tenant.detach",
        TenantLink = "tenant.link",
    }
}

words! {
    OpState {
        /// The intent is on record; the call is under way, or its process has died.
        Open = "open",
        /// Sent and not answered.
        InDoubt = "in_doubt",
        Succeeded = "succeeded",
        Gone = "gone",
        Refused = "refused",
        Failed = "failed",
        Applied = "applied",
        NotApplied = "not_applied",
    }
}

/// What was asked for, as far as the reconciler needs it to tell whether it happened.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled_at: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Of a new post: a keyed digest of its content, which is not ours to keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Of a new post: compound ids, in the order of `created_posts::platform_set`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// Days a connection link should work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_days: Option<i64>,
}

impl Asked {
    pub fn status(&self) -> Option<PostStatus> {
        self.status.as_deref().and_then(PostStatus::parse)
    }
}

/// What we knew of the target just before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Whether upstream confirmed that the post existed.
    pub existed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduled_at: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<crate::domain::posts::PlatformPost>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_expires_at: Option<Millis>,
    /// Of a new post: posts with the same content that were there before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<String>,
    /// The managed user that had the name asked for already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
}

/// A stored operation.
#[derive(Debug, Clone)]
pub struct Operation {
    pub id: String,
    pub workspace_id: String,
    /// `None`: the owner's own account.
    pub tenant_id: Option<String>,
    pub verb: Verb,
    /// The post's or tenant's id; of one to be made empty, until it is known which.
    pub target: String,
    pub actor: Actor,
    pub asked: Asked,
    pub snapshot: Option<Snapshot>,
    pub state: OpState,
    /// The job item this is the call of.
    pub item: Option<(String, i64)>,
    /// The process that made the call.
    pub node: String,
    pub started_at: Millis,
    pub checks: i64,
    pub ended_at: Option<Millis>,
    /// When the outcome was first in doubt, if it ever was.
    pub doubted_at: Option<Millis>,
    /// Upstream's HTTP status, if it answered.
    pub upstream_status: Option<i64>,
    /// The time upstream gave a post, which may differ from the one asked for.
    pub granted_at: Option<Millis>,
}

impl Operation {
    /// The tenant it is about: of a post the one acted for, of a tenant's own change that tenant.
    pub fn about_tenant(&self) -> Option<&str> {
        match self.verb {
            Verb::TenantDetach | Verb::TenantLink => Some(&self.target),
            Verb::TenantCreate => Some(self.target.as_str()).filter(|id| !id.is_empty()),
            Verb::PostCreate | Verb::PostDelete | Verb::PostUpdate => self.tenant_id.as_deref(),
        }
    }

    /// How it ended, or where it stands, as a sentence for whoever asked for the change.
    pub fn how_it_ended(&self) -> &'static str {
        match (self.state, self.verb.of_post()) {
            (OpState::Open, _) => "Under way: PostPost has not answered yet.",
            (OpState::InDoubt, _) => {
                "PostPost gave no clear answer. What became of it is being looked up; nothing is sent again."
            }
            (OpState::Succeeded, _) => "PostPost answered that it made the change.",
            (OpState::Gone, true) if self.doubted_at.is_some() => {
                "The post is not there any more, or no longer in reach. Whether this change or something else ended it is not known."
            }
            (OpState::Gone, true) => "PostPost does not know the post: there was nothing to change.",
            (OpState::Gone, false) => "The tenant is not managed by the workspace's key any more.",
            (OpState::Refused, _) => "PostPost refused the change: it did not happen.",
            (OpState::Failed, _) => "The change did not happen.",
            (OpState::Applied, _) => {
                "PostPost's answer was lost; looked up afterwards, the change did happen."
            }
            (OpState::NotApplied, _) => {
                "PostPost's answer was lost; looked up afterwards, the change did not happen."
            }
        }
    }
}

impl Verb {
    /// Whether a post is changed; else it is a managed user.
    pub fn of_post(self) -> bool {
        matches!(self, Self::PostCreate | Self::PostDelete | Self::PostUpdate)
    }
}

impl OpState {
    /// Where a job item ends when its operation ends so.
    pub fn item_state(self) -> ItemState {
        match self {
            Self::Open => ItemState::Running,
            Self::InDoubt => ItemState::Unknown,
            Self::Succeeded | Self::Applied => ItemState::Succeeded,
            Self::Gone => ItemState::Gone,
            Self::Refused | Self::Failed | Self::NotApplied => ItemState::Failed,
        }
    }
}
