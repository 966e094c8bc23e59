//! The tree over the audit log as it is stored: tiles, signed checkpoints, and that the log is forked. Nothing here is on
//! the way of an append.

use super::{Db, Error, Result, Tx, audit::Fork};
use crate::{
    audit::{
        tiles::{Builder, Tile, WIDTH, hashes_on},
        tree::{Hash, Range},
    },
    clock::{HOUR, Millis},
    domain::audit::Draft,
};

/// A checkpoint as it was signed.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct StoredCheckpoint {
    pub epoch: i64,
    pub size: i64,
    pub at: Millis,
    pub note: String,
}

/// An entry's bytes, with the leaf hash that is stored beside them.
#[derive(Debug, sqlx::FromRow)]
pub struct StoredLeaf {
    pub seq: i64,
    pub entry: Vec<u8>,
    pub leaf: Vec<u8>,
}

/// What an operator's acceptance of an older copy puts in place of the log's state.
pub struct Restored<'a> {
    /// Entries there are: the acceptance is void if there are others by now.
    pub size: i64,
    /// The tree over them.
    pub range: &'a Range,
    pub tiles: &'a [Tile],
    /// The first entry of the new epoch.
    pub entry: &'a Draft,
    pub epoch: i64,
}

/// Tiles of one statement, some 2 MiB.
const TILES: usize = 256;

const CHECKPOINT: &str = "SELECT epoch, size, at, note FROM audit_checkpoints";

impl Db {
    /// The newest checkpoint of the newest epoch.
    pub async fn last_checkpoint(&self) -> Result<Option<StoredCheckpoint>> {
        self.read(CHECKPOINT).push(" ORDER BY epoch DESC, size DESC LIMIT 1").opt().await
    }

    /// The checkpoints of an epoch below a size, largest first.
    pub async fn checkpoints_below(
        &self,
        epoch: i64,
        size: i64,
        limit: i64,
    ) -> Result<Vec<StoredCheckpoint>> {
        let sql = self.read(CHECKPOINT).push(" WHERE epoch = $1 AND size < $2 ORDER BY size DESC LIMIT $3");
        sql.bind(epoch).bind(size).bind(limit).all().await
    }

    /// Entries from a number on, as they are hashed.
    pub async fn audit_leaves(&self, from: i64, limit: i64) -> Result<Vec<StoredLeaf>> {
        self.read("SELECT seq, entry, leaf FROM audit_entries WHERE seq >= $1 ORDER BY seq LIMIT $2")
            .bind(from)
            .bind(limit)
            .all()
            .await
    }

    /// The stored leaf hashes of the entries from `from` up to, not including, `to`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if one is missing or not a hash.
    pub async fn leaf_hashes(&self, from: i64, to: i64) -> Result<Vec<Hash>> {
        let rows: Vec<(i64, Vec<u8>)> = self
            .read("SELECT seq, leaf FROM audit_entries WHERE seq >= $1 AND seq < $2 ORDER BY seq")
            .bind(from)
            .bind(to)
            .all()
            .await?;
        let mut hashes = Vec::with_capacity(rows.len());
        for (due, (seq, leaf)) in (from..).zip(rows) {
            if seq != due {
                return Err(Error::Corrupt(format!("audit entry {due} is missing")));
            }
            hashes.push(hash(leaf)?);
        }
        match hashes.len() as i64 == (to - from).max(0) {
            true => Ok(hashes),
            false => Err(Error::Corrupt(format!("audit entry {} is missing", from + hashes.len() as i64))),
        }
    }

    /// Stored tiles of a level by their numbers, in no order. One that is not stored is left out.
    pub async fn audit_tiles(&self, level: u32, indices: &[u64]) -> Result<Vec<Tile>> {
        let mut tiles = Vec::with_capacity(indices.len());
        if indices.is_empty() {
            return Ok(tiles);
        }
        let rows: Vec<(i64, Vec<u8>)> = self
            .read("SELECT t.idx, t.hashes FROM ")
            .table(indices, |index| [i64::from(level).into(), (*index as i64).into()])
            .push(" JOIN audit_tiles t ON t.level = v.column1 AND t.idx = v.column2")
            .all()
            .await?;
        for (index, bytes) in rows {
            let (hashes, rest) = bytes.as_chunks::<32>();
            if !rest.is_empty() {
                return Err(Error::Corrupt(format!("tile {level}/{index} is cut")));
            }
            tiles.push(Tile { level, index: index as u64, hashes: hashes.to_vec() });
        }
        Ok(tiles)
    }

