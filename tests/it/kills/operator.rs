//! A person at the pages: looks around, freezes a tenant and lets it go, makes tenants and links, and confirms one bulk
//! job after the other. An unanswered form is sent again, as a person would.

use super::Shared;
use crate::{
    support::chance::Chance,
    testapp::{Answer, hidden},
};
use reqwest::Method;
use std::sync::Arc;

/// Posts of a job.
pub const JOB_SIZE: usize = 24;

/// A confirmed job, and the posts it is about.
#[derive(Debug, Clone)]
pub struct Confirmed {
    pub id: String,
    pub verb: &'static str,
    pub posts: Vec<String>,
}

/// One page, if the gateway lives long enough to answer.
async fn page(shared: &Shared, path: &str) -> Option<Answer> {
    let url = shared.url().await;
    shared.fetch(shared.http.get(format!("{url}{path}")).header("cookie", &shared.cookie), path).await
}

/// Sends a form of a page. `None` if the gateway did not answer; the form may have had its effect.
async fn submit(shared: &Shared, at: &str, action: &str, fields: &[(&str, &str)]) -> Option<Answer> {
    let shown = page(shared, at).await?;
    if shown.status != 200 {
        return None;
    }
    let (csrf, once) = (hidden(&shown.text, "_csrf"), hidden(&shown.text, "_once"));
    let mut all = vec![("_csrf", csrf.as_str()), ("_once", once.as_str())];
    all.extend_from_slice(fields);
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&all).finish();
    let url = shared.url().await;
    let request = shared
        .http
        .request(Method::POST, format!("{url}{action}"))
        .header("cookie", &shared.cookie)
        .header("origin", &url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    shared.fetch(request, action).await
}

/// Looks at one page after the other.
pub async fn look(shared: Arc<Shared>, mut chance: Chance) {
    let w = format!("/w/{}", shared.ws);
    let pages = ["", "/tenants", "/posts", "/posts?status=draft", "/jobs", "/audit", "/keys"];
    while !shared.ended() {
        let path = match chance.between(0, 9) {
            0 => "/".to_owned(),
            1 => "/audit".to_owned(),
            _ => format!("{w}{}", chance.one(&pages)),
        };
        if let Some(answer) = page(&shared, &path).await
            && answer.status != 200
        {
            shared.note(format!("page {}", answer.status), path);
        }
        tokio::time::sleep(chance.millis(10, 60)).await;
    }
}

/// Freezes and unfreezes one tenant, and makes tenants and links for as long as they last.
pub async fn forms(shared: Arc<Shared>, frozen: String, links: Vec<String>, mut chance: Chance) {
    let w = format!("/w/{}", shared.ws);
    let tenant = format!("{w}/tenants/{frozen}");
    let mut links = links.into_iter();
    for n in 0.. {
        let reason = format!("round {n}");
        // Until it is answered: an unanswered freeze is sent again with the same reason.
        for (action, reason) in [("freeze", reason.as_str()), ("unfreeze", "")] {
            loop {
                if shared.ended() {
                    return;
                }
                let answer =
                    submit(&shared, &tenant, &format!("{tenant}/{action}"), &[("reason", reason)]).await;
                if answer.is_some_and(|a| a.status == 303) {
                    break;
                }
            }
            if action == "freeze" {
                shared.frozen.lock().unwrap().push(reason.to_owned());
            }
        }
        tokio::time::sleep(chance.millis(50, 200)).await;
        if n % 7 == 3 && n < 150 {
            let name = format!("made{n}@test.example");
            let fields = [("username", name.as_str()), ("display_name", "Made under fire")];
            submit(&shared, &format!("{w}/tenants/new"), &format!("{w}/tenants"), &fields).await;
        }
        if n % 7 == 5
            && let Some(tenant) = links.next()
        {
            // Each once: two unanswered links of one tenant cannot be told apart.
            let page = format!("{w}/tenants/{tenant}");
            submit(&shared, &page, &format!("{page}/link"), &[("days", "30")]).await;
        }
    }
}

/// Confirms a job, watches it to its end, and makes the next.
pub async fn jobs(shared: Arc<Shared>, tenant: String, mut chance: Chance) {
    while !shared.ended() {
        let action = *chance.one(&["delete", "reschedule"]);
        let known = shared.new_posts(&tenant, JOB_SIZE).await;
        let wanted: Vec<&super::door::Known> =
            known.iter().filter(|k| k.scheduled || action == "delete").collect();
        let posts: Vec<String> = wanted.iter().map(|k| k.id.clone()).collect();
        let Some(plan) = plan(&shared, &tenant, action, &posts).await else { return };
        let Some(id) = confirm(&shared, &plan, &format!("{action} {}", posts.len())).await else { return };
        let verb = if action == "delete" { "post.delete" } else { "post.update" };
        shared.jobs.lock().unwrap().push(Confirmed { id: id.clone(), verb, posts });
        let progress = format!("/w/{}/jobs/{id}/progress.json", shared.ws);
        while !shared.ended() {
            if page(&shared, &progress)
                .await
                .is_some_and(|a| a.status == 200 && a.json()["state"] == "completed")
            {
                break;
            }
            tokio::time::sleep(chance.millis(50, 200)).await;
        }
    }
}

/// The address of a plan over these posts, as soon as the mirror knows them.
async fn plan(shared: &Shared, tenant: &str, action: &str, posts: &[String]) -> Option<String> {
    let w = format!("/w/{}", shared.ws);
    let ticked: Vec<String> = posts.iter().map(|post| format!("{tenant}:{post}")).collect();
    let mut fields = vec![("action", action), ("scope", "ticked")];
    fields.extend(ticked.iter().map(|t| ("post", t.as_str())));
    while !shared.ended() {
        let answer = submit(shared, &format!("{w}/posts"), &format!("{w}/plans"), &fields).await;
        if let Some(answer) = answer.filter(|a| a.status == 303) {
            return Some(answer.header("location").to_owned());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    None
}

/// Confirms until it is answered; the plan gives one job however often. The job's id.
async fn confirm(shared: &Shared, plan: &str, typed: &str) -> Option<String> {
    while !shared.ended() {
        let Some(shown) = page(shared, plan).await else { continue };
        if shown.status == 303 {
            return Some(last_id(shown.header("location")));
        }
        let digest = if shown.text.contains("name=\"digest\"") {
            hidden(&shown.text, "digest")
        } else {
            String::new()
        };
        let fields = [("digest", digest.as_str()), ("confirm", typed), ("reason", "under fire")];
        let at = format!("/w/{}/posts", shared.ws);
        if let Some(answer) = submit(shared, &at, &format!("{plan}/confirm"), &fields).await {
            if answer.status == 303 && answer.header("location").contains("/jobs/") {
                return Some(last_id(answer.header("location")));
            }
            shared.note(format!("confirm {}", answer.status), plan.to_owned());
            return None;
        }
    }
    None
}

fn last_id(location: &str) -> String {
    location.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned()
}
