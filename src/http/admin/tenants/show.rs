//! One tenant: what the gateway knows of it, and its connections as PostPost tells them right now. PostPost being slow or
//! away must not keep the page from showing.

use super::link_state;
use crate::{
    domain::{
        tenants::{Tenant, TenantState},
        times,
    },
    http::{
        Answer, Error,
        admin::{
            audit,
            post_filter::platform_label,
            present::{self, Clocks},
            views::{self, Badge, CopyId, Count, Field, Frozen, TenantPage},
            visit::Visit,
        },
    },
    store::{
        audit::AuditFilter,
        keys::{KeyFilter, KeyList},
        posts::{PostFilter, StatusFilter},
    },
    upstream::types::Connection,
};
use std::time::Duration;

/// How long the page waits for PostPost.
const DEADLINE: Duration = Duration::from_millis(2_500);
/// Days a connection link is offered for.
const LINK_DAYS: &str = "30";

pub async fn show(visit: Visit) -> Result<Answer, Error> {
    let tenant = find(&visit).await?;
    render(&visit, tenant, Problem::default()).await
}

/// What went wrong with one of the page's forms.
#[derive(Default)]
pub(super) struct Problem {
    pub whole: Option<String>,
    pub days: Option<Field>,
    pub reason: Option<Field>,
}

impl Problem {
    fn is_one(&self) -> bool {
        self.whole.is_some() || self.days.is_some() || self.reason.is_some()
    }
}

/// The tenant that the path names.
pub(super) async fn find(visit: &Visit) -> Result<Tenant, Error> {
    let (ws, id) = (&visit.workspace()?.id, visit.object_id("id")?);
    visit.app.db.tenant(ws, id).await?.ok_or(Error::NotFound)
}

pub(super) async fn render(visit: &Visit, tenant: Tenant, problem: Problem) -> Result<Answer, Error> {
    let db = &visit.app.db;
    let ws = visit.workspace()?.id.clone();
    let clocks = visit.clocks();
    let now = clocks.now;
    let detached = tenant.state() == TenantState::Detached;
    let (connections, connections_error) = match connections(visit, &tenant).await? {
        Ok(list) => (list, None),
        Err(text) => (Vec::new(), Some(text)),
    };
    let counts = db.tenant_post_counts(&ws, std::slice::from_ref(&tenant.id), 0..0).await?;
    let last_published = counts.first().and_then(|c| c.3);
    let frozen = match &tenant.frozen {
        None => None,
        Some(frozen) => {
            let froze = AuditFilter {
                workspace_id: Some(ws.clone()),
                tenant_id: Some(tenant.id.clone()),
                action: Some("tenant.freeze".into()),
                ..AuditFilter::default()
            };
            let at = clocks.moment(frozen.at);
            Some(Frozen { at, by: audit::latest_actor(visit, froze).await?, reason: frozen.reason.clone() })
        }
    };
    let about = AuditFilter {
        workspace_id: Some(ws.clone()),
        tenant_id: Some(tenant.id.clone()),
        ..AuditFilter::default()
    };
    let keys = KeyFilter { tenant_id: Some(&tenant.id), list: None, now };
    let failed = problem.is_one();
    let title = tenant.display_name.as_str();
    let page = TenantPage {
        shell: if failed { visit.error_shell(title) } else { visit.shell(title) },
        upstream_id: CopyId::whole("tenant ID", tenant.id.as_str()),
        state: Badge::state(tenant.state().as_str()),
        created: clocks.moment(tenant.created_at),
        scheduled: count(visit, &tenant, StatusFilter::Scheduled).await?,
        published: count(visit, &tenant, StatusFilter::AnyPublished).await?,
        failed: count(visit, &tenant, StatusFilter::Failed).await?,
        keys: present::count(db.count_keys(&ws, &keys).await?),
        last_published: last_published.map(|at| clocks.moment(at)),
        last_sync: tenant.sync.synced_at.map(|at| clocks.moment(at)),
        frozen,
        detached,
        connections,
        connections_error,
        link_state: link_state(&tenant, &clocks),
        error: problem.whole,
        days: problem.days.unwrap_or_else(|| Field::filled("days", LINK_DAYS)),
        reason: problem.reason.unwrap_or_else(|| Field::new("reason")),
        audit: audit::latest(visit, about, 10).await?,
        sync_error: tenant.sync.error,
        name: tenant.display_name,
        username: tenant.username,
        id: tenant.id,
        ws,
    };
    Ok(present::page_with_status(if failed { 422 } else { 200 }, &page))
}

/// As many posts of the tenant as the list of this status shows.
pub(super) async fn count(visit: &Visit, tenant: &Tenant, status: StatusFilter) -> Result<Count, Error> {
    let filter =
        PostFilter { tenants: vec![tenant.id.clone()], statuses: vec![status], ..PostFilter::default() };
    Ok(present::count(visit.app.db.count_posts(&tenant.workspace_id, &filter).await?))
}

/// How many of the tenant's keys still open something.
pub(super) async fn working_keys(visit: &Visit, tenant: &Tenant) -> Result<Count, Error> {
    let now = visit.app.clock.now();
    let filter = KeyFilter { tenant_id: Some(&tenant.id), list: Some(KeyList::Active), now };
    Ok(present::count(visit.app.db.count_keys(&tenant.workspace_id, &filter).await?))
}

/// The connections, or why they cannot be told.
async fn connections(
    visit: &Visit,
    tenant: &Tenant,
) -> Result<Result<Vec<views::Connection>, String>, Error> {
    let account = visit.account()?;
    if tenant.state() == TenantState::Detached {
        return Ok(Err("the tenant is detached.".into()));
    }
    if account.workspace.suspended_at.is_some() {
        return Ok(Err("calls of this workspace are suspended.".into()));
    }
    let call = visit.app.upstream.connections(&account.endpoint, &tenant.id, &visit.call.request_id);
    Ok(match tokio::time::timeout(DEADLINE, call).await {
        Err(_) => Err("PostPost did not answer in time. Reload to try again.".into()),
        Ok(Err(failure)) => Err(format!("{failure}.")),
        Ok(Ok(list)) => Ok(list.into_iter().map(|c| connection(c, &visit.clocks())).collect()),
    })
}

fn connection(c: Connection, clocks: &Clocks) -> views::Connection {
    let time = |text: &Option<String>| text.as_deref().and_then(times::from_iso).map(|at| clocks.moment(at));
    let expires = time(&c.access_token_expires_at);
    let status = c.token_status.as_deref().unwrap_or_default();
    let text = match (status, &expires) {
        ("valid", _) => "Valid".to_owned(),
        ("expiring_soon", Some(at)) => format!("Expires {}", at.relative),
        ("expiring_soon", None) => "Expires soon".to_owned(),
        ("expired", _) => "Expired".to_owned(),
        _ => "No expiry".to_owned(),
    };
    // Upstream's errors are texts or objects with a message.
    let error = c.last_error.as_ref().and_then(|error| match error {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone()),
        other => Some(
            other.get("message").and_then(|m| m.as_str()).map_or_else(|| other.to_string(), str::to_owned),
        ),
    });
    let platform = platform_label(c.platform_id.split('-').next().unwrap_or_default());
    views::Connection {
        last_success: time(&c.last_successful_post),
        handle: c.username.or(c.display_name).unwrap_or_default(),
        id: CopyId::short("connection ID", c.platform_id),
        badge: Badge::token(status, text),
        platform,
        expires,
        last_error: error,
    }
}
