//! Erasing personal data: whose, and how far it is. What is erased, and what has to stay, is said in `docs/erasure.md`.

use crate::{
    clock::Millis,
    domain::{Invalid, words},
};

/// What stands in place of the names of an erased tenant and an erased person.
pub const ERASED_TENANT: &str = "Erased tenant";
pub const ERASED_PERSON: &str = "Erased person";

/// Whose personal data is erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A tenant of a workspace.
    Tenant { workspace: String, id: String },
    /// Somebody who could log in.
    Person { id: String },
}

words! {
    /// How far an erasure is. It only goes forward, also over a crash.
    ErasureState {
        /// On record; the rows are going.
        Erasing = "erasing",
        /// Nothing that can be asked for has the data; the database's files may, and are written anew.
        Rewriting = "rewriting",
        /// Only older pages in a write-ahead log have it.
        Emptying = "emptying",
        Done = "done",
    }
}

/// An erasure on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    pub id: String,
    pub subject: Subject,
    pub state: ErasureState,
    pub asked_at: Millis,
    pub ended_at: Option<Millis>,
    /// Details of the audit log that it has erased so far.
    pub details: i64,
}

impl Subject {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Tenant { .. } => "tenant",
            Self::Person { .. } => "person",
        }
    }

    pub fn workspace(&self) -> Option<&str> {
        match self {
            Self::Tenant { workspace, .. } => Some(workspace),
            Self::Person { .. } => None,
        }
    }

    pub fn id(&self) -> &str {
        match self {
            Self::Tenant { id, .. } | Self::Person { id } => id,
        }
    }
}

/// Why something is erased: 1 to 500 characters. It stays in the log, so it must not name whom it is about.
pub fn check_reason(text: &str) -> Result<String, Invalid> {
    let reason = text.trim();
    if reason.is_empty() || reason.chars().count() > 500 || reason.chars().any(|c| c.is_control()) {
        return Err(Invalid::new(
            "reason",
            "Enter a reason of 1 to 500 characters, such as the request's number",
        ));
    }
    Ok(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_asked_for() {
        assert_eq!(check_reason(" request 17 ").as_deref(), Ok("request 17"));
        for bad in ["", "  ", "a\nb", &"x".repeat(501)] {
            assert!(check_reason(bad).is_err(), "{bad:?}");
        }
    }
}
