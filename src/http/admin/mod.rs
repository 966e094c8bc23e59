//! The HTML door of the operators. `routes` is the site map; every page goes through one of the wrappers in `visit`,
//! which look up the session, the workspace and the right before a handler runs. Must not be imported by the other doors.

mod audit;
mod bulk;
mod dashboard;
mod erasures;
mod errors;
mod follow_ups;
mod form;
mod freshness;
mod job_page;
mod jobs;
mod keys;
mod listed;
mod login;
mod notices;
mod operations;
mod passwords;
mod plan_files;
mod plan_options;
mod plan_page;
mod plan_parts;
mod plans;
mod post_filter;
mod posts;
mod present;
mod saved_views;
mod secrets;
mod selections;
mod settings;
mod statics;
mod tenants;
pub mod views;
mod visit;
mod workspaces;

pub use errors::render_error;
pub use keys::{create_key, rotate_key};
pub use login::{LoginState, note_refused_logins};
pub use passwords::hash as hash_password;
pub use present::page as render_page;
pub use visit::bare_shell;
pub use workspaces::{NewWorkspace, add_workspace};

use super::{Route, route};
use crate::domain::admins::Right::{Audit, Export, Manage, Operate, Read};
use crate::domain::audit::Action::{
    AdminCreate, AdminEndSession, AdminLogin, AdminLogout, AdminSetPassword, AuditErase, AuditExport,
    AuditLink, JobCancel, JobCreate, JobPause, JobResume, KeyCancelRotation, KeyCreate, KeyRevoke, KeyRotate,
    KeyUpdate, PlanCreate, PlanUpdate, TenantCreate, TenantDetach, TenantFreeze, TenantLink, TenantUnfreeze,
    WorkspaceCreate, WorkspaceFreeze, WorkspaceImport, WorkspaceReplaceKey, WorkspaceSetDeletePolicy,
    WorkspaceUnfreeze,
};
use visit::Needs::{In, InstanceOwner, Member, SignedIn};
use visit::{form, page};

