//! One entry with its inclusion proof, as the doors hand it out: all that a stranger needs to check, with the log's public key,
//! that the entry is in the signed log.

use super::{Answer, Body, Error};
use crate::{
    app::App,
    audit::note::base64,
    domain::audit::Entry,
    exports::lines::push_object,
    store::audit_batches::{StoredDetail, StoredEntry},
};
use serde_json::{Value, json};

/// `{"line":…,"seq":…,"proof":[…],"checkpoint":"…"}`: the line of docs/audit-format.md §5, and the proof in the tree of the
/// checkpoint. Both are null of an entry that no checkpoint has yet.
pub async fn answer(app: &App, entry: &Entry) -> Result<Answer, Error> {
    let inclusion = app.audit_log.inclusion(entry.seq).await?;
    let proof = inclusion.as_ref().map_or(Value::Null, |i| i.proof.iter().map(base64).collect());
    let checkpoint = inclusion.as_ref().map_or(Value::Null, |i| json!(i.signed.note));
    let details = entry.details.iter();
    let details = details.map(|d| StoredDetail { part: &d.part, salt: &d.salt, body: &d.body }).collect();
    let mut body = b"{\"line\":".to_vec();
    push_object(&mut body, &StoredEntry { seq: entry.seq, bytes: &entry.bytes, leaf: &entry.leaf, details });
    body.extend_from_slice(
        format!(",\"seq\":{},\"proof\":{proof},\"checkpoint\":{checkpoint}}}", entry.seq).as_bytes(),
    );
    Ok(Answer { body: Body::Bytes(body.into()), ..Answer::new(200, "application/json; charset=utf-8", "") })
}
