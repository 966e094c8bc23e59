//! Bulk jobs: list, live page, cancel page. Counters are absolute; they must add up to the total.

use askama::Template;

use super::forms::Choice;
use super::parts::{Badge, Count, Link, Moment, Pager, Tab};
use super::shell::Shell;

/// `/w/{ws}/jobs`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "jobs/list.html")]
pub struct JobListPage {
    pub shell: Shell,
    pub ws: String,
    pub states: Vec<Choice>,
    pub actions: Vec<Choice>,
    /// Who has started jobs.
    pub actors: Vec<Choice>,
    pub result_line: String,
    pub filtered: bool,
    pub rows: Vec<JobRow>,
    pub pager: Pager,
}

#[derive(Clone, Debug, Default)]
pub struct JobRow {
    pub id: String,
    pub url: String,
    /// "Delete 4,180 posts"
    pub title: String,
    pub workspace: String,
    pub actor: String,
    pub badge: Badge,
    pub counters: Counters,
    pub started: Moment,
    /// "2 min 10 s". Empty while queued.
    pub duration: String,
}

/// One of each item state. Sum of all but `total` = `total`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    pub total: Count,
    pub pending: Count,
    pub running: Count,
    pub succeeded: Count,
    pub gone: Count,
    pub skipped: Count,
    pub failed: Count,
    pub unknown: Count,
    pub cancelled: Count,
}

impl Counters {
    /// Items that will not be touched again.
    pub fn done(&self) -> Count {
        Count(self.total.0.saturating_sub(self.pending.0).saturating_sub(self.running.0))
    }

    /// Items not ended yet.
    pub fn left(&self) -> Count {
        Count(self.pending.0 + self.running.0)
    }

    /// At least 1, so that `<progress max>` is valid.
    pub fn max(&self) -> u64 {
        self.total.0.max(1)
    }

    /// Rounded down: 100 means finished.
    pub fn percent(&self) -> u64 {
        self.done().0.saturating_mul(100) / self.max()
    }

    /// Name in the JSON, label, value: in the order they are printed.
    pub fn parts(&self) -> [(&'static str, &'static str, Count); 8] {
        [
            ("succeeded", "Done", self.succeeded),
            ("gone", "Already gone", self.gone),
            ("skipped", "Skipped", self.skipped),
            ("failed", "Failed", self.failed),
            ("unknown", "Unknown", self.unknown),
            ("cancelled", "Cancelled", self.cancelled),
            ("running", "Running", self.running),
            ("pending", "Pending", self.pending),
        ]
    }
}

/// `/w/{ws}/jobs/{id}`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "jobs/show.html")]
pub struct JobPage {
    pub shell: Shell,
    pub ws: String,
    pub id: String,
    /// "Delete 4,180 posts"
    pub title: String,
    /// As in the JSON: `queued running pausing paused completed …`
    pub state: String,
    pub badge: Badge,
    /// Nothing will change any more: no live updates, no refresh.
    pub is_final: bool,
    /// The whole outcome as a sentence, in a final state; else what happens now ("Pausing, finishing 4 in flight.").
    pub summary: String,
    pub counters: Counters,
    /// "4.8/s". Empty: not known.
    pub rate: String,
    /// "about 10 min". Empty: not known.
    pub time_left: String,
    pub actor: String,
    pub reason: String,
    pub started: Moment,
    pub finished: Option<Moment>,
    /// The audit entries of this job.
    pub audit_url: String,
    /// How many copies of posts were taken before they were deleted.
    pub backups: Count,
    pub parent: Option<Link>,
    pub children: Vec<Link>,
    pub can_pause: bool,
    pub can_resume: bool,
    pub can_cancel: bool,
    /// Retry and undo as previews.
    pub follow_ups: Vec<FollowUp>,
    /// `?refresh=` links with the one in force; printed without JavaScript only.
    pub refresh_tabs: Vec<Tab>,
    pub tenants: Vec<JobTenant>,
    pub failures: Vec<FailureGroup>,
    /// The failures that ended last.
    pub latest: Vec<Failure>,
    /// `?result=` as tabs.
    pub tabs: Vec<Tab>,
    pub items: Vec<JobItem>,
    pub pager: Pager,
}

/// A new plan made from the items of this job.
#[derive(Clone, Debug, Default)]
pub struct FollowUp {
    /// `retry`, `undo`.
    pub purpose: &'static str,
    /// "Retry 9 retryable…"
    pub text: String,
}

#[derive(Clone, Debug, Default)]
pub struct JobTenant {
    pub name: String,
    pub url: String,
    pub counters: Counters,
}

#[derive(Clone, Debug, Default)]
pub struct FailureGroup {
    pub code: String,
    pub count: Count,
    /// What the code means.
    pub meaning: String,
    /// Whether to try again.
    pub advice: &'static str,
    /// One message, word for word.
    pub sample: String,
    /// The id under which that one was sent, and what is known of it.
    pub request: Option<Link>,
    pub url: String,
}

#[derive(Clone, Debug, Default)]
pub struct Failure {
    pub code: String,
    pub tenant: String,
    pub post: String,
    pub url: String,
    pub message: String,
}

#[derive(Clone, Debug, Default)]
pub struct JobItem {
    /// The post's id; of one that was made again the new one.
    pub post: String,
    /// Empty: the post is not there any more.
    pub url: String,
    pub content: String,
    pub tenant: String,
    pub badge: Badge,
    /// Skip reason or error message.
    pub detail: String,
    pub code: String,
    /// "asked 14:00, got 14:07"
    pub times: String,
    pub attempts: u64,
    pub at: Option<Moment>,
}

/// `/w/{ws}/jobs/{id}/cancel`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "jobs/cancel.html")]
pub struct CancelPage {
    pub shell: Shell,
    pub ws: String,
    pub id: String,
    pub title: String,
    /// "1,224 already deleted cannot be restored. 2,956 will not be touched."
    pub consequence: String,
}
