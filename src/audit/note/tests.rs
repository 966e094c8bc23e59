//! Notes against the specifications' own examples, and whatever is written otherwise.

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
    assert!(matches!(public.verify(&Note::parse(&other).unwrap()), Err(Error::Unsigned(_))));
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
    assert!(matches!(public.checkpoint(&key.sign(&foreign.to_string())), Err(Error::Foreign(_))));
}

#[test]
fn signatures_decide() {
    let (key, text) = (key(), checkpoint().to_string());
    let (public, note) = (key.public(), key.sign(&text));
    let other = SigningKey::from_seed("7c1f", &[8; 32]).unwrap();
    let line = |note: &str| note.lines().last().unwrap().to_owned() + "\n";
    // By another key, also one of the same name: not by ours.
    assert!(matches!(public.checkpoint(&other.sign(&text)), Err(Error::Unsigned(_))));
    // Others beside ours are passed over, whatever they are.
    let stranger = format!("\u{2014} witness.example/w {}\n", STANDARD.encode([1, 2, 3, 4, 5]));
    assert!(public.checkpoint(&(note.clone() + &line(&other.sign(&text)) + &stranger)).is_ok());
    // A wrong one under our name and id spoils a right one, before or after it.
    let wrong = line(&key.sign("something else\n"));
    assert!(matches!(public.checkpoint(&(note.clone() + &wrong)), Err(Error::Unsigned(_))));
    let before = format!("{text}\n{wrong}{}", line(&note));
    assert!(matches!(public.checkpoint(&before), Err(Error::Unsigned(_))));
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
