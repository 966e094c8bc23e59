//! The verifier: whether a bundle is what the log's key vouches for (docs/audit-format.md §7). Needs neither database nor network, reads
//! the bundle once, and stops at the first thing that is wrong. Knows nothing of the store, whose mistakes it is to find.

mod archive;
mod lines;
mod order;
mod since;
mod verdict;

pub use since::Since;
pub use verdict::{Fault, Outcome, Verdict};

use super::{
    bundle::{ConsistencyLine, Description, FORMAT, Manifest, Scope, part_name},
    note::{Checkpoint, Head, PublicKey},
    proof::verify_inclusion,
    tree::Hash,
};
use crate::domain::times;
use archive::Archive;
use order::Order;
use serde::de::DeserializeOwned;
use since::Compared;
use std::{collections::BTreeMap, io::Read, num::NonZero, panic::resume_unwind, thread};

/// Bytes of the largest manifest, and of the largest other member that is no part.
const MANIFEST: u64 = 64 << 20;
const SMALL: u64 = 1 << 20;
/// The longest line.
const LINE: usize = 16 << 20;

/// Checks a bundle. Without a key, the bundle's own is used, which proves little.
pub fn verify(bundle: impl Read, key: Option<&PublicKey>, since: &[Since]) -> Verdict {
    let mut verdict = Verdict::default();
    if let Err(fault) = judge(bundle, key, since, &mut verdict) {
        verdict.not_proven =
            vec![format!("Whatever comes after it: {} entries were looked at.", verdict.entries)];
        verdict.incomplete.clear();
        verdict.fault = Some(fault);
    }
    verdict
}

fn judge(
    bundle: impl Read,
    key: Option<&PublicKey>,
    since: &[Since],
    verdict: &mut Verdict,
) -> Result<(), Fault> {
    if let Some(key) = key {
        since::believe(since, key)?;
    }
    let mut archive = Archive::open(bundle)?;
    let about = Opened::read(&mut archive, key, since)?;
    let mut compared = since::with_checkpoint(since, &about)?;
    let sizes = since.iter().map(|s| s.checkpoint.size);
    let mut order = Order::new(&about.scope, about.checkpoint.size, sizes);
    let entries = parts(&mut archive, &about, &mut order);
    verdict.entries = order.count();
    entries?;
    about.finish(&order)?;
    since::with_entries(since, &about, &order, &mut compared)?;
    manifest(&mut archive, &order)?;
    archive.end()?;
    about.conclude(key.is_none(), since, compared, order, verdict);
    Ok(())
}

/// What stands before the entries.
struct Opened {
    key: PublicKey,
    scope: Scope,
    checkpoint: Checkpoint,
    epoch: u64,
    head: Option<Head>,
    /// Proofs by earlier size.
    consistency: BTreeMap<u64, Vec<Hash>>,
}

impl Opened {
    fn read<R: Read>(
        archive: &mut Archive<R>,
        key: Option<&PublicKey>,
        since: &[Since],
    ) -> Result<Self, Fault> {
        let mut small = |name: &str| {
            archive.expect(name)?;
            archive.content(SMALL)
        };
        let description: Description = json("bundle.json", &small("bundle.json")?)?;
        if description.format != FORMAT || lines::moment(&description.exported_at).is_none() {
            return Err(Fault::malformed(5, format!("bundle.json is not of the format {FORMAT}")));
        }
        let own = text("key.vkey", small("key.vkey")?)?;
        let own = own
            .strip_suffix('\n')
            .ok_or_else(|| Fault::malformed(2, "key.vkey does not end with a newline"))?;
        let own = PublicKey::parse(own).map_err(|error| Fault::of_note("key.vkey", error))?;
        let key = match key {
            Some(key) => key.clone(),
            None => {
                since::believe(since, &own)?;
                own
            }
        };
        let checkpoint = text("checkpoint.note", small("checkpoint.note")?)?;
        let checkpoint =
            key.checkpoint(&checkpoint).map_err(|error| Fault::of_note("checkpoint.note", error))?;
        if (description.origin.as_str(), description.size) != (checkpoint.origin.as_str(), checkpoint.size) {
            return Err(Fault::tampered(4, "bundle.json and the checkpoint differ in origin or size"));
        }
        // `checkpoint` has seen that it is the key's.
        let epoch = key.epoch(&checkpoint.origin).unwrap_or_default();
        let head = match description.scope.chain() {
            None => None,
            Some(chain) => {
                let head = text("head.note", small("head.note")?)?;
                let head = key.head(&head).map_err(|error| Fault::of_note("head.note", error))?;
                if (&head.origin, head.size, &head.chain) != (&checkpoint.origin, checkpoint.size, &chain) {
                    return Err(Fault::tampered(4, "the head is of another checkpoint, workspace or tenant"));
                }
                Some(head)
            }
        };
        let mut consistency = BTreeMap::new();
        let lines = text("consistency.ndjson", small("consistency.ndjson")?)?;
        for line in lines.split_terminator('\n') {
            let line: ConsistencyLine = json("consistency.ndjson", line.as_bytes())?;
            if consistency.last_key_value().is_some_and(|(size, _)| *size >= line.size) {
                return Err(Fault::malformed(5, "the sizes in consistency.ndjson do not rise"));
            }
            consistency.insert(line.size, lines::hashes(&line.proof)?);
        }
        if !lines.is_empty() && !lines.ends_with('\n') {
            return Err(Fault::malformed(5, "the last line of consistency.ndjson has no newline"));
        }
        Ok(Self { key, scope: description.scope, checkpoint, epoch, head, consistency })
    }

