//! One line of a bundle, judged by itself: its form, the hash of its entry, the commitments to its details. Knows nothing of other lines,
//! so that many can be looked at side by side. Little is copied: this is where the time goes.

use super::Fault;
use crate::{
    audit::{
        bundle::{ProofLine, whole, whole_or_null},
        entry::VERSION,
        note,
        tree::{Hash, digest, leaf_hash},
    },
    clock::Millis,
    domain::audit::{ActorType, Outcome},
};
use jiff::{civil::DateTime, tz::Offset};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;

/// What other lines are compared with.
pub struct Checked {
    pub seq: u64,
    pub at: Millis,
    pub leaf: Hash,
    pub workspace: Option<(String, Link)>,
    pub tenant: Option<(String, Link)>,
    pub kind: Kind,
    /// Details that the entry commits to and that are not here.
    pub missing: u64,
}

/// What the verifier has to know about an action.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    Other,
    /// The program started.
    Start,
    /// The log goes on from an older copy, in this epoch; `None` if it does not name exactly one.
    Restore(Option<u64>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    pub seq: u64,
    pub previous: Option<Hash>,
}

/// Judges a line of entries, without its newline (docs/audit-format.md §1, §5; checks 5 and 6).
pub fn entry(line: &[u8]) -> Result<Checked, Fault> {
    let malformed = |what: &str| Fault::malformed(5, what);
    let Some(body) = line.strip_prefix(b"{\"entry\":").filter(|body| body.first() == Some(&b'{')) else {
        return Err(malformed("a line of entries begins with {\"entry\":{"));
    };
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<Entry<'_>>();
    let entry = match values.next() {
        Some(Ok(entry)) => entry,
        Some(Err(error)) => return Err(malformed(&format!("an entry is not of version 1: {error}"))),
        None => return Err(malformed("a line has no entry")),
    };
    let (bytes, rest) = body.split_at(values.byte_offset());
    let at = |fault: Fault| fault.at(entry.seq);
    let (leaf_text, details) = rest
        .strip_prefix(b",\"leaf\":\"")
        .and_then(|rest| rest.split_at_checked(64))
        .and_then(|(leaf, rest)| Some((leaf, rest.strip_prefix(b"\",\"details\":")?)))
        .ok_or_else(|| at(malformed("behind the entry stand its leaf and its details")))?;
    let details = details
        .strip_suffix(b"}")
        .filter(|details| details.starts_with(b"[") && details.ends_with(b"]"))
        .ok_or_else(|| at(malformed("a line ends with the details")))?;
    let details: Vec<Detail<'_>> = serde_json::from_slice(details)
        .map_err(|error| at(malformed(&format!("its details cannot be read: {error}"))))?;
    let stated =
        unhex(leaf_text).ok_or_else(|| at(malformed("a leaf is 64 lower-case hexadecimal digits")))?;
    let checked = entry.form(&details).map_err(|what| at(malformed(what)))?;

    let leaf = leaf_hash(bytes);
    if leaf != stated {
        return Err(at(Fault::tampered(6, "its bytes do not have the hash that stands beside them")));
    }
    let mut seen = [false; PARTS.len()];
    for detail in &details {
        // `form` has seen that it is one of them.
        let Some(index) = PARTS.iter().position(|part| *part == detail.part.0) else { continue };
        let (Some(salt), Some(commitment)) = (unhex(detail.salt.0.as_bytes()), entry.commitments.of(index))
        else {
            return Err(at(Fault::tampered(
                6,
                format!("it does not commit to its detail {}", detail.part.0),
            )));
        };
        if std::mem::replace(&mut seen[index], true) {
            return Err(at(Fault::tampered(6, format!("its detail {} stands twice", detail.part.0))));
        }
        if unhex(commitment.as_bytes()) != Some(digest(&[&salt, detail.body.0.as_bytes()])) {
            return Err(at(Fault::tampered(
                6,
                format!("its detail {} is not what it commits to", detail.part.0),
            )));
        }
    }
    let committed = (0..PARTS.len()).filter(|index| entry.commitments.of(*index).is_some()).count();
    Ok(Checked { leaf, missing: (committed - details.len()) as u64, ..checked })
}

