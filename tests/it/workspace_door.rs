//! The workspace's own calls under a workspace key: the same users at PostPost and here, whatever comes in between.

use crate::{
    support::databases::{Engine, gateway_on_both_engines},
    testapp::{Answer, TestApp},
};
use gatehouse::{
    clock::{DAY, HOUR},
    domain::keys::{KeyKind, Scope},
    store::tenants::TenantFilter,
};
use reqwest::Method;
use serde_json::{Value, json};

gateway_on_both_engines!(
    a_user_made_here_is_a_tenant_at_once,
    a_user_whose_making_was_never_answered_is_given_when_asked_again,
    a_replay_of_a_user_found_has_no_link,
    a_failed_look_for_a_user_says_nothing,
    what_is_no_name_is_sent_nowhere,
    only_users_of_ones_own_are_touched,
    nothing_is_done_about_a_frozen_user,
    the_owners_own_account_passes_without_a_tenant,
    a_users_key_ends_only_the_one_made_so_before,
);

const USERS: &str = "/api/v1/workspace/users";

async fn workspace_key(app: &TestApp) -> String {
    let scopes = [Scope::WorkspaceManage, Scope::PostsRead, Scope::PostsDelete, Scope::WebhooksManage];
    app.key(&app.ws, KeyKind::Workspace, None, &scopes).await
}

async fn keyed(app: &TestApp, key: &str, once: &str, body: &Value) -> Answer {
    let request = app.request(Method::POST, USERS).header("x-api-key", key).header("idempotency-key", once);
    let request = request.header("content-type", "application/json").body(body.to_string());
    Answer::read(request.send().await.unwrap()).await
}

/// The users of the account as PostPost has them.
async fn upstream_users(app: &TestApp) -> Vec<Value> {
    let http = crate::testapp::client();
    let request = http.get(format!("{}{USERS}", app.sandbox.url())).header("x-api-key", &app.ws_key);
    let answer = Answer::read(request.send().await.unwrap()).await;
    answer.json()["users"].as_array().unwrap().clone()
}

async fn a_user_made_here_is_a_tenant_at_once(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let key = workspace_key(&app).await;
    let body = json!({ "username": "New@Test.example", "displayName": "New", "note": { "kept": true } });
    let made = app.api(Method::POST, USERS, &key, Some(body.clone())).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let user = made.json()["user"].clone();
    let id = user["_id"].as_str().unwrap().to_owned();
    assert_eq!((&user["username"], &user["displayName"]), (&json!("new@test.example"), &json!("New")));
    // It can be acted for at once.
    let request = app.request(Method::GET, "/api/v1/list-posts").header("x-api-key", &key);
    let listed = Answer::read(request.header("x-postpost-user-id", &id).send().await.unwrap()).await;
    assert_eq!(listed.status, 200, "{}", listed.text);
    let users = app.api(Method::GET, USERS, &key, None).await;
    assert_eq!((users.status, users.json()["users"].as_array().unwrap()), (200, &upstream_users(&app).await));
    // A second one of the name is PostPost's to refuse.
    let again = app.api(Method::POST, USERS, &key, Some(body)).await;
    assert_eq!(
        (again.status, again.json()),
        (409, json!({ "error": "User with this email already exists" }))
    );
    let none = app.api(Method::POST, USERS, &key, Some(json!({ "displayName": "x" }))).await;
    assert_eq!((none.status, none.json()), (400, json!({ "error": "Email is required" })));
    // A link: given again until it is rotated.
    let path = format!("{USERS}/{id}/connection-url");
    let link = app.api(Method::POST, &path, &key, Some(json!({ "expiresInDays": 2 }))).await;
    assert_eq!(link.status, 200, "{}", link.text);
    let same = app.api(Method::POST, &path, &key, None).await;
    assert_eq!(same.json(), link.json());
    let new = app.api(Method::POST, &path, &key, Some(json!({ "rotate": true }))).await;
    assert_ne!(new.json()["url"], link.json()["url"]);
    let bad = app.api(Method::POST, &path, &key, Some(json!({ "expiresInDays": -1 }))).await;
    assert_eq!((bad.status, &bad.json()["code"]), (400, &Value::Null), "{}", bad.text);
    for entry in app.app().db.audit_page(&Default::default(), None, None, 500).await.unwrap() {
        let text = format!("{} {:?}", String::from_utf8_lossy(&entry.bytes), entry.details);
        assert!(!text.contains("/connect/"), "{text}");
    }
    // Detached here and there; the user is unknown from then on.
    let path = format!("{USERS}/{id}");
    let gone = app.api(Method::DELETE, &path, &key, None).await;
    assert_eq!((gone.status, gone.json()), (200, json!({ "success": true })));
    assert!(upstream_users(&app).await.is_empty());
    assert!(app.app().access.tenant(&app.ws, &id).unwrap().detached);
    app.reset_calls().await;
    let again = app.api(Method::DELETE, &path, &key, None).await;
    let text = "User not found or not managed by this key";
    assert_eq!((again.status, again.json()["error"].as_str()), (404, Some(text)));
    let outcomes: Vec<Value> = app.entries().await.iter().map(|e| e["action"].clone()).collect();
    for action in ["tenant.create", "tenant.link", "tenant.detach"] {
        assert!(outcomes.contains(&json!(action)), "{action}");
    }
}

