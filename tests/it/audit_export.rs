//! The audit log taken away: as a feed that is polled, and in files that are cut, resumed, compressed and opened in a
//! spreadsheet.

use crate::{
    support::databases::{Engine, execute, gateway_on_both_engines},
    testapp::TestApp,
};
use flate2::read::GzDecoder;
use gatehouse::{
    audit::tree::leaf_hash,
    clock::{HOUR, MINUTE},
    domain::{
        audit::{Action, Actor, ActorType, Draft, Outcome},
        keys::{KeyKind, Scope},
    },
    store::audit::AuditFilter,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeSet, io::Read};

gateway_on_both_engines!(
    a_feed_brings_every_entry_once_in_order,
    a_feed_makes_an_entry_an_hour,
    files_are_cut_resumed_and_compressed,
    a_view_is_safe_to_open,
    what_cannot_be_understood_is_refused
);

async fn token(app: &TestApp) -> String {
    app.key(&app.ws, KeyKind::Audit, None, &[Scope::AuditRead]).await
}

/// Entries of the workspace, some of a tenant and some of the instance.
async fn fill(app: &TestApp, count: usize) {
    let actor = Actor::new(ActorType::Key, "key-1", "Ann \"=HYPERLINK(1)\"");
    let drafts: Vec<Draft> = (0..count)
        .map(|n| {
            let draft = Draft::new(&actor, Action::PostDelete, Outcome::Succeeded).set("n", n as i64);
            match n % 4 {
                0 => draft,
                1 => draft.workspace(&app.ws).tenant(Some("507f1f77bcf86cd799439011")),
                _ => draft.workspace(&app.ws),
            }
        })
        .collect();
    for drafts in drafts.chunks(250) {
        app.app().db.append(app.clock.now(), &drafts.iter().collect::<Vec<_>>()).await.unwrap();
    }
}

/// The workspace's entries, oldest first.
async fn entries(app: &TestApp) -> Vec<Value> {
    let filter = AuditFilter { workspace_id: Some(app.ws.clone()), ..Default::default() };
    let entries = app.app().db.audit_page(&filter, None, Some(-1), 5_000).await.unwrap();
    entries.iter().map(|e| serde_json::from_slice(&e.bytes).unwrap()).collect()
}

fn seq(line: &Value) -> i64 {
    line["entry"]["seq"].as_i64().unwrap()
}

async fn a_feed_brings_every_entry_once_in_order(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let token = token(&app).await;
    fill(&app, 700).await;
    for query in ["", "&action=post.", "&limit=7&action=post.delete&tenant=507f1f77bcf86cd799439011"] {
        let (mut after, mut seen, mut polls) = (-1, Vec::new(), 0);
        // The log grows while it is read.
        let writer = tokio::spawn({
            let (db, ws, now) = (app.app().db.clone(), app.ws.clone(), app.clock.now());
            async move {
                let actor = Actor::system("test");
                for _ in 0..60 {
                    let draft = Draft::done(&actor, Action::PostDelete).workspace(&ws);
                    let tenant = draft.clone().tenant(Some("507f1f77bcf86cd799439011"));
                    db.append(now, &[&draft, &tenant, &Draft::done(&actor, Action::PostUpdate)])
                        .await
                        .unwrap();
                }
            }
        });
        loop {
            let done = writer.is_finished();
            let path = format!("/manage/v1/audit?after={after}{query}");
            let page = app.api(Method::GET, &path, &token, None).await;
            assert_eq!((page.status, page.header("content-type")), (200, "application/json; charset=utf-8"));
            let page = page.json();
            for line in page["entries"].as_array().unwrap() {
                let body = |d: &Value| d["body"].as_str().unwrap().to_owned();
                assert!(line["details"].as_array().unwrap().iter().all(|d| !body(d).is_empty()));
                seen.push(seq(line));
            }
            let next = page["next"].as_i64().unwrap();
            assert!(next >= after);
            after = next;
            polls += 1;
            if done && page["more"] == json!(false) {
                break;
            }
        }
        writer.await.unwrap();
        let matches = |e: &Value| {
            (query.is_empty() || e["action"].as_str().unwrap().starts_with("post."))
                && (!query.contains("tenant") || e["tenant"] == json!("507f1f77bcf86cd799439011"))
        };
        let entries = entries(&app).await;
        let expected: Vec<i64> =
            entries.iter().filter(|e| matches(e)).map(|e| e["seq"].as_i64().unwrap()).collect();
        assert_eq!(seen, expected, "{query}: every entry once, in order");
        assert!(polls > 2);
    }
}

