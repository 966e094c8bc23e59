//! Personal data is erased, and found nowhere any more: every place that could hold it is filled with texts that stand
//! nowhere else, one tenant and one person are erased, and then the files, the tables, the exports, the pages and a backup
//! are searched for these texts. What others have must all still be there, and the log must verify.

mod crash;
mod doors;

use crate::{
    bulk::{confirm, last_id, plan},
    support::{
        databases::{Engine, dump, execute, gateway_on_both_engines},
        jobs::ended,
        log::all_entries,
    },
    testapp::{Answer, Browser, PASSWORD, Tenant, TestApp},
};
use gatehouse::{
    domain::{
        audit::{Action, Draft},
        erasures::{Erasure, ErasureState, Subject},
        ids,
        keys::{KeyKind, Scope},
    },
    store::{Db, erasures::Asked},
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{fs, path::Path};

gateway_on_both_engines!(nothing_of_an_erased_tenant_is_left, nothing_of_an_erased_person_is_left);

/// A text that stands nowhere else, long enough for a page of its own where that matters.
const CANARY: &str = "kanarienvogel";
/// And of somebody who is not erased.
const KEPT: &str = "bleibtstehen";

/// Where a text must not be any more, or must still be.
#[derive(Default)]
struct Places(Vec<(String, Vec<u8>)>);

impl Places {
    fn put(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push((name.into(), bytes.into()));
    }

    /// The database's files, and everything else in the data folder.
    fn folder(&mut self, when: &str, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.folder(when, &path);
            } else {
                self.put(format!("{} {when}", path.display()), fs::read(&path).unwrap());
            }
        }
    }

    /// All that the database says of itself.
    async fn tables(&mut self, app: &TestApp) {
        if let Some(bytes) = dump(&app.config.database_url).await {
            self.put("the tables", bytes);
        }
    }

    /// Fails, with what stands around it, if the text is anywhere.
    fn have_not(&self, text: &str) {
        let mut found = Vec::new();
        for (name, bytes) in &self.0 {
            let lower = bytes.to_ascii_lowercase();
            if let Some(at) = lower.windows(text.len()).position(|part| part == text.as_bytes()) {
                let around = &bytes[at.saturating_sub(200)..(at + 80).min(bytes.len())];
                found.push(format!("{name}: …{}…", String::from_utf8_lossy(around)));
            }
        }
        assert!(
            found.is_empty(),
            "{text} is in {} of {} places:\n{}",
            found.len(),
            self.0.len(),
            found.join("\n")
        );
    }

    fn with(&self, text: &str) -> Vec<&str> {
        let has = |bytes: &[u8]| {
            let lower = bytes.to_ascii_lowercase();
            lower.windows(text.len()).any(|part| part == text.as_bytes())
        };
        self.0.iter().filter(|(_, bytes)| has(bytes)).map(|(name, _)| name.as_str()).collect()
    }
}

/// A backup as an operator makes one, of SQLite: PostgreSQL's tools read the tables, which are looked at themselves.
async fn backup(db: &Db, to: &Path) {
    if db.is_embedded() {
        let file: &'static str = Box::leak(format!("VACUUM INTO '{}'", to.display()).into_boxed_str());
        execute(db, file, &[]).await.unwrap();
    }
}

/// What can be read, exported and copied now.
async fn gather(app: &TestApp, browser: &mut Browser, token: &str, when: &str) -> Places {
    let mut places = Places::default();
    let mut paths: Vec<String> = ["/", "/audit", "/people", "/settings"].map(str::to_owned).into();
    for page in ["", "/tenants", "/posts", "/keys", "/jobs", "/operations", "/audit"] {
        paths.push(format!("/w/{}{page}", app.ws));
    }
    paths.extend((0..all_entries(app).await.len()).map(|seq| format!("/audit/{seq}")));
    for path in paths {
        let answer = browser.get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        places.put(format!("{path} {when}"), answer.text);
    }
    for file in [".csv", ".ndjson", ""] {
        let path = format!("/manage/v1/audit{file}");
        let request = app.request(Method::GET, &path).bearer_auth(token);
        let answer = Answer::read(request.send().await.unwrap()).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        places.put(format!("{path} {when}"), answer.text);
    }
    for format in ["csv", "ndjson"] {
        let answer = browser.submit("/audit", "/audit/export", &[("format", format)]).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        places.put(format!("the whole log as {format} {when}"), answer.text);
    }
    places.tables(app).await;
    let copy = app.config.data.with_file_name(format!("backup-{}.db", ids::new_id()));
    backup(&app.app().db, &copy).await;
    if copy.exists() {
        places.put(format!("a backup {when}"), fs::read(&copy).unwrap());
        fs::remove_file(&copy).unwrap();
    }
    places.folder(when, &app.config.data);
    places
}