async fn a_user_whose_making_was_never_answered_is_given_when_asked_again(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let key = workspace_key(&app).await;
    let lost = json!([{ "match": { "method": "POST", "path": USERS }, "resetAfter": true }]);
    // Asked again with the same idempotency key, and without any.
    for (name, once) in [("one@test.example", Some("once")), ("two@test.example", None)] {
        let body = json!({ "username": name });
        let ask = async || match once {
            Some(once) => keyed(&app, &key, once, &body).await,
            None => app.api(Method::POST, USERS, &key, Some(body.clone())).await,
        };
        app.faults(lost.clone()).await;
        let doubt = ask().await;
        assert_eq!((doubt.status, &doubt.json()["code"]), (504, &json!("outcome_unknown")), "{name}");
        app.control(Method::DELETE, "faults", Value::Null).await;
        app.until_settled().await;
        let made = ask().await;
        assert_eq!((made.status, &made.json()["user"]["username"]), (201, &json!(name)), "{}", made.text);
        let again = ask().await;
        assert_eq!(
            (again.status, &again.json()["user"]["_id"]),
            (201, &made.json()["user"]["_id"]),
            "{name}"
        );
        assert_eq!(upstream_users(&app).await.iter().filter(|u| u["username"] == name).count(), 1);
    }
    // Made by nobody here, and not imported yet: it is ours as soon as it is asked for, with one answer for one key.
    let made =
        json!({ "workspaceKey": app.ws_key, "username": "three@test.example", "displayName": "Three" });
    let id = app.control(Method::POST, "users", made).await["user"]["_id"].as_str().unwrap().to_owned();
    let body = json!({ "username": "Three@test.example" });
    let given = keyed(&app, &key, "three", &body).await;
    assert_eq!((given.status, &given.json()["user"]["_id"]), (201, &json!(id)), "{}", given.text);
    assert!(!app.app().access.tenant(&app.ws, &id).unwrap().detached);
    let replayed = keyed(&app, &key, "three", &body).await;
    assert_eq!((replayed.status, replayed.text), (201, given.text));
    assert_eq!(
        app.api(Method::POST, USERS, &key, Some(body)).await.status,
        409,
        "now it is a tenant like any"
    );
    // One of another account is not given.
    let (_, other) = app.add_workspace("Other").await;
    let theirs = json!({ "workspaceKey": other, "username": "four@test.example", "displayName": "Four" });
    app.control(Method::POST, "users", theirs).await;
    let body = Some(json!({ "username": "four@test.example" }));
    assert_eq!(app.api(Method::POST, USERS, &key, body).await.status, 409);
    let tenants = app.app().db.count_tenants(&app.ws, &TenantFilter::default()).await.unwrap();
    assert_eq!(tenants, 3);
    // Days later it is not the same call any more.
    app.clock.advance(DAY + HOUR);
    let body = Some(json!({ "username": "two@test.example" }));
    assert_eq!(app.api(Method::POST, USERS, &key, body).await.status, 409);
}

