//! Tenants' programs: they delete, pause, resume, reschedule and read, and do not stop because the gateway does.

use super::{Sent, Shared};
use crate::{
    support::{chance::Chance, ledger::Acknowledged},
    testapp::Tenant,
};
use gatehouse::domain::{ids, times};
use reqwest::Method;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// A post as its tenant knows it.
pub struct Known {
    pub id: String,
    pub scheduled: bool,
}

/// What a call asks for.
struct Wish {
    method: Method,
    path: String,
    body: Option<Value>,
    what: &'static str,
    /// How the post is afterwards; `None`: gone.
    scheduled: Option<bool>,
}

/// One program with posts of its own, so that what it did to a post is what was done to it.
pub async fn run(shared: Arc<Shared>, tenant: Tenant, mut chance: Chance) {
    let mut posts: Vec<Known> = Vec::new();
    while !shared.ended() {
        if posts.len() < 10 {
            posts.extend(shared.new_posts(&tenant.id, 20).await);
        }
        if chance.percent(20) {
            read(&shared, &tenant, &posts, &mut chance).await;
            continue;
        }
        let place = chance.between(0, posts.len() as u64) as usize;
        let post = posts.swap_remove(place);
        let wish = wish(&shared, &post, &mut chance);
        let scheduled = match attempt(&shared, &tenant, &wish).await {
            Sent::Answered(status) if (200..300).contains(&status) => wish.scheduled,
            // Not now: nothing has happened, and the post is as it was.
            Sent::Answered(409 | 503) => Some(post.scheduled),
            // May have happened. A program that wants to be sure asks again; another leaves it at that.
            Sent::Answered(_) => None,
            Sent::Unanswered => {
                if chance.percent(50) {
                    again(&shared, &tenant, &wish).await;
                }
                None
            }
        };
        if let Some(scheduled) = scheduled {
            posts.push(Known { id: post.id, scheduled });
        }
        tokio::time::sleep(chance.millis(0, 20)).await;
    }
}

fn wish(shared: &Shared, post: &Known, chance: &mut Chance) -> Wish {
    // A time of its own for each change, so that two are never mistaken for each other.
    let time = shared.next_time();
    let at = times::to_iso(time);
    let (what, body, scheduled) = match (chance.between(0, 6), post.scheduled) {
        (0 | 1, _) => {
            let path = format!("/api/v1/delete-post/{}", post.id);
            return Wish { method: Method::DELETE, path, body: None, what: "delete", scheduled: None };
        }
        (2 | 3, scheduled) => ("reschedule", json!({ "scheduledTime": at }), scheduled),
        (4, true) => ("pause", json!({ "status": "draft" }), false),
        (_, true) => ("pause and move", json!({ "status": "draft", "scheduledTime": at }), false),
        (4, false) => ("resume", json!({ "status": "scheduled" }), true),
        (_, false) => ("resume and move", json!({ "status": "scheduled", "scheduledTime": at }), true),
    };
    let path = format!("/api/v1/update-post/{}", post.id);
    Wish { method: Method::PUT, path, body: Some(body), what, scheduled: Some(scheduled) }
}

async fn attempt(shared: &Shared, tenant: &Tenant, wish: &Wish) -> Sent {
    let url = shared.url().await;
    let request_id = ids::new_id();
    let mut request = shared
        .http
        .request(wish.method.clone(), format!("{url}{}", wish.path))
        .header("x-api-key", &tenant.key)
        .header("x-request-id", &request_id);
    if let Some(body) = &wish.body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let sent = shared.send(request, wish.what).await;
    if matches!(sent, Sent::Answered(200..=299)) {
        shared.acknowledged.lock().unwrap().push(Acknowledged { request_id, what: wish.what.into() });
    }
    sent
}

/// The same again, until there is an answer to it.
async fn again(shared: &Shared, tenant: &Tenant, wish: &Wish) {
    while !shared.ended() {
        match attempt(shared, tenant, wish).await {
            Sent::Answered(409 | 503) => tokio::time::sleep(Duration::from_millis(500)).await,
            Sent::Answered(_) => return,
            Sent::Unanswered => {}
        }
    }
}

async fn read(shared: &Shared, tenant: &Tenant, posts: &[Known], chance: &mut Chance) {
    let path = match chance.one(posts) {
        post if chance.percent(60) => format!("/api/v1/get-post/{}", post.id),
        _ => "/api/v1/list-posts?limit=50".to_owned(),
    };
    let url = shared.url().await;
    let request = shared.http.get(format!("{url}{path}")).header("x-api-key", &tenant.key);
    shared.send(request, "read").await;
}
