//! Pages of workspaces. Must not hold an upstream key: only its printed prefix.

use askama::Template;

use super::forms::{Choice, Field, Summary};
use super::parts::{Badge, Count, Link, Moment};
use super::shell::Shell;

/// `/workspaces`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "workspaces/list.html")]
pub struct WorkspaceListPage {
    pub shell: Shell,
    pub rows: Vec<WorkspaceRow>,
}

#[derive(Clone, Debug, Default)]
pub struct WorkspaceRow {
    pub id: String,
    pub name: String,
    pub environment: String,
    /// `sk_kzq5mjw_…`
    pub key_prefix: String,
    pub state: Badge,
    pub tenants: Count,
    pub scheduled: Count,
    pub last_sync: Option<Moment>,
    pub created: Moment,
}

/// `/workspaces/new`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "workspaces/new.html")]
pub struct NewWorkspacePage {
    pub shell: Shell,
    pub error: Option<String>,
    /// "name"
    pub name: Field,
    /// "environment"; choices `production staging development`
    pub environment: Field,
    pub environments: Vec<Choice>,
    /// "base_url"
    pub base_url: Field,
    /// "upstream_key"; only its error is printed.
    pub upstream_key: Field,
}

impl NewWorkspacePage {
    pub fn summary(&self) -> Summary {
        Summary::of(&self.error, &[&self.name, &self.environment, &self.base_url, &self.upstream_key])
    }
}

/// `/w/{ws}`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "workspaces/show.html")]
pub struct WorkspacePage {
    pub shell: Shell,
    pub ws: String,
    pub name: String,
    pub environment: String,
    pub base_url: String,
    pub state: Badge,
    pub created: Moment,
    pub tenants: Count,
    pub scheduled: Count,
    pub keys: Count,
    pub last_sync: Option<Moment>,
    /// "2 of 57 tenants failed to sync", with the list.
    pub sync_failed: Option<Link>,
    pub key_prefix: String,
    pub key_added_by: String,
    pub key_added_at: Moment,
    /// Why upstream refuses the key now.
    pub key_error: Option<String>,
    /// Some: frozen.
    pub frozen: Option<Frozen>,
    /// `protect` or `any`
    pub policy: String,
    pub import: Option<ImportResult>,
    pub error: Option<String>,
    /// "upstream_key"; only its error is printed.
    pub upstream_key: Field,
    /// "reason" of the freeze form.
    pub reason: Field,
}

impl WorkspacePage {
    pub fn summary(&self) -> Summary {
        match self.frozen {
            Some(_) => Summary::of(&self.error, &[&self.upstream_key]),
            None => Summary::of(&self.error, &[&self.upstream_key, &self.reason]),
        }
    }
}

/// Since when, by whom (empty: not told), why.
#[derive(Clone, Debug, Default)]
pub struct Frozen {
    pub at: Moment,
    pub by: String,
    pub reason: String,
}

#[derive(Clone, Debug, Default)]
pub struct ImportResult {
    /// The last complete one.
    pub at: Option<Moment>,
    /// Some: a later one did not finish.
    pub error: Option<String>,
}
