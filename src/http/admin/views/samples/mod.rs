//! Every page rendered three times: with nothing in it, with plenty, with hostile text. Checks what must hold for all.
//!
//! `cargo test write_ui_samples -- --ignored` writes the renders to `target/ui-samples`, to be looked at.

mod bulk;
mod content;
mod html;
mod keys;
mod operations;
mod pages;
mod reference;

use std::cell::Cell;
use std::{fs, path::Path};

use super::*;
use html::{Tag, tags};

/// What a sample is filled with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sort {
    Empty,
    Full,
    Hostile,
}

const SORTS: [Sort; 3] = [Sort::Empty, Sort::Full, Sort::Hostile];

/// Fills view models.
struct Sample {
    sort: Sort,
    turn: Cell<usize>,
}

impl Sample {
    fn new(sort: Sort) -> Sample {
        Sample { sort, turn: Cell::new(0) }
    }

    /// `plain`, or one hostile text after the other.
    fn t(&self, plain: &str) -> String {
        if self.sort != Sort::Hostile {
            return plain.to_owned();
        }
        let turn = self.turn.get();
        self.turn.set(turn + 1);
        match turn % 5 {
            0 => "<script>alert(1)</script>".to_owned(),
            1 => "\"'><img src=x onerror=alert(1)>".to_owned(),
            2 => "\u{202e}مرحبا بالعالم שלום {{ 7*7 }}".to_owned(),
            3 => "W".repeat(10_000),
            _ => "😀👩‍👩‍👧‍👦\u{0}e\u{301}".to_owned(),
        }
    }

    fn opt<T>(&self, value: T) -> Option<T> {
        (self.sort != Sort::Empty).then_some(value)
    }

    fn rows<T>(&self, n: usize, make: impl Fn(usize) -> T) -> Vec<T> {
        (0..if self.sort == Sort::Empty { 0 } else { n }).map(make).collect()
    }

    fn n(&self, n: u64) -> Count {
        Count(if self.sort == Sort::Empty { 0 } else { n })
    }

    fn at(&self, absolute: &str, relative: &str) -> Moment {
        Moment { iso: "2026-03-15T14:30:00Z".into(), absolute: absolute.into(), relative: relative.into() }
    }
}

#[test]
fn every_page_holds_for_every_sort() {
    for sort in SORTS {
        for (name, page) in pages::all(&Sample::new(sort)) {
            check(&format!("{name} ({sort:?})"), &page);
        }
    }
}

fn check(name: &str, page: &str) {
    assert!(!page.contains("<script>alert") && !page.contains("<img"), "{name}: text became markup");
    let tags = tags(page);
    let named = |wanted: &str| tags.iter().filter(|t| t.name == wanted).collect::<Vec<_>>();
    assert_eq!(named("h1").len(), 1, "{name}: one h1");
    assert_eq!(named("main").len(), 1, "{name}: one main");
    let title = page.split("<title>").nth(1).and_then(|s| s.split("</title>").next()).unwrap_or_default();
    assert!(
        title.ends_with(" · Gatehouse") && title.len() > " · Gatehouse".len(),
        "{name}: title {title:.40}"
    );
    let scripts = named("script");
    assert!(scripts.len() == 1 && scripts[0].get("src").is_some(), "{name}: one script, by address");
    for tag in &tags {
        for (attribute, _) in &tag.attributes {
            assert!(
                attribute != "style" && !attribute.starts_with("on"),
                "{name}: {attribute} on {}",
                tag.name
            );
        }
        assert!(tag.get("href").is_none_or(|url| !url.starts_with("javascript:")), "{name}: script address");
    }
    check_forms(name, &tags);
    check_ids(name, &tags);
}

/// A POST form carries both tokens; forms do not nest; a GET form carries none.
fn check_forms(name: &str, tags: &[Tag]) {
    let mut open: Option<(bool, Vec<&str>)> = None;
    for tag in tags {
        match tag.name.as_str() {
            "form" => {
                assert!(open.is_none(), "{name}: a form in a form");
                open = Some((tag.get("method") == Some("post"), Vec::new()));
            }
            "/form" => {
                let (post, names) = open.take().expect("opened before");
                for token in ["_csrf", "_once"] {
                    let n = names.iter().filter(|n| **n == token).count();
                    assert_eq!(n, usize::from(post), "{name}: {token} in a form, post: {post}");
                }
            }
            "input" | "button" | "select" => {
                if let (Some((_, names)), Some(field)) = (&mut open, tag.get("name")) {
                    names.push(field);
                }
            }
            _ => {}
        }
    }
}

/// Ids are unique; labels, descriptions and links to fields of the page lead somewhere.
fn check_ids(name: &str, tags: &[Tag]) {
    let mut ids: Vec<&str> = tags.iter().filter_map(|t| t.get("id")).collect();
    ids.sort_unstable();
    for pair in ids.windows(2) {
        assert_ne!(pair[0], pair[1], "{name}: id stands twice");
    }
    for tag in tags {
        for attribute in ["for", "aria-describedby", "aria-labelledby", "data-reveal", "data-copy-from"] {
            for id in tag.get(attribute).unwrap_or_default().split_whitespace() {
                assert!(ids.binary_search(&id).is_ok(), "{name}: {attribute}={id} leads nowhere");
            }
        }
        if let Some(id) = tag.get("href").and_then(|url| url.strip_prefix('#')) {
            assert!(ids.binary_search(&id).is_ok(), "{name}: link to #{id} leads nowhere");
        }
    }
}

#[test]
fn templates_trust_no_text() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("templates")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for word in ["safe", "escape"] {
                let filter = [format!("|{word}"), format!("| {word}")];
                assert!(!filter.iter().any(|f| text.contains(f.as_str())), "{}: {word}", path.display());
            }
        }
    }
}

#[test]
fn pages_stay_small() {
    for (name, page) in pages::all(&Sample::new(Sort::Full)) {
        assert!(page.len() < 160 * 1024, "{name}: {} bytes before compression", page.len());
        let nodes = tags(&page).iter().filter(|t| !t.name.starts_with('/')).count();
        assert!(nodes < 3000, "{name}: {nodes} nodes");
    }
    let sprite =
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/partials/sprite.html")).unwrap();
    assert!(sprite.len() <= 4096, "sprite: {} bytes", sprite.len());
}

#[test]
fn counts_and_ids_print() {
    let printed = [0, 7, 999, 1000, 4312, 1_234_567].map(|n| Count(n).to_string());
    assert_eq!(printed, ["0", "7", "999", "1,000", "4,312", "1,234,567"]);
    assert_eq!(Count(1).of("post", "posts"), "1 post");
    assert_eq!(CopyId::short("post ID", "507f1f77bcf86cd799439011").short, "507f…9011");
    assert_eq!(CopyId::short("post ID", "507f").short, "507f");
}

#[test]
#[ignore = "writes files to look at"]
fn write_ui_samples() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = root.join("target/ui-samples");
    fs::create_dir_all(&out).unwrap();
    for file in ["app.css", "app.js"] {
        fs::copy(root.join("static").join(file), out.join(file)).unwrap();
    }
    for sort in SORTS {
        for (name, page) in pages::all(&Sample::new(sort)) {
            fs::write(out.join(format!("{name}-{sort:?}.html").to_lowercase()), page).unwrap();
        }
    }
}
