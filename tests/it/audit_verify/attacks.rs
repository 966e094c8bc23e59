//! The attacks: bundles that somebody made of an honest log, with what each verifier must say. Whoever makes them can do one of
//! three things: write to the database (and to what is exported from it) without the key; use the key; or only
//! change what was exported.

use super::log::*;
use flate2::{Compression, write::GzEncoder};
use gatehouse::{
    audit::{
        bundle::{self, Scope},
        entry::canonical,
        note::{self, Checkpoint, Head, SigningKey},
        tree::{digest, leaf_hash},
    },
    clock::{HOUR, MINUTE},
    domain::audit::{Action, Actor, Draft},
};
use serde_json::{Value, json};
use std::io::Write;

/// A bundle, how it is checked, and what must come of it.
pub struct Case {
    pub name: String,
    pub bundle: Vec<u8>,
    /// The key to believe; the honest log's if not said otherwise.
    pub key: Option<String>,
    pub since: Vec<String>,
    pub exit: u8,
    /// The check that fails (docs/audit-format.md §7), and the first bad entry.
    pub check: Option<u8>,
    pub seq: Option<u64>,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// To be caught.
    Attack,
    /// Cannot be caught without something from outside; the case says so, and another one has it.
    Blind,
    /// No attack.
    Honest,
}

struct Cases {
    cases: Vec<Case>,
    /// 64 entries of a life.
    log: Log,
}

const LOG: Scope = Scope::Log {};
const SIZE: u64 = 64;
/// Of an earlier checkpoint.
const EARLIER: u64 = 40;
const PART: &str = "entries/000001.ndjson";
const PROOFS: &str = "proofs/000001.ndjson";

pub fn all() -> Vec<Case> {
    let mut cases = Cases { cases: Vec::new(), log: life(7, SIZE as usize) };
    cases.honest();
    cases.of_entries();
    cases.of_details();
    cases.of_chains();
    cases.of_checkpoints();
    cases.of_time();
    cases.of_proofs();
    cases.of_restores();
    cases.of_notes();
    cases.of_json();
    cases.of_archives();
    cases.cases
}

impl Cases {
    fn add(
        &mut self,
        name: &str,
        bundle: Vec<u8>,
        exit: u8,
        check: impl Into<Option<u8>>,
        seq: impl Into<Option<u64>>,
    ) -> &mut Case {
        assert!(self.cases.iter().all(|case| case.name != name), "{name} twice");
        self.cases.push(Case {
            name: name.to_owned(),
            bundle,
            key: Some(key(1).public().to_string()),
            since: Vec::new(),
            exit,
            check: check.into(),
            seq: seq.into(),
            kind: Kind::Attack,
        });
        self.cases.last_mut().unwrap()
    }

    /// One that nobody can catch without something from outside, and the same with it.
    fn anchored(&mut self, name: &str, bundle: &[u8], anchor: &str, check: u8) {
        self.add(name, bundle.to_vec(), 0, None, None).kind = Kind::Blind;
        self.add(&format!("{name}, with an earlier checkpoint"), bundle.to_vec(), 1, check, None).since =
            vec![anchor.to_owned()];
    }

    /// The honest bundle of a scope, in members.
    fn of(&self, scope: &Scope) -> Members {
        members(&self.log.bundle(scope, SIZE, &[EARLIER]))
    }

    /// The honest whole log with another list of lines; the manifest is made to fit.
    fn with_lines(&self, change: impl FnOnce(&mut Vec<String>)) -> Vec<u8> {
        with_lines_of(self.of(&LOG), PART, change)
    }

    /// A log whose entries were changed, under the honest checkpoint.
    fn under_honest_checkpoint(&self, log: &Log) -> Vec<u8> {
        log.bundle_as(&LOG, log.size(), &self.log.checkpoint(SIZE), None, &[])
    }

    /// The first entry from `from` on that is as asked.
    fn find(&self, from: u64, what: impl Fn(&Stored) -> bool) -> u64 {
        self.log.entries[from as usize..].iter().find(|entry| what(entry)).unwrap().seq
    }

    fn honest(&mut self) {
        let earlier = self.log.checkpoint(EARLIER);
        let notes = vec![earlier.clone(), self.log.checkpoint(SIZE), self.log.checkpoint(0)];
        for (name, scope, exit) in [
            ("the whole log", LOG, 0),
            ("a workspace", workspace("w1"), 0),
            ("a tenant", tenant("w1", "t1"), 0),
            ("a workspace without entries", workspace("w9"), 0),
            ("what a search found", partial(3), 3),
            ("a search that found nothing", partial(1000), 3),
        ] {
            let bundle = self.log.bundle(&scope, SIZE, &[EARLIER]);
            let case = self.add(&format!("honest: {name}"), bundle.clone(), exit, None, None);
            case.kind = Kind::Honest;
            if exit == 3 {
                // Nothing to find in it, and "a search that found nothing" is of entry 0.
                case.since = vec![earlier.clone()];
                continue;
            }
            let case = self.add(
                &format!("honest: {name}, gzip, with earlier checkpoints"),
                gzip(&bundle),
                exit,
                None,
                None,
            );
            case.kind = Kind::Honest;
            case.since = notes.clone();
        }
        let case_key = self.log.bundle(&LOG, SIZE, &[]);
        let case = self.add("honest: no key given", case_key, 3, None, None);
        case.key = None;
        case.kind = Kind::Honest;
        let bundle = self.log.bundle(&tenant("w1", "t1"), SIZE, &[]);
        let case = self.add("honest: no proof from the earlier checkpoint", bundle, 3, None, None);
        case.since = vec![earlier];
        case.kind = Kind::Honest;
        for size in [0, 1] {
            let bundle = self.log.bundle(&LOG, size, &[]);
            self.add(&format!("honest: a log of {size} entries"), bundle, 0, None, None).kind = Kind::Honest;
        }
        let mut erased = self.log.cut(SIZE as usize);
        erased.entries.iter_mut().filter(|e| e.seq.is_multiple_of(2)).for_each(|e| e.details.clear());
        self.add("honest: details erased", erased.bundle(&LOG, SIZE, &[]), 0, None, None).kind = Kind::Honest;
        let mut padded = self.log.bundle(&LOG, SIZE, &[]);
        padded.resize(padded.len().next_multiple_of(10_240), 0);
        self.add("honest: the last record filled up", padded, 0, None, None).kind = Kind::Honest;
    }