async fn a_feed_makes_an_entry_an_hour(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let (one, two) = (token(&app).await, token(&app).await);
    let reads = async || {
        let entries = app.entries().await;
        entries.iter().filter(|e| e["action"] == json!("audit.read")).count()
    };
    for (minutes, expected) in [(0, 2), (1, 2), (58, 2), (2, 4), (30, 4)] {
        app.clock.advance(minutes * MINUTE);
        for _ in 0..3 {
            for token in [&one, &two] {
                assert_eq!(app.api(Method::GET, "/manage/v1/audit?limit=1", token, None).await.status, 200);
            }
        }
        assert_eq!(reads().await, expected, "after {minutes} more minutes of {HOUR} ms");
    }
    // Nothing else in the log comes of it: a feed that has caught up stays so.
    let head = app.api(Method::GET, "/manage/v1/audit?after=0", &one, None).await.json()["next"].clone();
    let quiet = app.api(Method::GET, &format!("/manage/v1/audit?after={head}"), &one, None).await.json();
    assert_eq!((quiet["entries"].as_array().unwrap().len(), &quiet["next"]), (0, &head), "{quiet}");
    // A key of another kind reads nothing, and that it tried is in the log.
    let other = app.key(&app.ws, KeyKind::Workspace, None, &[Scope::PostsRead]).await;
    assert_eq!(app.api(Method::GET, "/manage/v1/audit", &other, None).await.status, 403);
    let denied = app.entries().await.remove(0);
    assert_eq!((&denied["action"], &denied["outcome"]), (&json!("audit.read"), &json!("denied")));
}

