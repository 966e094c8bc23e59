//! Making a gateway key. The secret goes from the key ring to the page that shows it once, and nowhere else.

use super::{
    kind_name,
    rules::{rules_form, typed_rules},
};
use crate::{
    app::App,
    clock::{DAY, Millis},
    domain::{
        Invalid,
        audit::Actor,
        ids,
        keys::{Key, KeyKind, KeyRules, NewKey, Scope, Scopes},
        tenants::TenantState,
    },
    http::{
        Answer, Error,
        admin::{
            present,
            secrets::{SecretKind, store_reveal},
            views::{Choice, ChoiceGroup, Field, KeyForm, KeyRulesForm, NewKeyPage},
            visit::Visit,
        },
        mint::{Minted, mint},
    },
    store::tenants::TenantFilter,
};

/// Tenants to choose from; for others the form is opened from their page.
const TENANTS: i64 = 1_000;
const DAYS: [(&str, &str); 4] =
    [("30", "In 30 days"), ("90", "In 90 days"), ("365", "In a year"), ("never", "Never")];
const DEFAULT_DAYS: &str = "90";

/// Makes a key and gives it with its secret, which is not kept. [`Error::Invalid`] if the parts do not fit.
pub async fn create_key(
    app: &App,
    actor: &Actor,
    admin_name: &str,
    workspace_id: &str,
    new: NewKey,
) -> Result<(Key, String), Error> {
    let Minted { key, secret, mac } = mint(app, admin_name, workspace_id, new)?;
    if !app.db.create_key(actor, &key, &mac, app.keyring.pepper_id()).await? {
        return Err(Invalid::new("tenant", "The tenant has been detached").into());
    }
    app.access.reload().await?;
    Ok((key, secret))
}

pub async fn new(visit: Visit) -> Result<Answer, Error> {
    let tenant = visit.form.get("tenant");
    let chosen = Chosen {
        kind: "tenant",
        tenant: if ids::is_object_id(tenant) { tenant } else { "" },
        scopes: Vec::new(),
        expiry: DEFAULT_DAYS,
    };
    let rules = rules_form(&visit, &KeyRules::default());
    render(&visit, Field::new("name"), rules, &chosen, None).await
}

pub async fn create(visit: Visit) -> Result<Answer, Error> {
    let app = &visit.app;
    let ws = &visit.workspace()?.id;
    let form = &visit.form;
    let chosen = Chosen {
        kind: form.get("kind"),
        tenant: form.get("tenant"),
        scopes: form.all("scopes").collect(),
        expiry: form.get("expiry"),
    };
    let made = match read(&visit, ws, &chosen).await? {
        Ok(new) => create_key(app, &visit.actor, &visit.admin.name, ws, new).await,
        Err(invalid) => Err(Error::Invalid(invalid)),
    };
    match made {
        Ok((key, secret)) => {
            let back = format!("/w/{ws}/keys/{}", key.id);
            let location =
                store_reveal(&visit, SecretKind::Key, &secret, &key.name, back, key.expires_at).await?;
            Ok(Answer::see_other(&location))
        }
        Err(Error::Invalid(invalid)) => {
            let name = Field::filled("name", form.get("name"));
            render(&visit, name, typed_rules(&visit), &chosen, Some((invalid.field, invalid.reason))).await
        }
        Err(error) => Err(error),
    }
}

/// What was chosen, as it came.
struct Chosen<'a> {
    kind: &'a str,
    tenant: &'a str,
    scopes: Vec<&'a str>,
    expiry: &'a str,
}

/// The key asked for, or the field that cannot be read.
async fn read(visit: &Visit, ws: &str, chosen: &Chosen<'_>) -> Result<Result<NewKey, Invalid>, Error> {
    let wrong = |field, reason: &str| Ok(Err(Invalid::new(field, reason)));
    let Some(kind) = KeyKind::parse(chosen.kind) else {
        return wrong("kind", "Choose what the key is for");
    };
    let Some(scopes) = chosen.scopes.iter().map(|s| Scope::parse(s)).collect::<Option<Vec<_>>>() else {
        return wrong("scopes", "Choose from the permissions below");
    };
    let expires_at = match expiry(chosen.expiry, visit.app.clock.now()) {
        Ok(at) => at,
        Err(invalid) => return Ok(Err(invalid)),
    };
    let tenant_id = match chosen.tenant {
        "" => None,
        id => {
            let found = if ids::is_object_id(id) { visit.app.db.tenant(ws, id).await? } else { None };
            match found.filter(|t| t.state() != TenantState::Detached) {
                Some(tenant) => Some(tenant.id),
                None => return wrong("tenant", "Choose one of this workspace's tenants"),
            }
        }
    };
    let rules = match KeyRules::parse(visit.form.get("addresses"), visit.form.get("rate")) {
        Ok(rules) => rules,
        Err(invalid) => return Ok(Err(invalid)),
    };
    let name = visit.form.get("name").to_owned();
    Ok(Ok(NewKey { kind, tenant_id, name, scopes: Scopes::new(scopes), rules, expires_at }))
}