    /// Entries edited, removed, added, moved: with the power to write to the database.
    fn of_entries(&mut self) {
        let chained = self.find(20, |e| e.workspace.is_some());
        let alone = self.find(20, |e| e.workspace.is_none());
        let next = self.find(chained + 1, |e| e.workspace == self.log.entries[chained as usize].workspace);

        let bundle =
            self.with_lines(|lines| edit(lines, chained, |text| flip(text, "\"outcome\":", "\"outcome\" :")));
        self.add("a byte of an entry added", bundle, 1, 6, chained);
        let bundle = self.with_lines(|lines| {
            edit(lines, chained, |text| {
                text.replacen("\"jobId\":null", "\"jobId\":\"j\"", 1).replacen("\"job_1\"", "\"job_2\"", 1)
            });
        });
        self.add("an entry edited", bundle, 1, 6, chained);
        let bundle = self.with_lines(|lines| {
            edit(lines, chained, |text| {
                text.replacen("\"jobId\":null", "\"jobId\":\"j\"", 1).replacen("\"job_1\"", "\"job_2\"", 1)
            });
            rehash(lines, chained);
        });
        self.add("an entry edited, with its leaf", bundle, 1, 7, next);
        let bundle = self.with_lines(|lines| {
            edit(lines, alone, |text| {
                text.replacen("\"jobId\":null", "\"jobId\":\"j\"", 1).replacen("\"job_1\"", "\"job_2\"", 1)
            });
            rehash(lines, alone);
        });
        self.add("an entry of no workspace edited, with its leaf", bundle, 1, 8, None);
        let edited = self.log.rewritten(|entries| entries[chained as usize].0["jobId"] = json!("other"));
        self.add(
            "an entry edited, and all after it linked anew",
            self.under_honest_checkpoint(&edited),
            1,
            8,
            None,
        );

        for (name, at) in [("first", 0), ("middle", chained)] {
            let bundle = self.with_lines(|lines| drop(lines.remove(at as usize)));
            self.add(&format!("the {name} entry removed"), bundle, 1, 7, at + 1);
        }
        let bundle = self.with_lines(|lines| lines.truncate(SIZE as usize - 3));
        self.add("the last entries removed", bundle, 1, 8, SIZE - 3);
        let mut all = self.of(&LOG);
        all.retain(|(name, _)| name != PART);
        self.add("all entries removed", seal(&mut all), 1, 8, 0);
        let removed = self.log.rewritten(|entries| drop(entries.remove(chained as usize)));
        self.add(
            "an entry removed, and all after it linked anew",
            self.under_honest_checkpoint(&removed),
            1,
            8,
            SIZE - 1,
        );
        let mut continued = self.log.cut(50);
        grow(&mut continued, &mut crate::support::chance::Chance::new(5), SIZE as usize);
        self.add("truncated and continued", self.under_honest_checkpoint(&continued), 1, 8, None);

        let bundle = self.with_lines(|lines| lines.swap(chained as usize, chained as usize + 1));
        self.add("two entries swapped", bundle, 1, 7, chained + 1);
        let swapped = self.log.rewritten(|entries| {
            let (a, b) = (entries[40].0["at"].clone(), entries[41].0["at"].clone());
            entries.swap(40, 41);
            entries[40].0["at"] = a;
            entries[41].0["at"] = b;
        });
        self.add(
            "two entries swapped, and all after them linked anew",
            self.under_honest_checkpoint(&swapped),
            1,
            8,
            None,
        );
        let bundle = self.with_lines(|lines| lines.insert(chained as usize, lines[chained as usize].clone()));
        self.add("an entry twice", bundle, 1, 7, chained);
        let inserted = self.log.rewritten(|entries| {
            let mut other = entries[chained as usize].clone();
            other.0["jobId"] = json!("inserted");
            entries.insert(chained as usize, other);
        });
        self.add("an entry inserted", self.under_honest_checkpoint(&inserted), 1, 7, SIZE);
        let replaced = self.log.rewritten(|entries| {
            entries.pop();
            entries.insert(chained as usize, entries[chained as usize].clone());
        });
        self.add(
            "an entry inserted, and the last one dropped for it",
            self.under_honest_checkpoint(&replaced),
            1,
            8,
            None,
        );

        let wrong_leaf = self.with_lines(|lines| {
            let line = &mut lines[chained as usize];
            let at = line.find(",\"leaf\":\"").unwrap() + 9;
            let other = if line[at..].starts_with('0') { "1" } else { "0" };
            line.replace_range(at..=at, other);
        });
        self.add("another leaf beside an entry", wrong_leaf, 1, 6, chained);
        // Hashed without the prefixes that tell leaves from nodes.
        let bundle = self.with_lines(|lines| {
            for line in lines {
                let entry = line[9..line.find(",\"leaf\":\"").unwrap()].to_owned();
                set_leaf(line, &hex::encode(digest(&[entry.as_bytes()])));
            }
        });
        self.add("leaves hashed as if there were no nodes", bundle, 1, 6, 0);
        let (a, b) = (self.log.entries[0].leaf, self.log.entries[1].leaf);
        let bundle = self.with_lines(|lines| {
            let node = [&[1][..], &a, &b].concat();
            let node = String::from_utf8_lossy(&node).into_owned();
            lines.splice(
                0..2,
                [format!("{{\"entry\":{node},\"leaf\":\"{}\",\"details\":[]}}", hex::encode(leaf_hash(b"")))],
            );
        });
        self.add("a node as an entry", bundle, 2, 5, None);
    }

    fn of_details(&mut self) {
        let two = |e: &Stored| e.details.len() == 2 && e.details[1].part == "reason";
        let at = self.find(10, two);
        let other = self
            .find(at + 1, |e| two(e) && e.details[1].body != self.log.entries[at as usize].details[1].body);
        let mut with = |name: &str, change: &dyn Fn(&mut Vec<Value>, &[Value])| {
            let bundle = self.with_lines(|lines| {
                let from = details_of(&lines[other as usize]);
                let line = &mut lines[at as usize];
                let mut details = details_of(line);
                change(&mut details, &from);
                let end = line.find(",\"details\":").unwrap() + 11;
                line.replace_range(end.., &format!("{}}}", json!(details)));
            });
            self.add(name, bundle, 1, 6, at);
        };
        with("a detail's text changed", &|details, _| details[1]["body"] = json!("\"something else\""));
        with("the salts of two details swapped", &|details, _| {
            let salt = details[0]["salt"].take();
            details[0]["salt"] = details[1]["salt"].take();
            details[1]["salt"] = salt;
        });
        with("a detail of another entry", &|details, from| details[1] = from[1].clone());
        with("a detail under another name", &|details, _| details[1]["part"] = json!("change"));
        with("a detail that is not committed to", &|details, from| {
            details.push(json!({ "part": "change", "salt": from[0]["salt"], "body": "{}" }));
        });
        with("a detail twice", &|details, _| details.push(details[1].clone()));
        // The border between salt and text cannot be moved: the salt's length is fixed.
        let bundle = self.with_lines(|lines| {
            let line = &mut lines[at as usize];
            let mut details = details_of(line);
            let salt = details[1]["salt"].as_str().unwrap().to_owned();
            details[1]["salt"] = json!(salt[..62]);
            let end = line.find(",\"details\":").unwrap() + 11;
            line.replace_range(end.., &format!("{}}}", json!(details)));
        });
        self.add("a shorter salt", bundle, 2, 5, at);
    }

