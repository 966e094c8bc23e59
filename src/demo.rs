//! The demo: a sandbox and a gateway in one process, filled through the same code paths a person's clicks take. Starting
//! again keeps data, keys and password, and renews the addresses.

use crate::{
    access,
    app::{self, App, Running},
    cli::DemoArgs,
    clock::{Clock, DAY},
    config::{self, Config, Settings},
    domain::{
        admins::{Admin, Preferences},
        audit::{Actor, ActorType, Context},
        ids,
        keys::{Key, KeyKind, KeyRules, NewKey, Scope, Scopes},
        plans::{BulkAction, PlanOptions},
        posts::PostStatus,
        updates::Update,
        workspaces::Environment,
    },
    envelope, http,
    jobs::planning,
    proxy::Caller,
    sandbox::{self, Sandbox, world},
    store::{self, posts::PostFilter, posts::StatusFilter},
    upstream::Patience,
};
use serde::{Deserialize, Serialize};
use std::{
    fmt, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// A running demo.
pub struct Demo {
    /// What to print: address, login, three calls that work when pasted.
    pub welcome: String,
    running: Running,
    sandbox: Sandbox,
}

/// What a script needs to use the demo; `demo.json` in the data folder.
#[derive(Serialize, Deserialize, Clone)]
#[serde(rename_all = "camelCase")]
struct DemoFile {
    url: String,
    admin: Login,
    workspace_key: String,
    audit_token: String,
    tenants: Vec<DemoTenant>,
    sandbox: DemoSandbox,
}

#[derive(Serialize, Deserialize, Clone)]
struct Login {
    email: String,
    password: String,
}

#[derive(Serialize, Deserialize, Clone)]
struct DemoTenant {
    id: String,
    name: String,
    key: String,
}

#[derive(Serialize, Deserialize, Clone)]
#[serde(rename_all = "camelCase")]
struct DemoSandbox {
    url: String,
    workspace_key: String,
}

#[derive(Debug)]
pub enum Error {
    Folder(PathBuf, io::Error),
    NotADemo(PathBuf),
    Config(config::Error),
    App(app::Error),
    Access(access::Error),
    Sandbox(sandbox::Error),
    World(world::SeedError),
    Store(store::Error),
    Seeding(String),
}

const EMAIL: &str = "owner@demo.example";
const OWNER: &str = "Demo Owner";

impl Demo {
    pub async fn start(args: &DemoArgs) -> Result<Self, Error> {
        let folder = &args.data;
        let file = folder.join("demo.json");
        if args.fresh {
            clear(folder)?;
        }
        let clock = Clock::default();
        let options = sandbox::Options {
            listen: ([127, 0, 0, 1], 0).into(),
            data: folder.join("sandbox"),
            publish_every: Duration::from_secs(5),
        };
        let sandbox = Sandbox::start(options).await.map_err(Error::Sandbox)?;
        let settings = Settings {
            listen: Some(args.listen),
            data: Some(folder.clone()),
            log: Some(args.log.clone()),
            ..Settings::default()
        };
        let config = Config::from_settings(settings).map_err(Error::Config)?;
        let running = Running::start(config, clock.clone()).await.map_err(Error::App)?;
        let known = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice::<DemoFile>(&bytes).ok());
        let known = match known {
            Some(mut known) => {
                // The sandbox has taken another port since; a new one is the only thing that changes.
                let moved = running.app.db.move_workspaces(&known.sandbox.url, &sandbox.url()).await;
                moved.map_err(Error::Store)?;
                running.app.access.reload().await.map_err(Error::Access)?;
                known.url.clone_from(&running.url);
                known.sandbox.url = sandbox.url();
                known
            }
            None => seed(&running, &sandbox, &clock).await?,
        };
        write_file(&file, &known)?;
        let draft = some_draft(&running, known.tenants.first()).await?;
        Ok(Self { welcome: welcome(&known, &draft, &file), running, sandbox })
    }

    pub async fn stop(self) {
        self.running.stop().await;
        self.sandbox.stop().await;
    }
}

/// Removes an earlier demo, but never a folder that is not one.
fn clear(folder: &Path) -> Result<(), Error> {
    if !folder.exists() {
        return Ok(());
    }
    let is_demo = folder.join("demo.json").exists() || folder.join("gatehouse.db").exists();
    let is_empty = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    if !is_demo && !is_empty {
        return Err(Error::NotADemo(folder.to_owned()));
    }
    // Not under a running demo.
    if let Ok(lock) = fs::File::open(folder.join("gatehouse.lock")) {
        lock.try_lock().map_err(|_| Error::App(app::Error::Locked(folder.join("gatehouse.lock"))))?;
    }
    fs::remove_dir_all(folder).map_err(|e| Error::Folder(folder.to_owned(), e))
}

/// Written beside and moved into place, so that a reader never sees half of it.
fn write_file(path: &Path, file: &DemoFile) -> Result<(), Error> {
    let failed = |e: io::Error| Error::Folder(path.to_owned(), e);
    let text = serde_json::to_string_pretty(file).map_err(|e| failed(e.into()))?;
    let beside = path.with_extension("json.new");
    fs::write(&beside, text + "\n").map_err(failed)?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)
}

