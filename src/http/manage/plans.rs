//! Plans by program: made, read and applied under the rules of the pages, without their password and their pause before
//! large deletes, which are for hands that slip. The exact count has to be sent all the same.

use super::{
    super::{Answer, Call, Error, json_body},
    key::Program,
};
use crate::{
    app::App,
    clock::MINUTE,
    domain::{
        Invalid, ids,
        plans::{
            BulkAction, Demands, Fold, Move, PastDue, Plan, PlanItem, PlanOptions, SkipReason, Source,
            Weekday, demands, typed_matches,
        },
        posts::PLATFORMS,
        times,
    },
    jobs::planning::{self, Listed, Request, Selection},
    store::{
        plans::Show,
        posts::{PostFilter, StatusFilter},
    },
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::HashSet, sync::Arc};

/// Posts of one answer.
const ITEMS: i64 = 500;
/// What a deleted post does not get back.
const LOST: &[&str] = &["postGroupId", "scheduledTime", "mediaUrls", "platformSettings"];

/// `POST /manage/v1/bulk/plans`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "an object")]
struct NewPlan {
    action: String,
    /// Exactly these …
    posts: Option<Vec<NamedPost>>,
    /// … or all that match.
    filter: Option<Filter>,
    r#move: Option<NewMove>,
    past_due: Option<NewPastDue>,
    zone: Option<String>,
    fold: Option<String>,
    rate: Option<u32>,
    stop_after: Option<u32>,
    keep_backup: Option<bool>,
    starts_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "an object with tenant and postGroupId")]
struct NamedPost {
    tenant: String,
    post_group_id: String,
    /// With the move `listed`.
    scheduled_time: Option<String>,
}

/// The filters of the posts page by the same names.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default, expecting = "an object of filters")]
struct Filter {
    tenant: Vec<String>,
    status: Vec<String>,
    platform: Vec<String>,
    from: Option<String>,
    to: Option<String>,
    no_time: bool,
    q: Option<String>,
    except: Vec<NamedPost>,
}

#[derive(Deserialize)]
#[serde(
    tag = "mode",
    rename_all = "snake_case",
    rename_all_fields = "camelCase",
    deny_unknown_fields,
    expecting = "an object with a mode"
)]
enum NewMove {
    Shift { minutes: i64 },
    Days { days: i32 },
    Set { at: String },
    Spread { from: String, every_minutes: i64 },
    Weekday { day: String, time: String },
    Listed {},
}

#[derive(Deserialize)]
#[serde(
    tag = "choice",
    rename_all = "snake_case",
    rename_all_fields = "camelCase",
    deny_unknown_fields,
    expecting = "an object with a choice"
)]
enum NewPastDue {
    Leave {},
    Shift {},
    Spread { from: String, every_minutes: i64 },
    PublishNow {},
}

pub async fn create(app: Arc<App>, call: Call) -> Result<Answer, Error> {
    let program = Program::identify(&app, &call).await?;
    let new: NewPlan = json_body::read(&call)?;
    let action = word("action", &new.action, BulkAction::of_posts)?;
    program.may(&app, &call, action).await?;
    let options = options(&new, action, app.clock.now())?;
    let (selection, filter_text) = selection(&new)?;
    let request = Request {
        workspace: &program.account.workspace,
        action,
        options,
        filter_text,
        actor: &program.actor,
    };
    let plan = planning::make(&app, request, selection).await?;
    Ok(made(&app, &plan))
}

/// The answer to a new plan.
pub fn made(app: &App, plan: &Plan) -> Answer {
    let location = format!("/manage/v1/bulk/plans/{}", plan.id);
    Answer::json(201, &describe(app, plan)).with("location", location)
}

pub async fn show(app: Arc<App>, call: Call) -> Result<Answer, Error> {
    let (program, plan) = plan_of(&app, &call).await?;
    program.enters(&app, &call).await?;
    Ok(Answer::json(200, &describe(&app, &plan)))
}

