//! Post groups: create, show, update, with the contract's checks and texts.
//!
//! Lists are in `listing`, deletes in `deletion`. What is asked for and what is granted may differ: times in
//! the past become now, and a switch can move them.

use serde_json::{Map, Value, json};
use sqlx::{FromRow, SqliteConnection};

use super::journal::{self, Effect, State};
use super::logs::{self, Event};
use super::plans::{self, Wish};
use super::routes::Request;
use super::store::object_id;
use super::wire::{Answer, Failure, given, refused};
use super::{deliveries, times};

/// The platforms whose settings upstream keeps.
const KEPT_SETTINGS: [&str; 4] = ["tiktok", "instagram", "youtube", "threads"];

/// `POST /create-post`.
pub(super) async fn create(request: &Request) -> Result<Answer, Failure> {
    let fields = request.call.fields()?;
    let content = match fields.get("content") {
        Some(Value::String(text)) if !text.trim().is_empty() => text.as_str(),
        _ => return Err(refused(400, "Content is required")),
    };
    let platforms = platforms(&fields)?;
    let asked = asked_time(&fields)?;
    let settings = platform_settings(&fields)?;

    let now = times::now();
    let scheduled_time = asked.map(|asked| granted(request, asked, now));
    let status = if scheduled_time.is_some() { "scheduled" } else { "draft" };
    let state = State { status: status.to_owned(), scheduled_time };
    let id = request.app.store.new_id(now);

    let mut tx = request.app.store.begin().await?;
    let wish = Wish { user: &request.who.acting, group: &id, at: scheduled_time, platforms: &platforms };
    plans::check(&mut tx, &wish, now).await?;
    sqlx::query(
        "INSERT INTO posts (id, user_id, content, status, scheduled_time, platform_settings, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
    )
    .bind(&id)
    .bind(&request.who.acting)
    .bind(content)
    .bind(status)
    .bind(scheduled_time)
    .bind(settings.map(|settings| settings.to_string()))
    .bind(now)
    .execute(&mut *tx)
    .await?;
    for (position, (platform, platform_id)) in (0_i64..).zip(&platforms) {
        sqlx::query(
            "INSERT INTO platform_posts (id, group_id, position, platform, platform_id, content, status)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(request.app.store.new_id(now))
        .bind(&id)
        .bind(position)
        .bind(platform)
        .bind(platform_id)
        .bind(content)
        .bind(status)
        .execute(&mut *tx)
        .await?;
    }
    request.effects.break_transaction()?;
    if let Some(at) = scheduled_time {
        logs::add(&mut tx, &request.app.store, &id, Event::scheduled(at)).await?;
        deliveries::queue_scheduled(&mut tx, &request.who.acting, &id, at).await?;
    }
    let effect = Effect {
        user: &request.who.acting,
        action: "post.create",
        group: Some(&id),
        before: None,
        after: Some(&state),
    };
    journal::record(&mut tx, request.origin(), effect).await?;
    tx.commit().await?;
    request.app.deliveries.wake();
    Ok(Answer::json(200, &json!({ "success": true, "postGroupId": id })))
}

#[derive(FromRow)]
struct PlatformPost {
    id: String,
    platform: String,
    platform_id: String,
    content: String,
    status: String,
    posted_id: Option<String>,
    error: Option<String>,
}

/// `GET /get-post/:postGroupId`.
pub(super) async fn show(request: &Request, id: &str) -> Result<Answer, Failure> {
    let id = group_id(id)?;
    let mut tx = request.app.store.reader().begin().await?;
    if state_of(&mut tx, &id, &request.who.acting).await?.is_none() {
        return Err(refused(404, "Post group not found"));
    }
    let rows: Vec<PlatformPost> = sqlx::query_as(
        "SELECT id, platform, platform_id, content, status, posted_id, error
         FROM platform_posts WHERE group_id = $1 ORDER BY position",
    )
    .bind(&id)
    .fetch_all(&mut *tx)
    .await?;
    let posts: Vec<Value> = rows.iter().map(platform_post).collect();
    let mut body = json!({ "success": true, "postGroupId": id, "posts": posts });
    if let Some(status) = in_hand(rows.iter().map(|row| row.status.as_str())) {
        body["processingStatus"] = json!(status);
    }
    Ok(Answer::json(200, &body))
}

fn platform_post(row: &PlatformPost) -> Value {
    let mut post = json!({
        "_id": row.id, "platform": row.platform, "platformId": row.platform_id,
        "content": row.content, "status": row.status,
    });
    if let (Some(posted_id), "published") = (&row.posted_id, row.status.as_str()) {
        post["postedId"] = json!(posted_id);
    }
    if let (Some(error), "failed") = (&row.error, row.status.as_str()) {
        post["error"] = serde_json::from_str(error).unwrap_or(Value::Null);
    }
    post
}

/// `PUT /update-post/:postGroupId`.
pub(super) async fn update(request: &Request, id: &str) -> Result<Answer, Failure> {
    let fields = request.call.fields()?;
    let (status, asked) = (given(&fields, "status"), given(&fields, "scheduledTime"));
    if status.is_none() && asked.is_none() {
        return Err(refused(400, "Either status or scheduledTime must be provided"));
    }
    let status = match status {
        None => None,
        Some(Value::String(text)) if text == "draft" || text == "scheduled" => Some(text.clone()),
        Some(_) => return Err(refused(400, "Status must be either 'draft' or 'scheduled'")),
    };
    let asked = asked_time(&fields)?;
    let id = group_id(id)?;

    let mut tx = request.app.store.begin().await?;
    let Some(before) = state_of(&mut tx, &id, &request.who.acting).await? else {
        return Err(refused(404, "Post group not found"));
    };
    let statuses: Vec<String> = sqlx::query_scalar("SELECT status FROM platform_posts WHERE group_id = $1")
        .bind(&id)
        .fetch_all(&mut *tx)
        .await?;
    let in_hand = in_hand(statuses.iter().map(String::as_str));
    // The group says `scheduled` until the scheduler is done; changing it meanwhile would be undone or lost.
    let current = in_hand.unwrap_or(&before.status);
    if !matches!(current, "draft" | "scheduled") {
        return Err(refused(400, &format!("Cannot update post: post is currently in {current} status")));
    }

    let now = times::now();
    let resumes = status.as_deref() == Some("scheduled");
    let scheduled_time = match asked {
        Some(asked) => Some(granted(request, asked, now)),
        None if resumes => Some(before.scheduled_time.unwrap_or(now).max(now)),
        None => before.scheduled_time,
    };
    let after = State { status: status.unwrap_or_else(|| before.status.clone()), scheduled_time };
    if after.status == "scheduled" && after != before {
        let platforms: Vec<(String, String)> = sqlx::query_as(
            "SELECT platform, platform_id FROM platform_posts WHERE group_id = $1 ORDER BY position",
        )
        .bind(&id)
        .fetch_all(&mut *tx)
        .await?;
        let wish = Wish { user: &request.who.acting, group: &id, at: scheduled_time, platforms: &platforms };
        plans::check(&mut tx, &wish, now).await?;
    }
    write(&mut tx, &id, &after, now).await?;
    request.effects.break_transaction()?;

    if before.status != after.status {
        let metadata = Some(json!({ "from": before.status, "to": after.status }));
        logs::add(&mut tx, &request.app.store, &id, Event { metadata, ..Event::of("status_changed") })
            .await?;
    }
    if let (Some(at), "scheduled") = (after.scheduled_time, after.status.as_str()) {
        logs::add(&mut tx, &request.app.store, &id, Event::scheduled(at)).await?;
        deliveries::queue_scheduled(&mut tx, &request.who.acting, &id, at).await?;
    }
    let effect = Effect {
        user: &request.who.acting,
        action: "post.update",
        group: Some(&id),
        before: Some(&before),
        after: Some(&after),
    };
    journal::record(&mut tx, request.origin(), effect).await?;
    tx.commit().await?;
    request.app.deliveries.wake();

    let mut group = json!({ "_id": id, "status": after.status });
    if let Some(at) = after.scheduled_time {
        group["scheduledTime"] = json!(times::text(at));
    }
    let message = "Post updated successfully";
    Ok(Answer::json(200, &json!({ "success": true, "message": message, "postGroup": group })))
}

async fn write(tx: &mut SqliteConnection, id: &str, state: &State, now: i64) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE posts SET status = $2, scheduled_time = $3, updated_at = $4 WHERE id = $1")
        .bind(id)
        .bind(&state.status)
        .bind(state.scheduled_time)
        .bind(now)
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "UPDATE platform_posts SET status = $2 WHERE group_id = $1 AND status IN ('draft', 'scheduled')",
    )
    .bind(id)
    .bind(&state.status)
    .execute(tx)
    .await?;
    Ok(())
}

