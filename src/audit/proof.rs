//! Proofs of the RFC 6962 tree: which perfect subtrees a proof is made of, and whether a proof is right. Where the
//! hashes of the subtrees come from is the caller's business. Verification is RFC 9162's, which takes exactly the hashes
//! that the place asks for.

use super::tree::{Hash, digest, node_hash};

/// A perfect subtree: the leaves from `index << level` on, `1 << level` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node {
    pub level: u8,
    pub index: u64,
}

/// What one hash of a proof is made of: the perfect subtrees of a stretch of leaves, left to right. Only the stretch at the
/// right edge has more than one.
pub type Stretch = Vec<Node>;

/// The inclusion proof of leaf `index` in the tree of `size` leaves (RFC 6962 §2.1.1). Empty if there is no such leaf; also
/// for the only leaf of a tree.
pub fn inclusion(index: u64, size: u64) -> Vec<Stretch> {
    let (mut low, mut high) = (0, size);
    let mut proof = Vec::new();
    if index >= size {
        return proof;
    }
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            proof.push(stretch(middle, high));
            high = middle;
        } else {
            proof.push(stretch(low, middle));
            low = middle;
        }
    }
    proof.reverse();
    proof
}

/// The consistency proof from the tree of `old` leaves to that of `size` (RFC 6962 §2.1.2). Empty if there is nothing to
/// prove: `old` is 0, or not below `size`.
pub fn consistency(old: u64, size: u64) -> Vec<Stretch> {
    let (mut low, mut high) = (0, size);
    let mut proof = Vec::new();
    if old == 0 || old >= size {
        return proof;
    }
    while high != old {
        let middle = low + split(high - low);
        if old <= middle {
            proof.push(stretch(middle, high));
            high = middle;
        } else {
            proof.push(stretch(low, middle));
            low = middle;
        }
    }
    // The old tree itself is known to whoever has its root.
    if low > 0 {
        proof.push(stretch(low, high));
    }
    proof.reverse();
    proof
}

/// The hash of a stretch whose subtrees have these hashes.
pub fn join(hashes: &[Hash]) -> Hash {
    match hashes.split_last() {
        None => digest(&[]),
        Some((last, rest)) => rest.iter().rev().fold(*last, |right, left| node_hash(left, &right)),
    }
}

/// Makes a proof of its plan.
pub fn resolve<E>(plan: &[Stretch], mut hash: impl FnMut(Node) -> Result<Hash, E>) -> Result<Vec<Hash>, E> {
    plan.iter()
        .map(|stretch| Ok(join(&stretch.iter().map(|node| hash(*node)).collect::<Result<Vec<_>, E>>()?)))
        .collect()
}

