//! Bulk jobs: the list, one job, and what can be asked of it. Live updates and downloads are in `bulk`.

use super::{
    super::{Answer, Error},
    post_filter::platform_label,
    present,
    views::{
        Badge, CancelPage, Count, Counters, FailureGroup, JobItem as ItemRow, JobListPage, JobPage, JobRow,
        JobTenant, Pager, Tab,
    },
    visit::Visit,
};
use crate::{
    clock::{Millis, SECOND},
    domain::{
        ids,
        jobs::{Counts, ItemState, Job, JobItem, JobState, STOP_AFTER, Wanted},
        plans::{BulkAction, SkipReason},
        times,
    },
    store::plans::Show,
};
use std::collections::{BTreeMap, HashMap};

const JOBS_PER_PAGE: i64 = 50;
const ITEMS_PER_PAGE: i64 = 50;
/// Tenants in a job's table.
const TENANTS: usize = 50;

/// "Delete 4,180 posts"
pub fn title(job: &Job) -> String {
    format!("{} {}", job.action.label(), present::count(job.counts.total()).of("post", "posts"))
}

/// The word pages and live updates use: between what was asked and what is so, and how it ended.
pub fn state(job: &Job) -> &'static str {
    match (job.state, job.wanted) {
        (JobState::Completed, _) if job.counts.failed + job.counts.unknown > 0 => "completed_with_errors",
        (JobState::Completed, _) => "completed",
        (JobState::Cancelled, _) => "cancelled",
        (JobState::Stopped, _) => "stopped",
        (_, Wanted::Cancel) => "cancelling",
        (JobState::Paused, Wanted::Pause) => "paused",
        (_, Wanted::Pause) => "pausing",
        (JobState::Queued, _) => "queued",
        (JobState::Running | JobState::Paused, Wanted::Run) => "running",
    }
}

pub fn counters(counts: &Counts) -> Counters {
    let c = present::count;
    Counters {
        total: c(counts.total()),
        pending: c(counts.pending),
        running: c(counts.running),
        succeeded: c(counts.succeeded),
        gone: c(counts.gone),
        skipped: c(counts.skipped),
        failed: c(counts.failed),
        unknown: c(counts.unknown),
        cancelled: c(counts.cancelled),
    }
}

/// Items a second since the start, and the seconds left at that rate.
pub fn pace(job: &Job, now: Millis) -> Option<(f64, i64)> {
    let begun = job.started_at?;
    let worked = job.counts.succeeded + job.counts.gone + job.counts.failed + job.counts.unknown;
    let elapsed = (now - begun).max(1) as f64 / SECOND as f64;
    if job.state != JobState::Running || worked < 3 || elapsed < 1.0 {
        return None;
    }
    let rate = worked as f64 / elapsed;
    Some((rate, ((job.counts.pending + job.counts.running) as f64 / rate).ceil() as i64))
}

pub fn row(job: &Job, workspace: &str, now: Millis) -> JobRow {
    JobRow {
        id: job.id.clone(),
        url: format!("/w/{}/jobs/{}", job.workspace_id, job.id),
        title: title(job),
        workspace: workspace.into(),
        actor: job.actor.name.clone(),
        badge: Badge::job(state(job)),
        counters: counters(&job.counts),
        started: present::exact_moment(job.started_at.unwrap_or(job.created_at), now),
        duration: match job.started_at {
            Some(begun) => present::span(job.ended_at.unwrap_or(now) - begun),
            None => String::new(),
        },
    }
}

/// A job of the path's workspace.
pub async fn job_of(visit: &Visit) -> Result<Job, Error> {
    visit.app.db.job(&visit.workspace()?.id, visit.own_id("id")?).await?.ok_or(Error::NotFound)
}

pub async fn list(visit: Visit) -> Result<Answer, Error> {
    let workspace = visit.workspace()?;
    let base = format!("/w/{}/jobs", workspace.id);
    let before = visit.form.some("before").filter(|id| ids::is_own_id(id));
    let mut jobs = visit.app.db.jobs(&workspace.id, before, JOBS_PER_PAGE + 1).await?;
    let more = jobs.len() as i64 > JOBS_PER_PAGE;
    jobs.truncate(JOBS_PER_PAGE as usize);
    let older = jobs.last().filter(|_| more).map(|job| format!("{base}?before={}", job.id));
    let now = visit.app.clock.now();
    let page = JobListPage {
        shell: visit.shell("Bulk jobs"),
        ws: workspace.id.clone(),
        tabs: Vec::new(),
        result_line: "Newest first".into(),
        filtered: before.is_some(),
        rows: jobs.iter().map(|job| row(job, &workspace.name, now)).collect(),
        pager: Pager::times(before.map(|_| base.clone()), older),
    };
    Ok(present::page(&page))
}

