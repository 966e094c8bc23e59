//! The reference of the tenant door, as a page. Public: it must not print anything of this installation but its address.

use askama::Template;

use super::shell::Shell;

#[derive(Template, Clone, Debug, Default)]
#[template(path = "reference/show.html")]
pub struct ReferencePage {
    pub shell: Shell,
    pub base_url: String,
    pub scopes: Vec<ReferenceTerm>,
    pub groups: Vec<ReferenceGroup>,
    pub statuses: Vec<ReferenceTerm>,
    pub differences: Vec<ReferenceDifference>,
}

/// A word and what it means.
#[derive(Clone, Debug, Default)]
pub struct ReferenceTerm {
    pub word: String,
    pub about: String,
}

/// Calls under one heading.
#[derive(Clone, Debug, Default)]
pub struct ReferenceGroup {
    pub name: String,
    pub anchor: String,
    pub calls: Vec<ReferenceCall>,
}

#[derive(Clone, Debug, Default)]
pub struct ReferenceCall {
    pub anchor: String,
    pub method: String,
    pub path: String,
    pub summary: String,
    pub needs: String,
    /// Its action in the audit log; empty: it is not audited.
    pub action: String,
    /// Whether it takes an `Idempotency-Key`.
    pub once: bool,
    /// Seconds.
    pub timeout: u32,
    pub query: Vec<ReferenceField>,
    pub body: Vec<ReferenceField>,
    /// A command to paste.
    pub example: String,
}

#[derive(Clone, Debug, Default)]
pub struct ReferenceField {
    pub name: String,
    pub required: bool,
    pub about: String,
}

#[derive(Clone, Debug, Default)]
pub struct ReferenceDifference {
    pub postpost: String,
    pub gateway: String,
    pub why: String,
}
