//! Tenants: list and the form for a new one. One tenant's page and what is done to it is `tenants::show`.

mod change;
mod show;

pub use change::{detach, detach_form, freeze, link, unfreeze};
pub use show::show;

use super::{
    super::{Answer, Error},
    form::query_string,
    present::{self, Clocks},
    views::{Badge, CopyId, Count, Field, Link, NewTenantPage, Pager, Tab, TenantListPage, TenantRow},
    visit::Visit,
};
use crate::{
    clock::{DAY, MINUTE, Millis},
    domain::{
        ids,
        operations::OpState,
        tenants::{Tenant, TenantState, check_display_name, check_username},
        times,
    },
    proxy::Refusal,
    store::{posts::StatusFilter, tenants::TenantFilter},
};
use serde_json::Map;
use std::{collections::HashMap, ops::Range};

/// Tab, its word in the address, and what it filters by.
const TABS: [(&str, &str, Option<TenantState>); 5] = [
    ("All", "", None),
    ("Active", "active", Some(TenantState::Active)),
    ("Frozen", "frozen", Some(TenantState::Frozen)),
    ("Detached", "detached", Some(TenantState::Detached)),
    ("Sync failing", "failing", None),
];

pub async fn list(visit: Visit) -> Result<Answer, Error> {
    let db = &visit.app.db;
    let ws = &visit.workspace()?.id;
    let clocks = visit.clocks();
    let (q, state) = (visit.form.get("q").trim(), visit.form.get("state"));
    if ids::is_object_id(q) && db.tenant(ws, q).await?.is_some() {
        return Ok(Answer::see_other(&format!("/w/{ws}/tenants/{q}")));
    }
    let Some((_, _, of)) = TABS.iter().find(|(_, word, _)| *word == state) else {
        return Err(Error::bad("invalid_filter", "state: there is no such filter"));
    };
    let filter_of = |word: &str, of: Option<TenantState>| TenantFilter {
        search: (!q.is_empty()).then(|| q.chars().take(200).collect()),
        state: of,
        failing: word == "failing",
    };
    let filter = filter_of(state, *of);
    let place = |name: &str, id: &str| match visit.form.some(id) {
        None => Ok(None),
        Some(id) if ids::is_object_id(id) => Ok(Some((visit.form.get(name).to_owned(), id.to_owned()))),
        Some(_) => Err(Error::bad("invalid_filter", "The address of this page of the list is damaged")),
    };
    let (after, before) = (place("after", "after_id")?, place("before", "before_id")?);
    let size = visit.admin.preferences.rows_per_page;
    let (limit, size) = (size + 1, size as usize);
    let mut tenants = match &before {
        Some((name, id)) => db.tenants_before(ws, &filter, (name, id), limit).await?,
        None => {
            let after = after.as_ref().map(|(name, id)| (name.as_str(), id.as_str()));
            db.tenants(ws, &filter, after, limit).await?
        }
    };
    let more = tenants.len() > size;
    if before.is_some() {
        let extra = tenants.len().saturating_sub(size);
        tenants.drain(..extra);
    }
    tenants.truncate(size);

    let base = format!("/w/{ws}/tenants");
    let url = |state: &str, place: &[(&str, &str)]| {
        let pairs = [("q", q), ("state", state)].into_iter().filter(|(_, value)| !value.is_empty());
        match query_string(pairs.chain(place.iter().copied())).as_str() {
            "" => base.clone(),
            query => format!("{base}?{query}"),
        }
    };
    let (prev, next) = if before.is_some() { (more, true) } else { (after.is_some(), more) };
    let pager = Pager::pages(
        tenants
            .first()
            .filter(|_| prev)
            .map(|t| url(state, &[("before", &t.display_name), ("before_id", &t.id)])),
        tenants
            .last()
            .filter(|_| next)
            .map(|t| url(state, &[("after", &t.display_name), ("after_id", &t.id)])),
    );
    let mut tabs = Vec::with_capacity(TABS.len());
    for (label, word, of) in TABS {
        let count = present::count(db.count_tenants(ws, &filter_of(word, of)).await?);
        tabs.push(Tab {
            label: label.into(),
            count: Some(count),
            url: url(word, &[]),
            current: word == state,
        });
    }
    let total = tabs.iter().find(|t| t.current).and_then(|t| t.count).unwrap_or_default();
    let week = last_days(clocks.now, 7);
    let shown: Vec<String> = tenants.iter().map(|t| t.id.clone()).collect();
    let counts = db.tenant_post_counts(ws, &shown, week.clone()).await?;
    let counts: HashMap<String, (i64, i64, Option<i64>)> =
        counts.into_iter().map(|(id, scheduled, failed, last)| (id, (scheduled, failed, last))).collect();
    let page = TenantListPage {
        shell: visit.shell("Tenants"),
        q: q.to_owned(),
        state: state.to_owned(),
        tabs,
        result_line: match total {
            Count(0) => String::new(),
            total => format!("{} · sorted by name", total.of("tenant", "tenants")),
        },
        filtered: !q.is_empty() || !state.is_empty(),
        rows: tenants
            .into_iter()
            .map(|tenant| {
                let counts = counts.get(&tenant.id).copied().unwrap_or_default();
                row(ws, tenant, counts, &week, &clocks)
            })
            .collect(),
        pager,
        ws: ws.clone(),
    };
    Ok(present::page(&page))
}