async fn until_done(app: &TestApp, id: &str) -> Erasure {
    app.until("the erasure is done", || async {
        app.app().db.erasure(id).await.unwrap().unwrap().state == ErasureState::Done
    })
    .await;
    app.app().db.erasure(id).await.unwrap().unwrap()
}

/// Fills every place there is with a tenant's data, through the doors where they lead there.
async fn live(app: &TestApp, browser: &mut Browser, name: &str) -> Tenant {
    let tenant = app.tenant(name).await;
    // Longer than a page of the database, so that it stands in pages of its own.
    let long = format!("{name} {}", "bread ".repeat(2_000));
    let posts: Vec<Value> =
        (0..4).map(|n| json!({ "status": "draft", "content": format!("{n} {long}") })).collect();
    let ids = app.posts(&tenant.id, posts).await;
    app.sweep(&app.ws, &tenant.id).await;
    // Calls of its own, with what a caller can put into an entry.
    let call = |method: Method, path: String| {
        app.request(method, &path)
            .header("x-api-key", &tenant.key)
            .header("user-agent", format!("{name}-agent/1"))
            .header("x-postpost-client", format!("{name}-client"))
            .header("idempotency-key", format!("{name}-key"))
    };
    let at = json!({ "status": "draft", "scheduledTime": "2031-01-01T09:00:00Z" });
    let update = call(Method::PUT, format!("/api/v1/update-post/{}", ids[0]));
    let update = update.header("content-type", "application/json").body(at.to_string());
    assert_eq!(update.send().await.unwrap().status(), 200);
    // A page: link, freeze, key, saved view, a preview that nobody confirms, a delete with backups.
    let page = format!("/w/{}/tenants/{}", app.ws, tenant.id);
    browser.submit(&page, &format!("{page}/link"), &[("days", "30")]).await;
    let keys = format!("/w/{}/keys", app.ws);
    let label = format!("{name} label");
    let fields = [
        ("name", label.as_str()),
        ("kind", "tenant"),
        ("tenant", &tenant.id),
        ("scopes", "posts:read"),
        ("expiry", "30"),
    ];
    browser.submit(&format!("{keys}/new"), &keys, &fields).await;
    let list = format!("/w/{}/posts", app.ws);
    let filter = format!("tenant={}&q={name}", tenant.id);
    let view = format!("{name} view");
    browser
        .submit(
            &list,
            &format!("/w/{}/views", app.ws),
            &[("name", view.as_str()), ("filter", filter.as_str())],
        )
        .await;
    let select = [("action", "delete"), ("scope", "matching"), ("filter", filter.as_str())];
    plan(browser, &app.ws, &select).await;
    let confirmed = plan(browser, &app.ws, &select).await;
    let reason = format!("{name} asked for it");
    let answer =
        confirm(browser, &confirmed, &[("reason", &reason), ("confirm", "delete 4"), ("password", PASSWORD)])
            .await;
    assert_eq!(answer.status, 303, "{}", answer.text);
    ended(app, &last_id(answer.header("location"))).await;
    // A search for it, taken away in a file.
    let search = [("format", "csv"), ("actor", name)];
    browser.submit(&format!("/w/{}/audit", app.ws), &format!("/w/{}/audit/export", app.ws), &search).await;
    // New posts, so that the mirror has some; and a freeze with a reason.
    app.posts(&tenant.id, vec![json!({ "status": "draft", "content": long })]).await;
    app.sweep(&app.ws, &tenant.id).await;
    browser.submit(&page, &format!("{page}/freeze"), &[("reason", &reason)]).await;
    tenant
}

