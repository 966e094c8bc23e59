//! What may be chosen: bounds of a plan's options, wherever they come from.

use super::{Move, PastDue, PlanOptions, RATE_MAX, START_MAX, STOP_AFTER_MAX};
use crate::{
    clock::{DAY, Millis},
    domain::Invalid,
};

/// Longest way a post is moved, and longest distance of a spread.
const FAR: Millis = 3660 * DAY;

impl PlanOptions {
    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// The field, by its name in the form of the pages, and the reason, in words for people.
    pub fn check(&self, now: Millis) -> Result<(), Invalid> {
        let ahead = |field, at: Millis| match at {
            at if at <= now => {
                Err(Invalid::new(field, "Choose a time in the future: a past one publishes at once"))
            }
            at if at > now + FAR => Err(Invalid::new(field, "Choose a time within ten years")),
            _ => Ok(()),
        };
        let apart = |every: Millis| match every {
            1..=FAR => Ok(()),
            _ => Err(Invalid::new("every", "Enter a number of minutes, at least 1")),
        };
        match self.moved {
            Move::Shift { by } if by == 0 || by.abs() > FAR => {
                return Err(Invalid::new("amount", "Enter a number other than 0, within ten years"));
            }
            Move::Days { days } if days == 0 || Millis::from(days).abs() > FAR / DAY => {
                return Err(Invalid::new("amount", "Enter a number other than 0, within ten years"));
            }
            Move::Set { at } => ahead("at", at)?,
            Move::Spread { from, every } => {
                ahead("first", from)?;
                apart(every)?;
            }
            Move::Shift { .. } | Move::Days { .. } | Move::Weekday { .. } | Move::Listed => {}
        }
        if let PastDue::Spread { from, every } = self.past_due {
            ahead("first", from)?;
            apart(every)?;
        }
        self.check_running(now)
    }

    /// The part about how the job runs.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn check_running(&self, now: Millis) -> Result<(), Invalid> {
        if self.rate.is_some_and(|rate| !(1..=RATE_MAX).contains(&rate)) {
            return Err(Invalid::new("rate", format!("Enter 1 to {RATE_MAX} calls a second")));
        }
        if !(1..=STOP_AFTER_MAX).contains(&self.stop_after) {
            return Err(Invalid::new("stop_after", format!("Enter 1 to {STOP_AFTER_MAX} failures")));
        }
        if self.starts_at.is_some_and(|at| at <= now) {
            return Err(Invalid::new("start", "Choose a start in the future, or none"));
        }
        if self.starts_at.is_some_and(|at| at > now + START_MAX) {
            return Err(Invalid::new("start", "A job can be put off by at most seven days"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let now = 1_000 * DAY;
        let fine = PlanOptions::default();
        assert!(fine.check(now).is_ok());
        let refused = |options: PlanOptions| options.check(now).unwrap_err().field;
        let moved = |moved| refused(PlanOptions { moved, ..fine.clone() });
        assert_eq!(moved(Move::Shift { by: 0 }), "amount");
        assert_eq!(moved(Move::Shift { by: Millis::MAX }), "amount");
        assert_eq!(moved(Move::Days { days: i32::MIN }), "amount");
        assert_eq!(moved(Move::Set { at: now }), "at");
        assert_eq!(moved(Move::Spread { from: now - 1, every: 1 }), "first");
        assert_eq!(moved(Move::Spread { from: now + DAY, every: 0 }), "every");
        let past_due = PastDue::Spread { from: now, every: 1 };
        assert_eq!(refused(PlanOptions { past_due, ..fine.clone() }), "first");
        for rate in [0, RATE_MAX + 1] {
            assert_eq!(refused(PlanOptions { rate: Some(rate), ..fine.clone() }), "rate");
        }
        assert_eq!(refused(PlanOptions { stop_after: 0, ..fine.clone() }), "stop_after");
        assert_eq!(refused(PlanOptions { starts_at: Some(now + START_MAX + 1), ..fine.clone() }), "start");
    }
}
