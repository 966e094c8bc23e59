//! What an auditor is given: bundles from every door, checked by the verifier that knows nothing of the gateway; exports in
//! the background and the links to their files; and the same from the command line.

use crate::{
    support::databases::{Engine, execute, gateway_on_both_engines},
    testapp::{Browser, TestApp, hidden},
};
use flate2::read::GzDecoder;
use gatehouse::{
    audit::tree::digest,
    domain::{
        audit::{Action, Actor, ActorType, Draft, ExportState, Outcome},
        keys::{KeyKind, Scope},
    },
    jobs::exports::sweep,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

gateway_on_both_engines!(
    every_bundle_holds,
    a_large_export_is_made_in_the_background,
    an_interrupted_export_is_made_again,
    files_end,
    no_room_for_a_file,
    the_command_exports_what_the_doors_do
);

const TENANT: &str = "507f1f77bcf86cd799439011";

async fn fill(app: &TestApp, count: usize) {
    let actor = Actor::new(ActorType::Key, "key-1", "Ann");
    let drafts: Vec<Draft> = (0..count)
        .map(|n| {
            let draft = Draft::new(&actor, Action::PostDelete, Outcome::Succeeded)
                .set("n", n as i64)
                .reason("\u{0}\n=1");
            match n % 4 {
                0 => draft,
                1 => draft.workspace(&app.ws).tenant(Some(TENANT)),
                _ => draft.workspace(&app.ws),
            }
        })
        .collect();
    for drafts in drafts.chunks(250) {
        app.app().db.append(app.clock.now(), &drafts.iter().collect::<Vec<_>>()).await.unwrap();
    }
}

/// The verifier's exit code and verdict.
fn verify(app: &TestApp, bundle: &Path, since: &[&Path]) -> (i32, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatehouse"));
    command.args(["audit", "verify", "--json", "--key", &app.app().audit_log.public().to_string()]);
    for file in since {
        command.arg("--since").arg(file);
    }
    let output = command.arg(bundle).output().unwrap();
    let verdict = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (output.status.code().unwrap(), verdict)
}

/// A member of a bundle.
fn member(bundle: &Path, name: &str) -> String {
    let bytes = fs::read(bundle).unwrap();
    let plain: Vec<u8> = if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        GzDecoder::new(bytes.as_slice()).read_to_end(&mut plain).unwrap();
        plain
    } else {
        bytes
    };
    let mut archive = tar::Archive::new(plain.as_slice());
    let mut member = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap())
        .find(|entry| entry.path().unwrap() == Path::new(name))
        .unwrap_or_else(|| panic!("no {name}"));
    let mut text = String::new();
    member.read_to_string(&mut text).unwrap();
    text
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

async fn every_bundle_holds(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let token = app.key(&app.ws, KeyKind::Audit, None, &[Scope::AuditRead]).await;
    let folder = folder();
    fill(&app, 1_200).await;
    let mut kept: Vec<PathBuf> = Vec::new();
    for (n, (query, scope, code)) in [
        ("audit.tar", "workspace", 0),
        ("audit.tar.gz", "workspace", 0),
        ("audit.tar?tenant=507f1f77bcf86cd799439011", "tenant", 0),
        ("audit.tar?tenant=507f1f77bcf86cd7994390ff", "tenant", 0),
        ("audit.tar.gz?action=post.delete", "partial", 3),
        ("audit.tar?after=100&before=900", "partial", 3),
        ("audit.tar?action=nothing.there", "partial", 3),
    ]
    .into_iter()
    .enumerate()
    {
        let request = app.request(Method::GET, &format!("/manage/v1/{query}")).header("x-api-key", &token);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{query}");
        let name = answer.headers()["content-disposition"].to_str().unwrap().to_owned();
        assert!(name.contains("gatehouse-audit-bundle-"), "{name}");
        let file = folder.path().join(n.to_string());
        fs::write(&file, answer.bytes().await.unwrap()).unwrap();
        let since: Vec<&Path> = kept.iter().map(PathBuf::as_path).collect();
        let (verdict, said) = verify(&app, &file, &since);
        assert_eq!(verdict, code, "{query}: {said}");
        let description: Value = serde_json::from_str(&member(&file, "bundle.json")).unwrap();
        assert_eq!(description["scope"]["type"], json!(scope));
        let manifest: Value = serde_json::from_str(&member(&file, "manifest.json")).unwrap();
        // The bundle's own entry is in it: the log cannot be taken away in secret.
        let newest = app.entries().await.into_iter().find(|e| e["action"] == json!("audit.export")).unwrap();
        let (seq, size) = (newest["seq"].as_i64().unwrap(), description["size"].as_i64().unwrap());
        assert!(size > seq, "{query}");
        if scope == "workspace" {
            assert!(manifest["lastSeq"].as_i64().unwrap() >= seq);
        }
        if query.contains("before") {
            assert!(manifest["firstSeq"].as_i64() > Some(100) && manifest["lastSeq"].as_i64() < Some(900));
        }
        if query.contains("nothing") || query.ends_with("ff") {
            assert_eq!(manifest["count"], json!(0));
        }
        // Whoever keeps a checkpoint can tell that the next bundle goes on where it ended.
        let note = folder.path().join(format!("{n}.note"));
        fs::write(&note, member(&file, "checkpoint.note")).unwrap();
        kept.push(note);
        fill(&app, 3).await;
    }
    // What is changed afterwards is found.
    let file = folder.path().join("0");
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.windows(11).position(|w| w == b"post.delete").unwrap();
    bytes[at] = b'P';
    fs::write(&file, bytes).unwrap();
    assert_eq!(verify(&app, &file, &[]).0, 1);
    for query in
        ["audit.tar?since=x", "audit.ndjson?since=5", &format!("audit.tar?{}", "since=5&".repeat(21))]
    {
        let answer = app.api(Method::GET, &format!("/manage/v1/{query}"), &token, None).await;
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid_filter")), "{query}");
    }
}

