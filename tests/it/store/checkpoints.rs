//! Tiles, checkpoints and the fork as they are stored. The hashes are held against the definition of the tree.

use super::{NOW, actor, audit::verify};
use crate::support::databases::both_engines;
use gatehouse::{
    audit::{
        Signed, note,
        proof::{verify_consistency, verify_inclusion},
        proofs::Proofs,
        tiles::{Builder, Tile},
        tree::{Hash, Range, digest, leaf_hash, node_hash},
    },
    clock::{DAY, HOUR, MINUTE, Millis},
    domain::audit::{Action, Draft, Outcome},
    store::{
        Db, Error,
        audit::Fork,
        checkpoints::{Restored, StoredCheckpoint},
    },
};

both_engines!(
    tiles_hold_the_tree,
    proofs_of_a_large_tree,
    checkpoints,
    thinned,
    forked,
    silence,
    restored,
    chains
);

fn draft(n: usize) -> Draft {
    let workspace = ["w1", "w2"][n % 2];
    Draft::new(&actor(), Action::PostDelete, Outcome::Succeeded)
        .workspace(workspace)
        .tenant((!n.is_multiple_of(3)).then_some(["t1", "t2"][n % 2]))
}

async fn fill(db: &Db, count: usize) {
    let drafts: Vec<Draft> = (0..count).map(draft).collect();
    for chunk in drafts.chunks(200) {
        db.append(NOW, &chunk.iter().collect::<Vec<_>>()).await.unwrap();
    }
}

/// RFC 6962 §2.1, without any cleverness.
fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => digest(&[]),
        [one] => *one,
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            node_hash(&root(&leaves[..split]), &root(&leaves[split..]))
        }
    }
}

fn signed(size: u64, root: Hash) -> Signed {
    let checkpoint = note::Checkpoint { origin: "gatehouse-audit/test".into(), size, root };
    Signed { checkpoint, epoch: 1, at: NOW, note: String::new() }
}

fn stored(epoch: i64, size: i64, at: Millis) -> StoredCheckpoint {
    StoredCheckpoint { epoch, size, at, note: format!("{epoch}/{size}") }
}

async fn tiles_hold_the_tree(db: Db) {
    fill(&db, 700).await;
    let rows = db.audit_leaves(0, 1_000).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), (0..700).collect::<Vec<i64>>());
    let leaves: Vec<Hash> = rows.iter().map(|row| leaf_hash(&row.entry)).collect();
    assert!(rows.iter().zip(&leaves).all(|(row, leaf)| row.leaf == leaf));
    assert_eq!(db.audit_leaves(650, 20).await.unwrap().first().unwrap().seq, 650);
    assert_eq!(db.leaf_hashes(100, 300).await.unwrap(), leaves[100..300]);
    assert_eq!(db.leaf_hashes(700, 700).await.unwrap(), [[0; 32]; 0]);
    let missing = db.leaf_hashes(690, 701).await.unwrap_err().to_string();
    assert!(missing.contains("entry 700 is missing"), "{missing}");

    let mut tree = Builder::default();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    let none = db.tree_at(700).await.unwrap_err().to_string();
    assert!(none.contains("tile 1/0"), "{none}");
    db.put_tiles(&tree.take_tiles()).await.unwrap();
    let mut found = db.audit_tiles(0, &[1, 0, 7]).await.unwrap();
    found.sort_by_key(|tile| tile.index);
    assert_eq!(found.iter().map(|tile| tile.index).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(found[1].hashes, leaves[256..512]);
    assert_eq!(db.tile_at(700, 0, 2).await.unwrap(), leaves[512..], "from the entries");
    assert_eq!(db.tile_at(700, 1, 0).await.unwrap(), [root(&leaves[..256]), root(&leaves[256..512])]);
    assert_eq!(db.tile_at(300, 1, 0).await.unwrap(), [root(&leaves[..256])], "as it was at that size");
    assert!(db.tile_at(1_000, 1, 0).await.is_err());
    for size in [0, 1, 255, 256, 257, 512, 699, 700] {
        let tree = db.tree_at(size).await.unwrap();
        assert_eq!(tree.range().root(), root(&leaves[..size as usize]), "{size}");
    }

    // A shorter part of a tile, stored late, does not take the longer one's place.
    db.put_tiles(&[Tile { level: 1, index: 0, hashes: vec![root(&leaves[..256])] }]).await.unwrap();
    assert_eq!(db.tile_at(700, 1, 0).await.unwrap().len(), 2);
}