/// The group's state if it is that user's: somebody else's post does not exist.
pub(super) async fn state_of(
    tx: &mut SqliteConnection,
    id: &str,
    user: &str,
) -> Result<Option<State>, sqlx::Error> {
    let row: Option<(String, Option<i64>)> =
        sqlx::query_as("SELECT status, scheduled_time FROM posts WHERE id = $1 AND user_id = $2")
            .bind(id)
            .bind(user)
            .fetch_optional(tx)
            .await?;
    Ok(row.map(|(status, scheduled_time)| State { status, scheduled_time }))
}

/// Upstream looks a malformed id up all the same, and its database's complaint becomes a 500.
pub(super) fn group_id(text: &str) -> Result<String, Failure> {
    object_id(text).ok_or_else(|| Failure::Broken(format!("cast to ObjectId failed: {} bytes", text.len())))
}

/// `processing` or `pending` while the scheduler has any of the group's platform posts in hand.
fn in_hand<'a>(statuses: impl Iterator<Item = &'a str> + Clone) -> Option<&'static str> {
    ["processing", "pending"].into_iter().find(|wanted| statuses.clone().any(|status| status == *wanted))
}

/// The time upstream grants: never in the past, and later than asked if a switch says so.
fn granted(request: &Request, asked: i64, now: i64) -> i64 {
    asked.max(now).saturating_add(request.effects.move_times_by_ms)
}

