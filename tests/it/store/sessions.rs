//! Sessions, the once-tokens of forms, and secrets that wait for their one view.

use super::{NOW, actor, first_admin, last_entry, workspace};
use crate::support::databases::both_engines;
use gatehouse::{
    domain::{admins::Session, audit::Action, ids::new_id},
    envelope::token_hash,
    store::{Db, leases::node_lease, reveals::Reveal, sessions::FormClaim},
};

both_engines!(
    export_links,
    limit_of_five,
    touch_and_end,
    proved,
    forms,
    fifty_claims_one_first,
    sweep,
    one_view,
    one_view_of_many,
    sweep_of_secrets
);

fn session(admin_id: &str, n: i64) -> Session {
    Session {
        id: format!("s{n}"),
        admin_id: admin_id.to_owned(),
        created_at: NOW + n,
        seen_at: NOW + n,
        authenticated_at: NOW + n,
        ip: "203.0.113.7".into(),
        user_agent: "Browser".into(),
    }
}

async fn start(db: &Db, session: &Session) {
    db.create_session(&actor(), &token_hash(&session.id), session).await.unwrap();
}

async fn ids(db: &Db, admin_id: &str) -> Vec<String> {
    db.sessions(admin_id).await.unwrap().into_iter().map(|s| s.id).collect()
}

async fn limit_of_five(db: Db) {
    let admin = first_admin(&db).await.id;
    for n in 1..=7 {
        start(&db, &session(&admin, n)).await;
    }
    assert_eq!(ids(&db, &admin).await, ["s7", "s6", "s5", "s4", "s3"]);
    assert_eq!(db.session_by_hash(&token_hash("s2")).await.unwrap(), None);
    assert_eq!(db.session_by_hash(&token_hash("s3")).await.unwrap(), Some(session(&admin, 3)));
    assert_eq!(last_entry(&db).await.action, "admin.login");
}

async fn proved(db: Db) {
    let admin = first_admin(&db).await.id;
    start(&db, &session(&admin, 1)).await;
    start(&db, &session(&admin, 2)).await;
    db.prove_session(&actor(), "s1", NOW + 100).await.unwrap();
    let proved =
        async |id: &str| db.session_by_hash(&token_hash(id)).await.unwrap().unwrap().authenticated_at;
    assert_eq!((proved("s1").await, proved("s2").await), (NOW + 100, NOW + 2));
    assert_eq!(last_entry(&db).await.action, "admin.prove");
}

async fn touch_and_end(db: Db) {
    let admin = first_admin(&db).await.id;
    start(&db, &session(&admin, 1)).await;
    db.touch_session("s1", NOW + 100).await.unwrap();
    db.touch_session("s1", NOW + 50).await.unwrap();
    assert_eq!(db.session_by_hash(&token_hash("s1")).await.unwrap().unwrap().seen_at, NOW + 100);
    assert!(!db.end_session(&actor(), "another", "s1", Action::AdminEndSession, NOW).await.unwrap());
    assert!(db.end_session(&actor(), &admin, "s1", Action::AdminLogout, NOW).await.unwrap());
    assert_eq!(last_entry(&db).await.action, "admin.logout");
    let size = db.audit_head().await.unwrap().size;
    assert!(!db.end_session(&actor(), &admin, "s1", Action::AdminLogout, NOW).await.unwrap());
    assert_eq!(db.audit_head().await.unwrap().size, size);
    assert_eq!(ids(&db, &admin).await, [""; 0]);
}

/// The process that works on the forms.
async fn alive(db: &Db) {
    db.take_lease(&node_lease("n"), "n", NOW, NOW + 10).await.unwrap();
}

async fn forms(db: Db) {
    alive(&db).await;
    let claim = async |token: &str, session: &str| db.claim_form(token, "c", session, "n", NOW).await;
    assert_eq!(claim("t1", "s1").await.unwrap(), FormClaim::First);
    assert_eq!(claim("t1", "s1").await.unwrap(), FormClaim::Running);
    db.settle_form("t1", Some("/jobs/1")).await.unwrap();
    assert_eq!(claim("t1", "s1").await.unwrap(), FormClaim::Answered("/jobs/1".into()));
    let other = db.claim_form("t1", "other", "s1", "n", NOW).await.unwrap();
    assert_eq!(other, FormClaim::Mismatch, "a token stands for one content");
    assert_eq!(
        claim("t1", "s2").await.unwrap(),
        FormClaim::Running,
        "another session does not learn where it led"
    );
    assert_eq!(claim("t2", "s1").await.unwrap(), FormClaim::First);
    db.settle_form("t2", None).await.unwrap();
    assert_eq!(claim("t2", "s1").await.unwrap(), FormClaim::First);
    let later = db.claim_form("t2", "c", "s1", "other", NOW + 11).await.unwrap();
    assert_eq!(later, FormClaim::Interrupted, "its process has not been heard of");
}

