//! Every failure switch of the sandbox against every call that changes something: each operation ends in exactly one
//! final state, and what truly happened agrees with what the log says. The cells run side by side in one gateway, each
//! on a post, user or name of its own, by which its rules find its calls.

mod cells;
mod doubts;

use crate::{
    support::{
        databases::{Engine, gateway_on_both_engines},
        log::all_entries,
    },
    testapp::{Answer, Browser, TestApp, hidden},
};
use cells::{FAULTS, Fault, Truth};
use futures_util::{StreamExt, stream};
use gatehouse::{
    clock::DAY,
    domain::{
        ids,
        jobs::{Counts, JobState},
        keys::{KeyKind, Scope},
        operations::OpState,
        plans::{BulkAction, Plan, PlanOptions},
        times,
    },
    jobs::planning,
    upstream::Patience,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

gateway_on_both_engines!(
    every_fault_of_every_change_ends_once_and_is_explained,
    a_refused_workspace_key_ends_each_change_once,
);

/// Changing calls have this long in the matrix: long enough that a busy machine is not taken for a fault.
const TIMEOUT: Duration = Duration::from_millis(2_500);
/// From the doubt until no sign of an effect means that there is none.
const SETTLE_AFTER: Duration = Duration::from_millis(3_000);
/// Cells under way at once.
const AT_ONCE: usize = 12;

/// What is changed, and through which door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verb {
    Delete,
    Pause,
    Resume,
    Reschedule,
    Write,
    Create,
    Detach,
    Link,
}

impl Verb {
    const POSTS: [Self; 4] = [Self::Delete, Self::Pause, Self::Resume, Self::Reschedule];

    fn of_post(self) -> bool {
        Self::POSTS.contains(&self) || self == Self::Write
    }

    /// The journal's word for its effect.
    fn effect(self) -> &'static str {
        match self {
            Self::Delete => "post.delete",
            Self::Pause | Self::Resume | Self::Reschedule => "post.update",
            Self::Write => "post.create",
            Self::Create => "user.create",
            Self::Detach => "user.detach",
            Self::Link => "url.create",
        }
    }

    /// A post in the state this is done to.
    fn post(self, now: i64) -> Value {
        let status = if self == Self::Resume { "draft" } else { "scheduled" };
        json!({ "status": status, "scheduledTime": times::to_iso(now + DAY) })
    }
}

struct Cell {
    fault: &'static Fault,
    verb: Verb,
    bulk: bool,
    ws: String,
    /// The post's or user's id; of a user to be made the name, of a post to be made the text.
    target: String,
    /// The tenant of a post.
    tenant: String,
}

impl Cell {
    fn name(&self) -> String {
        format!("{:?}{} under {}", self.verb, if self.bulk { " in a job" } else { "" }, self.fault.name)
    }

    /// The sandbox's rules for this cell's changing calls.
    fn rules(&self) -> Vec<Value> {
        let users = "/api/v1/workspace/users";
        let matching = match self.verb {
            Verb::Delete => json!({ "method": "DELETE", "postGroupId": self.target }),
            Verb::Write => json!({ "method": "POST", "path": "/api/v1/create-post", "bodyHas": self.target }),
            Verb::Create => json!({ "method": "POST", "path": users, "bodyHas": self.target }),
            Verb::Detach => json!({ "method": "DELETE", "path": format!("{users}/{}", self.target) }),
            Verb::Link => json!({ "method": "POST", "path": format!("{users}/{}/", self.target) }),
            _ => json!({ "method": "PUT", "postGroupId": self.target }),
        };
        let mut rules = self.fault.rules();
        for rule in &mut rules {
            rule["match"] = matching.clone();
        }
        rules
    }
}

