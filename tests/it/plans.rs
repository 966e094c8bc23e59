//! Plans as an operator makes them: what is demanded, what is shown, which times posts get. The seam is HTTP.

use crate::{
    bulk::{confirm, finished, last_id, plan},
    support::databases::{Engine, gateway_on_both_engines},
    testapp::{Browser, PASSWORD, Tenant, TestApp},
};
use gatehouse::{
    clock::{DAY, HOUR, MINUTE},
    domain::{
        ids,
        jobs::Counts,
        plans::{BulkAction, Move, PlanOptions, SkipReason},
        times::{from_iso, to_iso},
    },
    jobs::planning::{self, Listed, Selection},
    store::plans::Show,
};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;

mod size;
use size::a_large_plan_is_made_and_shown_quickly;

gateway_on_both_engines!(
    a_small_pause_goes_straight_to_its_job,
    the_largest_deletes_ask_for_the_password_and_wait,
    past_due_posts_go_out_only_if_that_was_chosen,
    a_pause_is_made_up_for_by_its_length,
    a_time_that_passes_before_its_turn_is_not_sent,
    moves_follow_the_wall_clock,
    a_plan_is_previewed_again,
    every_count_leads_to_its_posts,
    what_was_shown_is_what_is_confirmed,
    a_list_names_posts_and_every_bad_line_is_told,
    a_large_plan_is_made_and_shown_quickly,
);

fn scheduled(at: i64) -> Value {
    json!({ "status": "scheduled", "scheduledTime": to_iso(at) })
}

/// Fields of the posts list with these posts ticked.
fn ticked(tenant: &Tenant, posts: &[String]) -> Vec<(&'static str, String)> {
    let mut fields = vec![("scope", "ticked".to_owned())];
    fields.extend(posts.iter().map(|id| ("post", format!("{}:{id}", tenant.id))));
    fields
}

async fn plan_of(browser: &mut Browser, app: &TestApp, action: &str, fields: &[(&str, String)]) -> String {
    let mut all = vec![("action", action)];
    all.extend(fields.iter().map(|(name, value)| (*name, value.as_str())));
    plan(browser, &app.ws, &all).await
}

/// Status and time of a post at PostPost.
async fn at_postpost(app: &TestApp, post: &str) -> (String, Option<i64>) {
    let found = app.control(Method::GET, &format!("posts/{post}"), Value::Null).await;
    (found["status"].as_str().unwrap().to_owned(), found["scheduledTime"].as_str().and_then(from_iso))
}

/// Posts that were scheduled by a call for a time that had come already.
async fn published_at_once(app: &TestApp) -> Vec<String> {
    let time = |value: &Value| value.as_str().and_then(from_iso).unwrap();
    let at_once = |e: &&Value| {
        e["action"] == "post.update"
            && e["origin"] == "api"
            && e["after"]["status"] == "scheduled"
            && time(&e["after"]["scheduledTime"]) <= time(&e["at"])
    };
    let journal = app.journal(0).await;
    journal.iter().filter(at_once).map(|e| e["postGroupId"].as_str().unwrap().to_owned()).collect()
}

