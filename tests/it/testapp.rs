//! The whole gateway in front of a fresh sandbox, and the people who use it. The seam is HTTP.

use crate::support::databases::Engine;
use gatehouse::{
    app::{App, Running},
    clock::Clock,
    config::{Config, Settings},
    domain::{
        admins::{Admin, Preferences},
        audit::{Actor, ActorType},
        ids,
        keys::{KeyKind, KeyRules, NewKey, Scope, Scopes},
        workspaces::Environment,
    },
    envelope,
    http::admin::{NewWorkspace, add_workspace, create_key, hash_password},
    sandbox::{Options, Sandbox},
    upstream::Patience,
};
use reqwest::{Client, Method, Response, redirect::Policy};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

pub const PASSWORD: &str = "four unrelated words";
pub const EMAIL: &str = "owner@test.example";

/// Everything one test uses. Nothing is shared between tests.
pub struct TestApp {
    pub running: Option<Running>,
    pub sandbox: Sandbox,
    pub clock: Clock,
    pub config: Config,
    /// The first workspace.
    pub ws: String,
    pub ws_key: String,
    pub owner: Actor,
    http: Client,
    _folder: tempfile::TempDir,
}

/// A tenant and its key.
#[derive(Clone)]
pub struct Tenant {
    pub id: String,
    pub key: String,
}

impl TestApp {
    pub async fn spawn(engine: Engine) -> Self {
        Self::spawn_with(engine, |_| {}).await
    }

    /// With a changed configuration.
    pub async fn spawn_with(engine: Engine, change: impl FnOnce(&mut Config)) -> Self {
        let mut app = Self::prepare(engine, change).await;
        let running = Running::start(app.config.clone(), app.clock.clone()).await.unwrap();
        app.owner = first_admin(&running).await;
        app.running = Some(running);
        (app.ws, app.ws_key) = app.add_workspace("First").await;
        app
    }

