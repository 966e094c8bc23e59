//! Workspace users: list, create, detach, their own keys, the page where they connect their accounts.
//!
//! A managed user is found only through the owner of the key. Detaching forgets the tie, never the user.

use serde_json::{Value, json};
use sqlx::{FromRow, SqliteConnection};

use super::App;
use super::auth::digest_of;
use super::journal::{self, Effect, Origin};
use super::routes::Request;
use super::store::{Store, object_id, random_hex};
use super::times;
use super::wire::{Answer, Failure, refused};

const DAY: f64 = 86_400_000.0;

/// The longest a connection URL may live, in days.
const LONGEST: f64 = 3650.0;

#[derive(FromRow)]
struct User {
    id: String,
    username: String,
    display_name: String,
    connection_token: Option<String>,
    connection_expires: Option<i64>,
}

impl User {
    fn json(&self, app: &App) -> Value {
        let mut user = json!({
            "_id": self.id, "username": self.username, "displayName": self.display_name,
            "role": "managed", "dailyPostsLeft": 100,
        });
        if let (Some(token), Some(expires)) = (&self.connection_token, self.connection_expires) {
            user["connectionsPageUrl"] = json!(page_url(app, token));
            user["connectionsPageTokenExpiresAt"] = json!(times::text(expires));
        }
        user
    }
}

/// `GET /workspace/users`.
pub(super) async fn list(request: &Request) -> Result<Answer, Failure> {
    let users: Vec<User> = sqlx::query_as(
        "SELECT id, username, display_name, connection_token, connection_expires
         FROM users WHERE owner_id = $1 ORDER BY created_at, id",
    )
    .bind(&request.who.owner)
    .fetch_all(request.app.store.reader())
    .await?;
    let users: Vec<Value> = users.iter().map(|user| user.json(&request.app)).collect();
    Ok(Answer::json(200, &json!({ "users": users })))
}

/// `POST /workspace/users`.
pub(super) async fn create(request: &Request) -> Result<Answer, Failure> {
    let fields = request.call.fields()?;
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::trim).filter(|t| !t.is_empty());
    let username = text("username").ok_or_else(|| refused(400, "Email is required"))?;
    let mut tx = request.app.store.begin().await?;
    let new = NewUser { owner: &request.who.owner, id: None, username, display_name: text("displayName") };
    let user = insert(&mut tx, &request.app, new, request.origin()).await?;
    request.effects.break_transaction()?;
    tx.commit().await?;
    Ok(Answer::json(201, &json!({ "user": user })))
}

/// A managed user to be made.
pub(super) struct NewUser<'a> {
    pub(super) owner: &'a str,
    pub(super) id: Option<String>,
    pub(super) username: &'a str,
    pub(super) display_name: Option<&'a str>,
}

/// Adds a managed user and its journal entry; answers its wire form.
pub(super) async fn insert(
    tx: &mut SqliteConnection,
    app: &App,
    new: NewUser<'_>,
    origin: Origin<'_>,
) -> Result<Value, Failure> {
    let now = times::now();
    let user = User {
        id: new.id.unwrap_or_else(|| app.store.new_id(now)),
        username: new.username.to_lowercase(),
        display_name: new.display_name.unwrap_or(new.username).to_owned(),
        connection_token: None,
        connection_expires: None,
    };
    // An address belongs to one account on the whole of upstream, detached ones included.
    let added = sqlx::query(
        "INSERT INTO users (id, owner_id, role, username, display_name, created_at)
         VALUES ($1, $2, 'managed', $3, $4, $5) ON CONFLICT DO NOTHING",
    )
    .bind(&user.id)
    .bind(new.owner)
    .bind(&user.username)
    .bind(&user.display_name)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    if added.rows_affected() == 0 {
        return Err(refused(409, "User with this email already exists"));
    }
    let effect = Effect { user: &user.id, action: "user.create", group: None, before: None, after: None };
    journal::record(tx, origin, effect).await?;
    Ok(user.json(app))
}

/// `DELETE /workspace/users/:userId`.
pub(super) async fn detach(request: &Request, id: &str) -> Result<Answer, Failure> {
    let id = user_id(id)?;
    let mut tx = request.app.store.begin().await?;
    managed(&mut tx, &id, &request.who.owner).await?;
    sqlx::query("UPDATE users SET owner_id = NULL WHERE id = $1").bind(&id).execute(&mut *tx).await?;
    request.effects.break_transaction()?;
    let effect = Effect { user: &id, action: "user.detach", group: None, before: None, after: None };
    journal::record(&mut tx, request.origin(), effect).await?;
    tx.commit().await?;
    Ok(Answer::json(200, &json!({ "success": true })))
}

/// `POST /workspace/users/:userId/api-key`: a key for the user alone; the earlier one stops working.
pub(super) async fn new_key(request: &Request, id: &str) -> Result<Answer, Failure> {
    let id = user_id(id)?;
    let now = times::now();
    let mut tx = request.app.store.begin().await?;
    managed(&mut tx, &id, &request.who.owner).await?;
    sqlx::query("UPDATE keys SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL")
        .bind(&id)
        .bind(now)
        .execute(&mut *tx)
        .await?;
    let key = make_key(now);
    insert_key(&mut tx, &key, &id, false, None).await?;
    request.effects.break_transaction()?;
    let effect = Effect { user: &id, action: "key.create", group: None, before: None, after: None };
    journal::record(&mut tx, request.origin(), effect).await?;
    tx.commit().await?;
    let message = "API key generated successfully";
    Ok(Answer::json(200, &json!({ "message": message, "apiKey": key, "userId": id })))
}