pub async fn show(visit: Visit) -> Result<Answer, Error> {
    let job = job_of(&visit).await?;
    let app = &visit.app;
    let now = app.clock.now();
    let base = format!("/w/{}/jobs/{}", job.workspace_id, job.id);
    let result = visit.form.some("result").and_then(ItemState::parse);
    let from = visit.form.get("from").parse().unwrap_or(0);
    let mut items = app.db.job_items(&job.id, result, from, ITEMS_PER_PAGE + 1).await?;
    let next = (items.len() as i64 > ITEMS_PER_PAGE).then(|| items.pop()).flatten();
    let tenants = app.db.job_tenants(&job.id).await?;
    let ids: Vec<&str> =
        tenants.iter().map(|t| t.0.as_str()).chain(items.iter().map(|i| i.tenant_id.as_str())).collect();
    let names = app.db.tenant_names(&job.workspace_id, &ids).await?;
    let contents = contents(&visit, &job, &items).await?;
    let word = state(&job);
    let is_final = job.state.is_final();
    let counters = counters(&job.counts);
    let pace = pace(&job, now);
    let mut shell = visit.shell(title(&job));
    if !is_final {
        shell.title_prefix = format!("({}%) ", counters.percent());
    }
    let refresh = visit.form.some("refresh").and_then(|v| v.parse().ok()).filter(|n| [5, 15, 60].contains(n));
    shell.refresh = refresh.filter(|_| !is_final);
    let link = |pairs: &[(&str, &str)]| {
        let query = super::form::query_string(pairs.iter().copied());
        if query.is_empty() { base.clone() } else { format!("{base}?{query}") }
    };
    let page = JobPage {
        shell,
        ws: job.workspace_id.clone(),
        id: job.id.clone(),
        title: title(&job),
        state: word.into(),
        badge: Badge::job(word),
        is_final,
        summary: summary(&job, word),
        counters,
        rate: pace.map(|(rate, _)| format!("{rate:.1}/s")).unwrap_or_default(),
        time_left: pace
            .map(|(_, left)| format!("about {}", present::span(left * SECOND)))
            .unwrap_or_default(),
        actor: job.actor.name.clone(),
        reason: job.reason.clone(),
        started: present::exact_moment(job.started_at.unwrap_or(job.created_at), now),
        finished: job.ended_at.map(|at| present::exact_moment(at, now)),
        audit_url: if visit.may(crate::domain::admins::Right::Audit) {
            format!("/w/{}/audit?job={}", job.workspace_id, job.id)
        } else {
            String::new()
        },
        can_pause: matches!(word, "queued" | "running"),
        can_resume: matches!(word, "paused" | "pausing"),
        can_cancel: !is_final && word != "cancelling",
        refresh_tabs: refresh_tabs(refresh, &link),
        tenants: tenant_rows(&tenants, &names, &job),
        failures: failures(&visit, &job, &base).await?,
        tabs: result_tabs(&job.counts, result, &link),
        items: items.iter().map(|item| item_row(&job, item, &names, &contents, now)).collect(),
        pager: {
            let result = result.map(ItemState::as_str);
            let page = |n: i64| {
                let from = n.to_string();
                let pairs: Vec<(&str, &str)> =
                    result.map(|r| ("result", r)).into_iter().chain([("from", from.as_str())]).collect();
                link(&pairs)
            };
            Pager::pages((from > 0).then(|| page(0)), next.map(|i| page(i.n)))
        },
        ..JobPage::default()
    };
    Ok(present::page(&page))
}

fn refresh_tabs(current: Option<u32>, link: &dyn Fn(&[(&str, &str)]) -> String) -> Vec<Tab> {
    let tab = |label: &str, seconds: Option<u32>| Tab {
        label: label.into(),
        count: None,
        url: match seconds {
            Some(seconds) => link(&[("refresh", &seconds.to_string())]),
            None => link(&[]),
        },
        current: current == seconds,
    };
    vec![
        tab("Refresh now", None),
        tab("Every 5 s", Some(5)),
        tab("Every 15 s", Some(15)),
        tab("Every 60 s", Some(60)),
    ]
}

