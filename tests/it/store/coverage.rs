//! Every public function of the store is named in these tests. That it is called on both engines follows from how
//! they are made; that its result is looked at is for the reader to see.

use std::{fs, path::Path};

#[test]
fn every_store_function_is_tested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |folder: &str| {
        let mut files: Vec<_> = fs::read_dir(root.join(folder)).unwrap().map(|f| f.unwrap().path()).collect();
        files.sort();
        files.into_iter().map(|file| (file.clone(), fs::read_to_string(file).unwrap())).collect::<Vec<_>>()
    };
    let mut tests: String = read("tests/it/store").into_iter().map(|(_, text)| text).collect();
    for more in ["tests/it/store.rs", "tests/it/support/databases.rs"] {
        tests.push_str(&fs::read_to_string(root.join(more)).unwrap());
    }
    let mut missing = Vec::new();
    for (file, text) in read("src/store") {
        for (number, line) in text.lines().enumerate() {
            let Some(rest) = line.trim_start().strip_prefix("pub async fn ") else { continue };
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            // `.name(` is a method's call, `::name(` a constructor's.
            if !tests.contains(&format!(".{name}(")) && !tests.contains(&format!("::{name}(")) {
                missing.push(format!("{}:{}: {name}", file.display(), number + 1));
            }
        }
    }
    // `Sql` is the facade every statement goes through.
    missing.retain(|m| !m.contains("store/sql.rs"));
    assert!(missing.is_empty(), "not called by any test in tests/it/store:\n{}", missing.join("\n"));
}

/// The same for the effects an audit entry can carry.
#[test]
fn every_effect_is_tested() {
    let source = include_str!("../../../src/store/operations.rs");
    let tests = [
        include_str!("operations.rs"),
        include_str!("created_posts.rs"),
        include_str!("jobs.rs"),
        include_str!("posts.rs"),
        include_str!("facts.rs"),
        include_str!("idempotency.rs"),
    ]
    .concat();
    let body = source.split("pub enum Effect {").nth(1).unwrap().split("\n}").next().unwrap();
    let effects: Vec<&str> = body
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
        .filter_map(|line| line.split([' ', '(', ',']).next())
        .collect();
    assert!(effects.len() >= 10, "{effects:?}");
    for effect in effects {
        assert!(tests.contains(&format!("Effect::{effect}")), "Effect::{effect} is not in the store's tests");
    }
}