/// Makes a user past the gateway; answers its id.
async fn make_upstream(app: &TestApp, name: &str) -> String {
    let made = json!({ "workspaceKey": app.ws_key, "username": name, "displayName": "Made there" });
    app.control(Method::POST, "users", made).await["user"]["_id"].as_str().unwrap().to_owned()
}

async fn a_replay_of_a_user_found_has_no_link(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let key = workspace_key(&app).await;
    let id = make_upstream(&app, "one@test.example").await;
    let url = format!("{}{USERS}/{id}/connection-url", app.sandbox.url());
    let linked = crate::testapp::client().post(url).header("x-api-key", &app.ws_key).send().await.unwrap();
    let link = Answer::read(linked).await.json()["url"].clone();
    let body = json!({ "username": "one@test.example" });
    let given = keyed(&app, &key, "one", &body).await;
    assert_eq!((given.status, &given.json()["user"]["connectionsPageUrl"]), (201, &link), "{}", given.text);
    let again = keyed(&app, &key, "one", &body).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"));
    assert_eq!(again.json()["user"]["_id"], id.as_str());
    assert_eq!(again.json()["user"].get("connectionsPageUrl"), None, "{}", again.text);
    // Days beyond any calendar, in doubt: it is looked up all the same.
    app.faults(json!([{ "match": { "method": "POST" }, "times": 1, "resetBefore": true }])).await;
    let path = format!("{USERS}/{id}/connection-url");
    let days = Some(json!({ "expiresInDays": i64::MAX }));
    let doubt = app.api(Method::POST, &path, &key, days).await;
    assert_eq!(doubt.status, 504, "{}", doubt.text);
    app.until_settled().await;
    let op = format!("/api/v1/operations/{}", doubt.json()["operationId"].as_str().unwrap());
    assert_eq!(app.api(Method::GET, &op, &key, None).await.json()["state"], "not_applied");
}

async fn a_failed_look_for_a_user_says_nothing(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let key = workspace_key(&app).await;
    make_upstream(&app, "one@test.example").await;
    let body = json!({ "username": "one@test.example" });
    let look = |status: u16| {
        let body = json!({ "error": "Not now" });
        json!([{ "match": { "method": "GET", "path": USERS }, "status": status, "body": body }])
    };
    for status in [403, 500] {
        app.faults(look(status)).await;
        let failed = keyed(&app, &key, "one", &body).await;
        assert_eq!(
            (failed.status, &failed.json()["code"]),
            (502, &json!("upstream_bad_reply")),
            "{}",
            failed.text
        );
    }
    app.faults(json!([])).await;
    let given = keyed(&app, &key, "one", &body).await;
    assert_eq!((given.status, given.header("idempotency-replayed")), (201, ""), "{}", given.text);
    // A 404 to a create is a refusal.
    let refusal = json!({ "error": "Not here" });
    app.faults(json!([{ "match": { "method": "POST" }, "status": 404, "body": refusal }])).await;
    let refused = app.api(Method::POST, USERS, &key, Some(json!({ "username": "two@test.example" }))).await;
    assert_eq!((refused.status, refused.json()), (404, refusal));
    let entries = app.entries().await;
    let last = entries.iter().filter(|e| e["action"] == "tenant.create").max_by_key(|e| e["seq"].as_i64());
    assert_eq!(last.unwrap()["outcome"], "refused");
    // A key that is refused is refused, whatever was asked.
    make_upstream(&app, "three@test.example").await;
    app.faults(look(401)).await;
    let body = json!({ "username": "three@test.example" });
    let suspended = keyed(&app, &key, "three", &body).await;
    assert_eq!((suspended.status, &suspended.json()["code"]), (503, &json!("workspace_suspended")));
    assert!(app.app().access.account(&app.ws).unwrap().workspace.suspended_at.is_some());
}

