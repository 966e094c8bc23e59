//! What "select all" means (ui.md §2, where the field's bugs are): exactly the filter, exactly the moment, each post once.

use crate::{
    bulk::{confirm, finished, last_id, plan},
    support::{
        databases::{Engine, gateway_on_both_engines},
        jobs::deletions,
    },
    testapp::{Answer, Browser, TestApp, hidden},
};
use gatehouse::{
    domain::keys::{KeyKind, Scope},
    store::{plans::Show, posts::PostFilter},
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

gateway_on_both_engines!(
    all_that_match_are_598_of_1772_and_no_other,
    a_post_of_two_jobs_is_the_first_ones,
    nothing_is_planned_where_nothing_matches,
    what_is_left_out_stays_so_from_page_to_page,
    more_is_left_out_than_can_be,
);

async fn all_that_match_are_598_of_1772_and_no_other(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let (ann, bob) = (app.tenant("ann").await, app.tenant("bob").await);
    let drafts = |word: &str, count: usize| -> Vec<Value> {
        (0..count).map(|n| json!({ "status": "draft", "content": format!("{word} {n}") })).collect()
    };
    let mut matching: BTreeSet<String> =
        app.posts(&ann.id, drafts("Spring", 300)).await.into_iter().collect();
    matching.extend(app.posts(&bob.id, drafts("Spring", 298)).await);
    app.posts(&ann.id, drafts("Autumn", 600)).await;
    app.posts(&bob.id, drafts("Autumn", 574)).await;
    app.sweep(&app.ws, &ann.id).await;
    app.sweep(&app.ws, &bob.id).await;
    let mut browser = Browser::login(&app).await;
    let fields = [("action", "delete"), ("scope", "matching"), ("filter", "status=draft&q=Spring")];
    let page = plan(&mut browser, &app.ws, &fields).await;
    assert!(browser.get(&page).await.text.contains("Delete 598 posts of 2 tenants."));
    // One more that matches, between preview and confirmation (B2).
    let late = app.posts(&ann.id, drafts("Spring late", 1)).await.remove(0);
    app.sweep(&app.ws, &ann.id).await;
    let done = confirm(&mut browser, &page, &[("reason", "over"), ("confirm", "delete 598")]).await;
    assert_eq!(done.status, 303, "{}", done.text);
    let job = last_id(done.header("location"));
    // A debug build on a busy machine needs a while for so many.
    for _ in 0..4 {
        let job = app.app().db.job(&app.ws, &job).await.unwrap().unwrap();
        if job.counts.succeeded > 400 || job.state.is_final() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let counts = finished(&app, &job).await;
    assert_eq!((counts.succeeded, counts.total()), (598, 598), "{counts:?}");
    let deleted = deletions(&app).await;
    assert!(deleted.values().all(|n| *n == 1));
    assert_eq!(deleted.into_keys().collect::<BTreeSet<_>>(), matching);
    let left = app.app().db.count_posts(&app.ws, &PostFilter::default()).await.unwrap();
    assert_eq!(left, 1_174 + 1, "all others, and {late}");
}

async fn a_post_of_two_jobs_is_the_first_ones(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let posts = app.posts(&ann.id, (0..12).map(|_| json!({ "status": "draft" })).collect()).await;
    app.sweep(&app.ws, &ann.id).await;
    app.faults(json!([{ "match": { "method": "DELETE" }, "delayMs": 200 }])).await;
    let (mut first, mut second) = (Browser::login(&app).await, Browser::login(&app).await);
    let ticked: Vec<String> = posts.iter().map(|id| format!("{}:{id}", ann.id)).collect();
    let fields = |range: std::ops::Range<usize>| {
        let mut fields = vec![("action", "delete"), ("scope", "ticked")];
        fields.extend(ticked[range].iter().map(|post| ("post", post.as_str())));
        fields
    };
    // Both look before either confirms.
    let of_first = plan(&mut first, &app.ws, &fields(0..8)).await;
    let of_second = plan(&mut second, &app.ws, &fields(4..12)).await;
    let start = async |browser: &mut Browser, page: &str| {
        let done = confirm(browser, page, &[("reason", "over")]).await;
        assert_eq!(done.status, 303, "{}", done.text);
        last_id(done.header("location"))
    };
    let jobs = [start(&mut first, &of_first).await, start(&mut second, &of_second).await];
    let counts = [finished(&app, &jobs[0]).await, finished(&app, &jobs[1]).await];
    assert_eq!((counts[0].succeeded, counts[0].skipped), (8, 0), "{counts:?}");
    assert_eq!((counts[1].succeeded, counts[1].skipped), (4, 4), "{counts:?}");
    let codes = app.app().db.job_codes(&jobs[1]).await.unwrap();
    assert_eq!(codes, [("skipped".to_owned(), Some("locked".to_owned()), 4)]);
    let deleted = deletions(&app).await;
    assert!(deleted.len() == 12 && deleted.values().all(|n| *n == 1), "{deleted:?}");
}

async fn nothing_is_planned_where_nothing_matches(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    app.tenant("ann").await;
    let mut browser = Browser::login(&app).await;
    let (list, plans) = (format!("/w/{}/posts", app.ws), format!("/w/{}/plans", app.ws));
    let fields = [("action", "delete"), ("scope", "matching"), ("filter", "status=failed&per=25")];
    let answer = browser.submit(&list, &plans, &fields).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
    for said in
        ["Nothing to do", "No post matches these filters", &format!("{list}?status=failed&#38;per=25")]
    {
        assert!(answer.text.contains(said), "{said}: {}", answer.text);
    }
    let none = browser.submit(&list, &plans, &[("action", "delete"), ("scope", "ticked")]).await;
    assert!(none.status == 422 && none.text.contains("Select at least one post"), "{}", none.text);
    let key = app.key(&app.ws, KeyKind::Workspace, None, &[Scope::PostsRead, Scope::PostsDelete]).await;
    let body = json!({ "action": "delete", "filter": { "status": ["failed"] } });
    let answer = app.api(Method::POST, "/manage/v1/bulk/plans", &key, Some(body)).await;
    assert_eq!((answer.status, &answer.json()["code"]), (422, &json!("nothing_to_do")), "{}", answer.text);
}

/// The fields of the list's form as a browser without scripts sends them, with these boxes unticked.
fn fields_of(page: &str, unticked: &[&str]) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = ["filter", "scope", "selection", "shown"]
        .map(|name| (name.to_owned(), hidden(page, name).replace("&#38;", "&")))
        .into();
    for row in page.split("<input type=\"checkbox\" name=\"post\" value=\"").skip(1) {
        let (value, rest) = row.split_once('"').unwrap();
        let ticked = rest.split('>').next().unwrap().contains(" checked");
        if ticked && !unticked.iter().any(|post| value.ends_with(post)) {
            fields.push(("post".into(), value.to_owned()));
        }
    }
    fields
}

/// Sends the list's form as it is shown at `path`.
async fn send(
    browser: &mut Browser,
    path: &str,
    action: &str,
    unticked: &[&str],
    more: (&str, &str),
) -> Answer {
    let page = browser.get(path).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let mut fields = fields_of(&page.text, unticked);
    fields.push((more.0.to_owned(), more.1.to_owned()));
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    browser.submit(path, action, &fields).await
}

/// Where the pager's button leads.
fn place(page: &str, name: &str) -> String {
    let mark = format!("name=\"{name}\" value=\"");
    let at = page.split(&mark).nth(1).unwrap_or_else(|| panic!("no {name} in {page}"));
    at.split('"').next().unwrap().to_owned()
}

async fn what_is_left_out_stays_so_from_page_to_page(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let post = |n: usize| json!({ "status": "draft", "content": format!("Spring {n}") });
    let posts = app.posts(&ann.id, (0..60).map(post).collect()).await;
    app.posts(&ann.id, vec![json!({ "status": "draft", "content": "Autumn" })]).await;
    app.sweep(&app.ws, &ann.id).await;
    let mut browser = Browser::login(&app).await;
    let list = format!("/w/{}/posts", app.ws);
    let (turn, plans) = (format!("{list}/selection"), format!("/w/{}/plans", app.ws));
    let begun = browser.get(&format!("{list}?q=Spring&per=25&select=matching")).await;
    let first = begun.header("location").to_owned();
    let page = browser.get(&first).await.text;
    assert!(page.contains("All 60 matching<"), "{page}");
    let shown: Vec<&str> = posts.iter().map(String::as_str).filter(|id| page.contains(*id)).collect();
    assert_eq!(shown.len(), 25);
    // Two on the first page, one on the second; then back, and one of the two in again.
    let next = place(&page, "after");
    let second = send(&mut browser, &first, &turn, &shown[..2], ("after", &next)).await;
    let second = second.header("location").to_owned();
    let page = browser.get(&second).await.text;
    assert!(page.contains("All 60 matching but 2<"), "{page}");
    let third: Vec<&str> = posts.iter().map(String::as_str).filter(|id| page.contains(*id)).collect();
    assert!(third.len() == 25 && third.iter().all(|id| !shown.contains(id)));
    let back = place(&page, "before");
    let again = send(&mut browser, &second, &turn, &third[..1], ("before", &back)).await;
    let again = again.header("location").to_owned();
    assert!(again.len() < 300, "the address does not grow: {again}");
    let page = browser.get(&again).await.text;
    assert!(page.contains("All 60 matching but 3<") && page.matches(" checked>").count() == 23, "{page}");
    let mut fields = fields_of(&page, &[]);
    fields.push(("post".into(), format!("{}:{}", ann.id, shown[0])));
    fields.push(("action".into(), "delete".into()));
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let plan = browser.submit(&again, &plans, &fields).await.header("location").to_owned();
    let page = browser.get(&plan).await.text;
    for said in ["Delete 58 posts of 1 tenant.", "all posts matching text “Spring”; 2 left out"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    let items = app.app().db.plan_items(&last_id(&plan), Show::All, 0, 100).await.unwrap();
    let planned: BTreeSet<&str> = items.iter().map(|item| item.post_id.as_str()).collect();
    let left = [shown[1], third[0]];
    let expected: BTreeSet<&str> = posts.iter().map(String::as_str).filter(|id| !left.contains(id)).collect();
    assert_eq!(planned, expected);
    // Other filters have a selection of their own, and a stranger's id is none.
    for query in
        [format!("q=Autumn&{}", first.split('&').next_back().unwrap()), "q=Spring&select=nonsense".into()]
    {
        let answer = browser.get(&format!("{list}?{query}")).await;
        assert!(
            answer.status == 303 && answer.header("location").ends_with("done=selection_gone"),
            "{query}"
        );
    }
    // What is no longer known must not be taken for nothing.
    app.app().db.sweep_selections(i64::MAX).await.unwrap();
    let late = browser.submit(&list, &plans, &fields).await;
    assert!(late.status == 422 && late.text.contains("no longer kept"), "{}", late.text);
}

async fn more_is_left_out_than_can_be(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let drafts = (0..300).map(|_| json!({ "status": "draft" })).collect();
    app.posts(&ann.id, drafts).await;
    app.sweep(&app.ws, &ann.id).await;
    let mut browser = Browser::login(&app).await;
    let list = format!("/w/{}/posts", app.ws);
    let begun = browser.get(&format!("{list}?per=100&select=matching")).await;
    let mut at = begun.header("location").to_owned();
    for n in 1..=3 {
        let page = browser.get(&at).await.text;
        let next = if n < 3 { place(&page, "after") } else { String::new() };
        let boxes = hidden(&page, "shown");
        let all: Vec<&str> = boxes.split(' ').collect();
        let turned = send(&mut browser, &at, &format!("{list}/selection"), &all, ("after", &next)).await;
        if n == 3 {
            assert_eq!(turned.status, 422, "{}", turned.text);
            assert!(turned.text.contains("At most 200 posts can be left out"), "{}", turned.text);
            assert!(turned.text.contains("Back to the posts"), "{}", turned.text);
            continue;
        }
        at = turned.header("location").to_owned();
        assert!(browser.get(&at).await.text.contains(&format!("All 300 matching but {n}00<")));
    }
    // What was left out before still is; the plan has the rest.
    let plan = send(&mut browser, &at, &format!("/w/{}/plans", app.ws), &[], ("action", "pause")).await;
    assert!(browser.follow(plan).await.text.contains("200 left out"));
}
