//! What is done to one tenant: freeze, connection link, detach. Changes at PostPost take the one road upstream; what it
//! refuses is shown beside the form in its own words.

use super::{
    show::{Problem, count, find, render, working_keys},
    upstream_said,
};
use crate::{
    domain::{
        operations::OpState,
        tenants::{Tenant, TenantState, check_reason},
    },
    envelope,
    http::{
        Answer, Error,
        admin::{
            present,
            secrets::{SecretKind, store_reveal},
            views::{DetachPage, Field},
            visit::Visit,
        },
    },
    proxy::Refusal,
    store::posts::StatusFilter,
};
use serde_json::Map;

/// Days a connection link may work.
const LINK_DAYS: std::ops::RangeInclusive<i64> = 1..=365;

pub async fn freeze(visit: Visit) -> Result<Answer, Error> {
    let tenant = find(&visit).await?;
    if tenant.state() == TenantState::Detached {
        return refuse_detached(&visit, tenant).await;
    }
    let typed = visit.form.get("reason");
    match check_reason(typed) {
        Ok(reason) => set_frozen(&visit, &tenant, Some(&reason), "frozen").await,
        Err(invalid) => {
            let field = Field::filled("reason", typed).with_error(invalid.reason);
            render(&visit, tenant, Problem { reason: Some(field), ..Problem::default() }).await
        }
    }
}

pub async fn unfreeze(visit: Visit) -> Result<Answer, Error> {
    let tenant = find(&visit).await?;
    set_frozen(&visit, &tenant, None, "unfrozen").await
}

async fn set_frozen(
    visit: &Visit,
    tenant: &Tenant,
    reason: Option<&str>,
    done: &str,
) -> Result<Answer, Error> {
    let app = &visit.app;
    if tenant.frozen.is_some() != reason.is_some() {
        let now = app.clock.now();
        app.db.freeze_tenant(&visit.actor, &tenant.workspace_id, &tenant.id, reason, now).await?;
        app.access.reload().await?;
    }
    Ok(Answer::see_other(&format!("/w/{}/tenants/{}?done={done}", tenant.workspace_id, tenant.id)))
}

pub async fn link(visit: Visit) -> Result<Answer, Error> {
    let tenant = find(&visit).await?;
    if tenant.state() == TenantState::Detached {
        return refuse_detached(&visit, tenant).await;
    }
    let typed = visit.form.get("days");
    let Some(days) = typed.trim().parse::<i64>().ok().filter(|days| LINK_DAYS.contains(days)) else {
        let field = Field::filled("days", typed).with_error("Enter a number of days from 1 to 365");
        return render(&visit, tenant, Problem { days: Some(field), ..Problem::default() }).await;
    };
    let rotate = visit.form.get("rotate") == "1";
    let caller = visit.caller(None)?;
    visit.app.road.admit(&caller, None).await?;
    let body = Map::from_iter([("expiresInDays".to_owned(), days.into()), ("rotate".into(), rotate.into())]);
    let said = match visit.app.road.link_tenant(&caller, &tenant.id, &body).await {
        Ok((changed, link)) => {
            if let Some(link) = link.filter(|_| changed.state == OpState::Succeeded) {
                let back = format!("/w/{}/tenants/{}", tenant.workspace_id, tenant.id);
                let secret = envelope::expose(&link.url);
                let kind = SecretKind::Link;
                let location =
                    store_reveal(&visit, kind, secret, &tenant.display_name, back, link.expires_at).await?;
                return Ok(Answer::see_other(&location));
            }
            upstream_said(&changed.reply)
        }
        Err(Refusal::Upstream(error)) => error.to_string(),
        Err(refusal) => return Err(refusal.into()),
    };
    let days = Some(Field::filled("days", typed));
    render(&visit, tenant, Problem { whole: Some(said), days, reason: None }).await
}

pub async fn detach_form(visit: Visit) -> Result<Answer, Error> {
    let tenant = find(&visit).await?;
    if tenant.state() == TenantState::Detached {
        return Ok(Answer::see_other(&format!("/w/{}/tenants/{}", tenant.workspace_id, tenant.id)));
    }
    render_detach(&visit, tenant, None, Field::new("confirm")).await
}

async fn render_detach(
    visit: &Visit,
    tenant: Tenant,
    error: Option<String>,
    confirm: Field,
) -> Result<Answer, Error> {
    let failed = error.is_some() || confirm.error.is_some();
    let title = format!("Detach {}", tenant.display_name);
    let page = DetachPage {
        shell: if failed { visit.error_shell(title) } else { visit.shell(title) },
        scheduled: count(visit, &tenant, StatusFilter::Scheduled).await?,
        keys: working_keys(visit, &tenant).await?,
        ws: tenant.workspace_id,
        id: tenant.id,
        name: tenant.display_name,
        username: tenant.username,
        error,
        confirm,
    };
    Ok(present::page_with_status(if failed { 422 } else { 200 }, &page))
}

pub async fn detach(visit: Visit) -> Result<Answer, Error> {
    let tenant = find(&visit).await?;
    if tenant.state() == TenantState::Detached {
        return refuse_detached(&visit, tenant).await;
    }
    let typed = visit.form.get("confirm");
    let scheduled = count(&visit, &tenant, StatusFilter::Scheduled).await?;
    if scheduled.0 > 0 && typed.trim().to_lowercase() != tenant.username.to_lowercase() {
        let field = Field::filled("confirm", typed).with_error("Type the username as it stands above");
        return render_detach(&visit, tenant, None, field).await;
    }
    let caller = visit.caller(None)?;
    visit.app.road.admit(&caller, None).await?;
    let said = match visit.app.road.detach_tenant(&caller, &tenant.id).await {
        Ok(changed) if matches!(changed.state, OpState::Succeeded | OpState::Gone) => {
            let location = format!("/w/{}/tenants/{}?done=detached", tenant.workspace_id, tenant.id);
            return Ok(Answer::see_other(&location));
        }
        Ok(changed) => upstream_said(&changed.reply),
        Err(Refusal::Upstream(error)) => error.to_string(),
        Err(refusal) => return Err(refusal.into()),
    };
    render_detach(&visit, tenant, Some(said), Field::filled("confirm", typed)).await
}

/// For a form that was open while the tenant was detached.
async fn refuse_detached(visit: &Visit, tenant: Tenant) -> Result<Answer, Error> {
    let whole = Some("Nothing was done: the tenant has been detached meanwhile".to_owned());
    render(visit, tenant, Problem { whole, ..Problem::default() }).await
}
