//! Filters of the posts list that a person keeps under a name of their own.

use crate::domain::Invalid;

/// Views that one person can keep in one workspace.
pub const SAVED_VIEWS_MAX: i64 = 20;
const NAME_MAX: usize = 60;

/// A name and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedView {
    pub id: String,
    pub name: String,
    /// Filters, order and page size of the posts list, as a query string.
    pub filter: String,
}

/// The name that was typed, without what surrounds it.
///
/// # Errors
/// If it is empty, longer than 60 characters, or has control characters in it.
pub fn check_name(typed: &str) -> Result<String, Invalid> {
    let name = typed.trim();
    match name.chars().count() {
        1..=NAME_MAX if !name.chars().any(char::is_control) => Ok(name.to_owned()),
        _ => Err(Invalid::new("name", "Give the view a name of 1 to 60 characters")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(check_name("  Failed ones ").unwrap(), "Failed ones");
        assert_eq!(check_name(&"ö".repeat(60)).unwrap().chars().count(), 60);
        for bad in ["", "   ", "a\nb", "a\u{0}b", &"x".repeat(61)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