/// The plan's posts in order: `?from=` a number, `?show=changed`, `?skipped=` a reason.
pub async fn items(app: Arc<App>, call: Call) -> Result<Answer, Error> {
    let (program, plan) = plan_of(&app, &call).await?;
    program.enters(&app, &call).await?;
    let (mut from, mut show) = (0, Show::All);
    for (name, value) in call.query_pairs() {
        match (name.as_str(), value.as_str()) {
            ("from", n) => from = n.parse().map_err(|_| invalid("from", "from must be a whole number"))?,
            ("show", "changed") => show = Show::Acted,
            ("skipped", reason) => show = Show::Skipped(word("skipped", reason, SkipReason::parse)?),
            _ => return Err(invalid("query", "Known are from, show=changed and skipped=<reason>")),
        }
    }
    let items = app.db.plan_items(&plan.id, show, from, ITEMS).await?;
    let next = (items.len() as i64 == ITEMS).then(|| items.last().map(|i| i.n + 1)).flatten();
    let items: Vec<Value> = items.iter().map(|i| item(&plan, i)).collect();
    Ok(Answer::json(200, &json!({ "items": items, "next": next })))
}

/// `POST …/apply`
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default, expecting = "an object")]
struct Apply {
    /// The plan's digest: what is applied is what was read.
    digest: String,
    /// What the plan names as `confirm`, if it names something.
    confirm: Option<String>,
    reason: String,
}

pub async fn apply(app: Arc<App>, call: Call) -> Result<Answer, Error> {
    let (program, plan) = plan_of(&app, &call).await?;
    program.may(&app, &call, plan.action).await?;
    let asked: Apply = json_body::read(&call)?;
    if plan.job_id.is_none() {
        let demands = demands_of(&plan);
        let reason = asked.reason.trim();
        if asked.digest != plan.digest {
            return Err(invalid(
                "digest",
                "The digest is not the plan's. Read the plan again before you apply it",
            ));
        }
        if plan.summary.acted == 0 {
            return Err(Error::NothingToDo("No post of this plan would be changed"));
        }
        if demands.reason && reason.is_empty() {
            return Err(invalid("reason", "A reason is needed; it goes into the audit log"));
        }
        if reason.chars().count() > 500 {
            return Err(invalid("reason", "The reason is longer than 500 characters"));
        }
        if let Some(wanted) = demands
            .typed
            .filter(|wanted| !typed_matches(wanted, asked.confirm.as_deref().unwrap_or_default()))
        {
            return Err(invalid(
                "confirm",
                &format!("confirm must be \"{wanted}\": the count is what will be changed"),
            ));
        }
    }
    let (now, job_id) = (app.clock.now(), ids::new_id());
    let starts_at = plan.options.starts_at;
    let job =
        app.db.confirm_plan(&program.actor, &plan, &job_id, asked.reason.trim(), starts_at, now).await?;
    let Some(job_id) = job else {
        return Err(invalid("plan", "The plan has expired or was changed. Make it anew"));
    };
    app.jobs.ring();
    let location = format!("/manage/v1/bulk/jobs/{job_id}");
    Ok(Answer::json(202, &json!({ "jobId": job_id })).with("location", location))
}

/// The plan of the path, for the key that made it. The call is not let in by that.
async fn plan_of(app: &App, call: &Call) -> Result<(Program, Plan), Error> {
    let program = Program::identify(app, call).await?;
    let id = call.param("id");
    let found = if ids::is_own_id(id) { app.db.plan(&program.account.workspace.id, id).await? } else { None };
    match found.filter(|plan| plan.created_by == program.key.id) {
        Some(plan) => Ok((program, plan)),
        None => Err(program.not_found(app).await?),
    }
}

fn demands_of(plan: &Plan) -> Demands {
    let matching = plan.source == Source::Matching;
    demands(plan.action, plan.summary.acted, plan.summary.tenants, matching)
}

