//! The index of the audit log's words: filled behind the log, so that appending costs nothing for it, and emptied of what is
//! erased. What is a word is said by `domain::audit_words`; searching is in `store::audit_search`.

use super::{
    Db, Error, Result, Sql, Tx,
    audit::{ENTRY, EntryRow, group_details},
    bits::{Bits, SIZE},
};
use crate::domain::{
    audit::{Detail, Entry},
    audit_words::words,
};
use std::collections::{BTreeMap, HashMap};

/// Entries that are read and deleted from in one statement.
const AT_ONCE: usize = 250;
/// The beginning of [`stored`].
const STORED: &str = "SELECT w.block, w.word, w.seqs FROM ";

/// Where a word stands: block and word, and the numbers within the block.
type Places = BTreeMap<(i64, String), Vec<u16>>;

/// Adds the words of an entry.
fn add(places: &mut Places, entry: &Entry, words: impl IntoIterator<Item = String>) {
    let (block, n) = (entry.seq / SIZE, (entry.seq % SIZE) as u16);
    for word in words {
        places.entry((block, word)).or_default().push(n);
    }
}

impl Db {
    /// Brings the words of up to `limit` entries into the index and returns how many entries are still to come. Whoever is
    /// overtaken by another process, or by an erasure, has changed nothing.
    pub async fn index_audit(&self, limit: i64) -> Result<i64> {
        let head = "SELECT w.size, w.version, h.size FROM audit_words_head w, audit_head h WHERE w.id = 1 AND h.id = 1";
        let (from, version, size): (i64, i64, i64) = self.read(head).one().await?;
        if from >= size {
            return Ok(0);
        }
        let to = size.min(from + limit);
        let mut places = Places::new();
        for entry in self.audit_range(from, to).await? {
            add(&mut places, &entry, words(&entry));
        }
        let places: Vec<_> = places.into_iter().collect();
        let stored = stored(self.read(STORED), &places).await?;
        let mut rows = Vec::with_capacity(places.len());
        for ((block, word), numbers) in &places {
            let mut bits = stored.get(&(*block, word.clone())).cloned().unwrap_or_else(Bits::none);
            numbers.iter().for_each(|n| bits.insert(*n));
            rows.push((*block, word, bits.to_bytes()));
        }
        // All that was read holds if nobody has written since.
        let mut tx = self.begin().await?;
        let ours = tx
            .sql("UPDATE audit_words_head SET size = $1 WHERE id = 1 AND size = $2 AND version = $3")
            .bind(to)
            .bind(from)
            .bind(version)
            .run()
            .await?;
        if ours == 0 {
            return Ok(size - from);
        }
        tx.put_words(&rows).await?;
        tx.commit().await?;
        Ok(size - to)
    }
}

impl Tx {
    async fn put_words(&mut self, rows: &[(i64, &String, Vec<u8>)]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        self.sql("INSERT INTO audit_words (block, word, seqs) SELECT * FROM ")
            .table(rows, |(block, word, seqs)| [(*block).into(), (*word).into(), seqs.into()])
            .push(" WHERE true ON CONFLICT (block, word) DO UPDATE SET seqs = excluded.seqs")
            .run()
            .await
            .map(drop)
    }

    /// Deletes these parts (`names`, `context`, `change`, `reason`) of these entries, and from the index the words that stood
    /// in nothing else of an entry. Returns how many details there were.
    pub async fn erase_audit_details(&mut self, seqs: &[i64], parts: &[&str]) -> Result<u64> {
        // Also keeps the index from growing meanwhile by what is read before and gone after.
        let (size,): (i64,) = self
            .sql("UPDATE audit_words_head SET version = version + 1 WHERE id = 1 RETURNING size")
            .one()
            .await?;
        let mut gone = Places::new();
        let mut erased = 0;
        for chunk in seqs.chunks(AT_ONCE) {
            let rows: Vec<EntryRow> = self
                .sql(ENTRY)
                .push(" seq IN ")
                .list(chunk.iter().copied())
                .push(" ORDER BY seq")
                .all()
                .await?;
            let details: Vec<(i64, String, Vec<u8>, String)> = self
                .sql("SELECT seq, part, salt, body FROM audit_details WHERE seq IN ")
                .list(chunk.iter().copied())
                .push(" ORDER BY seq, part")
                .all()
                .await?;
            let mut details = group_details(details);
            for row in rows {
                let mut entry = row.into_entry(Vec::new())?;
                let whole: Vec<Detail> = details.remove(&entry.seq).unwrap_or_default();
                entry.details = whole.iter().filter(|d| !parts.contains(&d.part.as_str())).cloned().collect();
                if entry.seq < size && entry.details.len() < whole.len() {
                    let kept = words(&entry);
                    entry.details = whole;
                    add(&mut gone, &entry, words(&entry).into_iter().filter(|word| !kept.contains(word)));
                }
            }
            erased += self
                .sql("DELETE FROM audit_details WHERE seq IN ")
                .list(chunk.iter().copied())
                .push(" AND part IN ")
                .list(parts.iter().copied())
                .run()
                .await?;
        }
        self.remove_words(gone).await?;
        Ok(erased)
    }

    async fn remove_words(&mut self, gone: Places) -> Result<()> {
        let gone: Vec<_> = gone.into_iter().collect();
        self.plan_by_key().await?;
        let mut stored = stored(self.sql(STORED), &gone).await?;
        let (mut fewer, mut none) = (Vec::new(), Vec::new());
        for ((block, word), numbers) in &gone {
            let Some(mut bits) = stored.remove(&(*block, word.clone())) else { continue };
            numbers.iter().for_each(|n| bits.remove(*n));
            if bits.is_empty() {
                none.push((*block, word));
            } else {
                fewer.push((*block, word, bits.to_bytes()));
            }
        }
        self.put_words(&fewer).await?;
        if none.is_empty() {
            return Ok(());
        }
        self.sql("DELETE FROM audit_words WHERE (block, word) IN (SELECT * FROM ")
            .table(&none, |(block, word)| [(*block).into(), (*word).into()])
            .push(")")
            .run()
            .await
            .map(drop)
    }
}

/// The sets that are stored of these words.
async fn stored(sql: Sql<'_>, places: &[((i64, String), Vec<u16>)]) -> Result<HashMap<(i64, String), Bits>> {
    if places.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(i64, String, Vec<u8>)> = sql
        .table(places, |((block, word), _)| [(*block).into(), word.into()])
        .push(" JOIN audit_words w ON w.block = v.column1 AND w.word = v.column2")
        .all()
        .await?;
    rows.into_iter().map(|(block, word, seqs)| Ok(((block, word), read_bits(&seqs)?))).collect()
}

pub(super) fn read_bits(bytes: &[u8]) -> Result<Bits> {
    let mut bits = Bits::none();
    bits.or_bytes(bytes).map(|()| bits).ok_or_else(corrupt)
}

pub(super) fn corrupt() -> Error {
    Error::Corrupt("the index of the audit log's words".into())
}
