//! The audit log in a file, for the workspace of the audit token.

use super::super::{Answer, Call, Error, credentials, export};
use crate::{
    app::App,
    domain::{
        audit::{Action, Draft, ExportFormat, Outcome},
        keys::{KeyKind, Scope},
    },
};
use std::sync::Arc;

/// `GET /manage/v1/audit.{csv,ndjson}` with the filters of the audit page as query parameters.
pub async fn export(app: Arc<App>, call: Call, format: ExportFormat) -> Result<Answer, Error> {
    let key = credentials::key(&app, &call).await?;
    let actor = credentials::actor(&key, &call);
    if key.kind != KeyKind::Audit || !key.scopes.has(Scope::AuditRead) {
        let denied = Draft::new(&actor, Action::AuditExport, Outcome::Denied)
            .workspace(&key.workspace_id)
            .tenant(key.tenant_id.as_deref())
            .set("code", "scope_missing");
        app.audit.deny(denied).await?;
        let text = format!("This key lacks the scope {}", Scope::AuditRead);
        return Err(Error::Forbidden { code: "scope_missing", text });
    }
    let mut filter = export::audit_filter(&call.query_pairs(), &[])?;
    filter.workspace_id = Some(key.workspace_id.clone());
    let place = app.gate.download()?;
    credentials::used(&app, &key, &actor, &call).await?;
    export::audit(&app, &actor, filter, format, place).await
}
