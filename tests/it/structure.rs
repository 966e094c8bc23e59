//! The rules of direction (ARCHITECTURE.md), read from `src/` as text: who may import whom, which crate belongs to
//! which layer, and what no file may hold. A failure names the file, the line and the reason.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A source file: its path below `src`, and its lines without comments.
struct Source {
    path: String,
    text: String,
    code: Vec<String>,
}

/// A word, the places below `src` it may stand in (a file, or a folder with a slash), and why nowhere else.
type Rule = (&'static str, &'static [&'static str], &'static str);

const PLACES: &[Rule] = &[
    ("sqlx", &["store/", "sandbox/"], "the only SQL is in store"),
    // The sandbox has its own: it fills itself from outside, through its control routes.
    (
        "reqwest",
        &["upstream/", "jobs/deliveries", "sandbox/", "cli/"],
        "the only HTTP clients are upstream's and the shell's",
    ),
    (
        "actix_web",
        &["http/", "http.rs", "app.rs", "app/", "sandbox/"],
        "the web framework stays in http and app",
    ),
    (
        "actix_http",
        &["http/", "http.rs", "app.rs", "app/", "sandbox/"],
        "the web framework stays in http and app",
    ),
    // The log's filter names it, to keep it quiet.
    ("rmcp", &["http/api/", "cli.rs"], "the SDK of `/mcp` stays at the tenant door"),
    ("env::var", &["config.rs", "config/"], "the environment is read once, in config"),
    ("env::vars", &["config.rs", "config/"], "the environment is read once, in config"),
    ("env::var_os", &["config.rs", "config/"], "the environment is read once, in config"),
    ("SystemTime", &["clock.rs", "sandbox/"], "time comes from a Clock"),
    ("Timestamp::now", &["clock.rs", "sandbox/"], "time comes from a Clock"),
    ("Zoned::now", &["clock.rs", "sandbox/"], "time comes from a Clock"),
    (
        "Instant",
        &["upstream/", "jobs/", "jobs.rs", "http/", "sandbox/", "access.rs"],
        "spans are measured there only; time comes from a Clock",
    ),
    ("todo!", &[], "nothing unfinished is merged"),
    ("unimplemented!", &[], "nothing unfinished is merged"),
    ("dbg!", &[], "a tool for the moment"),
];

/// What `domain` must not name: whatever reads or writes outside of memory.
const IO: &[&str] = &[
    "sqlx",
    "reqwest",
    "actix_web",
    "tokio",
    "object_store",
    "askama",
    "tracing",
    "std::fs",
    "std::net",
    "std::io",
    "std::process",
    "std::env",
];

const DOORS: &[&str] = &["api", "manage", "admin"];
const LONGEST: usize = 500;

#[test]
fn crates_stay_in_their_layer() {
    report(sources().iter().flat_map(misplaced).collect());
}

#[test]
fn domain_knows_only_the_clock() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|s| s.path.starts_with("domain/")) {
        for (line, path) in imports(source) {
            if !matches!(path[0].as_str(), "domain" | "clock") {
                found.push(format!(
                    "{}: `{}`: domain imports nothing of ours but the clock",
                    source.at(line),
                    path.join("::")
                ));
            }
        }
        for (line, code) in source.code.iter().enumerate() {
            for word in IO.iter().filter(|word| has_word(code, word)) {
                found.push(format!("{}: `{word}`: domain does no I/O", source.at(line)));
            }
        }
    }
    report(found);
}

#[test]
fn the_sandbox_knows_nothing_of_ours() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|s| s.path.starts_with("sandbox/")) {
        for (line, path) in imports(source).into_iter().filter(|(_, path)| path[0] != "sandbox") {
            found.push(format!(
                "{}: `{}`: a mistake shared by the sandbox and the gateway would pass every test",
                source.at(line),
                path.join("::")
            ));
        }
    }
    report(found);
}

#[test]
fn the_doors_do_not_know_each_other() {
    report(sources().iter().flat_map(through_another_door).collect());
}

#[test]
fn an_error_ends_its_transaction() {
    let sources = sources();
    let in_store = sources.iter().filter(|s| s.path.starts_with("store/") && s.path != "store/sql.rs");
    let (mut found, mut statements) = (Vec::new(), 0);
    for source in in_store {
        let (offenders, seen) = errors_passed_over(source);
        found.extend(offenders);
        statements += seen;
    }
    assert!(statements > 40, "{statements}: the statements in transactions were not found");
    report(found);
}