async fn seed(running: &Running, sandbox: &Sandbox, clock: &Clock) -> Result<DemoFile, Error> {
    let app = &running.app;
    let failed = |what: &str| {
        let what = what.to_owned();
        move |e: http::Error| Error::Seeding(format!("{what}: {}", e.describe().text))
    };
    let world = world::seed(&sandbox.url(), clock.now()).await.map_err(Error::World)?;
    let (actor, password) = first_admin(app, running.setup_link.as_deref()).await?;
    let mut added = Vec::new();
    for workspace in &world.workspaces {
        let new = http::admin::NewWorkspace {
            name: workspace.name.clone(),
            environment: Environment::parse(workspace.environment).unwrap_or(Environment::Development),
            base_url: sandbox.url(),
            upstream_key: workspace.key.clone(),
        };
        added.push(
            http::admin::add_workspace(app, &actor, OWNER, new)
                .await
                .map_err(failed("adding a workspace"))?,
        );
    }
    let (Some(first), Some(first_id)) = (world.workspaces.first(), added.first()) else {
        return Err(Error::Seeding("the world has no workspace".into()));
    };
    for workspace in &added {
        sweep(app, workspace).await?;
    }
    let mut tenants = Vec::new();
    for tenant in &first.tenants {
        let scopes: Vec<Scope> = Scopes::new(Scope::ALL.iter().copied()).handed_on().iter().collect();
        let new =
            new_key(KeyKind::Tenant, Some(&tenant.id), &format!("{} website", tenant.name), &scopes, clock);
        let (_, key) = http::admin::create_key(app, &actor, OWNER, first_id, new)
            .await
            .map_err(failed("a tenant key"))?;
        tenants.push(DemoTenant { id: tenant.id.clone(), name: tenant.name.clone(), key });
    }
    let all: Vec<Scope> = Scope::ALL.iter().copied().filter(|s| *s != Scope::AuditRead).collect();
    let new = new_key(KeyKind::Workspace, None, "Back office", &all, clock);
    let (_, workspace_key) = http::admin::create_key(app, &actor, OWNER, first_id, new)
        .await
        .map_err(failed("a workspace key"))?;
    let new = new_key(KeyKind::Audit, None, "Auditor", &[Scope::AuditRead], clock);
    let (_, audit_token) =
        http::admin::create_key(app, &actor, OWNER, first_id, new).await.map_err(failed("an audit token"))?;
    let new = new_key(
        KeyKind::Tenant,
        first.tenants.last().map(|t| t.id.as_str()),
        "Old plugin",
        &[Scope::PostsRead],
        clock,
    );
    let (old, _): (Key, String) =
        http::admin::create_key(app, &actor, OWNER, first_id, new).await.map_err(failed("a key"))?;
    app.db.revoke_key(&actor, &old, clock.now()).await.map_err(Error::Store)?;
    app.access.reload().await.map_err(Error::Access)?;
    history(app, first_id, &actor).await?;
    Ok(DemoFile {
        url: running.url.clone(),
        admin: Login { email: EMAIL.into(), password },
        workspace_key,
        audit_token,
        tenants,
        sandbox: DemoSandbox { url: sandbox.url(), workspace_key: first.key.clone() },
    })
}

/// The owner, made with the same set-up link a person would open.
async fn first_admin(app: &Arc<App>, setup_link: Option<&str>) -> Result<(Actor, String), Error> {
    let token = setup_link.and_then(|link| link.rsplit('/').next()).unwrap_or_default();
    let password = format!("demo-{}", &envelope::random_token()[..20]);
    let hash =
        http::admin::hash_password(app, &password).await.map_err(|e| Error::Seeding(e.describe().text))?;
    let admin = Admin {
        id: ids::new_id(),
        email: EMAIL.into(),
        name: OWNER.into(),
        instance_owner: true,
        created_at: app.clock.now(),
        disabled_at: None,
        preferences: Preferences::default(),
    };
    let made =
        app.db.create_first_admin(&envelope::token_hash(token), &admin, &hash).await.map_err(Error::Store)?;
    if !made {
        return Err(Error::Seeding(
            "this data folder has an owner already; use --fresh or another folder".into(),
        ));
    }
    let mut actor = Actor::new(ActorType::Admin, &admin.id, EMAIL);
    actor.context = Context {
        ip: Some("127.0.0.1".into()),
        user_agent: Some("gatehouse demo".into()),
        ..Context::default()
    };
    Ok((actor, password))
}

fn new_key(kind: KeyKind, tenant: Option<&str>, name: &str, scopes: &[Scope], clock: &Clock) -> NewKey {
    NewKey {
        kind,
        tenant_id: tenant.map(str::to_owned),
        name: name.into(),
        scopes: Scopes::new(scopes.iter().copied()),
        rules: KeyRules::default(),
        expires_at: Some(clock.now() + 90 * DAY),
    }
}

