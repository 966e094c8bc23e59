//! What every page goes through before its handler: session, CSRF, workspace, right, and for forms the once-token.

use super::{
    super::{Answer, Call, Error, Route, route},
    form::Form,
    present::{self, Clocks},
    statics,
    views::{AdminRef, Banner, Shell, WorkspaceRef},
};
use crate::{
    access::Account,
    app::App,
    clock::MINUTE,
    domain::{
        admins::{Admin, Right, Role, SESSION_ABSOLUTE, SESSION_IDLE, Session},
        audit::{Action, Actor, ActorType, Draft, Outcome},
        ids,
        workspaces::Workspace,
    },
    envelope,
    proxy::{Caller, Refusal},
    store::sessions::FormClaim,
    upstream::Patience,
};
use std::{future::Future, sync::Arc, time::Duration};

/// How long a form's second submission waits for the answer to the first, and how often it looks.
const ONCE_WAIT: Duration = Duration::from_secs(5);
const ONCE_LOOK: Duration = Duration::from_millis(100);

/// What a page needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    SignedIn,
    InstanceOwner,
    /// A right in the workspace that the path's `{ws}` names.
    In(Right),
    /// Any role in it.
    Member,
}

/// A signed-in person's request.
pub struct Visit {
    pub app: Arc<App>,
    pub call: Call,
    pub session: Session,
    pub admin: Admin,
    /// As the audit log names this person, with where the request came from.
    pub actor: Actor,
    pub roles: Vec<(String, Role)>,
    /// The workspace of the path, if the page has one.
    account: Option<(Arc<Account>, Role)>,
    /// The body of a POST, or the query of a GET.
    pub form: Form,
}

