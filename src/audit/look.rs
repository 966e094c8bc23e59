//! Whether the log still agrees with all that was signed of it: the newest stored checkpoint, the guard file, and the bytes
//! of the entries since. Asked at the start and before anything is signed. Changes nothing but tiles.

use super::{
    guard::Guard,
    note::{self, PublicKey},
    tiles::Builder,
    tree::leaf_hash,
};
use crate::store::{self, Db, audit::Fork, checkpoints::StoredCheckpoint};
use std::io;

/// Entries that are read at once.
const PAGE: i64 = 1_000;
/// Full tiles that are stored ahead of their checkpoint, some 2 MiB.
const TILES: usize = 256;

/// Why nothing can be signed.
#[derive(Debug)]
pub enum Obstacle {
    /// The log contradicts what was signed in this epoch.
    Fork(Fork, u64),
    /// That is on record already.
    Noted(Fork),
    /// The log has moved on meanwhile; the next look may say something else.
    Moved,
    Guard(io::Error),
    Store(store::Error),
}

impl From<store::Error> for Obstacle {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::AuditFork(reason) => Self::Noted(Fork { reason, note: None }),
            error => Self::Store(error),
        }
    }
}

/// A checkpoint that this log's key has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Believed {
    pub checkpoint: note::Checkpoint,
    pub epoch: u64,
    pub note: String,
}

/// What a look has found right.
#[derive(Debug)]
pub struct Found {
    pub epoch: u64,
    /// The newest stored checkpoint.
    pub last: Option<(Believed, StoredCheckpoint)>,
    /// What stands in the guard file, if it is a note of this epoch.
    pub guard: Option<Believed>,
    /// The tree: up to the log's size, or only as far as was asked.
    pub tree: Builder,
}

/// How far the entries are read anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Up to what was signed.
    Signed,
    /// Up to the end of the log.
    End,
}

/// Looks. `known` is a stored checkpoint's note and the tree at its size, if an earlier look has found them to fit.
pub async fn look(
    db: &Db,
    key: &PublicKey,
    guard: &Guard,
    known: Option<(String, Builder)>,
    reach: Reach,
) -> Result<Found, Obstacle> {
    // In this order: a checkpoint is in the guard file before it is in the database, and its entries are before both.
    let guarded = guard.read().await.map_err(Obstacle::Guard)?;
    let stored = db.last_checkpoint().await?;
    let head = db.audit_head().await?;
    if let Some(fork) = head.fork {
        return Err(Obstacle::Noted(fork));
    }
    let size = head.size as u64;
    let last = match stored {
        None => None,
        Some(stored) => match believe(key, &stored.note) {
            Ok(believed) => Some((believed, stored)),
            Err(error) => {
                let reason =
                    format!("the stored checkpoint of size {} is not one of this log: {error}", stored.size);
                return Err(fork(reason, Some(&stored.note), stored.epoch as u64));
            }
        },
    };
    let epoch = last.as_ref().map_or(1, |(believed, _)| believed.epoch);
    let guarded = match guarded.as_deref().map(|text| (text, believe(key, text))) {
        None => None,
        Some((_, Ok(believed))) => Some(believed),
        // As if it were not there: whoever can spoil it can also remove it.
        Some((_, Err(note::Error::Malformed(error)))) => {
            tracing::warn!(path = %guard.path().display(), %error, "the guard file cannot be read and is made anew");
            None
        }
        Some((text, Err(note::Error::Unsigned(error) | note::Error::Foreign(error)))) => {
            let reason = format!("{} is of another log: {error}", guard.path().display());
            return Err(fork(reason, Some(text), epoch));
        }
    };

    let mut tree = Builder::default();
    if let Some((last, _)) = &last {
        if last.checkpoint.size > size {
            return Err(fork(shorter(size, last), Some(&last.note), epoch));
        }
        tree = match known {
            Some((note, tree)) if note == last.note => tree,
            _ => tree_at(db, last, epoch).await?,
        };
    }
    let guard = guarded.filter(|guard| guard.epoch >= epoch);
    if let Some(guard) = &guard {
        if guard.epoch > epoch || guard.checkpoint.size > size {
            return Err(fork(shorter(size, guard), Some(&guard.note), epoch));
        }
        let is_last = last.as_ref().is_some_and(|(last, _)| last.checkpoint == guard.checkpoint);
        if guard.checkpoint.size < tree.size() {
            tree_at(db, guard, epoch).await?;
        } else if !is_last {
            grow(db, &mut tree, guard.checkpoint.size, epoch).await?;
            if tree.range().root() != guard.checkpoint.root {
                return Err(fork(another(guard), Some(&guard.note), epoch));
            }
        }
    }
    if reach == Reach::End {
        grow(db, &mut tree, size, epoch).await?;
        if tree.range().root() != head.root {
            let reason = format!("the head's root is not that of the {size} entries");
            return Err(fork(reason, last.as_ref().map(|(last, _)| last.note.as_str()), epoch));
        }
    }
    Ok(Found { epoch, last, guard, tree })
}

/// Reads a note of this log.
pub fn believe(key: &PublicKey, text: &str) -> Result<Believed, note::Error> {
    let checkpoint = key.checkpoint(text)?;
    let epoch = key.epoch(&checkpoint.origin).unwrap_or(1);
    Ok(Believed { checkpoint, epoch, note: text.to_owned() })
}

fn fork(reason: String, note: Option<&str>, epoch: u64) -> Obstacle {
    Obstacle::Fork(Fork { reason, note: note.map(str::to_owned) }, epoch)
}

fn shorter(size: u64, signed: &Believed) -> String {
    let epoch = match signed.epoch {
        1 => String::new(),
        epoch => format!(" in epoch {epoch}"),
    };
    format!("the log has {size} entries, and a checkpoint of {} was signed{epoch}", signed.checkpoint.size)
}

fn another(signed: &Believed) -> String {
    format!("the first {} entries are not those that were signed", signed.checkpoint.size)
}

/// The stored tree at a checkpoint's size, which must have its root.
async fn tree_at(db: &Db, signed: &Believed, epoch: u64) -> Result<Builder, Obstacle> {
    let tree = match db.tree_at(signed.checkpoint.size).await {
        Ok(tree) => tree,
        Err(store::Error::Corrupt(reason)) => return Err(fork(reason, Some(&signed.note), epoch)),
        Err(error) => return Err(error.into()),
    };
    if tree.range().root() != signed.checkpoint.root {
        return Err(fork(another(signed), Some(&signed.note), epoch));
    }
    Ok(tree)
}

/// Grows the tree by entries, from their bytes.
async fn grow(db: &Db, tree: &mut Builder, size: u64, epoch: u64) -> Result<(), Obstacle> {
    while tree.size() < size {
        let due = tree.size() as i64;
        let page = db.audit_leaves(due, PAGE.min(size as i64 - due)).await?;
        let missing = || fork(format!("entry {} is missing", tree.size()), None, epoch);
        if page.is_empty() {
            return Err(missing());
        }
        for (due, stored) in (due..).zip(page) {
            if stored.seq != due {
                return Err(fork(format!("entry {due} is missing"), None, epoch));
            }
            let leaf = leaf_hash(&stored.entry);
            if stored.leaf != leaf {
                return Err(fork(format!("entry {due} is not as it was written"), None, epoch));
            }
            tree.push(leaf);
        }
        if tree.waiting() >= TILES {
            db.put_tiles(&tree.take_tiles()).await?;
        }
    }
    Ok(())
}
