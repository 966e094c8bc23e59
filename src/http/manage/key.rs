//! Which keys open the machine door's bulk half: a workspace key with the scope of what is asked for. A tenant key and an
//! audit token open nothing here.

use super::super::{Call, Error, credentials};
use crate::{
    access::Account,
    app::App,
    domain::{
        audit::{Action, Actor, Draft, Outcome},
        keys::{Key, KeyKind, Scope},
        plans::BulkAction,
    },
    proxy::Refusal,
};
use std::sync::Arc;

/// A program that has been let in.
pub struct Program {
    pub key: Arc<Key>,
    pub actor: Actor,
    pub account: Arc<Account>,
}

impl Program {
    /// Who calls, if its key may do at least something about posts here. It is let in by [`Self::enters`] or [`Self::may`].
    pub async fn identify(app: &App, call: &Call) -> Result<Self, Error> {
        Self::with(app, call, Scope::PostsRead).await
    }

    /// Who calls, if it is a workspace key with this scope. It is let in by [`Self::enters`].
    pub async fn with(app: &App, call: &Call, scope: Scope) -> Result<Self, Error> {
        let key = credentials::key(app, call).await?;
        let account = app.access.account(&key.workspace_id).ok_or_else(|| credentials::refused(app, call))?;
        let actor = credentials::actor(&key, call);
        let program = Self { actor, key, account };
        if program.key.kind != KeyKind::Workspace {
            program.deny(app, "key_kind").await?;
            let text = "This needs a workspace key".into();
            return Err(Error::Forbidden { code: "key_kind", text });
        }
        program.needs(app, scope).await?;
        Ok(program)
    }

    /// Lets it in to look at what is there.
    pub async fn enters(&self, app: &App, call: &Call) -> Result<(), Error> {
        credentials::used(app, &self.key, &self.actor, call).await
    }

    /// Lets it in if its key may do this to posts, and nobody has frozen the workspace; a pause passes a freeze.
    pub async fn may(&self, app: &App, call: &Call, action: BulkAction) -> Result<(), Error> {
        self.needs(app, action.scope()).await?;
        if let Some(frozen) = &self.account.workspace.frozen
            && action != BulkAction::Pause
        {
            self.deny(app, "frozen").await?;
            return Err(Refusal::Frozen(frozen.reason.clone()).into());
        }
        self.enters(app, call).await
    }

    async fn needs(&self, app: &App, scope: Scope) -> Result<(), Error> {
        if self.key.scopes.has(scope) {
            return Ok(());
        }
        self.deny(app, "scope_missing").await?;
        Err(Refusal::ScopeMissing(scope).into())
    }

    /// What this workspace does not have is refused as not there, and noted.
    pub async fn not_found(&self, app: &App) -> Result<Error, Error> {
        self.deny(app, "not_found").await?;
        Ok(Error::NotFound)
    }

    async fn deny(&self, app: &App, code: &str) -> Result<(), Error> {
        let draft = Draft::new(&self.actor, Action::AccessRefuse, Outcome::Denied)
            .workspace(&self.account.workspace.id)
            .tenant(self.key.tenant_id.as_deref())
            .set("code", code);
        app.audit.deny(draft).await.map_err(Error::from)
    }
}