/// A GET page.
pub fn page<F, Fut>(path: &'static str, needs: Needs, handler: F) -> Route
where
    F: Fn(Visit) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer, Error>> + Send,
{
    route("GET", path, describe(needs), move |app, call| {
        let handler = handler.clone();
        async move {
            let visit = Visit::admit(app, call, needs).await?;
            not_found_is_noted(visit, handler).await
        }
    })
}

/// A POST form: checked against forgery, and run once however often it is sent.
pub fn form<F, Fut>(path: &'static str, needs: Needs, handler: F) -> Route
where
    F: Fn(Visit) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer, Error>> + Send,
{
    route("POST", path, describe(needs), move |app, call| {
        let handler = handler.clone();
        async move {
            if let Err(refused) = check_origin(&app, &call) {
                // A stranger's page, in the browser of somebody we know.
                if let Ok(visit) = Visit::admit(app, call, Needs::SignedIn).await {
                    note_denied(&visit.app, &visit.actor, &visit.call, None, "cross_site").await?;
                }
                return Err(refused);
            }
            let mut visit = Visit::admit(app, call, needs).await?;
            visit.form = Form::from_body(&visit.call)?;
            if !visit.app.keyring.csrf_holds(&visit.session.id, visit.form.get("_csrf")) {
                note_denied(&visit.app, &visit.actor, &visit.call, None, "csrf").await?;
                return Err(Error::Forbidden {
                    code: "csrf",
                    text: "This form is out of date. Go back, reload the page and try again".into(),
                });
            }
            run_once(visit, handler).await
        }
    })
}

fn describe(needs: Needs) -> String {
    match needs {
        Needs::SignedIn => "signed in".into(),
        Needs::InstanceOwner => "instance owner".into(),
        Needs::In(right) => right.to_string(),
        Needs::Member => "any role".into(),
    }
}

/// The same form sent twice (a double click, a reload) is answered as it was the first time, and with other content it is
/// refused. The claim is on the token together with the place, because the forms of one page share its token.
async fn run_once<F, Fut>(visit: Visit, handler: F) -> Result<Answer, Error>
where
    F: Fn(Visit) -> Fut,
    Fut: Future<Output = Result<Answer, Error>>,
{
    let app = visit.app.clone();
    let once = visit.form.get("_once");
    if !(16..=128).contains(&once.len()) {
        return Err(Error::bad("invalid_form", "The form is incomplete. Reload the page and try again"));
    }
    let without_csrf: Vec<String> =
        visit.form.pairs().iter().filter(|(n, _)| n != "_csrf").map(|(n, v)| format!("{n}={v}")).collect();
    let digest = |parts: &[&str]| hex::encode(crate::audit::tree::digest(&[parts.join("\n").as_bytes()]));
    let content = digest(&[&without_csrf.join("\n")]);
    let claim = digest(&[&visit.call.path, &visit.session.id, once]);
    let mut waited = Duration::ZERO;
    loop {
        match app
            .db
            .claim_form(&claim, &content, &visit.session.id, app.leases.node(), app.clock.now())
            .await?
        {
            FormClaim::First => break,
            FormClaim::Answered(location) => return Ok(Answer::see_other(&location)),
            // The browser shows the answer to the last click, so this one waits for that of the first.
            FormClaim::Running if waited < ONCE_WAIT => {
                tokio::time::sleep(ONCE_LOOK).await;
                waited += ONCE_LOOK;
            }
            FormClaim::Running => {
                return Err(Error::Conflict("This form was sent already and is being worked on"));
            }
            FormClaim::Mismatch => return Err(Error::FormMismatch),
            FormClaim::Interrupted => return Err(Error::Interrupted),
        }
    }
    let workspace = visit.account.as_ref().map(|(a, _)| a.workspace.id.clone());
    let result = not_found_is_noted(visit, handler).await;
    let result = match (result, workspace) {
        // Nobody knows yet whether it was done. The operation's page will tell, also to whoever sends the form again.
        (Err(Error::Refused(Refusal::Unknown { op_id, .. } | Refusal::BadReply { op_id })), Some(ws)) => {
            Ok(Answer::see_other(&format!("/w/{ws}/operations/{op_id}")))
        }
        (result, _) => result,
    };
    // Only a redirect is an end; after an error or a form shown again, the person may try again.
    let location = result.as_ref().ok().and_then(Answer::location);
    if let Err(error) = app.db.settle_form(&claim, location).await {
        // What was done was done, and its answer matters more; sent again, the form counts as interrupted after a while.
        tracing::warn!(%error, "a form's answer could not be noted");
    }
    result
}

/// An id that is not there, or not this workspace's: the same 404, and an entry (issue: isolation).
async fn not_found_is_noted<F, Fut>(visit: Visit, handler: F) -> Result<Answer, Error>
where
    F: Fn(Visit) -> Fut,
    Fut: Future<Output = Result<Answer, Error>>,
{
    let app = visit.app.clone();
    let workspace = visit.account.as_ref().map(|(a, _)| a.workspace.id.clone());
    let (actor, call) = (visit.actor.clone(), visit.call.clone());
    let result = handler(visit).await;
    if matches!(result, Err(Error::NotFound)) {
        note_denied(&app, &actor, &call, workspace.as_deref(), "not_found").await?;
    }
    result
}

async fn note_denied(
    app: &App,
    actor: &Actor,
    call: &Call,
    workspace: Option<&str>,
    code: &str,
) -> Result<(), Error> {
    let mut draft = Draft::new(actor, Action::AccessRefuse, Outcome::Denied)
        .set("code", code)
        .set("method", call.method.as_str());
    if let Some(workspace) = workspace {
        draft = draft.workspace(workspace);
    }
    // What was asked for, if it has the shape of an id: never free text of the caller's.
    for name in ["ws", "id", "tenant", "post", "seq"] {
        let value = call.param(name);
        if ids::is_own_id(value) || ids::is_object_id(value) || value.parse::<i64>().is_ok() {
            draft = draft.target(if name == "ws" { "workspace" } else { "id" }, value);
        }
    }
    app.audit.deny(draft).await.map_err(Error::from)
}

/// A state change must come from our own pages (security.md, CSRF): `Sec-Fetch-Site`, where browsers send it, and
/// `Origin` must say so; with neither there is no telling.
pub fn check_origin(app: &App, call: &Call) -> Result<(), Error> {
    let refused =
        || Error::Forbidden { code: "cross_site", text: "This request came from another site".into() };
    let site = call.header("sec-fetch-site");
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return Err(refused());
    }
    match call.header("origin") {
        Some(origin) if app.own_origins.iter().any(|own| own == origin) => Ok(()),
        Some(_) => Err(refused()),
        None if site.is_some() => Ok(()),
        None => Err(refused()),
    }
}

/// The session cookie's name. `__Host-` needs TLS or loopback; the plain one is for `--insecure-http`.
pub fn cookie_name(app: &App) -> &'static str {
    if app.config.insecure_http { "sid" } else { "__Host-sid" }
}