async fn files_are_cut_resumed_and_compressed(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let token = token(&app).await;
    fill(&app, 1_300).await;
    let file = async |path: &str| {
        let answer =
            app.request(Method::GET, &format!("/manage/v1/audit.{path}")).header("x-api-key", &token);
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let header = |name: &str| {
            answer.headers().get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        let headers =
            ["content-type", "content-disposition", "x-audit-entries", "x-audit-before", "x-audit-evidence"]
                .map(header);
        (headers, answer.bytes().await.unwrap().to_vec())
    };
    let expected: Vec<i64> = entries(&app).await.iter().map(|e| e["seq"].as_i64().unwrap()).collect();
    let (headers, whole) = file("ndjson").await;
    let whole = String::from_utf8(whole).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let mut seqs = Vec::new();
    for line in &lines {
        let parsed: Value = serde_json::from_str(line).unwrap();
        let bytes = line.split(",\"leaf\":\"").next().unwrap().strip_prefix("{\"entry\":").unwrap();
        assert_eq!(parsed["leaf"], json!(hex::encode(leaf_hash(bytes.as_bytes()))));
        seqs.push(seq(&parsed));
    }
    assert_eq!(seqs, expected);
    let [media, name, entries, before, evidence] = headers;
    assert_eq!((media.as_str(), evidence.as_str()), ("application/x-ndjson", "yes"));
    assert!(name.contains("filename=\"gatehouse-audit-2") && name.ends_with(".ndjson\""), "{name}");
    assert_eq!(entries, lines.len().to_string());
    // Cut in the middle of a line: the last whole one says where to go on, the headers up to where.
    for cut in [0, whole.len() / 3, whole.len() - 1, whole.len()] {
        let kept = whole[..cut].rfind('\n').map_or("", |end| &whole[..=end]);
        let last = kept.lines().last().map_or(-1, |line| seq(&serde_json::from_str(line).unwrap()));
        let (_, rest) = file(&format!("ndjson?after={last}&before={before}")).await;
        assert!(format!("{kept}{}", String::from_utf8(rest).unwrap()) == whole, "cut at {cut}");
    }
    let unzip = |bytes: &[u8]| {
        let mut text = String::new();
        GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
        text
    };
    for (format, plain) in [("ndjson", &whole), ("csv", &String::new())] {
        let (headers, zipped) = file(&format!("{format}.gz?before={before}")).await;
        let (_, plain_again) = file(&format!("{format}?before={before}")).await;
        let text = unzip(&zipped);
        assert!(text.as_bytes() == plain_again && (plain.is_empty() || text == *plain));
        assert!(zipped.len() * 2 < text.len());
        assert!(headers[0] == "application/gzip" && headers[1].ends_with(&format!(".{format}.gz\"")));
    }
    // A client that takes gzip gets it on the way, and what is a gzip file is not compressed twice.
    for (path, twice) in [("ndjson", false), ("ndjson.gz", true)] {
        let request = app.request(Method::GET, &format!("/manage/v1/audit.{path}?before={before}"));
        let answer =
            request.header("x-api-key", &token).header("accept-encoding", "gzip").send().await.unwrap();
        let encoding = answer.headers().get("content-encoding").map(|v| v.to_str().unwrap().to_owned());
        assert_eq!(encoding.as_deref(), Some(if twice { "identity" } else { "gzip" }));
        assert!(unzip(&answer.bytes().await.unwrap()) == whole, "{path}");
    }
    // Each of them is an entry that says what was taken.
    let exports: Vec<Value> =
        app.entries().await.into_iter().filter(|e| e["action"] == json!("audit.export")).collect();
    assert_eq!(exports.len(), 11);
    assert!(exports.iter().all(|e| e["workspace"] == json!(app.ws)));
}

async fn a_view_is_safe_to_open(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let token = token(&app).await;
    let hostile =
        ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\0=1", "＝1", "a,b", "a\"b", "a\r\nb", ""];
    let mut first = None;
    for text in hostile {
        let mut actor = Actor::new(ActorType::Key, text, text);
        actor.context.user_agent = Some(text.into());
        let draft = Draft::new(&actor, Action::PostDelete, Outcome::Denied).workspace(&app.ws);
        let draft = draft.reason(text).target(text, text).set("x", text);
        first.get_or_insert(app.app().db.append(app.clock.now(), &[&draft]).await.unwrap());
    }
    let first = first.unwrap();
    let path = format!("/manage/v1/audit.csv?after={}", first - 1);
    let answer = app.api(Method::GET, &path, &token, None).await;
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8; header=absent");
    let whole = app.api(Method::GET, "/manage/v1/audit.csv", &token, None).await;
    assert_eq!(whole.header("content-type"), "text/csv; charset=utf-8; header=present");
    assert!(whole.header("content-disposition").contains("gatehouse-audit-view-"));
    assert_eq!((whole.status, whole.header("x-audit-evidence")), (200, "no"));
    let mut reader = csv::ReaderBuilder::new().from_reader(whole.text.as_bytes());
    let names = reader.headers().unwrap().clone();
    let column = |name: &str| names.iter().position(|n| n == name).unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().map(|r| r.unwrap()).collect();
    for (n, text) in hostile.iter().enumerate() {
        let row = rows.iter().find(|r| r[0] == (first + n as i64).to_string()).unwrap();
        assert_eq!(row.len(), 22);
        for field in row {
            assert!(!field.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\0', '＝']), "{field:?}");
        }
        for name in ["actor_name", "reason", "user_agent"] {
            let field = &row[column(name)];
            assert!(
                field == *text || field.strip_prefix('\'') == Some(text),
                "{name}: {field:?} of {text:?}"
            );
        }
    }
    // What was erased says so; what never was stays empty.
    let erase = "DELETE FROM audit_details WHERE part IN ('names', 'reason') AND seq >= CAST($1 AS BIGINT)";
    execute(&app.app().db, erase, &[&first.to_string()]).await.unwrap();
    let left = app.api(Method::GET, &path, &token, None).await;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(left.text.as_bytes());
    let row = reader.records().next().unwrap().unwrap();
    assert_eq!((&row[column("actor_name")], &row[column("reason")]), ("[erased]", "[erased]"));
    assert_eq!((&row[column("user_agent")], &row[column("before")]), ("'=1+1", "{}"));
    let ndjson = app.api(Method::GET, &path.replace("csv", "ndjson"), &token, None).await;
    let line: Value = serde_json::from_str(ndjson.text.lines().next().unwrap()).unwrap();
    let parts: BTreeSet<&str> =
        line["details"].as_array().unwrap().iter().map(|d| d["part"].as_str().unwrap()).collect();
    assert_eq!(parts, BTreeSet::from(["change", "context"]));
}

async fn what_cannot_be_understood_is_refused(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let token = token(&app).await;
    let size = app.app().db.audit_head().await.unwrap().size;
    for (path, status, code) in [
        ("audit?limit=0", 400, "invalid_filter"),
        ("audit?limit=1001", 400, "invalid_filter"),
        ("audit?limit=many", 400, "invalid_filter"),
        ("audit?after=-2", 400, "invalid_filter"),
        ("audit?after=x", 400, "invalid_filter"),
        ("audit?colour=red", 400, "invalid_filter"),
        ("audit?after=1&after=2", 400, "invalid_filter"),
        ("audit?after=999999999", 409, "cursor_ahead"),
        ("audit.csv?limit=5", 400, "invalid_filter"),
        ("audit.ndjson?after=1e3", 400, "invalid_filter"),
        ("audit.csv.gz?before=-7", 400, "invalid_filter"),
    ] {
        let answer = app.api(Method::GET, &format!("/manage/v1/{path}"), &token, None).await;
        assert_eq!((answer.status, answer.json()["code"].as_str().unwrap()), (status, code), "{path}");
    }
    // Nothing was read, so nothing is said to have been.
    assert_eq!(app.app().db.audit_head().await.unwrap().size, size + 1, "but for the feed that went ahead");
}
