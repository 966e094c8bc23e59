//! Calls that pass through as they are, reading and changing. What they change is not looked up afterwards, but for a
//! deleted webhook: one that was not answered is `unknown`, and is never sent again.

use super::{
    Caller, Changed, Refusal, Road,
    change::{Change, Settled},
};
use crate::{
    domain::operations::{Asked, Verb},
    upstream::{Call, Method},
};
use serde_json::Value;

/// A call as the door has built it.
#[derive(Debug, Clone)]
pub struct Pass {
    pub method: Method,
    /// Below `/api/v1`, each checked by the door.
    pub segments: Vec<String>,
    pub query: Vec<(String, String)>,
    pub body: Option<Value>,
}

/// What the log says about one that changes something.
#[derive(Debug, Clone)]
pub struct Passing {
    pub verb: Verb,
    /// The id it is about, or nothing.
    pub target: String,
    /// Fields that an auditor may see.
    pub shown: Vec<(&'static str, Value)>,
}

impl Pass {
    pub(super) fn into_call(self, caller: &Caller) -> Call {
        let segments: Vec<&str> = self.segments.iter().map(String::as_str).collect();
        let mut call = Call::with(self.method, &segments, caller.tenant.as_deref(), &caller.request_id);
        call.client.clone_from(&caller.client);
        call.query = self.query;
        match &self.body {
            Some(body) => call.json(body),
            None => call,
        }
    }
}

impl Road {
    /// A changing call that passes through.
    pub async fn pass(&self, caller: &Caller, pass: Pass, about: Passing) -> Result<Changed, Refusal> {
        self.standing(caller, None)?;
        let change = Change {
            verb: about.verb,
            target: about.target,
            asked: Asked::default(),
            snapshot: None,
            call: pass.into_call(caller),
            shown: about.shown,
            was: Vec::new(),
            reason: None,
            backup: None,
        };
        self.change(caller, change, |reply, _, _| {
            let answer = reply.json();
            let made = answer.as_ref().and_then(|a| a.pointer("/webhook/_id")?.as_str().map(str::to_owned));
            Settled {
                effects: Vec::new(),
                granted_at: None,
                usable: answer.is_some(),
                // A change's own target is named already.
                made: made.filter(|_| about.verb == Verb::WebhookCreate),
            }
        })
        .await
    }
}