    /// What is left out of a workspace's or tenant's entries, or moved between them.
    fn of_chains(&mut self) {
        let (t1, t2) = (tenant("w1", "t1"), tenant("w1", "t2"));
        let own: Vec<u64> = seqs(&self.of(&t1));
        let foreign = seqs(&self.of(&t2));
        let without = |log: &Cases, scope: &Scope, at: &[usize]| {
            let mut members = log.of(scope);
            for name in [PART, PROOFS] {
                let mut index = 0;
                change_lines(&mut members, name, |lines| {
                    lines.retain(|_| {
                        index += 1;
                        !at.contains(&(index - 1))
                    });
                });
            }
            seal(&mut members)
        };
        self.add("the first of a tenant's entries left out", without(self, &t1, &[0]), 1, 7, own[1]);
        self.add("one of a tenant's entries left out", without(self, &t1, &[1]), 1, 7, own[2]);
        self.add("the last of a tenant's entries left out", without(self, &t1, &[own.len() - 1]), 1, 9, None);
        let of_w1 = seqs(&self.of(&workspace("w1")));
        self.add(
            "one of a workspace's entries left out",
            without(self, &workspace("w1"), &[2]),
            1,
            7,
            of_w1[3],
        );
        let mut none = self.of(&t1);
        none.retain(|(name, _)| name != PART && name != PROOFS);
        self.add("all of a tenant's entries left out", seal(&mut none), 1, 9, None);

        // Another tenant's entry among them, with its right proof.
        let mut members = self.of(&t1);
        let theirs = self.of(&t2);
        let place = own.iter().filter(|seq| **seq < foreign[1]).count();
        for name in [PART, PROOFS] {
            let line = lines(&theirs.iter().find(|(n, _)| n == name).unwrap().1)[1].clone();
            change_lines(&mut members, name, |lines| lines.insert(place, line));
        }
        self.add("another tenant's entry among them", seal(&mut members), 1, 7, foreign[1]);

        let moved = self.log.rewritten(|entries| entries[foreign[1] as usize].0["tenant"] = json!("t1"));
        self.add("an entry moved to another tenant", self.under_honest_checkpoint(&moved), 1, 8, None);
        let (checkpoint, head) = (self.log.checkpoint(SIZE), self.log.head(&t1, SIZE));
        let bundle = moved.bundle_as(&t1, SIZE, &checkpoint, head, &[]);
        let first = own.iter().chain([&foreign[1]]).min().copied();
        self.add("an entry moved to another tenant, in its bundle", bundle, 1, 8, first);

        for (name, note, check) in [
            ("the head of another tenant", self.log.head(&t2, SIZE), 4),
            ("an older head", self.log.head(&t1, EARLIER), 4),
            (
                "a head by another key",
                Some(
                    key(2).sign(&Head::parse(text(&self.log.head(&t1, SIZE).unwrap())).unwrap().to_string()),
                ),
                3,
            ),
        ] {
            let mut members = self.of(&t1);
            *member(&mut members, "head.note") = note.unwrap().into_bytes();
            self.add(name, seal(&mut members), 1, check, None);
        }
        // The head is the key's word: whoever has the key can leave the last ones out, as long as nobody sees the whole log.
        let head = Head::parse(text(&self.log.head(&t1, SIZE).unwrap())).unwrap();
        let lying = Head {
            count: head.count - 1,
            last: Some(self.log.entries[own[own.len() - 2] as usize].leaf),
            ..head
        };
        let mut members = members_of_tar(&without(self, &t1, &[own.len() - 1]));
        *member(&mut members, "head.note") = self.log.key.sign(&lying.to_string()).into_bytes();
        self.add("the key holder's head leaves the last entry out", seal(&mut members), 0, None, None).kind =
            Kind::Blind;
    }

