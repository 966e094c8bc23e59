//! Deliveries: what webhooks are sent, signed, once each, in order.
//!
//! Queued in the transaction of what they tell of, sent after it by a worker, so that none is lost and none tells of
//! what did not happen. A delivery cut off by a stop is sent again at the next start. Goes only where `targets`
//! allows: no redirect, no proxy, and no name that leads elsewhere.
//!
//! A user hears of his own posts and connections only. As upstream is not documented there: `token.expiring` is told
//! once for each expiry, when less than seven days are left, with `platform`, `platformId`, `username`, `expiresAt`.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::hmac;
use futures_util::future;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, redirect::Policy};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::{FromRow, SqliteConnection};
use tokio::sync::{Mutex, Notify};

use super::App;
use super::control::body;
use super::journal::{self, Effect, Origin};
use super::wire::{Answer, Call, Failure, refused};
use super::{targets, times};

/// So many failures in a row switch a webhook off.
const PATIENCE: i64 = 5;

/// How long a receiver may take, unless switched otherwise, in milliseconds.
const TIMEOUT_MS: u64 = 10_000;

/// How many waiting deliveries are taken at once, and how many one answer shows.
const BATCH: i64 = 500;

/// The sender of one sandbox.
pub(super) struct Deliveries {
    http: Client,
    loopback: Arc<AtomicBool>,
    timeout_ms: AtomicU64,
    queued: Notify,
    /// Held while sending: one sender, so that each webhook sees its events in order.
    turn: Mutex<()>,
}

impl Deliveries {
    pub(super) fn new(loopback: bool) -> Result<Deliveries, reqwest::Error> {
        let loopback = Arc::new(AtomicBool::new(loopback));
        let http = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            // A connection for each delivery: its address is looked at each time.
            .pool_max_idle_per_host(0)
            .dns_resolver(Arc::new(Guard(Arc::clone(&loopback))))
            .build()?;
        let timeout_ms = AtomicU64::new(TIMEOUT_MS);
        Ok(Deliveries { http, loopback, timeout_ms, queued: Notify::new(), turn: Mutex::new(()) })
    }

    /// Whether webhooks may point to this machine, over plain HTTP too.
    pub(super) fn loopback(&self) -> bool {
        self.loopback.load(Ordering::Relaxed)
    }

    /// Something may have been queued and committed.
    pub(super) fn wake(&self) {
        self.queued.notify_one();
    }
}

/// Resolves names, leaving out the addresses a webhook may not have.
struct Guard(Arc<AtomicBool>);

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let loopback = self.0.load(Ordering::Relaxed);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed = |at: &SocketAddr| targets::address_refusal(at.ip(), loopback).is_none();
            let kept: Vec<SocketAddr> = found.filter(allowed).collect();
            if kept.is_empty() {
                return Err("the name leads to no address that a webhook may have".into());
            }
            Ok(Box::new(kept.into_iter()) as Addrs)
        })
    }
}