async fn a_small_pause_goes_straight_to_its_job(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let (ann, bob) = (app.tenant("ann").await, app.tenant("bob").await);
    let tomorrow = app.clock.now() + DAY;
    let of_ann = app.posts(&ann.id, (0..14).map(|_| scheduled(tomorrow)).collect()).await;
    let of_bob = app.posts(&bob.id, vec![scheduled(tomorrow)]).await;
    app.sweep(&app.ws, &ann.id).await;
    app.sweep(&app.ws, &bob.id).await;
    let mut browser = Browser::login(&app).await;

    let few = plan_of(&mut browser, &app, "pause", &ticked(&ann, &of_ann[..10])).await;
    assert!(few.contains("/jobs/"), "{few}");
    assert_eq!(finished(&app, &last_id(&few)).await, Counts { succeeded: 10, ..Counts::default() });
    // Nothing left to do: there is something to read before anything else.
    let nothing = plan_of(&mut browser, &app, "pause", &ticked(&ann, &of_ann[..10])).await;
    assert!(nothing.contains("/plans/"), "{nothing}");
    let mut two_tenants = ticked(&ann, &of_ann[10..12]);
    two_tenants.push(("post", format!("{}:{}", bob.id, of_bob[0])));
    let more = plan_of(&mut browser, &app, "pause", &two_tenants).await;
    assert!(more.contains("/plans/"), "{more}");
    let matching = [("scope", "matching".to_owned()), ("filter", format!("tenant={}", bob.id))];
    let all = plan_of(&mut browser, &app, "pause", &matching).await;
    let refused = confirm(&mut browser, &all, &[("reason", " ")]).await;
    assert_eq!(refused.status, 422, "all that match: a reason is required");
    let done = confirm(&mut browser, &all, &[("reason", "on hold")]).await;
    assert_eq!(finished(&app, &last_id(done.header("location"))).await.succeeded, 1);
}

async fn the_largest_deletes_ask_for_the_password_and_wait(engine: Engine) {
    let app =
        TestApp::spawn_with(engine, |config| config.tuning.start_delay = Duration::from_secs(600)).await;
    let ann = app.tenant("ann").await;
    let posts = app.posts(&ann.id, vec![json!({ "status": "draft" }), json!({ "status": "draft" })]).await;
    app.sweep(&app.ws, &ann.id).await;
    let mut browser = Browser::login(&app).await;
    let matching = [("scope", "matching".to_owned()), ("filter", String::new())];
    let plan = plan_of(&mut browser, &app, "delete", &matching).await;
    let page = browser.get(&plan).await;
    assert!(page.text.contains("The job starts 10 min 0 s after you confirm"), "{}", page.text);
    assert!(!page.text.contains("name=\"password\""), "the password was given a moment ago");

    // Long after the log-in it is asked for again.
    let session = app.app().db.sessions(&app.owner.id).await.unwrap().remove(0);
    app.app().db.prove_session(&app.owner, &session.id, app.clock.now() - 16 * MINUTE).await.unwrap();
    assert!(browser.get(&plan).await.text.contains("name=\"password\""));
    let fields = [("reason", "spring"), ("confirm", "delete 2")];
    let without = confirm(&mut browser, &plan, &fields).await;
    assert_eq!(without.status, 422);
    assert!(without.text.contains("Enter your password"), "{}", without.text);
    let wrong = confirm(&mut browser, &plan, &[fields[0], fields[1], ("password", "four wrong words")]).await;
    assert_eq!(wrong.status, 422);
    assert!(!wrong.text.contains("four wrong words"), "a password is never printed back");
    let entries = app.entries().await;
    assert_eq!(
        (entries[0]["action"].as_str(), entries[0]["outcome"].as_str()),
        (Some("admin.prove"), Some("denied"))
    );
    // A wrong count costs no attempt, and a right password does not excuse it.
    let count = [fields[0], ("confirm", "delete 3"), ("password", PASSWORD)];
    assert_eq!(confirm(&mut browser, &plan, &count).await.status, 422);
    assert_eq!(app.entries().await.len(), entries.len());

    let before = app.clock.now();
    let right = confirm(&mut browser, &plan, &[fields[0], fields[1], ("password", PASSWORD)]).await;
    assert_eq!(right.status, 303, "{}", right.text);
    let job = app.app().db.job(&app.ws, &last_id(right.header("location"))).await.unwrap().unwrap();
    assert!(job.starts_at.unwrap() >= before + 10 * MINUTE, "{:?}", job.starts_at);
    let actions: Vec<String> =
        app.entries().await[..2].iter().map(|e| e["action"].as_str().unwrap().to_owned()).collect();
    assert_eq!(actions, ["job.create", "admin.prove"]);
    // Proved now: the next one asks for no password; a few ticked posts never do.
    let few = plan_of(&mut browser, &app, "delete", &ticked(&ann, &posts[..1])).await;
    assert!(!browser.get(&few).await.text.contains("name=\"password\""));
}

