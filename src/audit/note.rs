//! What is signed about the log, and the key that signs it: C2SP signed notes with Ed25519 (<https://c2sp.org/signed-note>),
//! the text of a checkpoint (<https://c2sp.org/tlog-checkpoint>) and of a head (docs/audit-format.md §3, §4). Texts are
//! parsed strictly: what does not come out the same when it is written anew is refused.

use super::tree::{Hash, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::fmt;

/// Before the log's id in the name of its key.
const NAME: &str = "gatehouse-audit/";
/// The algorithm's number in key ids and vkeys: Ed25519.
const ED25519_TYPE: u8 = 1;
const HEAD: &str = "gatehouse-audit-head/v1";
const MOST_SIGNATURES: usize = 16;

/// What is wrong with a note, a text or a key. Says it in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// It is none.
    Malformed(String),
    /// The key that is believed has not signed it.
    Unsigned(String),
    /// It is signed, and not of the key's log.
    Foreign(String),
}

type Result<T> = std::result::Result<T, Error>;

fn malformed<T>(what: impl Into<String>) -> Result<T> {
    Err(Error::Malformed(what.into()))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(text) | Self::Unsigned(text) | Self::Foreign(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}

/// The public half of a log's key. Shown as the vkey that a third party pins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    key: [u8; 32],
}

impl PublicKey {
    /// Reads a vkey: `<name>+<key id, hex>+<base64 of 0x01 || public key>`.
    pub fn parse(vkey: &str) -> Result<Self> {
        let mut parts = vkey.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return malformed("a public key has three parts: name+id+key");
        };
        if !name_ok(name) || name.strip_prefix(NAME).is_none_or(|id| id.is_empty() || id.contains('/')) {
            return malformed(format!("a public key's name is {NAME}<log id>"));
        }
        let key = match STANDARD.decode(key) {
            Ok(bytes) if bytes.len() == 33 && bytes[0] == ED25519_TYPE => bytes,
            _ => return malformed("a public key is the base64 of 0x01 and 32 bytes"),
        };
        let mut public = Self { name: name.to_owned(), key: [0; 32] };
        public.key.copy_from_slice(&key[1..]);
        match id == hex::encode(public.id()) {
            true => Ok(public),
            false => malformed("a public key's id does not fit its name and key"),
        }
    }

    /// `gatehouse-audit/<log id>`.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn log_id(&self) -> &str {
        self.name.strip_prefix(NAME).unwrap_or_default()
    }

    /// First four bytes of SHA-256(name || 0x0A || 0x01 || public key).
    pub fn id(&self) -> [u8; 4] {
        let hash = digest(&[self.name.as_bytes(), &[b'\n', ED25519_TYPE], &self.key]);
        [hash[0], hash[1], hash[2], hash[3]]
    }

    /// First line of what is signed in an epoch of the log; epochs count from 1.
    pub fn origin(&self, epoch: u64) -> String {
        match epoch {
            0 | 1 => self.name.clone(),
            _ => format!("{}/{epoch}", self.name),
        }
    }

    /// The epoch that an origin is of, if it is one of this key's.
    pub fn epoch(&self, origin: &str) -> Option<u64> {
        match origin.strip_prefix(&self.name)? {
            "" => Some(1),
            rest => number(rest.strip_prefix('/')?).filter(|epoch| *epoch >= 2),
        }
    }

    /// Checks the note's signatures and returns its text. One must be by this key; one by it that is wrong spoils the note,
    /// and those of other keys are passed over.
    pub fn verify<'n>(&self, note: &Note<'n>) -> Result<&'n str> {
        let mut signed = false;
        for signature in note.signatures.iter().filter(|s| s.name == self.name && s.id == self.id()) {
            if UnparsedPublicKey::new(&ED25519, &self.key)
                .verify(note.text.as_bytes(), &signature.bytes)
                .is_err()
            {
                return Err(Error::Unsigned(format!("a signature of {} is wrong", self.name)));
            }
            signed = true;
        }
        match signed {
            true => Ok(note.text),
            false => {
                Err(Error::Unsigned(format!("it is not signed by {} {}", self.name, hex::encode(self.id()))))
            }
        }
    }

    /// Reads a checkpoint that this key has signed for one of its log's epochs.
    pub fn checkpoint(&self, note: &str) -> Result<Checkpoint> {
        let note = Note::parse(note)?;
        let checkpoint = Checkpoint::parse(note.text)?;
        self.verify(&note)?;
        self.own(&checkpoint.origin)?;
        Ok(checkpoint)
    }

    /// Reads a head that this key has signed for one of its log's epochs.
    pub fn head(&self, note: &str) -> Result<Head> {
        let note = Note::parse(note)?;
        let head = Head::parse(note.text)?;
        self.verify(&note)?;
        self.own(&head.origin)?;
        Ok(head)
    }

    fn own(&self, origin: &str) -> Result<()> {
        match self.epoch(origin) {
            Some(_) => Ok(()),
            None => Err(Error::Foreign(format!("the origin {origin} is not of the log {}", self.name))),
        }
    }
}

