//! What has to be given before a plan becomes a job (ui.md §2.3): more the more it touches and the less it can be undone.

use super::BulkAction;
use crate::clock::{MINUTE, Millis, SECOND};

/// Posts of one tenant up to which a plan is small.
const FEW: i64 = 10;
/// Posts beyond which a plan is large.
const LARGE: i64 = 1_000;
/// How long the largest deletes can still be cancelled before they begin.
pub const START_DELAY: Millis = 30 * SECOND;

/// What a plan demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demands {
    /// It is looked at before anything happens.
    pub preview: bool,
    /// This has to be typed: verb and exact count. A bare word would not catch a wrong scope.
    pub typed: Option<String>,
    pub reason: bool,
    /// The password, if it was not given lately ([`Proof`]).
    pub step_up: bool,
    /// The job begins only after a while ([`START_DELAY`]).
    pub delayed: bool,
}

/// What a plan demands that would act on `count` posts of `tenants` tenants; `matching` if all were meant that match.
pub fn demands(action: BulkAction, count: i64, tenants: usize, matching: bool) -> Demands {
    let large = count > LARGE || matching;
    let few = count <= FEW && tenants <= 1 && !large;
    let typed = match action {
        BulkAction::Delete => !few,
        BulkAction::Resume | BulkAction::Reschedule | BulkAction::Recreate => large,
        BulkAction::Pause => false,
    };
    let delete = action == BulkAction::Delete;
    Demands {
        preview: !(few && action == BulkAction::Pause),
        typed: (typed && count > 0).then(|| format!("{action} {count}")),
        reason: delete || large && action == BulkAction::Pause,
        step_up: delete && large,
        delayed: delete && large,
    }
}

/// Whether what was typed is what was asked for: trimmed, case ignored, thousands separators ignored.
pub fn typed_matches(wanted: &str, typed: &str) -> bool {
    let plain =
        |text: &str| text.replace(',', "").split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    plain(wanted) == plain(typed)
}

/// A proof that it is still the same person: the password given at log-in or since.
pub struct Proof;

impl Proof {
    const LIFE: Millis = 15 * MINUTE;

    /// Whether a password given at `proved_at` still counts.
    pub fn holds(proved_at: Millis, now: Millis) -> bool {
        now - proved_at <= Self::LIFE
    }
}

/// The same where the verb stands beside the field: the number alone is enough, so that it can be typed on keys of digits.
pub fn typed_count_matches(wanted: &str, typed: &str) -> bool {
    let count = wanted.split_whitespace().last().unwrap_or_default();
    typed_matches(wanted, typed) || !count.is_empty() && typed_matches(count, typed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder() {
        use BulkAction::*;
        let of = |action, count, tenants, matching| {
            let d = demands(action, count, tenants, matching);
            (d.preview, d.typed.unwrap_or_default(), d.reason, d.step_up, d.delayed)
        };
        let plain = |preview, reason| (preview, String::new(), reason, false, false);
        let typed = |text: &str, reason| (true, text.to_owned(), reason, false, false);
        assert_eq!(of(Pause, 10, 1, false), plain(false, false));
        assert_eq!(of(Pause, 11, 1, false), plain(true, false));
        assert_eq!(of(Pause, 2, 2, false), plain(true, false));
        assert_eq!(of(Pause, 2, 1, true), plain(true, true));
        assert_eq!(of(Pause, 1_001, 9, false), plain(true, true));
        for action in [Resume, Reschedule, Recreate] {
            assert_eq!(of(action, 3, 1, false), plain(true, false));
            assert_eq!(of(action, 1_000, 9, false), plain(true, false));
            assert_eq!(of(action, 812, 9, true), typed(&format!("{action} 812"), false));
        }
        assert_eq!(of(Delete, 3, 1, false), plain(true, true));
        assert_eq!(of(Delete, 11, 1, false), typed("delete 11", true));
        assert_eq!(of(Delete, 2, 2, false), typed("delete 2", true));
        assert_eq!(of(Delete, 4_180, 23, false), (true, "delete 4180".into(), true, true, true));
        assert_eq!(of(Delete, 3, 1, true), (true, "delete 3".into(), true, true, true));
        assert_eq!(of(Delete, 0, 0, true).1, "", "nothing to type for nothing");
    }

    #[test]
    fn typed_counts() {
        assert!(typed_matches("delete 4180", " Delete  4,180 "));
        assert!(!typed_matches("delete 4180", "delete 418") && !typed_matches("delete 1", "delete"));
        assert!(!typed_matches("delete 4180", "4180"));
        assert!(
            ["4180", " 4,180", "DELETE 4180"].iter().all(|typed| typed_count_matches("delete 4180", typed))
        );
        for typed in ["418", "delete", "", "pause 4180", "4180 delete", "4180 4180"] {
            assert!(!typed_count_matches("delete 4180", typed), "{typed}");
        }
    }

    #[test]
    fn proofs_grow_old() {
        assert!(Proof::holds(0, 15 * MINUTE) && !Proof::holds(0, 15 * MINUTE + 1));
    }
}
