//! Erasures on record, and each of their steps taken twice.

use super::{NOW, actor, first_admin, last_entry, oid, populated};
use crate::support::databases::{both_engines, execute};
use gatehouse::{
    domain::{
        audit::{Action, Draft},
        erasures::{ErasureState, Subject},
        ids::new_id,
    },
    store::{Db, erasures::Asked},
};

both_engines!(every_step_may_be_taken_twice, a_person_is_locked_out_at_once, other_names_are_left);

async fn every_step_may_be_taken_twice(db: Db) {
    let acme = populated(&db, 2).await;
    let subject = Subject::Tenant { workspace: acme.clone(), id: oid(1) };
    let draft =
        Draft::done(&actor(), Action::PostUpdate).workspace(&acme).tenant(Some(&oid(1))).reason("why");
    let seq = db.append(NOW, &[&draft]).await.unwrap();
    let asked = async |subject: &Subject| {
        db.begin_erasure(&actor(), &new_id(), subject, "request 1", NOW).await.unwrap()
    };
    assert_eq!(asked(&subject).await, Asked::Attached);
    assert_eq!(asked(&Subject::Tenant { workspace: acme.clone(), id: oid(9) }).await, Asked::Unknown);
    db.import_tenants(&actor(), &acme, &[], NOW).await.unwrap();
    let Asked::Begun(id) = asked(&subject).await else { panic!("not begun") };
    assert_eq!(asked(&subject).await, Asked::UnderWay(id.clone()));
    let unfinished = db.unfinished_erasures().await.unwrap();
    assert_eq!(unfinished.len(), 1);
    let begun = &unfinished[0];
    assert_eq!((begun.state, &begun.subject), (ErasureState::Erasing, &subject));
    let mut counts = Vec::new();
    for _ in 0..2 {
        db.erase_details(begun).await.unwrap();
        counts.push(db.erasure(&id).await.unwrap().unwrap().details);
    }
    assert!(counts[0] >= 2 && counts[0] == counts[1], "{counts:?}");
    for _ in 0..2 {
        db.erase_rows(begun, NOW).await.unwrap();
    }
    assert_eq!(db.erasure(&id).await.unwrap().unwrap().state, ErasureState::Rewriting);
    assert_eq!(db.tenant(&acme, &oid(1)).await.unwrap().unwrap().display_name, "Erased tenant");
    assert_ne!(db.tenant(&acme, &oid(2)).await.unwrap().unwrap().display_name, "Erased tenant");
    for _ in 0..2 {
        db.rewrite_files().await.unwrap();
        db.note_rewritten(&id).await.unwrap();
        assert!(db.empty_wal().await.unwrap());
    }
    assert!(db.end_erasure(begun, NOW + 5).await.unwrap());
    assert!(!db.end_erasure(begun, NOW + 6).await.unwrap());
    let entry = last_entry(&db).await;
    assert_eq!((entry.action.as_str(), entry.op_id.as_deref()), ("audit.erase", Some(id.as_str())));
    let done = db.erasure_of(&subject).await.unwrap().unwrap();
    assert_eq!((done.state, done.ended_at), (ErasureState::Done, Some(NOW + 5)));
    assert!(db.unfinished_erasures().await.unwrap().is_empty());
    let parts = db.erased_parts(seq).await.unwrap();
    assert!(parts.contains(&("reason".into(), NOW)), "{parts:?}");
    let entry = db.audit_entry(None, seq).await.unwrap().unwrap();
    assert!(entry.details.is_empty(), "{:?}", entry.details);
}

async fn a_person_is_locked_out_at_once(db: Db) {
    let admin = first_admin(&db).await;
    let other = new_id();
    let text = "INSERT INTO admins (id, email, name, password_hash, instance_owner, created_at)
        SELECT $1, 'second@test.example', 'Second', password_hash, instance_owner, created_at FROM admins";
    let person = Subject::Person { id: admin.id.clone() };
    let begin = async || db.begin_erasure(&actor(), &new_id(), &person, "request 2", NOW).await.unwrap();
    assert_eq!(begin().await, Asked::LastOwner);
    execute(&db, text, &[&other]).await.unwrap();
    assert!(matches!(begin().await, Asked::Begun(_)));
    assert_eq!(db.admins().await.unwrap().len(), 2);
    assert_eq!(db.admin(&admin.id).await.unwrap().unwrap().0.disabled_at, Some(NOW));
    let begun = db.unfinished_erasures().await.unwrap().remove(0);
    db.erase_details(&begun).await.unwrap();
    db.erase_rows(&begun, NOW).await.unwrap();
    let (erased, hash) = db.admin(&admin.id).await.unwrap().unwrap();
    assert_eq!((erased.name.as_str(), erased.email), ("Erased person", format!("erased-{}", admin.id)));
    assert!(hash.is_empty() && !erased.instance_owner);
}

/// A name that is part of another, or of a sentence, is not that name.
async fn other_names_are_left(db: Db) {
    let acme = populated(&db, 2).await;
    let name = db.tenant(&acme, &oid(1)).await.unwrap().unwrap().username;
    let with = |text: &str| {
        let draft = Draft::done(&actor(), Action::TenantCreate).workspace(&acme).tenant(Some(&oid(2)));
        draft.set("username", text)
    };
    let drafts = [with(&name), with(&format!("not-{name}")), with(&name.to_uppercase())];
    let first = db.append(NOW, &drafts.each_ref()).await.unwrap();
    db.import_tenants(&actor(), &acme, &[], NOW).await.unwrap();
    let subject = Subject::Tenant { workspace: acme.clone(), id: oid(1) };
    db.begin_erasure(&actor(), &new_id(), &subject, "request 3", NOW).await.unwrap();
    let begun = db.unfinished_erasures().await.unwrap().remove(0);
    db.erase_details(&begun).await.unwrap();
    let mut left = Vec::new();
    for seq in first..first + 3 {
        left.push(db.audit_entry(None, seq).await.unwrap().unwrap().detail("change").is_some());
    }
    assert_eq!(left, [false, true, false]);
}