    /// A sandbox and a configuration, and no gateway yet.
    pub async fn prepare(engine: Engine, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            listen: ([127, 0, 0, 1], 0).into(),
            data: folder.path().join("sandbox"),
            publish_every: Duration::ZERO,
        };
        let sandbox = Sandbox::start(options).await.unwrap();
        let settings = Settings {
            listen: Some(([127, 0, 0, 1], 0).into()),
            data: Some(folder.path().join("data")),
            database_url: engine.database_url(),
            ..Settings::default()
        };
        let mut config = Config::from_settings(settings).unwrap();
        (config.key_rate, config.tenant_rate) = (0, 0);
        config.tuning.pace = Duration::ZERO;
        config.tuning.tick = Duration::from_millis(50);
        config.tuning.start_delay = Duration::ZERO;
        config.tuning.settle_after = Duration::from_millis(1_500);
        config.tuning.upstream_timeouts = (Duration::from_millis(800), Duration::from_millis(800));
        change(&mut config);
        Self {
            running: None,
            sandbox,
            clock: Clock::default(),
            config,
            ws: String::new(),
            ws_key: String::new(),
            owner: Actor::system("nobody yet"),
            http: client(),
            _folder: folder,
        }
    }

    pub fn app(&self) -> &Arc<App> {
        &self.running.as_ref().unwrap().app
    }

    pub fn url(&self) -> &str {
        &self.running.as_ref().unwrap().url
    }

    /// Stops the gateway in order and starts it again on the same data.
    pub async fn restart(&mut self) {
        self.running.take().unwrap().stop().await;
        self.restart_stopped().await;
    }

    /// Starts a stopped gateway on the same data.
    pub async fn restart_stopped(&mut self) {
        self.running = Some(Running::start(self.config.clone(), self.clock.clone()).await.unwrap());
    }

    /// A second gateway on the same database, with the same key files and a port of its own. PostgreSQL only: of SQLite's
    /// file there is one process.
    #[cfg(feature = "postgres-tests")]
    pub async fn replica(&self) -> Running {
        let mut config = self.config.clone();
        config.data = self.config.data.with_file_name(format!("replica-{}", ids::new_id()));
        config.audit_head = config.data.join("audit.head");
        std::fs::create_dir_all(&config.data).unwrap();
        for file in ["master.key", "pepper.key", "audit.key"] {
            std::fs::copy(self.config.data.join(file), config.data.join(file)).unwrap();
        }
        Running::start(config, self.clock.clone()).await.unwrap()
    }

    /// Makes an account in the sandbox and adds it to the gateway: workspace id and its upstream key.
    pub async fn add_workspace(&self, name: &str) -> (String, String) {
        let account = self.control(Method::POST, "workspaces", json!({ "name": name })).await;
        let key = account["key"].as_str().unwrap().to_owned();
        let new = NewWorkspace {
            name: name.into(),
            environment: Environment::Development,
            base_url: self.sandbox.url(),
            upstream_key: key.clone(),
        };
        let id = add_workspace(self.app(), &self.owner, "Owner", new).await.unwrap();
        (id, key)
    }

    /// A managed user of the workspace, imported, with a key that may do everything a tenant may.
    pub async fn tenant(&self, name: &str) -> Tenant {
        self.tenant_of(&self.ws, &self.ws_key, name).await
    }

    pub async fn tenant_of(&self, ws: &str, ws_key: &str, name: &str) -> Tenant {
        let body = json!({ "workspaceKey": ws_key, "username": format!("{name}@test.example"), "displayName": name });
        let made = self.control(Method::POST, "users", body).await;
        let id = made["user"]["_id"].as_str().unwrap().to_owned();
        let app = self.app();
        let account = app.access.account(ws).unwrap();
        let users = app.upstream.list_users(&account.endpoint, "test", Patience::DOOR).await.unwrap();
        app.db.import_tenants(&self.owner, ws, &users, self.clock.now()).await.unwrap();
        app.access.reload().await.unwrap();
        let scopes: Vec<Scope> = Scopes::new(Scope::ALL.iter().copied()).handed_on().iter().collect();
        let key = self.key(ws, KeyKind::Tenant, Some(&id), &scopes).await;
        Tenant { id, key }
    }

    pub async fn key(&self, ws: &str, kind: KeyKind, tenant: Option<&str>, scopes: &[Scope]) -> String {
        let new = NewKey {
            kind,
            tenant_id: tenant.map(str::to_owned),
            name: format!("{kind} key"),
            scopes: Scopes::new(scopes.iter().copied()),
            rules: KeyRules::default(),
            expires_at: None,
        };
        create_key(self.app(), &self.owner, "Owner", ws, new).await.unwrap().1
    }

    /// Posts of a tenant in the sandbox; each value is merged over sensible defaults. Returns the ids.
    pub async fn posts(&self, tenant: &str, posts: Vec<Value>) -> Vec<String> {
        let posts: Vec<Value> = posts
            .into_iter()
            .map(|post| {
                let mut full = json!({ "userId": tenant, "content": "Hello", "platforms": ["twitter-1"] });
                full.as_object_mut().unwrap().extend(post.as_object().unwrap().clone());
                full
            })
            .collect();
        let made = self.control(Method::POST, "posts", json!({ "posts": posts })).await;
        made["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
    }

    /// Brings the mirror of a tenant up to date.
    pub async fn sweep(&self, ws: &str, tenant: &str) {
        let account = self.app().access.account(ws).unwrap();
        self.app().mirror.sweep(&account, tenant, Patience::DOOR).await.unwrap();
    }

    /// The sandbox's control routes; the answer must be a success.
    pub async fn control(&self, method: Method, path: &str, body: Value) -> Value {
        let url = format!("{}/_sandbox/{path}", self.sandbox.url());
        let mut request = self.http.request(method, url);
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    pub async fn faults(&self, rules: Value) {
        self.control(Method::PUT, "faults", json!({ "rules": rules })).await;
    }

    /// Effects in the sandbox after the given journal number.
    pub async fn journal(&self, after: i64) -> Vec<Value> {
        let answer = self.control(Method::GET, &format!("journal?after={after}"), Value::Null).await;
        answer["entries"].as_array().unwrap().clone()
    }

    /// How many calls the sandbox has seen since the last reset.
    pub async fn calls(&self) -> i64 {
        self.control(Method::GET, "calls", Value::Null).await["total"].as_i64().unwrap()
    }

    /// Waits until the mirror has seen every tenant, so that no background call is mistaken for a caller's, and counts
    /// from nothing.
    pub async fn quiet(&self) {
        self.until("every tenant is mirrored", || async {
            let mut waiting = 0;
            for account in self.app().access.accounts() {
                waiting += self.app().db.sync_summary(&account.workspace.id).await.unwrap().1;
            }
            waiting == 0
        })
        .await;
        self.reset_calls().await;
    }

    /// Waits until the sandbox works on no call any more: what a killed gateway has sent may still take effect.
    pub async fn sandbox_idle(&self) {
        self.until("the sandbox has nothing under way", || async {
            self.control(Method::GET, "calls", Value::Null).await["inFlight"] == 0
        })
        .await;
    }

    pub async fn reset_calls(&self) {
        self.control(Method::DELETE, "calls", Value::Null).await;
    }

    /// A call on the tenant door.
    pub async fn api(&self, method: Method, path: &str, key: &str, body: Option<Value>) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.url())).header("x-api-key", key);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        Answer::read(request.send().await.unwrap()).await
    }

    /// Any request, for the rest.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url()))
    }

    /// The newest audit entries of the whole instance, parsed, newest first.
    pub async fn entries(&self) -> Vec<Value> {
        let entries = self.app().db.audit_page(&Default::default(), None, None, 500).await.unwrap();
        entries.iter().map(|e| serde_json::from_slice(&e.bytes).unwrap()).collect()
    }

    /// Waits until `ready` says so; fails after ten seconds with the words.
    pub async fn until<F: Future<Output = bool>>(&self, what: &str, ready: impl Fn() -> F) {
        for _ in 0..400 {
            if ready().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("waited too long: {what}");
    }

    /// Waits until no operation is open or in doubt.
    pub async fn until_settled(&self) {
        self.until("all operations settled", || async {
            let mut open = 0;
            for account in self.app().access.accounts() {
                open += self.app().db.open_operations(&account.workspace.id, 100).await.unwrap().len();
            }
            open == 0
        })
        .await;
    }
}

