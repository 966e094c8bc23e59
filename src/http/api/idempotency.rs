//! `Idempotency-Key` on the tenant door: a changing call runs once per key, and every later one with the same request gets
//! the first answer. What became of an attempt that was never answered is read from its operation, so that a client may
//! repeat a call after a 504, a dropped connection or a crash of ours, and the change still happens once.

use super::{
    super::{Answer, Call, Error},
    Request,
    table::Handler,
    workspace,
};
use crate::{
    app::App,
    audit::{Unavailable, tree},
    clock::MINUTE,
    domain::{
        ids,
        operations::{Noun, OpState, Operation, Verb},
        times,
    },
    envelope,
    proxy::{Caller, Doubt, Refusal},
    store::{
        self,
        idempotency::{Claim, Standing},
    },
};
use serde_json::{Value, json};

/// Longest key in bytes.
const KEY_MAX: usize = 255;
/// What a key is, in words, and as a pattern.
pub const KEY_WORDS: &str =
    "1 to 255 printable ASCII characters, without commas, and without spaces at its ends";
pub const KEY_PATTERN: &str = r"^[!-+\--~]([ -+\--~]{0,253}[!-+\--~])?$";
/// An attempt older than this is taken over, whatever became of its process. Should it still be busy with its look-ups, it
/// finds its claim gone when it comes to its intent.
const ATTEMPT_MAX: i64 = 2 * MINUTE;
/// Seconds after which to ask again about an attempt under way, and about one in doubt, which takes longer to settle.
const ASK_AGAIN: u64 = 1;
const ASK_AGAIN_IN_DOUBT: u64 = 5;

/// Whether a text can be a key. A comma stands between the values of several lines, and a header's value has no spaces at
/// its ends.
pub fn is_key(text: &str) -> bool {
    (1..=KEY_MAX).contains(&text.len())
        && text.bytes().all(|b| matches!(b, b' '..=b'~') && b != b',')
        && text.trim_ascii() == text
}

/// Runs `handler` unless the call's key says that it has run before. Without a key it simply runs.
pub async fn once(mut request: Request, handler: &Handler) -> Result<Answer, Error> {
    let Some(key) = request.call.header("idempotency-key") else { return handler(request).await };
    if !is_key(key) {
        return Err(Error::bad("invalid_idempotency_key", format!("Idempotency-Key must be {KEY_WORDS}")));
    }
    let app = request.app.clone();
    let claim = Claim {
        workspace_id: request.caller.account.workspace.id.clone(),
        tenant_id: request.caller.tenant.clone().unwrap_or_default(),
        key: hex::encode(tree::digest(&[key.as_bytes()])),
        id: ids::new_id(),
    };
    match begin(&app, &request, &claim).await? {
        Begun::Act => {}
        Begun::Answered(answer) => return Ok(answer),
    }
    request.caller.claim = Some(claim.clone());
    let result = handler(request).await;
    let keeps = match &result {
        // What the road has answered for good it has kept; the rest may be tried again.
        Ok(answer) => answer.status < 500 && answer.status != 429,
        // The reconciler will tell; until then nobody else acts under this key.
        Err(Error::Refused(Refusal::Unknown { .. } | Refusal::BadReply { .. })) => true,
        Err(_) => false,
    };
    if !keeps && let Err(error) = app.db.release_claim(&claim).await {
        // The caller's answer matters more; the claim is taken over when it is too old.
        tracing::warn!(%error, "an idempotency key could not be given up");
    }
    result
}

enum Begun {
    /// This attempt may act.
    Act,
    Answered(Answer),
}

async fn begin(app: &App, request: &Request, claim: &Claim) -> Result<Begun, Error> {
    let now = app.clock.now();
    let (node, stale) = (app.leases.node(), now - ATTEMPT_MAX);
    let standing =
        match app.db.claim_idempotency_key(claim, &fingerprint(&request.call), node, now, stale).await {
            Ok(standing) => standing,
            Err(error) => {
                // The claim may stand all the same; nobody acts under it, so whoever asks again must not wait for it.
                if let Err(error) = app.db.release_claim(claim).await {
                    tracing::warn!(%error, "a claim that may stand could not be given up");
                }
                return Err(match error {
                    // As without a key: what cannot be written down is not sent.
                    error @ store::Error::NoSpace(_) => Unavailable::Store(error).into(),
                    error => error.into(),
                });
            }
        };
    let (from, op_id, alive) = match standing {
        Standing::First => {
            app.metrics.idempotency("first");
            return Ok(Begun::Act);
        }
        Standing::Mismatch => {
            app.metrics.idempotency("mismatch");
            return Err(Error::IdempotencyMismatch);
        }
        Standing::Answered { status, answer } => {
            let body = app.road.open_answer(claim, &answer);
            let body = body.map_err(|error| Error::Internal(error.to_string()))?;
            return Ok(Begun::Answered(replayed(app, status, envelope::expose(&body).to_owned())));
        }
        Standing::Unanswered { claim, op_id, alive } => (claim, op_id, alive),
    };
    let operation = match &op_id {
        Some(id) => app.db.operation(&claim.workspace_id, id).await?,
        None => None,
    };
    let state = operation.as_ref().map(|o| o.state);
    match (state, &operation) {
        (Some(OpState::InDoubt), _) => return Err(in_flight(app, ASK_AGAIN_IN_DOUBT)),
        (Some(OpState::Open), _) => return Err(in_flight(app, ASK_AGAIN)),
        // It stays unknown, and is not sent again.
        (Some(OpState::Unknown), Some(operation)) => {
            let error = operation.how_it_ended().to_owned();
            return Err(Refusal::Unknown { op_id: operation.id.clone(), doubt: Doubt::ForGood, error }.into());
        }
        (None, _) if alive => return Err(in_flight(app, ASK_AGAIN)),
        (Some(OpState::Succeeded | OpState::Applied | OpState::Gone), Some(operation)) => {
            let (status, body) = answer_of(app, &request.caller, operation).await?;
            let body = body.to_string();
            let sealed = app.road.seal_answer(claim, body.as_bytes());
            let sealed = sealed.map_err(|error| Error::Internal(error.to_string()))?;
            app.db.answer_claim(&Claim { id: from, ..claim.clone() }, status, &sealed).await?;
            return Ok(Begun::Answered(replayed(app, status, body)));
        }
        // Nothing was done under the claim: its process died before the intent, or what it tried did not happen.
        _ => {}
    }
    if app.db.take_over_claim(claim, &from, op_id.as_deref(), node, now).await? {
        app.metrics.idempotency("recovered");
        Ok(Begun::Act)
    } else {
        Err(in_flight(app, ASK_AGAIN))
    }
}

