//! What a key may do beside its scopes: where it may be used from, how fast, what it is told about itself.

mod generated;
mod rotation;
mod tenants;

use crate::{
    support::databases::{Engine, gateway_on_both_engines, hold_writes},
    testapp::{Answer, Browser, Tenant, TestApp, hidden},
};
use gatehouse::{
    clock::HOUR,
    domain::{
        audit::Actor,
        keys::{Key, KeyKind, Rotation, Scope},
    },
    store::keys::KeyFilter,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

gateway_on_both_engines!(
    a_key_is_refused_from_elsewhere,
    a_found_key_used_from_elsewhere_costs_its_owner_nothing,
    a_keys_own_rate_overrides_the_gateways,
    rules_are_changed_on_the_keys_page,
    a_first_use_does_not_wait_for_long,
    a_key_is_told_what_it_is,
    an_edited_key_is_refused_without_the_store,
    the_first_use_of_the_new_key_begins_the_old_ones_end,
    a_rotation_can_be_cancelled_or_lapses,
    a_refused_call_leaves_the_old_key,
    a_refused_bulk_call_leaves_the_old_key,
    a_key_made_by_a_key_lasts_no_longer_and_goes_no_faster,
    a_detached_tenants_keys_are_revoked,
);

use generated::an_edited_key_is_refused_without_the_store;
use rotation::{
    a_refused_bulk_call_leaves_the_old_key, a_refused_call_leaves_the_old_key,
    a_rotation_can_be_cancelled_or_lapses, the_first_use_of_the_new_key_begins_the_old_ones_end,
};
use tenants::{a_detached_tenants_keys_are_revoked, a_key_made_by_a_key_lasts_no_longer_and_goes_no_faster};

const LIST: &str = "/api/v1/list-posts?limit=1";
const WHOAMI: &str = "/api/v1/whoami";

/// A gateway behind a proxy on this machine.
async fn behind_a_proxy(engine: Engine) -> TestApp {
    TestApp::spawn_with(engine, |config| config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()]).await
}

/// A call as the proxy passes it on.
async fn from(app: &TestApp, address: &str, path: &str, key: &str) -> Answer {
    let call = app.request(Method::GET, path).header("x-api-key", key).header("x-forwarded-for", address);
    Answer::read(call.header("user-agent", "nightly/1").send().await.unwrap()).await
}

/// Makes a key on the page for it.
async fn make(app: &TestApp, browser: &mut Browser, fields: &[(&str, &str)]) -> (String, String) {
    let keys = format!("/w/{}/keys", app.ws);
    let made = browser.submit(&format!("{keys}/new"), &keys, fields).await;
    let page = browser.follow(made).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let cut = |begin: &str| page.text.split(begin).nth(1).unwrap().split('"').next().unwrap().to_owned();
    (cut("<a class=\"btn primary\" href=\""), cut("readonly value=\""))
}

async fn denied(app: &TestApp, code: &str) -> Vec<Value> {
    let entries = app.app().db.audit_page(&Default::default(), None, None, 500).await.unwrap();
    let own = entries.iter().filter(|e| e.detail("change").is_some_and(|c| c.contains(code)));
    own.map(|e| serde_json::from_slice(&e.bytes).unwrap()).collect()
}

fn tenant_key<'a>(tenant: &'a Tenant, addresses: &'a str, rate: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("name", "Nightly"),
        ("kind", "tenant"),
        ("tenant", &tenant.id),
        ("scopes", "posts:read"),
        ("expiry", "30"),
        ("addresses", addresses),
        ("rate", rate),
    ]
}