async fn past_due_posts_go_out_only_if_that_was_chosen(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let now = app.clock.now();
    let posts = app.posts(&ann.id, (1..=4).map(|n| scheduled(now + n * DAY)).collect()).await;
    app.sweep(&app.ws, &ann.id).await;
    let mut browser = Browser::login(&app).await;
    let paused = plan_of(&mut browser, &app, "pause", &ticked(&ann, &posts)).await;
    assert_eq!(finished(&app, &last_id(&paused)).await.succeeded, 4);
    // Meanwhile the times of three of them have passed.
    for (post, ago) in posts[..3].iter().zip([3, 2, 1]) {
        let time = json!({ "scheduledTime": to_iso(now - ago * HOUR) });
        app.control(Method::PATCH, &format!("posts/{post}"), time).await;
    }
    app.sweep(&app.ws, &ann.id).await;

    let resume = plan_of(&mut browser, &app, "resume", &ticked(&ann, &posts)).await;
    let page = browser.get(&resume).await;
    assert!(page.text.contains("Resume 1 post of 1 tenant."), "{}", page.text);
    assert!(page.text.contains("3 posts would have a time in the past"), "{}", page.text);
    let left = confirm(&mut browser, &resume, &[]).await;
    assert_eq!(finished(&app, &last_id(left.header("location"))).await.succeeded, 1);
    assert_eq!(at_postpost(&app, &posts[3]).await, ("scheduled".into(), Some(now + 4 * DAY)));

    // Shifting by the length of the pause does not help posts that were late by more.
    let late = ticked(&ann, &posts[..3]);
    app.sweep(&app.ws, &ann.id).await;
    let resume = plan_of(&mut browser, &app, "resume", &late).await;
    let shifted = browser.submit(&resume, &format!("{resume}/options"), &[("past_due", "shift")]).await;
    let page = browser.follow(shifted).await;
    assert!(page.text.contains("Resume no posts."), "{}", page.text);

    // Spread, from a time in the zone that was chosen: each new time stands in the plan.
    let spread = |first: &'static str| {
        [("past_due", "spread"), ("first", first), ("every", "45"), ("zone", "Asia/Kathmandu")]
    };
    let refused = browser.submit(&resume, &format!("{resume}/options"), &spread("2020-01-01T00:00")).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("Choose a time more than 2 minutes ahead"), "{}", refused.text);
    let spread = browser.submit(&resume, &format!("{resume}/options"), &spread("2050-01-01T05:45")).await;
    let page = browser.follow(spread).await;
    let first = from_iso("2050-01-01T00:00:00Z").unwrap();
    for text in ["1 Jan 2050, <span class=\"clock\">00:45 UTC", "Sat 1 Jan 2050, 06:30 +0545"] {
        assert!(page.text.contains(text), "{text}: {}", page.text);
    }
    let done = confirm(&mut browser, &resume, &[]).await;
    let job = last_id(done.header("location"));
    assert_eq!(finished(&app, &job).await.succeeded, 3);
    for (post, place) in posts[..3].iter().zip(0..) {
        assert_eq!(at_postpost(&app, post).await, ("scheduled".into(), Some(first + place * 45 * MINUTE)));
    }
    assert_eq!(published_at_once(&app).await, [""; 0], "nothing was published unasked");

    // Only the choice to publish publishes, and only what is late.
    let one = &posts[..1];
    app.sweep(&app.ws, &ann.id).await;
    let paused = plan_of(&mut browser, &app, "pause", &ticked(&ann, one)).await;
    finished(&app, &last_id(&paused)).await;
    let time = json!({ "scheduledTime": to_iso(now - HOUR) });
    app.control(Method::PATCH, &format!("posts/{}", one[0]), time).await;
    app.sweep(&app.ws, &ann.id).await;
    let resume = plan_of(&mut browser, &app, "resume", &ticked(&ann, one)).await;
    let chosen = browser.submit(&resume, &format!("{resume}/options"), &[("past_due", "publish_now")]).await;
    let page = browser.follow(chosen).await;
    assert!(page.text.contains("Publishes at once"), "{}", page.text);
    let done = confirm(&mut browser, &resume, &[]).await;
    assert_eq!(finished(&app, &last_id(done.header("location"))).await.succeeded, 1);
    assert_eq!(published_at_once(&app).await, one);
}