    /// Rewritten, forked, rolled back: what an earlier checkpoint is for.
    fn of_checkpoints(&mut self) {
        let (anchor, earlier) = (self.log.checkpoint(SIZE), self.log.checkpoint(EARLIER));
        let old = self.log.bundle(&LOG, EARLIER, &[]);
        self.anchored("an older bundle given again", &old, &anchor, 11);
        let rewritten = self.log.rewritten(|entries| entries[50].0["jobId"] = json!("rewritten"));
        self.anchored("the key holder rewrites an entry", &rewritten.bundle(&LOG, SIZE, &[]), &anchor, 11);
        let case = self.add(
            "the key holder rewrites what follows the last earlier checkpoint",
            rewritten.bundle(&LOG, SIZE, &[]),
            0,
            None,
            None,
        );
        case.since = vec![earlier.clone()];
        case.kind = Kind::Blind;
        let mut longer = self.log.rewritten(|entries| entries[30].0["jobId"] = json!("rewritten"));
        grow(&mut longer, &mut crate::support::chance::Chance::new(3), SIZE as usize + 9);
        let size = longer.size();
        self.anchored(
            "the key holder rewrites an entry, and the log grows",
            &longer.bundle(&LOG, size, &[]),
            &anchor,
            11,
        );
        let t1 = tenant("w1", "t1");
        self.anchored("the same, in a tenant's bundle", &longer.bundle(&t1, size, &[SIZE]), &anchor, 11);
        let case = self.add("the same, without the proof", longer.bundle(&t1, size, &[]), 3, None, None);
        case.since = vec![anchor.clone()];
        let honest = members(&self.log.bundle(&t1, SIZE, &[EARLIER]));
        let with_consistency = |content: &str| {
            let mut members = honest.clone();
            *member(&mut members, "consistency.ndjson") = content.as_bytes().to_vec();
            seal(&mut members)
        };
        let case = self.add(
            "an empty consistency proof",
            with_consistency("{\"size\":40,\"proof\":[]}\n"),
            1,
            11,
            None,
        );
        case.since = vec![earlier.clone()];
        let proof = lines(&honest.iter().find(|(n, _)| n == "consistency.ndjson").unwrap().1)[0].clone();
        let more = proof.replace("]}", &format!(",\"{}\"]}}\n", note::base64(&[0; 32])));
        let case = self.add("a consistency proof with one hash more", with_consistency(&more), 1, 11, None);
        case.since = vec![earlier.clone()];
        let before =
            proof.replace("\"proof\":[", &format!("\"proof\":[\"{}\",", note::base64(&[0; 32]))) + "\n";
        let case =
            self.add("a consistency proof with one hash before", with_consistency(&before), 1, 11, None);
        case.since = vec![earlier.clone()];

        let mut restored = self.log.cut(EARLIER as usize);
        grow(&mut restored, &mut crate::support::chance::Chance::new(4), SIZE as usize + 5);
        let size = restored.size();
        self.anchored(
            "an older database restored without a word",
            &restored.bundle(&LOG, size, &[]),
            &anchor,
            11,
        );
        self.anchored("the whole log deleted", &self.log.bundle(&LOG, 0, &[]), &anchor, 11);
        let other = life(8, SIZE as usize);
        self.anchored("another log under the same key", &other.bundle(&LOG, SIZE, &[]), &anchor, 11);

        // Without the key, a checkpoint can only be signed by another.
        let forger = forged(&self.log, 2);
        self.add("a checkpoint by another key of the same name", forger.bundle(&LOG, SIZE, &[]), 1, 3, None);
        let case = self.add(
            "a checkpoint by another key, and no key given",
            forger.bundle(&LOG, SIZE, &[]),
            3,
            None,
            None,
        );
        case.key = None;
        case.kind = Kind::Blind;
        let case =
            self.add("an earlier checkpoint by another key", self.log.bundle(&LOG, SIZE, &[]), 1, 3, None);
        case.since = vec![forger.checkpoint(EARLIER)];
        let note = self.log.checkpoint(SIZE);
        for (name, checkpoint) in [
            ("size", note.replacen("\n64\n", "\n63\n", 1)),
            ("root", note.replacen(&note::base64(&self.log.root(SIZE)), &note::base64(&[9; 32]), 1)),
        ] {
            let size = if name == "size" { SIZE - 1 } else { SIZE };
            let bundle = self.log.bundle_as(&LOG, size, &checkpoint, None, &[]);
            self.add(&format!("a checkpoint with another {name}"), bundle, 1, 3, None);
        }
        // Its own vkey says nothing where a key is given.
        let mut members = self.of(&LOG);
        *member(&mut members, "key.vkey") = format!("{}\n", key(2).public()).into_bytes();
        self.add("honest: another public key beside it", seal(&mut members), 0, None, None).kind =
            Kind::Honest;
    }

    fn of_time(&mut self) {
        let at = self.find(30, |e| e.at > self.log.entries[e.seq as usize - 1].at);
        let early = self.log.rewritten(|entries| {
            entries[at as usize].0["at"] = json!(gatehouse::domain::times::to_iso(BEGAN - HOUR));
        });
        self.add("an entry dated before the one before it", early.bundle(&LOG, SIZE, &[]), 1, 7, at);
        let before = self.log.entries[at as usize - 1].at;
        let backdated = self.log.rewritten(|entries| {
            entries[at as usize].0["at"] = json!(gatehouse::domain::times::to_iso(before))
        });
        self.add("an entry backdated", self.under_honest_checkpoint(&backdated), 1, 8, None);
        let mut silent = self.log.cut(SIZE as usize);
        let system = Actor::system("audit");
        silent.append(silent.last_at() + 2 * HOUR, &Draft::done(&system, Action::PostDelete));
        self.add("two hours without a word", silent.bundle(&LOG, SIZE + 1, &[]), 3, None, None);
        let mut stopped = self.log.cut(SIZE as usize);
        stopped.append(stopped.last_at() + 2 * HOUR, &Draft::done(&system, Action::AuditStart));
        self.add("honest: stopped for two hours", stopped.bundle(&LOG, SIZE + 1, &[]), 0, None, None).kind =
            Kind::Honest;
        let mut kept = self.log.cut(SIZE as usize);
        kept.append(kept.last_at() + 65 * MINUTE, &Draft::done(&system, Action::AuditHeartbeat));
        self.add("honest: 65 minutes", kept.bundle(&LOG, SIZE + 1, &[]), 0, None, None).kind = Kind::Honest;
        let mut silent = self.log.cut(SIZE as usize);
        silent.append(silent.last_at() + 65 * MINUTE + 1, &Draft::done(&system, Action::AuditHeartbeat));
        self.add("a millisecond more than 65 minutes", silent.bundle(&LOG, SIZE + 1, &[]), 3, None, None);
    }

    fn of_proofs(&mut self) {
        let scope = partial(3);
        let seqs = seqs(&self.of(&scope));
        let mut with = |name: &str, seq: Option<u64>, change: &dyn Fn(&mut Vec<String>)| {
            let bundle = with_lines_of(self.of(&scope), PROOFS, change);
            self.add(name, bundle, 1, 8, seq);
        };
        let zero = note::base64(&[0; 32]);
        with("a proof with one hash more", Some(seqs[4]), &|lines| {
            lines[4] = lines[4].replace("]}", &format!(",\"{zero}\"]}}"))
        });
        with("a proof with one hash before", Some(seqs[4]), &|lines| {
            lines[4] = lines[4].replace("\"proof\":[", &format!("\"proof\":[\"{zero}\","));
        });
        with("a proof with one hash less", Some(seqs[4]), &|lines| {
            let end = lines[4].rfind(",\"").unwrap();
            lines[4].replace_range(end.., "]}");
        });
        with("an empty proof", Some(seqs[4]), &|lines| {
            lines[4] = format!("{{\"seq\":{},\"proof\":[]}}", seqs[4])
        });
        with("a bit of a proof flipped", Some(seqs[4]), &|lines| {
            let at = lines[4].find("\"proof\":[\"").unwrap() + 10;
            let other = if lines[4][at..].starts_with('A') { "B" } else { "A" };
            lines[4].replace_range(at..=at, other);
        });
        with("two proofs swapped", Some(seqs[4]), &|lines| lines.swap(4, 5));
        with("a proof under another number", Some(seqs[4]), &|lines| {
            lines[4] =
                lines[5].replacen(&format!("{{\"seq\":{},", seqs[5]), &format!("{{\"seq\":{},", seqs[4]), 1);
        });
        with("the last proof missing", seqs.last().copied(), &|lines| drop(lines.pop()));
        with("a proof too many", Some(seqs[4]), &|lines| lines.push(lines[4].clone()));
        // Entries after the checkpoint's size.
        let short = self.log.bundle_as(&scope, SIZE, &self.log.checkpoint(EARLIER), None, &[]);
        let first = seqs.iter().find(|seq| **seq >= EARLIER).copied();
        self.add("entries behind the checkpoint's size", short, 1, 7, first);
        let edited = self.log.rewritten(|entries| entries[seqs[4] as usize].0["jobId"] = json!("other"));
        let bundle = edited.bundle_as(&scope, SIZE, &self.log.checkpoint(SIZE), None, &[]);
        self.add("an entry edited in what a search found", bundle, 1, 8, seqs[0]);
    }

