//! Media: upload URLs, the upload itself, downloads, removal of files.
//!
//! Records are rows, files are objects under `<userId>/<mediaId>`; file names of callers never become paths.

use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::FromRow;

use super::App;
use super::control::{body, origin};
use super::faults::Effects;
use super::journal::{self, Effect, Origin};
use super::posts;
use super::routes::Request;
use super::store::{object_id, random_hex};
use super::times::{self, Stamp};
use super::wire::{Answer, Call, Failure, refused};

/// How long an upload URL is valid, in milliseconds.
const UPLOAD_FOR: i64 = 3_600_000;

/// `POST /get-upload-url`.
pub(super) async fn upload_url(request: &Request) -> Result<Answer, Failure> {
    let fields = request.call.fields()?;
    let text = |name: &str| {
        let value = fields.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
        value.ok_or_else(|| refused(400, "fileName, contentType, and postGroupId are required"))
    };
    let (file_name, content_type, group) = (text("fileName")?, text("contentType")?, text("postGroupId")?);
    let kind = match fields.get("type").and_then(Value::as_str) {
        Some(kind @ ("image" | "video")) => kind,
        _ if content_type.starts_with("video/") => "video",
        _ => "image",
    };
    let not_found = || refused(404, "Post group not found");
    let group = object_id(group).ok_or_else(not_found)?;

    let now = times::now();
    let (app, user) = (&request.app, &request.who.acting);
    let (id, token) = (app.store.new_id(now), random_hex(24));
    let mut tx = app.store.begin().await?;
    posts::state_of(&mut tx, &group, user).await?.ok_or_else(not_found)?;
    sqlx::query(
        "INSERT INTO media (id, group_id, user_id, file_name, content_type, kind, storage_key, upload_token,
                            upload_expires, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(&id)
    .bind(&group)
    .bind(user)
    .bind(file_name)
    .bind(content_type)
    .bind(kind)
    .bind(storage_key(user, &id))
    .bind(&token)
    .bind(now + UPLOAD_FOR)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    request.effects.break_transaction()?;
    let effect = Effect { user, action: "media.create", group: Some(&group), before: None, after: None };
    journal::record(&mut tx, request.origin(), effect).await?;
    tx.commit().await?;
    let upload = format!("{}/_storage/upload/{id}?token={token}", app.origin);
    let body = json!({
        "success": true, "uploadUrl": upload, "fileUrl": file_url(app, &id, file_name), "mediaId": id,
    });
    Ok(Answer::json(200, &body))
}

#[derive(FromRow)]
struct Pending {
    user_id: String,
    group_id: String,
    storage_key: String,
}

/// `PATCH /_sandbox/media/:id`: when its upload URL expires.
pub(super) async fn change(app: &App, call: &Call, id: &str) -> Result<Answer, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Change {
        upload_expires_at: Stamp,
    }
    let change: Change = body(call)?;
    let mut tx = app.store.begin().await?;
    let media: Option<(String, String)> = sqlx::query_as(
        "UPDATE media SET upload_expires = $2 WHERE id = $1 AND upload_token IS NOT NULL
         RETURNING user_id, group_id",
    )
    .bind(id)
    .bind(change.upload_expires_at.0)
    .fetch_optional(&mut *tx)
    .await?;
    let (user, group) = media.ok_or_else(|| refused(404, "Not found"))?;
    let effect =
        Effect { user: &user, action: "media.update", group: Some(&group), before: None, after: None };
    journal::record(&mut tx, origin(call), effect).await?;
    tx.commit().await?;
    let expires = times::text(change.upload_expires_at.0);
    Ok(Answer::json(200, &json!({ "mediaId": id, "uploadExpiresAt": expires })))
}

/// `PUT /_storage/upload/:mediaId?token=…`: where an upload URL leads; the token is the whole authority.
pub(super) async fn upload(app: &App, call: &Call, id: &str, effects: Effects) -> Result<Answer, Failure> {
    let token = call.query("token").unwrap_or_default();
    let pending: Option<Pending> = sqlx::query_as(
        "SELECT user_id, group_id, storage_key FROM media
         WHERE id = $1 AND upload_token = $2 AND upload_expires > $3 AND storage_key IS NOT NULL",
    )
    .bind(id)
    .bind(token)
    .bind(times::now())
    .fetch_optional(app.store.reader())
    .await?;
    let pending = pending.ok_or_else(|| refused(403, "Upload URL is invalid or has expired"))?;
    if effects.fail_storage {
        return Err(Failure::Broken("storage switched to fail".to_owned()));
    }
    let key = Path::from(pending.storage_key.as_str());
    app.files.put(&key, PutPayload::from(call.body.clone())).await?;

    let mut tx = app.store.begin().await?;
    let done = sqlx::query("UPDATE media SET uploaded_at = $2, size = $3 WHERE id = $1")
        .bind(id)
        .bind(times::now())
        .bind(i64::try_from(call.body.len())?)
        .execute(&mut *tx)
        .await?;
    if done.rows_affected() == 0 {
        // The post was deleted meanwhile, and its sweep of files came before this one was there.
        drop(tx);
        remove_files(app, &[pending.storage_key], false).await;
        return Err(refused(404, "Not found"));
    }
    let (user, group) = (&pending.user_id, &pending.group_id);
    let effect = Effect { user, action: "media.upload", group: Some(group), before: None, after: None };
    journal::record(&mut tx, Origin::Api(call.request_id()), effect).await?;
    tx.commit().await?;
    Ok(Answer::text(200, ""))
}

/// `GET /_storage/files/:mediaId/:name`: where a file URL leads.
pub(super) async fn download(app: &App, id: &str, effects: Effects) -> Result<Answer, Failure> {
    let found: Option<(String, String)> = sqlx::query_as(
        "SELECT storage_key, content_type FROM media
         WHERE id = $1 AND uploaded_at IS NOT NULL AND storage_key IS NOT NULL",
    )
    .bind(id)
    .fetch_optional(app.store.reader())
    .await?;
    let (key, content_type) = found.ok_or_else(|| refused(404, "Not found"))?;
    if effects.fail_storage {
        return Err(Failure::Broken("storage switched to fail".to_owned()));
    }
    let body = app.files.get(&Path::from(key)).await?.bytes().await?;
    let headers = vec![
        ("content-type", content_type),
        // What a stranger uploaded must not run as a page of this origin.
        ("content-security-policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
    ];
    Ok(Answer { status: 200, headers, body })
}

/// Removes files whose records are gone. Failures are logged only; a file that was never uploaded is none.
pub(super) async fn remove_files(app: &App, keys: &[String], fail: bool) {
    for key in keys {
        if fail {
            tracing::warn!(key, "sandbox: a media file stays behind: storage switched to fail");
            continue;
        }
        match app.files.delete(&Path::from(key.as_str())).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => tracing::warn!(key, %error, "sandbox: a media file stays behind"),
        }
    }
}

/// The object a record's file is kept under.
pub(super) fn storage_key(user: &str, id: &str) -> String {
    format!("{user}/{id}")
}

/// The address a file is downloaded from. The name is for people; the id decides.
pub(super) fn file_url(app: &App, id: &str, name: &str) -> String {
    let mut safe = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => safe.push(char::from(byte)),
            other => safe.push_str(&format!("%{other:02X}")),
        }
    }
    // Clients resolve these two away, and the route with them.
    if safe == "." || safe == ".." {
        safe = "file".to_owned();
    }
    format!("{}/_storage/files/{id}/{safe}", app.origin)
}