async fn a_pause_is_made_up_for_by_its_length(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let now = app.clock.now();
    let times = [now + 20 * MINUTE, now + 50 * MINUTE, now + 3 * DAY];
    let posts = app.posts(&ann.id, times.into_iter().map(scheduled).collect()).await;
    app.sweep(&app.ws, &ann.id).await;
    let mut browser = Browser::login(&app).await;
    let paused = plan_of(&mut browser, &app, "pause", &ticked(&ann, &posts)).await;
    finished(&app, &last_id(&paused)).await;
    app.clock.advance(29 * MINUTE);
    let resume = plan_of(&mut browser, &app, "resume", &ticked(&ann, &posts)).await;
    let chosen = browser.submit(&resume, &format!("{resume}/options"), &[("past_due", "shift")]).await;
    assert!(browser.follow(chosen).await.text.contains("Resume 3 posts"));
    let stored = app.app().db.plan(&app.ws, &last_id(&resume)).await.unwrap().unwrap();
    let items = app.app().db.plan_items(&stored.id, Show::All, 0, 10).await.unwrap();
    let by: Vec<i64> = items.iter().map(|i| i.target_at.unwrap() - i.scheduled_at.unwrap()).collect();
    assert_eq!(by, [30 * MINUTE; 3], "29 minutes and some seconds, rounded up; distances stay");
    let done = confirm(&mut browser, &resume, &[]).await;
    assert_eq!(finished(&app, &last_id(done.header("location"))).await.succeeded, 3);
    for (post, at) in posts.iter().zip(times) {
        assert_eq!(at_postpost(&app, post).await, ("scheduled".into(), Some(at + 30 * MINUTE)));
    }
}

/// The time was right when the plan was made, and has nearly come when the job reaches the post.
async fn a_time_that_passes_before_its_turn_is_not_sent(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let now = app.clock.now();
    let posts = app.posts(&ann.id, vec![scheduled(now + HOUR), scheduled(now + DAY)]).await;
    app.sweep(&app.ws, &ann.id).await;
    let mut browser = Browser::login(&app).await;
    let paused = plan_of(&mut browser, &app, "pause", &ticked(&ann, &posts)).await;
    finished(&app, &last_id(&paused)).await;
    let resume = plan_of(&mut browser, &app, "resume", &ticked(&ann, &posts)).await;
    assert!(browser.get(&resume).await.text.contains("Resume 2 posts"));
    app.clock.advance(HOUR - MINUTE);
    let plan = app.app().db.plan(&app.ws, &last_id(&resume)).await.unwrap().unwrap();
    let job = ids::new_id();
    let confirmed = app.app().db.confirm_plan(&app.owner, &plan, &job, "", None, now).await.unwrap();
    assert_eq!(confirmed, Some(job.clone()));
    app.app().jobs.ring();
    assert_eq!(finished(&app, &job).await, Counts { succeeded: 1, skipped: 1, ..Counts::default() });
    let items = app.app().db.job_items(&job, None, 0, 10).await.unwrap();
    assert_eq!(items[0].code.as_deref(), Some(SkipReason::PastTime.as_str()));
    assert_eq!(at_postpost(&app, &posts[0]).await.0, "draft");
}

