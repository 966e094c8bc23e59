//! Workspaces: list, and adding one. Its own page and settings are `workspaces::show`. An upstream key goes from the form
//! to PostPost and, sealed, to the database; no page prints it.

mod change;
mod show;

pub use change::{freeze, import, replace_key, set_policy, unfreeze};
pub use show::show;

use super::{
    super::{Answer, Error},
    present,
    views::{Badge, Choice, Field, NewWorkspacePage, WorkspaceListPage, WorkspaceRow},
    visit::Visit,
};
use crate::{
    access,
    app::App,
    domain::{
        Invalid,
        admins::Right,
        audit::{Action, Actor, Draft, Outcome},
        ids,
        tenants::ManagedUser,
        workspaces::{DeletePolicy, Environment, Workspace, check_base_url, check_name, check_upstream_key},
    },
    envelope,
    store::{
        self,
        posts::{PostFilter, StatusFilter},
        tenants::TenantFilter,
        workspaces::SealedKey,
    },
    upstream::{self, Endpoint, KeyStanding, Patience, types::Failure},
};
use secrecy::SecretString;

/// What is needed to add a workspace.
pub struct NewWorkspace {
    pub name: String,
    pub environment: Environment,
    pub base_url: String,
    /// In clear. The type has no `Debug`, so that it is never printed.
    pub upstream_key: String,
}

/// Tries the key at PostPost, stores the workspace and imports its managed users as tenants. Gives the new id.
///
/// # Errors
/// [`Error::Invalid`] names the form field (`name`, `base_url`, `upstream_key`) that cannot be used, and nothing is stored.
pub async fn add_workspace(
    app: &App,
    actor: &Actor,
    admin_name: &str,
    new: NewWorkspace,
) -> Result<String, Error> {
    let name = check_name(&new.name)?;
    let base_url = check_base_url(&new.base_url)?;
    let key = check_upstream_key(&new.upstream_key)?;
    let id = ids::new_id();
    let endpoint = Endpoint {
        workspace_id: id.clone(),
        base_url: base_url.clone(),
        key: SecretString::from(key),
        standing: KeyStanding::Trial,
    };
    let users = match verify(app, actor, &endpoint).await {
        Ok(users) => users,
        Err(invalid) => {
            let entry = Draft::new(actor, Action::WorkspaceCreate, Outcome::Refused);
            app.audit.record(vec![entry.set("baseUrl", base_url)], Vec::new()).await?;
            return Err(invalid.into());
        }
    };
    not_elsewhere(app, &id, &endpoint, &users)?;
    let sealed = seal(app, &id, key)?;
    let now = app.clock.now();
    let workspace = Workspace {
        id,
        name,
        environment: new.environment,
        base_url,
        key_prefix: sealed.prefix.clone(),
        key_added_at: now,
        key_added_by: admin_name.to_owned(),
        delete_policy: DeletePolicy::Protect,
        frozen: None,
        suspended_at: None,
        suspended_reason: None,
        imported_at: None,
        import_error: None,
        created_at: now,
    };
    match app.db.create_workspace(actor, &workspace, &sealed).await {
        Err(store::Error::Taken) => {
            return Err(Invalid::new("name", "There is a workspace of this name already").into());
        }
        stored => stored?,
    }
    app.db.import_tenants(actor, &workspace.id, &users, app.clock.now()).await?;
    app.access.reload().await?;
    Ok(workspace.id)
}

/// One PostPost account is one workspace: a second one over the same tenants would get around freezes, and split the log.
fn not_elsewhere(app: &App, id: &str, to: &Endpoint, users: &[ManagedUser]) -> Result<(), Error> {
    let others: Vec<_> = app.access.accounts().into_iter().filter(|a| a.workspace.id != id).collect();
    let key = envelope::expose(&to.key).as_bytes();
    let taken = others.iter().find(|other| {
        let same_key = envelope::equal(envelope::expose(&other.endpoint.key).as_bytes(), key);
        let shares = |user: &ManagedUser| {
            app.access.tenant(&other.workspace.id, &user.id).is_some_and(|standing| !standing.detached)
        };
        other.workspace.base_url == to.base_url && (same_key || users.iter().any(shares))
    });
    match taken {
        // The name of a workspace is no secret to those who may add one: the instance's owner sees them all.
        Some(other) => Err(Invalid::new(
            "upstream_key",
            format!("This PostPost account is the workspace {} already", other.workspace.name),
        )
        .into()),
        None => Ok(()),
    }
}

/// Makes the call that a workspace key must be good for, and says what is wrong if it is not.
async fn verify(app: &App, actor: &Actor, to: &Endpoint) -> Result<Vec<ManagedUser>, Invalid> {
    let request_id = actor.context.request_id.clone().unwrap_or_else(ids::new_id);
    app.upstream.list_users(to, &request_id, Patience::DOOR).await.map_err(|failure| why_not(&failure))
}