/// Reads a line of proofs, without its newline.
pub fn proof(line: &[u8]) -> Result<(u64, Vec<Hash>), Fault> {
    let line: ProofLine = serde_json::from_slice(line)
        .map_err(|error| Fault::malformed(5, format!("a line of proofs cannot be read: {error}")))?;
    Ok((line.seq, hashes(&line.proof).map_err(|fault| fault.at(line.seq))?))
}

/// The hashes of a proof.
pub fn hashes(texts: &[String]) -> Result<Vec<Hash>, Fault> {
    texts
        .iter()
        .map(|text| {
            note::hash(text).ok_or_else(|| Fault::malformed(5, "a proof is made of 32 bytes each, in Base64"))
        })
        .collect()
}

/// A time of the format, which has one notation.
pub fn moment(text: &str) -> Option<Millis> {
    let bytes = text.as_bytes();
    let shape = b"dddd-dd-ddTdd:dd:dd.dddZ";
    let fits = |(b, s): (&u8, &u8)| if *s == b'd' { b.is_ascii_digit() } else { b == s };
    if bytes.len() != shape.len() || !bytes.iter().zip(shape).all(fits) {
        return None;
    }
    let number =
        |from: usize, to: usize| bytes[from..to].iter().fold(0i32, |n, b| n * 10 + i32::from(b - b'0'));
    let two = |from: usize| number(from, from + 2) as i8;
    let nanos = number(20, 23) * 1_000_000;
    let civil = DateTime::new(number(0, 4) as i16, two(5), two(8), two(11), two(14), two(17), nanos).ok()?;
    Some(Offset::UTC.to_timestamp(civil).ok()?.as_millisecond())
}

/// The names of details (§1).
const PARTS: [&str; 4] = ["names", "context", "change", "reason"];

/// 32 bytes in lower-case hexadecimal.
fn unhex(text: &[u8]) -> Option<Hash> {
    let mut hash = [0; 32];
    if text.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    hex::decode_to_slice(text, &mut hash).ok()?;
    Some(hash)
}

/// A string, borrowed where nothing in it is escaped.
#[derive(Deserialize)]
struct Text<'l>(#[serde(borrow)] Cow<'l, str>);

/// A member that may be `null` and must be there; without this, one that is missing would count as `null`.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(from)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry<'l> {
    v: u64,
    #[serde(deserialize_with = "whole")]
    seq: u64,
    #[serde(borrow)]
    at: Text<'l>,
    #[serde(borrow, deserialize_with = "given")]
    workspace: Option<Text<'l>>,
    #[serde(borrow, deserialize_with = "given")]
    in_workspace: Option<LinkText<'l>>,
    #[serde(borrow, deserialize_with = "given")]
    tenant: Option<Text<'l>>,
    #[serde(borrow, deserialize_with = "given")]
    in_tenant: Option<LinkText<'l>>,
    #[serde(borrow)]
    actor: Actor<'l>,
    #[serde(borrow)]
    action: Text<'l>,
    #[serde(borrow)]
    outcome: Text<'l>,
    #[serde(borrow)]
    targets: Vec<Target<'l>>,
    #[serde(borrow, rename = "upstream", deserialize_with = "given")]
    _upstream: Option<Upstream<'l>>,
    #[serde(borrow, rename = "opId", deserialize_with = "given")]
    _op_id: Option<Text<'l>>,
    #[serde(borrow, rename = "jobId", deserialize_with = "given")]
    _job_id: Option<Text<'l>>,
    #[serde(borrow)]
    commitments: Commitments<'l>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkText<'l> {
    #[serde(borrow, deserialize_with = "given")]
    previous: Option<Text<'l>>,
    #[serde(deserialize_with = "whole")]
    seq: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Actor<'l> {
    #[serde(borrow, rename = "id")]
    _id: Text<'l>,
    #[serde(borrow, rename = "keyPrefix", deserialize_with = "given")]
    _key_prefix: Option<Text<'l>>,
    #[serde(borrow, rename = "type")]
    kind: Text<'l>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Target<'l> {
    #[serde(borrow)]
    id: Text<'l>,
    #[serde(borrow, rename = "type")]
    kind: Text<'l>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Upstream<'l> {
    #[serde(borrow, rename = "code", deserialize_with = "given")]
    _code: Option<Text<'l>>,
    #[serde(rename = "latencyMs", deserialize_with = "whole")]
    _latency_ms: u64,
    #[serde(rename = "status", deserialize_with = "whole_or_null")]
    _status: Option<u64>,
}

/// In the order of [`PARTS`]. A missing one is missing; `null` is none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Commitments<'l> {
    #[serde(borrow, default, deserialize_with = "some")]
    names: Option<Text<'l>>,
    #[serde(borrow, default, deserialize_with = "some")]
    context: Option<Text<'l>>,
    #[serde(borrow, default, deserialize_with = "some")]
    change: Option<Text<'l>>,
    #[serde(borrow, default, deserialize_with = "some")]
    reason: Option<Text<'l>>,
}

fn some<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Detail<'l> {
    #[serde(borrow)]
    part: Text<'l>,
    #[serde(borrow)]
    salt: Text<'l>,
    #[serde(borrow)]
    body: Text<'l>,
}