async fn moves_follow_the_wall_clock(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    // 09:00 in Berlin on the Saturday before the night of 31 March 2030, in which an hour is missing.
    let saturday = from_iso("2030-03-30T08:00:00Z").unwrap();
    let posts = app.posts(&ann.id, vec![scheduled(saturday), scheduled(saturday + HOUR)]).await;
    app.sweep(&app.ws, &ann.id).await;
    let mut browser = Browser::login(&app).await;
    let plan = plan_of(&mut browser, &app, "reschedule", &ticked(&ann, &posts)).await;
    let options = format!("{plan}/options");
    let mut choose = async |fields: &[(&str, &str)]| {
        let mut all = vec![("zone", "europe/berlin")];
        all.extend_from_slice(fields);
        let answer = browser.submit(&plan, &options, &all).await;
        if answer.status == 422 {
            return Err(answer.text);
        }
        assert_eq!(answer.status, 303);
        let stored = app.app().db.plan(&app.ws, &last_id(&plan)).await.unwrap().unwrap();
        assert_eq!(stored.options.zone, "Europe/Berlin");
        let items = app.app().db.plan_items(&stored.id, Show::All, 0, 10).await.unwrap();
        Ok(items.into_iter().map(|i| i.target_at.map(to_iso).unwrap_or_default()).collect::<Vec<_>>())
    };
    let shift = |amount, unit| [("mode", "shift"), ("amount", amount), ("unit", unit), ("sign", "later")];
    assert_eq!(
        choose(&shift("1", "days")).await.unwrap(),
        ["2030-03-31T07:00:00.000Z", "2030-03-31T08:00:00.000Z"]
    );
    assert_eq!(
        choose(&shift("24", "hours")).await.unwrap(),
        ["2030-03-31T08:00:00.000Z", "2030-03-31T09:00:00.000Z"]
    );
    assert_eq!(choose(&shift("1", "weeks")).await.unwrap()[0], "2030-04-06T07:00:00.000Z");
    let weekday = choose(&[("mode", "weekday"), ("day", "sunday"), ("time", "10:15")]).await.unwrap();
    assert_eq!(weekday, ["2030-03-31T08:15:00.000Z"; 2]);
    let spread = choose(&[("mode", "spread"), ("first", "2030-03-31T01:50"), ("every", "20")]).await.unwrap();
    assert_eq!(spread, ["2030-03-31T00:50:00.000Z", "2030-03-31T01:10:00.000Z"]);
    // A time that does not exist, and one that comes twice.
    let missing = choose(&[("mode", "set"), ("at", "2030-03-31T02:30")]).await.unwrap_err();
    assert!(missing.contains("02:30 on 31 March 2030 does not exist in Europe/Berlin"), "{missing}");
    assert!(missing.contains("href=\"#f-at\""), "{missing}");
    let twice = |fold| [("mode", "set"), ("at", "2030-10-27T02:30"), ("fold", fold)];
    let asked = choose(&twice("")).await.unwrap_err();
    assert!(asked.contains("02:30 on 27 October 2030 comes twice in Europe/Berlin"), "{asked}");
    assert_eq!(choose(&twice("later")).await.unwrap(), ["2030-10-27T01:30:00.000Z"; 2]);
    let set = choose(&twice("earlier")).await.unwrap();
    assert_eq!(set, ["2030-10-27T00:30:00.000Z"; 2]);

    let nowhere = [("zone", "Mars/Olympus"), ("mode", "set"), ("at", "2030-01-01T00:00")];
    let refused = browser.submit(&plan, &options, &nowhere).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("href=\"#f-zone\""), "{}", refused.text);
    let confirming = format!("action=\"{plan}/confirm\"");
    assert!(browser.get(&plan).await.text.contains(&confirming));
    assert!(!refused.text.contains(&confirming), "nothing is confirmed beside what was refused");

    let done = confirm(&mut browser, &plan, &[]).await;
    assert_eq!(finished(&app, &last_id(done.header("location"))).await.succeeded, 2);
    for post in &posts {
        let moved = from_iso("2030-10-27T00:30:00Z");
        assert_eq!(at_postpost(&app, post).await, ("scheduled".into(), moved));
    }
}

