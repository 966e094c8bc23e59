//! Pages of tenants. Must not hold a connection link: it is shown once, on the page of secrets.

use askama::Template;

use super::audit::AuditRow;
use super::forms::{Field, Summary};
use super::parts::{Badge, CopyId, Count, Link, Moment, Pager, Tab};
use super::shell::Shell;
use super::workspaces::Frozen;

/// `/w/{ws}/tenants`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "tenants/list.html")]
pub struct TenantListPage {
    pub shell: Shell,
    pub ws: String,
    /// Text searched for, `q`.
    pub q: String,
    /// Value of the state filter in force, kept as a hidden field of the search. Empty: none.
    pub state: String,
    /// `?state=` as tabs: all, active, frozen, detached, failing.
    pub tabs: Vec<Tab>,
    /// "1 to 50 of 57"
    pub result_line: String,
    /// True: a search or filter is in force, so an empty list means "no match".
    pub filtered: bool,
    pub rows: Vec<TenantRow>,
    pub pager: Pager,
}

#[derive(Clone, Debug, Default)]
pub struct TenantRow {
    pub id: String,
    pub name: String,
    pub username: String,
    pub upstream_id: CopyId,
    pub state: Badge,
    pub scheduled: Count,
    /// In the last 7 days.
    pub failed: Count,
    /// Exactly those.
    pub failed_url: String,
    pub last_published: Option<Moment>,
    pub last_sync: Option<Moment>,
    pub sync_error: Option<String>,
    /// "None", "Valid until 3 Apr 2026", "Expired 3 Mar 2026".
    pub link_state: String,
}

/// `/w/{ws}/tenants/new`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "tenants/new.html")]
pub struct NewTenantPage {
    pub shell: Shell,
    pub ws: String,
    pub error: Option<String>,
    /// "username"
    pub username: Field,
    /// "display_name"
    pub display_name: Field,
    /// The tenant that has this username already.
    pub existing: Option<Link>,
}

impl NewTenantPage {
    pub fn summary(&self) -> Summary {
        Summary::of(&self.error, &[&self.username, &self.display_name])
    }
}

/// `/w/{ws}/tenants/{id}`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "tenants/show.html")]
pub struct TenantPage {
    pub shell: Shell,
    pub ws: String,
    pub id: String,
    pub name: String,
    pub username: String,
    pub upstream_id: CopyId,
    pub state: Badge,
    pub created: Moment,
    pub scheduled: Count,
    pub published: Count,
    pub failed: Count,
    pub keys: Count,
    pub last_published: Option<Moment>,
    pub last_sync: Option<Moment>,
    pub sync_error: Option<String>,
    pub frozen: Option<Frozen>,
    /// True: no forms are drawn any more.
    pub detached: bool,
    pub connections: Vec<Connection>,
    /// Some: the connections could not be read just now.
    pub connections_error: Option<String>,
    pub link_state: String,
    pub error: Option<String>,
    /// "days"
    pub days: Field,
    /// "reason" of the freeze form.
    pub reason: Field,
    pub audit: Vec<AuditRow>,
}

impl TenantPage {
    pub fn summary(&self) -> Summary {
        match self.frozen {
            Some(_) => Summary::of(&self.error, &[&self.days]),
            None => Summary::of(&self.error, &[&self.days, &self.reason]),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Connection {
    pub platform: String,
    pub handle: String,
    pub id: CopyId,
    pub badge: Badge,
    pub expires: Option<Moment>,
    pub last_success: Option<Moment>,
    pub last_error: Option<String>,
}

/// `/w/{ws}/tenants/{id}/detach`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "tenants/detach.html")]
pub struct DetachPage {
    pub shell: Shell,
    pub ws: String,
    pub id: String,
    pub name: String,
    pub username: String,
    pub scheduled: Count,
    /// Working keys that will open nothing any more.
    pub keys: Count,
    pub error: Option<String>,
    /// "confirm"; asked for when posts are scheduled.
    pub confirm: Field,
}

impl DetachPage {
    pub fn summary(&self) -> Summary {
        match self.scheduled.0 {
            0 => Summary::of(&self.error, &[]),
            _ => Summary::of(&self.error, &[&self.confirm]),
        }
    }
}
