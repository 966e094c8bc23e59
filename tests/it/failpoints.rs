//! The Nth commit or upstream call fails, for every N a piece of work passes: before it is made, or with its confirmation
//! lost. Afterwards the gateway is alive, what was acknowledged is there, what is there is explained, and nothing was
//! done twice. Background work passes points too, so that the Nth is not the same in each run; all are tried.

use crate::{
    support::{
        databases::{Engine, gateway_on_both_engines},
        jobs::{delete_plan, ticked},
        log::all_entries,
    },
    testapp::{Answer, Browser, Tenant, TestApp, hidden},
};
use gatehouse::{
    clock::{DAY, MINUTE},
    domain::{ids, operations::OpState, times},
    store::audit::AuditFilter,
    upstream::Patience,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

gateway_on_both_engines!(
    each_point_of_a_delete,
    each_point_of_an_update,
    each_point_of_a_call_made_again,
    each_point_of_a_job,
    each_point_of_a_tenants_form,
    each_point_of_a_key_and_a_freeze,
    each_point_of_a_sync_round,
);

/// No piece of work passes more points than this.
const MOST: u64 = 200;

/// A gateway whose Nth point fails.
struct Rig {
    app: TestApp,
    tenant: Tenant,
    scenario: &'static str,
    failed: BTreeMap<String, usize>,
    begun: Instant,
}

impl Rig {
    async fn new(engine: Engine, scenario: &'static str) -> Self {
        let app = TestApp::spawn_with(engine, |config| {
            config.tuning.upstream_guarded = false;
            config.tuning.mirror_age = Duration::from_secs(3_600);
            // Workers that rest longer leave more of the points to the work that is meant.
            if scenario != "job" {
                config.tuning.tick = Duration::from_millis(250);
            }
        })
        .await;
        let tenant = app.tenant("ann").await;
        app.quiet().await;
        Self { app, tenant, scenario, failed: BTreeMap::new(), begun: Instant::now() }
    }

    /// The Nth point from now on fails.
    fn arm(&self, n: u64) {
        self.app.app().db.failpoints().arm(n);
    }

    /// Ends the arming; brings everything that is open to its end; and checks that the gateway is as alive as before.
    /// `false` if there was no Nth point: then all have been tried.
    async fn recover(&mut self) -> bool {
        let failed = self.app.app().db.failpoints().disarm();
        if let Some(point) = failed {
            *self.failed.entry(format!("{point:?}")).or_default() += 1;
        }
        self.settle().await;
        let health = Answer::read(self.app.request(Method::GET, "/healthz").send().await.unwrap()).await;
        assert_eq!(health.status, 200);
        let list = self.app.api(Method::GET, "/api/v1/list-posts?limit=1", &self.tenant.key, None).await;
        assert_eq!(list.status, 200, "after {failed:?}: {}", list.text);
        failed.is_some()
    }

    /// What has no end although its call is over is settled a minute later; the clock is moved so far only when there is
    /// such an operation.
    async fn settle(&self) {
        let app = &self.app;
        let begun = Instant::now();
        loop {
            let open = app.app().db.open_operations(&app.ws, 100).await.unwrap();
            if open.is_empty() {
                return;
            }
            let forgotten =
                open.iter().any(|o| o.state == OpState::Open && o.started_at < app.clock.now() - 1_500);
            if forgotten {
                app.sandbox_idle().await;
                app.clock.advance(MINUTE + 1_000);
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "not settled: {open:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Effects on a target, and how its operations ended: an effect for each that happened, and no other.
    async fn explained(&self, target: &str, action: &str) -> usize {
        let journal = self.app.journal(0).await;
        let of_target =
            |e: &&Value| e["action"] == action && e["origin"] == "api" && e["postGroupId"] == target;
        let effects = journal.iter().filter(of_target).count();
        let entries = self.app.entries().await;
        let happened: BTreeSet<&str> = entries
            .iter()
            .filter(|e| e["targets"][0]["id"] == target)
            .filter(|e| matches!(e["outcome"].as_str(), Some("succeeded" | "applied")))
            .filter_map(|e| e["opId"].as_str())
            .collect();
        assert_eq!(
            effects,
            happened.len(),
            "{}: {target}: effects, and operations that happened",
            self.scenario
        );
        effects
    }

    /// The log is whole: dense numbers, the right root, one end for each intent.
    async fn finish(self, tried: u64) {
        let mut chains: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for entry in all_entries(&self.app).await {
            if let Some(op) = entry["opId"].as_str() {
                chains.entry(op.to_owned()).or_default().push(entry["outcome"].as_str().unwrap().to_owned());
            }
        }
        for (op, outcomes) in &chains {
            let words: Vec<&str> = outcomes.iter().map(String::as_str).collect();
            let whole = matches!(
                words[..],
                ["intent", "succeeded" | "gone" | "refused" | "failed" | "applied" | "not_applied"]
                    | ["intent", "in_doubt", "applied" | "not_applied" | "gone"]
            );
            assert!(whole, "{op}: {words:?}");
        }
        println!(
            "{}: {tried} points, each failed once ({:?}), {} operations with one end each, in {:?}",
            self.scenario,
            self.failed,
            chains.len(),
            self.begun.elapsed()
        );
        assert!(tried >= 4, "{tried}");
    }
}

async fn each_point_of_a_delete(engine: Engine) {
    let mut rig = Rig::new(engine, "delete").await;
    for n in 1..MOST {
        let id = rig.app.posts(&rig.tenant.id, vec![json!({ "status": "draft" })]).await.remove(0);
        rig.arm(n);
        let path = format!("/api/v1/delete-post/{id}");
        let answer = rig.app.api(Method::DELETE, &path, &rig.tenant.key, None).await;
        let more = rig.recover().await;
        let effects = rig.explained(&id, "post.delete").await;
        assert!(effects <= 1 && (answer.status != 200 || effects == 1), "{n}: {} {effects}", answer.text);
        assert_ne!(answer.status, 500, "{n}: {}", answer.text);
        if !more {
            return rig.finish(n - 1).await;
        }
    }
    panic!("more than {MOST} points");
}

async fn each_point_of_an_update(engine: Engine) {
    let mut rig = Rig::new(engine, "update").await;
    for n in 1..MOST {
        let now = rig.app.clock.now();
        let post = json!({ "status": "scheduled", "scheduledTime": times::to_iso(now + DAY) });
        let id = rig.app.posts(&rig.tenant.id, vec![post]).await.remove(0);
        rig.app.sweep(&rig.app.ws, &rig.tenant.id).await;
        rig.arm(n);
        let path = format!("/api/v1/update-post/{id}");
        let body = json!({ "scheduledTime": times::to_iso(now + 2 * DAY) });
        let answer = rig.app.api(Method::PUT, &path, &rig.tenant.key, Some(body)).await;
        let more = rig.recover().await;
        let effects = rig.explained(&id, "post.update").await;
        assert!(effects <= 1 && (answer.status != 200 || effects == 1), "{n}: {} {effects}", answer.text);
        if !more {
            return rig.finish(n - 1).await;
        }
    }
    panic!("more than {MOST} points");
}

async fn each_point_of_a_call_made_again(engine: Engine) {
    // Workers pass points in between; a few rounds reach those of the call itself that a worker came before.
    const ROUNDS: usize = 3;
    let mut rig = Rig::new(engine, "a call made again").await;
    let (mut n, mut round, mut tried) = (0, 0, 0);
    loop {
        n += 1;
        assert!(n < MOST, "more than {MOST} points");
        let id = rig.app.posts(&rig.tenant.id, vec![json!({ "status": "draft" })]).await.remove(0);
        let once = ids::new_id();
        let call = async || {
            let request = rig
                .app
                .request(Method::DELETE, &format!("/api/v1/delete-post/{id}"))
                .header("x-api-key", &rig.tenant.key)
                .header("idempotency-key", &once);
            Answer::read(request.send().await.unwrap()).await
        };
        rig.arm(n);
        let first = call().await;
        let more = rig.app.app().db.failpoints().disarm();
        if let Some(point) = more {
            *rig.failed.entry(format!("{point:?}")).or_default() += 1;
        }
        rig.settle().await;
        let second = call().await;
        rig.settle().await;
        let effects = rig.explained(&id, "post.delete").await;
        let said =
            format!("{n} {more:?}: {} {}, then {} {}", first.status, first.text, second.status, second.text);
        // Whatever failed, the second call ends it; and none of them does it again.
        assert_eq!((second.status, effects), (200, 1), "{said}");
        if more.is_none() {
            assert_eq!((first.status, second.header("idempotency-replayed")), (200, "true"));
            tried += n - 1;
            round += 1;
            n = 0;
            if round == ROUNDS {
                return rig.finish(tried).await;
            }
        }
    }
}

async fn each_point_of_a_job(engine: Engine) {
    let mut rig = Rig::new(engine, "job").await;
    const POSTS: usize = 3;
    for n in 1..MOST {
        let app = &rig.app;
        let posts =
            app.posts(&rig.tenant.id, (0..POSTS).map(|_| json!({ "status": "draft" })).collect()).await;
        app.sweep(&app.ws, &rig.tenant.id).await;
        let plan = delete_plan(app, &app.ws, ticked(&rig.tenant, &posts)).await;
        let job = ids::new_id();
        let db = &app.app().db;
        rig.arm(n);
        let confirmed = db.confirm_plan(&app.owner, &plan, &job, "failpoints", None, app.clock.now()).await;
        app.app().jobs.ring();
        let begun = Instant::now();
        loop {
            let Some(found) = db.job(&app.ws, &job).await.unwrap() else {
                assert!(confirmed.is_err(), "{n}: an acknowledged job is lost");
                break;
            };
            assert_eq!(found.counts.total(), POSTS as i64, "{n}: {:?}", found.counts);
            if found.state.is_final() && found.counts.unknown == 0 {
                break;
            }
            rig.settle().await;
            assert!(begun.elapsed() < Duration::from_secs(30), "{n}: {found:?}");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let more = rig.recover().await;
        let mut effects = 0;
        for id in &posts {
            let of_post = rig.explained(id, "post.delete").await;
            assert!(of_post <= 1, "{n}: done twice");
            effects += of_post;
        }
        if let Some(found) = rig.app.app().db.job(&rig.app.ws, &job).await.unwrap() {
            let counts = found.counts;
            assert_eq!((counts.total(), counts.succeeded), (POSTS as i64, effects as i64), "{n}: {counts:?}");
        }
        if !more {
            assert_eq!(effects, POSTS);
            return rig.finish(n - 1).await;
        }
    }
    panic!("more than {MOST} points");
}

/// A browser that is logged in now: the clock may have been moved past the end of an earlier session.
async fn form(
    app: &TestApp,
    page: &str,
    action: &str,
    fields: &[(&str, &str)],
    arm: impl FnOnce(),
) -> Answer {
    let mut browser = Browser::login(app).await;
    let shown = browser.get(page).await;
    let (csrf, once) = (hidden(&shown.text, "_csrf"), hidden(&shown.text, "_once"));
    let mut all = vec![("_csrf", csrf.as_str()), ("_once", once.as_str())];
    all.extend_from_slice(fields);
    arm();
    browser.post(action, &all).await
}

async fn each_point_of_a_tenants_form(engine: Engine) {
    let mut rig = Rig::new(engine, "a form that makes a tenant").await;
    let list = format!("/w/{}/tenants", rig.app.ws);
    for n in 1..MOST {
        let name = format!("new-{n}@test.example");
        let fields = [("username", name.as_str()), ("display_name", "New")];
        let answer = form(&rig.app, &format!("{list}/new"), &list, &fields, || rig.arm(n)).await;
        let more = rig.recover().await;
        let account = rig.app.app().access.account(&rig.app.ws).unwrap();
        let users =
            rig.app.app().upstream.list_users(&account.endpoint, "test", Patience::DOOR).await.unwrap();
        let there = users.iter().any(|user| user.username == name);
        let here = rig.app.app().db.tenant_by_username(&rig.app.ws, &name).await.unwrap().is_some();
        let made = answer.status == 303 && answer.header("location").contains("done=tenant_added");
        assert_eq!(there, here, "{n}: PostPost and the gateway agree; answered {}", answer.status);
        assert!(!made || there, "{n}: an acknowledged tenant is lost");
        assert!(!there || answer.status == 303, "{n}: made, and told otherwise: {}", answer.status);
        if !more {
            assert!(made, "{}", answer.text);
            return rig.finish(n - 1).await;
        }
    }
    panic!("more than {MOST} points");
}

async fn each_point_of_a_key_and_a_freeze(engine: Engine) {
    let mut rig = Rig::new(engine, "a key made and a tenant frozen").await;
    let (ws, id) = (rig.app.ws.clone(), rig.tenant.id.clone());
    let victim = rig.app.tenant("bob").await.id;
    let entries = async |rig: &Rig, action: &str| {
        let filter = AuditFilter { action: Some(action.to_owned()), ..AuditFilter::default() };
        rig.app.app().db.audit_count(&filter).await.unwrap()
    };
    let mut tried = 0;
    for n in 1..MOST {
        let keys = rig.app.app().db.keys(&ws, &Default::default(), None, 1_000).await.unwrap().len();
        let noted = entries(&rig, "key.create").await;
        let fields = [
            ("name", "CI"),
            ("kind", "tenant"),
            ("tenant", id.as_str()),
            ("scopes", "posts:read"),
            ("expiry", "30"),
        ];
        let page = format!("/w/{ws}/keys/new");
        let answer = form(&rig.app, &page, &format!("/w/{ws}/keys"), &fields, || rig.arm(n)).await;
        let more = rig.recover().await;
        let now = rig.app.app().db.keys(&ws, &Default::default(), None, 1_000).await.unwrap().len();
        assert_eq!(
            (now - keys) as i64,
            entries(&rig, "key.create").await - noted,
            "{n}: each key has its entry"
        );
        assert!(
            now - keys <= 1 && (answer.status != 303 || now > keys),
            "{n}: {} {keys} {now}",
            answer.status
        );
        tried = n - 1;
        if !more {
            assert_eq!(answer.status, 303, "{}", answer.text);
            break;
        }
    }
    for n in 1..MOST {
        let frozen =
            async |rig: &Rig| rig.app.app().db.tenant(&ws, &victim).await.unwrap().unwrap().frozen.is_some();
        let was = frozen(&rig).await;
        let (word, done) = if was { ("unfreeze", "unfrozen") } else { ("freeze", "frozen") };
        let noted = entries(&rig, &format!("tenant.{word}")).await;
        let page = format!("/w/{ws}/tenants/{victim}");
        let answer =
            form(&rig.app, &page, &format!("{page}/{word}"), &[("reason", "x")], || rig.arm(n)).await;
        let more = rig.recover().await;
        let changed = frozen(&rig).await != was;
        assert_eq!(i64::from(changed), entries(&rig, &format!("tenant.{word}")).await - noted, "{n}: {word}");
        let acknowledged = answer.status == 303 && answer.header("location").contains(done);
        assert!(!acknowledged || changed, "{n}: an acknowledged {word} is lost");
        rig.app
            .until("the picture in memory follows", async || {
                let standing = rig.app.app().access.tenant(&ws, &victim).unwrap();
                standing.frozen.is_some() == (was != changed)
            })
            .await;
        if !more {
            assert!(acknowledged, "{}", answer.text);
            return rig.finish(tried + n - 1).await;
        }
    }
    panic!("more than {MOST} points");
}

async fn each_point_of_a_sync_round(engine: Engine) {
    let mut rig = Rig::new(engine, "sync").await;
    let (ws, id) = (rig.app.ws.clone(), rig.tenant.id.clone());
    for n in 1..MOST {
        rig.app.posts(&id, vec![json!({ "status": "draft" })]).await;
        let account = rig.app.app().access.account(&ws).unwrap();
        rig.arm(n);
        let first = rig.app.app().mirror.sweep(&account, &id, Patience::DOOR).await;
        let more = rig.recover().await;
        rig.app.sweep(&ws, &id).await;
        let mirrored = rig.app.app().db.count_posts(&ws, &Default::default()).await.unwrap();
        assert_eq!(mirrored as u64, n, "every post is mirrored, once");
        if !more {
            assert!(first.is_ok());
            return rig.finish(n - 1).await;
        }
    }
    panic!("more than {MOST} points");
}
