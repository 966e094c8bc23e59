//! The scheduler: takes due posts one step further each tick: `pending`, `processing`, then the result.
//!
//! One step a tick and a transaction a group, so that each state can be observed and a delete may come in
//! between. Publishes nowhere: a post fails if its connection's token has expired and succeeds otherwise.

use std::time::Duration;
use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::SqliteConnection;
use tokio::time::MissedTickBehavior;

use super::App;
use super::journal::{self, Effect, Origin, State};
use super::logs::{self, Event};
use super::store::random_hex;
use super::times::{self, Stamp};
use super::wire::{Answer, Call, Failure, refused};
use super::{deliveries, posts};

/// Ticks until aborted.
pub(super) async fn run(app: Arc<App>, every: Duration) {
    let mut interval = tokio::time::interval(every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if let Err(Failure::Broken(reason)) = tick(&app, times::now()).await {
            tracing::error!(reason, "sandbox: the scheduler failed");
        }
    }
}

/// `POST /_sandbox/tick`: one step, or `steps` of them, as if it were `now`.
pub(super) async fn tick_now(app: &App, call: &Call) -> Result<Answer, Failure> {
    #[derive(Deserialize, Default)]
    #[serde(deny_unknown_fields, default)]
    struct Body {
        now: Option<Stamp>,
        steps: Option<u8>,
    }
    let body: Body = match call.body.is_empty() {
        true => Body::default(),
        false => serde_json::from_slice(&call.body).map_err(|error| refused(400, &error.to_string()))?,
    };
    let now = body.now.map_or_else(times::now, |stamp| stamp.0);
    let mut moved: BTreeMap<&str, u64> =
        [("pending", 0), ("processing", 0), ("finished", 0)].into_iter().collect();
    for _ in 0..body.steps.unwrap_or(1) {
        for (step, count) in tick(app, now).await? {
            *moved.entry(step).or_default() += count;
        }
    }
    Ok(Answer::json(200, &json!(moved)))
}

/// One step for every due group; answers how many groups took which.
async fn tick(app: &App, now: i64) -> Result<BTreeMap<&'static str, u64>, Failure> {
    let due: Vec<(String, String)> = sqlx::query_as(
        "SELECT id, user_id FROM posts WHERE status = 'scheduled' AND scheduled_time <= $1
         ORDER BY scheduled_time, id",
    )
    .bind(now)
    .fetch_all(app.store.reader())
    .await?;
    let mut moved = BTreeMap::new();
    for (id, user) in due {
        if let Some(step) = advance(app, &id, &user, now).await? {
            *moved.entry(step).or_default() += 1;
        }
    }
    deliveries::tell_expiring(app, now).await?;
    app.deliveries.wake();
    Ok(moved)
}

async fn advance(app: &App, id: &str, user: &str, now: i64) -> Result<Option<&'static str>, Failure> {
    let mut tx = app.store.begin().await?;
    // Read again: since the list was made it may have been paused, moved or deleted.
    let before = match posts::state_of(&mut tx, id, user).await? {
        Some(state) if state.status == "scheduled" && state.scheduled_time.is_some_and(|at| at <= now) => {
            state
        }
        _ => return Ok(None),
    };
    let statuses: Vec<String> = sqlx::query_scalar("SELECT status FROM platform_posts WHERE group_id = $1")
        .bind(id)
        .fetch_all(&mut *tx)
        .await?;
    let any = |wanted: &str| statuses.iter().any(|status| status == wanted);
    let (step, action, status) = if any("scheduled") || any("draft") {
        shift(&mut tx, id, "pending").await?;
        ("pending", "post.pending", before.status.clone())
    } else if any("pending") {
        shift(&mut tx, id, "processing").await?;
        logs::add(&mut tx, &app.store, id, Event::of("processing")).await?;
        ("processing", "post.processing", before.status.clone())
    } else {
        ("finished", "post.publish", finish(&mut tx, app, id, user, now).await?)
    };
    sqlx::query("UPDATE posts SET status = $2, updated_at = $3 WHERE id = $1")
        .bind(id)
        .bind(&status)
        .bind(times::now())
        .execute(&mut *tx)
        .await?;
    let after = State { status, scheduled_time: before.scheduled_time };
    let effect = Effect { user, action, group: Some(id), before: Some(&before), after: Some(&after) };
    journal::record(&mut tx, Origin::Scheduler, effect).await?;
    tx.commit().await?;
    Ok(Some(step))
}

