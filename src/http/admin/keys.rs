//! Gateway keys: list, one key, revoking. Making one is `keys::create`, changing one `keys::rules`, replacing one
//! `keys::rotate`. Must not see a key's secret after it was made.

mod create;
mod rotate;
mod rules;

pub use create::{create, create_key, new};
pub use rotate::{cancel_rotation, rotate, rotate_form, rotate_key};
pub use rules::set_rules;

use super::{
    super::{Answer, Error},
    audit,
    form::query_string,
    present::{self, Clocks},
    views::{
        Badge, CopyId, Count, KeyListPage, KeyPage, KeyRow, KeyRulesForm, KeyUserRow, Link, Pager,
        RevokeKeyPage, Tab,
    },
    visit::Visit,
};
use crate::{
    clock::DAY,
    domain::{
        admins::Right,
        audit::Outcome,
        audit_search::{self, Field},
        ids,
        keys::{Key, KeyKind, Scope, Scopes},
        secrets,
    },
    store::{
        audit::AuditFilter,
        keys::{KeyFilter, KeyList, KeyUser},
    },
};
use std::collections::HashMap;

const TABS: [(&str, Option<KeyList>); 7] = [
    ("All", None),
    ("Active", Some(KeyList::Active)),
    ("Expires soon", Some(KeyList::Expiring)),
    ("Unused for 90 days", Some(KeyList::Unused)),
    ("In rotation", Some(KeyList::Rotating)),
    ("Expired or replaced", Some(KeyList::Expired)),
    ("Revoked", Some(KeyList::Revoked)),
];

pub async fn list(visit: Visit) -> Result<Answer, Error> {
    let db = &visit.app.db;
    let ws = &visit.workspace()?.id;
    let clocks = visit.clocks();
    let bad = |what: &str| Error::bad("invalid_filter", format!("{what}: there is no such filter"));
    let list = match visit.form.some("status") {
        None => None,
        Some(word) => Some(KeyList::parse(word).ok_or_else(|| bad("status"))?),
    };
    let tenant = visit.form.some("tenant");
    if tenant.is_some_and(|id| !ids::is_object_id(id)) {
        return Err(bad("tenant"));
    }
    let place = |name| match visit.form.some(name) {
        Some(id) if !ids::is_own_id(id) => Err(bad(name)),
        place => Ok(place),
    };
    let (before, after) = (place("before")?, place("after")?);
    let filter = KeyFilter { tenant_id: tenant, list, now: clocks.now };
    let size = visit.admin.preferences.rows_per_page;
    let (limit, size) = (size + 1, size as usize);
    let mut keys = match after {
        Some(after) => db.keys_after(ws, &filter, after, limit).await?,
        None => db.keys(ws, &filter, before, limit).await?,
    };
    let more = keys.len() > size;
    if after.is_some() {
        let extra = keys.len().saturating_sub(size);
        keys.drain(..extra);
    }
    keys.truncate(size);

    let base = format!("/w/{ws}/keys");
    let url = |list: Option<KeyList>, place: Option<(&str, &str)>| {
        let pairs = [("tenant", tenant), ("status", list.map(KeyList::as_str))];
        let pairs = pairs.into_iter().filter_map(|(name, value)| Some((name, value?)));
        match query_string(pairs.chain(place)).as_str() {
            "" => base.clone(),
            query => format!("{base}?{query}"),
        }
    };
    let (newer, older) = if after.is_some() { (more, true) } else { (before.is_some(), more) };
    let mut tabs = Vec::with_capacity(TABS.len());
    for (label, of) in TABS {
        let count = present::count(db.count_keys(ws, &KeyFilter { list: of, ..filter }).await?);
        tabs.push(Tab { label: label.into(), count: Some(count), url: url(of, None), current: of == list });
    }
    let total = tabs.iter().find(|t| t.current).and_then(|t| t.count).unwrap_or_default();
    let names = tenant_names(&visit, ws, &keys).await?;
    let of_tenant = match tenant {
        None => String::new(),
        Some(id) => {
            let name = db.tenant(ws, id).await?.map_or_else(|| id.to_owned(), |t| t.display_name);
            format!(" of {name}")
        }
    };
    let page = KeyListPage {
        shell: visit.shell("API keys"),
        ws: ws.clone(),
        tabs,
        result_line: match total {
            Count(0) if tenant.is_none() => String::new(),
            total => format!("{}{of_tenant} · newest first", total.of("key", "keys")),
        },
        filtered: list.is_some() || tenant.is_some(),
        pager: Pager::times(
            keys.first().filter(|_| newer).map(|k| url(list, Some(("after", &k.id)))),
            keys.last().filter(|_| older).map(|k| url(list, Some(("before", &k.id)))),
        ),
        rows: keys.iter().map(|key| row(key, &names, &clocks)).collect(),
        new_url: match tenant {
            Some(id) => format!("{base}/new?tenant={id}"),
            None => format!("{base}/new"),
        },
    };
    Ok(present::page(&page))
}

