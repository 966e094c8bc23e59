//! Keys that PostPost has refused with a 401. From then on nothing is sent under them, in this process at once and without
//! asking the database, so that there is no storm of refused calls. Making it lasting is `jobs::refused_keys`.

use super::Endpoint;
use crate::clock::Millis;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;

/// What is known of an endpoint's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStanding {
    /// Stored, and in use since then.
    InUse { since: Millis },
    /// PostPost has refused it: calls are suspended until it is replaced.
    Refused,
    /// Just entered by an admin. Neither a refusal nor a failure says anything about the workspace's own key.
    Trial,
}

/// A key that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedKey {
    pub workspace_id: String,
    /// When the key was added: one added at another time is another.
    pub since: Millis,
    /// What PostPost said.
    pub text: String,
}

/// The refused keys of all workspaces, the newest of each.
#[derive(Default)]
pub(super) struct RefusedKeys {
    all: Mutex<HashMap<String, RefusedKey>>,
    news: Notify,
}

impl RefusedKeys {
    /// PostPost answered 401.
    pub(super) fn note(&self, to: &Endpoint, text: &str) {
        let KeyStanding::InUse { since } = to.standing else { return };
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.get(&to.workspace_id).is_none_or(|known| known.since != since) {
            let workspace_id = to.workspace_id.clone();
            all.insert(workspace_id.clone(), RefusedKey { workspace_id, since, text: text.to_owned() });
            self.news.notify_one();
        }
    }

    /// Whether nothing may be sent under this key.
    pub(super) fn refuses(&self, to: &Endpoint) -> bool {
        match to.standing {
            KeyStanding::Refused => true,
            KeyStanding::Trial => false,
            KeyStanding::InUse { since } => {
                let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
                all.get(&to.workspace_id).is_some_and(|known| known.since == since)
            }
        }
    }

    pub(super) fn list(&self) -> Vec<RefusedKey> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Returns when a key was refused, or after `at_most`.
    pub(super) async fn wait(&self, at_most: Duration) {
        let _ = tokio::time::timeout(at_most, self.news.notified()).await;
    }
}