    /// The part of a tile that there is in a tree of the given size.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is not stored, or shorter.
    pub async fn tile_at(&self, size: u64, level: u32, index: u64) -> Result<Vec<Hash>> {
        let hashes = hashes_on(level, size).saturating_sub(index * WIDTH).min(WIDTH);
        if level == 0 && hashes < WIDTH {
            let from = (index * WIDTH) as i64;
            return self.leaf_hashes(from, from + hashes as i64).await;
        }
        let stored = self.audit_tiles(level, &[index]).await?.pop();
        let mut stored = stored
            .filter(|tile| tile.hashes.len() as u64 >= hashes)
            .ok_or_else(|| Error::Corrupt(format!("tile {level}/{index} is not stored up to size {size}")))?;
        stored.hashes.truncate(hashes as usize);
        Ok(stored.hashes)
    }

    /// A tree of the given size from its tiles, to grow it on.
    pub async fn tree_at(&self, size: u64) -> Result<Builder> {
        let mut tails = Vec::new();
        for level in (0..).take_while(|level| hashes_on(*level, size) > 0) {
            let hashes = hashes_on(level, size);
            tails.push(match hashes % WIDTH {
                0 => Vec::new(),
                _ => self.tile_at(size, level, hashes / WIDTH).await?,
            });
        }
        Builder::resume(size, tails).ok_or_else(|| Error::Corrupt(format!("the tiles at size {size}")))
    }

