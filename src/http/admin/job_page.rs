//! The page of one job: how far it is, what failed and why, and every post with its result.

use super::{
    super::{Answer, Error},
    follow_ups,
    jobs::{counters, job_of, pace, starter, state, title},
    present,
    views::{Badge, Failure, FailureGroup, JobItem as ItemRow, JobPage, JobTenant, Link, Pager, Tab},
    visit::Visit,
};
use crate::{
    app::App,
    clock::{Millis, SECOND},
    domain::{
        jobs::{Counts, ItemState, Job, JobItem, retryable},
        plans::{BulkAction, SkipReason},
    },
    store::plans::Show,
    upstream,
};
use std::collections::{BTreeMap, HashMap};

const ITEMS_PER_PAGE: i64 = 50;
/// Tenants in a job's table.
const TENANTS: usize = 50;
/// Failures listed by themselves (ui.md §2.4).
const LATEST: i64 = 20;

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
    // Whoever waits for it sees it now; it is shown even where that cannot be noted.
    if job.state.is_final()
        && let Err(error) = app.db.note_seen(&job.workspace_id, &visit.admin.id, &job.id).await
    {
        tracing::warn!(%error, "that a job was seen could not be noted");
    }
    let word = state(&job, now);
    let is_final = job.state.is_final();
    let counters = counters(&job.counts);
    let pace = pace(app, &job).await?;
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
    let (parent, children) = follow_ups::family(&visit, &job).await?;
    let page = JobPage {
        shell,
        backups: match job.action {
            BulkAction::Delete => present::count(app.db.count_backups(&job.id).await?),
            _ => present::count(0),
        },
        parent,
        children,
        follow_ups: follow_ups::buttons(&visit, &job).await?,
        ws: job.workspace_id.clone(),
        id: job.id.clone(),
        title: title(&job),
        state: word.into(),
        badge: Badge::job(word),
        is_final,
        summary: summary(app, &job),
        counters,
        rate: pace.map(|(rate, _)| format!("{rate:.1}/s")).unwrap_or_default(),
        time_left: pace
            .map(|(_, left)| format!("about {}", present::span(left * SECOND)))
            .unwrap_or_default(),
        actor: starter(app, &job).await?,
        reason: job.reason.clone(),
        started: present::exact_moment(job.started_at.unwrap_or(job.created_at), now),
        finished: job.ended_at.map(|at| present::exact_moment(at, now)),
        audit_url: if visit.may(crate::domain::admins::Right::Audit) {
            format!("/w/{}/audit?job={}", job.workspace_id, job.id)
        } else {
            String::new()
        },
        can_pause: matches!(word, "starting" | "queued" | "running"),
        can_resume: matches!(word, "paused" | "pausing"),
        can_cancel: !is_final && word != "cancelling",
        refresh_tabs: refresh_tabs(refresh, &link),
        tenants: tenant_rows(&tenants, &names, &job),
        failures: failures(&visit, &job, &base).await?,
        latest: latest_failures(&visit, &job).await?,
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
    let now = Tab { label: "Refresh now".into(), url: tab("", current).url, ..Tab::default() };
    let every = [("Every 5 s", Some(5)), ("Every 15 s", Some(15)), ("Every 60 s", Some(60)), ("Off", None)];
    std::iter::once(now).chain(every.map(|(label, seconds)| tab(label, seconds))).collect()
}

/// What happens now, or the whole outcome as a sentence.
pub fn summary(app: &App, job: &Job) -> String {
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
    let now = app.clock.now();
    match state(job, now) {
        "pausing" => format!("Pausing, finishing {} in flight.", c.running),
        "cancelling" => format!("Cancelling, finishing {} in flight.", c.running),
        "starting" => {
            let at = job.starts_at.unwrap_or(now);
            let (left, at) = (present::span(at - now), present::exact_moment(at, now).absolute);
            format!("Starts in {left}, at {at}. Nothing is sent before, and it can still be cancelled.")
        }
        "queued" => "Waiting for its turn: one job of a workspace runs at a time.".into(),
        "paused" => "Paused. Nothing is sent until you resume it.".into(),
        "running" => waits_for(app, job).unwrap_or_default().into(),
        "stopped" => {
            format!("Stopped after {} failures in a row. {}.", job.options.stop_after, parts.join(", "))
        }
        _ => format!("{}.", parts.join(", ")),
    }
}