/// `POST /workspace/users/:userId/connection-url`.
pub(super) async fn connection_url(request: &Request, id: &str) -> Result<Answer, Failure> {
    let fields = request.call.fields()?;
    let id = user_id(id)?;
    let days = match fields.get("expiresInDays") {
        None | Some(Value::Null) => 90.0,
        Some(value) => value
            .as_f64()
            .filter(|days| *days > 0.0 && *days <= LONGEST)
            .ok_or_else(|| refused(400, "expiresInDays must be a positive number"))?,
    };
    let rotate = fields.get("rotate").and_then(Value::as_bool).unwrap_or(false);
    let now = times::now();

    let mut tx = request.app.store.begin().await?;
    let user = managed(&mut tx, &id, &request.who.owner).await?;
    let kept = match (user.connection_token, user.connection_expires) {
        (Some(token), Some(expires)) if !rotate && expires > now => Some((token, expires)),
        _ => None,
    };
    let (token, expires) = match kept {
        Some(kept) => kept,
        None => {
            let (token, expires) = (random_hex(24), now + (days * DAY) as i64);
            sqlx::query("UPDATE users SET connection_token = $2, connection_expires = $3 WHERE id = $1")
                .bind(&id)
                .bind(&token)
                .bind(expires)
                .execute(&mut *tx)
                .await?;
            let effect = Effect { user: &id, action: "url.create", group: None, before: None, after: None };
            journal::record(&mut tx, request.origin(), effect).await?;
            (token, expires)
        }
    };
    request.effects.break_transaction()?;
    tx.commit().await?;
    let url = page_url(&request.app, &token);
    Ok(Answer::json(200, &json!({ "url": url, "tokenExpiresAt": times::text(expires) })))
}

/// `GET /connect/:token`: where a connection URL leads.
pub(super) async fn connections_page(app: &App, token: &str) -> Result<Answer, Failure> {
    let name: Option<String> = sqlx::query_scalar(
        "SELECT display_name FROM users WHERE connection_token = $1 AND connection_expires > $2",
    )
    .bind(token)
    .bind(times::now())
    .fetch_optional(app.store.reader())
    .await?;
    let name = name.ok_or_else(|| refused(404, "Not found"))?;
    let text =
        format!("Sandbox: here {name} would connect social accounts. Use POST /_sandbox/connections.\n");
    Ok(Answer::text(200, &text))
}

async fn managed(tx: &mut SqliteConnection, id: &str, owner: &str) -> Result<User, Failure> {
    let user = sqlx::query_as(
        "SELECT id, username, display_name, connection_token, connection_expires
         FROM users WHERE id = $1 AND owner_id = $2",
    )
    .bind(id)
    .bind(owner)
    .fetch_optional(tx)
    .await?;
    user.ok_or_else(|| refused(404, "User not found or not managed by this key"))
}

fn user_id(text: &str) -> Result<String, Failure> {
    object_id(text).ok_or_else(|| refused(400, "Invalid user ID"))
}

fn page_url(app: &App, token: &str) -> String {
    format!("{}/connect/{token}", app.origin)
}

/// A key in upstream's form: `sk_<timestamp in base 36>_<hex>.<hex>`.
pub(super) fn make_key(now: i64) -> String {
    let mut digits = Vec::new();
    let mut rest = now.unsigned_abs();
    while rest > 0 {
        digits.push(char::from_digit((rest % 36) as u32, 36).unwrap_or('0'));
        rest /= 36;
    }
    let stamp: String = digits.into_iter().rev().collect();
    format!("sk_{stamp}_{}.{}", random_hex(12), random_hex(16))
}

/// Stores a key's digest.
pub(super) async fn insert_key(
    tx: &mut SqliteConnection,
    key: &str,
    user: &str,
    workspace: bool,
    expires_at: Option<i64>,
) -> Result<(), Failure> {
    let added = sqlx::query(
        "INSERT INTO keys (digest, user_id, workspace, expires_at, created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT DO NOTHING",
    )
    .bind(digest_of(key))
    .bind(user)
    .bind(workspace)
    .bind(expires_at)
    .bind(times::now())
    .execute(tx)
    .await?;
    if added.rows_affected() == 0 { Err(refused(409, "this key exists already")) } else { Ok(()) }
}

/// The account a workspace key belongs to.
pub(super) async fn owner_of_key(store: &Store, key: &str) -> Result<String, Failure> {
    let owner = sqlx::query_scalar("SELECT user_id FROM keys WHERE digest = $1 AND workspace = 1")
        .bind(digest_of(key))
        .fetch_optional(store.reader())
        .await?;
    owner.ok_or_else(|| refused(400, "unknown workspaceKey"))
}
