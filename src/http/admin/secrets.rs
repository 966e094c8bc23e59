//! Secrets shown once (ui.md K1): kept encrypted until the page that shows them is opened, by the person who made them and
//! nobody else, and forgotten then. Opening the page again explains; it never makes another secret.

use super::{
    super::{Answer, Error},
    present,
    views::SecretPage,
    visit::Visit,
};
use crate::{
    clock::{MINUTE, Millis},
    domain::{ids, keys::KeyKind, secrets},
    envelope,
    store::reveals::Reveal,
};

/// How long a secret waits for its page.
const LIFE: Millis = 10 * MINUTE;

/// What is shown once.
#[derive(Clone, Copy)]
pub(super) enum SecretKind {
    Key,
    Link,
    /// A link that downloads an export once.
    Export,
}

impl SecretKind {
    /// The stored word.
    fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Link => "link",
            Self::Export => "export",
        }
    }
}

fn place(id: &str) -> [&str; 3] {
    ["reveals", "sealed", id]
}

/// Keeps a secret for its one page and gives that page's address. `label` is what the secret is for, `back` where "I have
/// stored it" leads, `valid_until` when the secret itself ends.
pub(super) async fn store_reveal(
    visit: &Visit,
    kind: SecretKind,
    secret: &str,
    label: &str,
    back: String,
    valid_until: Option<Millis>,
) -> Result<String, Error> {
    let app = &visit.app;
    let ws = &visit.workspace()?.id;
    let id = ids::new_id();
    let sealed = app.keyring.seal(place(&id), secret).map_err(|e| Error::Internal(e.to_string()))?;
    let location = format!("/w/{ws}/secrets/{id}");
    let reveal = Reveal {
        id,
        workspace_id: ws.clone(),
        admin_id: visit.admin.id.clone(),
        kind: kind.as_str().to_owned(),
        label: label.to_owned(),
        back,
        created_at: app.clock.now(),
        valid_until,
    };
    app.db.create_reveal(&reveal, &sealed).await?;
    Ok(location)
}

pub async fn show(visit: Visit) -> Result<Answer, Error> {
    let app = &visit.app;
    let (ws, id) = (&visit.workspace()?.id, visit.own_id("id")?);
    let reveal = app.db.reveal(ws, &visit.admin.id, id).await?.ok_or(Error::NotFound)?;
    let clocks = visit.clocks();
    let secret = match app.db.take_secret(id, clocks.now - LIFE).await? {
        None => None,
        Some(sealed) => {
            let opened = app.keyring.open_secret(place(id), &sealed);
            let opened = opened.map_err(|e| Error::Internal(e.to_string()))?;
            Some(envelope::expose(&opened).to_owned())
        }
    };
    let (kind, advice) = match reveal.kind.as_str() {
        "link" => ("Connection link", "If it was not stored, create another link and invalidate this one."),
        "export" => {
            ("Download link", "It works once, without signing in. If it was not stored, create another.")
        }
        _ => ("API key", "If it was not stored, create another key and revoke this one."),
    };
    let state = if secret.is_some() { "created" } else { "already shown" };
    let page = SecretPage {
        shell: visit.shell(format!("{kind} {state}")),
        kind: kind.into(),
        name: reveal.label,
        expires: reveal.valid_until.map_or_else(|| "Never".into(), |at| clocks.moment(at).absolute),
        example: secret.as_deref().and_then(|secret| example(&app.public_url, secret)),
        secret,
        advice: advice.into(),
        continue_url: reveal.back,
    };
    Ok(present::page(&page))
}

/// A command line to try a key with. It names the key as a variable, so that it can be kept.
fn example(origin: &str, secret: &str) -> Option<String> {
    let call = match secrets::checked_kind(secret)? {
        KeyKind::Tenant => format!("{origin}/api/v1/list-posts?limit=1"),
        KeyKind::Workspace => {
            return Some(format!(
                "curl -H \"x-api-key: $GATEHOUSE_KEY\" -H \"x-postpost-user-id: $TENANT_ID\" \
                 \"{origin}/api/v1/list-posts?limit=1\""
            ));
        }
        KeyKind::Audit => format!("{origin}/manage/v1/audit.ndjson"),
    };
    Some(format!("curl -H \"x-api-key: $GATEHOUSE_KEY\" \"{call}\""))
}
