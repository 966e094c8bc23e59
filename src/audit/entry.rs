//! Entry format v1. Fixed from the first entry on: hashed bytes can never be changed. Canonical JSON (keys sorted,
//! no space, whole numbers only) of the fields in [`bytes`]; what is personal or erasable stands outside, and the bytes
//! carry only a salted commitment to each such part: SHA-256(salt || text).

use crate::{
    audit::tree::{Hash, digest},
    clock::Millis,
    domain::{audit::Detail, audit::Draft, times},
};
use serde_json::{Map, Value, json};

/// The version in every entry.
pub const VERSION: u64 = 1;

/// An entry's place in one of the sequences: its number there, and the leaf of the entry before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    pub seq: i64,
    pub previous: Option<Hash>,
}

/// Where an entry stands. All sequences begin at 0 and are dense.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub seq: i64,
    pub at: Millis,
    pub in_workspace: Option<Link>,
    pub in_tenant: Option<Link>,
}

/// The erasable parts of a draft as they are stored and committed to. Parts without content are left out.
pub fn details(draft: &Draft, mut salt: impl FnMut() -> [u8; 32]) -> Vec<Detail> {
    let mut parts: Vec<(&str, String)> = Vec::new();
    if !draft.actor.name.is_empty() {
        parts.push(("names", canonical(&json!({ "actor": draft.actor.name }))));
    }
    let context = serde_json::to_value(&draft.actor.context).unwrap_or_default();
    if context.as_object().is_some_and(|c| !c.is_empty()) {
        parts.push(("context", canonical(&context)));
    }
    if !draft.before.is_empty() || !draft.after.is_empty() {
        parts.push(("change", canonical(&json!({ "before": draft.before, "after": draft.after }))));
    }
    if let Some(reason) = &draft.reason {
        parts.push(("reason", canonical(&json!(reason))));
    }
    parts
        .into_iter()
        .map(|(part, body)| Detail { part: part.to_owned(), salt: salt().to_vec(), body })
        .collect()
}

/// What stands in the hashed bytes for an erasable part.
pub fn commitment(detail: &Detail) -> String {
    hex::encode(digest(&[&detail.salt, detail.body.as_bytes()]))
}

/// The bytes that are stored and hashed.
pub fn bytes(place: &Place, draft: &Draft, details: &[Detail]) -> Vec<u8> {
    let link = |link: Option<Link>| {
        link.map(|l| json!({ "seq": l.seq, "previous": l.previous.map(hex::encode) })).unwrap_or(Value::Null)
    };
    let commitments: Map<String, Value> =
        details.iter().map(|d| (d.part.clone(), Value::from(commitment(d)))).collect();
    let entry = json!({
        "v": VERSION,
        "seq": place.seq,
        "at": times::to_iso(place.at),
        "workspace": draft.workspace,
        "inWorkspace": link(place.in_workspace),
        "tenant": draft.tenant,
        "inTenant": link(place.in_tenant),
        "actor": {
            "type": draft.actor.kind().as_str(),
            "id": draft.actor.id,
            "keyPrefix": draft.actor.key_prefix,
        },
        "action": draft.action.as_str(),
        "outcome": draft.outcome.as_str(),
        "targets": draft.targets,
        "upstream": draft.upstream,
        "opId": draft.op_id,
        "jobId": draft.job_id,
        "commitments": commitments,
    });
    canonical(&entry).into_bytes()
}

/// JSON with sorted keys and no space. Own code because the map of `serde_json` keeps insertion order as soon as any
/// crate of the build asks for that, and these bytes must not depend on the build.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| name.as_str());
            let inner: Vec<String> = fields
                .into_iter()
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), canonical(value)))
                .collect();
            format!("{{{}}}", inner.join(","))
        }
        Value::Array(values) => {
            let inner: Vec<String> = values.iter().map(canonical).collect();
            format!("[{}]", inner.join(","))
        }
        plain => plain.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::{Action, Actor, ActorType, Context, Outcome};

    /// These bytes are the format. If this test fails, the format has changed, and it must not.
    #[test]
    fn the_bytes_of_version_1() {
        let mut actor = Actor::new(ActorType::Key, "k1", "CI \"bot\"");
        actor.key_prefix = Some("sk_ght_abcde".into());
        actor.context = Context { ip: Some("203.0.113.7".into()), ..Default::default() };
        let draft = Draft::new(&actor, Action::PostDelete, Outcome::Intent)
            .workspace("w1")
            .tenant(Some("507f1f77bcf86cd799439011"))
            .target("post", "507f191e810c19729de860ea")
            .reason("spring clean");
        let details = details(&draft, || [7; 32]);
        assert_eq!(
            details.iter().map(|d| d.part.as_str()).collect::<Vec<_>>(),
            ["names", "context", "reason"]
        );
        assert_eq!(details[0].body, r#"{"actor":"CI \"bot\""}"#);
        let place = Place {
            seq: 4,
            at: 1_773_568_800_000,
            in_workspace: Some(Link { seq: 2, previous: Some([0xab; 32]) }),
            in_tenant: Some(Link { seq: 0, previous: None }),
        };
        let text = String::from_utf8(bytes(&place, &draft, &details)).unwrap();
        let expected = concat!(
            r#"{"action":"post.delete","actor":{"id":"k1","keyPrefix":"sk_ght_abcde","type":"key"},"#,
            r#""at":"2026-03-15T10:00:00.000Z","commitments":{"context":""#,
            "CONTEXT",
            r#"","names":""#,
            "NAMES",
            r#"","reason":""#,
            "REASON",
            r#""},"inTenant":{"previous":null,"seq":0},"inWorkspace":{"previous":""#,
            "abababababababababababababababababababababababababababababababab",
            r#"","seq":2},"jobId":null,"opId":null,"outcome":"intent","seq":4,"#,
            r#""targets":[{"id":"507f191e810c19729de860ea","type":"post"}],"tenant":"507f1f77bcf86cd799439011","#,
            r#""upstream":null,"v":1,"workspace":"w1"}"#
        );
        let expected = expected
            .replace("NAMES", &commitment(&details[0]))
            .replace("CONTEXT", &commitment(&details[1]))
            .replace("REASON", &commitment(&details[2]));
        assert_eq!(text, expected);
        let names = digest(&[&[7; 32], br#"{"actor":"CI \"bot\""}"#]);
        assert_eq!(commitment(&details[0]), hex::encode(names));
    }
}
