//! The answers kept for idempotency keys: which are kept, and encrypted for the one key they belong to.

use super::{Caller, Road};
use crate::{
    domain::operations::OpState,
    envelope::CannotOpen,
    store::{idempotency::Claim, operations::Effect},
    upstream::Reply,
};
use secrecy::SecretString;

impl Road {
    /// The answer to keep for later calls with the same idempotency key. None is kept of what may be tried again: nothing
    /// happened, or nobody knows yet.
    pub(super) fn answered(&self, caller: &Caller, reply: &Reply, state: OpState) -> Option<Effect> {
        let claim = caller.claim.as_ref()?;
        let last = matches!(state, OpState::Succeeded | OpState::Gone | OpState::Refused);
        if !last || matches!(reply.status, 401 | 429) {
            return None;
        }
        match self.seal_answer(claim, &reply.body) {
            Ok(answer) => Some(Effect::Answered { claim: claim.clone(), status: reply.status, answer }),
            Err(error) => {
                // Without it a later call is answered from the operation.
                tracing::error!(%error, "an answer could not be kept for its idempotency key");
                None
            }
        }
    }

    /// Encrypts an answer for its idempotency key: it may hold a secret.
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

/// The row identity that the kept answer of an idempotency key is encrypted for.
fn claim_place(row: &str) -> [&str; 3] {
    ["idempotency_keys", "answer", row]
}

fn claim_row(claim: &Claim) -> String {
    format!("{}/{}/{}", claim.workspace_id, claim.tenant_id, claim.key)
}