/// One of the request's cookies.
pub fn cookie<'a>(call: &'a Call, name: &str) -> Option<&'a str> {
    let pairs = call.header("cookie")?.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find(|(n, _)| *n == name).map(|(_, value)| value)
}

impl Visit {
    async fn admit(app: Arc<App>, call: Call, needs: Needs) -> Result<Self, Error> {
        let token = cookie(&call, cookie_name(&app)).ok_or(Error::LoginNeeded)?;
        let now = app.clock.now();
        let session =
            app.db.session_by_hash(&envelope::token_hash(token)).await?.ok_or(Error::LoginNeeded)?;
        if session.seen_at < now - SESSION_IDLE || session.created_at < now - SESSION_ABSOLUTE {
            return Err(Error::LoginNeeded);
        }
        let (admin, _) = app.db.admin(&session.admin_id).await?.ok_or(Error::LoginNeeded)?;
        if admin.disabled_at.is_some() {
            return Err(Error::LoginNeeded);
        }
        // A live stream must not keep a session alive that nobody uses (ui.md §2.4).
        if session.seen_at < now - MINUTE
            && !call.path.ends_with("/events")
            && !call.path.ends_with("/progress.json")
        {
            // Pages can be read while nothing can be written; the session then ends a little early.
            if let Err(error) = app.db.touch_session(&session.id, now).await {
                tracing::warn!(%error, "the last use of a session was not noted");
            }
        }
        let mut actor = Actor::new(ActorType::Admin, &admin.id, &admin.email);
        actor.context = call.context();
        actor.context.session_id = Some(session.id.clone());
        let roles = app.db.roles(&admin.id).await?;
        let form = Form::from_query(&call);
        let mut visit = Self { app, call, session, admin, actor, roles, account: None, form };
        visit.authorise(needs).await?;
        Ok(visit)
    }

    async fn authorise(&mut self, needs: Needs) -> Result<(), Error> {
        let refused = Error::Forbidden { code: "role", text: "Your role does not allow this".into() };
        match needs {
            Needs::SignedIn => Ok(()),
            Needs::InstanceOwner if self.admin.instance_owner => Ok(()),
            Needs::InstanceOwner => {
                note_denied(&self.app, &self.actor, &self.call, None, "role").await?;
                Err(refused)
            }
            Needs::In(_) | Needs::Member => {
                let id = self.call.param("ws").to_owned();
                let account = if ids::is_own_id(&id) { self.app.access.account(&id) } else { None };
                let (Some(account), Some(role)) = (account, self.role_in(&id)) else {
                    note_denied(&self.app, &self.actor, &self.call, None, "not_found").await?;
                    return Err(Error::NotFound);
                };
                self.account = Some((account, role));
                if !matches!(needs, Needs::In(right) if !role.may(right)) {
                    return Ok(());
                }
                note_denied(&self.app, &self.actor, &self.call, Some(&id), "role").await?;
                Err(refused)
            }
        }
    }

    /// This person's role in a workspace.
    pub fn role_in(&self, workspace_id: &str) -> Option<Role> {
        if self.admin.instance_owner {
            return Some(Role::Owner);
        }
        self.roles.iter().find(|(w, _)| w == workspace_id).map(|(_, role)| *role)
    }

    /// The workspaces this person may see, by name.
    pub fn accounts(&self) -> Vec<Arc<Account>> {
        let mut accounts = self.app.access.accounts();
        accounts.retain(|a| self.role_in(&a.workspace.id).is_some());
        accounts.sort_by(|a, b| a.workspace.name.cmp(&b.workspace.name));
        accounts
    }