async fn a_plan_is_previewed_again(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let drafts = |n| (0..n).map(|n| json!({ "status": "draft", "content": format!("old {n}") })).collect();
    let posts = app.posts(&ann.id, drafts(5)).await;
    app.sweep(&app.ws, &ann.id).await;
    let mut browser = Browser::login(&app).await;
    let shown = format!("{0}:{1} {0}:{2}", ann.id, posts[3], posts[4]);
    let ticked = format!("{}:{}", ann.id, posts[3]);
    let fields = [
        ("scope", "matching".to_owned()),
        ("filter", "status=draft".to_owned()),
        ("shown", shown),
        ("post", ticked),
    ];
    let plan = plan_of(&mut browser, &app, "delete", &fields).await;
    assert!(browser.get(&plan).await.text.contains("Delete 4 posts of 1 tenant."));
    let late = app.posts(&ann.id, drafts(2)).await;
    app.control(Method::DELETE, &format!("posts/{}", posts[0]), Value::Null).await;
    app.control(Method::PATCH, &format!("posts/{}", posts[1]), json!({ "content": "edited" })).await;
    app.sweep(&app.ws, &ann.id).await;

    app.clock.advance(16 * MINUTE);
    let page = browser.get(&plan).await;
    assert!(page.text.contains("too old to confirm") && page.text.contains("Preview again"), "{}", page.text);
    let again = browser.submit(&plan, &format!("{plan}/again"), &[]).await;
    let page = browser.follow(again).await;
    assert!(page.text.contains("+2 \u{2212}1, 1 changed."), "{}", page.text);
    assert!(page.text.contains("Delete 5 posts of 1 tenant."), "{}", page.text);
    let done =
        confirm(&mut browser, &plan, &[("confirm", "delete 5"), ("reason", "again"), ("password", PASSWORD)])
            .await;
    let job = last_id(done.header("location"));
    assert_eq!(finished(&app, &job).await, Counts { succeeded: 5, ..Counts::default() });
    let items = app.app().db.job_items(&job, None, 0, 10).await.unwrap();
    assert!(late.iter().all(|id| items.iter().any(|i| i.post_id == *id)));
    assert!(items.iter().all(|i| i.post_id != posts[4]), "what was left out stays so");
    // Confirmed is confirmed.
    let after = browser.submit(&format!("/w/{}/posts", app.ws), &format!("{plan}/again"), &[]).await;
    assert!(browser.follow(after).await.text.contains("This plan was confirmed."));
}

async fn every_count_leads_to_its_posts(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let mut tenants = Vec::new();
    for n in 0..12 {
        let tenant = app.tenant(&format!("tenant{n:02}")).await;
        let soon = json!({ "status": "scheduled", "scheduledTime": to_iso(app.clock.now() + 5 * MINUTE),
            "content": format!("soon {n}"), "platforms": ["linkedin-1", "twitter-1"] });
        let live = json!({ "status": "published", "content": format!("live {n}") });
        app.posts(&tenant.id, if n < 2 { vec![soon, live] } else { vec![json!({ "status": "draft" })] })
            .await;
        app.sweep(&app.ws, &tenant.id).await;
        tenants.push(tenant.id);
    }
    let mut browser = Browser::login(&app).await;
    let matching = [("scope", "matching".to_owned()), ("filter", String::new())];
    let plan = plan_of(&mut browser, &app, "delete", &matching).await;
    let page = browser.get(&plan).await;
    for text in [
        "Delete 12 posts of 12 tenants.",
        "2 will be skipped.",
        "2 of these posts publish within 10 minutes",
        "All 12 tenants",
        "?status=draft#items",
        "?platform=linkedin#items",
        "?show=published#items",
    ] {
        assert!(page.text.contains(text), "{text}: {}", page.text);
    }
    let rows = async |browser: &mut Browser, query: &str| {
        let page = browser.get(&format!("{plan}{query}")).await;
        page.text.matches("<td class=\"title\"><a class=\"two\"").count()
    };
    assert_eq!(rows(&mut browser, "").await, 14);
    assert_eq!(rows(&mut browser, "?status=draft").await, 10);
    assert_eq!(rows(&mut browser, "?platform=linkedin").await, 2);
    assert_eq!(rows(&mut browser, "?show=published").await, 2);
    assert_eq!(rows(&mut browser, "?show=soon").await, 2);
    assert_eq!(rows(&mut browser, &format!("?tenant={}", tenants[0])).await, 1);
    let all = browser.get(&format!("{plan}/tenants")).await;
    assert_eq!(all.text.matches("?tenant=").count(), 12, "{}", all.text);
    let csv = browser.get(&format!("{plan}/plan.csv")).await;
    assert_eq!(csv.text.lines().count(), 15, "{}", csv.text);
    assert_eq!(csv.text.matches("\"published\"\r\n").count(), 2, "{}", csv.text);
}

