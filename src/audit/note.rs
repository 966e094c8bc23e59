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
    /// It is one, and not by the key that is believed, or not of its log.
    Untrue(String),
}

type Result<T> = std::result::Result<T, Error>;

fn malformed<T>(what: impl Into<String>) -> Result<T> {
    Err(Error::Malformed(what.into()))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(text) | Self::Untrue(text) => f.write_str(text),
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
                return Err(Error::Untrue(format!("a signature of {} is wrong", self.name)));
            }
            signed = true;
        }
        match signed {
            true => Ok(note.text),
            false => {
                Err(Error::Untrue(format!("it is not signed by {} {}", self.name, hex::encode(self.id()))))
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
            None => Err(Error::Untrue(format!("the origin {origin} is not of the log {}", self.name))),
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
mod tests {
    use super::*;
    use crate::audit::tree::leaf_hash;

    fn key() -> SigningKey {
        SigningKey::from_seed("7c1f", &[7; 32]).unwrap()
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: key().public().origin(1), size: 81_204, root: leaf_hash(b"root") }
    }

    fn is_malformed<T: fmt::Debug>(result: Result<T>) -> bool {
        matches!(result, Err(Error::Malformed(_)))
    }

    /// The example of the specification, C2SP signed-note: a key and a note by it.
    #[test]
    fn the_example_of_the_specification() {
        let note = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
                    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        let parsed = Note::parse(note).unwrap();
        assert_eq!(parsed.text.lines().count(), 2);
        assert_eq!(hex::encode(parsed.signatures[0].id), "c74f20a3");
        let key = STANDARD.decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
        let public = PublicKey { name: "PeterNeumann".into(), key: key[1..].try_into().unwrap() };
        assert_eq!(public.to_string(), "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
        assert_eq!(public.verify(&parsed), Ok(parsed.text));
        let other = note.replace("answer", "Answer");
        assert!(matches!(public.verify(&Note::parse(&other).unwrap()), Err(Error::Untrue(_))));
    }

    /// RFC 8032 §7.1, test 1.
    #[test]
    fn the_public_key_of_a_known_seed() {
        let seed = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let key = SigningKey::from_seed("a", seed.as_slice().try_into().unwrap()).unwrap();
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(hex::encode(key.public().key), public);
        assert!(!format!("{key:?}").contains("9d61b19d"));
    }

    #[test]
    fn what_is_signed_is_read_back() {
        let (key, checkpoint) = (key(), checkpoint());
        let note = key.sign(&checkpoint.to_string());
        assert_eq!(key.public().checkpoint(&note), Ok(checkpoint.clone()));
        let vkey = key.public().to_string();
        assert_eq!(PublicKey::parse(&vkey), Ok(key.public().clone()));
        for (tenant, count) in [(None, 0), (None, 3), (Some("507f"), 9)] {
            let head = Head {
                origin: checkpoint.origin.clone(),
                size: checkpoint.size,
                chain: Chain { workspace: "w1".into(), tenant: tenant.map(str::to_owned) },
                count,
                last: (count > 0).then(|| leaf_hash(b"last")),
            };
            assert_eq!(key.public().head(&key.sign(&head.to_string())), Ok(head));
        }
        // One is not taken for the other.
        assert!(is_malformed(key.public().head(&note)));
    }

    #[test]
    fn only_the_keys_own_epochs_are_its_origins() {
        let key = key();
        let public = key.public();
        assert_eq!(public.origin(1), "gatehouse-audit/7c1f");
        for epoch in [1, 2, 10, 300] {
            assert_eq!(public.epoch(&public.origin(epoch)), Some(epoch));
        }
        for origin in ["", "/", "/0", "/1", "/02", "/+2", "/2/3", "2", "/2 ", "x/2"] {
            assert_eq!(
                public.epoch(&format!("gatehouse-audit/7c1f{origin}")).filter(|_| !origin.is_empty()),
                None
            );
        }
        let foreign = Checkpoint { origin: "gatehouse-audit/other".into(), ..checkpoint() };
        assert!(matches!(public.checkpoint(&key.sign(&foreign.to_string())), Err(Error::Untrue(_))));
    }

    #[test]
    fn signatures_decide() {
        let (key, text) = (key(), checkpoint().to_string());
        let (public, note) = (key.public(), key.sign(&text));
        let other = SigningKey::from_seed("7c1f", &[8; 32]).unwrap();
        let line = |note: &str| note.lines().last().unwrap().to_owned() + "\n";
        // By another key, also one of the same name: not by ours.
        assert!(matches!(public.checkpoint(&other.sign(&text)), Err(Error::Untrue(_))));
        // Others beside ours are passed over, whatever they are.
        let stranger = format!("\u{2014} witness.example/w {}\n", STANDARD.encode([1, 2, 3, 4, 5]));
        assert!(public.checkpoint(&(note.clone() + &line(&other.sign(&text)) + &stranger)).is_ok());
        // A wrong one under our name and id spoils a right one, before or after it.
        let wrong = line(&key.sign("something else\n"));
        assert!(matches!(public.checkpoint(&(note.clone() + &wrong)), Err(Error::Untrue(_))));
        let before = format!("{text}\n{wrong}{}", line(&note));
        assert!(matches!(public.checkpoint(&before), Err(Error::Untrue(_))));
        // Every byte of the text and of the signature counts.
        let signed = note.rfind(' ').unwrap();
        for at in (0..text.len()).chain(signed + 1..note.len() - 1) {
            let mut bytes = note.clone().into_bytes();
            bytes[at] = if bytes[at] == b'B' { b'C' } else { b'B' };
            assert!(public.checkpoint(&String::from_utf8(bytes).unwrap()).is_err(), "byte {at}");
        }
        // Sixteen signatures are the most.
        assert!(public.checkpoint(&(note.clone() + &stranger.repeat(15))).is_ok());
        assert!(is_malformed(public.checkpoint(&(note + &stranger.repeat(16)))));
    }

    #[test]
    fn what_is_written_otherwise_is_refused() {
        let note = key().sign(&checkpoint().to_string());
        for (from, to) in [
            ("\n\n", "\n"),
            ("\n\n", "\n\n\n"),
            ("\n\n", "\r\n\n"),
            ("\u{2014} ", "- "),
            ("\u{2014} ", "\u{2014}  "),
            ("81204", "081204"),
            ("81204", "+81204"),
            ("81204", "-1"),
            ("81204", "81204.0"),
            ("81204", "9223372036854775808"),
            ("81204", "99999999999999999999999"),
            ("81204", ""),
            ("81204\n", "81204\n81204\n"),
            ("\n\n", "\nextension\n\n"),
            ("gatehouse-audit/7c1f\n81204", "\n81204"),
            ("=\n\n", "\n\n"),
            ("81204\n", "81204\tx\n"),
            ("81204\n", "81204\0\n"),
        ] {
            let other = note.replacen(from, to, 1);
            assert_ne!(other, note, "{from:?}");
            assert!(is_malformed(key().public().checkpoint(&other)), "{from:?} to {to:?}");
        }
        for other in ["", "\n", "\n\n", &note[..note.len() - 1], &format!("{note}\n"), &format!("{note} ")] {
            assert!(is_malformed(key().public().checkpoint(other)), "{other:?}");
        }
        // Bits of the last character that say nothing.
        let root = STANDARD.encode(checkpoint().root);
        let last = root.as_bytes()[42];
        let twin = root.replace(&format!("{}=", last as char), &format!("{}=", (last + 1) as char));
        assert!(hash(&root).is_some() && hash(&twin).is_none());
        let vkey = key().public().to_string();
        for (from, to) in
            [("7c1f", "7c1e"), ("7c1f", ""), ("7c1f", "7c/1f"), ("gatehouse-audit/", ""), ("+", " ")]
        {
            assert!(is_malformed(PublicKey::parse(&vkey.replacen(from, to, 1))), "{from}");
        }
        assert!(is_malformed(PublicKey::parse(&vkey[..vkey.len() - 4])));
        for id in ["", "a b", "a+b", "a/b", "a\nb"] {
            assert!(SigningKey::from_seed(id, &[1; 32]).is_err(), "{id:?}");
        }
        for chain in [
            "workspace",
            "workspace ",
            "workspace a b",
            "tenant a",
            "tenant a ",
            "tenant  b",
            "log",
            "Workspace a",
        ] {
            assert_eq!(Chain::parse(chain), None, "{chain:?}");
        }
        let head =
            |count: &str, last: &str| Head::parse(&format!("{HEAD}\no\n5\nworkspace w\n{count}\n{last}\n"));
        assert!(head("0", "-").is_ok() && head("1", &root).is_ok());
        assert!(
            is_malformed(head("1", "-")) && is_malformed(head("0", &root)) && is_malformed(head("01", &root))
        );
    }
}