async fn every_fault_of_every_change_ends_once_and_is_explained(engine: Engine) {
    let begun = std::time::Instant::now();
    let app = TestApp::spawn_with(engine, |config| {
        config.tuning.upstream_timeouts = (Duration::from_secs(10), TIMEOUT);
        config.tuning.settle_after = SETTLE_AFTER;
        // Half of the calls fail here; each is to meet its own fault, not the breaker.
        config.tuning.upstream_guarded = false;
        // The mirror follows our own changes; its rounds would only take time from the cells.
        config.tuning.mirror_age = Duration::from_secs(600);
    })
    .await;
    let mut cells = Vec::new();
    let bulk = prepare_jobs(&app, &mut cells).await;
    prepare_doors(&app, &mut cells).await;
    app.quiet().await;
    app.faults(cells.iter().flat_map(Cell::rules).collect()).await;
    let from = app.journal(0).await.last().unwrap()["seq"].as_i64().unwrap();

    let key = app
        .key(
            &app.ws,
            KeyKind::Workspace,
            None,
            &[Scope::PostsRead, Scope::PostsCreate, Scope::PostsUpdate, Scope::PostsDelete],
        )
        .await;
    let mut jobs = Vec::new();
    for (ws, plan, planned) in &bulk {
        let job = ids::new_id();
        app.app()
            .db
            .confirm_plan(&app.owner, plan, &job, "matrix", None, app.clock.now())
            .await
            .unwrap()
            .unwrap();
        jobs.push((ws.clone(), job, *planned));
    }
    app.app().jobs.ring();
    let people = Page::open(&app).await;
    let (app_ref, people, key) = (&app, &people, &key);
    let answers: BTreeMap<usize, Answer> =
        stream::iter(cells.iter().enumerate().filter(|(_, cell)| !cell.bulk))
            .map(|(n, cell)| async move { (n, send(app_ref, key, people, cell).await) })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
    let sent_in = begun.elapsed();
    for (ws, job, _) in &jobs {
        wait(&app, "the job ends", async || {
            let job = app.app().db.job(ws, job).await.unwrap().unwrap();
            job.state == JobState::Completed && job.counts.unknown == 0
        })
        .await;
    }
    wait(&app, "all operations settled", async || {
        let mut open = 0;
        for account in app.app().access.accounts() {
            open += app.app().db.open_operations(&account.workspace.id, 1).await.unwrap().len();
        }
        open == 0
    })
    .await;
    app.sandbox_idle().await;

    let mut told = Told::read(&app, from).await;
    for (ws, job, planned) in &jobs {
        let counts: Counts = app.app().db.job(ws, job).await.unwrap().unwrap().counts;
        assert_eq!(counts.total(), *planned, "{counts:?}");
        assert_eq!((counts.pending, counts.running, counts.unknown), (0, 0, 0), "{counts:?}");
    }
    let mut faults = Vec::new();
    let mut reached: BTreeMap<OpState, usize> = BTreeMap::new();
    let (mut lies, mut late) = (0, 0);
    for (n, cell) in cells.iter().enumerate() {
        let operations = told.take_operations(&app, cell);
        let effects = told.take_effects(&app, cell);
        if let Err(fault) = cell.check(&operations, effects, answers.get(&n)) {
            faults.push(format!("{}: {fault}; operations {operations:?}, effects {effects}", cell.name()));
        }
        for operation in &operations {
            *reached.entry(operation.end).or_default() += 1;
        }
        match cell.fault.truth {
            Truth::Lie => lies += usize::from(effects > 0),
            Truth::Late => late += usize::from(effects > 0),
            Truth::Told => {}
        }
    }
    let unexplained = told.leftovers();
    let reached: Vec<String> = reached.iter().map(|(state, n)| format!("{state} {n}")).collect();
    println!(
        "cells {}, reached: {}; wrong {}, unexplained {}; documented exceptions: {lies} answers that denied an effect, \
         {late} effects later than is waited for; sent in {sent_in:?}, all in {:?}",
        cells.len(),
        reached.join(", "),
        faults.len(),
        unexplained.len(),
        begun.elapsed()
    );
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(unexplained.is_empty(), "{unexplained:?}");
}

