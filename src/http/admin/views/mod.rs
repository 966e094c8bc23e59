//! What the HTML pages print: one struct per template, filled by the handlers.
//!
//! A view model is ready to print. It must not look anything up, decide who may do what, or know a domain or store
//! type: the modules here import each other and askama, nothing else of the crate.

mod audit;
mod charts;
mod dashboard;
mod erasures;
mod errors;
mod forms;
mod jobs;
mod keys;
mod operations;
mod parts;
mod people;
mod plans;
mod posts;
mod reference;
mod settings;
mod shell;
mod tenants;
mod workspaces;

#[cfg(test)]
mod samples;

pub use audit::{AuditFilter, AuditListPage, AuditPage, AuditRow, Change, ExportForm, Fact};
pub use charts::{Bar, Bars, Day, DayBars};
pub use dashboard::{Attention, DashboardPage, Step, Tile};
pub use erasures::{ErasePage, LastErasure, PeoplePage, PersonRow};
pub use errors::ErrorPage;
pub use forms::{Choice, ChoiceGroup, Field, Summary};
pub use jobs::{
    CancelPage, Counters, Failure, FailureGroup, FollowUp, JobItem, JobListPage, JobPage, JobRow, JobTenant,
};
pub use keys::{
    KeyForm, KeyListPage, KeyPage, KeyRotation, KeyRow, KeyRulesForm, KeyUserRow, NewKeyPage, RevokeKeyPage,
    RotateKeyPage, SecretPage,
};
pub use operations::{OperationListPage, OperationPage, OperationRow};
pub use parts::{Badge, Banner, Chip, CopyId, Count, Counted, Link, Moment, Pager, Tab};
pub use people::{LoginPage, SetupPage};
pub use plans::{
    BadLine, Breakdown, BreakdownRow, Callout, ListedPage, PlanItem, PlanOptions, PlanPage, PlanState,
    PlanTenantsPage, PlanTimes, SkipRow,
};
pub use posts::{
    JobNotice, LogEvent, PlatformPost, PostFilter, PostListPage, PostPage, PostRow, SavedView, Selection,
    SortLink,
};
pub use reference::{
    ReferenceCall, ReferenceDifference, ReferenceField, ReferenceGroup, ReferencePage, ReferenceTerm,
};
pub use settings::{SessionRow, SettingsPage};
pub use shell::{AdminRef, Shell, WorkspaceRef};
pub use tenants::{Connection, DetachPage, NewTenantPage, TenantListPage, TenantPage, TenantRow};
pub use workspaces::{
    Frozen, ImportResult, NewWorkspacePage, WorkspaceListPage, WorkspacePage, WorkspaceRow,
};
