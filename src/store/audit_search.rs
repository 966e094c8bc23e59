//! Finding audit entries. The index of words (`store::audit_words`) says block by block which entries fit, so that no search
//! depends on how many match or on what a planner makes of it; entries that are not in the index yet are read and looked at.

use super::{Db, Result, audit::AuditFilter, bits::SIZE};
use crate::{
    clock::Millis,
    domain::{
        audit::{Entry, Outcome},
        audit_search::{Field, Span},
        audit_words::{Query, outcome_word, words},
    },
};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Entries that are read and looked at in one go.
const LOOK: i64 = 256;
/// Most entries that are read for a count that need not be exact.
const COUNT_LOOK: i64 = 2_048;
/// Blocks that are counted for it, and bytes of sets under many words, before it stops.
const COUNT_BLOCKS: usize = 256;
const COUNT_FOLLOW: usize = 256 << 10;
/// Most blocks of one statement.
const BLOCKS: usize = 32;

/// How many entries match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matches {
    pub count: i64,
    /// Else there may be more.
    pub is_exact: bool,
}

impl AuditFilter {
    fn query(&self) -> Query {
        let mut query = Query::default();
        let fields = [
            (Field::Workspace, &self.workspace_id),
            (Field::Tenant, &self.tenant_id),
            (Field::Actor, &self.actor),
            (Field::Operation, &self.op_id),
            (Field::Job, &self.job_id),
            (Field::Target, &self.target),
        ];
        for (field, text) in fields {
            if let Some(text) = text {
                query.require(field, text);
            }
        }
        match &self.action {
            Some(noun) if noun.ends_with('.') => query.require_noun(noun),
            Some(action) => query.require(Field::Action, action),
            None => {}
        }
        if let Some(outcome) = self.outcome {
            query.require(Field::Outcome, outcome.as_str());
        }
        if let Some(job) = &self.items_of {
            query.items_of(false, job);
        }
        for job in &self.not_items_of {
            query.items_of(true, job);
        }
        query.spans.push((false, Span { from: self.from, to: self.to }));
        query.add(&self.search);
        query
    }
}

impl Db {
    /// The numbers of the entries that the filter matches. `before` and `after` are entry numbers, both exclusive; with `after`
    /// those next to it, smallest first, else the largest first.
    pub async fn audit_seqs(
        &self,
        filter: &AuditFilter,
        before: Option<i64>,
        after: Option<i64>,
        limit: i64,
    ) -> Result<Vec<i64>> {
        let walk = Walk::new(self, filter.query(), before, after).await?;
        let limit = usize::try_from(limit).unwrap_or_default();
        let mut found = Vec::new();
        if after.is_none() {
            walk.look(walk.tail(), true, limit, &mut found).await?;
        }
        let mut blocks = walk.blocks();
        if after.is_none() {
            blocks.reverse();
        }
        let (mut rest, mut step) = (blocks.as_slice(), 1);
        while !rest.is_empty() && found.len() < limit {
            let (some, more) = rest.split_at(step.min(rest.len()));
            (rest, step) = (more, (step * 2).min(BLOCKS));
            for (block, bits) in some.iter().zip(walk.found_in(some).await?) {
                let mut seqs: Vec<i64> = bits.iter().map(|n| block * SIZE + i64::from(n)).collect();
                if after.is_none() {
                    seqs.reverse();
                }
                found.extend(seqs.into_iter().take(limit - found.len().min(limit)));
            }
        }
        if after.is_some() {
            walk.look(walk.tail(), false, limit, &mut found).await?;
        }
        found.truncate(limit);
        Ok(found)
    }

    /// How many entries the filter matches.
    pub async fn audit_count(&self, filter: &AuditFilter) -> Result<i64> {
        Ok(Walk::new(self, filter.query(), None, None).await?.count(true).await?.count)
    }

    /// How many entries above `after` and below `before` it matches.
    pub(super) async fn audit_count_between(
        &self,
        filter: &AuditFilter,
        after: i64,
        before: i64,
    ) -> Result<i64> {
        Ok(Walk::new(self, filter.query(), Some(before), Some(after)).await?.count(true).await?.count)
    }

    /// The same of the whole log where a count without an end would take too long: it may then stop early.
    pub async fn audit_count_in_time(&self, filter: &AuditFilter) -> Result<Matches> {
        Walk::new(self, filter.query(), None, None).await?.count(false).await
    }

    /// How many of the entries that the filter matches have which outcome; outcomes of none are left out.
    pub async fn audit_outcomes(&self, filter: &AuditFilter) -> Result<Vec<(Outcome, i64)>> {
        let walk = Walk::new(self, filter.query(), None, None).await?;
        let outcome_words: Vec<String> = Outcome::ALL.iter().map(|o| outcome_word(*o)).collect();
        let mut counts = vec![0; Outcome::ALL.len()];
        let mut read = Vec::new();
        walk.look(walk.tail(), false, usize::MAX, &mut read).await?;
        for some in walk.blocks().chunks(BLOCKS) {
            let found = walk.found_in(some).await?;
            let alive = some.iter().zip(&found).filter(|(_, bits)| !bits.is_empty());
            let alive: Vec<i64> = alive.map(|(block, _)| *block).collect();
            let by_outcome = self.read_words(&alive, outcome_words.iter().map(String::as_str)).await?;
            for (block, bits) in some.iter().zip(found) {
                for (word, count) in outcome_words.iter().zip(&mut counts) {
                    if let Some(of_outcome) = by_outcome.get(&(*block, word.clone())) {
                        let mut both = bits.clone();
                        both.and(of_outcome);
                        *count += both.count() as i64;
                    }
                }
            }
        }
        for some in read.chunks(LOOK as usize) {
            for entry in self.audit_entries(some).await? {
                if let Some(place) = Outcome::ALL.iter().position(|o| *o == entry.outcome) {
                    counts[place] += 1;
                }
            }
        }
        Ok(Outcome::ALL.iter().copied().zip(counts).filter(|(_, count)| *count > 0).collect())
    }