/// A plan as programs read it.
fn describe(app: &App, plan: &Plan) -> Value {
    let (summary, demands) = (&plan.summary, demands_of(plan));
    let state = match &plan.job_id {
        Some(_) => "applied",
        None if plan.expires_at <= app.clock.now() => "expired",
        None => "open",
    };
    let counts = |rows: &[(String, i64)]| -> Value {
        rows.iter().map(|(word, n)| (word.clone(), Value::from(*n))).collect::<serde_json::Map<_, _>>().into()
    };
    json!({
        "planId": plan.id,
        "action": plan.action.as_str(),
        "state": state,
        "posts": summary.total(),
        "toChange": summary.acted,
        "tenants": summary.tenants,
        "skipped": summary.skipped,
        "skipReasons": counts(&summary.skips),
        "platforms": counts(&summary.platforms),
        "statuses": counts(&summary.statuses),
        "publishedAtOnce": if plan.action == BulkAction::Resume { summary.untimed } else { 0 },
        // Of posts that are made again: what the backups do not hold, and the time, with which they would be scheduled.
        "notRestored": if plan.action == BulkAction::Recreate { LOST } else { &[] },
        "hadMedia": summary.media,
        "confirm": demands.typed,
        "reasonNeeded": demands.reason,
        "digest": plan.digest,
        "createdAt": times::to_iso(plan.created_at),
        "expiresAt": times::to_iso(plan.expires_at),
        "mirroredAt": plan.mirrored_at.map(times::to_iso),
        "startsAt": plan.options.starts_at.map(times::to_iso),
        "jobId": plan.job_id,
    })
}

fn item(plan: &Plan, item: &PlanItem) -> Value {
    let at_once = plan.action == BulkAction::Resume && item.skip.is_none() && item.target_at.is_none();
    json!({
        "n": item.n,
        "tenant": item.tenant_id,
        "postGroupId": item.post_id,
        "content": item.content,
        "status": item.status.as_str(),
        "scheduledTime": item.scheduled_at.map(times::to_iso),
        "newTime": item.target_at.map(times::to_iso),
        "publishedAtOnce": at_once,
        "skipped": item.skip.map(|reason| reason.as_str()),
    })
}

fn selection(new: &NewPlan) -> Result<(Selection, String), Error> {
    match (&new.posts, &new.filter) {
        (Some(posts), None) => {
            let posts = posts.iter().map(named).collect::<Result<Vec<_>, _>>()?;
            Ok((Selection::Listed { posts, source: Source::Listed }, String::new()))
        }
        (None, Some(filter)) => {
            let except: HashSet<_> = filter
                .except
                .iter()
                .map(|post| named(post).map(|listed| (listed.tenant_id, listed.post_id)))
                .collect::<Result<_, _>>()?;
            let (filter, text) = filter.read()?;
            Ok((Selection::Matching { filter: Box::new(filter), except }, text))
        }
        _ => Err(invalid("posts", "Give either posts or filter")),
    }
}

fn named(post: &NamedPost) -> Result<Listed, Error> {
    for id in [&post.tenant, &post.post_group_id] {
        if !ids::is_object_id(id) {
            return Err(invalid(
                "posts",
                "A post is named by tenant and postGroupId, both ids of PostPost's",
            ));
        }
    }
    Ok(Listed {
        tenant_id: post.tenant.clone(),
        post_id: post.post_group_id.clone(),
        wanted_at: post.scheduled_time.as_deref().map(|text| instant("scheduledTime", text)).transpose()?,
    })
}

impl Filter {
    /// The filter, and its words for whoever reads the plan.
    fn read(&self) -> Result<(PostFilter, String), Error> {
        let mut filter =
            PostFilter { tenants: self.tenant.clone(), no_time: self.no_time, ..PostFilter::default() };
        if let Some(id) = self.tenant.iter().find(|id| !ids::is_object_id(id)) {
            return Err(invalid("tenant", &format!("{id:?} is no tenant's id")));
        }
        for status in &self.status {
            filter.statuses.push(word("status", status, StatusFilter::parse)?);
        }
        for platform in &self.platform {
            if !PLATFORMS.contains(&platform.as_str()) {
                return Err(invalid("platform", &format!("There is no platform {platform:?}")));
            }
            filter.platforms.push(platform.clone());
        }
        filter.from = self.from.as_deref().map(|text| instant("from", text)).transpose()?;
        filter.to = self.to.as_deref().map(|text| instant("to", text)).transpose()?;
        filter.text = self.q.clone().filter(|q| !q.trim().is_empty());
        let pairs = [("tenant", &self.tenant), ("status", &self.status), ("platform", &self.platform)];
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        for (name, values) in pairs {
            text.extend_pairs(values.iter().map(|value| (name, value)));
        }
        for (name, value) in [("from", &self.from), ("to", &self.to), ("q", &self.q)] {
            if let Some(value) = value {
                text.append_pair(name, value);
            }
        }
        if self.no_time {
            text.append_pair("when", "none");
        }
        Ok((filter, text.finish()))
    }
}

