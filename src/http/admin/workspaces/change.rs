//! What is done to a workspace: new key, delete policy, freeze, import. A new key is tried before it replaces the old one.

use super::{
    seal,
    show::{Problem, render},
    verify,
};
use crate::{
    domain::{
        audit::{Action, Draft, Outcome},
        tenants::check_reason,
        workspaces::{DeletePolicy, check_upstream_key},
    },
    http::{
        Answer, Error,
        admin::{views::Field, visit::Visit},
    },
    upstream::{Endpoint, KeyStanding, Patience, types::Failure},
};
use secrecy::SecretString;

pub async fn replace_key(visit: Visit) -> Result<Answer, Error> {
    let app = &visit.app;
    let w = visit.workspace()?;
    let refused = |reason: String| {
        let field = Field::new("upstream_key").with_error(reason);
        Problem { upstream_key: Some(field), ..Problem::default() }
    };
    let key = match check_upstream_key(visit.form.get("upstream_key")) {
        Ok(key) => key,
        Err(invalid) => return render(&visit, refused(invalid.reason)).await,
    };
    let endpoint = Endpoint {
        workspace_id: w.id.clone(),
        base_url: w.base_url.clone(),
        key: SecretString::from(key),
        standing: KeyStanding::Trial,
    };
    let users = match verify(app, &visit.actor, &endpoint).await {
        Ok(users) => users,
        Err(invalid) => {
            note_unusable(&visit, Outcome::Refused, "key_refused").await?;
            return render(&visit, refused(invalid.reason)).await;
        }
    };
    // Another account's key would detach every tenant at the next import.
    let (attached, ..) = app.db.sync_summary(&w.id).await?;
    let known = |id: &str| app.access.tenant(&w.id, id).is_some_and(|standing| !standing.detached);
    if attached > 0 && !users.iter().any(|user| known(&user.id)) {
        let reason = format!(
            "This key is another PostPost account's: none of this workspace's {attached} tenants is among its managed users"
        );
        note_unusable(&visit, Outcome::Denied, "other_account").await?;
        return render(&visit, refused(reason)).await;
    }
    let sealed = seal(app, &w.id, key)?;
    app.db.replace_workspace_key(&visit.actor, &w.id, &sealed, &visit.admin.name, app.clock.now()).await?;
    app.access.reload().await?;
    Ok(Answer::see_other(&format!("/w/{}?done=key_replaced", w.id)))
}

/// Writes down that a key was offered which cannot take the place of the workspace's.
async fn note_unusable(visit: &Visit, outcome: Outcome, code: &str) -> Result<(), Error> {
    let id = &visit.workspace()?.id;
    let entry = Draft::new(&visit.actor, Action::WorkspaceReplaceKey, outcome)
        .workspace(id)
        .target("workspace", id)
        .set("code", code);
    Ok(visit.app.audit.record(vec![entry], Vec::new()).await?)
}

pub async fn set_policy(visit: Visit) -> Result<Answer, Error> {
    let app = &visit.app;
    let w = visit.workspace()?;
    let policy = DeletePolicy::parse(visit.form.get("policy"))
        .ok_or_else(|| Error::bad("invalid_form", "policy: choose one of the options"))?;
    if policy != w.delete_policy {
        app.db.set_delete_policy(&visit.actor, &w.id, policy, app.clock.now()).await?;
        app.access.reload().await?;
    }
    Ok(Answer::see_other(&format!("/w/{}?done=policy_set", w.id)))
}

pub async fn freeze(visit: Visit) -> Result<Answer, Error> {
    let typed = visit.form.get("reason");
    match check_reason(typed) {
        Ok(reason) => set_frozen(&visit, Some(&reason), "frozen").await,
        Err(invalid) => {
            let field = Field::filled("reason", typed).with_error(invalid.reason);
            render(&visit, Problem { reason: Some(field), ..Problem::default() }).await
        }
    }
}

pub async fn unfreeze(visit: Visit) -> Result<Answer, Error> {
    set_frozen(&visit, None, "unfrozen").await
}

async fn set_frozen(visit: &Visit, reason: Option<&str>, done: &str) -> Result<Answer, Error> {
    let app = &visit.app;
    let w = visit.workspace()?;
    if w.frozen.is_some() != reason.is_some() {
        app.db.freeze_workspace(&visit.actor, &w.id, reason, app.clock.now()).await?;
        app.access.reload().await?;
    }
    Ok(Answer::see_other(&format!("/w/{}?done={done}", w.id)))
}

/// Makes the tenants equal to PostPost's managed users, as adding the workspace did.
pub async fn import(visit: Visit) -> Result<Answer, Error> {
    let app = &visit.app;
    let account = visit.account()?;
    let id = &account.workspace.id;
    if account.workspace.suspended_at.is_some() {
        let whole = "Nothing was imported: PostPost refuses the workspace's key. Replace it first".to_owned();
        return render(&visit, Problem { whole: Some(whole), ..Problem::default() }).await;
    }
    match app.upstream.list_users(&account.endpoint, &visit.call.request_id, Patience::DOOR).await {
        Ok(users) => {
            app.db.import_tenants(&visit.actor, id, &users, app.clock.now()).await?;
            app.access.reload().await?;
            Ok(Answer::see_other(&format!("/w/{id}?done=imported")))
        }
        Err(failure) => {
            let text = failure.to_string();
            app.db.note_import_error(&visit.actor, id, &text, app.clock.now()).await?;
            if let Failure::Refused(reply) = &failure
                && reply.status == 401
            {
                // As every other call does that learns it: no storm of calls with a dead key.
                app.road.suspend(account, &reply.error_text().unwrap_or_default()).await;
            }
            let whole = Some(format!("Nothing was imported. {text}"));
            render(&visit, Problem { whole, ..Problem::default() }).await
        }
    }
}