/// The place of the export that a form has asked for.
async fn ask(app: &TestApp, browser: &mut Browser, log: &str, fields: &[(&str, &str)]) -> String {
    let asked = browser.submit(log, &format!("{log}/export"), fields).await;
    assert_eq!(asked.status, 303, "{}", asked.text);
    let place = asked.header("location").to_owned();
    assert!(place.starts_with(&format!("{log}/exports/")), "{place}");
    let (workspace, id) = ((log != "/audit").then_some(app.ws.as_str()), id_of(&place));
    app.until("the export is made", || async {
        let export = app.app().db.export(workspace, id).await.unwrap().unwrap();
        !matches!(export.state, ExportState::Queued | ExportState::Running)
    })
    .await;
    place
}

fn id_of(place: &str) -> &str {
    place.rsplit('/').next().unwrap()
}

async fn download(app: &TestApp, path: &str) -> (u16, String, Vec<u8>) {
    let answer = app.request(Method::GET, path).send().await.unwrap();
    let sha256 = answer.headers().get("x-audit-sha256").map(|v| v.to_str().unwrap().to_owned());
    (answer.status().as_u16(), sha256.unwrap_or_default(), answer.bytes().await.unwrap().to_vec())
}

/// A link to the export's file, as the page shows it once.
async fn link(browser: &mut Browser, export: &str) -> String {
    let led = browser.submit(export, &format!("{export}/link"), &[]).await;
    let shown = browser.follow(led).await;
    let start = shown.text.find("/exports/ey").unwrap_or_else(|| panic!("{}", shown.text));
    shown.text[start..].split(['"', '<', '&']).next().unwrap().to_owned()
}

/// The file as a browser that is signed in saves it: its hash as stated, and its bytes.
async fn saved(browser: &mut Browser, export: &str) -> (String, Vec<u8>) {
    let page = browser.get(export).await;
    let (csrf, once) = (hidden(&page.text, "_csrf"), hidden(&page.text, "_once"));
    let fields = [("_csrf", csrf.as_str()), ("_once", once.as_str())];
    let answer = browser.send(&format!("{export}/download"), &fields).await;
    assert_eq!(answer.status(), 200);
    let sha256 = answer.headers()["x-audit-sha256"].to_str().unwrap().to_owned();
    (sha256, answer.bytes().await.unwrap().to_vec())
}

