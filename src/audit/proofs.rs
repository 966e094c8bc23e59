//! Proofs in the tree of a checkpoint, for one entry or a stream of them, from the stored tiles: a few look-ups whatever the
//! log's size, and of the tiles that were read only the newest are kept.

use super::{
    log::Signed,
    note,
    proof::{self, Stretch},
    tiles::{Forest, WIDTH, hashes_on, tile_of},
    tree::Hash,
};
use crate::store::{Db, Error, Result};
use std::collections::BTreeSet;

/// Tiles of leaves that are kept for the entries that follow, some 16 KiB each.
const KEPT: usize = 512;

pub struct Proofs {
    db: Db,
    checkpoint: note::Checkpoint,
    forest: Forest,
}

impl Proofs {
    pub fn new(db: Db, signed: &Signed) -> Self {
        Self { db, checkpoint: signed.checkpoint.clone(), forest: Forest::default() }
    }

    /// The inclusion proofs of entries, in the order given. Cheapest for some hundred rising numbers at once.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for an entry that is not below the checkpoint's size.
    pub async fn inclusion(&mut self, seqs: &[i64]) -> Result<Vec<Vec<Hash>>> {
        let size = self.checkpoint.size;
        let mut plans = Vec::with_capacity(seqs.len());
        for seq in seqs {
            match u64::try_from(*seq) {
                Ok(seq) if seq < size => plans.push(proof::inclusion(seq, size)),
                _ => {
                    return Err(Error::Corrupt(format!("entry {seq} is not in a checkpoint of size {size}")));
                }
            }
        }
        self.resolve(&plans).await
    }

    /// The proof that the log of an earlier size is the beginning of the checkpoint's. Empty for size 0 and the same size.
    pub async fn consistency(&mut self, size: u64) -> Result<Vec<Hash>> {
        if size > self.checkpoint.size {
            let now = self.checkpoint.size;
            return Err(Error::Corrupt(format!("size {size} is not in a checkpoint of size {now}")));
        }
        let plan = proof::consistency(size, self.checkpoint.size);
        Ok(self.resolve(&[plan]).await?.pop().unwrap_or_default())
    }

    async fn resolve(&mut self, plans: &[Vec<Stretch>]) -> Result<Vec<Vec<Hash>>> {
        let nodes = plans.iter().flatten().flatten();
        self.load(nodes.map(|node| tile_of(*node)).collect()).await?;
        let missing = |node| Error::Corrupt(format!("{node:?} is not in the tiles"));
        plans
            .iter()
            .map(|plan| proof::resolve(plan, |node| self.forest.node(node).ok_or_else(|| missing(node))))
            .collect()
    }

    async fn load(&mut self, mut tiles: BTreeSet<(u32, u64)>) -> Result<()> {
        if self.forest.tiles() > KEPT {
            self.forest.forget_leaves();
        }
        tiles.retain(|(level, index)| !self.forest.has(*level, *index));
        let size = self.checkpoint.size;
        let mut whole: Vec<u64> = Vec::new();
        for (level, index) in tiles {
            if level == 0 && (index + 1) * WIDTH <= hashes_on(0, size) {
                whole.push(index);
            } else {
                let hashes = self.db.tile_at(size, level, index).await?;
                self.forest.add(level, index, hashes);
            }
        }
        for tile in self.db.audit_tiles(0, &whole).await? {
            self.forest.add(0, tile.index, tile.hashes);
        }
        Ok(())
    }
}
