//! The tree's hashes in tiles of 256, as C2SP tlog-tiles lays them out: a proof in a log of any size needs a few of them.
//! Tiles are made where checkpoints are, never on the way of an append. Knows nothing of the store.

use super::{
    proof::Node,
    tree::{Hash, Range, node_hash},
};
use std::collections::HashMap;

/// Hashes of a full tile: 256 leaves on level 0, 256 roots of tiles of the level below on the others.
pub const WIDTH: u64 = 256;
/// Levels of the tree in one tile.
const HEIGHT: u32 = 8;

/// A tile as it is stored. Level 0 has full ones only; the last one of a higher level grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    pub level: u32,
    pub index: u64,
    pub hashes: Vec<Hash>,
}

/// How many hashes a level has in a tree of this size.
pub fn hashes_on(level: u32, size: u64) -> u64 {
    size.checked_shr(HEIGHT * level).unwrap_or(0)
}

/// Grows a tree and gathers the tiles it makes.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    size: u64,
    /// Of each level, the hashes after its last full tile.
    tails: Vec<Vec<Hash>>,
    /// Full tiles that were not taken yet.
    full: Vec<Tile>,
    /// Whether a higher level has grown since tiles were taken.
    grown: bool,
}

impl Builder {
    /// Goes on at a size, with what each level has after its last full tile. `None` if that does not fit the size.
    pub fn resume(size: u64, tails: Vec<Vec<Hash>>) -> Option<Self> {
        let fits =
            tails.iter().zip(0..).all(|(tail, level)| tail.len() as u64 == hashes_on(level, size) % WIDTH);
        let complete = hashes_on(tails.len() as u32, size) == 0;
        (fits && complete).then(|| Self { size, tails, full: Vec::new(), grown: false })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn push(&mut self, leaf: Hash) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0.. {
            if self.tails.len() <= level as usize {
                self.tails.push(Vec::new());
            }
            self.grown |= level > 0;
            let tail = &mut self.tails[level as usize];
            tail.push(hash);
            if (tail.len() as u64) < WIDTH {
                return;
            }
            let hashes = std::mem::take(tail);
            hash = range_over(&hashes).root();
            let index = hashes_on(level, self.size) / WIDTH - 1;
            self.full.push(Tile { level, index, hashes });
        }
    }

    /// The right edge of the tree, for its root.
    pub fn range(&self) -> Range {
        let edge: Vec<u8> = self.tails.iter().rev().flat_map(|tail| range_over(tail).to_bytes()).collect();
        Range::from_bytes(self.size, &edge)
            .expect("a tail for each level has a hash for each bit of the size")
    }

    /// The tiles that are new or longer since the last time.
    pub fn take_tiles(&mut self) -> Vec<Tile> {
        let mut tiles = std::mem::take(&mut self.full);
        if std::mem::take(&mut self.grown) {
            for (tail, level) in self.tails.iter().zip(0..).skip(1).filter(|(tail, _)| !tail.is_empty()) {
                let index = hashes_on(level, self.size) / WIDTH;
                tiles.push(Tile { level, index, hashes: tail.clone() });
            }
        }
        tiles
    }

    /// How many full tiles wait to be taken.
    pub fn waiting(&self) -> usize {
        self.full.len()
    }
}

fn range_over(hashes: &[Hash]) -> Range {
    let mut range = Range::default();
    hashes.iter().for_each(|hash| range.push(*hash));
    range
}

/// A part of the tree in memory, by tiles, for proofs.
#[derive(Debug, Default)]
pub struct Forest(HashMap<(u32, u64), Vec<Vec<Hash>>>);

impl Forest {
    pub fn has(&self, level: u32, index: u64) -> bool {
        self.0.contains_key(&(level, index))
    }

    /// Adds a tile, or the part of one that there is in the tree in question, and works out the nodes within it once.
    pub fn add(&mut self, level: u32, index: u64, hashes: Vec<Hash>) {
        let mut rows = vec![hashes];
        while let Some(last) = rows.last().filter(|row| row.len() > 1) {
            let (pairs, _) = last.as_chunks::<2>();
            let row = pairs.iter().map(|[left, right]| node_hash(left, right)).collect();
            rows.push(row);
        }
        self.0.insert((level, index), rows);
    }

