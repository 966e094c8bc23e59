//! Earlier checkpoints of the same log, kept by whoever checks it: what they said must still be so (check 11).

use super::{Fault, Opened, order::Order};
use crate::audit::{
    bundle::Scope,
    note::{Checkpoint, Note, PublicKey},
    proof::verify_consistency,
};

/// An earlier checkpoint.
#[derive(Debug)]
pub struct Since {
    /// What to call it: its file.
    pub name: String,
    note: String,
    pub checkpoint: Checkpoint,
}

impl Since {
    /// Reads its note. Whether it is signed is only known with the key.
    pub fn parse(name: &str, note: String) -> Result<Self, Fault> {
        let checkpoint = Note::parse(&note)
            .and_then(|note| Checkpoint::parse(note.text))
            .map_err(|error| Fault::of_note(name, error))?;
        Ok(Self { name: name.to_owned(), note, checkpoint })
    }

    /// The epoch that it is of; 0 if it is not of the key's log.
    pub fn epoch(&self, key: &PublicKey) -> u64 {
        key.epoch(&self.checkpoint.origin).unwrap_or_default()
    }
}

/// Checks that the key has signed them for its log.
pub fn believe(since: &[Since], key: &PublicKey) -> Result<(), Fault> {
    since.iter().try_for_each(|earlier| {
        key.checkpoint(&earlier.note).map(drop).map_err(|error| Fault::of_note(&earlier.name, error))
    })
}

/// What came of it.
#[derive(Default)]
pub struct Compared {
    /// The largest size whose tree is proven to be the beginning of the bundle's.
    pub largest: Option<u64>,
    pub proven: Vec<String>,
    /// Why others could not be compared.
    pub unproven: Vec<String>,
}

impl Compared {
    fn add(&mut self, earlier: &Since) {
        let Since { name, checkpoint, .. } = earlier;
        self.largest = self.largest.max(Some(checkpoint.size));
        self.proven.push(format!(
            "The log goes on from the checkpoint {name} of its first {} entries.",
            checkpoint.size
        ));
    }
}

/// What can be said before the entries are read: all but what the whole log's own tree is to say.
pub fn with_checkpoint(since: &[Since], about: &Opened) -> Result<Compared, Fault> {
    let mut compared = Compared::default();
    let now = &about.checkpoint;
    for earlier in since {
        let (name, then, epoch) = (&earlier.name, &earlier.checkpoint, earlier.epoch(&about.key));
        if epoch > about.epoch || (epoch == about.epoch && then.size > now.size) {
            let what = format!(
                "{name} is of size {} and epoch {epoch}, and this of size {} and epoch {}: an older state of the log",
                then.size, now.size, about.epoch
            );
            return Err(Fault::tampered(11, what));
        }
        if epoch == about.epoch && then.size == now.size {
            if then.root != now.root {
                let what = format!(
                    "{name} is of the same size and has another root: the log was forked. Keep both as evidence"
                );
                return Err(Fault::tampered(11, what));
            }
            compared.add(earlier);
        } else if about.scope != (Scope::Log {}) {
            let none = Vec::new();
            // Nothing is the beginning of everything, without a proof.
            let proof = about.consistency.get(&then.size).or((then.size == 0).then_some(&none));
            let right =
                proof.map(|proof| verify_consistency(then.size, now.size, &then.root, &now.root, proof));
            match right {
                Some(true) => compared.add(earlier),
                Some(false) if epoch == about.epoch => return Err(contradicted(earlier)),
                _ if epoch == about.epoch => compared.unproven.push(format!(
                    "There is no proof here that the log goes on from the checkpoint {name} of its first {} entries.",
                    then.size
                )),
                _ => compared.unproven.push(format!(
                    "The checkpoint {name} is of epoch {epoch}, before the log was restored from an older copy, and there is no \
                     proof here that its {} entries are still there.",
                    then.size
                )),
            }
        }
    }
    Ok(compared)
}

/// What the tree of the whole log says, when all entries are read.
pub fn with_entries(
    since: &[Since],
    about: &Opened,
    order: &Order<'_>,
    compared: &mut Compared,
) -> Result<(), Fault> {
    if about.scope != (Scope::Log {}) {
        return Ok(());
    }
    for earlier in since {
        let (then, epoch) = (&earlier.checkpoint, earlier.epoch(&about.key));
        let restored = order.restores.iter().find(|(_, later)| *later > epoch).map(|(seq, _)| *seq);
        match restored.filter(|restored| then.size > *restored) {
            Some(restored) => compared.unproven.push(format!(
                "Entries {restored} to {} of epoch {epoch}, which the checkpoint {} speaks of, were lost when the log was restored from \
                 an older copy.",
                then.size - 1,
                earlier.name
            )),
            // Compared already, as the checkpoint's own.
            None if epoch == about.epoch && then.size == about.checkpoint.size => {}
            None if order.root_at(then.size) == Some(then.root) => compared.add(earlier),
            None => return Err(contradicted(earlier)),
        }
    }
    Ok(())
}

fn contradicted(earlier: &Since) -> Fault {
    let Since { name, checkpoint, .. } = earlier;
    let what = format!(
        "the first {} entries are not those of the checkpoint {name}: the log was written anew",
        checkpoint.size
    );
    Fault::tampered(11, what)
}
