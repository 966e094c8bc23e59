//! Plans: a frozen selection with what would happen to each post. What a job later does is decided here and only here:
//! `actions` has the words, `moves` the new times, `decide` the fate of one post, `ladder` what has to be confirmed how,
//! `lists` posts named in a text, `summary` what a plan comes to.

mod actions;
mod checks;
mod decide;
mod ladder;
mod lists;
mod moves;
mod summary;

pub use actions::{BulkAction, SkipReason};
pub use decide::{Circumstances, DUE_SOON, Turn, decide};
pub use ladder::{Demands, Proof, START_DELAY, demands, typed_count_matches, typed_matches};
pub use lists::{BadLine, Line, read_list};
pub use moves::{Fold, Move, NoTarget, Weekday, local_time, shift, zone};
pub use summary::{Difference, SOON, Summary, TOP_TENANTS};

use crate::{
    clock::{DAY, MINUTE, Millis},
    domain::{posts::PostStatus, words},
};
use serde::{Deserialize, Serialize};

words! {
    /// How the posts of a plan were chosen.
    Source {
        Ticked = "ticked",
        /// All that matched the filter, but for those left out.
        Matching = "matching",
        /// Named in a list of ids or a CSV file.
        Listed = "listed",
        /// Taken from an earlier job.
        Job = "job",
    }
}

/// What happens to a paused post that is resumed although its time has passed, or that has no time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "choice", rename_all = "snake_case")]
pub enum PastDue {
    /// It stays paused.
    #[default]
    Leave,
    /// Every post of the plan, also one whose time is still ahead, goes later by as long as it was paused, rounded up to a
    /// minute: order and distances stay. One without a time, or already late when it was paused, stays paused.
    Shift,
    /// Those that are late or have no time go out one after the other, in the order of their old times.
    Spread { from: Millis, every: Millis },
    /// They go out at once.
    PublishNow,
}

/// What the operator chose on the plan page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlanOptions {
    pub moved: Move,
    pub past_due: PastDue,
    /// The IANA zone in which days are counted and times are shown and typed.
    pub zone: String,
    /// Which of two equal local times is meant when clocks go back. `None`: such posts are left alone.
    pub fold: Option<Fold>,
    /// Upstream calls a second; `None`: the workspace's pace.
    pub rate: Option<u32>,
    /// The job stops after so many failures in a row.
    pub stop_after: u32,
    /// The job begins then, not at once.
    pub starts_at: Option<Millis>,
    /// A copy of each post is kept before it is deleted.
    pub keep_backup: bool,
}

impl Default for PlanOptions {
    /// One day later; past-due posts stay where they are.
    fn default() -> Self {
        Self {
            moved: Move::Days { days: 1 },
            past_due: PastDue::Leave,
            zone: "UTC".into(),
            fold: None,
            rate: None,
            stop_after: STOP_AFTER,
            starts_at: None,
            keep_backup: true,
        }
    }
}

/// How long a plan may be confirmed (ui.md §2.2).
pub const PLAN_LIFE: Millis = 15 * MINUTE;
/// Most posts of one plan.
pub const PLAN_MAX: usize = 50_000;
/// Failures in a row after which a job stops, unless chosen otherwise (ui.md §2.2), and the most that can be chosen.
pub const STOP_AFTER: u32 = 20;
pub const STOP_AFTER_MAX: u32 = 1_000;
/// Most upstream calls a second that can be chosen.
pub const RATE_MAX: u32 = 50;
/// How far ahead a job can be put off.
pub const START_MAX: Millis = 7 * DAY;

/// A stored plan.
#[derive(Debug, Clone)]
pub struct Plan {
    pub id: String,
    pub workspace_id: String,
    pub action: BulkAction,
    pub options: PlanOptions,
    /// The posts list's query the selection was made from.
    pub filter: String,
    pub source: Source,
    /// Matching posts that were left out: (tenant, post).
    pub excluded: Vec<(String, String)>,
    pub created_by: String,
    pub created_at: Millis,
    pub expires_at: Millis,
    /// Age of the oldest mirror the plan was made from.
    pub mirrored_at: Option<Millis>,
    /// Of the whole plan: what is confirmed is what was shown.
    pub digest: String,
    pub summary: Summary,
    /// What has changed since the preview before this one, if there was one.
    pub difference: Option<Difference>,
    pub job_id: Option<String>,
}

/// One post of a plan, with the state it had.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanItem {
    pub n: i64,
    pub tenant_id: String,
    pub post_id: String,
    pub content: String,
    pub status: PostStatus,
    pub platforms: String,
    pub scheduled_at: Option<Millis>,
    pub updated_at: Millis,
    /// The time the post was listed with ([`Move::Listed`]).
    pub wanted_at: Option<Millis>,
    /// Where a reschedule would move it; for a resume, the time it goes out. `None` on a resume that is acted on: at once.
    pub target_at: Option<Millis>,
    /// The backup that a deleted post is made again from: job and number.
    pub backup: Option<(String, i64)>,
    pub skip: Option<SkipReason>,
}