async fn fifty_claims_one_first(db: Db) {
    alive(&db).await;
    let claims = (0..50).map(|_| {
        let db = db.clone();
        tokio::spawn(async move { db.claim_form("token", "c", "s1", "n", NOW).await.unwrap() })
    });
    let claims = futures_util::future::join_all(claims).await;
    let first = claims.iter().filter(|c| *c.as_ref().unwrap() == FormClaim::First).count();
    let running = claims.iter().filter(|c| *c.as_ref().unwrap() == FormClaim::Running).count();
    assert_eq!((first, running), (1, 49));
}

async fn sweep(db: Db) {
    alive(&db).await;
    let admin = first_admin(&db).await.id;
    for n in 1..=3 {
        start(&db, &session(&admin, n)).await;
    }
    db.touch_session("s1", NOW + 500).await.unwrap();
    db.claim_form("old", "c", "s1", "n", NOW).await.unwrap();
    db.claim_form("new", "c", "s1", "n", NOW + 10).await.unwrap();
    // s1 is too old however lately it was seen; s2 was not seen for too long.
    db.sweep_sessions(NOW + 3, NOW + 2, NOW + 10).await.unwrap();
    assert_eq!(ids(&db, &admin).await, ["s3"]);
    assert_eq!(db.claim_form("old", "c", "s1", "n", NOW).await.unwrap(), FormClaim::First);
    assert_eq!(db.claim_form("new", "c", "s1", "n", NOW).await.unwrap(), FormClaim::Running);
}

async fn waiting(db: &Db, valid_until: Option<i64>) -> Reveal {
    let reveal = Reveal {
        id: new_id(),
        workspace_id: workspace(db, "Acme").await.id,
        admin_id: first_admin(db).await.id,
        kind: "key".into(),
        label: "CI".into(),
        back: "/keys".into(),
        created_at: NOW,
        valid_until,
    };
    db.create_reveal(&reveal, &[0, 1, 255]).await.unwrap();
    reveal
}

async fn one_view(db: Db) {
    let reveal = waiting(&db, Some(NOW + 5)).await;
    let stored = db.reveal(&reveal.workspace_id, &reveal.admin_id, &reveal.id).await.unwrap().unwrap();
    assert_eq!((stored.kind, stored.label, stored.back), ("key".into(), "CI".into(), "/keys".into()));
    assert_eq!((stored.created_at, stored.valid_until), (NOW, Some(NOW + 5)));
    assert!(db.reveal("other", &reveal.admin_id, &reveal.id).await.unwrap().is_none());
    assert!(db.reveal(&reveal.workspace_id, "other", &reveal.id).await.unwrap().is_none());
    assert_eq!(db.take_secret("none", 0).await.unwrap(), None);
    assert_eq!(db.take_secret(&reveal.id, NOW - 1).await.unwrap(), Some(vec![0, 1, 255]));
    assert_eq!(db.take_secret(&reveal.id, NOW - 1).await.unwrap(), None);
    assert!(db.reveal(&reveal.workspace_id, &reveal.admin_id, &reveal.id).await.unwrap().is_some());
}

async fn one_view_of_many(db: Db) {
    let reveal = waiting(&db, None).await;
    let views = (0..20).map(|_| {
        let (db, id) = (db.clone(), reveal.id.clone());
        tokio::spawn(async move { db.take_secret(&id, 0).await.unwrap() })
    });
    let views = futures_util::future::join_all(views).await;
    assert_eq!(views.into_iter().filter(|v| v.as_ref().unwrap().is_some()).count(), 1);
}

async fn sweep_of_secrets(db: Db) {
    let reveal = waiting(&db, None).await;
    db.sweep_reveals(NOW).await.unwrap();
    // Too old to be shown, and the attempt uses it up.
    assert_eq!(db.take_secret(&reveal.id, NOW).await.unwrap(), None);
    assert_eq!(db.take_secret(&reveal.id, 0).await.unwrap(), None);
    let second = Reveal { id: new_id(), ..reveal };
    db.create_reveal(&second, &[1]).await.unwrap();
    db.sweep_reveals(NOW + 1).await.unwrap();
    assert_eq!(db.take_secret(&second.id, 0).await.unwrap(), None);
}

async fn export_links(db: Db) {
    assert!(db.use_export_link("a", 100, 50).await.unwrap());
    assert!(!db.use_export_link("a", 100, 60).await.unwrap(), "used once");
    assert!(db.use_export_link("b", 100, 60).await.unwrap());
    // Forgotten when it has ended anyway.
    assert!(db.use_export_link("a", 300, 200).await.unwrap());
}
