//! Tenants: PostPost's managed users. A tenant's id is its ObjectId upstream, so that nobody has to translate.

use crate::{
    clock::Millis,
    domain::{Invalid, words, workspaces::Frozen},
};

/// A tenant of a workspace. Detached ones stay listed: their history does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    pub workspace_id: String,
    /// The ObjectId upstream.
    pub id: String,
    pub username: String,
    pub display_name: String,
    pub created_at: Millis,
    pub frozen: Option<Frozen>,
    pub detached_at: Option<Millis>,
    /// Until when the last connection link works, as far as we know.
    pub link_expires_at: Option<Millis>,
    pub sync: Sync,
}

/// How fresh the mirror of a tenant is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sync {
    /// Last time the mirror was brought up to date, fully or by changes.
    pub synced_at: Option<Millis>,
    /// Last complete sweep, which also finds deletions made elsewhere.
    pub swept_at: Option<Millis>,
    pub error: Option<String>,
    pub error_at: Option<Millis>,
    /// Changes up to this `updatedAt` of upstream's are known.
    pub read_to: Option<Millis>,
    /// When it is to be read again.
    pub due_at: Millis,
}

words! {
    TenantState { Active = "active", Frozen = "frozen", Detached = "detached" }
}

impl Tenant {
    pub fn state(&self) -> TenantState {
        match (&self.detached_at, &self.frozen) {
            (Some(_), _) => TenantState::Detached,
            (None, Some(_)) => TenantState::Frozen,
            (None, None) => TenantState::Active,
        }
    }
}

/// What upstream tells of a managed user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedUser {
    pub id: String,
    pub username: String,
    pub display_name: String,
    pub link_expires_at: Option<Millis>,
}

/// Checks a tenant's user name: upstream wants an e-mail address.
pub fn check_username(text: &str) -> Result<String, Invalid> {
    let name = text.trim();
    let shaped = name.split_once('@').is_some_and(|(local, host)| {
        !local.is_empty() && host.contains('.') && !host.starts_with('.') && !host.ends_with('.')
    });
    let plain = !name.chars().any(|c| c.is_whitespace() || c.is_control());
    if !shaped || !plain || name.len() > 254 {
        return Err(Invalid::new("username", "Enter an e-mail address, such as social@example.com"));
    }
    Ok(name.to_owned())
}

/// Checks the name that a tenant is shown under; empty if PostPost is to take the user name.
pub fn check_display_name(text: &str) -> Result<String, Invalid> {
    let name = text.trim();
    if name.chars().count() > 100 || name.chars().any(char::is_control) {
        return Err(Invalid::new("displayName", "Enter a name of at most 100 characters"));
    }
    Ok(name.to_owned())
}

/// Checks the reason of a freeze: it is shown to the tenant.
pub fn check_reason(text: &str) -> Result<String, Invalid> {
    // One line: it stands in error texts that programs read.
    let reason =
        text.split(char::is_control).map(str::trim).filter(|p| !p.is_empty()).collect::<Vec<_>>().join(" ");
    if reason.is_empty() || reason.chars().count() > 500 {
        return Err(Invalid::new("reason", "Enter a reason of 1 to 500 characters"));
    }
    Ok(reason)
}
