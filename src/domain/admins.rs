//! People who log in, and what each role may do (design §8).

use crate::{
    clock::{HOUR, MINUTE, Millis},
    domain::{Invalid, words},
};

words! {
    /// A person's role in one workspace.
    Role { Owner = "owner", Operator = "operator", Viewer = "viewer", Auditor = "auditor" }
}

words! {
    /// What a page or action needs. [`Role::may`] is the whole table.
    Right {
        /// See tenants, keys, posts and jobs.
        Read = "read",
        /// Change tenants, keys and posts; run bulk jobs.
        Operate = "operate",
        /// Change the workspace itself.
        Manage = "manage",
        /// See the audit log.
        Audit = "audit",
        /// Take the audit log away in a file.
        Export = "export",
    }
}

impl Role {
    pub fn may(self, right: Right) -> bool {
        match right {
            Right::Read => self != Self::Auditor,
            Right::Operate => matches!(self, Self::Owner | Self::Operator),
            Right::Manage => self == Self::Owner,
            Right::Audit => matches!(self, Self::Owner | Self::Operator | Self::Auditor),
            Right::Export => matches!(self, Self::Owner | Self::Auditor),
        }
    }
}

/// A person's account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    pub id: String,
    pub email: String,
    pub name: String,
    /// The first admin: adds workspaces, sees instance-wide entries.
    pub instance_owner: bool,
    pub created_at: Millis,
    pub disabled_at: Option<Millis>,
    pub preferences: Preferences,
}

/// Rows that a page of a list can have.
pub const ROWS_PER_PAGE: [i64; 3] = [25, 50, 100];

/// How a person wants the pages, on whichever machine they sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preferences {
    /// An IANA name; times are shown by its clocks.
    pub zone: String,
    /// One of [`ROWS_PER_PAGE`].
    pub rows_per_page: i64,
    /// Whether single keys do something.
    pub shortcuts: bool,
}

impl Default for Preferences {
    fn default() -> Self {
        Self { zone: "UTC".into(), rows_per_page: 50, shortcuts: true }
    }
}

/// A browser session, without its secret id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The id shown in lists; not the cookie's value.
    pub id: String,
    pub admin_id: String,
    pub created_at: Millis,
    pub seen_at: Millis,
    pub authenticated_at: Millis,
    pub ip: String,
    pub user_agent: String,
}

/// A session ends after this long without a request …
pub const SESSION_IDLE: Millis = 30 * MINUTE;
/// … and after this long in any case (security.md item 14).
pub const SESSION_ABSOLUTE: Millis = 12 * HOUR;
/// Sessions one person may have; the oldest is ended for a new one (security.md item 18).
pub const SESSIONS_PER_ADMIN: i64 = 5;
/// How long a one-time set-up link works.
pub const SETUP_LINK_LIFE: Millis = 24 * HOUR;

/// Words too common to be a password, whatever surrounds them (security.md item 3).
const COMMON: &[&str] =
    &["password", "gatehouse", "postpost", "qwertyuiop", "letmein", "123456789", "iloveyou"];

/// Checks a new password: 15 to 1,024 bytes, not made of one repeated character, not built around a common word.
/// Any Unicode is allowed and nothing is trimmed or folded.
pub fn check_password(password: &str, email: &str) -> Result<(), Invalid> {
    let bad = |reason: &str| Err(Invalid::new("password", reason));
    if password.chars().count() < 15 {
        return bad("Use at least 15 characters. A few unrelated words work well");
    }
    if password.len() > 1024 {
        return bad("Use at most 1,024 bytes");
    }
    let lower = password.to_lowercase();
    let mut chars = lower.chars();
    let first = chars.next();
    if chars.all(|c| Some(c) == first) {
        return bad("That is one character repeated. Choose another");
    }
    let rest = COMMON.iter().fold(lower.clone(), |rest, word| rest.replace(word, ""));
    if rest.chars().count() < 8 || lower == email.to_lowercase() {
        return bad("That is built around a very common word. Choose another");
    }
    Ok(())
}

/// Checks an e-mail address used for logging in. Stored in lower case.
pub fn check_email(text: &str) -> Result<String, Invalid> {
    let email = text.trim().to_lowercase();
    let shaped = email.split_once('@').is_some_and(|(local, host)| !local.is_empty() && !host.is_empty());
    if !shaped || email.len() > 254 || email.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Invalid::new("email", "Enter an e-mail address"));
    }
    Ok(email)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords() {
        assert!(check_password("four unrelated words", "a@b.c").is_ok());
        assert!(check_password("exactly15chars!", "a@b.c").is_ok());
        for bad in ["short", "aaaaaaaaaaaaaaaaaaaa", "password123456789", &"x".repeat(1100)] {
            assert!(check_password(bad, "a@b.c").is_err(), "{bad}");
        }
    }

    #[test]
    fn roles() {
        assert!(Role::Owner.may(Right::Manage) && !Role::Operator.may(Right::Manage));
        assert!(!Role::Auditor.may(Right::Read) && Role::Auditor.may(Right::Export));
        assert!(Role::Operator.may(Right::Audit) && !Role::Operator.may(Right::Export));
        assert!(Role::Viewer.may(Right::Read) && !Role::Viewer.may(Right::Operate));
    }
}
