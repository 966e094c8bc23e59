//! Searches of the audit log find what they say, wherever the index stands; and what was erased is in it no more.

use super::{NOW, raw};
use crate::support::databases::both_engines;
use gatehouse::{
    domain::{
        audit::{Action, Actor, ActorType, Context, Draft, Entry, Outcome},
        audit_search::Search,
        audit_words::{Query, words},
    },
    store::{Db, Error, audit::AuditFilter},
};
use std::collections::{BTreeMap, BTreeSet};

both_engines!(
    wherever_the_index_stands,
    across_blocks,
    any_number_of_words,
    by_time,
    counts_by_outcome,
    items_of_jobs,
    erased_words_are_gone,
    an_index_overtaken
);

fn filter(search: &str) -> AuditFilter {
    AuditFilter { search: Search::parse(search).unwrap(), ..AuditFilter::default() }
}

/// Entries of all sorts; what they say depends on their number only.
fn drafts(count: usize) -> Vec<Draft> {
    const ACTIONS: [Action; 4] =
        [Action::PostDelete, Action::PostUpdate, Action::KeyCreate, Action::JobCreate];
    const OUTCOMES: [Outcome; 3] = [Outcome::Intent, Outcome::Succeeded, Outcome::Refused];
    (0..count)
        .map(|n| {
            let mut actor = match n % 5 {
                0 => Actor::system("reconciler"),
                1 | 2 => Actor::new(
                    ActorType::Admin,
                    format!("admin-{}", n % 3),
                    ["Ann Ölgärt", "Bob \"B\" Lee"][n % 2],
                ),
                _ => Actor::new(ActorType::Key, format!("key-{}", n % 7), format!("CI bot {}", n % 7)),
            };
            if n % 5 > 2 {
                actor.key_prefix = Some(format!("sk_ght_{}", n % 7));
            }
            actor.context = Context {
                ip: (n % 4 != 0).then(|| format!("203.0.113.{}", n % 20)),
                request_id: Some(format!("req-{n:05}")),
                session_id: (n % 6 == 0).then(|| "session-1".into()),
                user_agent: (n % 2 == 0).then(|| "curl/8.5".into()),
                ..Context::default()
            };
            let mut draft = Draft::new(&actor, ACTIONS[n % 4], OUTCOMES[n % 3]);
            if n % 10 != 9 {
                draft =
                    draft.workspace(["w1", "w2"][n % 2]).tenant((n % 3 != 0).then_some(["t1", "t2"][n % 2]));
            }
            if n % 4 != 2 {
                draft = draft
                    .target("post", &format!("post-{}", n % 50))
                    .target("post", &format!("post-{}", n % 11));
                draft.op_id = Some(format!("op-{}", n / 2));
            }
            draft.job_id = (n % 8 < 3).then(|| format!("job-{}", n / 40));
            if n % 13 == 0 {
                draft = draft
                    .reason("spring clean")
                    .was("label", "holiday coffee")
                    .set("label", format!("tea {n}"));
            }
            draft
        })
        .collect()
}

async fn append(db: &Db, drafts: &[Draft]) {
    for (n, some) in drafts.chunks(64).enumerate() {
        db.append(NOW + n as i64 * 60_000, &some.iter().collect::<Vec<_>>()).await.unwrap();
    }
}

const SEARCHES: &[&str] = &[
    "action:post.delete",
    "action:post",
    "action:post.* outcome:refused",
    "-action:post",
    "actor:ölg",
    "actor:\"\\\"b\\\" lee\"",
    "actor:ci* -actor:key-3",
    "actor:key-3",
    "tenant:t1 workspace:w2",
    "workspace:w1 -tenant:t1",
    "outcome:intent outcome:refused",
    "ip:203.0.113.7",
    "ip:203.0.113.1* -ip:203.0.113.11",
    "-ip:203.0.113.*",
    "request:req-00017",
    "request:req-000*",
    "request:REQ*",
    "-request:req*",
    "key:sk_ght_3",
    "key:key-3",
    "key:sk_ght_* -outcome:succeeded",
    "target:post-7",
    "job:job-1 action:key",
    "operation:op-9",
    "session:session-1",
    "coffee",
    "holiday tea",
    "hol*",
    "\"clean spring\"",
    "-curl coffee",
    "req-00026 outcome:succeeded",
    "curl 8 post-0",
    "nothing-has-this",
    "-nothing",
    "action:post nothing*",
    "",
];

