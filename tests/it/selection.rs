//! What "select all" means (ui.md §2, where the field's bugs are): exactly the filter, exactly the moment, each post once.

use crate::{
    bulk::{confirm, finished, last_id, plan},
    support::{
        databases::{Engine, gateway_on_both_engines},
        jobs::deletions,
    },
    testapp::{Browser, TestApp},
};
use gatehouse::{
    domain::keys::{KeyKind, Scope},
    store::posts::PostFilter,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

gateway_on_both_engines!(
    all_that_match_are_598_of_1772_and_no_other,
    a_post_of_two_jobs_is_the_first_ones,
    nothing_is_planned_where_nothing_matches,
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