/// What happens now, or the whole outcome as a sentence.
fn summary(job: &Job, word: &str) -> String {
    let c = &job.counts;
    let of = |n: i64, text: &str| (n > 0).then(|| format!("{} {text}", present::count(n)));
    let parts: Vec<String> = [
        of(c.succeeded, "done"),
        of(c.gone, "already gone"),
        of(c.skipped, "skipped"),
        of(c.failed, "failed"),
        of(c.unknown, "unknown"),
        of(c.cancelled, "not touched"),
    ]
    .into_iter()
    .flatten()
    .collect();
    match word {
        "pausing" => format!("Pausing, finishing {} in flight.", c.running),
        "cancelling" => format!("Cancelling, finishing {} in flight.", c.running),
        "queued" => "Waiting for its turn: one job of a workspace runs at a time.".into(),
        "paused" => "Paused. Nothing is sent until you resume it.".into(),
        "running" => String::new(),
        "stopped" => format!("Stopped after {STOP_AFTER} failures in a row. {}.", parts.join(", ")),
        _ => format!("{}.", parts.join(", ")),
    }
}

fn tenant_rows(rows: &[(String, String, i64)], names: &HashMap<String, String>, job: &Job) -> Vec<JobTenant> {
    let mut tenants: BTreeMap<&str, Counts> = BTreeMap::new();
    for (tenant, state, n) in rows {
        if let Some(state) = ItemState::parse(state) {
            tenants.entry(tenant).or_default().add(state, *n);
        }
    }
    let mut tenants: Vec<_> = tenants.into_iter().collect();
    tenants.sort_by_key(|(_, counts)| (-counts.failed, -counts.total()));
    tenants
        .into_iter()
        .take(TENANTS)
        .map(|(id, counts)| JobTenant {
            name: names.get(id).cloned().unwrap_or_else(|| id.into()),
            url: format!("/w/{}/tenants/{id}", job.workspace_id),
            counters: counters(&counts),
        })
        .collect()
}

async fn failures(visit: &Visit, job: &Job, base: &str) -> Result<Vec<FailureGroup>, Error> {
    let codes = visit.app.db.job_codes(&job.id).await?;
    let samples = visit.app.db.latest_failures(&job.id, 50).await?;
    Ok(codes
        .into_iter()
        .filter(|(state, ..)| state == "failed")
        .map(|(_, code, n)| FailureGroup {
            advice: advice(code.as_deref().unwrap_or_default()).into(),
            sample: samples
                .iter()
                .find(|i| i.code == code)
                .and_then(|i| i.message.clone())
                .unwrap_or_default(),
            code: code.unwrap_or_else(|| "unknown".into()),
            count: present::count(n),
            url: format!("{base}?result=failed"),
        })
        .collect())
}

/// What a code means and what to do.
fn advice(code: &str) -> &'static str {
    match code {
        "upstream_unreachable" => {
            "PostPost could not be reached: nothing happened. Select the posts again later."
        }
        "not_applied" => "PostPost did not answer and the change did not happen. Select the posts again.",
        "http_429" => "PostPost asked to slow down. Select the posts again later.",
        "http_500" => "PostPost failed and rolled the change back. Select the posts again.",
        "http_400" => "PostPost refused the change; its words tell why.",
        "http_403" => "PostPost does not allow it for this account.",
        code if code.ends_with("_REACHED") || code.ends_with("_LIMIT") => {
            "A limit of the PostPost plan. The tenant's other posts were left alone."
        }
        _ => "PostPost's own code; its words tell more.",
    }
}

fn result_tabs(
    counts: &Counts,
    current: Option<ItemState>,
    link: &dyn Fn(&[(&str, &str)]) -> String,
) -> Vec<Tab> {
    let mut tabs = vec![Tab {
        label: "All".into(),
        count: Some(present::count(counts.total())),
        url: link(&[]),
        current: current.is_none(),
    }];
    let listed = [
        (ItemState::Succeeded, "Done", counts.succeeded),
        (ItemState::Gone, "Already gone", counts.gone),
        (ItemState::Skipped, "Skipped", counts.skipped),
        (ItemState::Failed, "Failed", counts.failed),
        (ItemState::Unknown, "Unknown", counts.unknown),
        (ItemState::Cancelled, "Cancelled", counts.cancelled),
        (ItemState::Pending, "Pending", counts.pending),
    ];
    for (state, label, n) in listed {
        if n > 0 || current == Some(state) {
            tabs.push(Tab {
                label: label.into(),
                count: Some(present::count(n)),
                url: link(&[("result", state.as_str())]),
                current: current == Some(state),
            });
        }
    }
    tabs
}

