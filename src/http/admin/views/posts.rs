//! The posts list across tenants, and one post. Must not print upstream text as anything but text.

use askama::Template;

use super::audit::AuditRow;
use super::forms::Choice;
use super::parts::{Badge, Banner, Chip, CopyId, Count, Counted, Link, Moment, Pager};
use super::shell::Shell;

/// `/w/{ws}/posts`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "posts/list.html")]
pub struct PostListPage {
    pub shell: Shell,
    pub ws: String,
    pub filter: PostFilter,
    pub chips: Vec<Chip>,
    /// The list without any filter.
    pub clear_url: String,
    /// Unknown or contradictory filter values. Some: no rows are drawn, the list is not "empty".
    pub filter_error: Option<String>,
    /// "1 to 50 of 4,312 · sorted by scheduled time, earliest first · synced 40 s ago"
    pub result_line: String,
    /// "2 of 57 tenants failed to sync; their posts may be out of date."
    pub sync_notice: Option<Banner>,
    /// Filters, order and page size as a query string.
    pub query: String,
    /// Filters that this person keeps under names.
    pub views: Vec<SavedView>,
    /// Jobs of this person's that have ended since.
    pub notices: Vec<JobNotice>,
    /// All posts matching the filters.
    pub total: Counted,
    /// Why the list is empty: `none`, `no_match` or `sync_failed`.
    pub empty: &'static str,
    pub rows: Vec<PostRow>,
    pub pager: Pager,
    /// Where the page before ends and the next begins, for the buttons that stand in the pager's place when all are selected.
    pub before: Option<String>,
    pub after: Option<String>,
    pub selection: Selection,
    /// Links of the sortable columns: scheduled, updated.
    pub sort_scheduled: SortLink,
    pub sort_updated: SortLink,
}

impl PostListPage {
    /// " 595" in the actions' names where all that match are selected: as wide as the script would make them.
    pub fn meant(&self) -> String {
        let Counted { n, more } = self.total;
        match self.selection.matching {
            // What is left out makes no difference to what is not counted.
            true if more => format!(" {}", self.total),
            true => format!(" {}", Count(n.0.saturating_sub(self.selection.left_out.0))),
            false => String::new(),
        }
    }
}

/// Filters under a name.
#[derive(Clone, Debug, Default)]
pub struct SavedView {
    pub id: String,
    pub name: String,
    pub url: String,
    /// What is shown is this view.
    pub current: bool,
}

/// A job that has ended and that whoever started it has not looked at since.
#[derive(Clone, Debug, Default)]
pub struct JobNotice {
    /// Of the banner: `ok info warn`
    pub kind: &'static str,
    /// "Job “Delete 4,180 posts” finished: 4,036 deleted, 132 skipped, 12 failed."
    pub text: String,
    pub title: String,
    /// The job's page; `/seen` below it takes the banner away.
    pub url: String,
    /// The list's query, to come back to.
    pub filter: String,
}

/// The GET form. Choices of `sort` and `per` are single, the others many.
#[derive(Clone, Debug, Default)]
pub struct PostFilter {
    /// "tenant", repeated
    pub tenants: Vec<Choice>,
    /// "status", repeated
    pub statuses: Vec<Choice>,
    /// "platform", repeated
    pub platforms: Vec<Choice>,
    /// "tz": the zone of the times that are typed here
    pub zone: String,
    /// "from" and "to": `YYYY-MM-DDTHH:MM`
    pub from: String,
    pub to: String,
    /// "when=none"
    pub no_time: bool,
    /// "created_from" and "created_to", as "from" and "to"
    pub created_from: String,
    pub created_to: String,
    /// "media": with, without or empty
    pub media: Vec<Choice>,
    /// "q"
    pub q: String,
    /// "sort"
    pub sorts: Vec<Choice>,
    /// "per": 25, 50, 100
    pub pers: Vec<Choice>,
    /// Today, next 24 h, next 7 d, overdue, no time. `current` is not used.
    pub presets: Vec<Link>,
}

impl PostFilter {
    /// " (2)" behind the name of a menu with two ticked boxes.
    pub fn ticked(&self, choices: &[Choice]) -> String {
        match choices.iter().filter(|c| c.selected).count() {
            0 => String::new(),
            n => format!(" ({n})"),
        }
    }
}

