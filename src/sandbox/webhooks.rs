//! Webhooks: list, create, update, delete, a new secret. What they are sent is in `deliveries`.
//!
//! A secret is shown when it is made and never again. Upstream does not document the answer to a new secret (the one
//! to a create is given) and what switching a webhook on again does to its count (it starts anew).

use serde_json::{Map, Value, json};
use sqlx::{FromRow, SqliteConnection};

use super::journal::{self, Effect};
use super::routes::Request;
use super::store::{object_id, random_hex};
use super::wire::{Answer, Failure, refused};
use super::{targets, times};

/// What can be listened to.
const EVENTS: [&str; 4] = ["post.scheduled", "post.published", "post.failed", "token.expiring"];

/// How many one user may have.
const MOST: i64 = 10;

#[derive(FromRow)]
struct Webhook {
    id: String,
    name: String,
    url: String,
    events: String,
    is_active: bool,
    failure_count: i64,
    last_triggered_at: Option<i64>,
    created_at: i64,
    updated_at: i64,
}

impl Webhook {
    fn json(&self) -> Value {
        let events: Value = serde_json::from_str(&self.events).unwrap_or_default();
        json!({
            "_id": self.id, "name": self.name, "url": self.url, "events": events,
            "isActive": self.is_active, "failureCount": self.failure_count,
            "lastTriggeredAt": self.last_triggered_at.map(times::text),
            "createdAt": times::text(self.created_at), "updatedAt": times::text(self.updated_at),
        })
    }

    fn json_with(&self, secret: &str) -> Value {
        let mut webhook = self.json();
        webhook["secret"] = json!(secret);
        webhook
    }
}

/// `GET /webhooks`.
pub(super) async fn list(request: &Request) -> Result<Answer, Failure> {
    let webhooks: Vec<Webhook> =
        sqlx::query_as("SELECT * FROM webhooks WHERE user_id = $1 ORDER BY created_at, id")
            .bind(&request.who.acting)
            .fetch_all(request.app.store.reader())
            .await?;
    let webhooks: Vec<Value> = webhooks.iter().map(Webhook::json).collect();
    Ok(Answer::json(200, &json!({ "success": true, "webhooks": webhooks })))
}

/// `POST /webhooks`.
pub(super) async fn create(request: &Request) -> Result<Answer, Failure> {
    let fields = request.call.fields()?;
    let (Some(name), Some(url), Some(events)) =
        (text(&fields, "name"), text(&fields, "url"), array(&fields, "events"))
    else {
        return Err(refused(400, "Name, URL, and at least one event are required"));
    };
    let events = checked(request, Some(url), Some(events))?.unwrap_or_default();
    let now = times::now();
    let (app, user) = (&request.app, &request.who.acting);
    let (id, secret) = (app.store.new_id(now), new_secret());
    let mut tx = app.store.begin().await?;
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM webhooks WHERE user_id = $1")
        .bind(user)
        .fetch_one(&mut *tx)
        .await?;
    if count >= MOST {
        return Err(refused(400, "Maximum of 10 webhooks per user"));
    }
    let webhook: Webhook = sqlx::query_as(
        "INSERT INTO webhooks (id, user_id, name, url, events, secret, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7) RETURNING *",
    )
    .bind(&id)
    .bind(user)
    .bind(name)
    .bind(url)
    .bind(json!(events).to_string())
    .bind(&secret)
    .bind(now)
    .fetch_one(&mut *tx)
    .await?;
    record(&mut tx, request, "webhook.create").await?;
    tx.commit().await?;
    Ok(Answer::json(201, &json!({ "success": true, "webhook": webhook.json_with(&secret) })))
}

/// `PATCH /webhooks/:id`: changes what is given and not empty.
pub(super) async fn update(request: &Request, id: &str) -> Result<Answer, Failure> {
    let id = webhook_id(id)?;
    let fields = request.call.fields()?;
    let (name, url) = (text(&fields, "name"), text(&fields, "url"));
    let active = fields.get("isActive").and_then(Value::as_bool);
    let mut tx = request.app.store.begin().await?;
    owned(&mut tx, &id, &request.who.acting).await?;
    let events = checked(request, url, array(&fields, "events"))?;
    let webhook: Webhook = sqlx::query_as(
        "UPDATE webhooks SET
            name = COALESCE($2, name), url = COALESCE($3, url), events = COALESCE($4, events),
            is_active = COALESCE($5, is_active),
            failure_count = CASE WHEN $5 AND NOT is_active THEN 0 ELSE failure_count END,
            updated_at = $6
         WHERE id = $1 RETURNING *",
    )
    .bind(&id)
    .bind(name)
    .bind(url)
    .bind(events.map(|events| json!(events).to_string()))
    .bind(active)
    .bind(times::now())
    .fetch_one(&mut *tx)
    .await?;
    record(&mut tx, request, "webhook.update").await?;
    tx.commit().await?;
    Ok(Answer::json(200, &json!({ "success": true, "webhook": webhook.json() })))
}

