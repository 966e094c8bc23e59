//! The connections of a business, with the last success and the last error its posts have left behind.

use serde_json::{Value, json};

use super::business::Business;
use crate::sandbox::times;

/// What its posts did to an account.
#[derive(Clone, Default)]
pub(super) struct Ledger {
    /// The last success.
    pub(super) success: Option<i64>,
    /// The last failure, and what it said.
    pub(super) failure: Option<(i64, &'static str)>,
}

impl Ledger {
    /// Notes a success.
    pub(super) fn succeeded(&mut self, at: i64) {
        self.success = self.success.max(Some(at));
    }

    /// Notes a failure.
    pub(super) fn failed(&mut self, at: i64, message: &'static str) {
        if self.failure.is_none_or(|(earlier, _)| earlier < at) {
            self.failure = Some((at, message));
        }
    }
}

/// The body for the route that makes them.
pub(super) fn of(business: &Business, user: &str, ledgers: &[Ledger], now: i64) -> Value {
    let one = |(account, ledger): (&super::business::Account, &Ledger)| {
        let expires = account.expires(now);
        // A success clears the error, as the scheduler does; an expired token is an error in any case.
        let last = ledger.failure.filter(|(at, _)| ledger.success.is_none_or(|success| success < *at));
        let last = last.or_else(|| {
            expires
                .filter(|at| *at <= now)
                .map(|at| (at, "The platform no longer accepts the token. Please reconnect."))
        });
        json!({
            "userId": user, "platformId": account.id, "username": account.handle,
            "displayName": business.name, "profileUrl": account.profile,
            "accessTokenExpiresAt": expires.map(times::text),
            "lastSuccessfulPost": ledger.success.map(times::text),
            "lastError": last.map(|(at, message)| json!({ "message": message, "occurredAt": times::text(at) })),
        })
    };
    business.accounts.iter().zip(ledgers).map(one).collect()
}