/// The last days up to the end of this minute: a span that a link can name exactly.
pub(super) fn last_days(now: Millis, days: i64) -> Range<Millis> {
    let end = now - now.rem_euclid(MINUTE) + MINUTE;
    end - days * DAY..end
}

fn row(
    ws: &str,
    tenant: Tenant,
    (scheduled, failed, last_published): (i64, i64, Option<i64>),
    week: &Range<Millis>,
    clocks: &Clocks,
) -> TenantRow {
    let failed_query = query_string([
        ("tenant", tenant.id.as_str()),
        ("status", StatusFilter::Failed.as_str()),
        ("from", &times::to_local_utc(week.start)),
        ("to", &times::to_local_utc(week.end)),
    ]);
    TenantRow {
        upstream_id: CopyId::short("tenant ID", tenant.id.as_str()),
        state: Badge::state(tenant.state().as_str()),
        scheduled: present::count(scheduled),
        failed: present::count(failed),
        failed_url: format!("/w/{ws}/posts?{failed_query}"),
        last_published: last_published.map(|at| clocks.moment(at)),
        last_sync: tenant.sync.synced_at.map(|at| clocks.moment(at)),
        link_state: link_state(&tenant, clocks),
        sync_error: tenant.sync.error,
        id: tenant.id,
        name: tenant.display_name,
        username: tenant.username,
    }
}

fn link_state(tenant: &Tenant, clocks: &Clocks) -> String {
    match tenant.link_expires_at {
        None => "None".into(),
        Some(at) if at > clocks.now => format!("Valid until {}", clocks.moment(at).absolute),
        Some(at) => format!("Expired {}", clocks.moment(at).absolute),
    }
}

pub async fn new(visit: Visit) -> Result<Answer, Error> {
    render_new(&visit, None, Field::new("username"), Field::new("display_name"), None)
}

fn render_new(
    visit: &Visit,
    error: Option<String>,
    username: Field,
    display_name: Field,
    existing: Option<Tenant>,
) -> Result<Answer, Error> {
    let ws = visit.workspace()?.id.clone();
    let failed = error.is_some() || username.error.is_some() || display_name.error.is_some();
    let shell = if failed { visit.error_shell("New tenant") } else { visit.shell("New tenant") };
    let existing = existing.map(|t| Link::new(t.display_name, format!("/w/{ws}/tenants/{}", t.id)));
    let page = NewTenantPage { shell, ws, error, username, display_name, existing };
    Ok(present::page_with_status(if failed { 422 } else { 200 }, &page))
}

pub async fn create(visit: Visit) -> Result<Answer, Error> {
    let ws = visit.workspace()?.id.clone();
    let mut username = Field::filled("username", visit.form.get("username"));
    let mut display_name = Field::filled("display_name", visit.form.get("display_name"));
    let name = match check_display_name(&display_name.value) {
        Ok(name) => name,
        Err(invalid) => {
            display_name = display_name.with_error(invalid.reason);
            String::new()
        }
    };
    let address = match check_username(&username.value) {
        Ok(address) if display_name.error.is_none() => address,
        Ok(_) => return render_new(&visit, None, username, display_name, None),
        Err(invalid) => {
            username = username.with_error(invalid.reason);
            return render_new(&visit, None, username, display_name, None);
        }
    };
    let caller = visit.caller(None)?;
    visit.app.road.admit(&caller, None).await?;
    let mut body = Map::from_iter([("username".to_owned(), address.as_str().into())]);
    if !name.is_empty() {
        body.insert("displayName".into(), name.into());
    }
    let (changed, user) = match visit.app.road.create_tenant(&caller, &body).await {
        Ok(done) => done,
        Err(Refusal::Upstream(error)) => {
            return render_new(&visit, Some(error.to_string()), username, display_name, None);
        }
        Err(refusal) => return Err(refusal.into()),
    };
    if let Some(user) = user.filter(|_| changed.state == OpState::Succeeded) {
        return Ok(Answer::see_other(&format!("/w/{ws}/tenants/{}?done=tenant_added", user.id)));
    }
    let said = upstream_said(&changed.reply);
    match changed.reply.status {
        400 => render_new(&visit, None, username.with_error(said), display_name, None),
        409 => {
            let existing = visit.app.db.tenant_by_username(&ws, &address).await?;
            let said = match existing {
                Some(_) => format!("{said}: it is a tenant of this workspace"),
                None => format!("{said}, and is not a tenant of this workspace as last imported"),
            };
            render_new(&visit, None, username.with_error(said), display_name, existing)
        }
        _ => render_new(&visit, Some(said), username, display_name, None),
    }
}

/// PostPost's own words for what it refused.
pub(super) fn upstream_said(reply: &crate::upstream::Reply) -> String {
    match reply.error_text() {
        Some(text) => format!("PostPost: {text}"),
        None => format!("PostPost answered {}", reply.status),
    }
}
