//! One workspace: how it stands, and its settings' forms.

use super::{badge, scheduled};
use crate::{
    http::{
        Answer, Error,
        admin::{
            audit, present,
            views::{Field, Frozen, ImportResult, Link, WorkspacePage},
            visit::Visit,
        },
    },
    store::{
        audit::AuditFilter,
        keys::{KeyFilter, KeyList},
        tenants::TenantFilter,
    },
};

pub async fn show(visit: Visit) -> Result<Answer, Error> {
    render(&visit, Problem::default()).await
}

/// What went wrong with one of the page's forms.
#[derive(Default)]
pub(super) struct Problem {
    pub whole: Option<String>,
    pub upstream_key: Option<Field>,
    pub reason: Option<Field>,
}

impl Problem {
    fn is_one(&self) -> bool {
        self.whole.is_some() || self.upstream_key.is_some() || self.reason.is_some()
    }
}

pub(super) async fn render(visit: &Visit, problem: Problem) -> Result<Answer, Error> {
    let app = &visit.app;
    let id = &visit.workspace()?.id;
    // From the table, not from memory: an import's error is noted without rebuilding the picture.
    let w = app.db.workspace(id).await?.ok_or(Error::NotFound)?;
    let clocks = visit.clocks();
    let (attached, _, failing, oldest_sync) = app.db.sync_summary(&w.id).await?;
    let keys = KeyFilter { tenant_id: None, list: Some(KeyList::Active), now: clocks.now };
    let frozen = match &w.frozen {
        None => None,
        Some(frozen) => {
            let froze = AuditFilter {
                workspace_id: Some(w.id.clone()),
                action: Some("workspace.freeze".into()),
                ..AuditFilter::default()
            };
            let at = clocks.moment(frozen.at);
            Some(Frozen { at, by: audit::latest_actor(visit, froze).await?, reason: frozen.reason.clone() })
        }
    };
    let failed = problem.is_one();
    let page = WorkspacePage {
        shell: if failed { visit.error_shell(w.name.as_str()) } else { visit.shell(w.name.as_str()) },
        environment: w.environment.to_string(),
        state: badge(&w),
        created: clocks.moment(w.created_at),
        tenants: present::count(app.db.count_tenants(&w.id, &TenantFilter::default()).await?),
        scheduled: present::count(scheduled(app, &w.id).await?),
        keys: present::count(app.db.count_keys(&w.id, &keys).await?),
        last_sync: oldest_sync.map(|at| clocks.moment(at)),
        sync_failed: (failing > 0).then(|| {
            let text = format!("{failing} of {attached} tenants failed to sync");
            Link::new(text, format!("/w/{}/tenants?state=failing", w.id))
        }),
        key_added_at: clocks.moment(w.key_added_at),
        frozen,
        policy: w.delete_policy.to_string(),
        import: (w.imported_at.is_some() || w.import_error.is_some())
            .then(|| ImportResult { at: w.imported_at.map(|at| clocks.moment(at)), error: w.import_error }),
        error: problem.whole,
        upstream_key: problem.upstream_key.unwrap_or_else(|| Field::new("upstream_key")),
        reason: problem.reason.unwrap_or_else(|| Field::new("reason")),
        key_error: w.suspended_reason,
        key_prefix: w.key_prefix,
        key_added_by: w.key_added_by,
        base_url: w.base_url,
        name: w.name,
        ws: w.id,
    };
    Ok(present::page_with_status(if failed { 422 } else { 200 }, &page))
}