async fn what_is_no_name_is_sent_nowhere(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let key = workspace_key(&app).await;
    app.quiet().await;
    let long = format!("{}@test.example", "x".repeat(250));
    for (name, display, code) in [
        (long.as_str(), "", "invalid_username"),
        ("sk_live_abcdefgh", "", "invalid_username"),
        ("one@test.example", &"x".repeat(101), "invalid_display_name"),
    ] {
        let body = json!({ "username": name, "displayName": display });
        let answer = app.api(Method::POST, USERS, &key, Some(body)).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(code)), "{}", answer.text);
    }
    assert_eq!(app.calls().await, 0);
    let body = json!({ "username": "one@test.example", "displayName": "sk_live_abcdefgh" });
    assert_eq!(app.api(Method::POST, USERS, &key, Some(body)).await.status, 201);
    for entry in app.app().db.audit_page(&Default::default(), None, None, 500).await.unwrap() {
        let text = format!("{} {:?}", String::from_utf8_lossy(&entry.bytes), entry.details);
        assert!(!text.contains("sk_live_abcdefgh"), "{text}");
    }
}

async fn only_users_of_ones_own_are_touched(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let key = workspace_key(&app).await;
    let (other_ws, other_key) = app.add_workspace("Other").await;
    let eve = app.tenant_of(&other_ws, &other_key, "eve").await;
    let journal = app.control(Method::GET, "journal?after=0", Value::Null).await;
    let owner = journal["entries"].as_array().unwrap().iter().find(|e| e["action"] == "workspace.create");
    let owner = owner.unwrap()["userId"].as_str().unwrap().to_owned();
    app.quiet().await;
    for id in [eve.id.as_str(), "507f191e810c19729de860ea", &owner] {
        for (method, path) in [(Method::DELETE, ""), (Method::POST, "/connection-url")] {
            let answer = app.api(method, &format!("{USERS}/{id}{path}"), &key, None).await;
            let text = "User not found or not managed by this key";
            assert_eq!((answer.status, answer.json()["error"].as_str()), (404, Some(text)));
        }
    }
    assert_eq!(app.calls().await, 0, "nothing was sent");
    let denied = app.entries().await.iter().filter(|e| e["outcome"] == "denied").count();
    assert_eq!(denied, 6);
    let bad = app.api(Method::DELETE, &format!("{USERS}/nonsense"), &key, None).await;
    assert_eq!((bad.status, bad.json()["error"].as_str()), (400, Some("Invalid user ID")));
}

async fn nothing_is_done_about_a_frozen_user(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let key = workspace_key(&app).await;
    let tenant = app.tenant("ann").await;
    let freeze = async |reason: Option<&str>| {
        let (db, now) = (&app.app().db, app.clock.now());
        db.freeze_tenant(&app.owner, &app.ws, &tenant.id, reason, now).await.unwrap();
        app.app().access.reload().await.unwrap();
    };
    freeze(Some("key found on the web")).await;
    app.quiet().await;
    let calls = [(Method::POST, "/api-key"), (Method::POST, "/connection-url"), (Method::DELETE, "")];
    for (n, (method, path)) in calls.into_iter().enumerate() {
        let answer = app.api(method, &format!("{USERS}/{}{path}", tenant.id), &key, None).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (423, &json!("frozen")),
            "{path}: {}",
            answer.text
        );
        assert!(answer.text.contains("key found on the web"), "{}", answer.text);
        let entries = app.entries().await;
        let denied: Vec<_> = entries.iter().filter(|e| e["outcome"] == "denied").collect();
        assert_eq!(denied.len(), n + 1);
        assert_eq!(denied[0]["targets"], json!([{ "type": "tenant", "id": tenant.id }]));
    }
    assert_eq!(app.calls().await, 0, "nothing was sent");
    assert!(!app.entries().await.iter().any(|e| e["action"] == "key.create" && e["actor"]["type"] == "key"));
    freeze(None).await;
    let linked = app.api(Method::POST, &format!("{USERS}/{}/connection-url", tenant.id), &key, None).await;
    assert_eq!(linked.status, 200, "{}", linked.text);
}

