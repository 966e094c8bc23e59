//! The retry budget: a workspace has one repeat for ten answered calls, reads and changes together, so that an outage is
//! not met with three times the load. Calls that fail earn nothing: what is needed then is fewer calls, not more. Knows
//! nothing of what is repeated; that is `repeats`.

use crate::clock::{Millis, SECOND};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Repeats that can be saved up.
const SAVED_MAX: f64 = 3.0;
/// What each answered call earns (security.md §6).
const EARNED: f64 = 0.1;
/// One repeat may be made this long after the last, whatever was earned: a call now and then can be repeated too.
const FLOOR: Millis = 10 * SECOND;

/// The budgets of all workspaces.
#[derive(Default)]
pub(super) struct Budgets(Mutex<HashMap<String, Budget>>);

struct Budget {
    saved: f64,
    /// When a repeat was last granted.
    last: Millis,
}

impl Budgets {
    /// An attempt was answered.
    pub(super) fn earn(&self, workspace_id: &str) {
        self.with(workspace_id, |budget| budget.saved = (budget.saved + EARNED).min(SAVED_MAX));
    }

    /// Takes one repeat, if there is one left.
    pub(super) fn spend(&self, workspace_id: &str, now: Millis) -> bool {
        self.with(workspace_id, |budget| {
            // A clock that was set back must not close the floor for good.
            let floor = !(budget.last..budget.last + FLOOR).contains(&now);
            if budget.saved < 1.0 && !floor {
                return false;
            }
            budget.saved = (budget.saved - 1.0).max(0.0);
            budget.last = now;
            true
        })
    }

    fn with<T>(&self, workspace_id: &str, f: impl FnOnce(&mut Budget) -> T) -> T {
        let mut budgets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !budgets.contains_key(workspace_id) {
            budgets.insert(workspace_id.to_owned(), Budget { saved: SAVED_MAX, last: Millis::MIN / 2 });
        }
        f(budgets.get_mut(workspace_id).expect("just inserted"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_stay_within_a_tenth_of_the_calls() {
        for (failing, least, most) in [(0, 0, 0), (5, 270, 360), (50, 300, 360), (100, 30, 33)] {
            let budgets = Budgets::default();
            let (mut repeats, mut drawn) = (0, 0u64);
            // Five minutes with twenty calls a second.
            for call in 0..6_000 {
                for attempt in 1..=3 {
                    drawn =
                        drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    if (drawn >> 33) % 100 >= failing {
                        budgets.earn("w");
                        break;
                    }
                    if attempt == 3 || !budgets.spend("w", call * SECOND / 20) {
                        break;
                    }
                    repeats += 1;
                }
                assert!(repeats * 10 <= (call + 1) + 30, "{failing} %: {repeats} repeats of {call} calls");
            }
            assert!((least..=most).contains(&repeats), "{failing} %: {repeats} repeats");
        }
    }

    #[test]
    fn single_calls_can_be_repeated() {
        let budgets = Budgets::default();
        let granted = (0..20).filter(|_| budgets.spend("w", 0)).count();
        assert_eq!(granted, 3);
        assert!(budgets.spend("other", 0), "each workspace has its own");
        for n in 1..10 {
            assert!(budgets.spend("w", n * FLOOR) && !budgets.spend("w", n * FLOOR + 1));
        }
    }
}