/// The posts' texts, from the plan: the mirror has forgotten what was deleted.
async fn contents(
    visit: &Visit,
    job: &Job,
    items: &[JobItem],
) -> Result<HashMap<i64, (String, String)>, Error> {
    let (Some(first), Some(last)) = (items.first(), items.last()) else { return Ok(HashMap::new()) };
    let limit = last.n - first.n + 1;
    // A filtered tab can span a wide range of numbers; then only the ids are shown.
    if limit > 5_000 {
        return Ok(HashMap::new());
    }
    let planned = visit.app.db.plan_items(&job.plan_id, Show::All, first.n, limit).await?;
    Ok(planned.into_iter().map(|p| (p.n, (p.content, p.platforms))).collect())
}

fn item_row(
    job: &Job,
    item: &JobItem,
    names: &HashMap<String, String>,
    contents: &HashMap<i64, (String, String)>,
    now: Millis,
) -> ItemRow {
    let content = contents.get(&item.n).map(|(content, _)| content.clone()).unwrap_or_default();
    let code = item.code.clone().unwrap_or_default();
    let detail = match SkipReason::parse(&code) {
        Some(reason) if item.state == ItemState::Skipped => reason.text().to_owned(),
        _ => item.message.clone().unwrap_or_default(),
    };
    let time = |at: Millis| present::moment(at, now).absolute;
    let times = match (item.target_at, item.granted_at) {
        (Some(asked), Some(got)) if asked != got => format!("asked {}, got {}", time(asked), time(got)),
        (_, Some(got)) if job.action != BulkAction::Delete => time(got),
        _ => String::new(),
    };
    ItemRow {
        post: item.post_id.clone(),
        url: format!("/w/{}/posts/{}/{}", job.workspace_id, item.tenant_id, item.post_id),
        content,
        tenant: names.get(&item.tenant_id).cloned().unwrap_or_else(|| item.tenant_id.clone()),
        badge: Badge::item(item.state.as_str()),
        detail,
        code: if item.state == ItemState::Failed { code } else { String::new() },
        times,
        attempts: item.attempts.unsigned_abs(),
        at: item.ended_at.map(|at| present::exact_moment(at, now)),
    }
}

pub async fn pause(visit: Visit) -> Result<Answer, Error> {
    ask(&visit, Wanted::Pause, "pausing").await
}

pub async fn resume(visit: Visit) -> Result<Answer, Error> {
    ask(&visit, Wanted::Run, "resumed").await
}

pub async fn cancel(visit: Visit) -> Result<Answer, Error> {
    ask(&visit, Wanted::Cancel, "cancelling").await
}

/// A job that has ended meanwhile is just shown.
async fn ask(visit: &Visit, wanted: Wanted, done: &str) -> Result<Answer, Error> {
    let job = job_of(visit).await?;
    let app = &visit.app;
    let asked = app.db.ask_job(&visit.actor, &job, wanted, app.clock.now()).await?;
    app.jobs.ring();
    let suffix = if asked { format!("?done={done}") } else { String::new() };
    Ok(Answer::see_other(&format!("/w/{}/jobs/{}{suffix}", job.workspace_id, job.id)))
}

pub async fn cancel_form(visit: Visit) -> Result<Answer, Error> {
    let job = job_of(&visit).await?;
    if job.state.is_final() {
        return Ok(Answer::see_other(&format!("/w/{}/jobs/{}", job.workspace_id, job.id)));
    }
    let done = present::count(job.counts.succeeded);
    let consequence = match job.action {
        BulkAction::Delete => format!("{done} already deleted cannot be restored."),
        _ => format!("{done} already changed stay as they are now."),
    };
    let page = CancelPage {
        shell: visit.shell(format!("Cancel: {}", title(&job))),
        ws: job.workspace_id.clone(),
        id: job.id.clone(),
        title: title(&job),
        consequence: format!(
            "{consequence} {} will not be touched.",
            Count(job.counts.pending.max(0).unsigned_abs())
        ),
    };
    Ok(present::page(&page))
}

/// One line of a download: what was asked, what was got.
pub struct ResultLine {
    pub tenant_id: String,
    pub tenant: String,
    pub item: JobItem,
    pub content: String,
    pub platforms: String,
}

impl ResultLine {
    pub const COLUMNS: [&'static str; 14] = [
        "n",
        "tenant_id",
        "tenant",
        "post_id",
        "content",
        "platforms",
        "state",
        "code",
        "message",
        "status_before",
        "time_before",
        "time_asked",
        "time_granted",
        "ended",
    ];

    pub fn fields(&self) -> [String; 14] {
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
            self.item.expected_status.to_string(),
            time(self.item.expected_at),
            time(self.item.target_at),
            time(self.item.granted_at),
            time(self.item.ended_at),
        ]
    }
}