async fn a_large_export_is_made_in_the_background(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let folder = folder();
    fill(&app, 900).await;
    let mut browser = Browser::login(&app).await;
    let log = format!("/w/{}/audit", app.ws);
    let tenant = [("format", "bundle"), ("tenant", TENANT)];
    let partial = [("format", "bundle"), ("action", "post.delete"), ("outcome", "succeeded")];
    for (place, fields, scope, code) in [
        (log.as_str(), &tenant[..1], "workspace", 0),
        (&log, &tenant, "tenant", 0),
        (&log, &partial, "partial", 3),
        ("/audit", &tenant[..1], "log", 0),
        ("/audit", &partial, "partial", 3),
    ] {
        let export = ask(&app, &mut browser, place, fields).await;
        let shown = browser.get(&export).await;
        assert!(shown.status == 200 && shown.text.contains("The file is ready."), "{}", shown.text);
        let (sha256, bytes) = saved(&mut browser, &export).await;
        assert_eq!(sha256, hex::encode(digest(&[&bytes])));
        assert!(shown.text.contains(&sha256));
        let file = folder.path().join(id_of(&export));
        fs::write(&file, bytes).unwrap();
        let (verdict, said) = verify(&app, &file, &[]);
        assert_eq!(verdict, code, "{scope}: {said}");
        let description: Value = serde_json::from_str(&member(&file, "bundle.json")).unwrap();
        assert_eq!(description["scope"]["type"], json!(scope));
        let downloaded =
            app.entries().await.into_iter().find(|e| e["action"] == json!("audit.download")).unwrap();
        assert_eq!(downloaded["targets"], json!([{ "type": "export", "id": id_of(&export) }]));
        let listed = browser.get(&format!("{place}/exports")).await;
        assert!(listed.text.contains(&export) && listed.text.contains("Ready"), "{}", listed.text);
    }
    // For somebody without an account, a link that is shown once and works once.
    let export = ask(&app, &mut browser, &log, &[("format", "bundle")]).await;
    let link = self::link(&mut browser, &export).await;
    let (status, sha256, bytes) = download(&app, &link).await;
    assert_eq!((status, sha256), (200, hex::encode(digest(&[&bytes]))));
    assert_eq!(download(&app, &link).await.0, 404, "a second time");
    // Another workspace's export is none here, and the instance's own is nobody else's.
    let (other, _) = app.add_workspace("Other").await;
    for place in
        [format!("/w/{other}/audit/exports/{}", id_of(&export)), format!("/audit/exports/{}", id_of(&export))]
    {
        assert_eq!(browser.get(&place).await.status, 404, "{place}");
    }
    // Whoever may only look at the log gets no file of it, and the try is in the log.
    let link = self::link(&mut browser, &export).await;
    let (db, owner) = (&app.app().db, app.owner.id.as_str());
    execute(db, "UPDATE admins SET instance_owner = FALSE WHERE id = $1", &[owner]).await.unwrap();
    let grant = "INSERT INTO roles (admin_id, workspace_id, role) VALUES ($1, $2, 'operator')";
    execute(db, grant, &[owner, &app.ws]).await.unwrap();
    let shown = browser.get(&export).await;
    assert!(shown.status == 200 && !shown.text.contains("Download"), "{}", shown.text);
    let listed = browser.get(&format!("{log}/exports")).await;
    let (csrf, once) = (hidden(&listed.text, "_csrf"), gatehouse::domain::ids::new_id());
    for action in ["download", "link"] {
        let fields = [("_csrf", csrf.as_str()), ("_once", once.as_str())];
        let refused = browser.post(&format!("{export}/{action}"), &fields).await;
        assert_eq!(refused.status, 403);
        let denied = app.entries().await.remove(0);
        assert_eq!((&denied["action"], &denied["outcome"]), (&json!("audit.download"), &json!("denied")));
    }
    assert_eq!(download(&app, &link).await.0, 404, "a link is no more than the right of whoever made it");
}

/// A file that was being made when its process died is made again from nothing by the next.
async fn an_interrupted_export_is_made_again(engine: Engine) {
    let mut app = TestApp::spawn(engine).await;
    fill(&app, 300).await;
    let mut browser = Browser::login(&app).await;
    let log = format!("/w/{}/audit", app.ws);
    let export = ask(&app, &mut browser, &log, &[("format", "bundle")]).await;
    let id = id_of(&export).to_owned();
    let files = app.config.export_folder.clone();
    app.running.take().unwrap().stop().await;
    let db = gatehouse::store::Db::connect(&app.config.database_url).await.unwrap();
    execute(&db, "UPDATE exports SET state = 'running', bytes = NULL WHERE id = $1", &[&id]).await.unwrap();
    db.close().await;
    fs::remove_file(files.join(&id)).unwrap();
    fs::write(files.join(format!("{id}.part")), "half of").unwrap();
    app.running = Some(gatehouse::app::Running::start(app.config.clone(), app.clock.clone()).await.unwrap());
    app.until("it is made again", || async {
        app.app().db.export(Some(&app.ws), &id).await.unwrap().unwrap().state == ExportState::Ready
    })
    .await;
    assert_eq!(verify(&app, &files.join(&id), &[]).0, 0);
    assert!(!files.join(format!("{id}.part")).exists());
}

