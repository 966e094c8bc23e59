//! Bundles: what an auditor is given (docs/audit-format.md §6). A tar archive made in one go, front to back, in little memory: what
//! is needed to judge the entries first, then entries in parts with their proofs, at last the manifest. The caller sees to it
//! that what goes in belongs together; [`super::verify`] is what checks.

use super::{
    note::{self, Chain, Checkpoint, Note, PublicKey},
    tree::Hash,
};
use crate::{clock::Millis, domain::times};
use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Deserializer, Serialize};

/// In `bundle.json`.
pub const FORMAT: &str = "gatehouse-audit-bundle/v1";
/// A part of entries is closed when it has grown to so many bytes.
const PART: usize = 4 << 20;
/// Two blocks of zeros end an archive.
const END: [u8; 1024] = [0; 1024];

/// Which entries are in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Scope {
    /// All.
    Log {},
    /// All of a workspace.
    Workspace { workspace: String },
    /// All of a tenant of a workspace.
    Tenant { workspace: String, tenant: String },
    /// Those that a search matched: nothing says that none was left out.
    Partial { filter: String },
}

impl Scope {
    /// The chain whose head says that nothing was left out.
    pub fn chain(&self) -> Option<Chain> {
        match self {
            Self::Workspace { workspace } => Some(Chain { workspace: workspace.clone(), tenant: None }),
            Self::Tenant { workspace, tenant } => {
                Some(Chain { workspace: workspace.clone(), tenant: Some(tenant.clone()) })
            }
            Self::Log {} | Self::Partial { .. } => None,
        }
    }

    /// Its word in `bundle.json`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Log {} => "log",
            Self::Workspace { .. } => "workspace",
            Self::Tenant { .. } => "tenant",
            Self::Partial { .. } => "partial",
        }
    }

    /// Whether each entry has its proof. The whole log proves itself.
    pub fn has_proofs(&self) -> bool {
        *self != Self::Log {}
    }
}

/// `bundle.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Description {
    pub format: String,
    pub scope: Scope,
    pub origin: String,
    #[serde(deserialize_with = "whole")]
    pub size: u64,
    pub exported_at: String,
}

/// A line of `consistency.ndjson`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsistencyLine {
    #[serde(deserialize_with = "whole")]
    pub size: u64,
    pub proof: Vec<String>,
}

/// A line of proofs.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofLine {
    #[serde(deserialize_with = "whole")]
    pub seq: u64,
    pub proof: Vec<String>,
}

/// `manifest.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    #[serde(deserialize_with = "whole")]
    pub count: u64,
    #[serde(deserialize_with = "whole_or_null")]
    pub first_seq: Option<u64>,
    #[serde(deserialize_with = "whole_or_null")]
    pub last_seq: Option<u64>,
    pub members: Vec<Member>,
}

/// A member of the archive as the manifest lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    pub name: String,
    #[serde(deserialize_with = "whole")]
    pub bytes: u64,
    pub sha256: String,
}

/// A number of the format: from 0 to 2^63 - 1.
pub fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let number = u64::deserialize(from)?;
    match i64::try_from(number) {
        Ok(_) => Ok(number),
        Err(_) => Err(serde::de::Error::custom("a number above 2^63 - 1")),
    }
}

/// As [`whole`], or `null`. The member must be there.
pub fn whole_or_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    struct Whole(#[serde(deserialize_with = "whole")] u64);
    Ok(Option::<Whole>::deserialize(from)?.map(|Whole(number)| number))
}

/// What a bundle begins with.
pub struct Opening<'a> {
    pub scope: Scope,
    pub exported_at: Millis,
    pub key: &'a PublicKey,
    /// The signed checkpoint that all is proven against.
    pub checkpoint: &'a str,
    /// The signed head of the scope's chain, of the same origin and size; for a workspace or tenant only.
    pub head: Option<&'a str>,
    /// Earlier sizes, rising, each with the proof that its tree is the beginning of the checkpoint's.
    pub consistency: &'a [(u64, Vec<Hash>)],
}

/// Makes a bundle. Each call returns the bytes that are ready: hand them on in order.
pub struct BundleWriter {
    has_proofs: bool,
    /// Seconds, of the members.
    modified: u64,
    members: Vec<Member>,
    parts: u32,
    entries: Vec<u8>,
    proofs: Vec<u8>,
    count: u64,
    first: Option<u64>,
    last: Option<u64>,
}