/// What the definition says: every entry looked at.
fn fitting(entries: &[Entry], search: &str) -> Vec<i64> {
    let mut query = Query::default();
    query.add(&Search::parse(search).unwrap());
    entries.iter().filter(|entry| query.fits(&words(entry))).map(|entry| entry.seq).collect()
}

async fn check(db: &Db, entries: &[Entry], state: &str) {
    let mut empty = 0;
    for search in SEARCHES {
        let expected = fitting(entries, search);
        empty += usize::from(expected.is_empty());
        let filter = filter(search);
        assert_eq!(db.audit_count(&filter).await.unwrap(), expected.len() as i64, "{state}: {search}");
        let matches = db.audit_count_in_time(&filter).await.unwrap();
        assert!(matches.count <= expected.len() as i64, "{state}: {search}");
        assert!(!matches.is_exact || matches.count == expected.len() as i64, "{state}: {search}");
        let (mut newest, mut oldest) = (Vec::new(), Vec::new());
        loop {
            let page = db.audit_seqs(&filter, newest.last().copied(), None, 40).await.unwrap();
            newest.extend(&page);
            if page.len() < 40 {
                break;
            }
        }
        loop {
            let after = oldest.last().copied().or(Some(-1));
            let page = db.audit_seqs(&filter, None, after, 100).await.unwrap();
            oldest.extend(&page);
            if page.len() < 100 {
                break;
            }
        }
        newest.reverse();
        assert_eq!(newest, expected, "{state}: {search}");
        assert_eq!(oldest, expected, "{state}: {search}");
    }
    assert!((1..=6).contains(&empty), "{empty} searches found nothing");
}

async fn index(db: &Db, step: i64) {
    while db.index_audit(step).await.unwrap() > 0 {}
}

async fn wherever_the_index_stands(db: Db) {
    let drafts = drafts(270);
    append(&db, &drafts[..250]).await;
    let entries = db.audit_range(0, 250).await.unwrap();
    check(&db, &entries, "nothing").await;
    assert_eq!(db.index_audit(130).await.unwrap(), 120);
    check(&db, &entries, "a part").await;
    index(&db, 99).await;
    assert_eq!(db.index_audit(99).await.unwrap(), 0);
    check(&db, &entries, "all").await;
    append(&db, &drafts[250..]).await;
    check(&db, &db.audit_range(0, 270).await.unwrap(), "all but a few").await;
    let some = db.audit_entries(&[7, 3, 9_999]).await.unwrap();
    assert_eq!(some.iter().map(|e| e.seq).collect::<Vec<_>>(), [7, 3]);
}

/// As if 65,400 entries had gone before.
async fn across_blocks(db: Db) {
    let range = "00".repeat(32 * 65_400u32.count_ones() as usize);
    let range = if db.is_embedded() { format!("x'{range}'") } else { format!(r"'\x{range}'") };
    for change in [
        format!("UPDATE audit_head SET size = 65400, range = {range}"),
        "UPDATE audit_words_head SET size = 65400".into(),
    ] {
        raw(&db, change.leak()).await.unwrap();
    }
    append(&db, &drafts(300)).await;
    let entries = db.audit_range(65_400, 65_700).await.unwrap();
    assert_eq!(entries.len(), 300);
    for state in ["nothing", "to the border", "beyond it", "all"] {
        for search in SEARCHES.iter().filter(|s| !s.is_empty() && !s.starts_with('-')) {
            let expected = fitting(&entries, search);
            let filter = filter(search);
            let found = db.audit_seqs(&filter, None, Some(65_399), 1_000).await.unwrap();
            assert_eq!(found, expected, "{state}: {search}");
            let mut found = db.audit_seqs(&filter, None, None, 1_000).await.unwrap();
            found.reverse();
            assert_eq!(found, expected, "{state}: {search}");
            assert_eq!(db.audit_count(&filter).await.unwrap(), expected.len() as i64, "{state}: {search}");
        }
        db.index_audit(if state == "nothing" { 136 } else { 100 }).await.unwrap();
    }
}