fn in_flight(app: &App, ask_again: u64) -> Error {
    app.metrics.idempotency("in_flight");
    Error::IdempotencyInFlight(ask_again)
}

fn replayed(app: &App, status: u16, body: String) -> Answer {
    app.metrics.idempotency("replayed");
    Answer::new(status, "application/json; charset=utf-8", body).with("idempotency-replayed", "true")
}

/// What makes two requests the same: method, address, body, and the one header that changes what a call means.
fn fingerprint(call: &Call) -> [u8; 32] {
    let publish_now = call.header("x-gatehouse-publish-now").unwrap_or_default();
    let parts = [call.method.as_str(), &call.path, &call.query, publish_now];
    // Lengths first, so that no part can run into the next.
    let head: String = parts.iter().map(|part| format!("{}:{part}", part.len())).collect();
    tree::digest(&[head.as_bytes(), &call.body])
}

/// The answer to a call that happened without being answered, in PostPost's words.
async fn answer_of(app: &App, caller: &Caller, operation: &Operation) -> Result<(u16, Value), Error> {
    if operation.state == OpState::Gone {
        let gone = match operation.verb.noun() {
            Noun::Post => "Post group not found",
            Noun::Tenant => workspace::UNKNOWN_USER,
            Noun::Webhook => "Webhook not found",
            Noun::Elsewhere => "Not found",
        };
        return Ok((404, json!({ "error": gone })));
    }
    match operation.verb {
        Verb::PostUpdate => {}
        Verb::PostCreate => return Ok((200, json!({ "success": true, "postGroupId": operation.target }))),
        Verb::TenantCreate => return created(app, caller, operation).await,
        // Without the URL, which was kept nowhere.
        Verb::TenantLink => {
            let tenant = app.db.tenant(&operation.workspace_id, &operation.target).await?;
            let ends = tenant.and_then(|tenant| tenant.link_expires_at).map(times::to_iso);
            return Ok((200, json!({ "tokenExpiresAt": ends })));
        }
        _ => return Ok((200, json!({ "success": true }))),
    }
    let workspace_id = &caller.account.workspace.id;
    let mirrored = match &operation.tenant_id {
        Some(tenant) => app.db.post(workspace_id, tenant, &operation.target).await?.map(|m| m.post),
        None => None,
    };
    let before = operation.snapshot.as_ref().and_then(|s| s.status.clone());
    let status =
        operation.asked.status.clone().or(mirrored.as_ref().map(|p| p.status.to_string())).or(before);
    let time = mirrored.and_then(|p| p.scheduled_at).or(operation.asked.scheduled_at);
    let mut group = json!({ "_id": operation.target, "status": status });
    if let Some(at) = time {
        group["scheduledTime"] = times::to_iso(at).into();
    }
    Ok((200, json!({ "success": true, "message": "Post updated successfully", "postGroup": group })))
}

/// The user that an unanswered call has made.
async fn created(app: &App, caller: &Caller, operation: &Operation) -> Result<(u16, Value), Error> {
    let username = operation.asked.username.as_deref().unwrap_or_default();
    let user = app.db.tenant_by_username(&caller.account.workspace.id, username).await?;
    let user = user.ok_or(Error::NotThere("The user was created, and is not managed any more"))?;
    let user = json!({
        "_id": user.id,
        "username": user.username,
        "displayName": user.display_name,
        "role": "managed",
        "dailyPostsLeft": 100,
    });
    Ok((201, json!({ "user": user })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_says_what_the_code_does() {
        let pattern = regex::Regex::new(KEY_PATTERN).unwrap();
        let (longest, longer) = ("x".repeat(KEY_MAX), "x".repeat(KEY_MAX + 1));
        let mut keys = 0;
        let single = (0..=0xff_u8).map(|byte| char::from(byte).to_string());
        let inner = (0..=0xff_u8).map(|byte| format!("a{}b", char::from(byte)));
        let others = ["", "a b", " a", "a ", "a,b", "order-1", "päuse", &longest, &longer].map(str::to_owned);
        for text in single.chain(inner).chain(others) {
            assert_eq!(pattern.is_match(&text), is_key(&text), "{text:?}");
            keys += usize::from(is_key(&text));
        }
        assert_eq!(keys, 93 + 94 + 3, "printable without the comma, and between two letters the space too");
    }
}