/// The site map of the pages.
pub fn routes() -> Vec<Route> {
    let w = |right| In(right);
    vec![
        route("GET", "/static/{hash}/{file}", "anyone", statics::show),
        route("GET", "/setup/{token}", "anyone", login::setup_form),
        route("POST", "/setup/{token}", "anyone", login::setup).writes([AdminCreate, AdminLogin]),
        route("GET", "/login", "anyone", login::form),
        route("POST", "/login", "anyone", login::login).writes([AdminLogin]),
        form("/logout", SignedIn, login::logout).writes([AdminLogout]),
        page("/", SignedIn, dashboard::show),
        page("/settings", SignedIn, settings::show),
        form("/settings", SignedIn, settings::update).writes_none("looks, kept in the browser"),
        form("/settings/preferences", SignedIn, settings::set_preferences).writes_none("a person's own view"),
        form("/settings/password", SignedIn, settings::set_password).writes([AdminSetPassword]),
        form("/settings/sessions/{id}/revoke", SignedIn, settings::revoke_session).writes([AdminEndSession]),
        page("/audit", InstanceOwner, audit::list_all),
        page("/audit/{seq}", InstanceOwner, audit::show_any),
        page("/audit/{seq}/proof.json", InstanceOwner, audit::proof_any),
        form("/audit/export", InstanceOwner, audit::export_all).writes([AuditExport]),
        page("/people", InstanceOwner, erasures::people),
        page("/people/{id}/erase", InstanceOwner, erasures::person_form),
        form("/people/{id}/erase", InstanceOwner, erasures::erase_person).writes([AuditErase]),
        page("/workspaces", SignedIn, workspaces::list),
        page("/workspaces/new", InstanceOwner, workspaces::new),
        form("/workspaces", InstanceOwner, workspaces::create).writes([WorkspaceCreate]),
        page("/w/{ws}", w(Read), workspaces::show),
        form("/w/{ws}/key", w(Manage), workspaces::replace_key).writes([WorkspaceReplaceKey]),
        form("/w/{ws}/policy", w(Manage), workspaces::set_policy).writes([WorkspaceSetDeletePolicy]),
        form("/w/{ws}/freeze", w(Manage), workspaces::freeze).writes([WorkspaceFreeze]),
        form("/w/{ws}/unfreeze", w(Manage), workspaces::unfreeze).writes([WorkspaceUnfreeze]),
        form("/w/{ws}/import", w(Operate), workspaces::import).writes([WorkspaceImport]),
        page("/w/{ws}/tenants", w(Read), tenants::list),
        page("/w/{ws}/tenants/new", w(Operate), tenants::new),
        form("/w/{ws}/tenants", w(Operate), tenants::create).writes([TenantCreate]),
        page("/w/{ws}/tenants/{id}", w(Read), tenants::show),
        form("/w/{ws}/tenants/{id}/freeze", w(Operate), tenants::freeze).writes([TenantFreeze]),
        form("/w/{ws}/tenants/{id}/unfreeze", w(Operate), tenants::unfreeze).writes([TenantUnfreeze]),
        form("/w/{ws}/tenants/{id}/link", w(Operate), tenants::link).writes([TenantLink]),
        page("/w/{ws}/tenants/{id}/detach", w(Operate), tenants::detach_form),
        form("/w/{ws}/tenants/{id}/detach", w(Operate), tenants::detach).writes([TenantDetach]),
        page("/w/{ws}/tenants/{id}/erase", w(Manage), erasures::tenant_form),
        form("/w/{ws}/tenants/{id}/erase", w(Manage), erasures::erase_tenant).writes([AuditErase]),
        page("/w/{ws}/keys", w(Read), keys::list),
        page("/w/{ws}/keys/new", w(Operate), keys::new),
        form("/w/{ws}/keys", w(Operate), keys::create).writes([KeyCreate]),
        page("/w/{ws}/keys/{id}", w(Read), keys::show),
        form("/w/{ws}/keys/{id}/rules", w(Operate), keys::set_rules).writes([KeyUpdate]),
        page("/w/{ws}/keys/{id}/rotate", w(Operate), keys::rotate_form),
        form("/w/{ws}/keys/{id}/rotate", w(Operate), keys::rotate).writes([KeyRotate]),
        form("/w/{ws}/keys/{id}/cancel", w(Operate), keys::cancel_rotation).writes([KeyCancelRotation]),
        page("/w/{ws}/keys/{id}/revoke", w(Operate), keys::revoke_form),
        form("/w/{ws}/keys/{id}/revoke", w(Operate), keys::revoke).writes([KeyRevoke]),
        page("/w/{ws}/secrets/{id}", Member, secrets::show),
        page("/w/{ws}/posts", w(Read), posts::list),
        form("/w/{ws}/posts/selection", w(Operate), selections::turn_page).writes_none("a person's own view"),
        page("/w/{ws}/posts/{tenant}/{post}", w(Read), posts::show),
        form("/w/{ws}/views", w(Read), saved_views::save).writes_none("a person's own view"),
        form("/w/{ws}/views/{id}/delete", w(Read), saved_views::remove).writes_none("a person's own view"),
        form("/w/{ws}/plans", w(Operate), plans::create).writes([PlanCreate, JobCreate]),
        page("/w/{ws}/plans/new", w(Operate), listed::form),
        form("/w/{ws}/plans/new", w(Operate), listed::create).writes([PlanCreate, JobCreate]),
        page("/w/{ws}/plans/{id}", w(Operate), plans::show),
        form("/w/{ws}/plans/{id}/options", w(Operate), plans::set_options).writes([PlanUpdate]),
        form("/w/{ws}/plans/{id}/again", w(Operate), plans::again).writes([PlanUpdate]),
        form("/w/{ws}/plans/{id}/confirm", w(Operate), plans::confirm).writes([JobCreate]),
        page("/w/{ws}/plans/{id}/tenants", w(Operate), plans::tenants),
        page("/w/{ws}/plans/{id}/plan.csv", w(Operate), plan_files::csv),
        page("/w/{ws}/jobs", w(Read), jobs::list),
        page("/w/{ws}/jobs/{id}", w(Read), job_page::show),
        page("/w/{ws}/jobs/{id}/progress.json", w(Read), bulk::progress),
        page("/w/{ws}/jobs/{id}/events", w(Read), bulk::events),
        page("/w/{ws}/jobs/{id}/results.csv", w(Read), bulk::results_csv),
        page("/w/{ws}/jobs/{id}/results.ndjson", w(Read), bulk::results_ndjson),
        page("/w/{ws}/jobs/{id}/backup.ndjson", w(Operate), bulk::backup),
        form("/w/{ws}/jobs/{id}/follow", w(Operate), follow_ups::create).writes([PlanCreate]),
        form("/w/{ws}/jobs/{id}/seen", w(Read), notices::dismiss).writes_none("a person's own view"),
        form("/w/{ws}/jobs/{id}/pause", w(Operate), jobs::pause).writes([JobPause]),
        form("/w/{ws}/jobs/{id}/resume", w(Operate), jobs::resume).writes([JobResume]),
        page("/w/{ws}/jobs/{id}/cancel", w(Operate), jobs::cancel_form),
        form("/w/{ws}/jobs/{id}/cancel", w(Operate), jobs::cancel).writes([JobCancel]),
        page("/w/{ws}/operations", w(Read), operations::list),
        page("/w/{ws}/operations/{id}", w(Read), operations::show),
        page("/w/{ws}/audit", w(Audit), audit::list),
        page("/w/{ws}/audit/{seq}", w(Audit), audit::show),
        page("/w/{ws}/audit/{seq}/proof.json", w(Audit), audit::proof),
        form("/w/{ws}/audit/export", w(Export), audit::export).writes([AuditExport]),
        form("/w/{ws}/audit/link", w(Export), audit::link).writes([AuditLink]),
        route("GET", "/exports/{token}", "a signed link", super::export_link::redeem).writes([AuditExport]),
    ]
}