/// Queues an event for those webhooks of the user that listen to it, in the transaction of what it tells of.
pub(super) async fn queue(
    tx: &mut SqliteConnection,
    user: &str,
    event: &str,
    data: &Value,
) -> Result<(), sqlx::Error> {
    let now = times::now();
    sqlx::query(
        "INSERT INTO deliveries (webhook_id, user_id, event, body, queued_at)
         SELECT id, user_id, $2, $3, $4 FROM webhooks
         WHERE user_id = $1 AND is_active = 1 AND EXISTS (SELECT 1 FROM json_each(events) WHERE value = $2)
         ORDER BY created_at, id",
    )
    .bind(user)
    .bind(event)
    .bind(json!({ "event": event, "timestamp": times::text(now), "data": data }).to_string())
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

/// `post.scheduled` for each platform post of a group.
pub(super) async fn queue_scheduled(
    tx: &mut SqliteConnection,
    user: &str,
    group: &str,
    at: i64,
) -> Result<(), sqlx::Error> {
    let posts: Vec<(String, String)> =
        sqlx::query_as("SELECT id, platform FROM platform_posts WHERE group_id = $1 ORDER BY position")
            .bind(group)
            .fetch_all(&mut *tx)
            .await?;
    for (post, platform) in posts {
        let data = json!({
            "postId": post, "postGroupId": group, "platform": platform, "scheduledAt": times::text(at),
        });
        queue(tx, user, "post.scheduled", &data).await?;
    }
    Ok(())
}

/// Sends what waits, again whenever woken, until aborted.
pub(super) async fn run(app: Arc<App>) {
    loop {
        if let Err(Failure::Broken(reason)) = send_waiting(&app).await {
            tracing::error!(reason, "sandbox: deliveries failed");
        }
        app.deliveries.queued.notified().await;
    }
}

#[derive(FromRow)]
struct Waiting {
    seq: i64,
    webhook_id: String,
    user_id: String,
    event: String,
    body: String,
}

/// What became of a delivery.
enum Outcome {
    Delivered(u16),
    Failed(Option<u16>, String),
    /// Nothing was sent: the webhook is gone or switched off.
    Dropped,
}

/// Tries all that was queued before; answers when all of it has been.
async fn send_waiting(app: &App) -> Result<(), Failure> {
    let _turn = app.deliveries.turn.lock().await;
    loop {
        let rows: Vec<Waiting> = sqlx::query_as(
            "SELECT seq, webhook_id, user_id, event, body FROM deliveries WHERE state = 'waiting'
             ORDER BY seq LIMIT $1",
        )
        .bind(BATCH)
        .fetch_all(app.store.reader())
        .await?;
        if rows.is_empty() {
            return Ok(());
        }
        // In order for each webhook; a slow one does not hold up the others of the batch.
        let mut by_webhook: BTreeMap<String, Vec<Waiting>> = BTreeMap::new();
        for row in rows {
            by_webhook.entry(row.webhook_id.clone()).or_default().push(row);
        }
        let all = by_webhook.into_values().map(|rows| async move {
            for row in rows {
                let outcome = send(app, &row).await?;
                settle(app, &row, &outcome).await?;
            }
            Ok::<_, Failure>(())
        });
        future::try_join_all(all).await?;
    }
}

async fn send(app: &App, row: &Waiting) -> Result<Outcome, Failure> {
    let target: Option<(String, String)> =
        sqlx::query_as("SELECT url, secret FROM webhooks WHERE id = $1 AND is_active = 1")
            .bind(&row.webhook_id)
            .fetch_optional(app.store.reader())
            .await?;
    let Some((url, secret)) = target else { return Ok(Outcome::Dropped) };
    let url = match targets::parse(&url) {
        Ok(url) => url,
        Err(text) => return Ok(Outcome::Failed(None, text.to_owned())),
    };
    // Again: loopback may have been switched off since it was given.
    if let Some(text) = targets::refusal(&url, app.deliveries.loopback()) {
        return Ok(Outcome::Failed(None, text.to_owned()));
    }
    let sent = app
        .deliveries
        .http
        .post(url)
        .timeout(Duration::from_millis(app.deliveries.timeout_ms.load(Ordering::Relaxed)))
        .header("content-type", "application/json")
        .header("x-postpost-event", &row.event)
        .header("x-postpost-signature", signature(&secret, row.body.as_bytes()))
        .body(row.body.clone())
        .send()
        .await;
    Ok(match sent.map(|answer| answer.status()) {
        Ok(status) if status.is_success() => Outcome::Delivered(status.as_u16()),
        Ok(status) => Outcome::Failed(Some(status.as_u16()), format!("answered {}", status.as_u16())),
        Err(error) if error.is_timeout() => Outcome::Failed(None, "timed out".to_owned()),
        Err(error) => Outcome::Failed(None, cause(&error)),
    })
}

/// What lies at the bottom of an error; the layers above it only say that sending failed.
fn cause(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), cause)
}

/// Hex HMAC-SHA256 of the body as sent.
fn signature(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hex::encode(hmac::sign(&key, body))
}

async fn settle(app: &App, row: &Waiting, outcome: &Outcome) -> Result<(), Failure> {
    let now = times::now();
    let (state, status, error) = match outcome {
        Outcome::Delivered(status) => ("delivered", Some(*status), None),
        Outcome::Failed(status, error) => ("failed", *status, Some(error)),
        Outcome::Dropped => ("dropped", None, None),
    };
    let mut tx = app.store.begin().await?;
    sqlx::query(
        "UPDATE deliveries SET state = $2, http_status = $3, error = $4, tried_at = $5 WHERE seq = $1",
    )
    .bind(row.seq)
    .bind(state)
    .bind(status.map(i64::from))
    .bind(error)
    .bind(now)
    .execute(&mut *tx)
    .await?;
    let user = &row.user_id;
    let entry = |action| Effect { user, action, group: None, before: None, after: None };
    if !matches!(outcome, Outcome::Dropped) {
        // A webhook deleted meanwhile has no count any more.
        let failures: Option<i64> = sqlx::query_scalar(
            "UPDATE webhooks SET last_triggered_at = $2,
                failure_count = CASE WHEN $3 THEN 0 ELSE failure_count + 1 END,
                is_active = CASE WHEN $3 OR failure_count + 1 < $4 THEN is_active ELSE 0 END
             WHERE id = $1 RETURNING failure_count",
        )
        .bind(&row.webhook_id)
        .bind(now)
        .bind(state == "delivered")
        .bind(PATIENCE)
        .fetch_optional(&mut *tx)
        .await?;
        let action = if state == "delivered" { "webhook.deliver" } else { "webhook.fail" };
        journal::record(&mut tx, Origin::Deliveries, entry(action)).await?;
        if failures == Some(PATIENCE) {
            journal::record(&mut tx, Origin::Deliveries, entry("webhook.disable")).await?;
        }
    }
    tx.commit().await?;
    Ok(())
}