pub async fn show(visit: Visit) -> Result<Answer, Error> {
    let key = find(&visit).await?;
    let form = rules::rules_form(&visit, &key.rules);
    render(&visit, key, form).await
}

/// A key's page, with this form to change its rules.
async fn render(visit: &Visit, key: Key, form: KeyRulesForm) -> Result<Answer, Error> {
    let ws = visit.workspace()?.id.clone();
    let clocks = visit.clocks();
    let now = clocks.now;
    let about = AuditFilter {
        workspace_id: Some(ws.clone()),
        target: Some(key.id.clone()),
        ..AuditFilter::default()
    };
    let names = tenant_names(visit, &ws, std::slice::from_ref(&key)).await?;
    let users = user_rows(visit, &key).await?;
    let (rotation, can_rotate) = rotate::rotation(visit, &key).await?;
    let made = made_keys(visit, &key).await?;
    let failed = !form.summary().errors.is_empty();
    let title = key.name.as_str();
    let page = KeyPage {
        shell: if failed { visit.error_shell(title) } else { visit.shell(title) },
        key: row(&key, &names, &clocks),
        scopes: key.scopes.iter().map(|s| s.to_string()).collect(),
        addresses: key.rules.addresses.words().collect(),
        rate: rules::rate_text(visit, key.rules.rate),
        rules: (visit.may(Right::Operate) && key.is_live(now)).then_some(form),
        users,
        rotation,
        can_rotate,
        made,
        done_url: format!(
            "/w/{ws}/audit?{}",
            query_string([("q", audit_search::is(Field::Key, &key.id).as_str())])
        ),
        audit: audit::latest(visit, about, 10).await?,
        id: CopyId::whole("key ID", key.id),
        detection_regex: secrets::DETECTION_REGEX,
        ws,
    };
    Ok(present::page_with_status(if failed { 422 } else { 200 }, &page))
}

/// The keys that this one has made at the tenant door, by the entries about them. Revoking it does not end them.
async fn made_keys(visit: &Visit, key: &Key) -> Result<Option<Link>, Error> {
    if !key.scopes.has(Scope::WorkspaceManage) {
        return Ok(None);
    }
    let (action, outcome) = ("key.create", Outcome::Succeeded);
    let filter = AuditFilter {
        workspace_id: Some(key.workspace_id.clone()),
        actor: Some(key.id.clone()),
        action: Some(action.into()),
        outcome: Some(outcome),
        ..AuditFilter::default()
    };
    let count = present::count(visit.app.db.audit_count(&filter).await?);
    let q = format!("action:{action} {} outcome:{outcome}", audit_search::is(Field::Key, &key.id));
    let query = query_string([("q", q.as_str())]);
    let url = format!("/w/{}/audit?{query}", key.workspace_id);
    Ok((count.0 > 0).then(|| Link::new(count.of("key", "keys"), url)))
}

async fn user_rows(visit: &Visit, key: &Key) -> Result<Vec<KeyUserRow>, Error> {
    let clocks = visit.clocks();
    let users = visit.app.db.key_users(&key.workspace_id, &key.id).await?;
    let row = |user: KeyUser| KeyUserRow {
        refused: user.address.parse().is_ok_and(|from| !key.rules.addresses.allow(from)),
        address: user.address,
        agent: user.agent,
        used: clocks.moment(user.used_at),
    };
    Ok(users.into_iter().map(row).collect())
}

