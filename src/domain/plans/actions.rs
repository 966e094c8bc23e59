//! What bulk work does to posts, and why it leaves one alone, as words.

use crate::domain::{keys::Scope, words};

words! {
    /// What bulk work does to posts.
    BulkAction {
        Delete = "delete",
        Pause = "pause",
        Resume = "resume",
        Reschedule = "reschedule",
        /// Deleted posts are made again, from their backups.
        Recreate = "recreate",
    }
}

impl BulkAction {
    /// What can be chosen for posts that are there.
    pub fn of_posts(word: &str) -> Option<Self> {
        Self::parse(word).filter(|action| *action != Self::Recreate)
    }

    /// What a key needs to do this to posts.
    pub fn scope(self) -> Scope {
        match self {
            Self::Delete => Scope::PostsDelete,
            Self::Recreate => Scope::PostsCreate,
            Self::Pause | Self::Resume | Self::Reschedule => Scope::PostsUpdate,
        }
    }

    /// As the first word of a sentence.
    pub fn label(self) -> &'static str {
        match self {
            Self::Delete => "Delete",
            Self::Pause => "Pause",
            Self::Resume => "Resume",
            Self::Reschedule => "Reschedule",
            Self::Recreate => "Recreate",
        }
    }
}

words! {
    /// Why a planned post is left alone (ui.md §2.2).
    SkipReason {
        Published = "published",
        Processing = "processing",
        DueSoon = "due_soon",
        NotUpdatable = "not_updatable",
        AlreadyDone = "already_done",
        NotPausedByUs = "not_paused_by_us",
        PastTime = "past_time",
        NoTime = "no_time",
        NoSuchTime = "no_such_time",
        TimeTwice = "time_twice",
        TenantFrozen = "tenant_frozen",
        TenantDetached = "tenant_detached",
        Locked = "locked",
        Changed = "changed",
        LimitReached = "limit_reached",
        AlreadyRecreated = "already_recreated",
        IncompleteCopy = "incomplete_copy",
    }
}

impl SkipReason {
    /// For the skip table.
    pub fn text(self) -> &'static str {
        match self {
            Self::Published => "Published: live on a platform, deleting would not take it down",
            Self::Processing => "Publishing right now",
            Self::DueSoon => "Due within 2 minutes: may start publishing before our call",
            Self::NotUpdatable => "Neither draft nor scheduled",
            Self::AlreadyDone => "Already in the state asked for",
            Self::NotPausedByUs => "A draft that was not paused here: only what was paused here is resumed",
            Self::PastTime => "Its time would be in the past: PostPost would publish it at once",
            Self::NoTime => "Has no time: PostPost would publish it at once",
            Self::NoSuchTime => "Its new time does not exist: clocks go forward over it that day",
            Self::TimeTwice => "Its new time comes twice: clocks go back that day. Choose which is meant",
            Self::TenantFrozen => "The tenant is frozen",
            Self::TenantDetached => "The tenant is detached",
            Self::Locked => "In another running job",
            Self::Changed => "Changed since the preview",
            Self::AlreadyRecreated => "Already recreated from this backup",
            Self::IncompleteCopy => {
                "Its backup cannot be read, or has no text or no account: PostPost makes no post of it"
            }
            Self::LimitReached => "The tenant's plan limit was reached",
        }
    }
}