    /// After the last entry (checks 8 to 10).
    fn finish(&self, order: &Order<'_>) -> Result<(), Fault> {
        let Checkpoint { size, root, .. } = &self.checkpoint;
        if self.scope == (Scope::Log {}) {
            if order.count() != *size {
                let what = format!("it and what follows is missing: the checkpoint speaks of {size} entries");
                return Err(Fault::tampered(8, what).at(order.count()));
            }
            if order.root() != *root {
                return Err(Fault::tampered(8, "the entries do not make the tree of the checkpoint"));
            }
            let restored = order.restores.last().map_or(1, |(_, epoch)| *epoch);
            if restored != self.epoch {
                let what = format!(
                    "the entries lead to epoch {restored}, and the checkpoint is of epoch {}",
                    self.epoch
                );
                return Err(Fault::tampered(10, what));
            }
        }
        if let Some(head) = &self.head
            && (head.count, head.last) != (order.count(), order.last_leaf())
        {
            let what = format!(
                "the head speaks of {} entries of this {}, and {} are here, or the last is another",
                head.count,
                head.chain,
                order.count()
            );
            return Err(Fault::tampered(9, what));
        }
        Ok(())
    }

    /// The verdict of a bundle without a fault.
    fn conclude(
        &self,
        own_key: bool,
        since: &[Since],
        compared: Compared,
        order: Order<'_>,
        verdict: &mut Verdict,
    ) {
        let Checkpoint { origin, size, .. } = &self.checkpoint;
        let until =
            order.last_at().map_or_else(String::new, |at| format!(", the last stored {}", times::to_iso(at)));
        let what = match (&self.scope, self.scope.chain()) {
            (Scope::Log {}, _) => {
                format!("These are the first {size} entries of {origin}, none missing{until}.")
            }
            (_, Some(chain)) => format!(
                "These {} entries are all of {chain} among the first {size} of {origin}{until}.",
                order.count()
            ),
            _ => format!("These {} entries are among the first {size} of {origin}{until}.", order.count()),
        };
        verdict.proven.push(what);
        verdict.proven.extend(compared.proven);
        let incomplete = &mut verdict.incomplete;
        if own_key {
            incomplete
                .push(format!("No key was given. It is signed by the key that came with it: {}", self.key));
        }
        if let Scope::Partial { filter } = &self.scope {
            incomplete.push(format!(
                "Only what a search matched is here, and nothing says that none was left out: {filter:?}"
            ));
        }
        incomplete.extend(compared.unproven);
        if self.epoch > 1 && !since.iter().any(|s| s.epoch(&self.key) == self.epoch) {
            incomplete.push(format!(
                "The log was restored from an older copy and is in epoch {}: what was written after that copy was made is gone. \
                 A checkpoint of this epoch, given with --since, says that it is known.",
                self.epoch
            ));
        }
        let rest = &mut verdict.not_proven;
        rest.push(format!("What was written after the first {size} entries{until}."));
        if order.missing > 0 {
            rest.push(format!(
                "{} details were erased or not given: that they existed is proven, not what they said.",
                order.missing
            ));
        }
        rest.push(match compared.largest {
            None => "That nobody with the log's key wrote it anew: no earlier checkpoint is known to agree (--since)."
                .to_owned(),
            Some(size) => format!("That nobody with the log's key wrote anew what follows the first {size} entries."),
        });
        if self.head.is_some() {
            rest.push(
                "That nobody with the log's key signed a head that leaves the last of them out: only the whole log shows that."
                    .to_owned(),
            );
        }
        if self.scope.has_proofs() {
            rest.push("Whether there were silences, and what the entries of others say.".to_owned());
        }
        rest.extend(order.stops.sentences());
        incomplete.extend(order.silences.sentences());
    }
}

/// Reads the parts, up to the header of the manifest.
fn parts<R: Read>(archive: &mut Archive<R>, about: &Opened, order: &mut Order<'_>) -> Result<(), Fault> {
    for number in 1.. {
        let name = archive.next()?;
        if name == "manifest.json" {
            break;
        }
        if name != part_name("entries", number) {
            return Err(Fault::malformed(
                1,
                format!("{name:?} stands where a part of entries or the manifest should"),
            ));
        }
        let mut here = Vec::new();
        each(archive, &name, lines::entry, |entry| {
            order.entry(&entry)?;
            if about.scope.has_proofs() {
                here.push((entry.seq, entry.leaf));
            }
            Ok(())
        })?;
        if about.scope.has_proofs() {
            proofs(archive, &part_name("proofs", number), &here, &about.checkpoint)?;
        }
    }
    Ok(())
}