fn options(new: &NewPlan, action: BulkAction, now: i64) -> Result<PlanOptions, Error> {
    let mut options = PlanOptions::default();
    if let Some(name) = &new.zone {
        options.zone = crate::domain::plans::zone(name)?;
    }
    options.fold = new.fold.as_deref().map(|text| word("fold", text, Fold::parse)).transpose()?;
    let listed =
        new.posts.as_ref().is_some_and(|posts| posts.iter().all(|post| post.scheduled_time.is_some()));
    if action != BulkAction::Reschedule && new.r#move.is_some() {
        return Err(invalid("move", "move is for reschedule"));
    }
    if action != BulkAction::Resume && new.past_due.is_some() {
        return Err(invalid("pastDue", "pastDue is for resume"));
    }
    if action == BulkAction::Reschedule && new.r#move.is_none() {
        if !listed {
            return Err(invalid("move", "move is missing: say where the posts go"));
        }
        options.moved = Move::Listed;
    }
    if let Some(moved) = &new.r#move {
        options.moved = match moved {
            NewMove::Shift { minutes } => Move::Shift { by: minutes.saturating_mul(MINUTE) },
            NewMove::Days { days } => Move::Days { days: *days },
            NewMove::Set { at } => Move::Set { at: instant("at", at)? },
            NewMove::Spread { from, every_minutes } => {
                Move::Spread { from: instant("from", from)?, every: every_minutes.saturating_mul(MINUTE) }
            }
            NewMove::Weekday { day, time } => {
                Move::Weekday { day: word("day", day, Weekday::parse)?, minute: minute(time)? }
            }
            NewMove::Listed {} => Move::Listed,
        };
    }
    if let Some(past_due) = &new.past_due {
        options.past_due = match past_due {
            NewPastDue::Leave {} => PastDue::Leave,
            NewPastDue::Shift {} => PastDue::Shift,
            NewPastDue::Spread { from, every_minutes } => {
                PastDue::Spread { from: instant("from", from)?, every: every_minutes.saturating_mul(MINUTE) }
            }
            NewPastDue::PublishNow {} => PastDue::PublishNow,
        };
    }
    options.rate = new.rate;
    options.keep_backup = new.keep_backup.unwrap_or(options.keep_backup);
    options.stop_after = new.stop_after.unwrap_or(options.stop_after);
    options.starts_at = new.starts_at.as_deref().map(|text| instant("startsAt", text)).transpose()?;
    options.check(now)?;
    Ok(options)
}

/// "09:30" as a minute of the day.
fn minute(text: &str) -> Result<i16, Error> {
    let read = text.split_once(':').and_then(|(h, m)| Some((h.parse::<i16>().ok()?, m.parse::<i16>().ok()?)));
    match read {
        Some((hour @ 0..24, minute @ 0..60)) => Ok(hour * 60 + minute),
        _ => Err(invalid("time", "Give the time as 09:30")),
    }
}

fn word<T>(field: &'static str, text: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, Error> {
    parse(text).ok_or_else(|| invalid(field, &format!("{field} {text:?} is not known")))
}

fn instant(field: &'static str, text: &str) -> Result<i64, Error> {
    times::from_iso(text)
        .ok_or_else(|| invalid(field, &format!("{field} must be a time such as 2030-01-31T09:00:00Z")))
}

/// What the body or the query says wrongly.
pub fn invalid(field: &'static str, reason: &str) -> Error {
    Error::Invalid(Invalid::new(field, reason))
}
