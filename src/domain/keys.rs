//! Gateway credentials: what a key is and what it may do. Its secret is only ever seen by `secrets` and `access`.

use crate::{
    clock::{DAY, HOUR, Millis},
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

/// How long a new key waits for its first use before it lapses.
pub const PENDING_LIFE: Millis = 7 * DAY;
/// How long an old key can live on once its successor is in use.
pub const OVERLAPS: [Millis; 4] = [0, HOUR, DAY, 7 * DAY];

/// Where a key stands in a rotation: what it replaces, or what replaces it. A new key is pending until its first use lets
/// the old one's last days begin; unused for [`PENDING_LIFE`] it lapses, and the old one goes on as if nothing had been.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotation {
    /// The key this one was made to replace.
    pub replaces: Option<String>,
    /// Until when the first use is waited for; `None` once it was.
    pub pending_until: Option<Millis>,
    /// How long the old key lives on after that first use; one of [`OVERLAPS`].
    pub overlap: Option<Millis>,
    /// The key that was made to replace this one.
    pub replaced_by: Option<String>,
    /// When this key ends, because its successor is in use.
    pub retires_at: Option<Millis>,
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
    pub rotation: Rotation,
}

words! {
    /// Where a key stands. What has ended stays listed.
    KeyStatus {
        Active = "active",
        /// Within its last seven days (ui.md K3).
        Expiring = "expiring",
        /// Made to replace another, and not used yet.
        Pending = "pending",
        /// Its successor is in use; it lives on for the overlap.
        Retiring = "retiring",
        /// Replaced, and past the overlap.
        Retired = "retired",
        /// Not used in time.
        Lapsed = "lapsed",
        Expired = "expired",
        Revoked = "revoked",
    }
}

impl Key {
    /// Whether the key opens anything now.
    pub fn is_live(&self, now: Millis) -> bool {
        self.revoked_at.is_none()
            && self.ends_at().is_none_or(|at| now < at)
            && self.rotation.pending_until.is_none_or(|at| now < at)
    }

    /// Whether it was made to replace another and waits for its first use.
    pub fn is_pending(&self) -> bool {
        self.rotation.pending_until.is_some()
    }

    /// When a key that is in use ends: by its expiry, or because it was replaced.
    pub fn ends_at(&self) -> Option<Millis> {
        [self.expires_at, self.rotation.retires_at].into_iter().flatten().min()
    }

    pub fn status(&self, now: Millis) -> KeyStatus {
        let is_over = |at: Option<Millis>| at.is_some_and(|at| at <= now);
        match self.rotation {
            _ if self.revoked_at.is_some() => KeyStatus::Revoked,
            Rotation { retires_at, .. } if is_over(retires_at) => KeyStatus::Retired,
            _ if is_over(self.expires_at) => KeyStatus::Expired,
            Rotation { pending_until, .. } if is_over(pending_until) => KeyStatus::Lapsed,
            Rotation { pending_until: Some(_), .. } => KeyStatus::Pending,
            Rotation { retires_at: Some(_), .. } => KeyStatus::Retiring,
            _ if self.expires_at.is_some_and(|at| at <= now + 7 * DAY) => KeyStatus::Expiring,
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

    fn key(expires_at: Option<Millis>, rotation: Rotation) -> Key {
        Key {
            id: "k".into(),
            workspace_id: "w".into(),
            kind: KeyKind::Workspace,
            tenant_id: None,
            name: "Key".into(),
            scopes: Scopes::default(),
            rules: KeyRules::default(),
            prefix: String::new(),
            last_four: String::new(),
            created_at: 0,
            created_by: String::new(),
            expires_at,
            last_used_at: None,
            last_used_from: None,
            last_used_agent: None,
            revoked_at: None,
            rotation,
        }
    }

    /// At the millisecond of each end the key opens nothing any more, and the status says why.
    #[test]
    fn a_key_ends_at_the_first_of_its_ends() {
        let pending = |at| Rotation { pending_until: Some(at), ..Rotation::default() };
        let retiring = |at| Rotation { retires_at: Some(at), ..Rotation::default() };
        let far = Some(1_000 * DAY);
        for (key, end, before, after) in [
            (key(Some(DAY), Rotation::default()), DAY, KeyStatus::Expiring, KeyStatus::Expired),
            (key(far, pending(DAY)), DAY, KeyStatus::Pending, KeyStatus::Lapsed),
            (key(Some(DAY), pending(2 * DAY)), DAY, KeyStatus::Pending, KeyStatus::Expired),
            (key(far, retiring(DAY)), DAY, KeyStatus::Retiring, KeyStatus::Retired),
            (key(Some(DAY), retiring(2 * DAY)), DAY, KeyStatus::Retiring, KeyStatus::Expired),
        ] {
            assert_eq!((key.status(end - 1), key.status(end)), (before, after));
            assert!(key.is_live(end - 1) && !key.is_live(end), "{key:?}");
        }
        let revoked = Key { revoked_at: Some(1), ..key(None, pending(DAY)) };
        assert_eq!((revoked.status(0), revoked.is_live(0)), (KeyStatus::Revoked, false));
        assert_eq!(key(None, Rotation::default()).status(1_000 * DAY), KeyStatus::Active);
    }

    #[test]
    fn rates_are_whole_numbers_within_bounds() {
        let rate = |text| KeyRules::parse("", text).map(|rules| rules.rate).map_err(|e| e.field);
        assert_eq!((rate(""), rate(" 7 "), rate("100000")), (Ok(None), Ok(Some(7)), Ok(Some(RATE_MAX))));
        for text in ["0", "-1", "1.5", "100001", "fast", "99999999999999999999"] {
            assert_eq!(rate(text), Err("rate"), "{text}");
        }
    }
}