pub async fn revoke_form(visit: Visit) -> Result<Answer, Error> {
    let ws = visit.workspace()?.id.clone();
    let key = find(&visit).await?;
    let clocks = visit.clocks();
    let now = clocks.now;
    if key.revoked_at.is_some() {
        return Ok(Answer::see_other(&format!("/w/{ws}/keys/{}", key.id)));
    }
    let names = tenant_names(&visit, &ws, std::slice::from_ref(&key)).await?;
    let recent = key.last_used_at.filter(|at| key.is_live(now) && *at > now - DAY);
    let page = RevokeKeyPage {
        shell: visit.shell(format!("Revoke {}", key.name)),
        key: row(&key, &names, &clocks),
        recent_use: recent.map(|at| {
            let from = key.last_used_from.as_deref().unwrap_or("an address that is not known");
            format!("Used {} from {from}.", clocks.moment(at).relative)
        }),
        calls: None,
        rotation: rotate::rotation(&visit, &key).await?.0.map(|r| r.text).unwrap_or_default(),
        made: made_keys(&visit, &key).await?,
        ws,
    };
    Ok(present::page(&page))
}

pub async fn revoke(visit: Visit) -> Result<Answer, Error> {
    let app = &visit.app;
    let key = find(&visit).await?;
    app.db.revoke_key(&visit.actor, &key, app.clock.now()).await?;
    app.access.reload().await?;
    Ok(Answer::see_other(&format!("/w/{}/keys/{}?done=revoked", key.workspace_id, key.id)))
}

async fn find(visit: &Visit) -> Result<Key, Error> {
    let (ws, id) = (&visit.workspace()?.id, visit.own_id("id")?);
    visit.app.db.key(ws, id).await?.ok_or(Error::NotFound)
}

async fn tenant_names(visit: &Visit, ws: &str, keys: &[Key]) -> Result<HashMap<String, String>, Error> {
    let mut tenants: Vec<&str> = keys.iter().filter_map(|k| k.tenant_id.as_deref()).collect();
    tenants.sort_unstable();
    tenants.dedup();
    Ok(visit.app.db.tenant_names(ws, &tenants).await?)
}

fn kind_name(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Tenant => "Tenant key",
        KeyKind::Workspace => "Workspace key",
        KeyKind::Audit => "Audit token",
    }
}

fn row(key: &Key, names: &HashMap<String, String>, clocks: &Clocks) -> KeyRow {
    let status = key.status(clocks.now);
    let tenant = key.tenant_id.as_ref().map(|id| names.get(id).unwrap_or(id).clone());
    KeyRow {
        id: key.id.clone(),
        name: key.name.clone(),
        kind: kind_name(key.kind).into(),
        display: format!("{}…{}", key.prefix, key.last_four),
        tenant,
        tenant_id: key.tenant_id.clone().unwrap_or_default(),
        scopes: summary(&key.scopes),
        created_by: key.created_by.clone(),
        created: clocks.moment(key.created_at),
        last_used: key.last_used_at.map(|at| clocks.moment(at)),
        last_address: key.last_used_from.clone().unwrap_or_default(),
        last_agent: key.last_used_agent.clone().unwrap_or_default(),
        expires: key.ends_at().map(|at| clocks.moment(at)),
        revoked: key.revoked_at.map(|at| clocks.moment(at)),
        pair: pair(key),
        status: Badge::key(status.as_str()),
        active: key.is_live(clocks.now),
    }
}

/// The other key of a rotation.
fn pair(key: &Key) -> Option<Link> {
    let url = |id: &str| format!("/w/{}/keys/{id}", key.workspace_id);
    match (&key.rotation.replaced_by, &key.rotation.replaces) {
        (Some(new), _) => Some(Link::new("Its new key", url(new))),
        (None, Some(old)) => Some(Link::new("The key it replaces", url(old))),
        (None, None) => None,
    }
}

/// "posts: read, create · media: write"
fn summary(scopes: &Scopes) -> String {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for scope in scopes.iter() {
        let Some((noun, verb)) = scope.as_str().split_once(':') else { continue };
        match groups.iter_mut().find(|(known, _)| *known == noun) {
            Some((_, verbs)) => verbs.push(verb),
            None => groups.push((noun, vec![verb])),
        }
    }
    let groups: Vec<String> =
        groups.into_iter().map(|(noun, verbs)| format!("{noun}: {}", verbs.join(", "))).collect();
    groups.join(" · ")
}