async fn nothing_of_an_erased_tenant_is_left(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let token = app.key(&app.ws, KeyKind::Audit, None, &[Scope::AuditRead]).await;
    let mut browser = Browser::login(&app).await;
    let gone = live(&app, &mut browser, CANARY).await;
    let kept = live(&app, &mut browser, KEPT).await;
    app.app().access.flush_uses().await.unwrap();
    let db = &app.app().db;
    let erased = Subject::Tenant { workspace: app.ws.clone(), id: gone.id.clone() };
    let asked = db.begin_erasure(&app.owner, &ids::new_id(), &erased, "request 17", app.clock.now()).await;
    assert_eq!(asked.unwrap(), Asked::Attached);

    let before = gather(&app, &mut browser, &token, "before").await;
    let (found, others) = (before.with(CANARY), before.with(KEPT));
    assert!(found.len() > 20, "the canary must have been in many places: {found:?}");
    let root_before = db.audit_head().await.unwrap();

    for tenant in [&gone, &kept] {
        let page = format!("/w/{}/tenants/{}", app.ws, tenant.id);
        let unfrozen = browser.submit(&page, &format!("{page}/detach"), &[("confirm", "")]).await;
        assert!(matches!(unfrozen.status, 303 | 422), "{}", unfrozen.text);
    }
    app.until_settled().await;
    let now = app.clock.now();
    let asked = db.begin_erasure(&app.owner, &ids::new_id(), &erased, "request 17", now).await.unwrap();
    let Asked::Begun(id) = asked else { panic!("{asked:?}") };
    let done = until_done(&app, &id).await;
    assert!(done.details > 10, "{done:?}");

    let after = gather(&app, &mut browser, &token, "after").await;
    after.have_not(CANARY);
    // What is another's has stayed, in as many kinds of places.
    let still = after.with(KEPT);
    assert!(
        still.len() * 4 >= others.len() * 3,
        "{} of {} places are left: {still:?}",
        still.len(),
        others.len()
    );
    // Nothing was taken out of the log, and all of it is as it was hashed.
    let entries = all_entries(&app).await;
    assert!(entries.len() as i64 > root_before.size);
    let erasures: Vec<&Value> = entries.iter().filter(|e| e["action"] == "audit.erase").collect();
    let outcomes: Vec<&str> = erasures.iter().map(|e| e["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["intent", "succeeded"]);
    assert!(erasures.iter().all(|e| e["tenant"] == gone.id.as_str() && e["opId"] == id.as_str()));
    // An erased part says when it was erased.
    let own =
        entries.iter().find(|e| e["tenant"] == gone.id.as_str() && e["action"] == "post.update").unwrap();
    let seq = own["seq"].as_i64().unwrap();
    let parts: Vec<String> = db.erased_parts(seq).await.unwrap().into_iter().map(|(part, _)| part).collect();
    assert!(parts.contains(&"names".to_owned()) && parts.contains(&"context".to_owned()), "{parts:?}");
    let shown = browser.get(&format!("/audit/{seq}")).await;
    assert!(shown.text.contains("rased"), "{}", shown.text);
    // And the log goes on.
    db.append(app.clock.now(), &[&Draft::done(&app.owner, Action::PostDelete)]).await.unwrap();
    println!(
        "{} places before, {} of them gone, {} of another's still there",
        before.0.len(),
        found.len(),
        still.len()
    );
}

async fn nothing_of_an_erased_person_is_left(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let token = app.key(&app.ws, KeyKind::Audit, None, &[Scope::AuditRead]).await;
    let mut browser = Browser::login(&app).await;
    let db = &app.app().db;
    let mut people = Vec::new();
    for name in [CANARY, KEPT] {
        let id = ids::new_id();
        let email = format!("{name}@test.example");
        let person = "INSERT INTO admins (id, email, name, password_hash, instance_owner, created_at)
            SELECT $1, $2, $3, password_hash, instance_owner, created_at FROM admins LIMIT 1";
        execute(db, person, &[&id, &email, &format!("Mx {name}")]).await.unwrap();
        let mut own = Browser::at(app.url());
        let login = own.submit("/login", "/login", &[("email", &email), ("password", PASSWORD)]).await;
        assert_eq!(login.status, 303, "{}", login.text);
        let wrong = [("email", email.as_str()), ("password", "not the right one")];
        assert_eq!(Browser::at(app.url()).submit("/login", "/login", &wrong).await.status, 401);
        // The tenant's own data is not the person's.
        live(&app, &mut own, &format!("{name}-tenant")).await;
        let search = [("format", "csv"), ("actor", email.as_str())];
        browser.submit("/audit", "/audit/export", &search).await;
        people.push((id, own));
    }
    let before = gather(&app, &mut browser, &token, "before").await;
    let address = format!("{CANARY}@test");
    let (found, others) = (before.with(&address).len(), before.with(&format!("{KEPT}@test")).len());
    assert!(found > 10, "{:?}", before.with(&address));
    let person = Subject::Person { id: people[0].0.clone() };
    let now = app.clock.now();
    let Asked::Begun(id) =
        db.begin_erasure(&app.owner, &ids::new_id(), &person, "request 18", now).await.unwrap()
    else {
        panic!("not begun")
    };
    // From that moment on nobody acts under the name.
    assert_eq!(people[0].1.get("/").await.status, 303);
    until_done(&app, &id).await;
    let after = gather(&app, &mut browser, &token, "after").await;
    for text in [address.as_str(), &format!("mx {CANARY}\""), &format!("mx {CANARY}<")] {
        after.have_not(text);
    }
    let still = after.with(&format!("{KEPT}@test")).len();
    assert!(still * 4 >= others * 3, "{still} of {others}");
    // The id is what is left, and what was done.
    let entries = all_entries(&app).await;
    assert!(entries.iter().filter(|e| e["actor"]["id"] == people[0].0.as_str()).count() > 5);
    assert_eq!(people[1].1.get("/").await.status, 200, "somebody else's session goes on");
    // The only owner that is left stays.
    for (id, expected) in [(people[1].0.clone(), true), (app.owner.id.clone(), false)] {
        let asked = db
            .begin_erasure(&app.owner, &ids::new_id(), &Subject::Person { id }, "request 19", app.clock.now())
            .await
            .unwrap();
        assert_eq!(matches!(asked, Asked::Begun(_)), expected, "{asked:?}");
    }
}