async fn a_key_is_refused_from_elsewhere(engine: Engine) {
    let app = behind_a_proxy(engine).await;
    let tenant = app.tenant("ann").await;
    app.quiet().await;
    let mut browser = Browser::login(&app).await;
    let fields = tenant_key(&tenant, "192.0.2.0/24\r\n2001:db8::/32", "");
    let (page, key) = make(&app, &mut browser, &fields).await;
    for address in ["192.0.2.1", "::ffff:192.0.2.255", "2001:db8::1", "198.51.100.9, 192.0.2.9"] {
        let answer = from(&app, address, LIST, &key).await;
        assert_eq!(answer.status, 200, "{address}: {}", answer.text);
    }
    let calls = app.calls().await;
    for (n, address) in ["192.0.3.1", "2001:db9::1", "192.0.2.9, 198.51.100.9", "nonsense"].iter().enumerate()
    {
        for path in [LIST, WHOAMI, "/manage/v1/audit.csv"] {
            let answer = from(&app, address, path, &key).await;
            assert_eq!(
                (answer.status, answer.json()["code"].as_str()),
                (403, Some("address_denied")),
                "{address}"
            );
            assert_eq!(answer.json()["requestId"], answer.header("x-request-id"));
        }
        let entries = denied(&app, "address_denied").await;
        assert_eq!(entries.len(), 3 * (n + 1), "{address}");
        assert_eq!((&entries[0]["outcome"], &entries[0]["tenant"]), (&json!("denied"), &json!(tenant.id)));
    }
    // What a caller writes into the header is not believed: the proxy's own line counts, and without a proxy none does.
    let direct = app.request(Method::GET, LIST).header("x-api-key", &key).send().await.unwrap();
    assert_eq!(direct.status(), 403, "the proxy's own address is not on the list");
    assert_eq!(app.calls().await, calls, "nothing was sent");
    // Only uses that were let in are shown as such.
    app.app().access.flush_uses().await.unwrap();
    let shown = browser.get(&page).await.text;
    assert!(shown.contains("2001:db8::1") && shown.contains("192.0.2.255"), "{shown}");
    assert!(shown.contains("nightly/1") && !shown.contains(">192.0.3.1<"), "{shown}");
}

async fn a_found_key_used_from_elsewhere_costs_its_owner_nothing(engine: Engine) {
    let app = behind_a_proxy(engine).await;
    let tenant = app.tenant("ann").await;
    let mut browser = Browser::login(&app).await;
    let (_, key) = make(&app, &mut browser, &tenant_key(&tenant, "192.0.2.7", "1")).await;
    let answers =
        futures_util::future::join_all((0..300).map(|_| from(&app, "203.0.113.5", LIST, &key))).await;
    assert!(answers.iter().all(|a| matches!(a.status, 403 | 429)), "{:?}", answers[0]);
    assert!(answers.iter().filter(|a| a.status == 429).count() > 100, "strangers are held to their pace");
    assert!(answers.iter().all(|a| a.header("ratelimit").is_empty()), "and told nothing of the key's");
    for _ in 0..5 {
        assert_eq!(from(&app, "192.0.2.7", LIST, &key).await.status, 200);
    }
}

