//! The retry budget: of a workspace's calls at most one in ten is a repeat, reads and changes together, so that an outage
//! is not met with three times the load. Knows nothing of what is repeated; that is `repeats`.

use crate::clock::{Millis, SECOND};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Repeats that can be saved up.
const SAVED_MAX: f64 = 3.0;
/// What each call earns. Below a tenth, so that with everything saved up spent as well, repeats stay within 10 % of the
/// calls of any outage longer than 150 calls (security.md §6).
const EARNED: f64 = 0.08;
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
    /// A call's first attempt is made.
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
        for per_second in [20, 100, 1_000] {
            let budgets = Budgets::default();
            let mut repeats = 0;
            for n in 0..300 * per_second {
                budgets.earn("w");
                let now = n * SECOND / per_second;
                // Every call wants two.
                repeats += i64::from(budgets.spend("w", now)) + i64::from(budgets.spend("w", now));
                assert!(n < 150 || repeats * 10 <= n + 1, "{repeats} repeats of {} calls", n + 1);
            }
            assert!(repeats * 100 >= 300 * per_second * 7, "{repeats} at {per_second}/s: it is not wasted");
        }
    }

    #[test]
    fn single_calls_can_be_repeated() {
        let budgets = Budgets::default();
        let granted = (0..20).filter(|_| budgets.spend("w", 0)).count();
        assert_eq!(granted, 3);
        assert!(budgets.spend("other", 0), "each workspace has its own");
        for n in 1..10 {
            budgets.earn("w");
            assert!(budgets.spend("w", n * FLOOR) && !budgets.spend("w", n * FLOOR + 1));
        }
    }
}