/// More than one tile on the second level. All entries stand in whole tiles, so none has to be in the log itself.
async fn proofs_of_a_large_tree(db: Db) {
    const SIZE: u64 = 257 * 256;
    let leaves: Vec<Hash> = (0..SIZE).map(|n| leaf_hash(&n.to_be_bytes())).collect();
    let mut tree = Builder::default();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    for chunk in tree.take_tiles().chunks(100) {
        db.put_tiles(chunk).await.unwrap();
    }
    let root_now = root(&leaves);
    assert_eq!(db.tree_at(SIZE).await.unwrap().range().root(), root_now);
    let signed = signed(SIZE, root_now);
    let mut proofs = Proofs::new(db.clone(), &signed);
    let seqs: Vec<i64> = (0..SIZE as i64).step_by(331).chain([SIZE as i64 - 1, 0, 65_535, 65_536]).collect();
    for (seq, proof) in seqs.iter().zip(proofs.inclusion(&seqs).await.unwrap()) {
        let leaf = &leaves[*seq as usize];
        assert!(verify_inclusion(*seq as u64, SIZE, leaf, &proof, &root_now), "{seq}");
    }
    for old in [0, 1, 2, 255, 256, 257, 4_000, 65_535, 65_536, 65_537, SIZE - 1, SIZE] {
        let proof = proofs.consistency(old).await.unwrap();
        let before = root(&leaves[..old as usize]);
        assert!(verify_consistency(old, SIZE, &before, &root_now, &proof), "{old}");
    }
    for outside in [-1, SIZE as i64] {
        assert!(proofs.inclusion(&[outside]).await.is_err(), "{outside}");
    }
    assert!(proofs.consistency(SIZE + 1).await.is_err());
}

async fn checkpoints(db: Db) {
    fill(&db, 300).await;
    assert_eq!(db.last_checkpoint().await.unwrap(), None);
    let tile = Tile { level: 0, index: 0, hashes: db.leaf_hashes(0, 256).await.unwrap() };
    assert!(db.put_checkpoint(&stored(1, 300, NOW), std::slice::from_ref(&tile)).await.unwrap());
    assert!(db.put_checkpoint(&stored(1, 200, NOW), &[]).await.unwrap(), "a late one");
    assert!(db.put_checkpoint(&stored(1, 300, NOW + 1), &[]).await.unwrap(), "by another process");
    assert_eq!(db.last_checkpoint().await.unwrap(), Some(stored(1, 300, NOW)));
    assert_eq!(db.audit_tiles(0, &[0]).await.unwrap(), [tile]);
    assert!(!db.put_checkpoint(&stored(1, 301, NOW), &[]).await.unwrap(), "longer than the log");
    assert!(db.put_checkpoint(&stored(2, 250, NOW), &[]).await.unwrap());
    assert_eq!(db.last_checkpoint().await.unwrap(), Some(stored(2, 250, NOW)), "the epoch comes first");
    assert!(!db.put_checkpoint(&stored(1, 299, NOW), &[]).await.unwrap(), "of an epoch that has ended");
    let below = db.checkpoints_below(1, 300, 10).await.unwrap();
    assert_eq!(below, [stored(1, 200, NOW)]);
    assert_eq!(db.checkpoints_below(1, 301, 1).await.unwrap(), [stored(1, 300, NOW)]);
}

async fn thinned(db: Db) {
    fill(&db, 200).await;
    let begin = NOW / HOUR * HOUR;
    for n in 0..150 {
        assert!(db.put_checkpoint(&stored(1, n, begin + n * MINUTE), &[]).await.unwrap());
    }
    let now = begin + 90 * MINUTE + DAY;
    assert_eq!(
        db.thin_checkpoints(now - DAY).await.unwrap(),
        59 + 30,
        "up to then, but the last of the first hour"
    );
    assert_eq!(db.thin_checkpoints(now - DAY).await.unwrap(), 0);
    let left: Vec<i64> =
        db.checkpoints_below(1, 1_000, 1_000).await.unwrap().iter().map(|c| c.size).collect();
    assert_eq!(left, (90..150).rev().chain([59]).collect::<Vec<_>>());
    // The last hour's last is kept however old it is.
    assert_eq!(db.thin_checkpoints(now + DAY).await.unwrap(), 29 + 29);
    let left: Vec<i64> =
        db.checkpoints_below(1, 1_000, 1_000).await.unwrap().iter().map(|c| c.size).collect();
    assert_eq!(left, [149, 119, 59]);
}