/// Whether the proof shows that the leaf stands at `index` of the tree (RFC 9162 §2.1.3.2).
pub fn verify_inclusion(index: u64, size: u64, leaf: &Hash, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut place, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            hash = node_hash(sibling, &hash);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether the proof shows that the tree of `old` leaves is the beginning of that of `size` (RFC 9162 §2.1.4.2). Without
/// growth, or from nothing, the proof is empty and the roots speak for themselves.
pub fn verify_consistency(old: u64, size: u64, old_root: &Hash, root: &Hash, proof: &[Hash]) -> bool {
    if old > size {
        return false;
    }
    if old == size {
        return proof.is_empty() && old_root == root;
    }
    if old == 0 {
        return proof.is_empty() && *old_root == digest(&[]);
    }
    // A perfect old tree is a node of the new one: it is its own beginning.
    let (first, rest) = match (old.is_power_of_two(), proof) {
        (true, rest) if !rest.is_empty() => (old_root, rest),
        (false, [first, rest @ ..]) => (first, rest),
        _ => return false,
    };
    let shift = (old - 1).trailing_ones();
    let (mut place, mut last) = ((old - 1) >> shift, (size - 1) >> shift);
    let (mut old_hash, mut hash) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            old_hash = node_hash(sibling, &old_hash);
            hash = node_hash(sibling, &hash);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && hash == *root
}

/// The largest power of two below `n`, which is at least 2: where RFC 6962 splits n leaves.
fn split(n: u64) -> u64 {
    1 << (63 - (n - 1).leading_zeros())
}

/// The perfect subtrees of a stretch that begins where one as large as itself could.
fn stretch(mut low: u64, high: u64) -> Stretch {
    let mut nodes = Vec::new();
    while low < high {
        let level = 63 - (high - low).leading_zeros();
        nodes.push(Node { level: level as u8, index: low >> level });
        low += 1 << level;
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::tree::{Range, leaf_hash};
    use proptest::prelude::*;
    use std::convert::Infallible;

    /// The definitions of RFC 6962 §2.1, without any cleverness.
    fn mth(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => digest(&[]),
            [one] => *one,
            _ => {
                let k = leaves.len().next_power_of_two() / 2;
                node_hash(&mth(&leaves[..k]), &mth(&leaves[k..]))
            }
        }
    }

    fn path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() <= 1 {
            return Vec::new();
        }
        let k = leaves.len().next_power_of_two() / 2;
        let (left, right) = leaves.split_at(k);
        let (mut proof, sibling) =
            if m < k { (path(m, left), mth(right)) } else { (path(m - k, right), mth(left)) };
        proof.push(sibling);
        proof
    }

    fn subproof(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
        if m == leaves.len() {
            return if whole { Vec::new() } else { vec![mth(leaves)] };
        }
        let k = leaves.len().next_power_of_two() / 2;
        let (left, right) = leaves.split_at(k);
        let (mut proof, sibling) = if m <= k {
            (subproof(m, left, whole), mth(right))
        } else {
            (subproof(m - k, right, false), mth(left))
        };
        proof.push(sibling);
        proof
    }

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count as u64).map(|n| leaf_hash(&n.to_be_bytes())).collect()
    }

    fn made(plan: &[Stretch], leaves: &[Hash]) -> Vec<Hash> {
        let of = |node: Node| {
            let first = (node.index << node.level) as usize;
            Ok::<_, Infallible>(mth(&leaves[first..first + (1 << node.level)]))
        };
        resolve(plan, of).unwrap()
    }

    fn flipped(hash: &Hash, bit: usize) -> Hash {
        let mut other = *hash;
        other[bit / 8] ^= 1 << (bit % 8);
        other
    }

    /// The tree of the CT reference implementations; roots and proofs as published with them.
    #[test]
    fn known_vectors() {
        let inputs = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let leaves: Vec<Hash> = inputs.iter().map(|i| leaf_hash(&hex::decode(i).unwrap())).collect();
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut range = Range::default();
        for (leaf, root) in leaves.iter().zip(roots) {
            range.push(*leaf);
            assert_eq!(hex::encode(range.root()), root);
        }
        let hexes = |proof: Vec<Hash>| proof.iter().map(hex::encode).collect::<Vec<_>>();
        assert!(inclusion(0, 1).is_empty());
        assert_eq!(
            hexes(made(&inclusion(0, 8), &leaves)),
            [
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ]
        );
        assert_eq!(
            hexes(made(&inclusion(5, 8), &leaves)),
            [
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]
        );
        assert_eq!(
            hexes(made(&inclusion(2, 3), &leaves)),
            ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]
        );
        assert_eq!(
            hexes(made(&consistency(6, 8), &leaves)),
            [
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]
        );
        assert_eq!(
            hexes(made(&consistency(2, 5), &leaves)),
            [
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ]
        );
    }

    /// Every place of every small tree, against the definition: made alike, found right, and right of nothing else.
    #[test]
    fn proofs_are_those_of_the_definition() {
        let leaves = leaves(40);
        let roots: Vec<Hash> = (0..=leaves.len()).map(|n| mth(&leaves[..n])).collect();
        for size in 0..=leaves.len() {
            for index in 0..size {
                let proof = made(&inclusion(index as u64, size as u64), &leaves);
                assert_eq!(proof, path(index, &leaves[..size]), "{index} in {size}");
                for (other, leaf) in leaves.iter().enumerate() {
                    let right = verify_inclusion(other as u64, size as u64, leaf, &proof, &roots[size]);
                    assert_eq!(right, other == index, "{other} by the proof of {index} in {size}");
                }
            }
            for old in 0..=size {
                let proof = made(&consistency(old as u64, size as u64), &leaves);
                if old > 0 {
                    assert_eq!(proof, subproof(old, &leaves[..size], true), "{old} to {size}");
                }
                for (other, root) in roots.iter().enumerate() {
                    let right = verify_consistency(old as u64, size as u64, root, &roots[size], &proof);
                    assert_eq!(right, other == old, "root of {other} by the proof from {old} to {size}");
                }
            }
        }
    }

    #[test]
    fn a_maintained_crate_makes_the_same_trees_and_proofs() {
        let mut tree = ct_merkle::mem_backed_tree::MemoryBackedTree::<sha2::Sha256, Vec<u8>>::new();
        let mut leaves = Vec::new();
        for n in 0..70u64 {
            let size = leaves.len() as u64;
            if size > 0 {
                let root = mth(&leaves);
                assert_eq!(tree.root().as_bytes().as_slice(), root);
                for index in 0..size {
                    let proof = tree.prove_inclusion(index as usize);
                    assert_eq!(
                        proof.as_bytes(),
                        made(&inclusion(index, size), &leaves).concat(),
                        "{index} in {size}"
                    );
                }
                for old in 1..size {
                    let proof = tree.prove_consistency((size - old) as usize);
                    assert_eq!(
                        proof.as_bytes(),
                        made(&consistency(old, size), &leaves).concat(),
                        "{old} to {size}"
                    );
                }
            }
            leaves.push(leaf_hash(&n.to_be_bytes()));
            tree.push(n.to_be_bytes().to_vec());
        }
    }

    /// The mutations of the vectors of transparency-dev/merkle, on places like theirs.
    #[test]
    fn a_changed_inclusion_proof_proves_nothing() {
        let leaves = leaves(1025);
        let mut tried = 0;
        for (index, size) in
            [(0, 8), (5, 8), (2, 3), (1, 5), (255, 256), (256, 257), (0, 1), (1024, 1025), (511, 1025)]
        {
            let proof = made(&inclusion(index, size), &leaves);
            let (leaf, root) = (leaves[index as usize], mth(&leaves[..size as usize]));
            assert!(verify_inclusion(index, size, &leaf, &proof, &root));
            let mut wrong = |index: u64, size: u64, leaf: &Hash, proof: &[Hash], root: &Hash, what: &str| {
                assert!(!verify_inclusion(index, size, leaf, proof, root), "{what}: {index} in {size}");
                tried += 1;
            };
            for other in [index.wrapping_sub(1), index + 1, index ^ 2, index + (1 << 40), size, u64::MAX] {
                wrong(other, size, &leaf, &proof, &root, "index");
            }
            // A larger tree may have the same path to a leaf; its root is what differs.
            for other in [0, size * 2, size / 2, size + (1 << 50)] {
                if inclusion(index, other).len() != proof.len() || other == 0 {
                    wrong(index, other, &leaf, &proof, &root, "size");
                }
            }
            wrong(index, size, &flipped(&leaf, 4), &proof, &root, "leaf");
            wrong(index, size, &leaf, &proof, &flipped(&root, 4), "root");
            wrong(index, size, &leaf, &proof, &digest(&[]), "empty root");
            for at in 0..proof.len() {
                for bit in [0, 4, 255] {
                    let mut other = proof.clone();
                    other[at] = flipped(&other[at], bit);
                    wrong(index, size, &leaf, &other, &root, "bit");
                }
                let mut other = proof.clone();
                other.remove(at);
                wrong(index, size, &leaf, &other, &root, "removed");
                let mut other = proof.clone();
                other.insert(at, other[at]);
                wrong(index, size, &leaf, &other, &root, "doubled");
                if at > 0 {
                    let mut other = proof.clone();
                    other.swap(at, at - 1);
                    wrong(index, size, &leaf, &other, &root, "swapped");
                }
            }
            for hash in [digest(&[]), leaf, root, [0; 32]] {
                wrong(index, size, &leaf, &[&proof[..], &[hash]].concat(), &root, "trailing");
                wrong(index, size, &leaf, &[&[hash], &proof[..]].concat(), &root, "preceding");
            }
        }
        println!("{tried} wrong inclusion proofs, none accepted");
    }

    #[test]
    fn a_changed_consistency_proof_proves_nothing() {
        let leaves = leaves(1025);
        let mut tried = 0;
        for (old, size) in [
            (1, 8),
            (6, 8),
            (2, 5),
            (6, 7),
            (4, 7),
            (256, 257),
            (255, 256),
            (257, 1025),
            (1024, 1025),
            (3, 3),
        ] {
            let proof = made(&consistency(old, size), &leaves);
            let (before, root) = (mth(&leaves[..old as usize]), mth(&leaves[..size as usize]));
            assert!(verify_consistency(old, size, &before, &root, &proof));
            let mut wrong = |old: u64, size: u64, before: &Hash, root: &Hash, proof: &[Hash], what: &str| {
                assert!(!verify_consistency(old, size, before, root, proof), "{what}: {old} to {size}");
                tried += 1;
            };
            for other in [old - 1, old + 1, old ^ 2, size + 1, u64::MAX] {
                wrong(other, size, &before, &root, &proof, "old size");
            }
            for other in [0, size * 2, size / 2, size + (1 << 50)] {
                if consistency(old, other).len() != proof.len() || other < old {
                    wrong(old, other, &before, &root, &proof, "size");
                }
            }
            wrong(old, size, &flipped(&before, 4), &root, &proof, "old root");
            wrong(old, size, &before, &flipped(&root, 4), &proof, "root");
            if old < size {
                wrong(old, size, &root, &before, &proof, "swapped roots");
                wrong(old, size, &before, &root, &[], "empty");
            }
            for at in 0..proof.len() {
                for bit in [0, 4, 255] {
                    let mut other = proof.clone();
                    other[at] = flipped(&other[at], bit);
                    wrong(old, size, &before, &root, &other, "bit");
                }
                let mut other = proof.clone();
                other.remove(at);
                wrong(old, size, &before, &root, &other, "removed");
            }
            for hash in [digest(&[]), before, root, [0; 32]] {
                wrong(old, size, &before, &root, &[&proof[..], &[hash]].concat(), "trailing");
                wrong(old, size, &before, &root, &[&[hash], &proof[..]].concat(), "preceding");
            }
        }
        println!("{tried} wrong consistency proofs, none accepted");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn proofs_hold_around_the_edges_of_tiles(size in 250usize..1100, a: prop::sample::Index, b: prop::sample::Index) {
            let leaves = leaves(size);
            let root = mth(&leaves);
            let index = a.index(size);
            let proof = made(&inclusion(index as u64, size as u64), &leaves);
            prop_assert!(verify_inclusion(index as u64, size as u64, &leaves[index], &proof, &root));
            let old = 1 + b.index(size);
            let proof = made(&consistency(old as u64, size as u64), &leaves);
            prop_assert!(verify_consistency(old as u64, size as u64, &mth(&leaves[..old]), &root, &proof));
        }

        /// The length of a proof is that of the definition in trees that nobody could fill.
        #[test]
        fn plans_are_short_in_huge_trees(size in 2u64..=i64::MAX as u64, at: u64) {
            let index = at % size;
            let proof = inclusion(index, size);
            prop_assert!(proof.len() <= 64 && proof.iter().map(Vec::len).sum::<usize>() <= 128);
            prop_assert!(consistency(1 + at % (size - 1), size).len() <= 65);
        }
    }
}
