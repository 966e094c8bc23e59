//! Keys of tenants: as good as the key that made them, and gone with the tenant.

use super::{WHOAMI, make, rotation::rotate, tenant_key};
use crate::{
    support::databases::Engine,
    testapp::{Browser, TestApp},
};
use gatehouse::{clock::HOUR, domain::tenants::ManagedUser};
use reqwest::Method;
use serde_json::json;

async fn status(app: &TestApp, key: &str) -> u16 {
    app.api(Method::GET, WHOAMI, key, None).await.status
}

fn shows(html: &str, texts: &[&str]) {
    for text in texts {
        assert!(html.contains(text), "{text} is not in {html}");
    }
}

pub async fn a_key_made_by_a_key_lasts_no_longer_and_goes_no_faster(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let tenant = app.tenant("ann").await;
    let mut browser = Browser::login(&app).await;
    let fields = [
        ("name", "Desk"),
        ("kind", "workspace"),
        ("tenant", ""),
        ("scopes", "posts:read"),
        ("scopes", "workspace:manage"),
        ("expiry", "30"),
        ("addresses", "127.0.0.0/8 ::1"),
        ("rate", "7"),
    ];
    let (page, maker) = make(&app, &mut browser, &fields).await;
    let shown = browser.get(&page).await.text;
    assert!(!shown.contains("Has made"), "{shown}");
    let path = format!("/api/v1/workspace/users/{}/api-key", tenant.id);
    let made = app.api(Method::POST, &path, &maker, None).await.json()["apiKey"].as_str().unwrap().to_owned();
    let told = |key: String| async { app.api(Method::GET, WHOAMI, &{ key }, None).await.json() };
    let (made_key, maker_key) = (told(made.clone()).await, told(maker.clone()).await);
    assert!(maker_key["expiresAt"].is_string(), "{maker_key}");
    assert_eq!(made_key["expiresAt"], maker_key["expiresAt"]);
    assert_eq!(made_key["limits"]["key"], json!({ "callsPerSecond": 7, "burst": 35 }));
    assert_eq!(made_key["addresses"], json!([]), "where a tenant's programs run is its own matter");
    // Whoever revokes the maker is told what else it has let in.
    shows(&browser.get(&page).await.text, &["Has made", ">1 key</a>"]);
    let form = browser.get(&format!("{page}/revoke")).await.text;
    shows(&form, &["It has made", ">1 key</a>", "They are not revoked with it"]);
    let link = form.split("It has made <a href=\"").nth(1).unwrap().split('"').next().unwrap();
    let log = browser.get(&link.replace("&#38;", "&")).await.text;
    shows(&log, &["1 entry", "key.create"]);
    browser.submit(&format!("{page}/revoke"), &format!("{page}/revoke"), &[]).await;
    assert_eq!((status(&app, &maker).await, status(&app, &made).await), (401, 200));
    let shown = browser.get(&page).await.text;
    shows(&shown, &["<dt>Revoked</dt>", "Has made"]);
    assert!(!shown.contains("<dt>Ends</dt>"), "{shown}");
    let list = browser.get(&format!("/w/{}/keys?status=revoked", app.ws)).await.text;
    shows(&list, &["<span>Revoked <"]);
}

pub async fn a_detached_tenants_keys_are_revoked(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let (ann, bob) = (app.tenant("ann").await, app.tenant("bob").await);
    let mut browser = Browser::login(&app).await;
    let form = browser.get(&format!("/w/{}/keys/new", app.ws)).await.text;
    shows(&form, &["<label for=\"f-tenant\">Tenant</label>"]);
    let (page, old) = make(&app, &mut browser, &tenant_key(&ann, "", "")).await;
    let (new_page, new) = rotate(&mut browser, &page, HOUR).await;
    let tenant = format!("/w/{}/tenants/{}", app.ws, ann.id);
    let detach = format!("{tenant}/detach");
    shows(&browser.get(&detach).await.text, &["3 working keys"]);
    let gone = browser.submit(&detach, &detach, &[("confirm", "")]).await;
    shows(&browser.follow(gone).await.text, &["Tenant detached.", "its keys here are revoked"]);
    for key in [&ann.key, &old, &new] {
        assert_eq!(status(&app, key).await, 401);
    }
    assert_eq!(status(&app, &bob.key).await, 200);
    let revoked: Vec<_> = app.entries().await.into_iter().filter(|e| e["action"] == "key.revoke").collect();
    assert_eq!(revoked.len(), 3);
    assert!(
        revoked.iter().all(|e| e["tenant"] == ann.id.as_str() && e["actor"]["type"] == "admin"),
        "{revoked:?}"
    );
    let list = async |browser: &mut Browser, status: &str| {
        browser.get(&format!("/w/{}/keys?status={status}&tenant={}", app.ws, ann.id)).await.text
    };
    assert!(list(&mut browser, "active").await.contains("No key matches"));
    shows(&list(&mut browser, "revoked").await, &["3 keys of ann"]);
    for page in [&page, &new_page] {
        let shown = browser.get(page).await.text;
        shows(&shown, &["<dt>Revoked</dt>", "key.revoke"]);
        assert!(!shown.contains("Rotate…") && !shown.contains("The old key goes on"), "{shown}");
    }
    let keys = format!("/w/{}/keys", app.ws);
    let refused = browser.submit(&format!("{keys}/new"), &keys, &tenant_key(&ann, "", "")).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    // It comes back; its keys do not.
    let user = |id: &str, name: &str| ManagedUser {
        id: id.into(),
        username: format!("{name}@example.com"),
        display_name: name.into(),
        link_expires_at: None,
    };
    let users = [user(&ann.id, "ann"), user(&bob.id, "bob")];
    app.app().db.import_tenants(&app.owner, &app.ws, &users, app.clock.now()).await.unwrap();
    app.app().access.reload().await.unwrap();
    assert_eq!((status(&app, &ann.key).await, status(&app, &bob.key).await), (401, 200));
    let (_, fresh) = make(&app, &mut browser, &tenant_key(&ann, "", "")).await;
    assert_eq!(status(&app, &fresh).await, 200);
}