/// What is forked takes nothing any more, whoever asks.
async fn forked(db: Db) {
    fill(&db, 3).await;
    assert!(db.put_checkpoint(&stored(2, 3, NOW), &[]).await.unwrap());
    let fork = Fork { reason: "it is shorter".into(), note: Some("a note".into()) };
    assert!(!db.note_fork(&fork, 1).await.unwrap(), "an epoch that has ended contradicts nothing");
    assert!(db.note_fork(&fork, 2).await.unwrap());
    assert!(!db.note_fork(&Fork { reason: "again".into(), note: None }, 2).await.unwrap());
    assert_eq!(db.audit_head().await.unwrap().fork, Some(fork));
    for drafts in [&[&draft(1)][..], &[]] {
        let refused = db.append(NOW, drafts).await;
        assert!(
            matches!(&refused, Err(Error::AuditFork(reason)) if reason == "it is shorter"),
            "{refused:?}"
        );
    }
    assert!(matches!(db.append_if_silent(i64::MAX, NOW, &draft(1)).await, Err(Error::AuditFork(_))));
    assert!(!db.put_checkpoint(&stored(2, 2, NOW), &[]).await.unwrap());
    assert_eq!(verify(&db).await, 3);
}

async fn silence(db: Db) {
    fill(&db, 1).await;
    assert!(!db.append_if_silent(NOW - 1, NOW + HOUR, &draft(1)).await.unwrap());
    assert!(db.append_if_silent(NOW, NOW + HOUR, &draft(1)).await.unwrap());
    assert!(!db.append_if_silent(NOW, NOW + HOUR, &draft(1)).await.unwrap(), "another process was first");
    assert_eq!(verify(&db).await, 2);
}

async fn restored(db: Db) {
    fill(&db, 300).await;
    let leaves = db.leaf_hashes(0, 300).await.unwrap();
    // Of the log that was lost.
    let stale = Tile { level: 0, index: 1, hashes: vec![[7; 32]; 256] };
    db.put_tiles(&[stale]).await.unwrap();
    assert!(db.note_fork(&Fork { reason: "shorter".into(), note: None }, 1).await.unwrap());
    let (mut tree, mut range) = (Builder::default(), Range::default());
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    leaves.iter().for_each(|leaf| range.push(*leaf));
    let (tiles, entry) = (tree.take_tiles(), draft(0));
    let restored = |size| Restored { size, range: &range, tiles: &tiles, entry: &entry, epoch: 2 };
    let another = db.accept_restored(NOW, restored(299), |_, _| unreachable!("nothing is signed")).await;
    assert!(matches!(another, Err(Error::Taken)), "{another:?}");
    assert!(db.audit_head().await.unwrap().fork.is_some());
    let made =
        db.accept_restored(NOW + 5, restored(300), |size, root| format!("{size} {root:?}")).await.unwrap();
    let head = db.audit_head().await.unwrap();
    assert_eq!((head.size, &head.fork), (301, &None));
    let expected =
        StoredCheckpoint { epoch: 2, size: 301, at: NOW + 5, note: format!("301 {:?}", head.root) };
    assert_eq!((made, db.last_checkpoint().await.unwrap()), (expected.clone(), Some(expected)));
    assert_eq!(db.audit_tiles(0, &[0, 1]).await.unwrap().len(), 1, "the stale one is gone");
    assert_eq!(db.tree_at(301).await.unwrap().range().root(), head.root);
    assert_eq!(verify(&db).await, 301);
    fill(&db, 1).await;
}

async fn chains(db: Db) {
    assert_eq!(db.chain_at("w1", None, 10).await.unwrap(), (0, None));
    fill(&db, 12).await;
    let leaves = db.leaf_hashes(0, 12).await.unwrap();
    // w1 has the even ones; its tenant t1 those of them that 3 does not divide.
    assert_eq!(db.chain_at("w1", None, 12).await.unwrap(), (6, Some(leaves[10])));
    assert_eq!(db.chain_at("w1", None, 5).await.unwrap(), (3, Some(leaves[4])));
    assert_eq!(db.chain_at("w1", Some("t1"), 12).await.unwrap(), (4, Some(leaves[10])));
    assert_eq!(db.chain_at("w1", Some("t1"), 8).await.unwrap(), (2, Some(leaves[4])));
    assert_eq!(db.chain_at("w1", Some("t2"), 12).await.unwrap(), (0, None));
    assert_eq!(db.chain_at("w2", Some("t2"), 2).await.unwrap(), (1, Some(leaves[1])));
}
