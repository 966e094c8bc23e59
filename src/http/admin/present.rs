//! From our types to what pages print: times, badges, notices, rows that several pages share.

use super::{
    super::Answer,
    views::{AuditRow, Badge, Banner, CopyId, Count, Counted, Moment},
};
use crate::{
    app::App,
    clock::{DAY, HOUR, MINUTE, Millis, SECOND},
    domain::{audit::Entry, times, workspaces::Workspace},
};
use askama::Template;
use jiff::tz::TimeZone;
use std::collections::HashMap;

/// A page, or a 500 if its template fails.
pub fn page(page: &impl Template) -> Answer {
    page_with_status(200, page)
}

pub fn page_with_status(status: u16, page: &impl Template) -> Answer {
    match page.render() {
        Ok(html) => Answer::html(status, html),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            Answer::new(500, "text/plain; charset=utf-8", "Internal server error")
        }
    }
}

/// The clocks a page shows times by: those of the person who looks at it, and one moment for all of the page.
#[derive(Debug, Clone)]
pub struct Clocks {
    pub now: Millis,
    zone: TimeZone,
}

impl Clocks {
    /// With the zone of that name; a zone that is not known any more is UTC.
    pub fn new(now: Millis, zone: &str) -> Self {
        Self { now, zone: TimeZone::get(zone).unwrap_or(TimeZone::UTC) }
    }

    /// The zone's IANA name.
    pub fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// `15 Mar 2026, 14:30 CET` with how long ago or ahead.
    pub fn moment(&self, at: Millis) -> Moment {
        Moment {
            iso: times::to_iso(at),
            absolute: times::labelled(at, &self.zone),
            relative: relative(at, self.now),
        }
    }

    /// What a `datetime-local` field shows.
    pub fn local(&self, at: Millis) -> String {
        times::to_local(at, self.zone())
    }

    /// From when to when this day lasts.
    pub fn today(&self) -> (Millis, Millis) {
        times::day_of(self.now, &self.zone)
    }
}