/// Waits longer than `TestApp::until` does: the latest effect comes after nine seconds.
async fn wait(app: &TestApp, what: &str, ready: impl AsyncFn() -> bool) {
    let begun = std::time::Instant::now();
    while !ready().await {
        if begun.elapsed() > Duration::from_secs(60) {
            let open = app.app().db.open_operations(&app.ws, 5).await.unwrap();
            panic!("waited too long: {what}; open: {open:?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A job per verb, each in a workspace of its own, so that they run side by side.
async fn prepare_jobs(app: &TestApp, cells: &mut Vec<Cell>) -> Vec<(String, Plan, i64)> {
    let mut plans = Vec::new();
    for verb in Verb::POSTS {
        let (ws, ws_key) = app.add_workspace(&format!("{verb:?}")).await;
        let tenant = app.tenant_of(&ws, &ws_key, &format!("job-{verb:?}")).await.id;
        let faults: Vec<&Fault> = FAULTS.iter().filter(|fault| fault.in_jobs).collect();
        // What a job resumes, a job has paused.
        let initial = if verb == Verb::Resume { Verb::Pause } else { verb };
        let posts = app.posts(&tenant, faults.iter().map(|_| initial.post(app.clock.now())).collect()).await;
        app.sweep(&ws, &tenant).await;
        if verb == Verb::Resume {
            let paused = plan(app, &ws, &tenant, &posts, BulkAction::Pause).await;
            let job = ids::new_id();
            app.app()
                .db
                .confirm_plan(&app.owner, &paused, &job, "", None, app.clock.now())
                .await
                .unwrap()
                .unwrap();
            app.app().jobs.ring();
            app.until("all are paused", || async {
                app.app().db.job(&ws, &job).await.unwrap().unwrap().state == JobState::Completed
            })
            .await;
            app.sweep(&ws, &tenant).await;
        }
        let action = match verb {
            Verb::Delete => BulkAction::Delete,
            Verb::Pause => BulkAction::Pause,
            Verb::Resume => BulkAction::Resume,
            _ => BulkAction::Reschedule,
        };
        let plan = plan(app, &ws, &tenant, &posts, action).await;
        for (fault, target) in faults.into_iter().zip(&posts) {
            cells.push(Cell {
                fault,
                verb,
                bulk: true,
                ws: ws.clone(),
                target: target.clone(),
                tenant: tenant.clone(),
            });
        }
        plans.push((ws, plan, posts.len() as i64));
    }
    plans
}

async fn plan(app: &TestApp, ws: &str, tenant: &str, posts: &[String], action: BulkAction) -> Plan {
    let account = app.app().access.account(ws).unwrap();
    let request = planning::Request {
        workspace: &account.workspace,
        action,
        options: PlanOptions::default(),
        filter_text: String::new(),
        actor: &app.owner,
    };
    let all = posts.iter().map(|id| (tenant.to_owned(), id.clone())).collect();
    planning::make(app.app(), request, planning::Selection::Ticked(all)).await.unwrap()
}

/// The posts and users of the cells behind the tenant door and the pages.
async fn prepare_doors(app: &TestApp, cells: &mut Vec<Cell>) {
    for verb in Verb::POSTS {
        let tenant = app.tenant(&format!("door-{verb:?}")).await.id;
        let posts = app.posts(&tenant, FAULTS.iter().map(|_| verb.post(app.clock.now())).collect()).await;
        app.sweep(&app.ws, &tenant).await;
        for (fault, target) in FAULTS.iter().zip(posts) {
            cells.push(Cell { fault, verb, bulk: false, ws: app.ws.clone(), target, tenant: tenant.clone() });
        }
    }
    let tenant = app.tenant("door-Write").await.id;
    for (n, fault) in FAULTS.iter().enumerate() {
        let target = format!("Matrix post {n:03}");
        let (ws, tenant) = (app.ws.clone(), tenant.clone());
        cells.push(Cell { fault, verb: Verb::Write, bulk: false, ws, target, tenant });
        // Upstream writes addresses small; people do not.
        let name = format!("New-{n}@Test.Example");
        cells.push(Cell {
            fault,
            verb: Verb::Create,
            bulk: false,
            ws: app.ws.clone(),
            target: name,
            tenant: String::new(),
        });
        for verb in [Verb::Detach, Verb::Link] {
            let username = format!("{verb:?}-{n}@test.example");
            let body = json!({ "workspaceKey": app.ws_key, "username": username });
            let made = app.control(Method::POST, "users", body).await;
            let target = made["user"]["_id"].as_str().unwrap().to_owned();
            cells.push(Cell { fault, verb, bulk: false, ws: app.ws.clone(), target, tenant: String::new() });
        }
    }
    let account = app.app().access.account(&app.ws).unwrap();
    let users = app.app().upstream.list_users(&account.endpoint, "test", Patience::DOOR).await.unwrap();
    app.app().db.import_tenants(&app.owner, &app.ws, &users, app.clock.now()).await.unwrap();
    app.app().access.reload().await.unwrap();
}

/// A signed-in person's cookie and form token: forms side by side need no browser each.
struct Page {
    cookies: String,
    csrf: String,
}

impl Page {
    async fn open(app: &TestApp) -> Self {
        let mut browser = Browser::login(app).await;
        let page = browser.get("/settings").await;
        Self { cookies: browser.cookie_header(), csrf: hidden(&page.text, "_csrf") }
    }

    async fn submit(&self, app: &TestApp, path: &str, fields: &[(&str, &str)]) -> Answer {
        let once = ids::new_id();
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.append_pair("_csrf", &self.csrf).append_pair("_once", &once).extend_pairs(fields);
        let request = app
            .request(Method::POST, path)
            .header("cookie", &self.cookies)
            .header("origin", app.url())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.finish());
        Answer::read(request.send().await.unwrap()).await
    }
}

async fn send(app: &TestApp, key: &str, people: &Page, cell: &Cell) -> Answer {
    let (base, target) = (format!("/w/{}/tenants", cell.ws), &cell.target);
    let body = match cell.verb {
        Verb::Create => return people.submit(app, &base, &[("username", target)]).await,
        Verb::Detach => {
            return people.submit(app, &format!("{base}/{target}/detach"), &[("confirm", "")]).await;
        }
        Verb::Link => {
            return people.submit(app, &format!("{base}/{target}/link"), &[("days", "30")]).await;
        }
        Verb::Delete => None,
        Verb::Pause => Some(json!({ "status": "draft" })),
        Verb::Resume => Some(json!({ "status": "scheduled" })),
        Verb::Reschedule => Some(json!({ "scheduledTime": times::to_iso(app.clock.now() + 3 * DAY) })),
        Verb::Write => {
            let at = times::to_iso(app.clock.now() + 3 * DAY);
            Some(json!({ "content": target, "platforms": ["twitter-1"], "scheduledTime": at }))
        }
    };
    let (method, path) = match body {
        Some(_) if cell.verb == Verb::Write => (Method::POST, "/api/v1/create-post".into()),
        None => (Method::DELETE, format!("/api/v1/delete-post/{target}")),
        Some(_) => (Method::PUT, format!("/api/v1/update-post/{target}")),
    };
    let mut request =
        app.request(method, &path).header("x-api-key", key).header("x-postpost-user-id", &cell.tenant);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    Answer::read(request.send().await.unwrap()).await
}

/// An operation as the log tells it, checked against its row.
#[derive(Debug)]
struct Operation {
    /// The first outcome after the intent, which the caller was told.
    first: String,
    end: OpState,
}

/// What the log and the journal tell, by what they are about.
struct Told {
    operations: BTreeMap<String, Vec<Operation>>,
    effects: BTreeMap<(String, String), usize>,
}

impl Told {
    /// Everything since the journal's number `from`; checks each operation's chain of entries.
    async fn read(app: &TestApp, from: i64) -> Self {
        let mut chains: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for entry in all_entries(app).await {
            if let Some(op) = entry["opId"].as_str() {
                chains.entry(op.to_owned()).or_default().push(entry);
            }
        }
        let mut operations: BTreeMap<String, Vec<Operation>> = BTreeMap::new();
        for (op, entries) in chains {
            let outcomes: Vec<&str> = entries.iter().map(|e| e["outcome"].as_str().unwrap()).collect();
            let ws = entries[0]["workspace"].as_str().unwrap_or_else(|| panic!("{}", entries[0]));
            let row = app.app().db.operation(ws, &op).await.unwrap().unwrap();
            let (["intent", end @ ("succeeded" | "gone" | "refused" | "failed")]
            | ["intent", "in_doubt", end @ ("applied" | "not_applied" | "gone")]) = outcomes[..]
            else {
                panic!("{op}: {outcomes:?}")
            };
            assert_eq!(row.state.as_str(), end, "{op}: the row and the log differ");
            assert!(row.ended_at.is_some() && row.doubted_at.is_some() == (outcomes.len() == 3), "{row:?}");
            let about = row.asked.username.clone().or(row.asked.content.clone()).unwrap_or(row.target);
            operations
                .entry(about)
                .or_default()
                .push(Operation { first: outcomes[1].into(), end: row.state });
        }
        let journal = app.journal(from).await;
        let mut names = BTreeMap::new();
        if journal.iter().any(|e| e["action"] == "user.create") {
            let account = app.app().access.account(&app.ws).unwrap();
            let users =
                app.app().upstream.list_users(&account.endpoint, "test", Patience::DOOR).await.unwrap();
            names.extend(users.into_iter().map(|user| (user.id, user.username)));
        }
        let mut effects: BTreeMap<(String, String), usize> = BTreeMap::new();
        for entry in journal.iter().filter(|e| e["origin"] == "api") {
            let action = entry["action"].as_str().unwrap();
            let user = entry["userId"].as_str().unwrap();
            let about = match action {
                "user.create" => names[user].clone(),
                // No more than a digest of the text is on record.
                "post.create" => {
                    let id = entry["postGroupId"].as_str().unwrap();
                    let post = app.control(Method::GET, &format!("posts/{id}"), Value::Null).await;
                    digest(app, &app.ws, user, post["content"].as_str().unwrap())
                }
                _ => entry["postGroupId"].as_str().unwrap_or(user).to_owned(),
            };
            if action != "media.delete" {
                *effects.entry((action.to_owned(), about)).or_default() += 1;
            }
        }
        Self { operations, effects }
    }

    /// Operations of the preparation are about posts of cells too: those before the effects counted here are succeeded
    /// pauses, and are left out.
    fn take_operations(&mut self, app: &TestApp, cell: &Cell) -> Vec<Operation> {
        let about = if cell.verb == Verb::Write { cell.written(app) } else { cell.target.clone() };
        let mut found = self.operations.remove(&about).unwrap_or_default();
        if cell.bulk && cell.verb == Verb::Resume {
            let prepared = found.remove(0);
            assert_eq!(prepared.end, OpState::Succeeded);
        }
        found
    }

    fn take_effects(&mut self, app: &TestApp, cell: &Cell) -> usize {
        let about = match cell.verb {
            Verb::Create => cell.target.to_lowercase(),
            Verb::Write => cell.written(app),
            _ => cell.target.clone(),
        };
        self.effects.remove(&(cell.verb.effect().to_owned(), about)).unwrap_or(0)
    }

    /// What no cell has accounted for.
    fn leftovers(&self) -> Vec<String> {
        let effects = self.effects.iter().map(|(what, n)| format!("{what:?} {n} times"));
        effects.chain(self.operations.iter().map(|(about, o)| format!("{about}: {o:?}"))).collect()
    }
}

fn digest(app: &TestApp, ws: &str, tenant: &str, content: &str) -> String {
    app.app().keyring.content_digest(ws, Some(tenant), content)
}

impl Cell {
    /// What a post to be made is known by.
    fn written(&self, app: &TestApp) -> String {
        digest(app, &self.ws, &self.tenant, &self.target)
    }

    fn check(&self, operations: &[Operation], effects: usize, answer: Option<&Answer>) -> Result<(), String> {
        let happened =
            operations.iter().filter(|o| matches!(o.end, OpState::Succeeded | OpState::Applied)).count();
        let Some(last) = operations.last() else { return Err("no operation".into()) };
        // Only a job tries again, and only what has not happened.
        if operations.len() > 1 && (!self.bulk || happened > 1) {
            return Err("more than one operation".into());
        }
        match self.fault.truth {
            Truth::Told if effects != happened => return Err("journal and log differ".into()),
            Truth::Lie | Truth::Late if effects > 1 => return Err("done twice".into()),
            _ => {}
        }
        let ends = self.fault.ends(self.verb);
        if !ends.contains(&last.end.as_str()) {
            return Err(format!("should have ended as {ends:?}"));
        }
        answer.map_or(Ok(()), |answer| self.check_answer(last, answer))
    }

    /// The caller is told what was on record when the answer was given.
    fn check_answer(&self, operation: &Operation, answer: &Answer) -> Result<(), String> {
        let code = if self.verb.of_post() { answer.json()["code"].as_str().map(str::to_owned) } else { None };
        let said = format!("answered {} {code:?} when {}", answer.status, operation.first);
        let fits = match (operation.first.as_str(), self.verb.of_post()) {
            ("succeeded", true) => answer.status == 200 && code.is_none(),
            ("gone", true) => answer.status == 404,
            ("refused", true) => {
                (400..500).contains(&answer.status) || code.as_deref() == Some("upstream_bad_reply")
            }
            ("failed", true) => answer.status == 500 || code.as_deref() == Some("upstream_redirect"),
            (_, true) => {
                matches!(
                    (answer.status, code.as_deref()),
                    (504, Some("outcome_unknown")) | (502, Some("upstream_bad_reply"))
                ) && ids::is_own_id(answer.json()["operationId"].as_str().unwrap_or_default())
            }
            ("succeeded", false) => {
                answer.status == 303 && !answer.header("location").contains("/operations/")
            }
            ("gone", false) => answer.status == if self.verb == Verb::Detach { 303 } else { 422 },
            ("refused" | "failed", false) if answer.status == 422 => true,
            // Whoever sent the form is led to where it can be seen how it ends.
            (_, false) => answer.status == 303 && answer.header("location").contains("/operations/"),
        };
        let told = self.fault.answer.is_none_or(|status| !self.verb.of_post() || status == answer.status);
        if fits && told { Ok(()) } else { Err(said) }
    }
}

/// A key that upstream refuses: each change is refused once, and nothing happens.
async fn a_refused_workspace_key_ends_each_change_once(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let people = Page::open(&app).await;
    let mut tried = 0;
    for verb in [
        Verb::Delete,
        Verb::Pause,
        Verb::Resume,
        Verb::Reschedule,
        Verb::Write,
        Verb::Create,
        Verb::Detach,
        Verb::Link,
    ] {
        let (ws, ws_key) = app.add_workspace(&format!("{verb:?}")).await;
        let scopes = [Scope::PostsRead, Scope::PostsCreate, Scope::PostsUpdate, Scope::PostsDelete];
        let key = app.key(&ws, KeyKind::Workspace, None, &scopes).await;
        let tenant = app.tenant_of(&ws, &ws_key, &format!("{verb:?}")).await.id;
        let target = match verb {
            Verb::Create => "new@test.example".to_owned(),
            Verb::Write => "A post under a refused key".to_owned(),
            Verb::Detach | Verb::Link => tenant.clone(),
            _ => app.posts(&tenant, vec![verb.post(app.clock.now())]).await.remove(0),
        };
        app.sweep(&ws, &tenant).await;
        let cell = Cell { fault: &cells::UNAUTHORIZED, verb, bulk: false, ws, target, tenant };
        let from = app.journal(0).await.last().unwrap()["seq"].as_i64().unwrap();
        app.faults(cell.rules().into()).await;
        let first = send(&app, &key, &people, &cell).await;
        app.control(Method::DELETE, "faults", Value::Null).await;
        app.reset_calls().await;
        let second = send(&app, &key, &people, &cell).await;
        assert_eq!((first.status, second.status), (503, 503), "{verb:?}: {} {}", first.text, second.text);
        assert_eq!(app.calls().await, 0, "{verb:?}: nothing is sent with a refused key");
        let mut told = Told::read(&app, from).await;
        let operations = told.take_operations(&app, &cell);
        assert_eq!((operations.len(), operations[0].end), (1, OpState::Refused), "{verb:?}");
        assert_eq!(told.take_effects(&app, &cell), 0, "{verb:?}");
        tried += 1;
    }
    println!("changes refused for the workspace's key: {tried}, each recorded once, nothing happened");
}