    /// The root of a perfect subtree. `None` if its tile is not here.
    pub fn node(&self, node: Node) -> Option<Hash> {
        let (level, tile) = tile_of(node);
        let row = u32::from(node.level) % HEIGHT;
        let rows = self.0.get(&(level, tile))?;
        rows.get(row as usize)?.get((node.index - ((tile * WIDTH) >> row)) as usize).copied()
    }

    /// Forgets the tiles of leaves; those above are few.
    pub fn forget_leaves(&mut self) {
        self.0.retain(|(level, _), _| *level > 0);
    }

    /// How many tiles are here.
    pub fn tiles(&self) -> usize {
        self.0.len()
    }
}

/// The tile that a perfect subtree lies in: level and number.
pub fn tile_of(node: Node) -> (u32, u64) {
    let (level, row) = (u32::from(node.level) / HEIGHT, u32::from(node.level) % HEIGHT);
    (level, (node.index << row) / WIDTH)
}

#[cfg(test)]
mod tests {
    use super::{super::tree::leaf_hash, *};

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
    }

    /// Root of the perfect subtree, from the leaves alone.
    fn naive(leaves: &[Hash]) -> Hash {
        match leaves {
            [one] => *one,
            _ => {
                let (left, right) = leaves.split_at(leaves.len() / 2);
                node_hash(&naive(left), &naive(right))
            }
        }
    }

    #[test]
    fn a_builder_has_the_root_of_the_range_and_goes_on_from_its_tails() {
        let leaves = leaves(70_000);
        let (mut builder, mut range) = (Builder::default(), Range::default());
        let mut stored: HashMap<(u32, u64), Vec<Hash>> = HashMap::new();
        for (n, leaf) in leaves.iter().enumerate() {
            builder.push(*leaf);
            range.push(*leaf);
            let size = n as u64 + 1;
            if matches!(size, 1 | 2 | 255 | 256 | 257 | 511 | 1_000 | 65_535 | 65_536 | 65_537 | 70_000) {
                assert_eq!(builder.range(), range, "{size}");
                for tile in builder.take_tiles() {
                    stored.insert((tile.level, tile.index), tile.hashes);
                }
                let tails: Vec<Vec<Hash>> = (0..)
                    .take_while(|level| hashes_on(*level, size) > 0)
                    .map(|level| match level {
                        0 => leaves[(size / WIDTH * WIDTH) as usize..size as usize].to_vec(),
                        _ if hashes_on(level, size).is_multiple_of(WIDTH) => Vec::new(),
                        _ => stored[&(level, hashes_on(level, size) / WIDTH)].clone(),
                    })
                    .collect();
                assert!(Builder::resume(size + 1, tails.clone()).is_none());
                builder = Builder::resume(size, tails).unwrap();
                assert_eq!(builder.range(), range, "resumed at {size}");
            }
        }
        assert_eq!(stored.iter().filter(|((level, _), _)| *level == 0).count(), 273);
        assert_eq!(stored[&(1, 0)].len(), 256);
        assert_eq!(stored[&(1, 1)].len(), 17);
        assert_eq!(stored[&(2, 0)].len(), 1);
        assert_eq!(stored[&(1, 0)][3], naive(&leaves[768..1_024]));
    }

    #[test]
    fn nodes_are_those_of_the_definition() {
        let leaves = leaves(1_500);
        let mut builder = Builder::default();
        leaves.iter().for_each(|leaf| builder.push(*leaf));
        let mut forest = Forest::default();
        for tile in builder.take_tiles() {
            forest.add(tile.level, tile.index, tile.hashes);
        }
        forest.add(0, 5, leaves[1_280..].to_vec());
        let mut nodes = 0;
        for level in 0..11u8 {
            for index in 0..(1_500u64 >> level) {
                let (from, to) = ((index << level) as usize, ((index + 1) << level) as usize);
                let node = Node { level, index };
                assert_eq!(forest.node(node), Some(naive(&leaves[from..to])), "{node:?}");
                nodes += 1;
            }
            assert_eq!(forest.node(Node { level, index: 1_500 >> level }), None, "{level}: not whole");
        }
        assert!(nodes > 2_900);
        assert_eq!(tile_of(Node { level: 7, index: 3 }), (0, 1));
        assert_eq!(tile_of(Node { level: 8, index: 300 }), (1, 1));
    }
}
