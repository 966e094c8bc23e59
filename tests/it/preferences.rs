//! How a person wants the pages: by whose clocks, how many rows, with single keys or without.

use crate::{
    bulk::plan,
    support::databases::{Engine, gateway_on_both_engines},
    testapp::{Browser, TestApp},
};
use serde_json::json;

gateway_on_both_engines!(
    times_follow_the_persons_zone_and_say_so,
    lists_are_as_long_as_preferred,
    wrong_preferences_change_nothing,
    filters_are_kept_under_names,
);

/// Sends the form with these preferences over the usual ones.
async fn prefer(browser: &mut Browser, changed: &[(&str, &str)]) -> crate::testapp::Answer {
    let mut fields = vec![("zone", "UTC"), ("rows", "50"), ("shortcuts", "on")];
    for (name, value) in changed {
        fields.iter_mut().find(|(n, _)| n == name).unwrap().1 = value;
    }
    browser.submit("/settings", "/settings/preferences", &fields).await
}

/// A page's text without its markup.
fn words(html: &str) -> String {
    let parts = html.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
    parts.collect::<String>()
}

async fn times_follow_the_persons_zone_and_say_so(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    let at = |time: &str| json!({ "status": "scheduled", "scheduledTime": time });
    let posts = app.posts(&ann.id, vec![at("2030-01-01T09:00:00Z"), at("2030-07-01T09:00:00Z")]).await;
    app.sweep(&app.ws, &ann.id).await;
    let mut browser = Browser::login(&app).await;
    let list = format!("/w/{}/posts", app.ws);
    let page = words(&browser.get(&list).await.text);
    assert!(page.contains("1 Jan 2030, 09:00 UTC") && page.contains("From, UTC"), "{page}");
    let saved = prefer(&mut browser, &[("zone", "europe/berlin")]).await;
    let page = browser.follow(saved).await.text;
    assert!(page.contains("Saved.") && page.contains("value=\"Europe/Berlin\""), "{page}");
    let page = words(&browser.get(&list).await.text);
    for said in ["1 Jan 2030, 10:00 CET", "1 Jul 2030, 11:00 CEST", "From, Europe/Berlin"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    // What is typed into a filter is typed by these clocks; the links it makes mean the same to everybody.
    let typed = format!("{list}?from=2030-07-01T11%3A00&tz=Europe%2FBerlin");
    let found = browser.get(&typed).await.text;
    let said = words(&found);
    assert!(said.contains("1 post ") && said.contains("from 1 Jul 2030, 11:00 CEST"), "{said}");
    assert!(
        found.contains("value=\"2030-07-01T11:00\"") && found.contains("from=2030-07-01T09%3A00"),
        "{found}"
    );
    let none = browser.get(&format!("{list}?from=2030-07-01T11%3A01&tz=Europe%2FBerlin")).await.text;
    assert!(none.contains("No post matches"), "{none}");
    let post = words(&browser.get(&format!("{list}/{}/{}", ann.id, posts[0])).await.text);
    assert!(post.contains("1 Jan 2030, 10:00 CET"), "{post}");
    // A plan begins with the person's zone, and shows UTC beside it.
    let ticked = format!("{}:{}", ann.id, posts[0]);
    let fields = [("action", "reschedule"), ("scope", "ticked"), ("post", ticked.as_str())];
    let page = plan(&mut browser, &app.ws, &fields).await;
    let page = browser.get(&page).await.text;
    assert!(page.contains("name=\"zone\" value=\"Europe/Berlin\""), "{page}");
    let said = words(&page);
    assert!(said.contains("1 Jan 2030, 10:00 CET") && said.contains("Tue 1 Jan 2030, 09:00 UTC"), "{said}");
    // The log keeps to UTC, with seconds.
    let log = words(&browser.get(&format!("/w/{}/audit", app.ws)).await.text);
    assert!(log.contains(" UTC") && !log.contains(" CET"), "{log}");
    let entries = app.entries().await;
    assert!(
        entries.iter().all(|e| e["action"] != "admin.set_preferences"),
        "a view of one's own is no entry"
    );
}

async fn lists_are_as_long_as_preferred(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let ann = app.tenant("ann").await;
    app.posts(&ann.id, (0..60).map(|_| json!({ "status": "draft" })).collect()).await;
    app.sweep(&app.ws, &ann.id).await;
    let mut browser = Browser::login(&app).await;
    let list = format!("/w/{}/posts", app.ws);
    let rows = async |browser: &mut Browser, path: &str| {
        let page = browser.get(path).await.text;
        (page.matches("<td class=\"tick\">").count(), page)
    };
    assert_eq!(rows(&mut browser, &list).await.0, 50);
    prefer(&mut browser, &[("rows", "25")]).await;
    let (count, page) = rows(&mut browser, &list).await;
    assert!(count == 25 && page.contains("<option value=\"25\" selected>"), "{count}");
    let next =
        page.split("rel=\"next\" href=\"").nth(1).unwrap().split('"').next().unwrap().replace("&#38;", "&");
    assert!(!next.contains("per="), "{next}");
    assert_eq!(rows(&mut browser, &next).await.0, 25);
    // What the address asks for comes first.
    assert_eq!(rows(&mut browser, &format!("{list}?per=100")).await.0, 60);
    let log = browser.get("/audit").await.text;
    assert!(log.matches("<td data-label=\"Time\">").count() <= 25, "{log}");
}

async fn wrong_preferences_change_nothing(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    let mut browser = Browser::login(&app).await;
    let wrong = prefer(&mut browser, &[("zone", "Mars/Olympus"), ("rows", "25")]).await;
    assert_eq!(wrong.status, 422, "{}", wrong.text);
    for said in ["There is a problem", "Enter a time zone such as Europe/Berlin", "value=\"Mars/Olympus\""] {
        assert!(wrong.text.contains(said), "{said}: {}", wrong.text);
    }
    for fields in [[("rows", "7")], [("shortcuts", "maybe")]] {
        assert_eq!(prefer(&mut browser, &fields).await.status, 400);
    }
    let page = browser.get("/settings").await.text;
    assert!(page.contains("name=\"zone\" value=\"UTC\"") && page.contains("value=\"50\" checked"), "{page}");
    assert!(page.contains(" data-keys"), "single keys are on at first");
    prefer(&mut browser, &[("shortcuts", "off")]).await;
    assert!(!browser.get("/settings").await.text.contains(" data-keys"));
}

async fn filters_are_kept_under_names(engine: Engine) {
    let app = TestApp::spawn(engine).await;
    app.tenant("ann").await;
    let mut browser = Browser::login(&app).await;
    let (list, views) = (format!("/w/{}/posts", app.ws), format!("/w/{}/views", app.ws));
    let filter = "status=failed&q=a%26b&sort=-updated&per=25";
    let saved = browser.submit(&list, &views, &[("name", " Late <b> "), ("filter", filter)]).await;
    assert_eq!(saved.header("location"), format!("{list}?{filter}&done=view_saved"));
    let page = browser.follow(saved).await.text.replace("&#38;", "&");
    assert!(
        page.contains(&format!("<a class=\"item\" href=\"{list}?{filter}\" aria-current=\"true\">")),
        "{page}"
    );
    assert!(page.contains("Late &#60;b&#62;") && page.contains("Views (1)"), "{page}");
    for (name, filter, status, said) in
        [("", "", 422, "1 to 60 characters"), ("Wrong", "status=nope", 400, "There is no status")]
    {
        let answer = browser.submit(&list, &views, &[("name", name), ("filter", filter)]).await;
        assert!(answer.status == status && answer.text.contains(said), "{}", answer.text);
    }
    for n in 1..20 {
        let name = format!("View {n}");
        assert_eq!(browser.submit(&list, &views, &[("name", &name), ("filter", "")]).await.status, 303);
    }
    let full = browser.submit(&list, &views, &[("name", "One more"), ("filter", "")]).await;
    assert!(full.status == 422 && full.text.contains("You have 20 saved views here"), "{}", full.text);
    let page = browser.get(&list).await.text;
    let remove =
        page.split("action=\"").map(|part| part.split('"').next().unwrap()).find(|a| a.ends_with("/delete"));
    let remove = remove.unwrap().to_owned();
    assert_eq!(browser.submit(&list, &remove, &[("filter", "")]).await.status, 303);
    assert_eq!(browser.submit(&list, &remove, &[("filter", "")]).await.status, 404);
    assert!(browser.get(&list).await.text.contains("Views (19)"));
}
