//! The dashboard. Must not hold numbers without a link to the list behind them.

use askama::Template;

use super::audit::AuditRow;
use super::charts::{Bars, DayBars};
use super::jobs::JobRow;
use super::operations::OperationRow;
use super::parts::{Count, Link};
use super::shell::Shell;

/// `/`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "dashboard/show.html")]
pub struct DashboardPage {
    pub shell: Shell,
    /// "3 Mar 2026, 09:12 UTC, 203.0.113.7, Firefox". Printed after a new sign-in only.
    pub last_sign_in: Option<String>,
    /// Some: an empty install, shown instead of everything else.
    pub checklist: Option<Vec<Step>>,
    /// "Data as of 14:31:40 UTC, 2 of 57 tenants failed to sync."
    pub data_line: String,
    /// The failed tenants, when there are any.
    pub data_link: Option<Link>,
    pub attention: Vec<Attention>,
    /// Four.
    pub tiles: Vec<Tile>,
    pub days: Option<DayBars>,
    pub failures: Option<Bars>,
    pub jobs: Vec<JobRow>,
    /// Changes whose outcome is not known yet.
    pub operations: Vec<OperationRow>,
    /// Where "All operations" leads.
    pub operations_url: String,
    pub audit: Vec<AuditRow>,
    /// Where "All entries" leads.
    pub audit_url: String,
}

/// A row of "needs attention": its link shows as many items as `count` says.
#[derive(Clone, Debug, Default)]
pub struct Attention {
    /// `danger`, `warn` or `info`
    pub kind: &'static str,
    pub count: Count,
    /// Without the number: "posts failed in the last 24 h".
    pub text: String,
    pub url: String,
}

impl Attention {
    pub fn icon(&self) -> &'static str {
        if self.kind == "danger" { "cross" } else { "warn" }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Tile {
    /// "Scheduled"
    pub label: String,
    /// "next 24 h"
    pub period: String,
    /// "1,204"
    pub value: String,
    /// "+12 % on the 24 h before", "1.9 % of attempts". May be empty.
    pub note: String,
    pub url: String,
    /// `danger` colours the number. Usually empty.
    pub kind: &'static str,
}

/// A step of the first-day checklist.
#[derive(Clone, Debug, Default)]
pub struct Step {
    pub done: bool,
    pub text: String,
    /// None: not possible yet.
    pub link: Option<Link>,
}
