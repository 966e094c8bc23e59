//! Admins, the set-up link and the count of failed log-ins.

use super::{NOW, actor, first_admin, last_entry, workspace};
use crate::support::databases::both_engines;
use gatehouse::{
    domain::{
        admins::{Admin, Preferences, Role, Session},
        ids::new_id,
    },
    envelope::token_hash,
    store::Db,
};

both_engines!(preferences, first, setup_links, one_of_many_wins, roles, passwords, failures);

async fn first(db: Db) {
    assert_eq!(db.count_admins().await.unwrap(), 0);
    let admin = first_admin(&db).await;
    assert_eq!(db.count_admins().await.unwrap(), 1);
    let stored = Some((admin.clone(), "hash-1".to_owned()));
    assert_eq!(db.admin_by_email("ann@example.com").await.unwrap(), stored);
    assert_eq!(db.admin(&admin.id).await.unwrap(), stored);
    assert_eq!(db.admin_by_email("Ann@example.com").await.unwrap(), None);
    assert_eq!(db.admin("none").await.unwrap(), None);
    let entry = last_entry(&db).await;
    assert_eq!((entry.action.as_str(), entry.workspace_id), ("admin.create", None));
    // A second admin never comes this way.
    db.put_setup_link(&actor(), &token_hash("more"), NOW + 9, NOW).await.unwrap();
    assert!(!db.setup_link_works(&token_hash("more"), NOW).await.unwrap());
    let second = Admin { id: new_id(), email: "b@example.com".into(), ..admin };
    assert!(!db.create_first_admin(&token_hash("more"), &second, "h").await.unwrap());
    assert_eq!(db.count_admins().await.unwrap(), 1);
}

async fn setup_links(db: Db) {
    let (old, new) = (token_hash("old"), token_hash("new"));
    db.put_setup_link(&actor(), &old, NOW + 10, NOW).await.unwrap();
    assert!(db.setup_link_works(&old, NOW).await.unwrap());
    assert!(!db.setup_link_works(&old, NOW + 10).await.unwrap());
    db.put_setup_link(&actor(), &new, NOW + 10, NOW).await.unwrap();
    assert!(!db.setup_link_works(&old, NOW).await.unwrap());
    assert!(db.setup_link_works(&new, NOW).await.unwrap());
    let late = admin("late@example.com", NOW + 10);
    assert!(!db.create_first_admin(&new, &late, "h").await.unwrap());
    assert!(!db.create_first_admin(&old, &admin("old@example.com", NOW), "h").await.unwrap());
    assert_eq!(db.count_admins().await.unwrap(), 0);
    assert!(db.create_first_admin(&new, &admin("new@example.com", NOW + 9), "h").await.unwrap());
}

async fn preferences(db: Db) {
    let admin = first_admin(&db).await;
    assert_eq!(db.admin(&admin.id).await.unwrap().unwrap().0.preferences, Preferences::default());
    let wanted = Preferences { zone: "Asia/Tokyo".into(), rows_per_page: 25, shortcuts: false };
    db.set_preferences(&admin.id, &wanted).await.unwrap();
    db.set_preferences("nobody", &Preferences::default()).await.unwrap();
    assert_eq!(db.admin(&admin.id).await.unwrap().unwrap().0.preferences, wanted);
    assert_eq!(db.admin_by_email(&admin.email).await.unwrap().unwrap().0.preferences, wanted);
}

fn admin(email: &str, created_at: i64) -> Admin {
    Admin {
        id: new_id(),
        email: email.into(),
        name: "A".into(),
        instance_owner: true,
        created_at,
        disabled_at: None,
        preferences: Preferences::default(),
    }
}

/// Two people open the same link at once.
async fn one_of_many_wins(db: Db) {
    let link = token_hash("link");
    db.put_setup_link(&actor(), &link, NOW + 10, NOW).await.unwrap();
    let tries = (0..12).map(|n| {
        let (db, link) = (db.clone(), link.clone());
        tokio::spawn(async move {
            db.create_first_admin(&link, &admin(&format!("a{n}@example.com"), NOW), "h").await
        })
    });
    let made = futures_util::future::join_all(tries).await;
    assert_eq!(made.into_iter().filter(|made| *made.as_ref().unwrap().as_ref().unwrap()).count(), 1);
    assert_eq!(db.count_admins().await.unwrap(), 1);
}

async fn roles(db: Db) {
    let admin = first_admin(&db).await;
    workspace(&db, "Acme").await;
    assert_eq!(db.roles(&admin.id).await.unwrap(), []);
    let text = "INSERT INTO roles (admin_id, workspace_id, role) SELECT a.id, w.id, 'operator' FROM admins a, workspaces w";
    super::raw(&db, text).await.unwrap();
    let workspace = db.workspaces().await.unwrap().remove(0).id;
    assert_eq!(db.roles(&admin.id).await.unwrap(), [(workspace, Role::Operator)]);
}

async fn passwords(db: Db) {
    let admin = first_admin(&db).await;
    for n in ["kept", "other"] {
        let session = Session {
            id: n.into(),
            admin_id: admin.id.clone(),
            created_at: NOW,
            seen_at: NOW,
            authenticated_at: NOW,
            ip: "::1".into(),
            user_agent: String::new(),
        };
        db.create_session(&actor(), &token_hash(n), &session).await.unwrap();
    }
    db.set_password(&actor(), &admin.id, "hash-2", "kept", NOW).await.unwrap();
    assert_eq!(db.admin(&admin.id).await.unwrap().unwrap().1, "hash-2");
    let left: Vec<_> = db.sessions(&admin.id).await.unwrap().into_iter().map(|s| s.id).collect();
    assert_eq!(left, ["kept"]);
    assert_eq!(last_entry(&db).await.action, "admin.set_password");
}

async fn failures(db: Db) {
    assert_eq!(db.login_blocked_until("ann").await.unwrap(), 0);
    for n in 1..=3 {
        assert_eq!(db.note_login_failure("ann", NOW + n, 100).await.unwrap(), n);
    }
    assert_eq!(db.note_login_failure("203.0.113.7", NOW, 100).await.unwrap(), 1);
    db.block_login("ann", NOW + 50).await.unwrap();
    assert_eq!(db.login_blocked_until("ann").await.unwrap(), NOW + 50);
    // The window begins with the first failure, and anew after it has passed.
    assert_eq!(db.note_login_failure("ann", NOW + 101, 100).await.unwrap(), 4);
    assert_eq!(db.note_login_failure("ann", NOW + 102, 100).await.unwrap(), 1);
    assert_eq!(db.note_login_failure("ann", NOW + 103, 100).await.unwrap(), 2);
    db.forget_login_failures("ann").await.unwrap();
    assert_eq!(db.login_blocked_until("ann").await.unwrap(), 0);
    assert_eq!(db.note_login_failure("ann", NOW + 104, 100).await.unwrap(), 1);
    assert_eq!(db.note_login_failure("203.0.113.7", NOW + 1, 100).await.unwrap(), 2);
    // Old counters go, but not one that still refuses.
    db.block_login("203.0.113.7", NOW + 500).await.unwrap();
    db.sweep_login_failures(NOW + 200, NOW + 300).await.unwrap();
    assert_eq!(db.login_blocked_until("203.0.113.7").await.unwrap(), NOW + 500);
    assert_eq!(db.note_login_failure("ann", NOW + 105, 100).await.unwrap(), 1, "counted anew");
    db.sweep_login_failures(NOW + 200, NOW + 600).await.unwrap();
    assert_eq!(db.login_blocked_until("203.0.113.7").await.unwrap(), 0);
}
