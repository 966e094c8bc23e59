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
        MediaUploadUrl = "media.upload_url",
        WebhookCreate = "webhook.create",
        WebhookUpdate = "webhook.update",
        WebhookDelete = "webhook.delete",
        WebhookRotate = "webhook.rotate_secret",
        LinkedinReact = "linkedin.react",
        LinkedinUnreact = "linkedin.unreact",
        LinkedinComment = "linkedin.comment",
        LinkedinUncomment = "linkedin.uncomment",
        BookmarkChange = "bookmark.change",
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
        /// Not answered, and nothing that PostPost shows tells what became of it.
        Unknown = "unknown",
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
    /// The tenant it is about: that whose own record is changed, else the one acted for.
    pub fn about_tenant(&self) -> Option<&str> {
        match self.verb.noun() {
            Noun::Tenant => Some(self.target.as_str()).filter(|id| !id.is_empty()),
            _ => self.tenant_id.as_deref(),
        }
    }

    /// How it ended, or where it stands, as a sentence for whoever asked for the change.
    pub fn how_it_ended(&self) -> &'static str {
        match (self.state, self.verb.noun()) {
            (OpState::Open, _) => "Under way: PostPost has not answered yet.",
            (OpState::InDoubt, _) => {
                "PostPost gave no clear answer. What became of it is being looked up; nothing is sent again."
            }
            (OpState::Succeeded, _) => "PostPost answered that it made the change.",
            (OpState::Gone, Noun::Post) if self.doubted_at.is_some() => {
                "The post is not there any more, or no longer in reach. Whether this change or something else ended it is not known."
            }
            (OpState::Gone, Noun::Post) => "PostPost does not know the post: there was nothing to change.",
            (OpState::Gone, Noun::Tenant) => "The tenant is not managed by the workspace's key any more.",
            (OpState::Gone, _) if self.doubted_at.is_some() => {
                "It is not there any more. Whether this change or something else ended it is not known."
            }
            (OpState::Gone, _) => "PostPost does not know it: there was nothing to change.",
            (OpState::Refused, _) => "PostPost refused the change: it did not happen.",
            (OpState::Failed, _) => "The change did not happen.",
            (OpState::Applied, _) => {
                "PostPost gave no clear answer; looked up afterwards, the change did happen."
            }
            (OpState::NotApplied, _) => {
                "PostPost gave no clear answer; looked up afterwards, the change did not happen."
            }
            (OpState::Unknown, _) => {
                "PostPost gave no clear answer, and nothing it shows tells whether the change happened. It was not sent again."
            }
        }
    }
}

/// What an operation's target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noun {
    Post,
    Tenant,
    Webhook,
    /// Something of a platform's, which has no id of PostPost's.
    Elsewhere,
}

impl Noun {
    /// Its kind in an entry's targets.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::Tenant => "tenant",
            Self::Webhook => "webhook",
            Self::Elsewhere => "",
        }
    }
}

impl Verb {
    pub fn noun(self) -> Noun {
        match self {
            Self::PostCreate | Self::PostDelete | Self::PostUpdate | Self::MediaUploadUrl => Noun::Post,
            Self::TenantCreate | Self::TenantDetach | Self::TenantLink => Noun::Tenant,
            Self::WebhookCreate | Self::WebhookUpdate | Self::WebhookDelete | Self::WebhookRotate => {
                Noun::Webhook
            }
            Self::LinkedinReact
            | Self::LinkedinUnreact
            | Self::LinkedinComment
            | Self::LinkedinUncomment
            | Self::BookmarkChange => Noun::Elsewhere,
        }
    }

    /// Whether the target is made by it.
    pub fn creates(self) -> bool {
        matches!(self, Self::PostCreate | Self::TenantCreate | Self::WebhookCreate)
    }

    /// Whether what became of an unanswered call can be told from what PostPost shows afterwards.
    pub fn can_be_looked_up(self) -> bool {
        match self {
            Self::PostCreate
            | Self::PostDelete
            | Self::PostUpdate
            | Self::TenantCreate
            | Self::TenantDetach
            | Self::TenantLink
            | Self::WebhookDelete => true,
            Self::MediaUploadUrl
            | Self::WebhookCreate
            | Self::WebhookUpdate
            | Self::WebhookRotate
            | Self::LinkedinReact
            | Self::LinkedinUnreact
            | Self::LinkedinComment
            | Self::LinkedinUncomment
            | Self::BookmarkChange => false,
        }
    }

    /// The fields of an answer that are bearer secrets: passed to the caller, kept nowhere.
    pub fn secret_fields(self) -> &'static [&'static str] {
        match self {
            Self::TenantCreate => &["connectionsPageUrl"],
            Self::TenantLink => &["url"],
            Self::WebhookCreate | Self::WebhookUpdate | Self::WebhookRotate => &["secret"],
            _ => &[],
        }
    }
}

impl OpState {
    /// Where a job item ends when its operation ends so.
    pub fn item_state(self) -> ItemState {
        match self {
            Self::Open => ItemState::Running,
            Self::InDoubt | Self::Unknown => ItemState::Unknown,
            Self::Succeeded | Self::Applied => ItemState::Succeeded,
            Self::Gone => ItemState::Gone,
            Self::Refused | Self::Failed | Self::NotApplied => ItemState::Failed,
        }
    }
}
