//! Accepting that the database is an older copy of itself, or otherwise not what was signed: what the lost entries said is
//! gone, the log says so in its next entry, and its checkpoints have a new origin from then on (docs/audit-format.md §3).

use super::{
    log::Log,
    look::{Believed, Obstacle, Reach, believe},
    note,
    tiles::{Builder, Tile},
    tree::Hash,
};
use crate::{
    clock::Millis,
    domain::audit::{Action, Actor, Draft},
    store::{self, audit::Fork, checkpoints::Restored},
};

/// Leaf hashes that are read at once.
const PAGE: i64 = 4_096;

/// What there is, and what was signed.
#[derive(Debug, Clone)]
pub struct Survey {
    pub fork: Fork,
    /// Entries in the database, and the time of the last one.
    pub size: i64,
    pub at: Millis,
    pub root: Hash,
    /// The newest checkpoint that is known to have been signed, if any note of one is left.
    pub lost: Option<Believed>,
    /// The epoch that would begin.
    pub epoch: u64,
}

#[derive(Debug)]
pub enum Error {
    /// The log agrees with what was signed.
    NothingToAccept,
    /// Entries are missing in the middle: no tree can be made of what there is.
    Broken(String),
    /// The log has another size than the one to accept.
    Another(i64),
    /// All is stored but the guard file; the next start or checkpoint writes it.
    Guard(std::io::Error),
    Store(store::Error),
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NothingToAccept => {
                f.write_str("the audit log agrees with what was signed of it: there is nothing to accept")
            }
            Self::Broken(what) => {
                write!(f, "{what}: of such a log no tree can be made; restore a backup of the database")
            }
            Self::Another(size) => write!(f, "the log has {size} entries by now: look at it again"),
            Self::Guard(error) => write!(f, "accepted, but the guard file could not be written: {error}"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl Log {
    /// What would be accepted.
    pub async fn survey(&self) -> Result<Survey, Error> {
        let fork = match self.look_twice(&mut None, Reach::End).await {
            Ok(_) => return Err(Error::NothingToAccept),
            Err(Obstacle::Fork(fork, _)) => fork,
            Err(Obstacle::Noted(fork)) => self.db.audit_head().await?.fork.unwrap_or(fork),
            Err(other) => return Err(self.failure(other).into()),
        };
        let mut notes: Vec<String> = fork.note.iter().cloned().collect();
        notes.extend(self.guard.read().await.ok().flatten());
        notes.extend(self.db.last_checkpoint().await?.map(|stored| stored.note));
        let believed = notes.iter().filter_map(|note| believe(self.public(), note).ok());
        let lost = believed.max_by_key(|believed| (believed.epoch, believed.checkpoint.size));
        let head = self.db.audit_head().await?;
        let epoch = lost.as_ref().map_or(1, |lost| lost.epoch) + 1;
        Ok(Survey { fork, size: head.size, at: head.at, root: head.root, lost, epoch })
    }

    /// Goes on with the log as it is, in a new epoch, if it still has the size that was looked at. Returns the new epoch's first
    /// checkpoint.
    pub async fn accept(&self, survey: &Survey, reason: &str) -> Result<note::Checkpoint, Error> {
        let (tree, tiles) = self.tree_of_leaves(survey.size).await?;
        let mut entry = Draft::done(&Actor::system("audit"), Action::AuditRestore)
            .target("epoch", &survey.epoch.to_string())
            .reason(reason)
            .set("entries", survey.size)
            .set("root", hex::encode(tree.range().root()))
            .set("contradiction", survey.fork.reason.as_str());
        if let Some(lost) = &survey.lost {
            entry = entry
                .was("entries", lost.checkpoint.size)
                .was("root", hex::encode(lost.checkpoint.root))
                .was("checkpoint", lost.note.as_str());
        }
        let range = tree.range();
        let restored = Restored {
            size: survey.size,
            range: &range,
            tiles: &tiles,
            entry: &entry,
            epoch: survey.epoch as i64,
        };
        let origin = self.public().origin(survey.epoch);
        let checkpoint = |size, root| note::Checkpoint { origin: origin.clone(), size, root };
        let sign = |size, root| self.key().sign(&checkpoint(size, root).to_string());
        let stored = match self.db.accept_restored(self.clock.now(), restored, sign).await {
            Err(store::Error::Taken) => {
                return Err(Error::Another(self.db.audit_head().await?.size));
            }
            stored => stored?,
        };
        // After the database: a guard of an epoch that the database does not know would be a fork again.
        self.guard.write(&stored.note).await.map_err(Error::Guard)?;
        believe(self.public(), &stored.note)
            .map(|believed| believed.checkpoint)
            .map_err(|error| store::Error::Corrupt(error.to_string()).into())
    }

    /// The tree over the stored leaf hashes, whatever the stored tiles and head say.
    async fn tree_of_leaves(&self, size: i64) -> Result<(Builder, Vec<Tile>), Error> {
        let mut tree = Builder::default();
        let mut from = 0;
        while from < size {
            let to = size.min(from + PAGE);
            let leaves = self.db.leaf_hashes(from, to).await.map_err(|error| match error {
                store::Error::Corrupt(what) => Error::Broken(what),
                error => Error::Store(error),
            })?;
            leaves.into_iter().for_each(|leaf| tree.push(leaf));
            from = to;
        }
        let tiles = tree.take_tiles();
        Ok((tree, tiles))
    }
}
