//! The audit log: list, entry, export form. Read only; must not offer to change anything.

use askama::Template;

use super::forms::Choice;
use super::parts::{Badge, Chip, CopyId, Count, Moment, Pager};
use super::shell::Shell;

/// `/w/{ws}/audit` and `/audit`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "audit/list.html")]
pub struct AuditListPage {
    pub shell: Shell,
    /// `/w/{ws}/audit` or `/audit`: where the forms go.
    pub base: String,
    /// True for `/audit`: the workspace column is drawn.
    pub whole: bool,
    pub filter: AuditFilter,
    pub chips: Vec<Chip>,
    pub clear_url: String,
    pub filter_error: Option<String>,
    /// "Newest first · verified to entry 81,204"
    pub result_line: String,
    pub rows: Vec<AuditRow>,
    pub pager: Pager,
    /// None: this person may not export.
    pub export: Option<ExportForm>,
}

#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// "actor"
    pub actor: String,
    /// "action": one of the list, or empty
    pub actions: Vec<Choice>,
    /// "tenant"
    pub tenants: Vec<Choice>,
    /// "outcome"
    pub outcomes: Vec<Choice>,
    /// "from" and "to": `YYYY-MM-DDTHH:MM`, UTC
    pub from: String,
    pub to: String,
}

/// `POST …/export`, with `format` = `csv` or `ndjson`.
#[derive(Clone, Debug, Default)]
pub struct ExportForm {
    pub rows: Count,
    /// Filters in force, as hidden fields of the same names.
    pub hidden: Vec<(String, String)>,
    /// "Larger than 50,000 rows: …". Empty: not printed.
    pub note: String,
}

#[derive(Clone, Debug, Default)]
pub struct AuditRow {
    pub seq: u64,
    pub url: String,
    pub at: Moment,
    pub actor: String,
    /// "Admin", "API key", "System"
    pub actor_type: String,
    /// `post.delete`
    pub action: String,
    /// "Post 507f…9011", "120 posts (job 142)"
    pub target: String,
    pub target_url: String,
    pub workspace: String,
    pub tenant: String,
    pub outcome: Badge,
    pub address: String,
}

/// `/w/{ws}/audit/{seq}`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "audit/show.html")]
pub struct AuditPage {
    pub shell: Shell,
    pub seq: Count,
    pub action: String,
    pub outcome: Badge,
    pub at: Moment,
    pub back_url: String,
    pub prev_url: Option<String>,
    pub next_url: Option<String>,
    /// Who, what, where: in the order they are printed.
    pub facts: Vec<Fact>,
    /// Address, user agent, request id, session.
    pub context: Vec<Fact>,
    /// Some: personal data was erased by policy; what is left is the commitment.
    pub erased: Option<String>,
    pub changes: Vec<Change>,
    /// The bytes as stored and hashed.
    pub bytes: String,
    pub leaf_hash: CopyId,
}

/// A name and a value, with a link where there is one.
#[derive(Clone, Debug, Default)]
pub struct Fact {
    pub name: String,
    pub value: String,
    pub url: String,
}

#[derive(Clone, Debug, Default)]
pub struct Change {
    pub field: String,
    pub before: String,
    pub after: String,
}

/// `/w/{ws}/audit/exports` and `/audit/exports`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "audit/exports.html")]
pub struct ExportListPage {
    pub shell: Shell,
    /// `/w/{ws}/audit` or `/audit`
    pub base: String,
    pub rows: Vec<ExportRow>,
}

#[derive(Clone, Debug, Default)]
pub struct ExportRow {
    pub url: String,
    /// "Bundle", "NDJSON", "CSV"
    pub format: String,
    /// "action=post.delete", or "Everything"
    pub search: String,
    pub badge: Badge,
    pub entries: Count,
    pub by: String,
    pub created: Moment,
}

/// `/w/{ws}/audit/exports/{id}`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "audit/export.html")]
pub struct ExportPage {
    pub shell: Shell,
    pub base: String,
    pub id: String,
    pub row: ExportRow,
    /// Queued or being made: the page is drawn again.
    pub is_under_way: bool,
    pub done: Count,
    /// Where it stands, as a sentence.
    pub summary: String,
    /// "12.4 MiB", and the file's hash; of a finished file.
    pub size: String,
    pub sha256: String,
    pub expires: Option<Moment>,
    /// There is a file, and this person may have it.
    pub can_download: bool,
    /// A link for somebody without an account can be made.
    pub can_link: bool,
}