async fn files_end(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    fill(&app, 100).await;
    let mut browser = Browser::login(&app).await;
    let log = format!("/w/{}/audit", app.ws);
    let files = &app.config.export_folder;
    // After a day, or when it is taken back.
    for withdrawn in [false, true] {
        let export = ask(&app, &mut browser, &log, &[("format", "bundle")]).await;
        let file = files.join(id_of(&export));
        let unknown = files.join("what-an-operator-has-put-here");
        fs::write(&unknown, "").unwrap();
        fs::write(files.join(format!("{}.part", gatehouse::domain::ids::new_id())), "of a crash").unwrap();
        sweep(app.app()).await.unwrap();
        assert!(file.exists() && unknown.exists() && fs::read_dir(files).unwrap().count() == 2);
        fs::remove_file(unknown).unwrap();
        let link = self::link(&mut browser, &export).await;
        if withdrawn {
            app.app().db.withdraw_exports("personal data was erased", app.clock.now()).await.unwrap();
        } else {
            let at = "UPDATE exports SET expires_at = CAST($1 AS BIGINT) WHERE id = $2";
            let now = app.clock.now().to_string();
            execute(&app.app().db, at, &[&now, id_of(&export)]).await.unwrap();
        }
        assert_eq!(download(&app, &link).await.0, 404);
        sweep(app.app()).await.unwrap();
        assert!(!file.exists());
        let shown = browser.get(&export).await;
        let why = if withdrawn { "was removed: personal data was erased" } else { "The file was removed." };
        assert!(shown.text.contains(why), "{}", shown.text);
        let listed = browser.get(&format!("{log}/exports")).await;
        let csrf = hidden(&listed.text, "_csrf");
        let once = gatehouse::domain::ids::new_id();
        let fields = [("_csrf", csrf.as_str()), ("_once", once.as_str())];
        assert_eq!(browser.post(&format!("{export}/download"), &fields).await.status, 409);
    }
}

/// A small file system of its own; only root can mount one.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

async fn no_room_for_a_file(engine: Engine) {
    let place = folder();
    let at = place.path().join("small");
    fs::create_dir(&at).unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(&at).status();
    if !mount.is_ok_and(|status| status.success()) {
        println!("not tried: only root can mount a small disk");
        return;
    }
    let mounted = Mounted(at);
    let app = TestApp::spawn_with(engine, |config| config.export_folder.clone_from(&mounted.0)).await;
    let mut browser = Browser::login(&app).await;
    let log = format!("/w/{}/audit", app.ws);
    let export = ask(&app, &mut browser, &log, &[("format", "bundle")]).await;
    let shown = browser.get(&export).await;
    let why = "MiB are free on the disk, and 256 MiB must stay free";
    assert!(shown.text.contains("Failed") && shown.text.contains(why), "{}", shown.text);
    assert_eq!(fs::read_dir(&mounted.0).unwrap().count(), 0, "nothing is left of it");
}

struct Ran {
    code: i32,
    out: Vec<u8>,
    err: String,
}

/// `gatehouse audit export` with these words.
async fn export(env: &[(&str, &str)], args: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatehouse"));
    let command = command.args(["audit", "export"]).args(args).envs(env.iter().copied()).stdin(Stdio::null());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    Ran { code: output.status.code().unwrap(), out: output.stdout, err }
}

