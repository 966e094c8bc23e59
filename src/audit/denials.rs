//! Refusals of callers we know, held to a bound: each is an entry of its own until one caller has many in a short time,
//! then they are counted and the count is written. A client that polls with a key that lost its right must not be able to
//! fill the log and, with it, the disk.

use crate::{
    clock::{MINUTE, Millis, SECOND},
    domain::audit::{Action, Actor, Draft, Outcome},
};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Refusals of one caller that are entries of their own at once, and the time in milliseconds after which there may be one
/// more. With the summaries, one a minute, a caller makes at most 10,000 entries a day, some 10 MiB.
const BURST: i64 = 500;
const REFILL: Millis = 10 * SECOND;
/// What is counted is written down after this long at the latest.
const SUMMARY: Millis = MINUTE;

/// How often each caller was refused lately.
#[derive(Default)]
pub(super) struct Denials(Mutex<HashMap<String, Caller>>);

struct Caller {
    /// When all of the burst is there again.
    full_at: Millis,
    counted: Option<Counted>,
}

/// Refusals that are not entries of their own.
struct Counted {
    refusals: i64,
    since: Millis,
    actor: Actor,
    /// If all of them were of one.
    workspace: Option<String>,
    tenant: Option<String>,
}

impl Denials {
    /// Whether this refusal is an entry of its own; else it has been counted.
    pub(super) fn is_entry(&self, draft: &Draft, now: Millis) -> bool {
        let mut callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let caller = callers.entry(draft.actor.id.clone()).or_insert(Caller { full_at: now, counted: None });
        let full_at = caller.full_at.max(now) + REFILL;
        if full_at - now <= BURST * REFILL {
            caller.full_at = full_at;
            return true;
        }
        let counted = caller.counted.get_or_insert_with(|| Counted {
            refusals: 0,
            since: now,
            actor: draft.actor.clone(),
            workspace: draft.workspace.clone(),
            tenant: draft.tenant.clone(),
        });
        counted.refusals += 1;
        if counted.workspace != draft.workspace {
            counted.workspace = None;
        }
        if counted.tenant != draft.tenant {
            counted.tenant = None;
        }
        false
    }

    /// The entries that state what was counted, of callers whose count is old enough. Callers who have been quiet are
    /// forgotten.
    pub(super) fn summaries(&self, now: Millis, all: bool) -> Vec<Draft> {
        let mut callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut drafts = Vec::new();
        callers.retain(|_, caller| {
            if let Some(counted) = caller.counted.take_if(|c| all || c.since <= now - SUMMARY) {
                let mut draft = Draft::new(&counted.actor, Action::AccessRefuse, Outcome::Denied)
                    .tenant(counted.tenant.as_deref())
                    .set("code", "repeated")
                    .set("refusals", counted.refusals);
                draft.workspace = counted.workspace;
                drafts.push(draft);
            }
            caller.counted.is_some() || caller.full_at > now
        });
        drafts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::ActorType;

    fn refusal(key: &str, tenant: &str) -> Draft {
        Draft::new(&Actor::new(ActorType::Key, key, key), Action::AccessRefuse, Outcome::Denied)
            .workspace("w")
            .tenant(Some(tenant))
    }

    #[test]
    fn many_refusals_of_one_caller_become_one_entry() {
        let (now, denials) = (60 * MINUTE, Denials::default());
        let entries =
            |key, tenant, calls| (0..calls).filter(|_| denials.is_entry(&refusal(key, tenant), now)).count();
        assert_eq!(entries("a", "t", 1_000), 500);
        assert_eq!(entries("b", "t", 500), 500, "each caller has a bound of its own");
        assert!(denials.summaries(now, false).is_empty(), "not before its minute");
        assert_eq!(entries("a", "u", 5), 0);
        let summaries = denials.summaries(now + 2 * MINUTE, false);
        assert_eq!(summaries.len(), 1);
        assert_eq!(summaries[0].after["refusals"], 505);
        assert_eq!((summaries[0].workspace.as_deref(), &summaries[0].tenant), (Some("w"), &None));
        assert!(denials.summaries(now + 4 * MINUTE, true).is_empty(), "each is stated once");
        denials.summaries(now + 120 * MINUTE, false);
        assert!(denials.0.lock().unwrap().is_empty(), "nobody is kept for ever");
    }
}