async fn a_keys_own_rate_overrides_the_gateways(engine: Engine) {
    let app = TestApp::spawn_with(engine, |config| config.key_rate = 1).await;
    let tenant = app.tenant("ann").await;
    let mut browser = Browser::login(&app).await;
    let (_, fast) = make(&app, &mut browser, &tenant_key(&tenant, "", "100")).await;
    let (page, slow) = make(&app, &mut browser, &tenant_key(&tenant, "", "2")).await;
    for _ in 0..40 {
        let answer = app.api(Method::GET, WHOAMI, &fast, None).await;
        assert_eq!((answer.status, answer.header("ratelimit-policy")), (200, r#""key";q=500;w=5"#));
    }
    let statuses = async |key: &str| {
        let calls = (0..20).map(|_| app.api(Method::GET, WHOAMI, key, None));
        futures_util::future::join_all(calls).await.into_iter().map(|a| a.status).collect::<Vec<_>>()
    };
    let slow_ones = statuses(&slow).await;
    let through = slow_ones.iter().filter(|s| **s == 200).count();
    assert!((10..15).contains(&through) && slow_ones.contains(&429), "{slow_ones:?}");
    // Changed on its page, it holds at once.
    browser.submit(&page, &format!("{page}/rules"), &[("addresses", ""), ("rate", "50")]).await;
    assert_eq!(statuses(&slow).await, [200; 20]);
}

async fn rules_are_changed_on_the_keys_page(engine: Engine) {
    let app = behind_a_proxy(engine).await;
    let tenant = app.tenant("ann").await;
    let mut browser = Browser::login(&app).await;
    let wrong = tenant_key(&tenant, "10.0.0.5/24", "");
    let keys = format!("/w/{}/keys", app.ws);
    let answer = browser.submit(&format!("{keys}/new"), &keys, &wrong).await;
    assert_eq!(answer.status, 422);
    assert!(
        answer.text.contains("10.0.0.0/24 for its network") && answer.text.contains("10.0.0.5/24</textarea>")
    );
    let (page, key) = make(&app, &mut browser, &tenant_key(&tenant, "", "")).await;
    assert_eq!(from(&app, "198.51.100.4", LIST, &key).await.status, 200);
    app.app().access.flush_uses().await.unwrap();
    let rules = format!("{page}/rules");
    for (addresses, rate, text) in [
        ("nonsense", "", "neither an address nor a network"),
        ("", "0", "from 1 to 100,000"),
        ("<script>", "x", "Enter a whole number"),
    ] {
        let answer = browser.submit(&page, &rules, &[("addresses", addresses), ("rate", rate)]).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
        assert!(answer.text.contains(text) && !answer.text.contains("<script>"), "{}", answer.text);
    }
    let set = browser.submit(&page, &rules, &[("addresses", "192.0.2.1, 10.0.0.0/8"), ("rate", "9")]).await;
    let shown = browser.follow(set).await.text;
    for text in ["10.0.0.0/8</code>", "192.0.2.1</code>", "9 calls a second", "Refused now", "key.update"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    assert_eq!(from(&app, "198.51.100.4", LIST, &key).await.status, 403);
    assert_eq!(from(&app, "192.0.2.1", LIST, &key).await.status, 200);
    // What this key has done: what it was refused, too.
    let link =
        shown.split("<a href=\"").find(|l| l.contains("/audit?q=key%3A")).unwrap().split('"').next().unwrap();
    let log = browser.get(link).await;
    assert!(
        log.status == 200
            && log.text.contains("access.refuse")
            && !log.text.contains("<code>key.update</code>"),
        "{}",
        log.text
    );
    // Revoked by somebody else while the form was open.
    let id = page.rsplit('/').next().unwrap();
    let stored = app.app().db.key(&app.ws, id).await.unwrap().unwrap();
    let form = browser.get(&page).await.text;
    app.app().db.revoke_key(&Actor::system("test"), &stored, app.clock.now()).await.unwrap();
    let (csrf, once) = (hidden(&form, "_csrf"), hidden(&form, "_once"));
    let fields = [("_csrf", csrf.as_str()), ("_once", &once), ("addresses", ""), ("rate", "3")];
    let late = browser.post(&rules, &fields).await;
    let shown = browser.follow(late).await.text;
    assert!(shown.contains("not live any more: nothing was changed"), "{shown}");
}

async fn a_first_use_does_not_wait_for_long(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let (db, access, now) = (&app.app().db, &app.app().access, app.clock.now());
    let filter = KeyFilter { tenant_id: Some(&tenant.id), now, ..KeyFilter::default() };
    let old = db.keys(&app.ws, &filter, None, 1).await.unwrap().remove(0);
    let rotation = Rotation {
        replaces: Some(old.id.clone()),
        pending_until: Some(now + HOUR),
        overlap: Some(HOUR),
        ..Rotation::default()
    };
    let new = Key { id: format!("{}x", old.id), created_at: now, rotation, ..old.clone() };
    let actor = Actor::system("test");
    assert!(db.rotate_key(&actor, &old, &new, &[9; 32], "pepper").await.unwrap());
    access.reload().await.unwrap();
    let held = hold_writes(db).await;
    let second = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let begun = Instant::now();
        let answer = access.activate(&new, &actor).await;
        let took = begun.elapsed();
        drop(held);
        assert!(answer.is_err() && took < Duration::from_secs(3), "{took:?}");
    };
    let (first, ()) = futures_util::future::join(Box::pin(access.activate(&new, &actor)), second).await;
    first.unwrap();
    assert!(!db.key(&app.ws, &new.id).await.unwrap().unwrap().is_pending());
}

async fn a_key_is_told_what_it_is(engine: Engine) {
    let app = TestApp::spawn_with(engine, |config| (config.key_rate, config.tenant_rate) = (20, 40)).await;
    let (ann, bob) = (app.tenant("ann").await, app.tenant("bob").await);
    let mut browser = Browser::login(&app).await;
    let (page, key) = make(&app, &mut browser, &tenant_key(&ann, "127.0.0.0/8 ::1", "7")).await;
    app.quiet().await;
    let answer = app.api(Method::GET, WHOAMI, &key, None).await;
    let told = answer.json();
    let id = page.rsplit('/').next().unwrap();
    let expires = app.app().db.key(&app.ws, id).await.unwrap().unwrap().expires_at.unwrap();
    let expected = json!({
        "key": { "id": id, "name": "Nightly", "kind": "tenant" },
        "workspace": { "id": app.ws, "name": "First" },
        "tenant": { "id": ann.id, "displayName": "ann" },
        "scopes": ["posts:read"],
        "expiresAt": gatehouse::domain::times::to_iso(expires),
        "replaced": false,
        "addresses": ["127.0.0.0/8", "::1"],
        "limits": {
            "key": { "callsPerSecond": 7, "burst": 35 },
            "tenant": { "callsPerSecond": 40, "burst": 200 },
        },
    });
    assert_eq!((answer.status, told), (200, expected));
    assert!(!answer.text.contains(&key[8..20]), "never the key");
    // A workspace key: for nobody, for a tenant it names, and for nobody else's.
    let ws_key = app.key(&app.ws, KeyKind::Workspace, None, &[Scope::PostsRead]).await;
    let told = app.api(Method::GET, WHOAMI, &ws_key, None).await.json();
    assert_eq!(
        (&told["tenant"], &told["expiresAt"], &told["addresses"]),
        (&json!(null), &json!(null), &json!([]))
    );
    assert_eq!(told["limits"], json!({ "key": { "callsPerSecond": 20, "burst": 100 }, "tenant": null }));
    let acting = async |user: &str| {
        let call =
            app.request(Method::GET, WHOAMI).header("x-api-key", &ws_key).header("x-postpost-user-id", user);
        Answer::read(call.send().await.unwrap()).await
    };
    assert_eq!(acting(&bob.id).await.json()["tenant"]["displayName"], "bob");
    assert_eq!(acting("507f191e810c19729de860ea").await.status, 403);
    assert_eq!(app.calls().await, 0, "PostPost has no such route");
    // A frozen tenant's developer still learns what the key is.
    let freeze = format!("/w/{}/tenants/{}", app.ws, ann.id);
    browser.submit(&freeze, &format!("{freeze}/freeze"), &[("reason", "Not paid")]).await;
    assert_eq!(app.api(Method::GET, LIST, &key, None).await.status, 423);
    assert_eq!(app.api(Method::GET, WHOAMI, &key, None).await.status, 200);
    let audit = app.key(&app.ws, KeyKind::Audit, None, &[Scope::AuditRead]).await;
    assert_eq!(app.api(Method::GET, WHOAMI, &audit, None).await.status, 401, "no key of this door");
}
