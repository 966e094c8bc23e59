//! The answers kept for idempotency keys: which are kept, and encrypted for the one key they belong to.

use super::{Caller, Road};
use crate::{
    domain::operations::{OpState, Verb},
    envelope::CannotOpen,
    store::{idempotency::Claim, operations::Effect},
    upstream::Reply,
};
use secrecy::SecretString;
use serde_json::Value;

impl Road {
    /// The answer to keep for later calls with the same idempotency key. None is kept of what may be tried again: nothing
    /// happened, or nobody knows yet. A bearer secret in it is not kept either: a replay has all but that.
    pub(super) fn answered(
        &self,
        caller: &Caller,
        verb: Verb,
        reply: &Reply,
        state: OpState,
    ) -> Option<Effect> {
        let claim = caller.claim.as_ref()?;
        let last = matches!(state, OpState::Succeeded | OpState::Gone | OpState::Refused);
        // The door finds out whether the user is one that an earlier call has made.
        let undecided = (verb, reply.status) == (Verb::TenantCreate, 409);
        if !last || undecided || matches!(reply.status, 401 | 429) {
            return None;
        }
        match self.seal_reply(claim, verb, reply) {
            Ok(answer) => Some(Effect::Answered { claim: claim.clone(), status: reply.status, answer }),
            Err(error) => {
                // Without it a later call is answered from the operation.
                tracing::error!(%error, "an answer could not be kept for its idempotency key");
                None
            }
        }
    }

    /// Encrypts what is kept of PostPost's answer to such a change: all but its bearer secrets.
    pub fn seal_reply(&self, claim: &Claim, verb: Verb, reply: &Reply) -> Result<Vec<u8>, CannotOpen> {
        match (verb.secret_fields(), reply.json()) {
            ([], _) | (_, None) => self.seal_answer(claim, &reply.body),
            (fields, Some(answer)) => self.seal_answer(claim, without(answer, fields).to_string().as_bytes()),
        }
    }

    /// Encrypts an answer for its idempotency key, as it is.
    pub fn seal_answer(&self, claim: &Claim, body: &[u8]) -> Result<Vec<u8>, CannotOpen> {
        let row = claim_row(claim);
        self.keyring.seal(claim_place(&row), &String::from_utf8_lossy(body))
    }

    /// Opens what [`Self::seal_answer`] has encrypted.
    pub fn open_answer(&self, claim: &Claim, sealed: &[u8]) -> Result<SecretString, CannotOpen> {
        let row = claim_row(claim);
        self.keyring.open_secret(claim_place(&row), sealed)
    }
}

/// The value without these fields, wherever they stand in it.
fn without(value: Value, fields: &[&str]) -> Value {
    match value {
        Value::Object(object) => {
            let kept = object.into_iter().filter(|(name, _)| !fields.contains(&name.as_str()));
            kept.map(|(name, value)| (name, without(value, fields))).collect()
        }
        Value::Array(items) => items.into_iter().map(|item| without(item, fields)).collect(),
        plain => plain,
    }
}

/// The row identity that the kept answer of an idempotency key is encrypted for.
fn claim_place(row: &str) -> [&str; 3] {
    ["idempotency_keys", "answer", row]
}

fn claim_row(claim: &Claim) -> String {
    format!("{}/{}/{}", claim.workspace_id, claim.tenant_id, claim.key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_left_out_wherever_they_stand() {
        let answer =
            json!({ "success": true, "webhook": { "_id": "1", "secret": "s" }, "list": [{ "secret": 1 }] });
        let kept = without(answer, Verb::WebhookCreate.secret_fields());
        assert_eq!(kept, json!({ "success": true, "webhook": { "_id": "1" }, "list": [{}] }));
    }
}
