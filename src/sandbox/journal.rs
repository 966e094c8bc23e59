//! The journal: what truly happened, in order, for tests and drills to compare with what a client believes.
//!
//! An entry is written in the transaction of its effect, so there is never one without the other. It holds no
//! content and no secrets.

use serde_json::{Value, json};
use sqlx::{FromRow, SqliteConnection};

use super::App;
use super::times;
use super::wire::{Answer, Call, Failure};

/// The most entries one answer carries.
const PAGE: i64 = 10_000;

/// Who caused an effect.
#[derive(Clone, Copy)]
pub(super) enum Origin<'a> {
    /// A call on `/api/v1` or to the object storage, with its `x-request-id`.
    Api(Option<&'a str>),
    Scheduler,
    /// The sender of webhooks.
    Deliveries,
    /// A call under `/_sandbox/`.
    Control(Option<&'a str>),
}

/// The state of a post group as far as the journal shows it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) status: String,
    pub(super) scheduled_time: Option<i64>,
}

/// One effect.
pub(super) struct Effect<'a> {
    pub(super) user: &'a str,
    /// `noun.verb`.
    pub(super) action: &'a str,
    pub(super) group: Option<&'a str>,
    pub(super) before: Option<&'a State>,
    pub(super) after: Option<&'a State>,
}

/// Writes an entry into the effect's own transaction.
pub(super) async fn record(
    tx: &mut SqliteConnection,
    origin: Origin<'_>,
    effect: Effect<'_>,
) -> Result<(), sqlx::Error> {
    let (origin, request_id) = match origin {
        Origin::Api(id) => ("api", id),
        Origin::Scheduler => ("scheduler", None),
        Origin::Deliveries => ("deliveries", None),
        Origin::Control(id) => ("control", id),
    };
    sqlx::query(
        "INSERT INTO journal (at, user_id, action, group_id, request_id, before, after, origin)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(times::now())
    .bind(effect.user)
    .bind(effect.action)
    .bind(effect.group)
    .bind(request_id)
    .bind(effect.before.map(state))
    .bind(effect.after.map(state))
    .bind(origin)
    .execute(tx)
    .await?;
    Ok(())
}

fn state(state: &State) -> String {
    json!({ "status": state.status, "scheduledTime": state.scheduled_time.map(times::text) }).to_string()
}

#[derive(FromRow)]
struct Row {
    seq: i64,
    at: i64,
    user_id: String,
    action: String,
    group_id: Option<String>,
    request_id: Option<String>,
    before: Option<String>,
    after: Option<String>,
    origin: String,
}

/// `GET /_sandbox/journal?after=SEQ`.
pub(super) async fn list(app: &App, call: &Call) -> Result<Answer, Failure> {
    let after: i64 = call.query("after").and_then(|text| text.parse().ok()).unwrap_or(0);
    let rows: Vec<Row> = sqlx::query_as("SELECT * FROM journal WHERE seq > $1 ORDER BY seq LIMIT $2")
        .bind(after)
        .bind(PAGE)
        .fetch_all(app.store.reader())
        .await?;
    let entries: Vec<Value> = rows.iter().map(entry).collect();
    Ok(Answer::json(200, &json!({ "entries": entries })))
}

fn entry(row: &Row) -> Value {
    let parsed = |text: &Option<String>| text.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let (before, after): (Option<Value>, Option<Value>) = (parsed(&row.before), parsed(&row.after));
    let mut entry = json!({
        "seq": row.seq, "at": times::text(row.at), "userId": row.user_id, "action": row.action,
        "postGroupId": row.group_id, "before": before, "after": after, "origin": row.origin,
    });
    if let Some(id) = &row.request_id {
        entry["requestId"] = json!(id);
    }
    entry
}