    /// Makes a workspace the page's, on a page whose path names none. `false`, and nothing is changed, without the right.
    pub fn enter(&mut self, workspace_id: &str, right: Right) -> bool {
        let role = self.role_in(workspace_id).filter(|role| role.may(right));
        match (self.app.access.account(workspace_id), role) {
            (Some(account), Some(role)) => {
                self.account = Some((account, role));
                true
            }
            _ => false,
        }
    }

    /// The workspace of the path. Pages without one do not ask.
    pub fn account(&self) -> Result<&Arc<Account>, Error> {
        self.account.as_ref().map(|(account, _)| account).ok_or(Error::NotFound)
    }

    pub fn workspace(&self) -> Result<&Workspace, Error> {
        self.account().map(|a| &a.workspace)
    }

    pub fn may(&self, right: Right) -> bool {
        self.account.as_ref().is_some_and(|(_, role)| role.may(right))
    }

    /// An id of ours in the path; what is not one is not found.
    pub fn own_id(&self, name: &str) -> Result<&str, Error> {
        Some(self.call.param(name)).filter(|id| ids::is_own_id(id)).ok_or(Error::NotFound)
    }

    /// An ObjectId in the path.
    pub fn object_id(&self, name: &str) -> Result<&str, Error> {
        Some(self.call.param(name)).filter(|id| ids::is_object_id(id)).ok_or(Error::NotFound)
    }

    /// This person on the road upstream.
    pub fn caller(&self, tenant: Option<&str>) -> Result<Caller, Error> {
        Ok(Caller {
            actor: self.actor.clone(),
            account: self.account()?.clone(),
            tenant: tenant.map(str::to_owned),
            request_id: self.call.request_id.clone(),
            client: None,
            item: None,
            fence: None,
            claim: None,
            keep_backup: false,
            patience: Patience::DOOR,
            seat: None,
        })
    }

    /// The clocks of this person, for one page.
    pub fn clocks(&self) -> Clocks {
        Clocks::new(self.app.clock.now(), &self.admin.preferences.zone)
    }

    /// What stands around the page.
    pub fn shell(&self, title: impl Into<String>) -> Shell {
        let reference = |w: &Workspace| WorkspaceRef {
            id: w.id.clone(),
            name: w.name.clone(),
            environment: w.environment.to_string(),
        };
        let workspace = self.account.as_ref().map(|(a, _)| &a.workspace);
        Shell {
            workspace: workspace.map(reference),
            workspaces: self.accounts().iter().map(|a| reference(&a.workspace)).collect(),
            section: workspace.map(|w| w.name.clone()).unwrap_or_default(),
            environment: workspace.map(|w| w.environment.to_string()).unwrap_or_default(),
            admin: Some(AdminRef {
                name: self.admin.name.clone(),
                email: self.admin.email.clone(),
                is_owner: self.admin.instance_owner,
            }),
            can_write: self.may(Right::Operate),
            can_audit: self.may(Right::Audit),
            can_manage: self.may(Right::Manage),
            shortcuts: self.admin.preferences.shortcuts,
            csrf: self.app.keyring.csrf_token(&self.session.id),
            flash: present::flash(self.form.get("done")),
            audit_notice: present::audit_notice(&self.app),
            upstream_notice: workspace.and_then(|w| present::upstream_notice(&self.app, w, &self.clocks())),
            ..bare_shell(&self.app, &self.call, title)
        }
    }

    /// The shell of a form that is shown again because something was wrong with it.
    pub fn error_shell(&self, title: impl Into<String>) -> Shell {
        Shell { title_prefix: "Error: ".into(), flash: None::<Banner>, ..self.shell(title) }
    }
}

/// The shell of a page for somebody who is not signed in.
pub fn bare_shell(app: &App, call: &Call, title: impl Into<String>) -> Shell {
    Shell {
        title: title.into(),
        path: call.path.clone(),
        once: envelope::random_token(),
        theme: cookie(call, "theme").unwrap_or_default().to_owned(),
        density: cookie(call, "density").unwrap_or_default().to_owned(),
        insecure_http: app.config.insecure_http,
        css_url: statics::css_url(),
        js_url: statics::js_url(),
        ..Shell::default()
    }
}