/// `15 Mar 2026, 14:30:05 UTC`: the audit log and jobs are read beside other machines' logs, so they keep to one zone and
/// have seconds.
pub fn exact_moment(at: Millis, now: Millis) -> Moment {
    let stamp = jiff::Timestamp::from_millisecond(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    Moment {
        iso: times::to_iso(at),
        absolute: stamp.strftime("%-d %b %Y, %H:%M:%S UTC").to_string(),
        relative: relative(at, now),
    }
}

fn relative(at: Millis, now: Millis) -> String {
    let apart = (at - now).abs();
    let text = match apart {
        a if a < MINUTE => return if at > now { "in a moment".into() } else { "just now".into() },
        a if a < HOUR => format!("{} min", a / MINUTE),
        a if a < 2 * DAY => format!("{} h", a / HOUR),
        a => format!("{} d", a / DAY),
    };
    if at > now { format!("in {text}") } else { format!("{text} ago") }
}

/// "2 min 10 s", for spans.
pub fn span(millis: Millis) -> String {
    match millis.max(0) {
        m if m < MINUTE => format!("{} s", m / SECOND),
        m if m < HOUR => format!("{} min {} s", m / MINUTE, m % MINUTE / SECOND),
        m => format!("{} h {} min", m / HOUR, m % HOUR / MINUTE),
    }
}

/// A count from the database.
pub fn count(n: i64) -> Count {
    Count(n.max(0).unsigned_abs())
}

/// How far lists count what matches them: the exact number of hundreds of thousands is not worth the wait for it.
pub const COUNTED: i64 = 10_000;

/// A count from the database that went no further than one past [`COUNTED`].
pub fn counted(n: i64) -> Counted {
    Counted { n: count(n.min(COUNTED)), more: n > COUNTED }
}

/// What a redirect's `?done=` says. Fixed texts only: a link must not be able to put words on our pages.
pub fn flash(word: &str) -> Option<Banner> {
    let text = match word {
        "workspace_added" => "Workspace added. Its tenants were imported; their posts are being mirrored.",
        "key_replaced" => "The upstream key was verified and replaced.",
        "policy_set" => "Delete policy changed.",
        "frozen" => {
            "Frozen. Calls are refused with 423 from now on. Scheduled posts still go out: pause them below if they must not."
        }
        "unfrozen" => "Unfrozen. Calls are let through again.",
        "imported" => "Managed users imported.",
        "tenant_added" => "Tenant created.",
        "detached" => "Tenant detached. The user and its posts stay at PostPost.",
        "erasing" => {
            "It is being erased. This cannot be stopped any more, and is completed whatever happens."
        }
        "revoked" => "Key revoked. It is refused from now on.",
        "rotation_cancelled" => {
            "The rotation was cancelled. The new key is refused from now on; this one goes on."
        }
        "rules_set" => "Changed. The rules hold from now on.",
        "saved" => "Saved.",
        "password_set" => "Password changed. Your other sessions were signed out.",
        "session_ended" => "Session ended.",
        "job_started" => "Confirmed. The job runs in the background; you can leave this page.",
        "pausing" => "Pausing after the items in flight.",
        "resumed" => "The job goes on.",
        "nothing_left" => "None of these posts can be changed back or tried again any more.",
        "view_saved" => "The filters were saved as a view.",
        "view_removed" => "The view was removed.",
        "selection_gone" => "The selection is no longer kept: nothing is selected. Select the posts again.",
        "cancelling" => "Cancelling after the items in flight.",
        "not_rotated" => {
            return Some(Banner::new(
                "warn",
                "This key cannot be rotated now: it has ended, or a rotation of it has not.",
            ));
        }
        "rules_not_set" => {
            return Some(Banner::new("warn", "This key is not live any more: nothing was changed."));
        }
        "not_cancelled" => {
            return Some(Banner::new(
                "warn",
                "There is nothing to cancel any more: see below where the rotation stands.",
            ));
        }
        _ => return None,
    };
    Some(Banner::new("ok", text))
}

/// What stands on every page while the audit log contradicts what was signed of it.
pub fn audit_notice(app: &App) -> Option<String> {
    let fork = app.audit_log.status().fork?;
    let reason = fork.reason;
    Some(format!(
        "Nothing can be changed: the audit log contradicts what was signed of it ({reason}). See Operations, Restore."
    ))
}

/// What stands on every page of a workspace whose upstream is in trouble.
pub fn upstream_notice(app: &App, workspace: &Workspace, clocks: &Clocks) -> Option<String> {
    if let (Some(at), Some(reason)) = (workspace.suspended_at, &workspace.suspended_reason) {
        let since = clocks.moment(at).absolute;
        return Some(format!("Calls are suspended since {since}. {reason}. Replace the key to go on."));
    }
    let since = app.upstream.unreachable_since(&workspace.id)?;
    let since = clocks.moment(since).absolute;
    Some(format!("PostPost unreachable since {since}. These pages show the gateway's own copy."))
}

/// "40 s", "3 min": how old the mirror is.
pub fn age(at: Millis, now: Millis) -> String {
    match (now - at).max(0) {
        a if a < MINUTE => format!("{} s", a / SECOND),
        a if a < 2 * HOUR => format!("{} min", a / MINUTE),
        a => format!("{} h", a / HOUR),
    }
}

/// Rows of the audit log. `names` gives tenants' display names; `base` is where entries' pages are.
pub fn audit_rows(
    entries: &[Entry],
    names: &HashMap<String, String>,
    workspaces: &HashMap<String, String>,
    base: &str,
    now: Millis,
) -> Vec<AuditRow> {
    let json = |entry: &Entry, part: &str, field: &str| {
        let value: serde_json::Value = serde_json::from_str(entry.detail(part)?).ok()?;
        value.get(field)?.as_str().map(str::to_owned)
    };
    entries
        .iter()
        .map(|entry| {
            let (target, target_url) = target(entry);
            let tenant = entry.tenant_id.as_deref();
            let workspace = entry.workspace_id.as_deref();
            AuditRow {
                seq: entry.seq.max(0).unsigned_abs(),
                url: format!("{base}/{}", entry.seq),
                at: exact_moment(entry.at, now),
                actor: json(entry, "names", "actor").unwrap_or_else(|| entry.actor_id.clone()),
                actor_type: match entry.actor_type {
                    crate::domain::audit::ActorType::Admin => "Admin",
                    crate::domain::audit::ActorType::Key => "API key",
                    crate::domain::audit::ActorType::System => "System",
                    crate::domain::audit::ActorType::Anonymous => "Anonymous",
                }
                .into(),
                action: entry.action.clone(),
                target,
                target_url,
                workspace: workspace
                    .map(|id| workspaces.get(id).cloned().unwrap_or_else(|| id.into()))
                    .unwrap_or_default(),
                tenant: tenant
                    .map(|id| names.get(id).cloned().unwrap_or_else(|| id.into()))
                    .unwrap_or_default(),
                outcome: Badge::outcome(entry.outcome.as_str()),
                address: json(entry, "context", "ip").unwrap_or_default(),
            }
        })
        .collect()
}

/// An entry's first target in words, and where its page is.
fn target(entry: &Entry) -> (String, String) {
    let fixed: serde_json::Value = serde_json::from_slice(&entry.bytes).unwrap_or_default();
    let first = &fixed["targets"][0];
    let (Some(kind), Some(id)) = (first["type"].as_str(), first["id"].as_str()) else {
        return Default::default();
    };
    let text = format!("{kind} {}", CopyId::short("", id).short);
    let Some(ws) = &entry.workspace_id else { return (text, String::new()) };
    let url = match (kind, &entry.tenant_id) {
        ("post", Some(tenant)) => format!("/w/{ws}/posts/{tenant}/{id}"),
        ("tenant", _) => format!("/w/{ws}/tenants/{id}"),
        ("key", _) => format!("/w/{ws}/keys/{id}"),
        ("job", _) => format!("/w/{ws}/jobs/{id}"),
        ("workspace", _) => format!("/w/{id}"),
        _ => String::new(),
    };
    (text, url)
}