/// Whoever gets an error from the tenant door finds its code in the guide, with what to do.
#[test]
fn every_code_of_the_tenant_door_is_in_the_guide() {
    // Of the pages and their forms, and of the machine door.
    const ELSEWHERE: &[&str] = &[
        "conflict",
        "cursor_ahead",
        "form_mismatch",
        "interrupted",
        "invalid",
        "login_needed",
        "nothing_to_do",
    ];
    const AT_DOOR: &[&str] =
        &["http/error", "http/credentials", "http/json_body", "http/server", "http/transport"];
    let guide =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tenants.md")).expect("the guide");
    let table = guide.split("\n## ").find(|part| part.starts_with("Errors")).expect("the section");
    let mark = |text: &str| regex::Regex::new(text).expect("a pattern");
    let made = mark(r#"(?:bad\(|code: |\(\d{3}, |\(\s*\d{3},\s+|\("[A-Z][A-Za-z ]+", )\s*"([a-z_]+)""#);
    let named = mark(r#"=> "([a-z_]+)""#);
    let (mut codes, mut missing) = (0, Vec::new());
    for source in sources() {
        let path = source.path.trim_end_matches(".rs");
        let pattern = match path {
            "proxy" | "upstream/error" => &named,
            _ if AT_DOOR.contains(&path) || path.starts_with("http/api/") => &made,
            _ => continue,
        };
        for found in pattern.captures_iter(&source.text) {
            let code = &found[1];
            codes += 1;
            if !ELSEWHERE.contains(&code) && !table.contains(&format!("`{code}`")) {
                missing.push(format!("src/{}: `{code}` is not in docs/tenants.md, Errors", source.path));
            }
        }
    }
    assert!(codes > 60, "{codes}: the codes were not found");
    report(missing);
}

#[test]
fn files_are_introduced_and_short() {
    let mut found = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > LONGEST {
            found.push(format!("src/{}: {lines} lines; split it before {LONGEST}", source.path));
        }
        if !source.text.starts_with("//!") {
            found.push(format!(
                "src/{}:1: say with `//!` what the file is for, and what it must not do",
                source.path
            ));
        }
        if matches!(source.path.rsplit('/').next(), Some("utils.rs" | "util.rs" | "helpers.rs" | "common.rs"))
        {
            found.push(format!("src/{}: name it after what it does", source.path));
        }
    }
    report(found);
}

/// The rules see what they are meant to see: otherwise they would all pass for ever.
#[test]
fn the_rules_find_offenders() {
    let misplaced_in = |path: &str, text: &str| misplaced(&Source::new(path, text)).len();
    assert_eq!(misplaced_in("proxy.rs", "use sqlx::PgPool;"), 1);
    assert_eq!(misplaced_in("store/posts.rs", "use sqlx::PgPool;"), 0);
    assert_eq!(misplaced_in("jobs/deliveries.rs", "let c = reqwest::Client::new();"), 0);
    assert_eq!(misplaced_in("jobs/runner.rs", "let c = reqwest::Client::new();"), 1);
    assert_eq!(misplaced_in("mirror.rs", "let now = SystemTime::now(); // Instant"), 1);
    assert_eq!(misplaced_in("access.rs", "// never todo!() here\nlet sqlx_like = 1;"), 0);
    assert_eq!(misplaced_in("access.rs", "std::env::var(\"HOME\")"), 1);
    assert_eq!(misplaced_in("access.rs", "todo!()"), 1);
    let passed_over = |text: &str| errors_passed_over(&Source::new("store/x.rs", text)).0.len();
    assert_eq!(passed_over("let _ = tx.sql(\"…\").run().await;"), 1);
    assert_eq!(passed_over("if tx.sql(\"…\")\n  .run().await.is_err() { more(); }"), 1);
    assert_eq!(passed_over("tx.append(now, &[&entry]).await.ok();"), 1);
    assert_eq!(passed_over("tx.sql(\"…\").bind(a).run().await?;"), 0);
    assert_eq!(passed_over("fn f() {\n self.sql(\"…\").run().await.map(drop)\n}"), 0);
    let crossed = |path: &str, text: &str| through_another_door(&Source::new(path, text)).len();
    assert_eq!(crossed("http/api/posts.rs", "use crate::{clock::Millis,\n  http::{admin::page, error}};"), 1);
    assert_eq!(crossed("http/api/posts.rs", "use super::super::manage::x;"), 1);
    assert_eq!(crossed("http/admin/mod.rs", "use super::{api, error};"), 1);
    assert_eq!(crossed("http/admin/posts.rs", "use super::posts; use crate::http::error;"), 0);
    assert_eq!(crossed("http/mod.rs", "use crate::http::{admin, api};"), 0);
    let source = Source::new(
        "domain/x.rs",
        "use crate::{\n    clock::Millis,\n    store::{Db, Tx},\n};\nfn f() -> crate::proxy::P {}",
    );
    let paths: Vec<_> = imports(&source).into_iter().map(|(line, path)| (line, path.join("::"))).collect();
    let expected = [(0, "clock::Millis"), (0, "store::Db"), (0, "store::Tx"), (4, "proxy::P")];
    assert_eq!(paths, expected.map(|(line, path)| (line, path.to_owned())));
}

/// Statements of a transaction whose error is neither passed on with `?` nor the function's own result: after it another
/// statement could follow, and on a full disk that would commit on its own. With the number of statements seen.
fn errors_passed_over(source: &Source) -> (Vec<String>, usize) {
    let text = source.code.join("\n");
    let (mut found, mut seen) = (Vec::new(), 0);
    for begin in ["tx.", "tx\n", "self.sql(", "self\n            .sql("] {
        for (at, _) in text.match_indices(begin) {
            if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                continue;
            }
            // A call on the transaction, up to where it is waited for.
            let rest = &text[at..];
            let Some(end) = rest.find(".await").filter(|end| !rest[..*end].contains(';')) else { continue };
            seen += 1;
            let after = &rest[end + ".await".len()..];
            let tail = &after[..after.find([';', '{', '}']).unwrap_or(after.len())];
            let result = after[tail.len()..].starts_with('}') && !tail.contains(".ok()")
                || after.trim_start().starts_with(".and_then(");
            if !tail.contains('?') && !result {
                found.push(format!(
                    "{}: an error in a transaction is passed over; drop the transaction instead",
                    source.at(text[..at].matches('\n').count())
                ));
            }
        }
    }
    (found, seen)
}