async fn render(
    visit: &Visit,
    name: Field,
    rules: KeyRulesForm,
    chosen: &Chosen<'_>,
    wrong: Option<(&'static str, String)>,
) -> Result<Answer, Error> {
    let ws = &visit.workspace()?.id;
    let mut tenants = vec![Choice::new("", "No tenant", chosen.tenant.is_empty())];
    let mut listed = visit.app.db.tenants(ws, &TenantFilter::default(), None, TENANTS).await?;
    listed.retain(|t| t.state() != TenantState::Detached);
    if !chosen.tenant.is_empty() && !listed.iter().any(|t| t.id == chosen.tenant) {
        listed.extend(visit.app.db.tenant(ws, chosen.tenant).await?);
    }
    tenants.extend(listed.into_iter().map(|t| {
        let (selected, label) = (t.id == chosen.tenant, format!("{} ({})", t.display_name, t.username));
        Choice::new(t.id, label, selected)
    }));
    let mut form = KeyForm {
        name,
        kind: Field::new("kind"),
        kinds: kinds(chosen.kind),
        tenant: Field::new("tenant"),
        tenants,
        scopes: Field::new("scopes"),
        scope_groups: scope_groups(&chosen.scopes),
        expiry: Field::new("expiry"),
        expiries: expiries(chosen.expiry),
        rules,
        error: None,
    };
    let failed = wrong.is_some();
    if let Some((field, reason)) = wrong {
        let place = match field {
            "name" => &mut form.name,
            "kind" => &mut form.kind,
            "tenant" => &mut form.tenant,
            "scopes" => &mut form.scopes,
            "addresses" => &mut form.rules.addresses,
            "rate" => &mut form.rules.rate,
            _ => &mut form.expiry,
        };
        place.error = Some(reason);
    }
    let shell = if failed { visit.error_shell("New key") } else { visit.shell("New key") };
    let page = NewKeyPage { shell, ws: ws.clone(), form };
    Ok(present::page_with_status(if failed { 422 } else { 200 }, &page))
}

/// When a key with this choice ends; `None` is never.
pub(super) fn expiry(chosen: &str, now: Millis) -> Result<Option<Millis>, Invalid> {
    match DAYS.iter().find(|(word, _)| *word == chosen) {
        Some((days, _)) => Ok(days.parse::<i64>().ok().map(|days| now + days * DAY)),
        None => Err(Invalid::new("expiry", "Choose when the key ends")),
    }
}

pub(super) fn expiries(chosen: &str) -> Vec<Choice> {
    DAYS.iter().map(|(word, label)| Choice::new(*word, *label, *word == chosen)).collect()
}

/// The choice that comes nearest to how long a key was made for.
pub(super) fn same_expiry(key: &Key) -> &'static str {
    let Some(at) = key.expires_at else { return "never" };
    let days = (at - key.created_at) / DAY;
    let offered = DAYS.iter().filter_map(|(word, _)| Some((*word, word.parse::<i64>().ok()?)));
    offered.min_by_key(|(_, offered)| (offered - days).abs()).map_or(DEFAULT_DAYS, |(word, _)| word)
}

fn kinds(chosen: &str) -> Vec<Choice> {
    let hint = |kind| match kind {
        KeyKind::Tenant => "One tenant's posts, and nothing else.",
        KeyKind::Workspace => "Every tenant of this workspace; each call names its tenant.",
        KeyKind::Audit => "Reads this workspace's audit log, for a program that collects it.",
    };
    KeyKind::ALL
        .iter()
        .map(|kind| Choice {
            hint: hint(*kind).into(),
            ..Choice::new(kind.as_str(), kind_name(*kind), kind.as_str() == chosen)
        })
        .collect()
}

fn scope_groups(chosen: &[&str]) -> Vec<ChoiceGroup> {
    let mut groups: Vec<ChoiceGroup> = Vec::new();
    for scope in Scope::ALL {
        let (group, label, hint) = match scope {
            Scope::PostsRead => ("Posts", "Read", ""),
            Scope::PostsCreate => ("Posts", "Create", "Also makes deleted posts again from backups."),
            Scope::PostsUpdate => ("Posts", "Change", "Also pauses, resumes and reschedules."),
            Scope::PostsDelete => ("Posts", "Delete", "Cannot be undone at PostPost."),
            Scope::MediaWrite => ("Posts", "Upload media", ""),
            Scope::ConnectionsRead => ("Connections", "Read", "Also tests them."),
            Scope::AnalyticsRead => ("On the platforms", "Read figures", "LinkedIn figures and X bookmarks."),
            Scope::EngagementWrite => {
                ("On the platforms", "React and comment", "LinkedIn reactions and comments, X bookmarks.")
            }
            Scope::WebhooksManage => ("Webhooks", "Manage", "Deliveries go to any public address."),
            Scope::WorkspaceManage => (
                "Workspace",
                "Manage users",
                "Workspace keys only. Makes and detaches tenants and their keys.",
            ),
            Scope::AuditRead => ("Audit log", "Read", "Audit tokens only."),
        };
        let choice = Choice {
            hint: hint.into(),
            ..Choice::new(scope.as_str(), label, chosen.contains(&scope.as_str()))
        };
        match groups.iter_mut().find(|g| g.label == group) {
            Some(group) => group.choices.push(choice),
            None => groups.push(ChoiceGroup { label: group.into(), choices: vec![choice] }),
        }
    }
    groups
}