/// What keeps a running job from going on, if anything does.
fn waits_for(app: &App, job: &Job) -> Option<&'static str> {
    let account = app.access.account(&job.workspace_id)?;
    if account.workspace.frozen.is_some() && job.action != BulkAction::Pause {
        return Some("Waiting: the workspace is frozen. The job goes on when it is unfrozen.");
    }
    match app.upstream.ready(&account.endpoint) {
        Ok(()) if account.workspace.suspended_at.is_none() => None,
        Ok(()) | Err(upstream::Error::KeyRefused) => {
            Some("Waiting: PostPost refused the workspace's key. The job goes on when it is replaced.")
        }
        Err(_) => Some("Waiting: PostPost cannot be reached. The job goes on by itself."),
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
    let group = |(_, code, n): (String, Option<String>, i64)| {
        let sample = samples.iter().find(|item| item.code == code);
        let code = code.unwrap_or_else(|| "unknown".into());
        FailureGroup {
            meaning: meaning(&code).into(),
            advice: if retryable(&code) {
                "Can be tried again."
            } else {
                "Trying again would most likely fail the same way."
            },
            sample: sample.and_then(|item| item.message.clone()).unwrap_or_default(),
            request: sample
                .and_then(|item| item.op_id.as_ref())
                .map(|id| Link { text: id.clone(), url: format!("/w/{}/operations/{id}", job.workspace_id) }),
            count: present::count(n),
            url: format!("{base}?result=failed"),
            code,
        }
    };
    Ok(codes.into_iter().filter(|(state, ..)| state == "failed").map(group).collect())
}

async fn latest_failures(visit: &Visit, job: &Job) -> Result<Vec<Failure>, Error> {
    let items = visit.app.db.latest_failures(&job.id, LATEST).await?;
    let ids: Vec<&str> = items.iter().map(|item| item.tenant_id.as_str()).collect();
    let names = visit.app.db.tenant_names(&job.workspace_id, &ids).await?;
    Ok(items
        .into_iter()
        .map(|item| Failure {
            tenant: names.get(&item.tenant_id).cloned().unwrap_or_else(|| item.tenant_id.clone()),
            url: format!("/w/{}/posts/{}/{}", job.workspace_id, item.tenant_id, item.post_id),
            post: item.post_id,
            code: item.code.unwrap_or_default(),
            message: item.message.unwrap_or_default(),
        })
        .collect())
}

/// What a code means and what to do.
fn meaning(code: &str) -> &'static str {
    match code {
        "upstream_unreachable" => "PostPost could not be reached: nothing happened.",
        "not_applied" => "PostPost did not answer, and the change did not happen.",
        "rate_limited" => "PostPost asked to slow down, again and again.",
        "tenant_unreadable" => {
            "The tenant's posts could not be read, so it was not known whether they had changed. Nothing was sent."
        }
        "upstream_timeout" | "upstream_reset" | "upstream_bad_reply" | "upstream_redirect" => {
            "PostPost gave no usable answer about the post. Nothing was sent."
        }
        "PLATFORM_AUTH_EXPIRED" => {
            "The platform no longer accepts the connection. Make a reconnect link for the tenant."
        }
        "http_400" => "PostPost refused the change; its words tell why.",
        "http_403" => "PostPost does not allow it for this account.",
        code if code.starts_with("http_5") => "PostPost failed and rolled the change back.",
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
    let time = |at: Millis| present::exact_moment(at, now).absolute;
    let created = item.created_id.as_ref();
    let detail = if created.is_some() { "Made again as a draft".to_owned() } else { detail };
    let times = match (item.target_at, item.granted_at) {
        (Some(asked), Some(got)) if asked != got => format!("asked {}, got {}", time(asked), time(got)),
        (_, Some(got)) if job.action != BulkAction::Delete => time(got),
        _ if job.action == BulkAction::Recreate => {
            item.expected_at.map(|at| format!("was scheduled for {}", time(at))).unwrap_or_default()
        }
        _ => String::new(),
    };
    let url = |post: &String| format!("/w/{}/posts/{}/{post}", job.workspace_id, item.tenant_id);
    ItemRow {
        post: created.unwrap_or(&item.post_id).clone(),
        url: match created {
            Some(post) => url(post),
            // It is not there any more.
            None if job.action == BulkAction::Recreate => String::new(),
            None => url(&item.post_id),
        },
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