/// An answer, read.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    pub async fn read(response: Response) -> Self {
        Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.unwrap(),
        }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|v| v.to_str().unwrap()).unwrap_or_default()
    }
}

/// Follows no redirect and uses no proxy.
pub fn client() -> Client {
    Client::builder().redirect(Policy::none()).no_proxy().build().unwrap()
}

async fn first_admin(running: &Running) -> Actor {
    let app = &running.app;
    let admin = Admin {
        id: ids::new_id(),
        email: EMAIL.into(),
        name: "Owner".into(),
        instance_owner: true,
        created_at: app.clock.now(),
        disabled_at: None,
        preferences: Preferences::default(),
    };
    let token = running.setup_link.as_ref().unwrap().rsplit('/').next().unwrap();
    let hash = hash_password(app, PASSWORD).await.unwrap();
    assert!(app.db.create_first_admin(&envelope::token_hash(token), &admin, &hash).await.unwrap());
    Actor::new(ActorType::Admin, &admin.id, EMAIL)
}

/// A signed-in browser without JavaScript.
pub struct Browser {
    http: Client,
    origin: String,
    cookies: std::collections::BTreeMap<String, String>,
}

impl Browser {
    /// At a gateway's address, such as `http://127.0.0.1:8080`.
    pub fn at(origin: &str) -> Self {
        Self { http: client(), origin: origin.to_owned(), cookies: Default::default() }
    }

    /// The same browser, once the gateway has another address.
    pub fn moved_to(&self, origin: &str) -> Self {
        Self { cookies: self.cookies.clone(), ..Self::at(origin) }
    }

    /// Logs in as the owner.
    pub async fn login(app: &TestApp) -> Self {
        let mut browser = Self::at(app.url());
        let answer = browser.submit("/login", "/login", &[("email", EMAIL), ("password", PASSWORD)]).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        browser
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        let request = self.http.get(format!("{}{path}", self.origin)).header("cookie", self.cookie_header());
        self.take(request.send().await.unwrap()).await
    }

    /// Opens `page`, takes its tokens, and sends the form to `action`.
    pub async fn submit(&mut self, page: &str, action: &str, fields: &[(&str, &str)]) -> Answer {
        let shown = self.get(page).await;
        assert_eq!(shown.status, 200, "{page}: {}", shown.text);
        let (csrf, once) = (hidden(&shown.text, "_csrf"), hidden(&shown.text, "_once"));
        let mut all = vec![("_csrf", csrf.as_str()), ("_once", once.as_str())];
        all.extend_from_slice(fields);
        self.post(action, &all).await
    }

    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let response = self.send(path, fields).await;
        self.take(response).await
    }

    /// A form whose answer is not text.
    pub async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self
            .http
            .post(format!("{}{path}", self.origin))
            .header("cookie", self.cookie_header())
            .header("origin", &self.origin)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        request.send().await.unwrap()
    }

    /// The page a form leads to.
    pub async fn follow(&mut self, answer: Answer) -> Answer {
        assert_eq!(answer.status, 303, "{}", answer.text);
        let location = answer.header("location").to_owned();
        self.get(&location).await
    }

    pub fn cookie_header(&self) -> String {
        self.cookies.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join("; ")
    }

    async fn take(&mut self, response: Response) -> Answer {
        for cookie in response.headers().get_all("set-cookie") {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.into(), value.into());
        }
        Answer::read(response).await
    }
}

/// The value of a hidden field of a page.
pub fn hidden(html: &str, name: &str) -> String {
    let mark = format!("name=\"{name}\" value=\"");
    let start = html.find(&mark).unwrap_or_else(|| panic!("no field {name}")) + mark.len();
    html[start..].split('"').next().unwrap().to_owned()
}
