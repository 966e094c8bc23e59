//! The RFC 6962 tree over the entries, as far as appending needs it: the roots of the perfect subtrees on its right
//! edge ("compact range"), at most 64 hashes whatever the log's size.

use aws_lc_rs::digest::{Context, SHA256};

pub type Hash = [u8; 32];

/// SHA-256(0x00 || entry).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    digest(&[&[0], entry])
}

/// SHA-256(0x01 || left || right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    digest(&[&[1], left, right])
}

/// SHA-256 over the parts, one after the other.
pub fn digest(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// A tree's size and right edge, largest subtree first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Range {
    size: u64,
    edge: Vec<Hash>,
}

impl Range {
    /// Reads a stored range; `None` if the number of hashes does not fit the size.
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Option<Self> {
        let (chunks, rest) = bytes.as_chunks::<32>();
        (rest.is_empty() && chunks.len() == size.count_ones() as usize)
            .then(|| Self { size, edge: chunks.to_vec() })
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        self.edge.concat()
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        // Each trailing one-bit of the size is a finished subtree as large as the one being carried.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.edge.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.edge.push(node);
        self.size += 1;
    }

    /// The tree's root; of an empty tree, the hash of nothing.
    pub fn root(&self) -> Hash {
        let mut edge = self.edge.iter().rev();
        match edge.next() {
            None => digest(&[]),
            Some(last) => edge.fold(*last, |right, left| node_hash(left, &right)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of RFC 6962 §2.1, without any cleverness.
    fn reference(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => digest(&[]),
            [one] => *one,
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                node_hash(&reference(&leaves[..split]), &reference(&leaves[split..]))
            }
        }
    }

    #[test]
    fn the_range_has_the_root_of_the_definition() {
        let mut range = Range::default();
        let mut leaves = Vec::new();
        for n in 0..200u32 {
            assert_eq!(range.root(), reference(&leaves));
            assert_eq!(Range::from_bytes(range.size(), &range.to_bytes()), Some(range.clone()));
            let leaf = leaf_hash(&n.to_be_bytes());
            leaves.push(leaf);
            range.push(leaf);
        }
    }

    #[test]
    fn known_vectors_of_rfc_6962() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex::encode(Range::default().root()), empty);
        let leaf = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        assert_eq!(hex::encode(leaf_hash(b"")), leaf);
        assert_eq!(Range::from_bytes(3, &[0; 32]), None);
    }
}
