//! Control routes for accounts: workspaces, keys, users, connections, made behind the API's back.
//!
//! For tests, the demo and drills. Bodies are strict: a misspelt field must fail a test, not silently do nothing.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::App;
use super::auth::digest_of;
use super::journal::{self, Effect, Origin};
use super::posts::split_platform_id;
use super::store::object_id;
use super::times::{self, Stamp, nullable};
use super::users::{self, NewUser};
use super::wire::{Answer, Call, Failure, refused};

/// A control call's body; what is wrong with it is told, since the caller is a developer.
pub(super) fn body<T: DeserializeOwned>(call: &Call) -> Result<T, Failure> {
    let bytes: &[u8] = if call.body.is_empty() { b"{}" } else { &call.body };
    serde_json::from_slice(bytes).map_err(|error| refused(400, &error.to_string()))
}

pub(super) fn origin(call: &Call) -> Origin<'_> {
    Origin::Control(call.request_id())
}

/// An id given by the caller, checked.
pub(super) fn checked_id(id: &str) -> Result<String, Failure> {
    object_id(id).ok_or_else(|| refused(400, &format!("not an ObjectId: {id}")))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct NewWorkspace {
    name: String,
    owner_id: Option<String>,
    key: Option<String>,
    key_expires_at: Option<Stamp>,
    workspace_enabled: bool,
    api_enabled: bool,
    mcp_enabled: bool,
}

impl Default for NewWorkspace {
    fn default() -> NewWorkspace {
        NewWorkspace {
            name: "Workspace".to_owned(),
            owner_id: None,
            key: None,
            key_expires_at: None,
            workspace_enabled: true,
            api_enabled: true,
            mcp_enabled: true,
        }
    }
}

/// `POST /_sandbox/workspaces`: an owner's account with a key.
pub(super) async fn create_workspace(app: &App, call: &Call) -> Result<Answer, Failure> {
    let new: NewWorkspace = body(call)?;
    let now = times::now();
    let owner = match new.owner_id {
        Some(id) => checked_id(&id)?,
        None => app.store.new_id(now),
    };
    let key = new.key.unwrap_or_else(|| users::make_key(now));
    let mut tx = app.store.begin().await?;
    let added = sqlx::query(
        "INSERT INTO users (id, role, username, display_name, api_enabled, mcp_enabled, created_at)
         VALUES ($1, 'owner', $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
    )
    .bind(&owner)
    .bind(format!("owner-{owner}@sandbox.invalid"))
    .bind(&new.name)
    .bind(new.api_enabled)
    .bind(new.mcp_enabled)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    if added.rows_affected() == 0 {
        return Err(refused(409, "this ownerId exists already"));
    }
    users::insert_key(&mut tx, &key, &owner, new.workspace_enabled, new.key_expires_at.map(|at| at.0))
        .await?;
    let effect = Effect { user: &owner, action: "workspace.create", group: None, before: None, after: None };
    journal::record(&mut tx, origin(call), effect).await?;
    tx.commit().await?;
    Ok(Answer::json(201, &json!({ "ownerId": owner, "key": key })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewKey {
    user_id: String,
    #[serde(default)]
    workspace: bool,
    key: Option<String>,
    expires_at: Option<Stamp>,
}

/// `POST /_sandbox/keys`: one more key; `userId` need not exist.
pub(super) async fn create_key(app: &App, call: &Call) -> Result<Answer, Failure> {
    let new: NewKey = body(call)?;
    let user = checked_id(&new.user_id)?;
    let key = new.key.unwrap_or_else(|| users::make_key(times::now()));
    let mut tx = app.store.begin().await?;
    users::insert_key(&mut tx, &key, &user, new.workspace, new.expires_at.map(|at| at.0)).await?;
    let effect = Effect { user: &user, action: "key.create", group: None, before: None, after: None };
    journal::record(&mut tx, origin(call), effect).await?;
    tx.commit().await?;
    Ok(Answer::json(201, &json!({ "userId": user, "key": key })))
}

/// `DELETE /_sandbox/keys` with `{"key"}`: revokes it.
pub(super) async fn revoke_key(app: &App, call: &Call) -> Result<Answer, Failure> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Which {
        key: String,
    }
    let which: Which = body(call)?;
    let mut tx = app.store.begin().await?;
    let user: Option<String> =
        sqlx::query_scalar("UPDATE keys SET revoked_at = $2 WHERE digest = $1 RETURNING user_id")
            .bind(digest_of(&which.key))
            .bind(times::now())
            .fetch_optional(&mut *tx)
            .await?;
    let user = user.ok_or_else(|| refused(404, "Not found"))?;
    let effect = Effect { user: &user, action: "key.revoke", group: None, before: None, after: None };
    journal::record(&mut tx, origin(call), effect).await?;
    tx.commit().await?;
    Ok(Answer::json(200, &json!({ "success": true })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewManagedUser {
    workspace_key: Option<String>,
    owner_id: Option<String>,
    id: Option<String>,
    username: String,
    display_name: Option<String>,
}

/// `POST /_sandbox/users`: a managed user, with a chosen id if one is given.
pub(super) async fn create_user(app: &App, call: &Call) -> Result<Answer, Failure> {
    let new: NewManagedUser = body(call)?;
    let owner = match (&new.owner_id, &new.workspace_key) {
        (Some(id), _) => checked_id(id)?,
        (None, Some(key)) => users::owner_of_key(&app.store, key).await?,
        (None, None) => return Err(refused(400, "ownerId or workspaceKey is required")),
    };
    let id = new.id.as_deref().map(checked_id).transpose()?;
    let mut tx = app.store.begin().await?;
    let new =
        NewUser { owner: &owner, id, username: &new.username, display_name: new.display_name.as_deref() };
    let user = users::insert(&mut tx, app, new, origin(call)).await?;
    tx.commit().await?;
    Ok(Answer::json(201, &json!({ "user": user })))
}

/// `DELETE /_sandbox/users/:id`: the record itself, owner or managed. Keys and posts stay.
pub(super) async fn remove_user(app: &App, call: &Call, id: &str) -> Result<Answer, Failure> {
    let id = checked_id(id)?;
    let mut tx = app.store.begin().await?;
    let gone = sqlx::query("DELETE FROM users WHERE id = $1").bind(&id).execute(&mut *tx).await?;
    if gone.rows_affected() == 0 {
        return Err(refused(404, "Not found"));
    }
    let effect = Effect { user: &id, action: "user.delete", group: None, before: None, after: None };
    journal::record(&mut tx, origin(call), effect).await?;
    tx.commit().await?;
    Ok(Answer::json(200, &json!({ "success": true })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Connection {
    user_id: String,
    platform_id: String,
    username: Option<String>,
    display_name: Option<String>,
    profile_image_url: Option<String>,
    profile_url: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    access_token_expires_at: Option<Option<Stamp>>,
    #[serde(default, deserialize_with = "nullable")]
    last_successful_post: Option<Option<Stamp>>,
    #[serde(default, deserialize_with = "nullable")]
    last_error: Option<Option<Value>>,
}

/// `POST /_sandbox/connections`: one or an array; an existing one keeps the fields that are not given.
pub(super) async fn put_connections(app: &App, call: &Call) -> Result<Answer, Failure> {
    let value: Value = body(call)?;
    let list = match value {
        Value::Array(list) => list,
        one => vec![one],
    };
    let count = list.len();
    let mut tx = app.store.begin().await?;
    for value in list {
        let new: Connection =
            serde_json::from_value(value).map_err(|error| refused(400, &error.to_string()))?;
        let user = checked_id(&new.user_id)?;
        if split_platform_id(&new.platform_id).is_none() {
            return Err(refused(400, &format!("Invalid platform ID format: {}", new.platform_id)));
        }
        let stamp = |given: Option<Option<Stamp>>| given.flatten().map(|at| at.0);
        sqlx::query(
            "INSERT INTO connections (user_id, platform_id, username, display_name, profile_image_url, profile_url,
                                      token_expires_at, last_successful_post, last_error)
             VALUES ($1, $2, COALESCE($3, $2), COALESCE($4, $3, $2), $5, $6, $7, $8, $9)
             ON CONFLICT (user_id, platform_id) DO UPDATE SET
                username = COALESCE($3, username), display_name = COALESCE($4, display_name),
                profile_image_url = COALESCE($5, profile_image_url), profile_url = COALESCE($6, profile_url),
                token_expires_at = CASE WHEN $10 THEN $7 ELSE token_expires_at END,
                last_successful_post = CASE WHEN $11 THEN $8 ELSE last_successful_post END,
                last_error = CASE WHEN $12 THEN $9 ELSE last_error END",
        )
        .bind(&user)
        .bind(&new.platform_id)
        .bind(&new.username)
        .bind(&new.display_name)
        .bind(&new.profile_image_url)
        .bind(&new.profile_url)
        .bind(stamp(new.access_token_expires_at))
        .bind(stamp(new.last_successful_post))
        .bind(new.last_error.clone().flatten().map(|error| error.to_string()))
        .bind(new.access_token_expires_at.is_some())
        .bind(new.last_successful_post.is_some())
        .bind(new.last_error.is_some())
        .execute(&mut *tx)
        .await?;
        let effect = Effect { user: &user, action: "connection.put", group: None, before: None, after: None };
        journal::record(&mut tx, origin(call), effect).await?;
    }
    tx.commit().await?;
    Ok(Answer::json(200, &json!({ "success": true, "count": count })))
}

/// `DELETE /_sandbox/connections` with `{"userId","platformId"}`.
pub(super) async fn remove_connection(app: &App, call: &Call) -> Result<Answer, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Which {
        user_id: String,
        platform_id: String,
    }
    let which: Which = body(call)?;
    let mut tx = app.store.begin().await?;
    let gone = sqlx::query("DELETE FROM connections WHERE user_id = $1 AND platform_id = $2")
        .bind(&which.user_id)
        .bind(&which.platform_id)
        .execute(&mut *tx)
        .await?;
    if gone.rows_affected() == 0 {
        return Err(refused(404, "Not found"));
    }
    let user = &which.user_id;
    let effect = Effect { user, action: "connection.delete", group: None, before: None, after: None };
    journal::record(&mut tx, origin(call), effect).await?;
    tx.commit().await?;
    Ok(Answer::json(200, &json!({ "success": true })))
}
