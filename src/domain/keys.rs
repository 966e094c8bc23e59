//! Gateway credentials: what a key is and what it may do. Its secret is only ever seen by `secrets` and `access`.

use crate::{
    clock::{DAY, Millis},
    domain::{Invalid, addresses::Addresses, words},
};

/// Fastest rate that can be set, in calls a second; beyond it, a limit limits nothing.
pub const RATE_MAX: u32 = 100_000;

words! {
    /// What a key opens (design §4).
    KeyKind {
        /// One tenant's posts, on `/api/v1`.
        Tenant = "tenant",
        /// Every tenant of a workspace, on `/api/v1`, named by `x-postpost-user-id`.
        Workspace = "workspace",
        /// The audit log, on `/manage/v1`.
        Audit = "audit",
    }
}

impl KeyKind {
    /// The letter after `sk_gh` in the key itself.
    pub fn letter(self) -> char {
        match self {
            Self::Tenant => 't',
            Self::Workspace => 'w',
            Self::Audit => 'a',
        }
    }

    pub fn from_letter(letter: char) -> Option<Self> {
        Self::ALL.iter().copied().find(|k| k.letter() == letter)
    }
}

words! {
    /// A permission a key can carry (design §4). The order is the order of the form.
    Scope {
        PostsRead = "posts:read",
        PostsCreate = "posts:create",
        PostsUpdate = "posts:update",
        PostsDelete = "posts:delete",
        MediaWrite = "media:write",
        ConnectionsRead = "connections:read",
        AnalyticsRead = "analytics:read",
        EngagementWrite = "engagement:write",
        WebhooksManage = "webhooks:manage",
        WorkspaceManage = "workspace:manage",
        AuditRead = "audit:read",
    }
}

/// A set of scopes, stored as their words with spaces between.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Self {
        let mut scopes: Vec<Scope> = scopes.into_iter().collect();
        scopes.sort();
        scopes.dedup();
        Self(scopes)
    }

    /// `None` if any word is not a scope.
    pub fn parse(words: &str) -> Option<Self> {
        words.split_whitespace().map(Scope::parse).collect::<Option<Vec<_>>>().map(Self::new)
    }

    pub fn has(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }

    /// What a key made for a tenant by a key with these may do: whatever a tenant's key can, and this one may.
    pub fn handed_on(&self) -> Self {
        Self::new(self.iter().filter(|s| !matches!(s, Scope::WorkspaceManage | Scope::AuditRead)))
    }

    pub fn iter(&self) -> impl Iterator<Item = Scope> + '_ {
        self.0.iter().copied()
    }
}

impl std::fmt::Display for Scopes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words: Vec<&str> = self.0.iter().map(|s| s.as_str()).collect();
        f.write_str(&words.join(" "))
    }
}

/// What holds for every use of a key, and can be changed while it is in use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRules {
    /// Where it may be used from.
    pub addresses: Addresses,
    /// Calls a second; `None` is the gateway's `key_rate`.
    pub rate: Option<u32>,
}

impl KeyRules {
    /// Reads what a form holds. No rate is the gateway's.
    pub fn parse(addresses: &str, rate: &str) -> Result<Self, Invalid> {
        let rate = match rate.trim() {
            "" => None,
            text => match text.parse() {
                Ok(rate @ 1..=RATE_MAX) => Some(rate),
                _ => {
                    let text = "Enter a whole number of calls a second from 1 to 100,000, or nothing";
                    return Err(Invalid::new("rate", text));
                }
            },
        };
        Ok(Self { addresses: Addresses::parse(addresses)?, rate })
    }
}

/// A stored key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub id: String,
    pub workspace_id: String,
    pub kind: KeyKind,
    /// The one tenant a tenant key acts for.
    pub tenant_id: Option<String>,
    pub name: String,
    pub scopes: Scopes,
    pub rules: KeyRules,
    /// What may be shown of the secret: its first characters …
    pub prefix: String,
    /// … and its last four.
    pub last_four: String,
    pub created_at: Millis,
    /// Name of the admin who made it.
    pub created_by: String,
    pub expires_at: Option<Millis>,
    pub last_used_at: Option<Millis>,
    pub last_used_from: Option<String>,
    /// The user agent of that use, as the client names itself.
    pub last_used_agent: Option<String>,
    pub revoked_at: Option<Millis>,
}

words! {
    /// Where a key stands. Expired and revoked keys stay listed.
    KeyStatus { Active = "active", Expiring = "expiring", Expired = "expired", Revoked = "revoked" }
}

impl Key {
    /// Whether the key opens anything now.
    pub fn is_live(&self, now: Millis) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }

    /// `expiring` is the last seven days (ui.md K3).
    pub fn status(&self, now: Millis) -> KeyStatus {
        match self.expires_at {
            _ if self.revoked_at.is_some() => KeyStatus::Revoked,
            Some(at) if at <= now => KeyStatus::Expired,
            Some(at) if at <= now + 7 * DAY => KeyStatus::Expiring,
            _ => KeyStatus::Active,
        }
    }
}

/// What an admin asks for when making a key.
#[derive(Debug, Clone)]
pub struct NewKey {
    pub kind: KeyKind,
    pub tenant_id: Option<String>,
    pub name: String,
    pub scopes: Scopes,
    pub rules: KeyRules,
    pub expires_at: Option<Millis>,
}

impl NewKey {
    /// Checks the parts against each other: a tenant key has a tenant, an audit token reads the audit log and no more.
    pub fn check(&self, now: Millis) -> Result<(), Invalid> {
        let name = self.name.trim();
        if name.is_empty() || name.chars().count() > 100 {
            return Err(Invalid::new("name", "Enter a name of 1 to 100 characters"));
        }
        match (self.kind, &self.tenant_id) {
            (KeyKind::Tenant, None) => {
                return Err(Invalid::new("tenant", "Choose the tenant this key acts for"));
            }
            (KeyKind::Workspace | KeyKind::Audit, Some(_)) => {
                return Err(Invalid::new("tenant", "Only a tenant key has a tenant"));
            }
            _ => {}
        }
        if self.scopes.iter().next().is_none() {
            return Err(Invalid::new("scopes", "Choose at least one permission"));
        }
        let audit_only = self.scopes.iter().all(|s| s == Scope::AuditRead);
        if self.kind == KeyKind::Audit && !audit_only {
            return Err(Invalid::new("scopes", "An audit token can only read the audit log"));
        }
        if self.kind != KeyKind::Audit && self.scopes.has(Scope::AuditRead) {
            return Err(Invalid::new("scopes", "Only an audit token can read the audit log"));
        }
        if self.kind == KeyKind::Tenant && self.scopes.has(Scope::WorkspaceManage) {
            return Err(Invalid::new("scopes", "Only a workspace key can manage the workspace"));
        }
        if self.expires_at.is_some_and(|at| at <= now) {
            return Err(Invalid::new("expires", "Choose a time in the future"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_whole_numbers_within_bounds() {
        let rate = |text| KeyRules::parse("", text).map(|rules| rules.rate).map_err(|e| e.field);
        assert_eq!((rate(""), rate(" 7 "), rate("100000")), (Ok(None), Ok(Some(7)), Ok(Some(RATE_MAX))));
        for text in ["0", "-1", "1.5", "100001", "fast", "99999999999999999999"] {
            assert_eq!(rate(text), Err("rate"), "{text}");
        }
    }
}