/// Fills the mirror, so that the first page is not empty. At the door's pace: nobody else is there yet.
async fn sweep(app: &Arc<App>, workspace_id: &str) -> Result<(), Error> {
    let account =
        app.access.account(workspace_id).ok_or_else(|| Error::Seeding("no such workspace".into()))?;
    let tenants =
        app.db.tenants(workspace_id, &Default::default(), None, 1_000).await.map_err(Error::Store)?;
    for tenant in tenants {
        let swept = app.mirror.sweep(&account, &tenant.id, Patience::DOOR).await;
        swept.map_err(|e| Error::Seeding(format!("mirroring: {e}")))?;
    }
    Ok(())
}

/// Some things that happened before the visitor came: a few calls of tenants, one bulk pause, a refused attempt.
async fn history(app: &Arc<App>, workspace_id: &str, actor: &Actor) -> Result<(), Error> {
    let account =
        app.access.account(workspace_id).ok_or_else(|| Error::Seeding("no such workspace".into()))?;
    let filter = PostFilter {
        statuses: vec![StatusFilter::Scheduled],
        from: Some(app.clock.now() + DAY),
        ..PostFilter::default()
    };
    let sort = store::posts::PostSort::ScheduledDesc;
    let posts = app.db.posts(workspace_id, &filter, sort, None, false, 24).await.map_err(Error::Store)?;
    for (n, mirrored) in posts.iter().take(4).enumerate() {
        let caller = Caller {
            actor: actor.clone(),
            account: account.clone(),
            tenant: Some(mirrored.post.tenant_id.clone()),
            request_id: ids::new_id(),
            client: None,
            item: None,
            fence: None,
            claim: None,
            keep_backup: false,
            patience: Patience::DOOR,
            seat: None,
        };
        // Whatever upstream says is history as well.
        if n == 0 {
            let _ = app.road.delete_post(&caller, &mirrored.post.id, Some("duplicate")).await;
        } else {
            let at = mirrored.post.scheduled_at.map(|at| at + DAY);
            let _ =
                app.road.update_post(&caller, &mirrored.post.id, &Update::new(None, at), false, None).await;
        }
    }
    let ticked = posts.iter().skip(8).map(|p| (p.post.tenant_id.clone(), p.post.id.clone())).collect();
    let request = planning::Request {
        workspace: &account.workspace,
        action: BulkAction::Pause,
        options: PlanOptions::default(),
        filter_text: format!("status={}", PostStatus::Scheduled),
        actor,
    };
    let plan = planning::make(app, request, planning::Selection::Ticked(ticked)).await;
    if let Ok(plan) = plan {
        let reason = "Campaign on hold until the client signs off";
        let now = app.clock.now();
        app.db.confirm_plan(actor, &plan, &ids::new_id(), reason, None, now).await.map_err(Error::Store)?;
        app.jobs.ring();
    }
    Ok(())
}

/// A draft of the tenant's that can be deleted by way of example.
async fn some_draft(running: &Running, tenant: Option<&DemoTenant>) -> Result<String, Error> {
    let Some(tenant) = tenant else { return Ok(String::new()) };
    for account in running.app.access.accounts() {
        let filter = PostFilter {
            tenants: vec![tenant.id.clone()],
            statuses: vec![StatusFilter::Draft],
            ..PostFilter::default()
        };
        let sort = store::posts::PostSort::CreatedDesc;
        let posts = running.app.db.posts(&account.workspace.id, &filter, sort, None, false, 1).await;
        if let Some(found) = posts.map_err(Error::Store)?.pop() {
            return Ok(found.post.id);
        }
    }
    Ok(String::new())
}

fn welcome(file: &DemoFile, draft: &str, path: &Path) -> String {
    let tenant = file.tenants.first();
    let (name, key) = tenant.map_or(("", ""), |t| (t.name.as_str(), t.key.as_str()));
    let url = &file.url;
    format!(
        "Gatehouse demo\n\
         \n  Open      {url}\
         \n  E-mail    {}\
         \n  Password  {}\n\
         \nThe first posts of {name}, under its own gateway key:\
         \n  curl -s '{url}/api/v1/list-posts?limit=2' -H 'x-api-key: {key}'\
         \nDelete one of its drafts:\
         \n  curl -s -X DELETE '{url}/api/v1/delete-post/{draft}' -H 'x-api-key: {key}'\
         \nWhat was done, as an auditor gets it:\
         \n  curl -s '{url}/manage/v1/audit.csv' -H 'authorization: Bearer {}'\n\
         \nThe sandbox behind it: {}. Keys and addresses are in {}.",
        file.admin.email,
        file.admin.password,
        file.audit_token,
        file.sandbox.url,
        path.display()
    )
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path, error) => write!(f, "{}: {error}", path.display()),
            Self::NotADemo(path) => {
                write!(f, "{} is not a demo's folder; --fresh does not remove it", path.display())
            }
            Self::Config(error) => error.fmt(f),
            Self::App(error) => error.fmt(f),
            Self::Access(error) => error.fmt(f),
            Self::Sandbox(error) => error.fmt(f),
            Self::World(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Seeding(text) => write!(f, "the demo could not be filled: {text}"),
        }
    }
}

impl std::error::Error for Error {}