/// The vkey.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ED25519_TYPE], &self.key[..]].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id()), STANDARD.encode(key))
    }
}

/// The key that signs a log. Never printed.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// `seed` is the 32 secret bytes of an Ed25519 key (RFC 8032 §5.1.5). A log id is one word without `+` and `/`.
    pub fn from_seed(log_id: &str, seed: &[u8; 32]) -> Result<Self> {
        let name = format!("{NAME}{log_id}");
        if log_id.is_empty() || log_id.contains('/') || !name_ok(&name) {
            return malformed(format!("{log_id:?} is no id of a log"));
        }
        let Ok(pair) = Ed25519KeyPair::from_seed_unchecked(seed) else {
            return malformed("the seed makes no Ed25519 key");
        };
        let mut key = [0; 32];
        key.copy_from_slice(pair.public_key().as_ref());
        Ok(Self { pair, public: PublicKey { name, key } })
    }

    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The signed note of a text, which must end with a newline and have no empty line.
    pub fn sign(&self, text: &str) -> String {
        let mut bytes = self.public.id().to_vec();
        bytes.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        format!("{text}\n\u{2014} {} {}\n", self.public.name, STANDARD.encode(bytes))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// A signed note, split and not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note<'n> {
    /// What is signed, with its last newline.
    pub text: &'n str,
    signatures: Vec<Signature<'n>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature<'n> {
    name: &'n str,
    id: [u8; 4],
    bytes: Vec<u8>,
}

impl<'n> Note<'n> {
    pub fn parse(note: &'n str) -> Result<Self> {
        if note.chars().any(|c| c < ' ' && c != '\n') {
            return malformed("a note has no control characters but newlines");
        }
        let Some(split) = note.rfind("\n\n") else {
            return malformed("a note is a text, an empty line and signatures");
        };
        let text = &note[..=split];
        let Some(lines) = note[split + 2..].strip_suffix('\n') else {
            return malformed("a note ends with a signature and a newline");
        };
        let signatures = lines.split('\n').map(Signature::parse).collect::<Result<Vec<_>>>()?;
        match signatures.len() {
            1..=MOST_SIGNATURES => Ok(Self { text, signatures }),
            n => malformed(format!("a note has 1 to {MOST_SIGNATURES} signatures, not {n}")),
        }
    }
}

impl<'n> Signature<'n> {
    fn parse(line: &'n str) -> Result<Self> {
        let Some((name, signature)) = line.strip_prefix("\u{2014} ").and_then(|rest| rest.split_once(' '))
        else {
            return malformed("a signature is written `— name base64`");
        };
        if !name_ok(name) {
            return malformed("the name of a key has no spaces and no plus");
        }
        match STANDARD.decode(signature) {
            Ok(bytes) if bytes.len() > 4 => {
                let (id, bytes) = bytes.split_at(4);
                Ok(Self { name, id: [id[0], id[1], id[2], id[3]], bytes: bytes.to_vec() })
            }
            _ => malformed("a signature is the base64 of a key id and more"),
        }
    }
}

/// What the log vouches for as a whole: so many entries, this root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub origin: String,
    pub size: u64,
    pub root: Hash,
}