    fn of_restores(&mut self) {
        let anchor = self.log.checkpoint(SIZE);
        let earlier = self.log.checkpoint(EARLIER);
        let mut restored = self.log.cut(50);
        restored.restore(50, self.log.entries[49].at + 9 * HOUR, 2);
        grow(&mut restored, &mut crate::support::chance::Chance::new(6), 90);
        let (whole, t1) =
            (restored.bundle(&LOG, 90, &[]), restored.bundle(&tenant("w1", "t1"), 90, &[50, 60]));
        let known = restored.checkpoint(60);
        for (name, bundle, since, exit, check) in [
            ("restored, and nothing known of it", &whole, vec![], 3, None),
            ("restored, and known", &whole, vec![known.clone()], 0, None),
            (
                "restored, and an earlier checkpoint still holds",
                &whole,
                vec![earlier.clone(), known.clone()],
                0,
                None,
            ),
            ("restored, and entries were lost", &whole, vec![anchor.clone(), known.clone()], 3, None),
            ("restored, a tenant's bundle", &t1, vec![], 3, None),
            ("restored, a tenant's bundle, and known", &t1, vec![known.clone()], 0, None),
            ("restored, a tenant's bundle, and entries were lost", &t1, vec![anchor.clone(), known], 3, None),
        ] {
            let case = self.add(name, bundle.clone(), exit, check, None);
            case.since = since;
            case.kind = if exit == 0 { Kind::Honest } else { Kind::Attack };
        }
        let rewritten = restored.rewritten(|entries| entries[20].0["jobId"] = json!("rewritten"));
        let case =
            self.add("rewritten under cover of a restore", rewritten.bundle(&LOG, 90, &[]), 1, 11, None);
        case.since = vec![earlier];
        let old = self.log.bundle(&LOG, SIZE, &[]);
        let case = self.add("a bundle of the epoch before, given again", old, 1, 11, None);
        case.since = vec![restored.checkpoint(60)];
        let mut unsaid = self.log.cut(SIZE as usize);
        unsaid.epoch = 2;
        self.add("an epoch that no entry began", unsaid.bundle(&LOG, SIZE, &[]), 1, 10, None);
        restored.epoch = 1;
        self.add("a restore, and still the first epoch", restored.bundle(&LOG, 90, &[]), 1, 10, None);
        restored.epoch = 3;
        self.add("a restore to another epoch", restored.bundle(&LOG, 90, &[]), 1, 10, None);
        let mut nameless = self.log.cut(50);
        nameless.append(nameless.last_at(), &Draft::done(&Actor::system("cli"), Action::AuditRestore));
        self.add("a restore without an epoch", nameless.bundle(&LOG, 51, &[]), 1, 10, 50);
        let mut torn = self.log.cut(50);
        torn.epoch = 2;
        let two = Draft::done(&Actor::system("cli"), Action::AuditRestore)
            .target("epoch", "2")
            .target("epoch", "3");
        torn.append(torn.last_at(), &two);
        self.add("a restore to two epochs", torn.bundle(&LOG, 51, &[]), 1, 10, 50);
    }