/// `DELETE /webhooks/:id`. What waits to be sent to it is not sent any more.
pub(super) async fn delete(request: &Request, id: &str) -> Result<Answer, Failure> {
    let id = webhook_id(id)?;
    let mut tx = request.app.store.begin().await?;
    owned(&mut tx, &id, &request.who.acting).await?;
    sqlx::query("DELETE FROM webhooks WHERE id = $1").bind(&id).execute(&mut *tx).await?;
    record(&mut tx, request, "webhook.delete").await?;
    tx.commit().await?;
    Ok(Answer::json(200, &json!({ "success": true })))
}

/// `POST /webhooks/:id/regenerate-secret`: the earlier secret signs nothing from here on.
pub(super) async fn new_secret_for(request: &Request, id: &str) -> Result<Answer, Failure> {
    let id = webhook_id(id)?;
    let secret = new_secret();
    let mut tx = request.app.store.begin().await?;
    owned(&mut tx, &id, &request.who.acting).await?;
    let webhook: Webhook =
        sqlx::query_as("UPDATE webhooks SET secret = $2, updated_at = $3 WHERE id = $1 RETURNING *")
            .bind(&id)
            .bind(&secret)
            .bind(times::now())
            .fetch_one(&mut *tx)
            .await?;
    record(&mut tx, request, "webhook.secret").await?;
    tx.commit().await?;
    Ok(Answer::json(200, &json!({ "success": true, "webhook": webhook.json_with(&secret) })))
}

/// Checks a URL and events in upstream's order; answers the events without repetitions.
fn checked(
    request: &Request,
    url: Option<&str>,
    events: Option<&Vec<Value>>,
) -> Result<Option<Vec<&'static str>>, Failure> {
    let url = url.map(targets::parse).transpose().map_err(|text| refused(400, text))?;
    let events = events.map(known_events).transpose()?;
    let loopback = request.app.deliveries.loopback();
    match url.and_then(|url| targets::refusal(&url, loopback)) {
        Some(text) => Err(refused(400, text)),
        None => Ok(events),
    }
}

fn known_events(list: &Vec<Value>) -> Result<Vec<&'static str>, Failure> {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for event in list {
        match EVENTS.into_iter().find(|name| event == name) {
            Some(name) if known.contains(&name) => {}
            Some(name) => known.push(name),
            None => unknown.push(event.as_str().map_or_else(|| event.to_string(), str::to_owned)),
        }
    }
    if unknown.is_empty() {
        return Ok(known);
    }
    let (unknown, valid) = (unknown.join(", "), EVENTS.join(", "));
    Err(refused(400, &format!("Invalid events: {unknown}. Valid events: {valid}")))
}

async fn owned(tx: &mut SqliteConnection, id: &str, user: &str) -> Result<(), Failure> {
    let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM webhooks WHERE id = $1 AND user_id = $2")
        .bind(id)
        .bind(user)
        .fetch_optional(tx)
        .await?;
    found.map(|_| ()).ok_or_else(not_found)
}

/// Ends a change: breaks it if so switched, writes the journal otherwise.
async fn record(tx: &mut SqliteConnection, request: &Request, action: &str) -> Result<(), Failure> {
    request.effects.break_transaction()?;
    let effect = Effect { user: &request.who.acting, action, group: None, before: None, after: None };
    Ok(journal::record(tx, request.origin(), effect).await?)
}

fn webhook_id(text: &str) -> Result<String, Failure> {
    object_id(text).ok_or_else(not_found)
}

fn not_found() -> Failure {
    refused(404, "Webhook not found")
}

fn new_secret() -> String {
    format!("whsec_{}", random_hex(24))
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

fn array<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Vec<Value>> {
    fields.get(name).and_then(Value::as_array).filter(|list| !list.is_empty())
}