/// Queues `token.expiring` for connections whose tokens are about to expire, once for each expiry.
pub(super) async fn tell_expiring(app: &App, now: i64) -> Result<(), Failure> {
    #[derive(FromRow)]
    struct Expiring {
        user_id: String,
        platform_id: String,
        username: String,
        token_expires_at: i64,
    }
    let expiring: Vec<Expiring> = sqlx::query_as(
        "SELECT user_id, platform_id, username, token_expires_at FROM connections c
         WHERE token_expires_at > $1 AND token_expires_at < $2
           AND NOT EXISTS (SELECT 1 FROM token_notices n WHERE n.user_id = c.user_id
                AND n.platform_id = c.platform_id AND n.token_expires_at = c.token_expires_at)
           AND EXISTS (SELECT 1 FROM webhooks w, json_each(w.events) e
                WHERE w.user_id = c.user_id AND w.is_active = 1 AND e.value = 'token.expiring')
         ORDER BY user_id, platform_id",
    )
    .bind(now)
    .bind(now + super::connections::SOON)
    .fetch_all(app.store.reader())
    .await?;
    for one in expiring {
        let user = &one.user_id;
        let mut tx = app.store.begin().await?;
        let noted = sqlx::query("INSERT INTO token_notices VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
            .bind(user)
            .bind(&one.platform_id)
            .bind(one.token_expires_at)
            .execute(&mut *tx)
            .await?;
        if noted.rows_affected() == 0 {
            continue;
        }
        let platform = one.platform_id.split('-').next();
        let data = json!({
            "platform": platform, "platformId": one.platform_id, "username": one.username,
            "expiresAt": times::text(one.token_expires_at),
        });
        queue(&mut tx, user, "token.expiring", &data).await?;
        let effect = Effect { user, action: "token.expiring", group: None, before: None, after: None };
        journal::record(&mut tx, Origin::Scheduler, effect).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// `PUT /_sandbox/webhooks`: lets webhooks point to this machine, or not; how long receivers may take.
pub(super) fn switch(app: &App, call: &Call) -> Result<Answer, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Switches {
        loopback: Option<bool>,
        timeout_ms: Option<u64>,
    }
    let switches: Switches = body(call)?;
    if switches.timeout_ms == Some(0) {
        return Err(refused(400, "timeoutMs must be above 0"));
    }
    if let Some(allowed) = switches.loopback {
        app.deliveries.loopback.store(allowed, Ordering::Relaxed);
    }
    if let Some(timeout) = switches.timeout_ms {
        app.deliveries.timeout_ms.store(timeout, Ordering::Relaxed);
    }
    let timeout = app.deliveries.timeout_ms.load(Ordering::Relaxed);
    Ok(Answer::json(200, &json!({ "loopback": app.deliveries.loopback(), "timeoutMs": timeout })))
}

/// `POST /_sandbox/deliveries`: waits until all that was queued has been tried, then answers as `list`.
pub(super) async fn send_now(app: &App, call: &Call) -> Result<Answer, Failure> {
    send_waiting(app).await?;
    list(app, call).await
}

/// `GET /_sandbox/deliveries?after=SEQ`.
pub(super) async fn list(app: &App, call: &Call) -> Result<Answer, Failure> {
    #[derive(FromRow)]
    struct Row {
        seq: i64,
        webhook_id: String,
        user_id: String,
        event: String,
        body: String,
        state: String,
        http_status: Option<i64>,
        error: Option<String>,
        queued_at: i64,
        tried_at: Option<i64>,
    }
    let after: i64 = call.query("after").and_then(|text| text.parse().ok()).unwrap_or(0);
    let rows: Vec<Row> = sqlx::query_as("SELECT * FROM deliveries WHERE seq > $1 ORDER BY seq LIMIT $2")
        .bind(after)
        .bind(BATCH)
        .fetch_all(app.store.reader())
        .await?;
    let entry = |row: &Row| {
        json!({
            "seq": row.seq, "webhookId": row.webhook_id, "userId": row.user_id, "event": row.event,
            "body": row.body, "state": row.state, "httpStatus": row.http_status, "error": row.error,
            "queuedAt": times::text(row.queued_at), "triedAt": row.tried_at.map(times::text),
        })
    };
    let deliveries: Vec<Value> = rows.iter().map(entry).collect();
    Ok(Answer::json(200, &json!({ "deliveries": deliveries })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_may_not_lead_to_this_machine_unless_switched() {
        for (loopback, found) in [(false, false), (true, true)] {
            let guard = Guard(Arc::new(AtomicBool::new(loopback)));
            let resolved = guard.resolve("localhost".parse().expect("a name")).await;
            assert_eq!(resolved.is_ok_and(|mut all| all.next().is_some()), found);
        }
    }

    /// Case 2 of RFC 4231.
    #[test]
    fn signs_as_the_standard_does() {
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature("Jefe", b"what do ya want for nothing?"), expected);
    }
}