impl Commitments<'_> {
    fn of(&self, index: usize) -> Option<&str> {
        let part = [&self.names, &self.context, &self.change, &self.reason][index];
        part.as_ref().map(|text| text.0.as_ref())
    }
}

impl<'l> Entry<'l> {
    /// What the types do not say about the form. The leaf and the missing details are still to be filled in.
    fn form(&self, details: &[Detail<'l>]) -> Result<Checked, &'static str> {
        if self.v != VERSION {
            return Err("an entry of another version");
        }
        let Some(at) = moment(&self.at.0) else { return Err("its time is none") };
        if Outcome::parse(&self.outcome.0).is_none() || ActorType::parse(&self.actor.kind.0).is_none() {
            return Err("its outcome or its actor's type is none of version 1");
        }
        if (0..PARTS.len())
            .any(|index| self.commitments.of(index).is_some_and(|c| unhex(c.as_bytes()).is_none()))
        {
            return Err("a commitment is 64 lower-case hexadecimal digits");
        }
        if details.iter().any(|d| !PARTS.contains(&d.part.0.as_ref()) || unhex(d.salt.0.as_bytes()).is_none())
        {
            return Err("a detail has one of four names, and a salt of 64 lower-case hexadecimal digits");
        }
        if self.tenant.is_some() && self.workspace.is_none() {
            return Err("it has a tenant and no workspace");
        }
        let kind = match self.action.0.as_ref() {
            "audit.start" => Kind::Start,
            "audit.restore" => {
                let mut epochs = self.targets.iter().filter(|target| target.kind.0 == "epoch");
                match (epochs.next(), epochs.next()) {
                    (Some(target), None) => Kind::Restore(note::number(&target.id.0)),
                    _ => Kind::Restore(None),
                }
            }
            _ => Kind::Other,
        };
        Ok(Checked {
            seq: self.seq,
            at,
            leaf: [0; 32],
            workspace: linked(self.workspace.as_ref(), self.in_workspace.as_ref())?,
            tenant: linked(self.tenant.as_ref(), self.in_tenant.as_ref())?,
            kind,
            missing: 0,
        })
    }
}

/// An id with its place in its sequence: there are both or none.
fn linked(
    id: Option<&Text<'_>>,
    link: Option<&LinkText<'_>>,
) -> Result<Option<(String, Link)>, &'static str> {
    let (id, link) = match (id, link) {
        (Some(id), Some(link)) => (id, link),
        (None, None) => return Ok(None),
        _ => return Err("it has a number exactly where it has a workspace or tenant"),
    };
    let previous = match &link.previous {
        None => None,
        Some(text) => {
            Some(unhex(text.0.as_bytes()).ok_or("a previous leaf is 64 lower-case hexadecimal digits")?)
        }
    };
    Ok(Some((id.0.clone().into_owned(), Link { seq: link.seq, previous })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_one_notation() {
        assert_eq!(moment("2026-03-15T10:00:00.000Z"), Some(1_773_568_800_000));
        assert_eq!(moment("2024-02-29T23:59:59.999Z"), Some(1_709_251_199_999));
        for text in [
            "2026-03-15T10:00:00Z",
            "2026-03-15T10:00:00.0000Z",
            "2026-03-15 10:00:00.000Z",
            "2026-03-15T10:00:00.000+00:00",
            "2026-02-29T10:00:00.000Z",
            "2026-13-15T10:00:00.000Z",
            "2026-03-15T24:00:00.000Z",
            "2026-03-15T10:00:60.000Z",
            "2026-03-1٥T10:00:00.00Z",
            "",
        ] {
            assert_eq!(moment(text), None, "{text}");
        }
    }
}