/// How the bulk form starts out.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Every post matching the filters is meant, but for those left out.
    pub matching: bool,
    /// Under which what is left out is kept; hidden field `selection`. Empty: nothing is yet.
    pub id: String,
    /// The posts of this page; hidden field `shown`.
    pub shown: String,
    /// How many matching posts are left out …
    pub left_out: Count,
    /// … of these on other pages.
    pub elsewhere: Count,
    /// Canonical query string of the filters, order and page size; hidden field `filter`.
    pub filter: String,
    /// The filters in words: "status Failed, tenant Acme". Empty: no filter, the whole workspace.
    pub words: String,
    /// This list with `select=matching`.
    pub select_url: String,
    /// This list without it.
    pub clear_url: String,
}

impl Selection {
    /// " but 3", where some are left out.
    pub fn but(&self) -> String {
        match self.left_out.0 {
            0 => String::new(),
            _ => format!(" but {}", self.left_out),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct SortLink {
    pub url: String,
    /// `ascending`, `descending` or empty
    pub order: &'static str,
}

#[derive(Clone, Debug, Default)]
pub struct PostRow {
    pub id: CopyId,
    pub tenant_id: String,
    pub tenant: String,
    /// Plain text; the page cuts it to two lines.
    pub content: String,
    /// Names in words: "X", "LinkedIn".
    pub platforms: Vec<String>,
    pub badge: Badge,
    pub scheduled: Option<Moment>,
    /// "Paused, was due": printed above the time. Usually empty.
    pub scheduled_note: String,
    pub updated: Moment,
    /// Number of media files.
    pub media: u64,
    /// All that match are selected, and this one is not.
    pub left_out: bool,
}

impl PostRow {
    /// Two names, then "+3".
    pub fn platform_text(&self) -> String {
        let named = self.platforms.iter().take(2).cloned().collect::<Vec<_>>().join(", ");
        match self.platforms.len() {
            n if n > 2 => format!("{named} +{}", n - 2),
            _ => named,
        }
    }

    /// The value of the row's box.
    pub fn key(&self) -> String {
        format!("{}:{}", self.tenant_id, self.id.full)
    }

    /// The start of the content, for the name of the row's box.
    pub fn excerpt(&self) -> String {
        excerpt(&self.content)
    }
}

pub(super) fn excerpt(text: &str) -> String {
    let cut: String = text.chars().take(60).collect();
    if cut.is_empty() {
        "post without text".to_owned()
    } else if cut.len() < text.len() {
        cut + "…"
    } else {
        cut
    }
}

/// `/w/{ws}/posts/{tenant}/{post}`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "posts/show.html")]
pub struct PostPage {
    pub shell: Shell,
    pub ws: String,
    pub id: CopyId,
    pub tenant_id: String,
    pub tenant: String,
    pub content: String,
    pub badge: Badge,
    pub scheduled: Option<Moment>,
    pub created: Option<Moment>,
    pub updated: Option<Moment>,
    /// "mirror, 40 s old" or "PostPost, just now"
    pub source: String,
    /// Paused by us: when, by whom, its time then.
    pub paused_note: Option<String>,
    pub platforms: Vec<PlatformPost>,
    pub media: Vec<String>,
    pub log: Vec<LogEvent>,
    /// Pretty-printed.
    pub raw: String,
    pub audit: Vec<AuditRow>,
    /// Of `delete pause resume reschedule`: those that make sense now.
    pub actions: Vec<&'static str>,
    /// The list it came from, with its filters.
    pub back_url: String,
}

impl PostPage {
    pub fn may(&self, action: &str) -> bool {
        self.actions.contains(&action)
    }

    pub fn excerpt(&self) -> String {
        excerpt(&self.content)
    }
}

#[derive(Clone, Debug, Default)]
pub struct PlatformPost {
    pub platform: String,
    pub account: String,
    pub badge: Badge,
    /// Its id at the platform.
    pub posted_id: Option<String>,
    pub error_code: String,
    pub error_message: String,
    /// "platform answered 401 · can be retried · 15 Mar 2026, 14:30 UTC"
    pub error_detail: String,
    /// Own text where it differs from the group's.
    pub content: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct LogEvent {
    pub at: Moment,
    pub event: String,
    pub platform: String,
    pub detail: String,
}