/// Which field to blame for a key that did not work, in words (ui.md W1).
fn why_not(failure: &Failure) -> Invalid {
    let (field, reason) = match failure {
        Failure::Refused(reply) => {
            let said = reply.error_text().unwrap_or_default();
            let reason = match reply.status {
                401 => {
                    format!("PostPost does not know this key: it is mistyped, revoked or expired ({said})")
                }
                403 if said.contains("Workspace access is not enabled") => {
                    format!(
                        "This is not a workspace key: PostPost has not enabled workspace access for it ({said})"
                    )
                }
                403 if said.contains("API access is not enabled") => {
                    format!("The plan of this PostPost account has no API access ({said})")
                }
                status => format!("PostPost answered {status}: {said}"),
            };
            ("upstream_key", reason)
        }
        Failure::Failed(
            error @ (upstream::Error::Unreachable(_) | upstream::Error::Timeout | upstream::Error::Broken(_)),
        ) => ("base_url", format!("{error}. Nothing was saved; check the address or try again")),
        Failure::Failed(error) => {
            ("base_url", format!("What is at this address does not answer as PostPost does ({error})"))
        }
    };
    Invalid::new(field, reason)
}

fn seal(app: &App, workspace_id: &str, key: &str) -> Result<SealedKey, Error> {
    let sealed = app
        .keyring
        .seal(access::upstream_key_place(workspace_id), key)
        .map_err(|e| Error::Internal(e.to_string()))?;
    let prefix: String = key.chars().take(12).collect();
    Ok(SealedKey { sealed, prefix: format!("{prefix}…") })
}

/// As many scheduled posts as their list shows.
async fn scheduled(app: &App, workspace_id: &str) -> Result<i64, Error> {
    let filter = PostFilter { statuses: vec![StatusFilter::Scheduled], ..PostFilter::default() };
    Ok(app.db.count_posts(workspace_id, &filter).await?)
}

fn badge(workspace: &Workspace) -> Badge {
    Badge::state(match (&workspace.suspended_at, &workspace.frozen) {
        (Some(_), _) => "key_invalid",
        (None, Some(_)) => "frozen",
        (None, None) => "active",
    })
}

pub async fn list(visit: Visit) -> Result<Answer, Error> {
    let app = &visit.app;
    let clocks = visit.clocks();
    let mut rows = Vec::new();
    for account in visit.accounts() {
        let w = &account.workspace;
        if !visit.role_in(&w.id).is_some_and(|role| role.may(Right::Read)) {
            continue;
        }
        let (_, _, _, oldest_sync) = app.db.sync_summary(&w.id).await?;
        rows.push(WorkspaceRow {
            id: w.id.clone(),
            name: w.name.clone(),
            environment: w.environment.to_string(),
            key_prefix: w.key_prefix.clone(),
            state: badge(w),
            tenants: present::count(app.db.count_tenants(&w.id, &TenantFilter::default()).await?),
            scheduled: present::count(scheduled(app, &w.id).await?),
            last_sync: oldest_sync.map(|at| clocks.moment(at)),
            created: clocks.moment(w.created_at),
        });
    }
    Ok(present::page(&WorkspaceListPage { shell: visit.shell("Workspaces"), rows }))
}

pub async fn new(visit: Visit) -> Result<Answer, Error> {
    let form =
        NewWorkspacePage { name: Field::new("name"), base_url: Field::new("base_url"), ..empty_form("") };
    Ok(render_new(&visit, form))
}

fn empty_form(environment: &str) -> NewWorkspacePage {
    let label = |e| match e {
        Environment::Production => "Production",
        Environment::Staging => "Staging",
        Environment::Development => "Development",
    };
    NewWorkspacePage {
        environment: Field::new("environment"),
        environments: Environment::ALL
            .iter()
            .map(|e| Choice::new(e.as_str(), label(*e), e.as_str() == environment))
            .collect(),
        upstream_key: Field::new("upstream_key"),
        ..NewWorkspacePage::default()
    }
}

fn render_new(visit: &Visit, form: NewWorkspacePage) -> Answer {
    let failed = !form.summary().errors.is_empty();
    let title = "Add workspace";
    let shell = if failed { visit.error_shell(title) } else { visit.shell(title) };
    present::page_with_status(if failed { 422 } else { 200 }, &NewWorkspacePage { shell, ..form })
}

pub async fn create(visit: Visit) -> Result<Answer, Error> {
    let typed = &visit.form;
    let mut form = NewWorkspacePage {
        name: Field::filled("name", typed.get("name")),
        base_url: Field::filled("base_url", typed.get("base_url")),
        ..empty_form(typed.get("environment"))
    };
    form.name.error = check_name(typed.get("name")).err().map(|e| e.reason);
    form.base_url.error = check_base_url(typed.get("base_url")).err().map(|e| e.reason);
    form.upstream_key.error = check_upstream_key(typed.get("upstream_key")).err().map(|e| e.reason);
    let Some(environment) = Environment::parse(typed.get("environment")) else {
        form.environment.error = Some("Choose an environment".into());
        return Ok(render_new(&visit, form));
    };
    if !form.summary().errors.is_empty() {
        return Ok(render_new(&visit, form));
    }
    let new = NewWorkspace {
        name: typed.get("name").to_owned(),
        environment,
        base_url: typed.get("base_url").to_owned(),
        upstream_key: typed.get("upstream_key").to_owned(),
    };
    match add_workspace(&visit.app, &visit.actor, &visit.admin.name, new).await {
        Ok(id) => Ok(Answer::see_other(&format!("/w/{id}?done=workspace_added"))),
        Err(Error::Invalid(invalid)) => {
            let field = match invalid.field {
                "name" => &mut form.name,
                "base_url" => &mut form.base_url,
                _ => &mut form.upstream_key,
            };
            field.error = Some(invalid.reason);
            Ok(render_new(&visit, form))
        }
        Err(error) => Err(error),
    }
}