async fn any_number_of_words(db: Db) {
    let drafts: Vec<Draft> = drafts(5_200);
    for some in drafts.chunks(400) {
        append(&db, some).await;
    }
    index(&db, 2_000).await;
    let entries = db.audit_range(0, 5_200).await.unwrap();
    for search in [
        "request:req-*",
        "-request:req-*",
        "request:req-* outcome:refused action:job",
        "req* -coffee",
        "action:key -req*",
        "request:req-00* target:post-1*",
        "-ip:203* post-1*",
    ] {
        let expected = fitting(&entries, search);
        let filter = filter(search);
        assert_eq!(db.audit_count(&filter).await.unwrap(), expected.len() as i64, "{search}");
        let matches = db.audit_count_in_time(&filter).await.unwrap();
        assert!(matches.is_exact && matches.count == expected.len() as i64, "{search}");
        let found = db.audit_seqs(&filter, None, Some(-1), 10_000).await.unwrap();
        assert_eq!(found, expected, "{search}");
        let found = db.audit_seqs(&filter, None, None, 50).await.unwrap();
        assert_eq!(found, expected.iter().rev().take(50).copied().collect::<Vec<_>>(), "{search}");
    }
}

async fn by_time(db: Db) {
    append(&db, &drafts(640)).await;
    let minute = |n: i64| gatehouse::domain::times::to_iso(NOW + n * 60_000);
    for indexed in [false, true] {
        let of = async |search: String| {
            let found = db.audit_seqs(&filter(&search), None, Some(-1), 1_000).await.unwrap();
            assert_eq!(db.audit_count(&filter(&search)).await.unwrap(), found.len() as i64, "{search}");
            (found.len(), found.first().copied(), found.last().copied())
        };
        assert_eq!(of(format!("created:>={}", minute(3))).await, (448, Some(192), Some(639)));
        assert_eq!(of(format!("created:<{}", minute(3))).await, (192, Some(0), Some(191)));
        assert_eq!(of(format!("created:{}..{}", minute(1), minute(2))).await, (128, Some(64), Some(191)));
        assert_eq!(of(format!("-created:{}..{}", minute(1), minute(2))).await, (512, Some(0), Some(639)));
        assert_eq!(
            of(format!("created:>={} created:<={} action:job", minute(1), minute(2))).await,
            (32, Some(67), Some(191))
        );
        assert_eq!(of(format!("-created:>={} action:job", minute(1))).await, (16, Some(3), Some(63)));
        assert_eq!(of(format!("created:>{}", minute(20))).await, (0, None, None));
        let span =
            AuditFilter { from: Some(NOW + 60_000), to: Some(NOW + 120_000), ..AuditFilter::default() };
        assert_eq!(db.audit_count(&span).await.unwrap(), 64);
        if !indexed {
            index(&db, 500).await;
        }
    }
}

async fn counts_by_outcome(db: Db) {
    append(&db, &drafts(200)).await;
    for step in [0, 150, 50] {
        db.index_audit(step).await.unwrap();
        for search in ["", "action:post", "coffee", "nothing"] {
            let counts = db.audit_outcomes(&filter(search)).await.unwrap();
            let mut expected = Vec::new();
            for outcome in Outcome::ALL {
                let count = db.audit_count(&filter(&format!("{search} outcome:{outcome}"))).await.unwrap();
                expected.extend((count > 0).then_some((*outcome, count)));
            }
            assert_eq!(counts, expected, "{search} at {step}");
        }
    }
}

