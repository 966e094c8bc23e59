//! The audit log: list, entry, export form. Read only; must not offer to change anything.

use askama::Template;

use super::forms::Choice;
use super::parts::{Badge, Chip, CopyId, Count, Link, Moment, Pager};
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
    /// "q": the search as it was typed
    pub q: String,
    /// What can be typed, for the help.
    pub qualifiers: Vec<Qualifier>,
    pub filter: AuditFilter,
    pub chips: Vec<Chip>,
    pub clear_url: String,
    pub filter_error: Option<String>,
    /// "4,312 entries · newest first"
    pub result_line: String,
    /// "Verified to entry 81,204 …"
    pub status: String,
    /// Shows all entries of bulk jobs, or folds them again.
    pub folding: Option<Link>,
    pub rows: Vec<AuditRow>,
    pub pager: Pager,
    /// None: this person may not export.
    pub export: Option<ExportForm>,
}

/// One line of the help: what a qualifier finds, and one to copy.
#[derive(Clone, Debug, Default)]
pub struct Qualifier {
    pub finds: &'static str,
    pub example: &'static str,
}

/// Fields that write into the search.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// "action": one of the list, or empty
    pub actions: Vec<Choice>,
    /// "tenant"
    pub tenants: Vec<Choice>,
    /// "outcome"
    pub outcomes: Vec<Choice>,
}

/// `POST …/export`, with `format` = `csv` or `ndjson`.
#[derive(Clone, Debug, Default)]
pub struct ExportForm {
    /// "4,312 entries"
    pub rows: String,
    /// The search in force, as a hidden field.
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
    /// The line stands for all entries of a bulk job's items.
    pub fold: Option<FoldedEntries>,
}

#[derive(Clone, Debug, Default)]
pub struct FoldedEntries {
    /// "8,360 entries"
    pub entries: String,
    /// "4,180 Started, 4,036 Success, 144 Failed"
    pub counts: String,
    /// Where they are shown one by one.
    pub url: String,
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
    /// "8,360 entries of this bulk job"
    pub related: Vec<Link>,
    /// Other entries of the same operation.
    pub related_rows: Vec<AuditRow>,
    /// None: no checkpoint has the entry yet.
    pub proof: Option<EntryProof>,
    pub proof_url: String,
}

/// That the entry is in the tree that a checkpoint signs.
#[derive(Clone, Debug, Default)]
pub struct EntryProof {
    pub size: Count,
    /// Base64, from the leaf up.
    pub hashes: Vec<String>,
    /// The signed note.
    pub checkpoint: String,
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
