//! A job as it runs: live counters over SSE, the same as JSON for polling, and the results as files.

use super::{
    super::{
        Answer, Body, Error,
        export::{channel, download},
    },
    job_page::summary,
    jobs::{job_of, pace, state},
    post_filter::platform_label,
    visit::Visit,
};
use crate::{
    app::App,
    clock::Millis,
    csv,
    domain::{
        admins::SESSION_IDLE,
        jobs::{ItemState, Job, JobItem, retryable},
        times,
    },
    envelope, store,
    store::plans::Show,
};
use bytes::Bytes;
use serde_json::{Value, json};
use std::{collections::HashMap, io, sync::Arc, time::Duration};

/// Between two looks at the counters: at most two events a second (ui.md §2.4).
const LOOK: Duration = Duration::from_millis(500);
/// Copies of posts read at a time.
const BACKUPS: i64 = 100;
/// A comment keeps proxies from closing a silent stream.
const PING: u32 = 30;

/// Absolute counters: a reader that missed some updates needs none of them.
async fn snapshot(app: &App, job: &Job) -> store::Result<Value> {
    let pace = pace(app, job).await?;
    let c = &job.counts;
    Ok(json!({
        "state": state(job, app.clock.now()),
        "total": c.total(), "pending": c.pending, "running": c.running, "succeeded": c.succeeded, "gone": c.gone,
        "skipped": c.skipped, "failed": c.failed, "unknown": c.unknown, "cancelled": c.cancelled,
        "ratePerSecond": pace.map(|(rate, _)| (rate * 10.0).round() / 10.0),
        "secondsLeft": pace.map(|(_, left)| left),
        "seq": c.ended() + c.unknown,
        "summary": summary(app, job),
    }))
}

pub async fn progress(visit: Visit) -> Result<Answer, Error> {
    let job = job_of(&visit).await?;
    Ok(Answer::json(200, &snapshot(&visit.app, &job).await?))
}

/// `GET …/events`: `progress` on every change, `done` at the end, `auth` when the session has ended.
pub async fn events(visit: Visit) -> Result<Answer, Error> {
    let job = job_of(&visit).await?;
    let app = visit.app.clone();
    let view = app.gate.live_view(&visit.session.id)?;
    let (chunks, body) = channel();
    let (workspace_id, id, session_id) = (job.workspace_id, job.id, visit.session.id.clone());
    let admin_id = visit.admin.id.clone();
    app.clone().runtime.spawn(async move {
        if chunks.send(Ok(Bytes::from_static(b"retry: 3000\n\n"))).await.is_err() {
            return;
        }
        let mut last = String::new();
        let mut silent = 0;
        loop {
            let event = match next_event(&app, &workspace_id, &id, &admin_id, &session_id).await {
                Ok(event) => event,
                // The page polls on; a broken stream is better than a silent one.
                Err(error) => {
                    tracing::warn!(%error, "live progress ended");
                    return;
                }
            };
            silent += 1;
            let text = event.text();
            let chunk = if text != last {
                silent = 0;
                last.clone_from(&text);
                Bytes::from(text)
            } else if silent >= PING {
                silent = 0;
                Bytes::from_static(b": ping\n\n")
            } else {
                Bytes::new()
            };
            if !chunk.is_empty() && chunks.send(Ok(chunk)).await.is_err() || chunks.is_closed() {
                return;
            }
            if event.ends || *app.stopping.borrow() {
                return;
            }
            // The page polls on when another tab of the same person has taken its place.
            if tokio::time::timeout(LOOK, view.taken()).await.is_ok() {
                let bye = Event { name: "bye", data: json!({}), ends: true };
                let _ = chunks.send(Ok(Bytes::from(bye.text()))).await;
                return;
            }
        }
    });
    let mut answer = Answer::new(200, "text/event-stream", "")
        .with("x-accel-buffering", "no")
        // The compressor would hold events back.
        .with("content-encoding", "identity");
    answer.body = body;
    Ok(answer)
}

struct Event {
    name: &'static str,
    data: Value,
    ends: bool,
}

