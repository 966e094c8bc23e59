//! Control routes for posts: seed any number in any state, look at one whole, change or remove it unseen.
//!
//! Takes what it is given: unknown statuses and impossible combinations are what clients must be tested with.
//! All of it is journalled with the origin `control`.

use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::{FromRow, SqliteConnection};

use super::control::{body, checked_id, origin};
use super::journal::{self, Effect, State};
use super::posts::{self, split_platform_id};
use super::store::random_hex;
use super::times::{self, Stamp, nullable};
use super::wire::{Answer, Call, Failure, refused};
use super::{App, deletion, logs, media};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    posts: Vec<NewPost>,
    /// Whether to write the post logs that such posts would have.
    #[serde(default)]
    logs: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewPost {
    user_id: String,
    id: Option<String>,
    content: Option<String>,
    status: Option<String>,
    scheduled_time: Option<Stamp>,
    created_at: Option<Stamp>,
    updated_at: Option<Stamp>,
    #[serde(default)]
    platforms: Vec<NewPlatformPost>,
    #[serde(default)]
    media: Vec<NewMedia>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NewPlatformPost {
    Id(String),
    Full(PlatformPost),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PlatformPost {
    platform_id: String,
    id: Option<String>,
    content: Option<String>,
    status: Option<String>,
    posted_id: Option<String>,
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NewMedia {
    Url(String),
    File(MediaFile),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MediaFile {
    file_name: String,
    content_type: String,
    /// The file itself, as text (an SVG will do for a picture).
    text: String,
}

/// `POST /_sandbox/posts`: a batch in one transaction; answers the ids in order.
pub(super) async fn create(app: &App, call: &Call) -> Result<Answer, Failure> {
    let batch: Batch = body(call)?;
    let now = times::now();
    let mut ids = Vec::with_capacity(batch.posts.len());
    let mut tx = app.store.begin().await?;
    for post in batch.posts {
        let user = checked_id(&post.user_id)?;
        let id = match &post.id {
            Some(id) => checked_id(id)?,
            None => app.store.new_id(now),
        };
        let status = post.status.as_deref().unwrap_or("draft");
        let content = post.content.as_deref().unwrap_or("A seeded post");
        let created = post.created_at.map_or(now, |at| at.0);
        let added = sqlx::query(
            "INSERT INTO posts (id, user_id, content, status, scheduled_time, created_at, updated_at)
             SELECT $1, $2, $3, $4, $5, $6, $7 WHERE EXISTS (SELECT 1 FROM users WHERE id = $2)
             ON CONFLICT DO NOTHING",
        )
        .bind(&id)
        .bind(&user)
        .bind(content)
        .bind(status)
        .bind(post.scheduled_time.map(|at| at.0))
        .bind(created)
        .bind(post.updated_at.map_or(created, |at| at.0))
        .execute(&mut *tx)
        .await?;
        if added.rows_affected() == 0 {
            return Err(refused(409, &format!("post {id}: unknown userId, or the id exists already")));
        }
        put_platforms(&mut tx, app, &id, &post.platforms, status, content).await?;
        for new in &post.media {
            put_media(&mut tx, app, &id, &user, new).await?;
        }
        if batch.logs {
            logs::reconstruct(&mut tx, &app.store, &id).await?;
        }
        let after = State { status: status.to_owned(), scheduled_time: post.scheduled_time.map(|at| at.0) };
        let effect = Effect {
            user: &user,
            action: "post.create",
            group: Some(&id),
            before: None,
            after: Some(&after),
        };
        journal::record(&mut tx, origin(call), effect).await?;
        ids.push(id);
    }
    tx.commit().await?;
    Ok(Answer::json(201, &json!({ "ids": ids })))
}

async fn put_platforms(
    tx: &mut SqliteConnection,
    app: &App,
    group: &str,
    list: &[NewPlatformPost],
    group_status: &str,
    content: &str,
) -> Result<(), Failure> {
    let now = times::now();
    for (position, new) in (0_i64..).zip(list) {
        let (account, full) = match new {
            NewPlatformPost::Id(account) => (account, None),
            NewPlatformPost::Full(full) => (&full.platform_id, Some(full)),
        };
        let (platform, raw) = split_platform_id(account)
            .ok_or_else(|| refused(400, &format!("Invalid platform ID format: {account}")))?;
        let usual = if group_status == "partially_published" { "published" } else { group_status };
        let status = full.and_then(|full| full.status.as_deref()).unwrap_or(usual);
        let posted_id = full.and_then(|full| full.posted_id.clone());
        let posted_id = posted_id.or_else(|| (status == "published").then(|| random_hex(8)));
        let error = full.and_then(|full| full.error.clone()).or_else(|| (status == "failed").then(unknown));
        sqlx::query(
            "INSERT INTO platform_posts
                (id, group_id, position, platform, platform_id, content, status, posted_id, error)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(full.and_then(|full| full.id.clone()).unwrap_or_else(|| app.store.new_id(now)))
        .bind(group)
        .bind(position)
        .bind(platform)
        .bind(raw)
        .bind(full.and_then(|full| full.content.as_deref()).unwrap_or(content))
        .bind(status)
        .bind(posted_id)
        .bind(error.map(|error| error.to_string()))
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

fn unknown() -> Value {
    json!({
        "code": "UNKNOWN_ERROR", "message": "The platform did not say why", "retryable": true,
        "failedAt": times::text(times::now()),
    })
}

async fn put_media(
    tx: &mut SqliteConnection,
    app: &App,
    group: &str,
    user: &str,
    new: &NewMedia,
) -> Result<(), Failure> {
    let now = times::now();
    let id = app.store.new_id(now);
    let (name, content_type, url, file) = match new {
        NewMedia::Url(url) => ("file", "image/jpeg", Some(url), None),
        NewMedia::File(file) => (file.file_name.as_str(), file.content_type.as_str(), None, Some(&file.text)),
    };
    let key = file.map(|_| media::storage_key(user, &id));
    if let (Some(key), Some(text)) = (&key, file) {
        // Before the commit: a rolled-back batch leaves a stray file, never a record without one.
        app.files.put(&Path::from(key.as_str()), PutPayload::from(text.clone())).await?;
    }
    let kind = if content_type.starts_with("video/") { "video" } else { "image" };
    sqlx::query(
        "INSERT INTO media (id, group_id, user_id, file_name, content_type, kind, external_url, storage_key,
                            uploaded_at, size, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(&id)
    .bind(group)
    .bind(user)
    .bind(name)
    .bind(content_type)
    .bind(kind)
    .bind(url)
    .bind(&key)
    .bind(key.as_ref().map(|_| now))
    .bind(file.map(|text| text.len() as i64))
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

#[derive(FromRow)]
struct Whole {
    user_id: String,
    content: String,
    status: String,
    scheduled_time: Option<i64>,
    platform_settings: Option<String>,
    created_at: i64,
    updated_at: i64,
}

/// `GET /_sandbox/posts/:id`: the truth about a post, whoever's it is.
pub(super) async fn show(app: &App, id: &str) -> Result<Answer, Failure> {
    let id = checked_id(id)?;
    let mut tx = app.store.reader().begin().await?;
    let post: Option<Whole> = sqlx::query_as(
        "SELECT user_id, content, status, scheduled_time, platform_settings, created_at, updated_at
         FROM posts WHERE id = $1",
    )
    .bind(&id)
    .fetch_optional(&mut *tx)
    .await?;
    let platforms: Vec<(String, String, String, String)> = sqlx::query_as(
        "SELECT id, platform, platform_id, status FROM platform_posts WHERE group_id = $1 ORDER BY position",
    )
    .bind(&id)
    .fetch_all(&mut *tx)
    .await?;
    let files: Vec<(String, Option<String>, Option<i64>, Option<i64>)> = sqlx::query_as(
        "SELECT id, storage_key, uploaded_at, upload_expires FROM media WHERE group_id = $1 ORDER BY created_at, id",
    )
    .bind(&id)
    .fetch_all(&mut *tx)
    .await?;
    let post = post.ok_or_else(|| refused(404, "Not found"))?;
    let settings: Option<Value> =
        post.platform_settings.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let platforms: Vec<Value> = platforms
        .into_iter()
        .map(|(id, platform, raw, status)| {
            json!({ "_id": id, "platformId": format!("{platform}-{raw}"), "status": status })
        })
        .collect();
    let files: Vec<Value> = files
        .into_iter()
        .map(|(id, key, uploaded, expires)| {
            json!({
                "mediaId": id, "storageKey": key, "uploaded": uploaded.is_some(),
                "uploadExpiresAt": expires.map(times::text),
            })
        })
        .collect();
    let body = json!({
        "postGroupId": id, "userId": post.user_id, "content": post.content, "status": post.status,
        "scheduledTime": post.scheduled_time.map(times::text), "platformSettings": settings,
        "createdAt": times::text(post.created_at), "updatedAt": times::text(post.updated_at),
        "platforms": platforms, "media": files,
    });
    Ok(Answer::json(200, &body))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Change {
    content: Option<String>,
    status: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    scheduled_time: Option<Option<Stamp>>,
    updated_at: Option<Stamp>,
    platform_status: Option<String>,
    platforms: Option<Vec<NewPlatformPost>>,
}

/// `PATCH /_sandbox/posts/:id`: changes a post behind the API's back.
pub(super) async fn change(app: &App, call: &Call, id: &str) -> Result<Answer, Failure> {
    let id = checked_id(id)?;
    let change: Change = body(call)?;
    let mut tx = app.store.begin().await?;
    let (user, before) = owned(&mut tx, &id).await?;
    let after = State {
        status: change.status.unwrap_or_else(|| before.status.clone()),
        scheduled_time: change.scheduled_time.map_or(before.scheduled_time, |given| given.map(|at| at.0)),
    };
    let content: String = sqlx::query_scalar(
        "UPDATE posts SET content = COALESCE($2, content), status = $3, scheduled_time = $4, updated_at = $5
         WHERE id = $1 RETURNING content",
    )
    .bind(&id)
    .bind(&change.content)
    .bind(&after.status)
    .bind(after.scheduled_time)
    .bind(change.updated_at.map_or_else(times::now, |at| at.0))
    .fetch_one(&mut *tx)
    .await?;
    if let Some(platforms) = &change.platforms {
        sqlx::query("DELETE FROM platform_posts WHERE group_id = $1").bind(&id).execute(&mut *tx).await?;
        put_platforms(&mut tx, app, &id, platforms, &after.status, &content).await?;
    }
    if let Some(status) = &change.platform_status {
        sqlx::query("UPDATE platform_posts SET status = $2 WHERE group_id = $1")
            .bind(&id)
            .bind(status)
            .execute(&mut *tx)
            .await?;
    }
    let effect = Effect {
        user: &user,
        action: "post.update",
        group: Some(&id),
        before: Some(&before),
        after: Some(&after),
    };
    journal::record(&mut tx, origin(call), effect).await?;
    tx.commit().await?;
    show(app, &id).await
}

/// `DELETE /_sandbox/posts/:id`.
pub(super) async fn remove(app: &App, call: &Call, id: &str) -> Result<Answer, Failure> {
    let id = checked_id(id)?;
    let mut tx = app.store.begin().await?;
    let (user, before) = owned(&mut tx, &id).await?;
    let files = deletion::remove_children(&mut tx, &id, &user, origin(call)).await?;
    deletion::remove_group(&mut tx, &id, &user, &before, origin(call)).await?;
    tx.commit().await?;
    media::remove_files(app, &files, false).await;
    Ok(Answer::json(200, &json!({ "success": true })))
}

async fn owned(tx: &mut SqliteConnection, id: &str) -> Result<(String, State), Failure> {
    let user: Option<String> = sqlx::query_scalar("SELECT user_id FROM posts WHERE id = $1")
        .bind(id)
        .fetch_optional(&mut *tx)
        .await?;
    let user = user.ok_or_else(|| refused(404, "Not found"))?;
    let state = posts::state_of(tx, id, &user).await?.ok_or_else(|| refused(404, "Not found"))?;
    Ok((user, state))
}
