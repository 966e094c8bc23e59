//! The wire form of gateway keys (design §4): `sk_gh{t|w|a}_` + 43 base62 characters + 6 of CRC32. The checksum finds
//! typing errors and lets scanners verify a find offline; it is not authentication.

use crate::domain::keys::KeyKind;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BODY: usize = 43;
const CHECK: usize = 6;

/// The expression secret scanners can search for; a find is confirmed with [`checked_kind`].
pub const DETECTION_REGEX: &str = "sk_gh[twa]_[0-9A-Za-z]{49}";

/// Writes 32 random bytes as a key of this kind.
pub fn mint(kind: KeyKind, random: &[u8; 32]) -> String {
    let mut key = format!("sk_gh{}_", kind.letter());
    key.push_str(&base62(random, BODY));
    let check = crc32fast::hash(key.as_bytes()).to_be_bytes();
    key.push_str(&base62(&check, CHECK));
    key
}

/// The kind of a well-formed key with a right checksum, else `None`. No look-up is needed for a wrong one.
pub fn checked_kind(key: &str) -> Option<KeyKind> {
    let body = key.strip_prefix("sk_gh")?;
    let mut chars = body.chars();
    let kind = KeyKind::from_letter(chars.next()?)?;
    let rest = chars.as_str().strip_prefix('_')?;
    if rest.len() != BODY + CHECK || !rest.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let (signed, check) = key.split_at(key.len() - CHECK);
    (base62(&crc32fast::hash(signed.as_bytes()).to_be_bytes(), CHECK) == check).then_some(kind)
}

/// The part that may be shown: kind and the first characters. Never enough to guess the rest.
pub fn visible_prefix(key: &str) -> String {
    key.chars().take(12).collect()
}

/// The last four characters before the checksum ends; shown beside the prefix so that people tell keys apart.
pub fn last_four(key: &str) -> String {
    key.chars().skip(key.chars().count().saturating_sub(4)).collect()
}

/// `bytes` as one big-endian number in base 62, left-padded with `0` to `width`.
fn base62(bytes: &[u8], width: usize) -> String {
    let mut number = bytes.to_vec();
    let mut out = vec![b'0'; width];
    for place in out.iter_mut().rev() {
        let mut remainder = 0u32;
        for byte in &mut number {
            let value = remainder << 8 | u32::from(*byte);
            *byte = (value / 62) as u8;
            remainder = value % 62;
        }
        *place = ALPHABET[remainder as usize];
    }
    out.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_one_character_edit_is_refused() {
        for kind in KeyKind::ALL {
            let key = mint(*kind, &[0xfe; 32]);
            assert_eq!(key.len(), 56);
            assert_eq!(checked_kind(&key), Some(*kind));
            for at in 0..key.len() {
                for new in ALPHABET {
                    let mut edited = key.clone().into_bytes();
                    if edited[at] == *new {
                        continue;
                    }
                    edited[at] = *new;
                    assert_eq!(checked_kind(&String::from_utf8(edited).unwrap()), None);
                }
            }
        }
    }

    #[test]
    fn extremes_fit_the_width() {
        assert_eq!(base62(&[0; 32], 43), "0".repeat(43));
        assert_eq!(base62(&[0, 61], 2), "0z");
        assert_eq!(base62(&[62], 2), "10");
        assert_ne!(mint(KeyKind::Tenant, &[255; 32]), mint(KeyKind::Tenant, &[254; 32]));
    }
}