async fn the_owners_own_account_passes_without_a_tenant(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let key = workspace_key(&app).await;
    let journal = app.control(Method::GET, "journal?after=0", Value::Null).await;
    let owner = journal["entries"].as_array().unwrap()[0]["userId"].as_str().unwrap().to_owned();
    let id = app.posts(&owner, vec![json!({ "status": "draft" })]).await.remove(0);
    let logs = app.api(Method::GET, &format!("/api/v1/post-logs/{id}"), &key, None).await;
    assert_eq!((logs.status, &logs.json()["success"]), (200, &json!(true)), "{}", logs.text);
    let gone = app.api(Method::DELETE, &format!("/api/v1/delete-post/{id}"), &key, None).await;
    assert_eq!(gone.status, 200, "{}", gone.text);
    let entries = app.entries().await;
    let entry = entries.iter().find(|e| e["action"] == "post.delete").unwrap();
    assert_eq!((&entry["outcome"], &entry["tenant"]), (&json!("succeeded"), &Value::Null));
}

async fn a_users_key_ends_only_the_one_made_so_before(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let key = workspace_key(&app).await;
    let tenant = app.tenant("ann").await;
    let works = async |key: &str| app.api(Method::GET, "/api/v1/whoami", key, None).await.status == 200;
    let path = format!("{USERS}/{}/api-key", tenant.id);
    app.quiet().await;
    let made = app.api(Method::POST, &path, &key, None).await;
    assert_eq!((made.status, &made.json()["userId"]), (200, &json!(tenant.id)), "{}", made.text);
    assert_eq!(made.json()["message"], "API key generated successfully");
    let first = made.json()["apiKey"].as_str().unwrap().to_owned();
    let told = app.api(Method::GET, "/api/v1/whoami", &first, None).await.json();
    // What the calling key may do, and a tenant's key can.
    assert_eq!(told["scopes"], json!(["posts:read", "posts:delete", "webhooks:manage"]), "{told}");
    assert_eq!((&told["tenant"]["id"], &told["key"]["kind"]), (&json!(tenant.id), &json!("tenant")));
    let second = app.api(Method::POST, &path, &key, None).await.json()["apiKey"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    assert!(
        !works(&first).await && works(&second).await && works(&tenant.key).await,
        "only the first has ended"
    );
    // Many at once: one is left.
    let many = (0..5).map(|_| app.api(Method::POST, &path, &key, None));
    let many = futures_util::future::join_all(many).await;
    let mut left = 0;
    for answer in &many {
        left += usize::from(works(answer.json()["apiKey"].as_str().unwrap()).await);
    }
    assert_eq!((left, works(&second).await), (1, false));
    assert_eq!(app.calls().await, 0, "nothing is asked of PostPost");
    let entries = app.entries().await;
    let of = |action: &str| {
        entries.iter().filter(|e| e["action"] == action && e["actor"]["type"] == "key").count()
    };
    assert_eq!((of("key.create"), of("key.revoke")), (7, 6));
    // A key that may do nothing a tenant's can hands nothing on.
    let bare = app.key(&app.ws, KeyKind::Workspace, None, &[Scope::WorkspaceManage]).await;
    let refused = app.api(Method::POST, &path, &bare, None).await;
    assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("scope_missing")));
    let unknown =
        app.api(Method::POST, &format!("{USERS}/507f191e810c19729de860ea/api-key"), &key, None).await;
    assert_eq!(unknown.status, 404);
}