fn asked_time(fields: &Map<String, Value>) -> Result<Option<i64>, Failure> {
    match given(fields, "scheduledTime") {
        None => Ok(None),
        Some(value) => match value.as_str().and_then(times::parse) {
            Some(at) => Ok(Some(at)),
            None => Err(refused(400, "Invalid scheduled time format")),
        },
    }
}

/// The target accounts as (platform, raw id).
fn platforms(fields: &Map<String, Value>) -> Result<Vec<(String, String)>, Failure> {
    let Some(value) = given(fields, "platforms") else { return Err(refused(400, "Platforms are required")) };
    let parsed;
    let value = match value {
        Value::String(text) => {
            parsed = serde_json::from_str::<Value>(text)
                .map_err(|_| refused(400, "Invalid platforms JSON format"))?;
            &parsed
        }
        other => other,
    };
    let Value::Array(list) = value else { return Err(refused(400, "Platforms must be an array")) };
    if list.is_empty() {
        return Err(refused(400, "At least one platform is required"));
    }
    let split = |value: &Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        split_platform_id(&text)
            .filter(|_| value.is_string())
            .ok_or_else(|| refused(400, &format!("Invalid platform ID format: {text}")))
    };
    list.iter().map(split).collect()
}

/// `twitter-123` as (`twitter`, `123`); the pattern is `^[a-z]+-[A-Za-z0-9_.:-]+$`, wide enough for Bluesky.
pub(super) fn split_platform_id(text: &str) -> Option<(String, String)> {
    let (platform, raw) = text.split_once('-')?;
    let named = !platform.is_empty() && platform.bytes().all(|b| b.is_ascii_lowercase());
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.:-".contains(&b);
    (named && !raw.is_empty() && raw.bytes().all(plain)).then(|| (platform.to_owned(), raw.to_owned()))
}

fn platform_settings(fields: &Map<String, Value>) -> Result<Option<Value>, Failure> {
    let value = match given(fields, "platformSettings") {
        None => return Ok(None),
        Some(Value::String(text)) => {
            serde_json::from_str(text).map_err(|_| refused(400, "Invalid platformSettings JSON"))?
        }
        Some(other) => other.clone(),
    };
    let Value::Object(mut settings) = value else {
        return Err(refused(400, "platformSettings must be an object"));
    };
    settings.retain(|platform, _| KEPT_SETTINGS.contains(&platform.as_str()));
    Ok(Some(Value::Object(settings)))
}
