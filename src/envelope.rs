//! Envelope encryption of secrets that must be used in clear: a master key in a file wraps a data key in the database,
//! the data key encrypts with AES-256-GCM, and the row's identity is bound in as associated data, so that a ciphertext
//! copied into another row does not open (design §4). Also the one source of random bytes.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, RandomizedNonceKey},
    constant_time, hmac,
    rand::{SecureRandom, SystemRandom},
};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// Format version, first byte of every ciphertext.
const VERSION: u8 = 1;

/// The key that wraps data keys. Lives in a file beside the database, never in it.
pub struct MasterKey(Zeroizing<[u8; 32]>);

/// A key that encrypts secrets. Stored wrapped.
pub struct DataKey {
    id: String,
    key: Zeroizing<[u8; 32]>,
}

/// A ciphertext that does not open: damaged, moved to another row, or made under another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CannotOpen;

impl std::fmt::Display for CannotOpen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a stored secret cannot be decrypted: wrong master key, or a damaged row")
    }
}

impl std::error::Error for CannotOpen {}

/// 32 bytes from the operating system.
pub fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// A URL-safe secret of 256 bits, in hex.
pub fn random_token() -> String {
    hex::encode(random())
}

/// SHA-256 of a secret that is looked up by its hash: tokens of 256 bits need no slow hash.
pub fn token_hash(token: &str) -> Vec<u8> {
    crate::audit::tree::digest(&[token.as_bytes()]).to_vec()
}

/// HMAC-SHA256.
pub fn mac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    let mut out = [0; 32];
    out.copy_from_slice(tag.as_ref());
    out
}

/// Comparison whose time does not depend on the contents.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

impl MasterKey {
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Makes a data key and its wrapped form.
    pub fn make_data_key(&self, id: String) -> Result<(DataKey, Vec<u8>), CannotOpen> {
        let key = Zeroizing::new(random());
        let wrapped = encrypt(&self.0, &["data_key", &id], key.as_slice())?;
        Ok((DataKey { id, key }, wrapped))
    }

    pub fn unwrap_data_key(&self, id: String, wrapped: &[u8]) -> Result<DataKey, CannotOpen> {
        let bytes = decrypt(&self.0, &["data_key", &id], wrapped)?;
        let key = Zeroizing::new(<[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| CannotOpen)?);
        Ok(DataKey { id, key })
    }
}

impl DataKey {
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Encrypts `secret` for the row that `place` names (table, column, row id).
    pub fn seal(&self, place: [&str; 3], secret: &str) -> Result<Vec<u8>, CannotOpen> {
        encrypt(&self.key, &[&self.id, place[0], place[1], place[2]], secret.as_bytes())
    }

    /// Decrypts what [`Self::seal`] made for the same row.
    pub fn open(&self, place: [&str; 3], sealed: &[u8]) -> Result<SecretString, CannotOpen> {
        let bytes = decrypt(&self.key, &[&self.id, place[0], place[1], place[2]], sealed)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| CannotOpen)?;
        Ok(SecretString::from(text.to_owned()))
    }
}

/// `version | nonce | ciphertext and tag`.
fn encrypt(key: &[u8; 32], place: &[&str], secret: &[u8]) -> Result<Vec<u8>, CannotOpen> {
    let aead = RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| CannotOpen)?;
    let mut sealed = secret.to_vec();
    let nonce =
        aead.seal_in_place_append_tag(Aad::from(associated(place)), &mut sealed).map_err(|_| CannotOpen)?;
    let mut out = vec![VERSION];
    out.extend_from_slice(nonce.as_ref());
    out.extend_from_slice(&sealed);
    Ok(out)
}

fn decrypt(key: &[u8; 32], place: &[&str], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CannotOpen> {
    let (header, body) = sealed.split_at_checked(1 + NONCE_LEN).ok_or(CannotOpen)?;
    if header[0] != VERSION {
        return Err(CannotOpen);
    }
    let nonce = <[u8; NONCE_LEN]>::try_from(&header[1..]).map_err(|_| CannotOpen)?;
    let aead = RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| CannotOpen)?;
    let mut body = Zeroizing::new(body.to_vec());
    let length = aead
        .open_in_place((&nonce).into(), Aad::from(associated(place)), &mut body)
        .map_err(|_| CannotOpen)?
        .len();
    body.truncate(length);
    Ok(body)
}

/// Each part with its length before it, so that the borders cannot move.
fn associated(place: &[&str]) -> Vec<u8> {
    let mut out = vec![VERSION];
    for part in place {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part.as_bytes());
    }
    out
}

/// The secret as text, where it has to be used. Named so that a search finds every use.
pub fn expose(secret: &SecretString) -> &str {
    secret.expose_secret()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_only_in_its_own_row_and_undamaged() {
        let master = MasterKey::new([1; 32]);
        let (key, wrapped) = master.make_data_key("d1".into()).unwrap();
        let place = ["workspaces", "upstream_key", "w1"];
        let sealed = key.seal(place, "sk_secret").unwrap();
        let again = master.unwrap_data_key("d1".into(), &wrapped).unwrap();
        assert_eq!(expose(&again.open(place, &sealed).unwrap()), "sk_secret");
        assert!(key.open(["workspaces", "upstream_key", "w2"], &sealed).is_err());
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(key.open(place, &damaged).is_err(), "byte {at}");
        }
        assert!(MasterKey::new([2; 32]).unwrap_data_key("d1".into(), &wrapped).is_err());
        assert!(key.open(place, &[]).is_err());
        assert_ne!(sealed, key.seal(place, "sk_secret").unwrap());
    }
}
