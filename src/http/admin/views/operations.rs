//! Changes sent to PostPost, as far as their outcome is or was in doubt: list, one operation. Read only.

use askama::Template;

use super::audit::{AuditRow, Fact};
use super::parts::{Badge, CopyId, Moment, Pager};
use super::shell::Shell;

/// `/w/{ws}/operations`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "operations/list.html")]
pub struct OperationListPage {
    pub shell: Shell,
    pub ws: String,
    /// Not ended: on the first page only.
    pub open: Vec<OperationRow>,
    /// "More are open; the oldest 100 are shown." Empty: not printed.
    pub open_note: String,
    /// Ended, and in doubt before that.
    pub settled: Vec<OperationRow>,
    /// Not the first page.
    pub later: bool,
    pub pager: Pager,
}

#[derive(Clone, Debug, Default)]
pub struct OperationRow {
    pub url: String,
    /// "Delete post 507f…9011"
    pub what: String,
    pub tenant: String,
    pub actor: String,
    pub state: Badge,
    pub started: Moment,
    pub ended: Option<Moment>,
}

/// `/w/{ws}/operations/{id}`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "operations/show.html")]
pub struct OperationPage {
    pub shell: Shell,
    pub ws: String,
    pub what: String,
    pub state: Badge,
    /// How it ended, or where it stands, as a sentence.
    pub summary: String,
    pub started: Moment,
    pub doubted: Option<Moment>,
    pub ended: Option<Moment>,
    /// Who, what, PostPost's answer: in the order they are printed.
    pub facts: Vec<Fact>,
    /// What was asked for, and what was known before.
    pub asked: Vec<Fact>,
    pub before: Vec<Fact>,
    pub id: CopyId,
    /// Empty: this person may not see the log.
    pub audit_url: String,
    pub audit: Vec<AuditRow>,
}