impl Checkpoint {
    /// Reads the text of a checkpoint: exactly three lines.
    pub fn parse(text: &str) -> Result<Self> {
        let Some([origin, size, root]) = lines(text) else {
            return malformed("a checkpoint has three lines: origin, size and root");
        };
        let Some(size) = number(size) else { return malformed("a checkpoint's size is a plain number") };
        let Some(root) = hash(root) else {
            return malformed("a checkpoint's root is the base64 of 32 bytes");
        };
        match origin.is_empty() {
            true => malformed("a checkpoint has an origin"),
            false => Ok(Self { origin: origin.to_owned(), size, root }),
        }
    }
}

/// The text that is signed.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }
}

/// A sequence within the log: the entries of a workspace, or of a tenant of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Chain {
    pub workspace: String,
    pub tenant: Option<String>,
}

/// `workspace <id>` or `tenant <workspace id> <id>`.
impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tenant {
            None => write!(f, "workspace {}", self.workspace),
            Some(tenant) => write!(f, "tenant {} {tenant}", self.workspace),
        }
    }
}

impl Chain {
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        let (workspace, tenant) = match words[..] {
            ["workspace", workspace] => (workspace, None),
            ["tenant", workspace, tenant] => (workspace, Some(tenant)),
            _ => return None,
        };
        (!workspace.is_empty() && tenant != Some(""))
            .then(|| Self { workspace: workspace.to_owned(), tenant: tenant.map(str::to_owned) })
    }
}

/// What the log vouches for about one chain: that so many of its first `size` entries belong to it, and which is the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub origin: String,
    /// Of the tree.
    pub size: u64,
    pub chain: Chain,
    pub count: u64,
    /// Leaf hash of the last entry; `None` exactly if there is none.
    pub last: Option<Hash>,
}

impl Head {
    /// Reads the text of a head: exactly six lines.
    pub fn parse(text: &str) -> Result<Self> {
        let Some([HEAD, origin, size, chain, count, last]) = lines(text) else {
            return malformed(format!("a head has six lines and begins with {HEAD}"));
        };
        let (Some(size), Some(count)) = (number(size), number(count)) else {
            return malformed("a head's size and count are plain numbers");
        };
        let Some(chain) = Chain::parse(chain) else {
            return malformed("a head is of `workspace <id>` or `tenant <workspace id> <id>`");
        };
        let last = match (last, hash(last)) {
            ("-", _) if count == 0 => None,
            (_, Some(leaf)) if count > 0 => Some(leaf),
            _ => return malformed("a head ends with the leaf of the last entry, or - without entries"),
        };
        match origin.is_empty() {
            true => malformed("a head has an origin"),
            false => Ok(Self { origin: origin.to_owned(), size, chain, count, last }),
        }
    }
}

/// The text that is signed.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, size, chain, count, last } = self;
        let last = last.map_or_else(|| "-".to_owned(), |leaf| STANDARD.encode(leaf));
        write!(f, "{HEAD}\n{origin}\n{size}\n{chain}\n{count}\n{last}\n")
    }
}

/// The lines of a text, if there are exactly so many and the last ends with a newline.
fn lines<const N: usize>(text: &str) -> Option<[&str; N]> {
    text.strip_suffix('\n')?.split('\n').collect::<Vec<_>>().try_into().ok()
}

/// A number as the format writes it: decimal, canonical, at most 2^63 - 1.
pub fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok().filter(|n| i64::try_from(*n).is_ok())?;
    (number.to_string() == text).then_some(number)
}

/// A hash as notes and proofs write it: canonical base64 of 32 bytes.
pub fn hash(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// As [`hash`] reads it.
pub fn base64(hash: &Hash) -> String {
    STANDARD.encode(hash)
}

fn name_ok(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

#[cfg(test)]
mod tests;
