//! One search string, the same on the page, at the machine door and in exports; jobs that are folded into a line; an entry
//! with what belongs to it, and its proof.

use crate::{
    support::databases::{Engine, gateway_on_both_engines},
    testapp::{Browser, TestApp},
};
use gatehouse::{
    audit::{note, proof::verify_inclusion, tree::leaf_hash},
    domain::{
        audit::{Action, Actor, ActorType, Draft, Outcome},
        keys::{KeyKind, Scope},
    },
};
use reqwest::Method;
use serde_json::Value;

gateway_on_both_engines!(
    one_search_everywhere,
    a_mistake_is_named_everywhere,
    jobs_are_one_line_each,
    an_entry_comes_with_its_proof,
    an_entry_shows_what_belongs_to_it
);

const TENANT: &str = "507f1f77bcf86cd799439011";

/// `?q=` with this search.
fn q(search: &str) -> String {
    format!("?{}", url::form_urlencoded::Serializer::new(String::new()).append_pair("q", search).finish())
}

async fn append(app: &TestApp, drafts: &[Draft]) -> i64 {
    app.app().db.append(app.clock.now(), &drafts.iter().collect::<Vec<_>>()).await.unwrap()
}

fn post(app: &TestApp, name: &str, outcome: Outcome) -> Draft {
    let mut actor = Actor::new(ActorType::Key, format!("key-{name}"), name);
    actor.context.request_id = Some(format!("req-{name}"));
    Draft::new(&actor, Action::PostDelete, outcome)
        .workspace(&app.ws)
        .tenant(Some(TENANT))
        .target("post", name)
}

