//! `gatehouse bulk` as a script runs it: what it prints where, and its exit codes.

use crate::{
    support::{
        databases::{Engine, gateway_on_both_engines},
        jobs::deletions,
    },
    testapp::TestApp,
};
use gatehouse::domain::keys::{KeyKind, Scope};
use serde_json::{Value, json};
use std::{
    io::Write,
    process::{Command, Stdio},
};

gateway_on_both_engines!(a_script_plans_applies_and_waits);

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {} {}", self.out, self.err))
    }
}

async fn bulk(app: &TestApp, key: &str, input: &str, args: &[&str]) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_gatehouse"));
    let child = child
        .arg("bulk")
        .args(args)
        .env("GATEHOUSE_URL", app.url())
        .env("GATEHOUSE_KEY", key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let output = tokio::task::spawn_blocking(move || {
        // A command that refuses its arguments reads nothing.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().unwrap()
    });
    let output = output.await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

async fn a_script_plans_applies_and_waits(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let draft = |n: usize| json!({ "status": "draft", "content": format!("post {n}") });
    let posts = app.posts(&ann.id, (0..14).map(draft).collect()).await;
    app.sweep(&app.ws, &ann.id).await;
    let scopes = [Scope::PostsRead, Scope::PostsCreate, Scope::PostsUpdate, Scope::PostsDelete];
    let key = app.key(&app.ws, KeyKind::Workspace, None, &scopes).await;
    let run = async |input: &str, args: &[&str]| bulk(&app, &key, input, args).await;
    let id = |ran: &Ran, name: &str| ran.json()[name].as_str().unwrap().to_owned();

    // Wrong arguments, wrong keys, wrong files: nothing is planned.
    assert_eq!(run("", &["plan", "--action", "publish", "--filter", ""]).await.code, 2);
    assert_eq!(run("", &["plan", "--action", "delete"]).await.code, 2);
    let stranger = bulk(&app, "sk_ghw_0123456789", "", &["plan", "--action", "delete", "--filter", ""]).await;
    assert!(stranger.code == 1 && stranger.err.contains("Invalid API key"), "{}", stranger.err);
    let bad = run("tenant,postGroupId\nonly-one\n", &["plan", "--action", "delete", "--csv", "-"]).await;
    assert!(bad.code == 1 && bad.err.contains("row 2") && bad.out.is_empty(), "{}", bad.err);
    let nothing = run("", &["plan", "--action", "resume", "--filter", "status=draft"]).await;
    let unmatched = run("", &["plan", "--action", "delete", "--filter", "status=failed"]).await;
    assert!(unmatched.code == 5 && unmatched.err.contains("No post matches"), "{}", unmatched.err);
    assert_eq!((nothing.code, &nothing.json()["toChange"]), (5, &json!(0)), "{}", nothing.err);

    // Twelve by a file; the count has to be repeated.
    let table: String = posts[..12].iter().map(|post| format!("{},{post}\n", ann.id)).collect();
    let plan =
        run(&format!("tenant,postGroupId\n{table}"), &["plan", "--action", "delete", "--csv", "-"]).await;
    assert_eq!(plan.code, 0, "{}", plan.err);
    assert!(plan.err.contains("--confirm 'delete 12' --reason"), "{}", plan.err);
    let plan = id(&plan, "planId");
    let unsure = run("", &["apply", &plan, "--confirm", "delete 11", "--reason", "x"]).await;
    assert!(unsure.code == 1 && unsure.err.contains("delete 12"), "{}", unsure.err);
    assert!(deletions(&app).await.is_empty());
    app.faults(json!([{ "match": { "method": "DELETE" }, "times": 2, "status": 500,
        "body": { "error": "Failed to delete post group" } }]))
        .await;
    let job = run("", &["apply", &plan, "--confirm", "delete 12", "--reason", "x", "--wait"]).await;
    assert_eq!((job.code, &job.json()["counts"]["failed"]), (3, &json!(2)), "{} {}", job.out, job.err);
    let failed = run("", &["items", &id(&job, "jobId"), "--state", "failed"]).await;
    assert_eq!((failed.code, failed.out.lines().count()), (0, 2), "{}", failed.out);

    // What failed is tried again, as a job of its own.
    let again = run("", &["retry", &id(&job, "jobId")]).await;
    assert_eq!((again.code, &again.json()["toChange"]), (0, &json!(2)), "{} {}", again.out, again.err);
    let second = run("", &["apply", &id(&again, "planId"), "--reason", "x", "--wait"]).await;
    assert_eq!((second.code, &second.json()["counts"]["succeeded"]), (0, &json!(2)), "{}", second.err);
    let deleted = deletions(&app).await;
    assert!(deleted.len() == 12 && deleted.values().all(|n| *n == 1), "{deleted:?}");

    // What was deleted comes back as drafts, and what does not is said.
    let back = run("", &["undo", &id(&job, "jobId")]).await;
    assert_eq!((back.code, &back.json()["toChange"]), (0, &json!(10)), "{} {}", back.out, back.err);
    let said =
        "come back as drafts with new ids, and without their scheduledTime, mediaUrls, platformSettings";
    assert!(back.err.contains(said), "{}", back.err);
    let made = run("", &["apply", &id(&back, "planId"), "--wait"]).await;
    assert_eq!(
        (made.code, &made.json()["counts"]["succeeded"]),
        (0, &json!(10)),
        "{} {}",
        made.out,
        made.err
    );
    let items = run("", &["items", &id(&made, "jobId")]).await;
    let new = items.out.lines().filter(|line| line.contains(r#""newPostGroupId":""#)).count();
    assert_eq!(new, 10, "{}", items.out);

    // One that is cancelled while it runs.
    app.faults(json!([{ "match": { "method": "PUT" }, "delayMs": 300 }])).await;
    let later = json!({ "status": "scheduled", "scheduledTime": "2031-01-01T09:00:00Z" });
    app.posts(&ann.id, vec![later; 60]).await;
    app.sweep(&app.ws, &ann.id).await;
    let plan = run("", &["plan", "--action", "pause", "--filter", "status=scheduled"]).await;
    let begun = run("", &["apply", &id(&plan, "planId"), "--reason", "x"]).await;
    assert_eq!(begun.code, 0, "{}", begun.err);
    let job = id(&begun, "jobId");
    assert_eq!(run("", &["cancel", &job]).await.code, 0);
    let ended = run("", &["wait", &job]).await;
    assert_eq!((ended.code, &ended.json()["state"]), (4, &json!("cancelled")), "{}", ended.err);
    // An option that is not known, and a job that is not there.
    assert_eq!(run("", &["wait", "nonsense"]).await.code, 1);
}