impl Event {
    fn text(&self) -> String {
        format!("event: {}\ndata: {}\n\n", self.name, self.data)
    }
}

async fn next_event(
    app: &App,
    workspace_id: &str,
    id: &str,
    admin_id: &str,
    session_id: &str,
) -> store::Result<Event> {
    // The stream does not keep the session alive, and ends with it.
    let live_since = app.clock.now() - SESSION_IDLE;
    let sessions = app.db.sessions(admin_id).await?;
    if !sessions.iter().any(|s| s.id == session_id && s.seen_at > live_since) {
        return Ok(Event { name: "auth", data: json!({}), ends: true });
    }
    let Some(job) = app.db.job(workspace_id, id).await? else {
        return Ok(Event { name: "bye", data: json!({}), ends: true });
    };
    let ends = job.state.is_final();
    let name = if ends { "done" } else { "progress" };
    Ok(Event { name, data: snapshot(app, &job).await?, ends })
}

pub async fn results_csv(visit: Visit) -> Result<Answer, Error> {
    results(visit, "csv", "text/csv; charset=utf-8; header=present", |line| {
        let fields = line.fields();
        csv::record(fields.iter().map(String::as_str))
    })
    .await
}

pub async fn results_ndjson(visit: Visit) -> Result<Answer, Error> {
    results(visit, "ndjson", "application/x-ndjson", |line| {
        let fields = ResultLine::COLUMNS.iter().zip(line.fields());
        let object: serde_json::Map<String, Value> =
            fields.map(|(n, v)| ((*n).to_owned(), Value::from(v))).collect();
        let mut bytes = serde_json::to_vec(&object)?;
        bytes.push(b'\n');
        Ok(bytes)
    })
    .await
}

/// The copies that were taken before each delete, one a line.
pub async fn backup(visit: Visit) -> Result<Answer, Error> {
    let job = job_of(&visit).await?;
    let name = format!("gatehouse-job-{}-backup.ndjson", job.id);
    let app = visit.app.clone();
    let place = app.gate.download()?;
    let (chunks, body): (_, Body) = channel();
    visit.app.runtime.spawn(async move {
        let _place = place;
        let mut from = 0;
        loop {
            let page = match copies(&app, &job, from).await {
                Ok(page) => page,
                Err(error) => {
                    let _ = chunks.send(Err(error)).await;
                    return;
                }
            };
            let Some((last, _)) = page.last() else { return };
            from = last + 1;
            let chunk: String = page.into_iter().map(|(_, line)| line + "\n").collect();
            if chunks.send(Ok(Bytes::from(chunk))).await.is_err() {
                return;
            }
        }
    });
    Ok(download(&name, "application/x-ndjson", body))
}

/// The next copies, opened, with what became of their items.
async fn copies(app: &App, job: &Job, from: i64) -> io::Result<Vec<(i64, String)>> {
    let backups = app.db.backups(&job.id, from, BACKUPS).await.map_err(io::Error::other)?;
    let (Some(first), Some(last)) = (backups.first(), backups.last()) else { return Ok(Vec::new()) };
    let items =
        app.db.job_items(&job.id, None, first.0, last.0 - first.0 + 1).await.map_err(io::Error::other)?;
    let items: HashMap<i64, JobItem> = items.into_iter().map(|item| (item.n, item)).collect();
    let line = |(n, sealed, at): (i64, Vec<u8>, Millis)| {
        let text = app.road.open_backup(&job.id, n, &sealed).map_err(io::Error::other)?;
        let copy: Value = serde_json::from_str(envelope::expose(&text))?;
        let item = items.get(&n);
        let line = json!({
            "n": n, "taken": times::to_iso(at),
            "tenant": item.map(|i| &i.tenant_id), "postGroupId": item.map(|i| &i.post_id),
            "state": item.map(|i| i.state.as_str()), "listed": copy["listed"], "post": copy["post"],
        });
        Ok((n, line.to_string()))
    };
    backups.into_iter().map(line).collect()
}