/// The numbers of the entries on a page of the list, in its order.
fn seqs(html: &str) -> Vec<i64> {
    let cells = html.split(r#"<td data-label="Time">"#).skip(1);
    cells.map(|c| c.split("/audit/").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()).collect()
}

async fn one_search_everywhere(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let first = append(
        &app,
        &[
            post(&app, "ann", Outcome::Intent).reason("spring clean"),
            post(&app, "ann", Outcome::Succeeded).was("label", "holiday").set("label", "coffee"),
            post(&app, "bob", Outcome::Denied).reason("not in spring"),
            Draft::done(&Actor::system("test"), Action::PostDelete)
                .workspace("another")
                .reason("spring elsewhere"),
        ],
    )
    .await;
    let token = app.key(&app.ws, KeyKind::Audit, None, &[Scope::AuditRead]).await;
    let mut browser = Browser::login(&app).await;
    for indexed in [false, true] {
        if indexed {
            while app.app().db.index_audit(1_000).await.unwrap() > 0 {}
        }
        for (search, expected) in [
            ("spring action:post", vec![0, 2]),
            ("spring -outcome:denied", vec![0]),
            ("actor:ann", vec![0, 1]),
            ("key:key-bob request:req-*", vec![2]),
            (r#""clean spring""#, vec![0]),
            ("target:ann target:bob", vec![0, 1, 2]),
            ("coff* holiday", vec![1]),
            ("spring workspace:another", vec![]),
            ("spring created:>=2999-01-01", vec![]),
            ("tenant:507f1f77bcf86cd799439011", vec![0, 1, 2]),
        ] {
            let expected: Vec<i64> = expected.into_iter().map(|n| first + n).collect();
            let page = browser.get(&format!("/w/{}/audit{}", app.ws, q(search))).await;
            let mut shown = seqs(&page.text);
            shown.reverse();
            assert_eq!((page.status, shown), (200, expected.clone()), "{search}");
            let list =
                app.api(Method::GET, &format!("/manage/v1/audit{}", q(search)), &token, None).await.json();
            let listed =
                list["entries"].as_array().unwrap().iter().map(|e| e["entry"]["seq"].as_i64().unwrap());
            assert_eq!(listed.collect::<Vec<_>>(), expected, "{search}");
            let file =
                app.api(Method::GET, &format!("/manage/v1/audit.ndjson{}", q(search)), &token, None).await;
            let lines = file
                .text
                .lines()
                .map(|l| serde_json::from_str::<Value>(l).unwrap()["entry"]["seq"].as_i64().unwrap());
            assert_eq!(lines.collect::<Vec<_>>(), expected, "{search}");
        }
        // Parts of a search as parameters of their own become terms, and those that are chosen replace the old.
        let page = browser
            .get(&format!("/w/{}/audit{}&outcome=succeeded&action=post.", app.ws, q("outcome:denied ann")))
            .await;
        assert_eq!(seqs(&page.text), [first + 1]);
        assert!(
            page.text.contains(r#"value="ann outcome:succeeded action:post""#)
                || page.text.contains(r#"value="ann action:post outcome:succeeded""#),
            "{}",
            page.text
        );
    }
    // The whole log has the other workspace's too, for whoever may see it.
    let all = browser.get(&format!("/audit{}", q("spring workspace:another"))).await;
    assert_eq!(seqs(&all.text), [first + 3]);
}

async fn a_mistake_is_named_everywhere(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let token = app.key(&app.ws, KeyKind::Audit, None, &[Scope::AuditRead]).await;
    let mut browser = Browser::login(&app).await;
    for (search, told) in [
        ("ok colour:red", "colour:"),
        ("created:yesterday", "yesterday"),
        ("outcome:maybe", "outcome:maybe"),
        ("\"open", "does not end"),
    ] {
        let page = browser.get(&format!("/w/{}/audit{}", app.ws, q(search))).await;
        assert!(page.status == 422 && page.text.contains(told), "{search}: {}", page.text);
        for path in ["/manage/v1/audit", "/manage/v1/audit.csv"] {
            let refused = app.api(Method::GET, &format!("{path}{}", q(search)), &token, None).await;
            assert_eq!(
                (refused.status, refused.json()["code"].as_str().unwrap()),
                (400, "invalid_filter"),
                "{search}"
            );
            assert!(refused.json()["error"].as_str().unwrap().contains(told), "{search}: {}", refused.text);
        }
    }
    let page = browser.get(&format!("/w/{}/audit?fold=yes", app.ws)).await;
    assert_eq!(page.status, 422);
}

async fn jobs_are_one_line_each(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let item = |job: &str, n: usize| {
        let outcome = [Outcome::Intent, Outcome::Succeeded, Outcome::Intent, Outcome::Refused][n % 4];
        let mut draft = post(&app, &format!("{job}-{n}"), outcome).set("word", ["odd", "even"][n % 2]);
        draft.job_id = Some(job.into());
        draft
    };
    let about = |job: &str, action: Action| {
        let mut draft = Draft::done(&Actor::system("bulk"), action).workspace(&app.ws).target("job", job);
        draft.job_id = Some(job.into());
        draft
    };
    // Two jobs at the same time, among other entries, over several pages.
    let mut drafts = vec![about("one", Action::JobCreate), about("two", Action::JobCreate)];
    for n in 0..120 {
        drafts.push(item("one", n));
        if n % 3 == 0 {
            drafts.push(item("two", n / 3));
        }
        if n % 2 == 0 {
            drafts.push(post(&app, &format!("single-{n}"), Outcome::Succeeded));
        }
    }
    drafts.push(about("one", Action::JobEnd));
    let first = append(&app, &drafts).await;
    let mut expected: Vec<i64> = Vec::new();
    for job in ["one", "two"] {
        let items =
            drafts.iter().rposition(|d| d.job_id.as_deref() == Some(job) && d.action == Action::PostDelete);
        expected.push(first + items.unwrap() as i64);
    }
    let lines =
        drafts.iter().enumerate().filter(|(_, d)| d.job_id.is_none() || d.action != Action::PostDelete);
    expected.extend(lines.map(|(n, _)| first + n as i64));
    expected.sort_by_key(|seq| -seq);
    let mut browser = Browser::login(&app).await;
    let search = "action:post action:job";
    for indexed in [false, true] {
        if indexed {
            while app.app().db.index_audit(1_000).await.unwrap() > 0 {}
        }
        // All pages, older and older, and then back again.
        let mut path = format!("/w/{}/audit{}", app.ws, q(search));
        let (mut down, mut up, mut pages) = (Vec::new(), Vec::new(), 0);
        let link = |html: &str, rel: &str| {
            let at = html.find(&format!(r#"rel="{rel}""#))?;
            let tag = &html[html[..at].rfind('<').unwrap()..];
            Some(tag.split("href=\"").nth(1)?.split('"').next()?.replace("&amp;", "&").replace("&#38;", "&"))
        };
        let last = loop {
            let page = browser.get(&path).await;
            assert_eq!(page.status, 200, "{path}: {}", page.text);
            down.extend(seqs(&page.text));
            pages += 1;
            match link(&page.text, "next") {
                Some(next) => path = next,
                None => break page,
            }
        };
        let mut page = last;
        loop {
            let mut shown = seqs(&page.text);
            shown.extend(up);
            up = shown;
            match link(&page.text, "prev") {
                Some(newer) => page = browser.get(&newer).await,
                None => break,
            }
        }
        assert!(pages > 1, "{pages}");
        assert_eq!(down, expected);
        assert_eq!(up, expected);
        let page = browser.get(&format!("/w/{}/audit{}", app.ws, q(search))).await.text;
        assert!(
            page.contains("120 entries of a bulk job")
                && page.contains("60 Started, 30 Success, 30 Refused by PostPost"),
            "{page}"
        );
        assert!(page.contains("40 entries of a bulk job"), "{page}");
        // What is folded is what matches.
        let odd = browser.get(&format!("/w/{}/audit{}", app.ws, q("odd outcome:intent"))).await.text;
        assert!(odd.contains("60 entries of a bulk job") && odd.contains("60 Started<"), "{odd}");
        // Unfolded by its link, or all of them.
        let unfolded = browser.get(&format!("/w/{}/audit{}", app.ws, q("odd job:two"))).await.text;
        assert_eq!(seqs(&unfolded).len(), 20);
        let all = browser.get(&format!("/w/{}/audit{}&fold=no", app.ws, q(search))).await.text;
        assert!(!all.contains("of a bulk job") && all.contains("Fold the entries of bulk jobs"), "{all}");
    }
}

async fn an_entry_comes_with_its_proof(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let drafts: Vec<Draft> = (0..300).map(|n| post(&app, &n.to_string(), Outcome::Succeeded)).collect();
    let first = append(&app, &drafts).await;
    let foreign =
        append(&app, &[Draft::done(&Actor::system("test"), Action::PostDelete).workspace("another")]).await;
    let log = app.app().audit_log.clone();
    log.checkpoint_now(foreign + 1).await.unwrap();
    let late = append(&app, &[post(&app, "late", Outcome::Succeeded)]).await;
    let token = app.key(&app.ws, KeyKind::Audit, None, &[Scope::AuditRead]).await;
    let at = async |seq: i64| app.api(Method::GET, &format!("/manage/v1/audit/{seq}"), &token, None).await;
    for seq in [first, first + 7, first + 255, first + 256, first + 299] {
        let found = at(seq).await.json();
        assert_eq!((&found["seq"], &found["line"]["entry"]["seq"]), (&Value::from(seq), &Value::from(seq)));
        let stored = app.app().db.audit_entry(None, seq).await.unwrap().unwrap();
        let checkpoint = log.public().checkpoint(found["checkpoint"].as_str().unwrap()).unwrap();
        let proof: Vec<_> = found["proof"]
            .as_array()
            .unwrap()
            .iter()
            .map(|h| note::hash(h.as_str().unwrap()).unwrap())
            .collect();
        let leaf = leaf_hash(&stored.bytes);
        assert_eq!(found["line"]["leaf"], hex::encode(leaf));
        assert!(verify_inclusion(seq as u64, checkpoint.size, &leaf, &proof, &checkpoint.root), "{seq}");
    }
    let unsigned = at(late).await.json();
    let size = log.status().signed.unwrap().checkpoint.size as i64;
    assert_eq!(unsigned["checkpoint"].is_null(), size <= late, "{unsigned}");
    for none in [foreign, 999_999, -1] {
        assert_eq!(at(none).await.status, 404, "{none}");
    }
    let other = app.key(&app.ws, KeyKind::Workspace, None, &[Scope::PostsRead]).await;
    let refused = app.api(Method::GET, &format!("/manage/v1/audit/{first}"), &other, None).await;
    assert_eq!((refused.status, refused.json()["code"].as_str().unwrap()), (403, "scope_missing"));
    // The page's file is the same.
    let mut browser = Browser::login(&app).await;
    let page = browser.get(&format!("/w/{}/audit/{first}", app.ws)).await;
    let url = format!("/w/{}/audit/{first}/proof.json", app.ws);
    assert!(
        page.text.contains(&url) && page.text.contains("This entry is in the signed log"),
        "{}",
        page.text
    );
    let file = browser.get(&url).await;
    assert!(file.header("content-disposition").contains(&format!("gatehouse-audit-entry-{first}.json")));
    let file: Value = serde_json::from_str(&file.text).unwrap();
    assert_eq!(file["line"], at(first).await.json()["line"]);
}

async fn an_entry_shows_what_belongs_to_it(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let of = |outcome, operation: &str| {
        let mut draft = post(&app, "ann", outcome).was("label", "old <b>").set("label", "new");
        (draft.op_id, draft.job_id) = (Some(operation.into()), Some("job-1".into()));
        draft.actor.context.session_id = Some("session-1".into());
        draft
    };
    let operation = gatehouse::domain::ids::new_id();
    let first = append(
        &app,
        &[
            of(Outcome::Intent, &operation),
            of(Outcome::InDoubt, &operation),
            of(Outcome::Applied, &operation),
            of(Outcome::Intent, "other"),
        ],
    )
    .await;
    let mut browser = Browser::login(&app).await;
    let page = browser.get(&format!("/w/{}/audit/{first}", app.ws)).await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert_eq!(seqs(&page.text), [first + 2, first + 1], "the other entries of the change");
    for text in [
        "4 entries of this bulk job",
        "4 entries of this session",
        "4 entries of this request",
        "old &#60;b&#62;",
        "job%3Ajob-1",
    ] {
        assert!(page.text.contains(text), "{text}: {}", page.text);
    }
    let list = browser.get(&format!("/w/{}/audit", app.ws)).await.text;
    assert!(
        list.contains("Verified to entry ") || list.contains("No checkpoint has been signed yet"),
        "{list}"
    );
}