async fn what_was_shown_is_what_is_confirmed(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let posts = app.posts(&ann.id, vec![scheduled(app.clock.now() + DAY)]).await;
    app.sweep(&app.ws, &ann.id).await;
    let mut browser = Browser::login(&app).await;
    let plan = plan_of(&mut browser, &app, "reschedule", &ticked(&ann, &posts)).await;
    let page = browser.get(&plan).await;
    let digest = crate::testapp::hidden(&page.text, "digest");
    // Another window changes how the job runs.
    let fields = [("mode", "shift"), ("amount", "1"), ("unit", "days"), ("rate", "3"), ("stop_after", "7")];
    assert_eq!(browser.submit(&plan, &format!("{plan}/options"), &fields).await.status, 303);
    let stale = browser.submit(&plan, &format!("{plan}/confirm"), &[("digest", &digest)]).await;
    assert_eq!(stale.status, 422);
    assert!(stale.text.contains("changed in another window"), "{}", stale.text);
    for (name, value) in [("rate", "0"), ("rate", "51"), ("stop_after", "x"), ("start", "2020-01-01T00:00")] {
        let fields = [("mode", "shift"), ("amount", "1"), ("unit", "days"), (name, value)];
        let refused = browser.submit(&plan, &format!("{plan}/options"), &fields).await;
        assert_eq!(refused.status, 422, "{name}={value}");
        assert!(refused.text.contains(&format!("href=\"#f-{name}\"")), "{}", refused.text);
    }
    let done = confirm(&mut browser, &plan, &[]).await;
    let job = app.app().db.job(&app.ws, &last_id(done.header("location"))).await.unwrap().unwrap();
    assert_eq!((job.options.rate, job.options.stop_after), (Some(3), 7));

    // A post that is listed with a time gets that one.
    let account = app.app().access.account(&app.ws).unwrap();
    finished(&app, &job.id).await;
    app.sweep(&app.ws, &ann.id).await;
    let wanted_at = Some(app.clock.now() + 9 * DAY);
    let listed = Listed { tenant_id: ann.id.clone(), post_id: posts[0].clone(), wanted_at };
    let request = planning::Request {
        workspace: &account.workspace,
        action: BulkAction::Reschedule,
        options: PlanOptions { moved: Move::Listed, ..PlanOptions::default() },
        filter_text: String::new(),
        actor: &app.owner,
    };
    let selection =
        Selection::Listed { posts: vec![listed], source: gatehouse::domain::plans::Source::Listed };
    let plan = planning::make(app.app(), request, selection).await.unwrap();
    let items = app.app().db.plan_items(&plan.id, Show::All, 0, 10).await.unwrap();
    assert_eq!((items[0].target_at, items[0].skip), (wanted_at, None));
    let again = planning::remake(app.app(), &app.owner, &account.workspace, &plan, plan.options.clone())
        .await
        .unwrap();
    let items = app.app().db.plan_items(&again.unwrap().id, Show::All, 0, 10).await.unwrap();
    assert_eq!(items[0].target_at, wanted_at);
}