fn misplaced(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for (word, places, why) in PLACES {
        if places.iter().any(|place| source.path.starts_with(place)) {
            continue;
        }
        for (line, _) in source.code.iter().enumerate().filter(|(_, code)| has_word(code, word)) {
            found.push(format!("{}: `{word}`: {why}", source.at(line)));
        }
    }
    found
}

fn through_another_door(source: &Source) -> Vec<String> {
    let door = |path: &[String]| match path {
        [http, door, ..] if http == "http" => DOORS.iter().copied().find(|d| d == door),
        _ => None,
    };
    let Some(own) = door(&source.module()) else { return Vec::new() };
    imports(source)
        .into_iter()
        .filter(|(_, path)| door(path).is_some_and(|other| other != own))
        .map(|(line, path)| {
            format!("{}: `{}`: the {own} door imports another", source.at(line), path.join("::"))
        })
        .collect()
}

/// Every path into our own crate, absolute and without groups, with the line its statement begins on.
fn imports(source: &Source) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let text = source.code.join("\n");
    let begins = |root: &str, at: usize| {
        text[at..].starts_with(root)
            && !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
    };
    for (at, _) in text.char_indices() {
        let (base, rest) = if begins("crate::", at) {
            (Vec::new(), &text[at + 7..])
        } else if begins("super::", at) {
            let mut base = source.module();
            let mut rest = &text[at..];
            while let Some(further) = rest.strip_prefix("super::") {
                base.pop();
                rest = further;
            }
            (base, rest)
        } else {
            continue;
        };
        let line = text[..at].matches('\n').count();
        let mut paths = Vec::new();
        expand(rest, &base, &mut paths);
        found.extend(paths.into_iter().filter(|path| !path.is_empty()).map(|path| (line, path)));
    }
    found
}

/// Follows a path through its groups and returns what is left of the text behind it.
fn expand<'t>(text: &'t str, base: &[String], found: &mut Vec<Vec<String>>) -> &'t str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start_matches([',', ' ', '\n']);
            match rest.strip_prefix('}') {
                Some(rest) => return rest,
                None if rest.is_empty() => return rest,
                None => {
                    let before = rest.len();
                    rest = expand(rest, base, found);
                    // `name as other` and whatever else is not a path.
                    if !rest.starts_with([',', '}']) {
                        rest = &rest[rest.find([',', '}']).unwrap_or(rest.len())..];
                    }
                    assert!(rest.len() < before, "a group that does not end");
                }
            }
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let mut path = base.to_vec();
    if end > 0 {
        path.push(text[..end].to_owned());
    }
    match text[end..].strip_prefix("::") {
        Some(rest) if rest.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '{') => {
            expand(rest, &path, found)
        }
        _ => {
            found.push(path);
            &text[end..]
        }
    }
}

/// Whether the word stands there as a word of its own.
fn has_word(code: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        !code[..at].ends_with(part) && (word.ends_with('!') || !code[at + word.len()..].starts_with(part))
    })
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let code = text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned()).collect();
        Self { path: path.to_owned(), text: text.to_owned(), code }
    }

    fn at(&self, line: usize) -> String {
        format!("src/{}:{}", self.path, line + 1)
    }

    /// The module the file is.
    fn module(&self) -> Vec<String> {
        let path = self.path.trim_end_matches(".rs");
        path.trim_end_matches("/mod").split('/').map(str::to_owned).collect()
    }
}

fn sources() -> Vec<Source> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files.sort();
    assert!(files.len() > 50, "src/ was not found");
    files
        .into_iter()
        .map(|file| {
            let path = file.strip_prefix(&root).expect("below src").to_string_lossy().replace('\\', "/");
            Source::new(&path, &fs::read_to_string(&file).expect("text"))
        })
        .collect()
}

fn report(found: Vec<String>) {
    assert!(found.is_empty(), "{} against the rules of direction:\n{}", found.len(), found.join("\n"));
}
