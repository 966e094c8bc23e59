//! Pages of gateway keys and of secrets shown once. Only `SecretPage` may hold a secret.

use askama::{Template, filters::HtmlSafe};

use super::audit::AuditRow;
use super::forms::{Choice, ChoiceGroup, Field, Summary};
use super::parts::{Badge, CopyId, Count, Link, Moment, Pager, Tab};
use super::shell::Shell;

/// `/w/{ws}/keys`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "keys/list.html")]
pub struct KeyListPage {
    pub shell: Shell,
    pub ws: String,
    /// `?status=` as tabs.
    pub tabs: Vec<Tab>,
    pub result_line: String,
    pub filtered: bool,
    pub rows: Vec<KeyRow>,
    pub pager: Pager,
    /// The form for a new one, with the tenant chosen if the list is one tenant's.
    pub new_url: String,
}

#[derive(Clone, Debug, Default)]
pub struct KeyRow {
    pub id: String,
    pub name: String,
    /// "Tenant key", "Workspace key", "Audit token"
    pub kind: String,
    /// `sk_gh4f…9c1e`
    pub display: String,
    /// Of a tenant key.
    pub tenant: Option<String>,
    pub tenant_id: String,
    /// "posts: read, write · media: read"
    pub scopes: String,
    pub created_by: String,
    pub created: Moment,
    /// None: "Never".
    pub last_used: Option<Moment>,
    pub last_address: String,
    pub last_agent: String,
    /// None: "Never". When it ends by its expiry or because it was replaced.
    pub expires: Option<Moment>,
    /// Some: shown in place of `expires`.
    pub revoked: Option<Moment>,
    pub status: Badge,
    /// The key it replaces, or that replaces it.
    pub pair: Option<Link>,
    /// Can be revoked.
    pub active: bool,
}

/// `/w/{ws}/keys/new`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "keys/new.html")]
pub struct NewKeyPage {
    pub shell: Shell,
    pub ws: String,
    pub form: KeyForm,
}

#[derive(Clone, Debug, Default)]
pub struct KeyForm {
    pub error: Option<String>,
    /// "name"
    pub name: Field,
    /// "kind"; choices `tenant workspace audit`
    pub kind: Field,
    pub kinds: Vec<Choice>,
    /// "tenant"; an empty value is none
    pub tenant: Field,
    pub tenants: Vec<Choice>,
    /// "scopes"; repeated
    pub scopes: Field,
    pub scope_groups: Vec<ChoiceGroup>,
    /// "expiry"; choices `30 90 365 never`
    pub expiry: Field,
    pub expiries: Vec<Choice>,
    pub rules: KeyRulesForm,
}

impl KeyForm {
    pub fn summary(&self) -> Summary {
        let (addresses, rate) = (&self.rules.addresses, &self.rules.rate);
        Summary::of(
            &self.error,
            &[&self.name, &self.kind, &self.tenant, &self.scopes, &self.expiry, addresses, rate],
        )
    }
}

/// Where from and how fast, as the two fields of a form.
#[derive(Template, Clone, Debug, Default)]
#[template(path = "keys/rules.html")]
pub struct KeyRulesForm {
    /// "addresses"; one per line
    pub addresses: Field,
    /// "rate"
    pub rate: Field,
    /// What holds without a rate: "20 calls a second", "no limit".
    pub usual_rate: String,
}

impl HtmlSafe for KeyRulesForm {}

impl KeyRulesForm {
    pub fn summary(&self) -> Summary {
        Summary::of(&None, &[&self.addresses, &self.rate])
    }
}

/// Who uses a key.
#[derive(Clone, Debug, Default)]
pub struct KeyUserRow {
    pub address: String,
    /// "curl/8.5.0". Empty: the client does not name itself.
    pub agent: String,
    pub used: Moment,
    /// The address is not allowed any more.
    pub refused: bool,
}

/// `/w/{ws}/keys/{id}`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "keys/show.html")]
pub struct KeyPage {
    pub shell: Shell,
    pub ws: String,
    pub key: KeyRow,
    pub id: CopyId,
    /// Finds keys in files.
    pub detection_regex: &'static str,
    /// One line per scope.
    pub scopes: Vec<String>,
    /// One line per address or network; none is everywhere.
    pub addresses: Vec<String>,
    /// "20 calls a second"
    pub rate: String,
    /// Some: this person may change addresses and rate.
    pub rules: Option<KeyRulesForm>,
    /// Lately, the last first.
    pub users: Vec<KeyUserRow>,
    pub rotation: Option<KeyRotation>,
    pub can_rotate: bool,
    /// "3 keys" that it made for tenants, and their entries in the log.
    pub made: Option<Link>,
    /// The audit log, of what this key has done.
    pub done_url: String,
    pub audit: Vec<AuditRow>,
}

/// Where a key stands in a rotation.
#[derive(Clone, Debug, Default)]
pub struct KeyRotation {
    /// "The new key sk_ght_Ab1…x9Zz waits for its first use until …"
    pub text: String,
    pub other_url: String,
    /// "The old key"
    pub other_text: String,
    /// "The old key was last used 3 min ago from 10.0.0.4 by curl/8.5.0."
    pub busy: Option<String>,
    /// Who uses the old key, on the new one's page.
    pub users: Vec<KeyUserRow>,
    /// Takes the new key back. Empty: too late.
    pub cancel_url: String,
}

/// `/w/{ws}/keys/{id}/rotate`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "keys/rotate.html")]
pub struct RotateKeyPage {
    pub shell: Shell,
    pub ws: String,
    pub key: KeyRow,
    /// "overlap"; seconds
    pub overlap: Field,
    pub overlaps: Vec<Choice>,
    /// "expiry", of the new key
    pub expiry: Field,
    pub expiries: Vec<Choice>,
}

impl RotateKeyPage {
    pub fn summary(&self) -> Summary {
        Summary::of(&None, &[&self.overlap, &self.expiry])
    }
}

/// `/w/{ws}/keys/{id}/revoke`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "keys/revoke.html")]
pub struct RevokeKeyPage {
    pub shell: Shell,
    pub ws: String,
    pub key: KeyRow,
    /// "Used 3 min ago from 10.0.0.4": a strong warning.
    pub recent_use: Option<String>,
    /// Calls in the last 24 h, when counted.
    pub calls: Option<Count>,
    /// Where it stands in a rotation. Empty: in none.
    pub rotation: String,
    /// "3 keys" that it made for tenants, and their entries in the log.
    pub made: Option<Link>,
}

/// `/w/{ws}/secrets/{id}`: a key or a connection link, one time.
#[derive(Template, Clone, Debug, Default)]
#[template(path = "secrets/show.html")]
pub struct SecretPage {
    pub shell: Shell,
    /// "API key" or "Connection link"
    pub kind: String,
    /// The key's name, or the tenant's.
    pub name: String,
    /// None: it was shown before and cannot be shown again.
    pub secret: Option<String>,
    /// "Never", "15 Apr 2026, 14:30 UTC"
    pub expires: String,
    /// A ready command line; must name the secret as `$GATEHOUSE_KEY`, not contain it.
    pub example: Option<String>,
    /// What the already-shown variant tells to do: "Create another key and revoke this one."
    pub advice: String,
    /// Where "I have stored it" leads.
    pub continue_url: String,
}

impl SecretPage {
    pub fn is_link(&self) -> bool {
        self.kind != "API key"
    }
}