async fn shift(tx: &mut SqliteConnection, id: &str, to: &str) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE platform_posts SET status = $2 WHERE group_id = $1 AND status NOT IN ('published', 'failed')",
    )
    .bind(id)
    .bind(to)
    .execute(tx)
    .await?;
    Ok(())
}

/// Publishes or fails what is in processing; answers the group's new status.
async fn finish(
    tx: &mut SqliteConnection,
    app: &App,
    id: &str,
    user: &str,
    now: i64,
) -> Result<String, Failure> {
    let posts: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT id, platform, platform_id FROM platform_posts
         WHERE group_id = $1 AND status NOT IN ('published', 'failed') ORDER BY position",
    )
    .bind(id)
    .fetch_all(&mut *tx)
    .await?;
    for (post, platform, raw) in posts {
        let account = format!("{platform}-{raw}");
        let expires: Option<Option<i64>> = sqlx::query_scalar(
            "SELECT token_expires_at FROM connections WHERE user_id = $1 AND platform_id = $2",
        )
        .bind(user)
        .bind(&account)
        .fetch_optional(&mut *tx)
        .await?;
        let of_post = |name| Event { post: Some((&post, &platform)), ..Event::of(name) };
        logs::add(tx, &app.store, id, of_post("publish_attempted")).await?;
        if expires.flatten().is_some_and(|at| at <= now) {
            let error = auth_expired(now);
            settle(tx, &post, "failed", None, Some(&error)).await?;
            remember(tx, user, &account, None, Some(&error)).await?;
            let event = Event { error: Some(&error), http_status: Some(401), ..of_post("publish_failed") };
            logs::add(tx, &app.store, id, event).await?;
            let data = json!({
                "postId": post, "postGroupId": id, "platform": platform,
                "error": error["message"], "failedAt": error["failedAt"],
            });
            deliveries::queue(tx, user, "post.failed", &data).await?;
        } else {
            let posted_id = random_hex(8);
            settle(tx, &post, "published", Some(&posted_id), None).await?;
            remember(tx, user, &account, Some(now), None).await?;
            let metadata = Some(json!({ "postedId": posted_id }));
            let event = Event { http_status: Some(200), metadata, ..of_post("publish_succeeded") };
            logs::add(tx, &app.store, id, event).await?;
            let data = json!({
                "postId": post, "postGroupId": id, "platform": platform, "publishedAt": times::text(now),
            });
            deliveries::queue(tx, user, "post.published", &data).await?;
        }
    }
    let statuses: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT status FROM platform_posts WHERE group_id = $1")
            .bind(id)
            .fetch_all(&mut *tx)
            .await?;
    let status = match statuses.as_slice() {
        [one] if one == "failed" => "failed",
        [] | [_] => "published",
        _ => "partially_published",
    };
    let metadata = Some(json!({ "from": "scheduled", "to": status }));
    logs::add(tx, &app.store, id, Event { metadata, ..Event::of("status_changed") }).await?;
    Ok(status.to_owned())
}

async fn settle(
    tx: &mut SqliteConnection,
    post: &str,
    status: &str,
    posted_id: Option<&str>,
    error: Option<&Value>,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE platform_posts SET status = $2, posted_id = $3, error = $4 WHERE id = $1")
        .bind(post)
        .bind(status)
        .bind(posted_id)
        .bind(error.map(Value::to_string))
        .execute(tx)
        .await?;
    Ok(())
}

/// Keeps the result on the connection, if there is one.
async fn remember(
    tx: &mut SqliteConnection,
    user: &str,
    account: &str,
    success: Option<i64>,
    error: Option<&Value>,
) -> Result<(), sqlx::Error> {
    let error = error.map(|error| json!({ "message": error["message"], "occurredAt": error["failedAt"] }));
    sqlx::query(
        "UPDATE connections SET last_successful_post = COALESCE($3, last_successful_post), last_error = $4
         WHERE user_id = $1 AND platform_id = $2",
    )
    .bind(user)
    .bind(account)
    .bind(success)
    .bind(error.map(|error| error.to_string()))
    .execute(tx)
    .await?;
    Ok(())
}

fn auth_expired(now: i64) -> Value {
    json!({
        "code": "PLATFORM_AUTH_EXPIRED",
        "message": "The connection to the platform has expired. Please reconnect the account.",
        "platformStatusCode": 401, "failedAt": times::text(now), "retryable": false,
    })
}