async fn the_command_exports_what_the_doors_do(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let folder = folder();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fill(&app, 700).await;
    let token = app.key(&app.ws, KeyKind::Audit, None, &[Scope::AuditRead]).await;
    let data = app.config.data.display().to_string();
    let database = ["--data", data.as_str(), "--database-url", app.config.database_url.as_str()];
    let from_database = async |args: &[&str]| export(&[], &[&database[..], args].concat()).await;
    let through_door = async |args: &[&str]| {
        export(&[("GATEHOUSE_KEY", &token)], &[&["--url", app.url()][..], args].concat()).await
    };
    // The same bytes, by whichever way.
    let of_door = app.api(Method::GET, "/manage/v1/audit.ndjson", &token, None).await.text;
    let before = seq_of(of_door.lines().last().unwrap()) + 1;
    let before = before.to_string();
    let ran = from_database(&["--workspace", &app.ws, "--before", &before]).await;
    assert_eq!((ran.code, ran.out == of_door.as_bytes()), (0, true), "{}", ran.err);
    assert!(ran.err.contains(&format!("{} entries", of_door.lines().count())), "{}", ran.err);
    let ran = through_door(&["--before", &before]).await;
    assert_eq!((ran.code, ran.out == of_door.as_bytes()), (0, true), "{}", ran.err);
    // Cut and resumed.
    let half: String = of_door.split_inclusive('\n').take(300).collect();
    let after = seq_of(half.lines().last().unwrap()).to_string();
    for rest in [
        from_database(&["--workspace", &app.ws, "--after", &after, "--before", &before]).await,
        through_door(&["--after", &after, "--before", &before]).await,
    ] {
        assert!([half.as_bytes(), &rest.out].concat() == of_door.as_bytes(), "{}", rest.err);
    }
    // Bundles of every scope, checked.
    for (n, (args, code)) in [
        (vec![], 0),
        (vec!["--gzip"], 0),
        (vec!["--workspace", app.ws.as_str()], 0),
        (vec!["--workspace", app.ws.as_str(), "--tenant", TENANT], 0),
        (vec!["--filter", "action=post.", "--since", "100"], 3),
    ]
    .into_iter()
    .enumerate()
    {
        let file = path(&format!("{n}.tar"));
        let ran = from_database(&[&["--format", "bundle", "-o", &file][..], &args].concat()).await;
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
        let (verdict, said) = verify(&app, Path::new(&file), &[]);
        assert_eq!(verdict, code, "{args:?}: {said}");
        if args.contains(&"--since") {
            assert!(member(Path::new(&file), "consistency.ndjson").contains("{\"size\":100,"));
        }
    }
    let file = path("door.tar");
    let ran = through_door(&["--format", "bundle", "--tenant", TENANT, "--output", &file]).await;
    assert_eq!((ran.code, verify(&app, Path::new(&file), &[]).0), (0, 0), "{}", ran.err);
    // CSV, compressed, into a file; and never over one that is there.
    let file = path("view.csv.gz");
    assert_eq!(from_database(&["--format", "csv", "--gzip", "--output", &file]).await.code, 0);
    let mut text = String::new();
    GzDecoder::new(fs::File::open(&file).unwrap()).read_to_string(&mut text).unwrap();
    assert!(text.starts_with("\"seq\",\"time\""), "{text}");
    let kept = fs::read(&file).unwrap();
    for ran in [from_database(&["--output", &file]).await, through_door(&["--output", &file]).await] {
        assert!(ran.code == 1 && ran.err.contains("view.csv.gz"), "{}", ran.err);
    }
    assert_eq!(fs::read(&file).unwrap(), kept);
    // What cannot be done says why, and leaves nothing.
    let stranger = async |args: &[&str]| export(&[("GATEHOUSE_KEY", "sk_gha_0123")], args).await;
    for (ran, code, why) in [
        (from_database(&["--tenant", TENANT]).await, 1, "--workspace"),
        (from_database(&["--workspace", "nobody's"]).await, 1, "no workspace"),
        (from_database(&["--filter", "colour=red"]).await, 1, "no filter colour"),
        (from_database(&["--format", "xml"]).await, 2, "xml"),
        (from_database(&["--after", "x"]).await, 2, "x"),
        (export(&[], &["--data", &path("nowhere")]).await, 1, "no database"),
        (stranger(&["--url", app.url()]).await, 1, "Invalid API key"),
        (stranger(&["--url", "http://gate.example.com"]).await, 1, "only https"),
        (export(&[], &["--url", app.url()]).await, 1, "GATEHOUSE_KEY"),
        (through_door(&["--filter", "colour=red"]).await, 1, "no filter colour"),
    ] {
        if why == "no database" && !app.app().db.is_embedded() {
            continue;
        }
        assert!(ran.code == code && ran.err.contains(why) && ran.out.is_empty(), "{why}: {}", ran.err);
    }
    assert!(fs::read_dir(folder.path()).unwrap().all(|f| f.unwrap().path().extension().unwrap() != "part"));
    // Whoever does it on the machine itself is in the log too.
    let made = app.entries().await.into_iter().filter(|e| e["action"] == json!("audit.export"));
    assert!(made.filter(|e| e["actor"]["id"] == json!("command line")).count() >= 8);
}

fn seq_of(line: &str) -> i64 {
    serde_json::from_str::<Value>(line).unwrap()["entry"]["seq"].as_i64().unwrap()
}