/// Entries about a job's items, but not those about the job.
async fn items_of_jobs(db: Db) {
    append(&db, &drafts(200)).await;
    let entries = db.audit_range(0, 200).await.unwrap();
    for indexed in [false, true] {
        let items = AuditFilter { items_of: Some("job-1".into()), ..AuditFilter::default() };
        let expected: BTreeSet<i64> = entries
            .iter()
            .filter(|e| e.job_id.as_deref() == Some("job-1") && e.action != "job.create")
            .map(|e| e.seq)
            .collect();
        assert!(!expected.is_empty());
        let found = db.audit_seqs(&items, None, Some(-1), 500).await.unwrap();
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
        let others =
            AuditFilter { not_items_of: vec!["job-1".into(), "job-9".into()], ..AuditFilter::default() };
        assert_eq!(db.audit_count(&others).await.unwrap(), 200 - expected.len() as i64);
        if !indexed {
            index(&db, 500).await;
        }
    }
}

async fn all_words(db: &Db) -> BTreeMap<(i64, String), Vec<u8>> {
    let text = "SELECT block, word, seqs FROM audit_words";
    let rows: Vec<(i64, String, Vec<u8>)> = match db {
        Db::Sqlite { reader, .. } => sqlx::query_as(text).fetch_all(reader).await.unwrap(),
        Db::Postgres(pool, ..) => sqlx::query_as(text).fetch_all(pool).await.unwrap(),
    };
    rows.into_iter().map(|(block, word, seqs)| ((block, word), seqs)).collect()
}

/// After an erasure the index is what it would be if the text had never been there.
async fn erased_words_are_gone(db: Db) {
    let mut with = drafts(120);
    for n in [5, 6, 40] {
        with[n].actor.name = "Canary McCanaryface".into();
        with[n] = with[n].clone().reason("holiday canary").set("email", "canary@example.com");
    }
    append(&db, &with).await;
    db.index_audit(100).await.unwrap();
    let details = db.audit_entry(None, 5).await.unwrap().unwrap().details.len() as u64;
    let mut tx = db.begin().await.unwrap();
    let seqs: Vec<i64> = vec![5, 6, 40, 110, 999];
    assert_eq!(tx.erase_audit_details(&[5], &["reason"]).await.unwrap(), 1);
    let erased = tx.erase_audit_details(&seqs, &["names", "context", "change", "reason"]).await.unwrap();
    assert!(erased > 3 * (details - 2), "{erased}");
    tx.commit().await.unwrap();
    for search in ["canary", "mccanary*", "actor:canary", "canary@example.com"] {
        assert_eq!(db.audit_count(&filter(search)).await.unwrap(), 0, "{search}");
    }
    index(&db, 100).await;
    let after = all_words(&db).await;
    assert!(after.keys().all(|(_, word)| !word.contains("canary")));
    for change in ["DELETE FROM audit_words", "UPDATE audit_words_head SET size = 0"] {
        raw(&db, change).await.unwrap();
    }
    index(&db, 1_000).await;
    assert_eq!(after, all_words(&db).await, "as if it had never been there");
    let left = db.audit_entry(None, 40).await.unwrap().unwrap();
    assert_eq!(left.details, []);
    assert_eq!(
        db.audit_count(&filter("coffee -canary")).await.unwrap(),
        10,
        "other entries keep their words"
    );
}

/// What was read for the index before an erasure is not written after it; and two who index at once do it once.
async fn an_index_overtaken(db: Db) {
    append(&db, &drafts(300)).await;
    let racers = (0..4).map(|_| {
        let db = db.clone();
        tokio::spawn(async move {
            loop {
                match db.index_audit(30).await {
                    Ok(0) => return,
                    Ok(_) | Err(Error::Deadlock) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        })
    });
    let racers: Vec<_> = racers.collect();
    for seq in 0..50 {
        let mut tx = db.begin().await.unwrap();
        tx.erase_audit_details(&[seq, 299 - seq], &["context", "names"]).await.unwrap();
        tx.commit().await.unwrap();
    }
    for racer in racers {
        racer.await.unwrap();
    }
    let raced = all_words(&db).await;
    for change in ["DELETE FROM audit_words", "UPDATE audit_words_head SET size = 0"] {
        raw(&db, change).await.unwrap();
    }
    index(&db, 1_000).await;
    assert_eq!(raced, all_words(&db).await);
}