/// The proofs of a part of entries (check 8).
fn proofs<R: Read>(
    archive: &mut Archive<R>,
    name: &str,
    entries: &[(u64, Hash)],
    checkpoint: &Checkpoint,
) -> Result<(), Fault> {
    archive.expect(name)?;
    let mut next = entries.iter();
    let check = |line: &[u8]| {
        let (seq, proof) = lines::proof(line)?;
        // Another one's proof is noticed below, in its turn.
        let proven = entries.binary_search_by_key(&seq, |(seq, _)| *seq).ok().is_some_and(|at| {
            verify_inclusion(seq, checkpoint.size, &entries[at].1, &proof, &checkpoint.root)
        });
        Ok((seq, proven))
    };
    each(archive, name, check, |(seq, proven)| match next.next() {
        Some((entry, _)) if *entry == seq && proven => Ok(()),
        Some((entry, _)) if *entry == seq => {
            Err(Fault::tampered(8, "its proof does not show that it is in the tree of the checkpoint")
                .at(seq))
        }
        Some((entry, _)) => {
            Err(Fault::tampered(8, format!("a proof of entry {seq} stands where its own should")).at(*entry))
        }
        None => Err(Fault::tampered(8, format!("{name} has more proofs than there are entries")).at(seq)),
    })?;
    match next.next() {
        None => Ok(()),
        Some((seq, _)) => Err(Fault::tampered(8, "it has no proof").at(*seq)),
    }
}

/// Judges each line of the member by itself, on all processors, and then hands on what was found, in order; the first
/// fault ends it. The next lines are read meanwhile.
fn each<R: Read, T: Send>(
    archive: &mut Archive<R>,
    name: &str,
    check: impl Fn(&'_ [u8]) -> Result<T, Fault> + Sync,
    mut found: impl FnMut(T) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let mut rest = Vec::new();
    let mut block = archive.lines(&mut rest)?;
    if block.is_empty() {
        return Err(Fault::malformed(1, format!("{name} is empty")));
    }
    while !block.is_empty() {
        let (judged, next) = thread::scope(|scope| {
            let check = &check;
            let piece = |piece| scope.spawn(move || judge_lines(piece, check));
            let working: Vec<_> = pieces(&block, workers).into_iter().map(piece).collect();
            let next = archive.lines(&mut rest);
            let judged: Vec<_> = working
                .into_iter()
                .map(|work| work.join().unwrap_or_else(|panic| resume_unwind(panic)))
                .collect();
            (judged, next)
        });
        for line in judged.into_iter().flatten() {
            found(line?)?;
        }
        block = next?;
    }
    Ok(())
}

/// Up to the first fault.
fn judge_lines<T>(lines: &[u8], check: impl Fn(&[u8]) -> Result<T, Fault>) -> Vec<Result<T, Fault>> {
    let mut judged = Vec::new();
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let result = match line.len() > LINE {
            true => Err(Fault::malformed(5, format!("a line has more than {LINE} bytes"))),
            false => check(line),
        };
        let failed = result.is_err();
        judged.push(result);
        if failed {
            break;
        }
    }
    judged
}

/// Whole lines, in about equal pieces.
fn pieces(lines: &[u8], count: usize) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut rest = lines;
    while !rest.is_empty() {
        let middle = (lines.len() / count).min(rest.len() - 1);
        let end = memchr::memchr(b'\n', &rest[middle..]).map_or(rest.len(), |at| middle + at + 1);
        let (piece, behind) = rest.split_at(end);
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

fn manifest<R: Read>(archive: &mut Archive<R>, order: &Order<'_>) -> Result<(), Fault> {
    let manifest: Manifest = json("manifest.json", &archive.content(MANIFEST)?)?;
    // The last one read is the manifest itself.
    let read = archive.read().split_last().map_or(&[][..], |(_, before)| before);
    if (manifest.count, manifest.first_seq, manifest.last_seq)
        != (order.count(), order.first_seq(), order.last_seq())
    {
        return Err(Fault::tampered(14, "the manifest speaks of other entries"));
    }
    match manifest.members == read {
        true => Ok(()),
        false => {
            Err(Fault::tampered(14, "the manifest does not list the members with their lengths and hashes"))
        }
    }
}

fn text(name: &str, bytes: Vec<u8>) -> Result<String, Fault> {
    String::from_utf8(bytes).map_err(|_| Fault::malformed(2, format!("{name} is not UTF-8")))
}

fn json<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|error| Fault::malformed(5, format!("{name}: {error}")))
}
