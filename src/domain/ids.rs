//! The shapes of ids, checked before an id is used for anything (design §13).

use crate::clock::{Millis, SECOND};

/// A new id of ours: a UUIDv7, so that ids sort by the time they were made.
pub fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// Whether `id` has the shape of our own ids.
pub fn is_own_id(id: &str) -> bool {
    id.len() == 36
        && id.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
        })
}

/// Whether `id` is an ObjectId as PostPost writes it: 24 lower-case hex digits.
pub fn is_object_id(id: &str) -> bool {
    id.len() == 24 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// When an ObjectId was made, by the clock of whoever made it, in whole seconds cut off.
pub fn object_id_time(id: &str) -> Option<Millis> {
    let seconds = i64::from_str_radix(id.get(..8)?, 16).ok()?;
    is_object_id(id).then_some(seconds * SECOND)
}

/// Whether `id` is a connected account's: a platform's name, a hyphen, and the platform's own id.
pub fn is_platform_id(id: &str) -> bool {
    id.len() <= 200
        && id.split_once('-').is_some_and(|(platform, own)| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
            !platform.is_empty()
                && platform.bytes().all(|b| b.is_ascii_lowercase())
                && !own.is_empty()
                && own.bytes().all(plain)
        })
}

/// Whether `word` can stand between two slashes of a path that we know nothing else about: an id of some kind, or a name.
pub fn is_path_word(word: &str) -> bool {
    (1..=64).contains(&word.len())
        && word.starts_with(|c: char| c.is_ascii_alphanumeric())
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'))
}

/// A request id taken from a caller: 1 to 64 letters, digits, `-`, `_` or `.`, so that it can stand in a log line.
pub fn is_request_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        assert!(is_own_id(&new_id()));
        assert!(!is_own_id("../../etc/passwd"));
        assert!(is_object_id("507f1f77bcf86cd799439011"));
        for bad in
            ["507F1f77bcf86cd799439011", "507f1f77bcf86cd79943901", "507f1f77bcf86cd79943901g", "", ".."]
        {
            assert!(!is_object_id(bad), "{bad}");
        }
        assert_eq!(object_id_time("507f1f77bcf86cd799439011"), Some(1_350_508_407_000));
        assert_eq!((object_id_time("507f1f77"), object_id_time("é07f1f77bcf86cd799439011")), (None, None));
        for good in ["twitter-1", "telegram--1001", "bluesky-did:plc:a.b"] {
            assert!(is_platform_id(good), "{good}");
        }
        for bad in ["twitter", "-1", "twitter-", "Twitter-1", "x-a/b", "x-..%2f", "x-a b", ".."] {
            assert!(!is_platform_id(bad), "{bad}");
        }
        assert!(is_path_word("folders") && is_path_word("507f_1-A") && is_path_word("bluesky-did:plc:a.b"));
        assert!(!is_path_word("") && !is_path_word("..") && !is_path_word("a/b") && !is_path_word(".b"));
        assert!(is_request_id("abc-1.2_3") && !is_request_id("a b") && !is_request_id(&"x".repeat(65)));
    }
}
