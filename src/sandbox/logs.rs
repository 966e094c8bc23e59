//! Post logs: the history of a post group as its owner may read it.
//!
//! Written in the transaction of what they tell of. Not the journal: that one is for tests and holds every effect.

use serde_json::{Value, json};
use sqlx::{FromRow, SqliteConnection};

use super::posts;
use super::routes::Request;
use super::store::Store;
use super::times;
use super::wire::{Answer, Failure, refused};

/// One event of a group, or of one of its platform posts.
#[derive(Default)]
pub(super) struct Event<'a> {
    pub(super) name: &'a str,
    /// The platform post's id and platform.
    pub(super) post: Option<(&'a str, &'a str)>,
    pub(super) error: Option<&'a Value>,
    pub(super) http_status: Option<i64>,
    pub(super) metadata: Option<Value>,
    /// When it happened, if that was not just now.
    pub(super) at: Option<i64>,
}

impl<'a> Event<'a> {
    pub(super) fn of(name: &'a str) -> Event<'a> {
        Event { name, ..Event::default() }
    }

    pub(super) fn scheduled(at: i64) -> Event<'a> {
        Event { metadata: Some(json!({ "scheduledTime": times::text(at) })), ..Event::of("scheduled") }
    }
}

/// Adds an event.
pub(super) async fn add(
    tx: &mut SqliteConnection,
    store: &Store,
    group: &str,
    event: Event<'_>,
) -> Result<(), sqlx::Error> {
    let now = event.at.unwrap_or_else(times::now);
    sqlx::query(
        "INSERT INTO post_logs (id, group_id, post_id, platform, event, error, http_status, metadata, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(store.new_id(now))
    .bind(group)
    .bind(event.post.map(|(id, _)| id))
    .bind(event.post.map(|(_, platform)| platform))
    .bind(event.name)
    .bind(event.error.map(Value::to_string))
    .bind(event.http_status)
    .bind(event.metadata.map(|metadata| metadata.to_string()))
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes the events that a seeded post would have behind it.
pub(super) async fn reconstruct(
    tx: &mut SqliteConnection,
    store: &Store,
    group: &str,
) -> Result<(), sqlx::Error> {
    let (status, scheduled, created, updated): (String, Option<i64>, i64, i64) =
        sqlx::query_as("SELECT status, scheduled_time, created_at, updated_at FROM posts WHERE id = $1")
            .bind(group)
            .fetch_one(&mut *tx)
            .await?;
    let posts: Vec<(String, String, String, Option<String>, Option<String>)> = sqlx::query_as(
        "SELECT id, platform, status, posted_id, error FROM platform_posts WHERE group_id = $1 ORDER BY position",
    )
    .bind(group)
    .fetch_all(&mut *tx)
    .await?;
    if status == "draft" {
        return Ok(());
    }
    if let Some(at) = scheduled {
        add(tx, store, group, Event { at: Some(created), ..Event::scheduled(at) }).await?;
    }
    if posts.iter().any(|(_, _, status, ..)| matches!(status.as_str(), "processing" | "published" | "failed"))
    {
        // Not `clamp`: seeds may say that a change came before the post.
        let at = Some(scheduled.map_or(updated, |at| at.max(created).min(updated)));
        add(tx, store, group, Event { at, ..Event::of("processing") }).await?;
    }
    for (post, platform, status, posted_id, error) in &posts {
        let of_post = |name| Event { post: Some((post, platform)), at: Some(updated), ..Event::of(name) };
        let error: Option<Value> = error.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let event = match status.as_str() {
            "published" => {
                let metadata = posted_id.as_ref().map(|id| json!({ "postedId": id }));
                Event { http_status: Some(200), metadata, ..of_post("publish_succeeded") }
            }
            "failed" => {
                let http_status = error.as_ref().and_then(|error| error["platformStatusCode"].as_i64());
                Event { error: error.as_ref(), http_status, ..of_post("publish_failed") }
            }
            _ => continue,
        };
        add(tx, store, group, of_post("publish_attempted")).await?;
        add(tx, store, group, event).await?;
    }
    if matches!(status.as_str(), "published" | "failed" | "partially_published") {
        let metadata = Some(json!({ "from": "scheduled", "to": status }));
        add(tx, store, group, Event { metadata, at: Some(updated), ..Event::of("status_changed") }).await?;
    }
    Ok(())
}

#[derive(FromRow)]
struct Row {
    id: String,
    group_id: String,
    post_id: Option<String>,
    platform: Option<String>,
    event: String,
    error: Option<String>,
    http_status: Option<i64>,
    metadata: Option<String>,
    created_at: i64,
}

/// `GET /post-logs/:postGroupId`: oldest first, at most 100.
pub(super) async fn list(request: &Request, id: &str) -> Result<Answer, Failure> {
    let id = posts::group_id(id)?;
    let mut tx = request.app.store.reader().begin().await?;
    if posts::state_of(&mut tx, &id, &request.who.acting).await?.is_none() {
        return Err(refused(404, "Post group not found"));
    }
    let rows: Vec<Row> = sqlx::query_as("SELECT * FROM post_logs WHERE group_id = $1 ORDER BY seq LIMIT 100")
        .bind(&id)
        .fetch_all(&mut *tx)
        .await?;
    let logs: Vec<Value> = rows.iter().map(line).collect();
    Ok(Answer::json(200, &json!({ "success": true, "logs": logs })))
}

fn line(row: &Row) -> Value {
    let parsed = |text: &Option<String>| -> Option<Value> { serde_json::from_str(text.as_deref()?).ok() };
    let mut line = json!({
        "_id": row.id, "postGroupId": row.group_id, "event": row.event,
        "createdAt": times::text(row.created_at),
    });
    let optional = [
        ("postId", row.post_id.as_ref().map(|id| json!(id))),
        ("platform", row.platform.as_ref().map(|platform| json!(platform))),
        ("error", parsed(&row.error)),
        // Each attempt is the first: nothing is tried again here.
        ("retryCount", row.event.starts_with("publish_").then(|| json!(0))),
        ("httpStatus", row.http_status.map(|status| json!(status))),
        ("metadata", parsed(&row.metadata)),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            line[name] = value;
        }
    }
    line
}