impl BundleWriter {
    /// Begins a bundle. An error if the checkpoint is none.
    pub fn new(opening: &Opening<'_>) -> Result<(Self, Vec<u8>), note::Error> {
        let checkpoint = Checkpoint::parse(Note::parse(opening.checkpoint)?.text)?;
        let mut writer = Self {
            has_proofs: opening.scope.has_proofs(),
            modified: u64::try_from(opening.exported_at / 1000).unwrap_or_default(),
            members: Vec::new(),
            parts: 0,
            entries: Vec::new(),
            proofs: Vec::new(),
            count: 0,
            first: None,
            last: None,
        };
        let description = Description {
            format: FORMAT.to_owned(),
            scope: opening.scope.clone(),
            origin: checkpoint.origin,
            size: checkpoint.size,
            exported_at: times::to_iso(opening.exported_at),
        };
        let mut consistency = Vec::new();
        for (size, proof) in opening.consistency {
            json_line(&mut consistency, &ConsistencyLine { size: *size, proof: texts(proof) });
        }
        let mut bytes = Vec::new();
        writer.member(&mut bytes, "bundle.json", &json(&description));
        writer.member(&mut bytes, "key.vkey", format!("{}\n", opening.key).as_bytes());
        writer.member(&mut bytes, "checkpoint.note", opening.checkpoint.as_bytes());
        if let Some(head) = opening.head {
            writer.member(&mut bytes, "head.note", head.as_bytes());
        }
        writer.member(&mut bytes, "consistency.ndjson", &consistency);
        Ok((writer, bytes))
    }

    /// The next entry: its line (§5) with the newline, and in all scopes but the whole log its inclusion proof.
    pub fn entry(&mut self, seq: u64, line: &[u8], proof: Option<&[Hash]>) -> Vec<u8> {
        self.count += 1;
        self.first.get_or_insert(seq);
        self.last = Some(seq);
        self.entries.extend_from_slice(line);
        if self.has_proofs {
            json_line(&mut self.proofs, &ProofLine { seq, proof: texts(proof.unwrap_or_default()) });
        }
        match self.entries.len() >= PART {
            true => self.part(),
            false => Vec::new(),
        }
    }

    /// The end of the archive, with what was not handed out yet.
    pub fn finish(mut self) -> Vec<u8> {
        let mut bytes = match self.entries.is_empty() {
            true => Vec::new(),
            false => self.part(),
        };
        let manifest = Manifest {
            count: self.count,
            first_seq: self.first,
            last_seq: self.last,
            members: std::mem::take(&mut self.members),
        };
        self.member(&mut bytes, "manifest.json", &json(&manifest));
        bytes.extend_from_slice(&END);
        bytes
    }

    fn part(&mut self) -> Vec<u8> {
        self.parts += 1;
        let (entries, proofs) = (std::mem::take(&mut self.entries), std::mem::take(&mut self.proofs));
        let mut bytes = Vec::with_capacity(entries.len() + proofs.len() + 4096);
        self.member(&mut bytes, &part_name("entries", self.parts), &entries);
        if self.has_proofs {
            self.member(&mut bytes, &part_name("proofs", self.parts), &proofs);
        }
        bytes
    }

    fn member(&mut self, archive: &mut Vec<u8>, name: &str, content: &[u8]) {
        append(archive, name, content, self.modified);
        self.members.push(Member {
            name: name.to_owned(),
            bytes: content.len() as u64,
            sha256: sha256(content),
        });
    }
}

/// `entries/000001.ndjson` and so on.
pub fn part_name(kind: &str, number: u32) -> String {
    format!("{kind}/{number:06}.ndjson")
}

/// Writes a regular file into a tar archive, in whole blocks. `modified` is in seconds.
pub fn append(archive: &mut Vec<u8>, name: &str, content: &[u8], modified: u64) {
    let mut header = tar::Header::new_ustar();
    // Names are ours, ASCII and short.
    let field = &mut header.as_old_mut().name;
    field[..name.len()].copy_from_slice(name.as_bytes());
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(modified);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    archive.extend_from_slice(header.as_bytes());
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(512), 0);
}

fn sha256(content: &[u8]) -> String {
    let mut context = Context::new(&SHA256);
    context.update(content);
    hex::encode(context.finish())
}

fn texts(proof: &[Hash]) -> Vec<String> {
    proof.iter().map(note::base64).collect()
}

fn json_line(lines: &mut Vec<u8>, value: &impl Serialize) {
    lines.extend_from_slice(&json(value));
    lines.push(b'\n');
}

/// Structs of strings and numbers always have a JSON form.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