async fn a_list_names_posts_and_every_bad_line_is_told(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let (ann, bob) = (app.tenant("ann").await, app.tenant("bob").await);
    let (other, other_key) = app.add_workspace("Other").await;
    let eve = app.tenant_of(&other, &other_key, "eve").await;
    let tomorrow = app.clock.now() + DAY;
    let of_ann = app.posts(&ann.id, (0..3).map(|_| scheduled(tomorrow)).collect()).await;
    let of_bob = app.posts(&bob.id, vec![scheduled(tomorrow)]).await.remove(0);
    let of_eve = app.posts(&eve.id, vec![scheduled(tomorrow)]).await.remove(0);
    for (ws, tenant) in [(&app.ws, &ann), (&app.ws, &bob), (&other, &eve)] {
        app.sweep(ws, &tenant.id).await;
    }
    let mut browser = Browser::login(&app).await;
    let new = format!("/w/{}/plans/new", app.ws);
    let mut send = async |list: &str, more: &[(&str, &str)]| {
        let mut fields = vec![("list", list), ("zone", "Europe/Berlin")];
        fields.extend_from_slice(more);
        browser.submit(&new, &new, &fields).await
    };
    // Ids alone; another workspace's post is as unknown as one that never was.
    let never = "f".repeat(24);
    let list = format!("{}\n{} {of_bob}\n{of_eve}\n{never}\n{} {}\n", of_ann[0], bob.id, bob.id, of_ann[1]);
    let told = send(&list, &[("action", "delete")]).await;
    assert_eq!(told.status, 422);
    assert_eq!(told.text.matches("There is no such post in this workspace").count(), 2, "{}", told.text);
    assert_eq!(told.text.matches("It is not a post of this tenant").count(), 1, "{}", told.text);
    assert!(
        told.text.contains("3 lines cannot be used") && told.text.contains("Go on with the other 2 posts")
    );
    assert!(told.text.contains(&list.replace('\n', "\r\n")) || told.text.contains(&list), "the list is kept");
    let made = send(&list, &[("action", "delete"), ("skip_bad", "1")]).await;
    assert_eq!(made.status, 303, "{}", made.text);
    let plan = app.app().db.plan(&app.ws, &last_id(made.header("location"))).await.unwrap().unwrap();
    assert_eq!((plan.action, plan.summary.acted, plan.summary.tenants), (BulkAction::Delete, 2, 2));

    // A table with times, one of them local; it does two things, and a plan does one.
    let table = format!(
        "tenant,postGroupId,action,scheduledTime\n{a},{p0},reschedule,2050-06-01T12:00:00Z\n{a},{p1},reschedule,2050-06-01 12:00\n{b},{of_bob},pause,\n",
        a = ann.id,
        p0 = of_ann[0],
        p1 = of_ann[1],
        b = bob.id
    );
    let told = send(&table, &[("action", "")]).await;
    assert_eq!(told.status, 422);
    assert!(told.text.contains("several actions (pause 1, reschedule 2)"), "{}", told.text);
    let none = send(&table, &[("action", "delete")]).await;
    assert!(none.text.contains("No line of the list is to delete a post"), "{}", none.text);
    let paused = send(&table, &[("action", "pause")]).await;
    assert_eq!(finished(&app, &last_id(paused.header("location"))).await.succeeded, 1);
    let made = send(&table, &[("action", "reschedule")]).await;
    let plan = made.header("location").to_owned();
    assert_eq!(send("", &[("action", "pause")]).await.status, 422);
    assert!(send(&of_ann[2], &[("action", "")]).await.text.contains("Choose an action"));
    let page = browser.get(&plan).await;
    assert!(page.text.contains("Reschedule 2 posts of 1 tenant."), "{}", page.text);
    assert!(page.text.contains("Selected: 2 listed posts."), "{}", page.text);
    let done = confirm(&mut browser, &plan, &[]).await;
    assert_eq!(finished(&app, &last_id(done.header("location"))).await.succeeded, 2);
    for (post, time) in of_ann.iter().zip(["2050-06-01T12:00:00Z", "2050-06-01T10:00:00Z"]) {
        assert_eq!(at_postpost(&app, post).await.1, from_iso(time));
    }
}
