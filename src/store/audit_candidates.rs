//! What the index of the audit log's words says of a search, block by block.

use super::{
    Db, Result,
    audit_search::Walk,
    audit_words::{corrupt, read_bits},
    bits::{Bits, SIZE},
};
use crate::domain::audit_words::{Condition, Lookup, has_any};
use std::{
    collections::{BTreeSet, HashMap},
    sync::atomic::Ordering,
};

/// The sets of words, by block and word.
type Sets = HashMap<(i64, String), Bits>;

impl Walk<'_> {
    /// Which entries of these blocks fit, as far as they are in the index.
    pub(super) async fn found_in(&self, blocks: &[i64]) -> Result<Vec<Bits>> {
        let to = self.to.min(self.indexed);
        let within = |block: &i64| {
            let first = block * SIZE;
            let mut bits = Bits::between(self.from - first, to - first);
            for (from, to) in &self.out {
                bits.and_not(&Bits::between(from - first, to - first));
            }
            bits
        };
        let mut all: Vec<Bits> = blocks.iter().map(within).collect();
        let lookups = self.query.conditions.iter().flat_map(|c| c.any.iter().flatten());
        let words = lookups.filter_map(|lookup| match lookup {
            Lookup::Word(word) => Some(word.as_str()),
            _ => None,
        });
        let sets = self.db.read_words(blocks, words).await?;
        // What stands for many words comes last, and only where something is left to be found.
        let is_single = |c: &&Condition| c.any.iter().flatten().all(|l| matches!(l, Lookup::Word(_)));
        let (single, many): (Vec<_>, Vec<_>) = self.query.conditions.iter().partition(is_single);
        for condition in single.into_iter().chain(many) {
            for (block, bits) in blocks.iter().zip(&mut all).filter(|(_, bits)| !bits.is_empty()) {
                self.narrow(*block, bits, condition, &sets).await?;
            }
        }
        Ok(all)
    }

    async fn narrow(&self, block: i64, bits: &mut Bits, condition: &Condition, sets: &Sets) -> Result<()> {
        let mut fitting = Bits::none();
        for way in &condition.any {
            let mut all = bits.clone();
            for lookup in way {
                match lookup {
                    Lookup::Word(word) => match sets.get(&(block, word.clone())) {
                        Some(set) => all.and(set),
                        None => all = Bits::none(),
                    },
                    many => all.and(&self.read_many(block, many).await?),
                }
            }
            fitting.or(&all);
        }
        if condition.not {
            bits.and_not(&fitting);
        } else {
            bits.and(&fitting);
        }
        Ok(())
    }

    /// The union of the sets of all words that a look-up finds in a block. The database puts the lists one behind the other:
    /// a row for each of some ten thousand words would cost more than reading it.
    async fn read_many(&self, block: i64, lookup: &Lookup) -> Result<Bits> {
        let (prefix, part) = match lookup {
            Lookup::Word(word) => (word.as_str(), None),
            Lookup::Prefix(prefix) => (prefix.as_str(), None),
            Lookup::Part(prefix, part) => (*prefix, Some(part.as_str())),
        };
        if part.is_none()
            && let Some(any) = has_any(prefix)
            && self.db.all_begin_with(block, &any, prefix).await?
        {
            let mut sets = self.db.read_words(&[block], [any.as_str()]).await?;
            return Ok(sets.remove(&(block, any)).unwrap_or_else(Bits::none));
        }
        let sql = self
            .db
            .read(
                "SELECT STRING_AGG(seqs, $1) FILTER (WHERE OCTET_LENGTH(seqs) < 8192),
                   STRING_AGG(seqs, $1) FILTER (WHERE OCTET_LENGTH(seqs) = 8192)
                 FROM audit_words WHERE block = $2 AND word >= $3 AND word < $4",
            )
            .bind(Vec::<u8>::new())
            .bind(block)
            .bind(prefix)
            .bind(beyond(prefix));
        let sql = match part {
            Some(part) => sql
                .push(self.db.pick(" AND INSTR(SUBSTR(word, 3), ", " AND STRPOS(SUBSTR(word, 3), "))
                .arg(part)
                .push(") > 0"),
            None => sql,
        };
        let (lists, maps): (Option<Vec<u8>>, Option<Vec<u8>>) = sql.one().await?;
        let (lists, maps) = (lists.unwrap_or_default(), maps.unwrap_or_default());
        self.followed.fetch_add(lists.len() + maps.len(), Ordering::Relaxed);
        let mut bits = Bits::none();
        bits.or_list(&lists).ok_or_else(corrupt)?;
        for map in maps.chunks(8_192) {
            bits.or_bytes(map).ok_or_else(corrupt)?;
        }
        Ok(bits)
    }
}

/// What no word with this beginning lies behind.
fn beyond(prefix: &str) -> String {
    format!("{prefix}\u{10ffff}\u{10ffff}")
}

impl Db {
    /// The sets of these words in these blocks.
    pub(super) async fn read_words<'a>(
        &self,
        blocks: &[i64],
        words: impl IntoIterator<Item = &'a str>,
    ) -> Result<Sets> {
        let words: BTreeSet<&str> = words.into_iter().collect();
        let mut found = HashMap::new();
        if blocks.is_empty() || words.is_empty() {
            return Ok(found);
        }
        let rows: Vec<(i64, String, Vec<u8>)> = self
            .read("SELECT block, word, seqs FROM audit_words WHERE block IN ")
            .list(blocks.iter().copied())
            .push(" AND word IN ")
            .list(words)
            .all()
            .await?;
        for (block, word, seqs) in rows {
            found.insert((block, word), read_bits(&seqs)?);
        }
        Ok(found)
    }

    /// Whether all words of a field begin so in this block: the first does, and the last. `field` stands before them.
    async fn all_begin_with(&self, block: i64, field: &str, prefix: &str) -> Result<bool> {
        let (first, last): (Option<String>, Option<String>) = self
            .read(
                "SELECT (SELECT word FROM audit_words WHERE block = $1 AND word > $2 AND word < $3 ORDER BY word LIMIT 1),
                   (SELECT word FROM audit_words WHERE block = $1 AND word > $2 AND word < $3 ORDER BY word DESC LIMIT 1)",
            )
            .bind(block)
            .bind(field)
            .bind(beyond(field))
            .one()
            .await?;
        Ok(first.is_some_and(|word| word.starts_with(prefix))
            && last.is_some_and(|word| word.starts_with(prefix)))
    }
}
