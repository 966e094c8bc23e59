//! Jobs: the execution of a plan. Every post of the plan is one item and ends in exactly one state.

use crate::{
    clock::Millis,
    domain::{
        audit::Actor,
        plans::{BulkAction, PlanOptions},
        posts::PostStatus,
        words,
    },
};

words! {
    JobState {
        Queued = "queued",
        Running = "running",
        Paused = "paused",
        Completed = "completed",
        Cancelled = "cancelled",
        /// By the gateway: too many failures in a row.
        Stopped = "stopped",
    }
}

impl JobState {
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Stopped)
    }
}

words! {
    /// What the operator last asked of a job. The runner follows before its next item.
    Wanted { Run = "run", Pause = "pause", Cancel = "cancel" }
}

words! {
    /// Where one post of a job stands.
    ItemState {
        /// Not begun.
        Pending = "pending",
        /// An intent is on record; the call may be under way.
        Running = "running",
        Succeeded = "succeeded",
        /// It no longer existed; recorded apart from what we did ourselves.
        Gone = "gone",
        Skipped = "skipped",
        Failed = "failed",
        /// Sent, but not answered. The reconciler settles it.
        Unknown = "unknown",
        Cancelled = "cancelled",
    }
}

words! {
    /// Why a plan was made from the items of an earlier job.
    Purpose {
        /// What failed and may go through now.
        Retry = "retry",
        /// What was done is turned back.
        Undo = "undo",
    }
}

/// A job and what it was asked to do.
#[derive(Debug, Clone)]
pub struct Job {
    pub id: String,
    pub workspace_id: String,
    pub plan_id: String,
    pub action: BulkAction,
    pub options: PlanOptions,
    pub reason: String,
    pub actor: Actor,
    pub state: JobState,
    pub wanted: Wanted,
    pub created_at: Millis,
    /// Nothing is sent before; `None`: it began as soon as it could.
    pub starts_at: Option<Millis>,
    pub started_at: Option<Millis>,
    pub ended_at: Option<Millis>,
    /// How many posts its plan was to change: the number that was confirmed.
    pub confirmed: i64,
    pub counts: Counts,
}

/// How many items stand where. The sum of all is always the size of the plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    pub pending: i64,
    pub running: i64,
    pub succeeded: i64,
    pub gone: i64,
    pub skipped: i64,
    pub failed: i64,
    pub unknown: i64,
    pub cancelled: i64,
}

impl Counts {
    pub fn total(&self) -> i64 {
        self.pending + self.running + self.ended() + self.unknown
    }

    /// Items in a final state.
    pub fn ended(&self) -> i64 {
        self.succeeded + self.gone + self.skipped + self.failed + self.cancelled
    }

    pub fn add(&mut self, state: ItemState, count: i64) {
        *match state {
            ItemState::Pending => &mut self.pending,
            ItemState::Running => &mut self.running,
            ItemState::Succeeded => &mut self.succeeded,
            ItemState::Gone => &mut self.gone,
            ItemState::Skipped => &mut self.skipped,
            ItemState::Failed => &mut self.failed,
            ItemState::Unknown => &mut self.unknown,
            ItemState::Cancelled => &mut self.cancelled,
        } += count;
    }
}

/// One post of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobItem {
    pub n: i64,
    pub tenant_id: String,
    pub post_id: String,
    /// What the plan saw; a post that differs is skipped as changed.
    pub expected_status: PostStatus,
    pub expected_at: Option<Millis>,
    pub expected_updated_at: Millis,
    pub target_at: Option<Millis>,
    pub state: ItemState,
    /// Skip reason or error code.
    pub code: Option<String>,
    pub message: Option<String>,
    /// The time upstream gave, which may differ from the one asked for (`contract.md` trap 3).
    pub granted_at: Option<Millis>,
    pub op_id: Option<String>,
    /// The backup that a deleted post is made again from: job and number.
    pub backup: Option<(String, i64)>,
    /// The post that was made.
    pub created_id: Option<String>,
    /// Calls made for it.
    pub attempts: i64,
    pub ended_at: Option<Millis>,
}

/// Whether trying again can help: what failed for a reason that passes. What PostPost refused for what it is, fails again.
pub fn retryable(code: &str) -> bool {
    matches!(
        code,
        "not_applied"
            | "rate_limited"
            | "tenant_unreadable"
            | "upstream_unreachable"
            | "upstream_timeout"
            | "upstream_reset"
            | "upstream_redirect"
            | "upstream_bad_reply"
            | "breaker_open"
            | "overloaded"
            | "http_408"
            | "http_429"
    ) || code.strip_prefix("http_").is_some_and(|status| status.len() == 3 && status.starts_with('5'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_can_be_tried_again() {
        for code in ["http_500", "http_503", "http_429", "not_applied", "rate_limited", "tenant_unreadable"] {
            assert!(retryable(code), "{code}");
        }
        for code in ["http_400", "http_403", "http_5", "POST_LIMIT_REACHED", "", "delete_blocked"] {
            assert!(!retryable(code), "{code}");
        }
    }
}
