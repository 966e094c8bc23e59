//! Keys as text: what is generated, and what is no key.

use crate::{support::databases::Engine, testapp::TestApp};
use gatehouse::{
    domain::{
        keys::{KeyKind, Scope},
        secrets::{DETECTION_REGEX, checked_kind, mint},
    },
    envelope,
};
use reqwest::Method;
use std::{collections::HashSet, time::Instant};

/// `GATEHOUSE_KEYS` is how many; a million takes a minute without optimisation.
#[test]
fn every_generated_key_is_new_and_found_by_the_published_expression() {
    let count = std::env::var("GATEHOUSE_KEYS").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let expression = regex::Regex::new(DETECTION_REGEX).unwrap();
    let whole = regex::Regex::new(&format!("^(?:{DETECTION_REGEX})$")).unwrap();
    let begun = Instant::now();
    let mut seen = HashSet::with_capacity(count);
    let (mut unmatched, mut unchecked) = (0, 0);
    for n in 0..count {
        let kind = KeyKind::ALL[n % KeyKind::ALL.len()];
        let key = mint(kind, &envelope::random());
        unmatched += usize::from(!whole.is_match(&key));
        unchecked += usize::from(checked_kind(&key) != Some(kind));
        seen.insert(key.into_boxed_str());
    }
    let duplicates = count - seen.len();
    println!(
        "figure: generated keys | keys = {count}, violations = {}, duplicates = {duplicates}, not matched = {unmatched}, wrong \
         checksum = {unchecked}, seconds = {:.1}",
        duplicates + unmatched + unchecked,
        begun.elapsed().as_secs_f64(),
    );
    assert_eq!((duplicates, unmatched, unchecked), (0, 0, 0));
    // In the middle of other text, as scanners meet it.
    let key = seen.iter().next().unwrap();
    let found = format!("GATEHOUSE_KEY=\"{key}\"; curl");
    assert_eq!(expression.find(&found).map(|m| m.as_str()), Some(&**key));
    assert!(include_str!("../../../SECURITY.md").contains(DETECTION_REGEX));
    assert!(include_str!("../../../docs/keys.md").contains(DETECTION_REGEX));
}

/// The database is closed, so whoever asked it would be answered 503.
pub async fn an_edited_key_is_refused_without_the_store(engine: Engine) {
    let app = TestApp::spawn_with(engine, |c| c.trusted_proxies = vec!["127.0.0.1".parse().unwrap()]).await;
    let tenant = app.tenant("ann").await;
    let audit = app.key(&app.ws, KeyKind::Audit, None, &[Scope::AuditRead]).await;
    let workspace = app.key(&app.ws, KeyKind::Workspace, None, &[Scope::PostsRead]).await;
    app.app().db.close().await;
    let (mut edits, mut sent) = (0, 0);
    for key in [&tenant.key, &workspace, &audit] {
        assert!(app.app().access.key(key).is_some(), "the key itself is known in memory");
        let others: Vec<char> =
            ('0'..='9').chain('A'..='Z').chain('a'..='z').chain("_-. \u{e9}\u{ff54}".chars()).collect();
        let letters: Vec<char> = key.chars().collect();
        for at in 0..letters.len() {
            for (n, other) in others.iter().enumerate().filter(|(_, other)| **other != letters[at]) {
                let mut edited = letters.clone();
                edited[at] = *other;
                let edited: String = edited.into_iter().collect();
                assert!(app.app().access.key(&edited).is_none(), "{edited}");
                edits += 1;
                // One in a few also the whole way, each from an address of its own.
                if (at + n) % 13 == 0 && edited.is_ascii() && edited.trim() == edited {
                    let call = app.request(Method::GET, "/api/v1/whoami").header("x-api-key", &edited);
                    let from = format!("10.{}.{}.{}", sent / 50_000, sent / 250 % 200, sent % 250);
                    let answer = call.header("x-forwarded-for", from).send().await.unwrap();
                    assert_eq!(answer.status(), 401, "{edited}");
                    sent += 1;
                }
            }
        }
        let shorter = [&key[..key.len() - 1], &key[1..], &format!("{key}0"), &key.to_uppercase(), ""];
        assert!(shorter.iter().all(|edited| checked_kind(edited).is_none()));
    }
    println!(
        "figure: edited keys | edits = {edits}, violations = 0, over HTTP with the database closed = {sent}"
    );
}