    fn of_notes(&mut self) {
        let note = self.log.checkpoint(SIZE);
        let signature = note.lines().last().unwrap().to_owned();
        let stranger = format!("\u{2014} witness.example/w {}\n", note::base64(&[5; 32]));
        let text = note.split("\n\n").next().unwrap().to_owned() + "\n";
        let with = |cases: &Cases, note: &[u8]| {
            let mut members = cases.of(&LOG);
            *member(&mut members, "checkpoint.note") = note.to_vec();
            seal(&mut members)
        };
        let sign = |text: &str| key(1).sign(text).into_bytes();
        let padded = text.replacen("\n64\n", "\n064\n", 1);
        let huge = text.replacen("\n64\n", "\n9223372036854775808\n", 1);
        let root = note::base64(&self.log.root(SIZE));
        // The last character before the padding, with bits that say nothing.
        let odd = (root.as_bytes()[42] + 1) as char;
        let bits = text.replacen(&root, &format!("{}{odd}=", &root[..42]), 1);
        for (name, bytes) in [
            ("no empty line", note.replacen("\n\n", "\n", 1).into_bytes()),
            ("no signature", (text.clone() + "\n").into_bytes()),
            ("seventeen signatures", (note.clone() + &stranger.repeat(16)).into_bytes()),
            ("a control character", note.replacen("\n64\n", "\n64\r\n", 1).into_bytes()),
            ("no UTF-8", [&[0xff], note.as_bytes()].concat()),
            ("no newline at its end", note.trim_end().as_bytes().to_vec()),
            ("a signature that is none", (note.clone() + "\u{2014} a b\n").into_bytes()),
            ("a size with a leading zero", sign(&padded)),
            ("a size beyond all numbers", sign(&huge)),
            ("a root that is not canonical", sign(&bits)),
            (
                "a root of 31 bytes",
                sign(&text.replacen(&root, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", 1)),
            ),
            ("an extension line", sign(&(text.clone() + "extension\n"))),
            ("no origin", sign(&text.replacen("gatehouse-audit/5f0c1d9e", "", 1))),
        ] {
            self.add(&format!("a checkpoint with {name}"), with(self, &bytes), 2, 2, None);
        }
        let wrong = key(1).sign("other\n").lines().last().unwrap().to_owned() + "\n";
        self.add(
            "a wrong signature beside the right one",
            with(self, (note.clone() + &wrong).as_bytes()),
            1,
            3,
            None,
        );
        let first = format!("{text}\n{wrong}{signature}\n");
        self.add("a wrong signature before the right one", with(self, first.as_bytes()), 1, 3, None);
        let case = with(self, (note.clone() + &stranger.repeat(15)).as_bytes());
        self.add("honest: signatures of others beside it", case, 0, None, None).kind = Kind::Honest;
        for (name, origin) in [
            ("of another log", "gatehouse-audit/0000"),
            ("of epoch 1", "gatehouse-audit/5f0c1d9e/1"),
            ("of epoch 02", "gatehouse-audit/5f0c1d9e/02"),
            ("that only begins alike", "gatehouse-audit/5f0c1d9e0"),
        ] {
            let checkpoint = Checkpoint { origin: origin.into(), size: SIZE, root: self.log.root(SIZE) };
            let note = self.log.key.sign(&checkpoint.to_string());
            let bundle = self.log.bundle_as(&LOG, SIZE, &note, None, &[]);
            self.add(&format!("an origin {name}"), bundle, 1, 4, None);
        }
        let honest = self.log.bundle(&LOG, SIZE, &[]);
        let case = self.add("an earlier checkpoint that is none", honest, 2, 2, None);
        case.since = vec!["nothing\n".into()];
        for (name, from, to) in [("size", "\"size\":64", "\"size\":63"), ("origin", "5f0c1d9e", "5f0c1d9f")] {
            let mut members = self.of(&LOG);
            replace(member(&mut members, "bundle.json"), from, to);
            self.add(&format!("another {name} in bundle.json"), seal(&mut members), 1, 4, None);
        }
        let other_log = SigningKey::from_seed("0000", &[1; 32]).unwrap();
        let case = self.add("the key of another log", self.log.bundle(&LOG, SIZE, &[]), 1, 3, None);
        case.key = Some(other_log.public().to_string());
    }

    fn of_json(&mut self) {
        let at = self.find(20, |e| e.workspace.is_some() && !e.details.is_empty());
        let entry = String::from_utf8(self.log.entries[at as usize].bytes.clone()).unwrap();
        let mut with_entry = |name: &str, seq: Option<u64>, other: String| {
            let bundle = self.with_lines(|lines| {
                let line = &mut lines[at as usize];
                line.replace_range(9..9 + entry.len(), &other);
                rehash(lines, at);
            });
            assert_ne!(other, entry, "{name}");
            self.add(&format!("an entry with {name}"), bundle, 2, 5, seq);
        };
        let seq = format!("\"seq\":{at},\"targets\"");
        with_entry(
            "a member twice",
            None,
            entry.replacen("{\"action\":", "{\"action\":\"x\",\"action\":", 1),
        );
        with_entry("an unknown member", None, entry.replacen("{\"action\":", "{\"aaa\":1,\"action\":", 1));
        with_entry("a missing member", None, entry.replacen(",\"v\":1", "", 1));
        with_entry("a missing member that may be null", None, cut_member(&entry, "opId"));
        with_entry(
            "an unknown member of its actor",
            None,
            entry.replacen("\"actor\":{", "\"actor\":{\"aaa\":1,", 1),
        );
        with_entry(
            "a member of its actor twice",
            None,
            entry.replacen("\"actor\":{", "\"actor\":{\"id\":\"x\",", 1),
        );
        with_entry("another version", Some(at), entry.replacen("\"v\":1", "\"v\":2", 1));
        with_entry("a fraction", None, entry.replacen("\"v\":1", "\"v\":1.0", 1));
        with_entry(
            "an exponent",
            None,
            entry.replacen(&seq, &seq.replace(&at.to_string(), &format!("{at}e0")), 1),
        );
        with_entry("minus nothing", None, entry.replacen(&seq, "\"seq\":-0,\"targets\"", 1));
        with_entry(
            "a leading zero",
            None,
            entry.replacen(&seq, &seq.replace(&at.to_string(), &format!("0{at}")), 1),
        );
        with_entry(
            "a number as text",
            None,
            entry.replacen(&seq, &seq.replace(&at.to_string(), &format!("\"{at}\"")), 1),
        );
        with_entry("a huge number", None, entry.replacen(&seq, "\"seq\":9223372036854775808,\"targets\"", 1));
        with_entry("another outcome", Some(at), replace_member(&entry, "outcome", "\"perhaps\""));
        with_entry(
            "a time that is none",
            Some(at),
            replace_member(&entry, "at", "\"2026-02-30T10:00:00.000Z\""),
        );
        with_entry(
            "a time in another notation",
            Some(at),
            replace_member(&entry, "at", "\"2026-03-15T10:00:00Z\""),
        );
        with_entry("half a surrogate", None, replace_member(&entry, "action", "\"\\ud800\""));
        with_entry("a commitment in upper case", Some(at), upper_commitment(&entry));
        with_entry(
            "a commitment of another name",
            None,
            entry.replacen("\"commitments\":{", "\"commitments\":{\"aaa\":\"\",", 1),
        );
        with_entry("no number in its workspace", Some(at), replace_member(&entry, "inWorkspace", "null"));
        with_entry("something behind it", Some(at), format!("{entry}0"));
        with_entry("a list instead", None, "[]".into());
        let mut with_line = |name: &str, seq: Option<u64>, change: &dyn Fn(&str) -> String| {
            let bundle = self.with_lines(|lines| lines[at as usize] = change(&lines[at as usize]));
            self.add(&format!("a line with {name}"), bundle, 2, 5, seq);
        };
        with_line("a space before the entry", None, &|line| {
            line.replacen("{\"entry\":{", "{\"entry\": {", 1)
        });
        with_line("a space behind the entry", Some(at), &|line| {
            line.replacen(",\"leaf\":\"", " ,\"leaf\":\"", 1)
        });
        with_line("something behind it", Some(at), &|line| line.to_owned() + "x");
        with_line("a space behind it", Some(at), &|line| line.to_owned() + " ");
        with_line("a carriage return", Some(at), &|line| line.to_owned() + "\r");
        with_line("another member", Some(at), &|line| line[..line.len() - 1].to_owned() + ",\"x\":1}");
        with_line("its leaf in upper case", Some(at), &|line| {
            let leaf = line.find(",\"leaf\":\"").unwrap() + 9;
            let upper = line[leaf..leaf + 64].to_uppercase();
            line.replacen(&line[leaf..leaf + 64], &upper, 1)
        });
        with_line("no details", Some(at), &|line| {
            line[..line.find(",\"details\"").unwrap()].to_owned() + "}"
        });
        with_line("an unknown member of a detail", Some(at), &|line| {
            line.replacen("\"details\":[{", "\"details\":[{\"x\":1,", 1)
        });
        with_line("a member of a detail twice", Some(at), &|line| {
            line.replacen("\"details\":[{", "\"details\":[{\"part\":\"names\",", 1)
        });
        with_line("an unknown detail", Some(at), &|line| {
            line.replacen(
                "\"details\":[",
                &format!(
                    "\"details\":[{{\"part\":\"notes\",\"salt\":\"{}\",\"body\":\"\"}},",
                    "0".repeat(64)
                ),
                1,
            )
        });
        with_line("nothing in it", None, &|_| String::new());
        let bundle = self.with_lines(|lines| {
            let last = lines.len() - 1;
            let end = lines[last].len() - 9;
            lines[last].truncate(end);
        });
        self.add("the last line cut", bundle, 2, 5, SIZE - 1);
        let mut members = self.of(&LOG);
        member(&mut members, PART).pop();
        self.add("no newline at the end of a part", seal(&mut members), 2, 5, None);

        let t1 = tenant("w1", "t1");
        for (name, scope, of, from, to) in [
            ("a format of another version", &LOG, "bundle.json", "/v1\"", "/v2\""),
            ("a member twice in bundle.json", &LOG, "bundle.json", "{\"format\"", "{\"size\":64,\"format\""),
            ("an unknown member in bundle.json", &LOG, "bundle.json", "{\"format\"", "{\"x\":64,\"format\""),
            ("an unknown scope", &LOG, "bundle.json", "\"type\":\"log\"", "\"type\":\"all\""),
            (
                "an unknown member of the scope",
                &LOG,
                "bundle.json",
                "\"type\":\"log\"",
                "\"type\":\"log\",\"x\":1",
            ),
            (
                "a member of the scope twice",
                &t1,
                "bundle.json",
                "\"type\":\"tenant\"",
                "\"type\":\"tenant\",\"tenant\":\"t1\"",
            ),
            ("something behind bundle.json", &LOG, "bundle.json", "Z\"}", "Z\"}x"),
            ("a proof's member twice", &t1, PROOFS, "{\"seq\":", "{\"seq\":1,\"seq\":"),
            ("an unknown member of a proof", &t1, PROOFS, "{\"seq\":", "{\"x\":1,\"seq\":"),
            (
                "earlier sizes that do not rise",
                &t1,
                "consistency.ndjson",
                "{\"size\":40",
                "{\"size\":40,\"proof\":[]}\n{\"size\":40",
            ),
            (
                "a consistency proof's member twice",
                &t1,
                "consistency.ndjson",
                "{\"size\":",
                "{\"size\":1,\"size\":",
            ),
        ] {
            let mut members = self.of(scope);
            replace(member(&mut members, of), from, to);
            self.add(name, seal(&mut members), 2, 5, None);
        }
        let mut members = self.of(&t1);
        change_lines(&mut members, PROOFS, |lines| {
            let end = lines[0].rfind("=\"]").unwrap();
            let odd = (lines[0].as_bytes()[end - 1] + 1) as char;
            lines[0].replace_range(end - 1..end, &odd.to_string());
        });
        let first = seqs(&members)[0];
        self.add("a proof that is not canonical", seal(&mut members), 2, 5, first);
        for (name, from, to, exit, check) in [
            ("a member twice in the manifest", "{\"count\"", "{\"lastSeq\":63,\"count\"", 2, 5),
            ("an unknown member in the manifest", "{\"count\"", "{\"x\":63,\"count\"", 2, 5),
            ("something behind the manifest's value", "]}", "]} x", 2, 5),
            ("another count in the manifest", "{\"count\":64", "{\"count\":63", 1, 14),
            ("another first number in the manifest", "\"firstSeq\":0", "\"firstSeq\":1", 1, 14),
            ("another last number in the manifest", "\"lastSeq\":63", "\"lastSeq\":null", 1, 14),
            ("another name in the manifest", "\"name\":\"key.vkey\"", "\"name\":\"key.vkex\"", 1, 14),
        ] {
            let mut members = self.of(&LOG);
            replace(member(&mut members, "manifest.json"), from, to);
            self.add(name, pack(&members), exit, check, None);
        }
        let mut members = self.of(&LOG);
        member(&mut members, "consistency.ndjson").clear();
        self.add("a member with another hash than the manifest's", pack(&members), 1, 14, None);
        let mut members = self.of(&LOG);
        let mut manifest: Value = serde_json::from_slice(member(&mut members, "manifest.json")).unwrap();
        manifest["members"].as_array_mut().unwrap().remove(0);
        *member(&mut members, "manifest.json") = canonical(&manifest).into_bytes();
        self.add("a member that the manifest does not list", pack(&members), 1, 14, None);
    }

    fn of_archives(&mut self) {
        let honest = self.log.bundle(&LOG, SIZE, &[EARLIER]);
        let mut with = |name: &str, bundle: Vec<u8>| {
            self.add(name, bundle, 2, 1, None);
        };
        let raw = |change: &dyn Fn(&mut tar::Header)| {
            let mut header = tar::Header::from_byte_slice(&honest[..512]).clone();
            change(&mut header);
            let mut other = honest.clone();
            other[..512].copy_from_slice(header.as_bytes());
            other
        };
        with("nothing at all", Vec::new());
        with("something else", b"PK\x03\x04".repeat(1000));
        with("an archive cut in the middle", honest[..honest.len() / 2].to_vec());
        with("an archive cut before its end", honest[..honest.len() - 1024].to_vec());
        with("an archive with half of its end", honest[..honest.len() - 512].to_vec());
        with("an archive with an odd end", [&honest[..], &[0; 100]].concat());
        with("something behind the archive", [&honest[..], &[1; 512]].concat());
        with("another archive behind the archive", [&honest[..], &honest[..]].concat());
        with("an endless end", [&honest[..], &[0; 512 * 20]].concat());
        with("something behind the gzip stream", [&gzip(&honest)[..], b"x"].concat());
        with(
            "another gzip stream behind it",
            [gzip(&honest[..honest.len() - 512]), gzip(&[0; 512])].concat(),
        );
        let zipped = gzip(&honest);
        with("a gzip stream cut", zipped[..zipped.len() - 4].to_vec());
        let mut broken = zipped.clone();
        let crc = broken.len() - 8;
        broken[crc] ^= 1;
        with("a gzip stream with another checksum", broken);
        with(
            "a link",
            raw(&|header| {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_cksum();
            }),
        );
        with(
            "an extended header",
            raw(&|header| {
                header.set_entry_type(tar::EntryType::XHeader);
                header.set_cksum();
            }),
        );
        with(
            "an old kind of archive",
            raw(&|header| {
                header.as_ustar_mut().unwrap().magic = *b"ustar ";
                header.set_cksum();
            }),
        );
        with("a header with another checksum", raw(&|header| header.as_mut_bytes()[148] ^= 1));
        with(
            "a size that is no number",
            raw(&|header| {
                header.as_old_mut().size = *b"0000000009x\0";
                header.set_cksum();
            }),
        );
        with(
            "a size in base 256",
            raw(&|header| {
                let size = header.size().unwrap();
                header.as_old_mut().size = [0; 12];
                header.as_old_mut().size[0] = 0x80;
                header.as_old_mut().size[4..].copy_from_slice(&size.to_be_bytes());
                header.set_cksum();
            }),
        );
        let mut padding = honest.clone();
        padding[1023] = 1;
        with("something in the padding", padding);
        let members = members_of_tar(&honest);
        let changed = |change: &dyn Fn(&mut Members)| {
            let mut other = members.clone();
            change(&mut other);
            pack(&other)
        };
        with("the members in another order", changed(&|members| members.swap(1, 2)));
        with(
            "a member that does not belong",
            changed(&|members| members.insert(4, ("notes.txt".into(), Vec::new()))),
        );
        with("a member missing", changed(&|members| drop(members.remove(1))));
        with("no manifest", changed(&|members| drop(members.pop())));
        with("something behind the manifest", changed(&|members| members.push(("more".into(), Vec::new()))));
        with("a part with another number", changed(&|members| members[4].0 = "entries/000002.ndjson".into()));
        with("an empty part", changed(&|members| members[4].1.clear()));
        with(
            "a head in the bundle of a whole log",
            changed(&|members| {
                members.insert(3, ("head.note".into(), members[2].1.clone()));
            }),
        );
        with(
            "a path out of the archive",
            changed(&|members| members[4].0 = "../entries/000001.ndjson".into()),
        );
        let mut partial_log = self.of(&partial(1));
        replace(
            member(&mut partial_log, "bundle.json"),
            "{\"type\":\"partial\",\"filter\":\"1\"}",
            "{\"type\":\"log\"}",
        );
        self.add("proofs in the bundle of a whole log", seal(&mut partial_log), 2, 1, None);
        let mut partial_log = self.of(&partial(2));
        replace(
            member(&mut partial_log, "bundle.json"),
            "{\"type\":\"partial\",\"filter\":\"2\"}",
            "{\"type\":\"log\"}",
        );
        self.add("what a search found, as the whole log", seal(&mut partial_log), 1, 7, 2);
        let mut other = self.of(&partial(2));
        replace(
            member(&mut other, "bundle.json"),
            "{\"type\":\"partial\",\"filter\":\"2\"}",
            "{\"type\":\"workspace\",\"workspace\":\"w1\"}",
        );
        self.add("what a search found, as a workspace", seal(&mut other), 2, 1, None);
        let mut bundles = bundle::part_name("entries", 2);
        bundles.push('x');
        let mut long = self.of(&LOG);
        long.insert(5, (bundles, b"x\n".to_vec()));
        self.add("a part whose name goes on", seal(&mut long), 2, 1, None);
    }
}

/// The log as if it were another key's, of the same name.
fn forged(log: &Log, seed: u8) -> Log {
    let mut forged = log.cut(log.entries.len());
    forged.key = key(seed);
    forged
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn members_of_tar(bundle: &[u8]) -> Members {
    members(bundle)
}

fn text(note: &str) -> &str {
    let end = note.find("\n\n").unwrap();
    &note[..=end]
}

fn change_lines(members: &mut Members, name: &str, change: impl FnOnce(&mut Vec<String>)) {
    let content = member(members, name);
    let mut all = lines(content);
    change(&mut all);
    *content = unlines(&all);
}

fn with_lines_of(mut members: Members, name: &str, change: impl FnOnce(&mut Vec<String>)) -> Vec<u8> {
    change_lines(&mut members, name, change);
    seal(&mut members)
}

fn replace(content: &mut Vec<u8>, from: &str, to: &str) {
    let text = String::from_utf8(content.clone()).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    *content = text.replacen(from, to, 1).into_bytes();
}

/// Changes the bytes of an entry; the line's leaf stays.
fn edit(lines: &mut [String], at: u64, change: impl Fn(&str) -> String) {
    let line = &mut lines[at as usize];
    let end = line.find(",\"leaf\":\"").unwrap();
    let entry = line[9..end].to_owned();
    let other = change(&entry);
    assert_ne!(other, entry);
    line.replace_range(9..end, &other);
}

fn flip(text: &str, from: &str, to: &str) -> String {
    text.replacen(from, to, 1)
}

fn set_leaf(line: &mut String, leaf: &str) {
    let at = line.find(",\"leaf\":\"").unwrap() + 9;
    line.replace_range(at..at + 64, leaf);
}

/// Puts the leaf beside an entry that its bytes have.
fn rehash(lines: &mut [String], at: u64) {
    let line = &mut lines[at as usize];
    let end = line.find(",\"leaf\":\"").unwrap();
    let leaf = hex::encode(leaf_hash(&line.as_bytes()[9..end]));
    set_leaf(line, &leaf);
}

fn details_of(line: &str) -> Vec<Value> {
    let line: Value = serde_json::from_str(line).unwrap();
    line["details"].as_array().unwrap().clone()
}

fn seqs(members: &Members) -> Vec<u64> {
    let (_, content) = members.iter().find(|(name, _)| name == PART).unwrap();
    lines(content)
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["entry"]["seq"].as_u64().unwrap())
        .collect()
}

/// An entry with another value of a member.
fn replace_member(entry: &str, name: &str, value: &str) -> String {
    let fields: serde_json::Map<String, Value> = serde_json::from_str(entry).unwrap();
    let mut names: Vec<&String> = fields.keys().collect();
    names.sort();
    let inner: Vec<String> = names
        .into_iter()
        .map(|n| {
            if n == name { format!("\"{n}\":{value}") } else { format!("\"{n}\":{}", canonical(&fields[n])) }
        })
        .collect();
    format!("{{{}}}", inner.join(","))
}

fn cut_member(entry: &str, name: &str) -> String {
    let mut fields: serde_json::Map<String, Value> = serde_json::from_str(entry).unwrap();
    fields.remove(name).unwrap();
    canonical(&Value::Object(fields))
}

fn upper_commitment(entry: &str) -> String {
    let fields: Value = serde_json::from_str(entry).unwrap();
    let commitment =
        fields["commitments"].as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
    entry.replacen(&commitment, &commitment.to_uppercase(), 1)
}