async fn results(
    visit: Visit,
    extension: &'static str,
    media: &str,
    write: impl Fn(&ResultLine) -> io::Result<Vec<u8>> + Send + 'static,
) -> Result<Answer, Error> {
    let job = job_of(&visit).await?;
    let name = format!("gatehouse-job-{}.{extension}", job.id);
    let app = visit.app.clone();
    let place = app.gate.download()?;
    let (chunks, body): (_, Body) = channel();
    visit.app.runtime.spawn(async move {
        let _place = place;
        if extension == "csv" {
            let head = csv::record(ResultLine::COLUMNS).map(Bytes::from);
            if chunks.send(head).await.is_err() {
                return;
            }
        }
        let mut from = 0;
        loop {
            let page = match lines(&app, &job, from).await {
                Ok(page) => page,
                Err(error) => {
                    let _ = chunks.send(Err(io::Error::other(error.to_string()))).await;
                    return;
                }
            };
            let Some(last) = page.last() else { return };
            from = last.item.n + 1;
            let chunk: io::Result<Vec<u8>> = page.iter().try_fold(Vec::new(), |mut chunk, line| {
                chunk.extend(write(line)?);
                Ok(chunk)
            });
            if chunks.send(chunk.map(Bytes::from)).await.is_err() {
                return;
            }
        }
    });
    Ok(download(&name, media, body))
}

/// The next items with the texts the plan kept.
async fn lines(app: &Arc<App>, job: &Job, from: i64) -> store::Result<Vec<ResultLine>> {
    let items = app.db.job_items(&job.id, None, from, 500).await?;
    let planned = app.db.plan_items(&job.plan_id, Show::All, from, 500).await?;
    let mut planned: HashMap<i64, _> = planned.into_iter().map(|p| (p.n, (p.content, p.platforms))).collect();
    let ids: Vec<&str> = items.iter().map(|i| i.tenant_id.as_str()).collect();
    let names = app.db.tenant_names(&job.workspace_id, &ids).await?;
    Ok(items
        .into_iter()
        .map(|item| {
            let (content, platforms) = planned.remove(&item.n).unwrap_or_default();
            ResultLine {
                tenant: names.get(&item.tenant_id).cloned().unwrap_or_default(),
                tenant_id: item.tenant_id.clone(),
                content,
                platforms,
                item,
            }
        })
        .collect())
}

/// One line of a download: what was asked, what was got.
struct ResultLine {
    tenant_id: String,
    tenant: String,
    item: JobItem,
    content: String,
    platforms: String,
}

impl ResultLine {
    const COLUMNS: [&'static str; 18] = [
        "n",
        "tenant_id",
        "tenant",
        "post_id",
        "content",
        "platforms",
        "state",
        "code",
        "message",
        "can_be_tried_again",
        "attempts",
        "status_before",
        "time_before",
        "time_asked",
        "time_granted",
        "ended",
        "operation",
        "new_post_id",
    ];

    fn fields(&self) -> [String; 18] {
        let time = |at: Option<Millis>| at.map(times::to_iso).unwrap_or_default();
        let platforms: Vec<String> =
            self.platforms.split(", ").filter(|p| !p.is_empty()).map(platform_label).collect();
        [
            self.item.n.to_string(),
            self.tenant_id.clone(),
            self.tenant.clone(),
            self.item.post_id.clone(),
            self.content.clone(),
            platforms.join(", "),
            self.item.state.to_string(),
            self.item.code.clone().unwrap_or_default(),
            self.item.message.clone().unwrap_or_default(),
            match (self.item.state, self.item.code.as_deref()) {
                (ItemState::Failed, code) => retryable(code.unwrap_or_default()).to_string(),
                _ => String::new(),
            },
            self.item.attempts.to_string(),
            self.item.expected_status.to_string(),
            time(self.item.expected_at),
            time(self.item.target_at),
            time(self.item.granted_at),
            time(self.item.ended_at),
            self.item.op_id.clone().unwrap_or_default(),
            self.item.created_id.clone().unwrap_or_default(),
        ]
    }
}