    /// The first entry of that time or later, of `size` entries. Times never fall from one entry to the next.
    async fn first_audit_entry_from(&self, at: Millis, size: i64) -> Result<i64> {
        let (mut low, mut high) = (0, size);
        while low < high {
            let middle = low + (high - low) / 2;
            let there: i64 =
                self.read("SELECT at FROM audit_entries WHERE seq = $1").bind(middle).value().await?;
            if there < at { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }
}

/// One search under way.
pub(super) struct Walk<'a> {
    pub(super) db: &'a Db,
    pub(super) query: Query,
    /// Entries are looked for from here on.
    pub(super) from: i64,
    /// And below here.
    pub(super) to: i64,
    /// But not from the first on and below the second of these.
    pub(super) out: Vec<(i64, i64)>,
    /// Entries below are in the index.
    pub(super) indexed: i64,
    /// Bytes of sets that were read for look-ups that stand for many words.
    pub(super) followed: AtomicUsize,
}

impl<'a> Walk<'a> {
    async fn new(db: &'a Db, query: Query, before: Option<i64>, after: Option<i64>) -> Result<Self> {
        // The index first: what comes into it afterwards is read as if it were not.
        let indexed: i64 = db.read("SELECT size FROM audit_words_head WHERE id = 1").value().await?;
        let size: i64 = db.read("SELECT size FROM audit_head WHERE id = 1").value().await?;
        let mut walk = Walk {
            db,
            from: after.map_or(0, |after| after.saturating_add(1).max(0)),
            to: before.unwrap_or(size).min(size),
            out: Vec::new(),
            indexed,
            query,
            followed: AtomicUsize::new(0),
        };
        for (not, span) in walk.query.spans.clone() {
            let from = match span.from {
                Some(at) => db.first_audit_entry_from(at, size).await?,
                None => 0,
            };
            let to = match span.to {
                Some(at) => db.first_audit_entry_from(at, size).await?,
                None => size,
            };
            if not {
                walk.out.push((from, to));
            } else {
                walk.from = walk.from.max(from);
                walk.to = walk.to.min(to);
            }
        }
        Ok(walk)
    }

    /// The entries that are not in the index.
    fn tail(&self) -> (i64, i64) {
        (self.from.max(self.indexed), self.to)
    }

    /// The blocks that the index has.
    fn blocks(&self) -> Vec<i64> {
        let to = self.to.min(self.indexed);
        if self.from < to { (self.from / SIZE..=(to - 1) / SIZE).collect() } else { Vec::new() }
    }

    fn is_out(&self, seq: i64) -> bool {
        self.out.iter().any(|(from, to)| (*from..*to).contains(&seq))
    }

    fn fits(&self, entry: &Entry) -> bool {
        !self.is_out(entry.seq) && self.query.fits(&words(entry))
    }

    /// Reads the entries of a stretch, until there are `limit`.
    async fn look(
        &self,
        (from, to): (i64, i64),
        newest_first: bool,
        limit: usize,
        found: &mut Vec<i64>,
    ) -> Result<()> {
        let (mut low, mut high) = (from, to);
        while low < high && found.len() < limit {
            let (begin, end) =
                if newest_first { ((high - LOOK).max(low), high) } else { (low, (low + LOOK).min(high)) };
            if newest_first {
                high = begin
            } else {
                low = end
            }
            if self.query.conditions.is_empty() {
                found.extend((begin..end).filter(|seq| !self.is_out(*seq)));
            } else {
                let entries = self.db.audit_range(begin, end).await?;
                found.extend(entries.iter().filter(|entry| self.fits(entry)).map(|entry| entry.seq));
            }
            if newest_first {
                let new = found.iter().rposition(|seq| *seq >= end).map_or(0, |at| at + 1);
                found[new..].reverse();
            }
        }
        Ok(())
    }

    async fn count(&self, exact: bool) -> Result<Matches> {
        let (from, to) = self.tail();
        let mut all = Matches { count: 0, is_exact: true };
        let plain = self.query.conditions.is_empty();
        if exact || plain || to - from <= COUNT_LOOK {
            let mut found = Vec::new();
            if plain && self.out.is_empty() {
                all.count += (to - from).max(0);
            } else {
                self.look((from, to), false, usize::MAX, &mut found).await?;
            }
            all.count += found.len() as i64;
        } else {
            all.is_exact = false;
        }
        let blocks = self.blocks();
        let (mut rest, mut step) = (blocks.as_slice(), 1);
        while !rest.is_empty() {
            if !exact && !plain && self.followed.load(Ordering::Relaxed) > COUNT_FOLLOW {
                all.is_exact = false;
                break;
            }
            let (more, some) = rest.split_at(rest.len() - step.min(rest.len()));
            (rest, step) = (more, (step * 2).min(BLOCKS));
            let found = self.found_in(some).await?;
            all.count += found.iter().map(|bits| bits.count() as i64).sum::<i64>();
            if !exact && blocks.len() - rest.len() >= COUNT_BLOCKS && !rest.is_empty() {
                all.is_exact = false;
                break;
            }
        }
        Ok(all)
    }
}
