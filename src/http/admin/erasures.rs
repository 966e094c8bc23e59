//! Erasing personal data of a tenant or of somebody who could log in: what goes, what stays, and the form. What is erased,
//! and in which order, is `jobs::erasures`' and the store's business.

use super::{
    login::prove,
    present,
    views::{Badge, ErasePage, Field, LastErasure, PeoplePage, PersonRow},
    visit::Visit,
};
use crate::{
    domain::{
        admins::Admin,
        erasures::{Erasure, ErasureState, Subject, check_reason},
        ids,
        plans::Proof,
        tenants::{Tenant, TenantState},
    },
    http::{Answer, Error},
    store::erasures::Asked,
};

const BUSY_TENANT: &str = "Calls of this tenant have no end yet, or a bulk job with its posts goes on. Wait for them, or cancel the \
    job, and try again.";
const BUSY_PERSON: &str = "A bulk job or a call of this person's has no end yet: their name would be written down again when \
    it ends. Wait for it, or cancel it, and try again.";
const ATTACHED: &str =
    "The tenant is still managed by this workspace: its data would come back from PostPost. Detach it first.";
const LAST_OWNER: &str = "This is the only owner of this instance.";

/// What is to be erased, as a page about it needs it.
struct About {
    subject: Subject,
    page: ErasePage,
}

pub async fn tenant_form(visit: Visit) -> Result<Answer, Error> {
    let about = of_tenant(&visit).await?;
    render(&visit, about).await
}

pub async fn erase_tenant(visit: Visit) -> Result<Answer, Error> {
    let about = of_tenant(&visit).await?;
    erase(&visit, about).await
}

pub async fn person_form(visit: Visit) -> Result<Answer, Error> {
    let about = of_person(&visit).await?;
    render(&visit, about).await
}

pub async fn erase_person(visit: Visit) -> Result<Answer, Error> {
    let about = of_person(&visit).await?;
    erase(&visit, about).await
}

/// Everybody who can sign in, or could.
pub async fn people(visit: Visit) -> Result<Answer, Error> {
    let clocks = visit.clocks();
    let accounts = visit.app.access.accounts();
    let mut rows = Vec::new();
    for admin in visit.app.db.admins().await? {
        let mut roles: Vec<String> = visit
            .app
            .db
            .roles(&admin.id)
            .await?
            .into_iter()
            .map(|(ws, role)| {
                let workspace = accounts.iter().find(|account| account.workspace.id == ws);
                format!("{role} of {}", workspace.map_or("a workspace", |a| a.workspace.name.as_str()))
            })
            .collect();
        if admin.instance_owner {
            roles.insert(0, "Instance owner".into());
        }
        rows.push(PersonRow {
            erase_url: (admin.id != visit.admin.id).then(|| format!("/people/{}/erase", admin.id)),
            state: Badge::state(if admin.disabled_at.is_some() { "disabled" } else { "active" }),
            since: clocks.moment(admin.created_at),
            roles: if roles.is_empty() { "None".into() } else { roles.join(", ") },
            name: admin.name,
            email: admin.email,
        });
    }
    Ok(present::page(&PeoplePage { shell: visit.shell("People"), rows }))
}

/// A page with an empty form.
fn fields() -> ErasePage {
    ErasePage {
        reason: Field::new("reason"),
        confirm: Field::new("confirm"),
        password: Field::new("password"),
        ..ErasePage::default()
    }
}

async fn of_tenant(visit: &Visit) -> Result<About, Error> {
    let (ws, id) = (&visit.workspace()?.id, visit.object_id("id")?);
    let tenant: Tenant = visit.app.db.tenant(ws, id).await?.ok_or(Error::NotFound)?;
    let back_url = format!("/w/{ws}/tenants/{id}");
    let name = if tenant.username.is_empty() { tenant.id.clone() } else { tenant.username.clone() };
    let page = ErasePage {
        list: "Tenants".into(),
        list_url: format!("/w/{ws}/tenants"),
        action: format!("{back_url}/erase"),
        back_url,
        title: format!("Erase {}", tenant.display_name),
        goes: [
            "The tenant's names, the copies of its posts and their backups, what bulk work and calls noted of it, and the labels of its keys.",
            "All details of its entries in the audit log: names, addresses, what was changed, reasons. Reasons of bulk jobs that had its posts go too.",
            "Audit exports that this gateway keeps, whoever made them.",
        ]
        .map(str::to_owned)
        .into(),
        stays: [
            "The entries themselves, with ids, times, actions and outcomes: they are hashed and cannot be changed, and all proofs stay valid.",
            "What PostPost has. Delete the posts first, and the user there.",
            "Copies that have left this gateway: exports, backups of the database, logs of proxies.",
        ]
        .map(str::to_owned)
        .into(),
        held: (tenant.state() != TenantState::Detached).then(|| ATTACHED.to_owned()),
        typed: format!("erase {name}"),
        ..fields()
    };
    Ok(About { subject: Subject::Tenant { workspace: ws.clone(), id: id.to_owned() }, page })
}