    /// Stores tiles ahead of the checkpoint that will vouch for them.
    pub async fn put_tiles(&self, tiles: &[Tile]) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.put_tiles(tiles).await?;
        tx.commit().await
    }

    /// Stores a signed checkpoint with the tiles it needs. `false`, and nothing is stored, if the log is forked or in a later
    /// epoch by now, or shorter than what was signed.
    pub async fn put_checkpoint(&self, checkpoint: &StoredCheckpoint, tiles: &[Tile]) -> Result<bool> {
        let mut tx = self.begin().await?;
        let (size, fork): (i64, Option<String>) =
            tx.sql("UPDATE audit_head SET size = size WHERE id = 1 RETURNING size, fork").one().await?;
        let (epoch,): (Option<i64>,) = tx.sql("SELECT MAX(epoch) FROM audit_checkpoints").one().await?;
        let is_later = epoch.is_some_and(|epoch| epoch > checkpoint.epoch);
        if fork.is_some() || is_later || size < checkpoint.size {
            return Ok(false);
        }
        tx.put_tiles(tiles).await?;
        tx.put_checkpoint(checkpoint).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Keeps of the checkpoints before a time the last of each hour and epoch.
    pub async fn thin_checkpoints(&self, before: Millis) -> Result<u64> {
        self.write(
            "DELETE FROM audit_checkpoints WHERE at < $1 AND EXISTS (
               SELECT 1 FROM audit_checkpoints later
               WHERE later.at >= audit_checkpoints.at AND later.at < (audit_checkpoints.at / $2 + 1) * $2
                 AND later.epoch = audit_checkpoints.epoch AND later.size > audit_checkpoints.size)",
        )
        .bind(before)
        .bind(HOUR)
        .run()
        .await
    }

    /// Notes that the log contradicts what was signed in an epoch: from now on nothing is appended, by any process. `false`
    /// if that was noted before, or a later epoch has begun.
    pub async fn note_fork(&self, fork: &Fork, epoch: i64) -> Result<bool> {
        let noted = self
            .write(
                "UPDATE audit_head SET fork = $1, fork_note = $2 WHERE id = 1 AND fork IS NULL
                   AND NOT EXISTS (SELECT 1 FROM audit_checkpoints WHERE epoch > $3)",
            )
            .bind(&fork.reason)
            .bind(&fork.note)
            .bind(epoch)
            .run()
            .await?;
        Ok(noted == 1)
    }

    /// Appends an entry if there was none since a time.
    pub async fn append_if_silent(&self, since: Millis, now: Millis, draft: &Draft) -> Result<bool> {
        let mut tx = self.begin().await?;
        let (at,): (i64,) =
            tx.sql("UPDATE audit_head SET size = size WHERE id = 1 RETURNING at").one().await?;
        if at > since {
            return Ok(false);
        }
        tx.append(now, &[draft]).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Begins a new epoch with the log as it is. `sign` makes the note of the checkpoint, of the size and root that the log then
    /// has.
    ///
    /// # Errors
    /// [`Error::Taken`] if the log has another size by now.
    pub async fn accept_restored(
        &self,
        now: Millis,
        restored: Restored<'_>,
        sign: impl FnOnce(u64, Hash) -> String,
    ) -> Result<StoredCheckpoint> {
        let Restored { size, range, tiles, entry, epoch } = restored;
        let mut tx = self.begin().await?;
        let cleared = tx
            .sql("UPDATE audit_head SET fork = NULL, fork_note = NULL, range = $1 WHERE id = 1 AND size = $2")
            .bind(range.to_bytes())
            .bind(size)
            .run()
            .await?;
        if cleared != 1 {
            return Err(Error::Taken);
        }
        tx.sql("DELETE FROM audit_tiles").run().await?;
        tx.put_tiles(tiles).await?;
        tx.append(now, &[entry]).await?;
        let (size, at, range): (i64, i64, Vec<u8>) =
            tx.sql("SELECT size, at, range FROM audit_head WHERE id = 1").one().await?;
        let range = Range::from_bytes(size as u64, &range)
            .ok_or_else(|| Error::Corrupt("the audit head's range does not fit its size".into()))?;
        let note = sign(size as u64, range.root());
        let checkpoint = StoredCheckpoint { epoch, size, at, note };
        tx.put_checkpoint(&checkpoint).await?;
        tx.commit().await?;
        Ok(checkpoint)
    }

    /// How many of the first `size` entries are of a workspace, or of a tenant of it, and the leaf hash of the last of them.
    pub async fn chain_at(
        &self,
        workspace_id: &str,
        tenant_id: Option<&str>,
        size: i64,
    ) -> Result<(i64, Option<Hash>)> {
        let sql = match tenant_id {
            None => self
                .read("SELECT workspace_seq, leaf FROM audit_entries WHERE workspace_id = $1 AND seq < $2"),
            Some(_) => {
                self.read("SELECT tenant_seq, leaf FROM audit_entries WHERE workspace_id = $1 AND seq < $2")
            }
        };
        let sql = sql.bind(workspace_id).bind(size).and("tenant_id =", tenant_id);
        let sql = sql.push(if tenant_id.is_none() {
            " ORDER BY workspace_seq DESC LIMIT 1"
        } else {
            " ORDER BY tenant_seq DESC LIMIT 1"
        });
        let last: Option<(i64, Vec<u8>)> = sql.opt().await?;
        Ok(match last {
            None => (0, None),
            Some((seq, leaf)) => (seq + 1, Some(hash(leaf)?)),
        })
    }
}

impl Tx {
    async fn put_tiles(&mut self, tiles: &[Tile]) -> Result<()> {
        for chunk in tiles.chunks(TILES) {
            self.sql("INSERT INTO audit_tiles (level, idx, hashes) SELECT * FROM ")
                .table(chunk, |tile| {
                    [i64::from(tile.level).into(), (tile.index as i64).into(), tile.hashes.concat().into()]
                })
                // Another process may have stored a longer part of it a moment ago.
                .push(
                    " WHERE true ON CONFLICT (level, idx) DO UPDATE SET hashes = excluded.hashes
                     WHERE LENGTH(excluded.hashes) >= LENGTH(audit_tiles.hashes)",
                )
                .run()
                .await?;
        }
        Ok(())
    }

    async fn put_checkpoint(&mut self, checkpoint: &StoredCheckpoint) -> Result<()> {
        self.sql(
            "INSERT INTO audit_checkpoints (epoch, size, at, note) VALUES ($1, $2, $3, $4)
             ON CONFLICT (epoch, size) DO NOTHING",
        )
        .bind(checkpoint.epoch)
        .bind(checkpoint.size)
        .bind(checkpoint.at)
        .bind(&checkpoint.note)
        .run()
        .await
        .map(drop)
    }
}

fn hash(bytes: Vec<u8>) -> Result<Hash> {
    bytes.try_into().map_err(|_| Error::Corrupt("a leaf hash is not 32 bytes".into()))
}