async fn of_person(visit: &Visit) -> Result<About, Error> {
    let (admin, _): (Admin, String) =
        visit.app.db.admin(visit.own_id("id")?).await?.ok_or(Error::NotFound)?;
    let page = ErasePage {
        list: "People".into(),
        list_url: "/people".into(),
        action: format!("/people/{}/erase", admin.id),
        back_url: "/people".into(),
        title: format!("Erase {}", admin.name),
        goes: [
            "Name, e-mail address, password, sessions, saved views and roles. The person cannot sign in any more, from now on.",
            "Name and addresses in the audit log, wherever this person acted.",
            "Audit exports that this gateway keeps, whoever made them.",
        ]
        .map(str::to_owned)
        .into(),
        stays: [
            "What this person did, under the id: the entries are hashed and cannot be changed, and all proofs stay valid.",
            "Reasons that this person has typed, which are about others.",
            "Copies that have left this gateway: exports, backups of the database, logs of proxies.",
        ]
        .map(str::to_owned)
        .into(),
        held: (admin.id == visit.admin.id)
            .then(|| "Nobody erases themselves: another owner has to do it.".to_owned()),
        typed: format!("erase {}", admin.email),
        ..fields()
    };
    Ok(About { subject: Subject::Person { id: admin.id }, page })
}

async fn erase(visit: &Visit, mut about: About) -> Result<Answer, Error> {
    let app = &visit.app;
    let typed = visit.form.get("reason");
    let reason = check_reason(typed);
    about.page.reason = Field::filled("reason", typed);
    if let Err(invalid) = &reason {
        about.page.reason.error = Some(invalid.reason.clone());
    }
    if visit.form.get("confirm").trim().to_lowercase() != about.page.typed.to_lowercase() {
        about.page.confirm.error = Some("Type it as it stands above".into());
    }
    let wrong = about.page.held.is_some() || !about.page.summary().errors.is_empty();
    // Last, so that no mistake elsewhere costs an attempt.
    if !wrong
        && !Proof::holds(visit.session.authenticated_at, app.clock.now())
        && let Err(text) = prove(visit).await?
    {
        about.page.password.error = Some(text);
    }
    let Ok(reason) = reason else { return render(visit, about).await };
    if wrong || about.page.password.error.is_some() {
        return render(visit, about).await;
    }
    let asked =
        app.db.begin_erasure(&visit.actor, &ids::new_id(), &about.subject, &reason, app.clock.now()).await?;
    about.page.error = match asked {
        Asked::Begun(_) | Asked::UnderWay(_) => {
            return Ok(Answer::see_other(&format!("{}?done=erasing", about.page.action)));
        }
        Asked::Unknown => return Err(Error::NotFound),
        Asked::Attached => Some(ATTACHED.into()),
        Asked::LastOwner => Some(LAST_OWNER.into()),
        Asked::Busy => Some(match about.subject {
            Subject::Tenant { .. } => BUSY_TENANT.into(),
            Subject::Person { .. } => BUSY_PERSON.into(),
        }),
    };
    render(visit, about).await
}

async fn render(visit: &Visit, about: About) -> Result<Answer, Error> {
    let About { subject, mut page } = about;
    let failed = page.error.is_some() || !page.summary().errors.is_empty();
    page.shell = if failed { visit.error_shell(&page.title) } else { visit.shell(&page.title) };
    let now = visit.app.clock.now();
    page.last = visit.app.db.erasure_of(&subject).await?.map(|erasure| last(visit, &erasure));
    page.password_required = !Proof::holds(visit.session.authenticated_at, now);
    Ok(present::page_with_status(if failed { 422 } else { 200 }, &page))
}

fn last(visit: &Visit, erasure: &Erasure) -> LastErasure {
    let (state, rest) = match erasure.state {
        ErasureState::Erasing => ("Being erased", "Reload the page to see how far it is."),
        ErasureState::Rewriting => ("Erased, but for the database's files", "They are being written anew."),
        ErasureState::Emptying => (
            "Erased, but for older pages of the write-ahead log",
            "It is emptied as soon as nobody reads an older state any more.",
        ),
        ErasureState::Done => ("Erased", ""),
    };
    LastErasure {
        state: state.into(),
        asked: visit.clocks().moment(erasure.asked_at),
        details: present::count(erasure.details).of("detail of the audit log", "details of the audit log"),
        rest: rest.into(),
    }
}
