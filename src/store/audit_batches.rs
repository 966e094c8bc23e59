//! Entries in bulk, with their details, as they are stored: two statements for some hundred entries. A row of its own for
//! each entry and detail would cost more than reading it (performance.md F), so the database joins them. What belongs to
//! one scope alone (the log, a workspace, a tenant) is read by its dense numbers there.

use super::{Db, Error, Result, Sql, audit::AuditFilter};
use std::ops::Range;

/// What a dense sequence of numbers runs over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    Log,
    Workspace(String),
    /// Of a workspace.
    Tenant(String, String),
}

/// Entries in order of `seq`.
#[derive(Debug, Default)]
pub struct Batch {
    seqs: Vec<i64>,
    /// The entries' bytes, one after the other, and where each ends.
    entries: Vec<u8>,
    ends: Vec<usize>,
    leaves: Vec<u8>,
    details: Vec<DetailAt>,
    salts: Vec<u8>,
    bodies: String,
}

#[derive(Debug)]
struct DetailAt {
    seq: i64,
    part: String,
    salt: Range<usize>,
    body: Range<usize>,
}

/// One entry of a [`Batch`].
#[derive(Debug, Clone)]
pub struct StoredEntry<'a> {
    pub seq: i64,
    /// The exact bytes that were hashed.
    pub bytes: &'a [u8],
    pub leaf: &'a [u8],
    /// Those that are left, by name.
    pub details: Vec<StoredDetail<'a>>,
}

/// An erasable part of an entry.
#[derive(Debug, Clone)]
pub struct StoredDetail<'a> {
    pub part: &'a str,
    pub salt: &'a [u8],
    pub body: &'a str,
}

impl AuditFilter {
    /// The scope, if the filter asks for all of one and nothing else.
    pub fn scope(&self) -> Option<Scope> {
        let Self { workspace_id, tenant_id, .. } = self.clone();
        let bare =
            Self { workspace_id: workspace_id.clone(), tenant_id: tenant_id.clone(), ..Self::default() };
        match (workspace_id, tenant_id) {
            _ if *self != bare => None,
            (None, None) => Some(Scope::Log),
            (Some(workspace), None) => Some(Scope::Workspace(workspace)),
            (Some(workspace), Some(tenant)) => Some(Scope::Tenant(workspace, tenant)),
            (None, Some(_)) => None,
        }
    }
}

impl Batch {
    pub fn len(&self) -> usize {
        self.seqs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.seqs.is_empty()
    }

    /// The number of the last entry.
    pub fn last(&self) -> Option<i64> {
        self.seqs.last().copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = StoredEntry<'_>> {
        let (mut begin, mut details) = (0, self.details.as_slice());
        self.seqs.iter().zip(&self.ends).zip(self.leaves.as_chunks::<32>().0).map(
            move |((&seq, &end), leaf)| {
                let bytes = &self.entries[begin..end];
                begin = end;
                let own = details.iter().take_while(|d| d.seq == seq).count();
                let (own, rest) = details.split_at(own);
                details = rest;
                let details = own.iter().map(|d| StoredDetail {
                    part: &d.part,
                    salt: &self.salts[d.salt.clone()],
                    body: &self.bodies[d.body.clone()],
                });
                StoredEntry { seq, bytes, leaf, details: details.collect() }
            },
        )
    }

    fn entries(row: EntriesRow) -> Result<Self> {
        let (seqs, lengths, entries, leaves) = row;
        let batch = Self {
            seqs: numbers(&seqs)?,
            ends: ends(&lengths)?,
            entries: entries.unwrap_or_default(),
            leaves: leaves.unwrap_or_default(),
            ..Self::default()
        };
        let count = batch.seqs.len();
        let fits = batch.ends.len() == count
            && batch.ends.last().copied().unwrap_or_default() == batch.entries.len()
            && batch.leaves.len() == 32 * count;
        if !fits || !batch.seqs.is_sorted() {
            return Err(Error::Corrupt("audit entries and their leaves do not fit together".into()));
        }
        Ok(batch)
    }

    /// Adds details; each must be of one of the entries.
    fn with_details(mut self, row: DetailsRow) -> Result<Self> {
        let (seqs, parts, salt_lengths, body_lengths, salts, bodies) = row;
        (self.salts, self.bodies) = (salts.unwrap_or_default(), bodies.unwrap_or_default());
        let (seqs, salts, texts) = (numbers(&seqs)?, ends(&salt_lengths)?, ends(&body_lengths)?);
        let parts: Vec<&str> = parts.split(',').filter(|part| !part.is_empty()).collect();
        let corrupt = || Error::Corrupt("audit details do not fit together".into());
        let count = seqs.len();
        if parts.len() != count || salts.len() != count || texts.len() != count || !seqs.is_sorted() {
            return Err(corrupt());
        }
        let (mut salt, mut body) = (0, 0);
        for (((seq, part), salt_end), body_end) in seqs.into_iter().zip(parts).zip(salts).zip(texts) {
            if self.salts.len() < salt_end || !self.bodies.is_char_boundary(body_end) {
                return Err(corrupt());
            }
            self.details.push(DetailAt {
                seq,
                part: part.to_owned(),
                salt: salt..salt_end,
                body: body..body_end,
            });
            (salt, body) = (salt_end, body_end);
        }
        Ok(self)
    }
}

/// Numbers, lengths, bytes, leaves.
type EntriesRow = (String, String, Option<Vec<u8>>, Option<Vec<u8>>);
/// Numbers, parts, lengths of salts and of bodies, salts, bodies.
type DetailsRow = (String, String, String, String, Option<Vec<u8>>, Option<String>);

fn numbers(list: &str) -> Result<Vec<i64>> {
    let number = |text: &str| text.parse().map_err(|_| Error::Corrupt(format!("{text} is not a number")));
    list.split(',').filter(|text| !text.is_empty()).map(number).collect()
}

fn ends(lengths: &str) -> Result<Vec<usize>> {
    let mut end = 0;
    let add = |length: i64| {
        end += usize::try_from(length).unwrap_or_default();
        end
    };
    Ok(numbers(lengths)?.into_iter().map(add).collect())
}

/// Both begin with a subquery that keeps the order; `$1` is the empty separator of bytes. That the engines keep the
/// order of a sorted subquery is checked for each batch.
const ENTRIES: &str = "SELECT COALESCE(STRING_AGG(CAST(seq AS TEXT), ','), ''),
       COALESCE(STRING_AGG(CAST(OCTET_LENGTH(entry) AS TEXT), ','), ''), STRING_AGG(entry, $1), STRING_AGG(leaf, $1)
     FROM (SELECT seq, entry, leaf FROM audit_entries WHERE ";
const DETAILS: &str = "SELECT COALESCE(STRING_AGG(CAST(seq AS TEXT), ','), ''), COALESCE(STRING_AGG(part, ','), ''),
       COALESCE(STRING_AGG(CAST(OCTET_LENGTH(salt) AS TEXT), ','), ''),
       COALESCE(STRING_AGG(CAST(OCTET_LENGTH(body) AS TEXT), ','), ''), STRING_AGG(salt, $1), STRING_AGG(body, '')
     FROM (SELECT seq, part, salt, body FROM audit_details WHERE seq ";

impl Db {
    /// How many of the first `below` entries of the log are the scope's.
    pub async fn audit_scope_len(&self, scope: &Scope, below: i64) -> Result<i64> {
        if *scope == Scope::Log {
            let size: i64 = self.read("SELECT size FROM audit_head WHERE id = 1").value().await?;
            return Ok(below.clamp(0, size));
        }
        let (workspace, tenant) = scope.ids();
        let last: Option<(i64,)> = self
            .read("SELECT seq FROM audit_chains WHERE workspace_id = $1 AND tenant_id = $2")
            .bind(workspace)
            .bind(tenant)
            .opt()
            .await?;
        // The numbers of a scope rise with those of the log: between those below and those not lies one place.
        let (mut low, mut high) = (0, last.map_or(0, |(last,)| last + 1));
        while low < high {
            let middle = low + (high - low) / 2;
            // The next one there is: that somebody has taken entries out is for a verifier to say.
            let sql = scope.numbered(self.read("SELECT seq FROM audit_entries WHERE "), middle..i64::MAX);
            let seq: Option<(i64,)> =
                sql.push(" ORDER BY ").push(scope.number()).push(" LIMIT 1").opt().await?;
            if seq.is_some_and(|(seq,)| seq < below) { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }

    /// The entries with these numbers in the scope.
    pub async fn audit_scope_batch(&self, scope: &Scope, numbers: Range<i64>) -> Result<Batch> {
        let separator = Vec::<u8>::new;
        let sql = self.read(ENTRIES).bind(separator());
        let batch = Batch::entries(
            scope.numbered(sql, numbers.clone()).push(" ORDER BY seq) AS batch").one().await?,
        )?;
        let sql = self.read(DETAILS).bind(separator());
        let sql = match scope {
            Scope::Log => sql.push(">= ").arg(numbers.start).push(" AND seq < ").arg(numbers.end),
            _ => scope.numbered(sql.push("IN (SELECT seq FROM audit_entries WHERE "), numbers).push(")"),
        };
        batch.with_details(sql.push(" ORDER BY seq, part) AS batch").one().await?)
    }

    /// The next entries above `after` and below `until` that match, at most `limit`, and up to which number they were
    /// looked for: there may be more above it.
    pub async fn audit_batch(
        &self,
        filter: &AuditFilter,
        after: i64,
        until: i64,
        limit: i64,
    ) -> Result<(Batch, i64)> {
        let seqs = self.audit_seqs(filter, Some(until), Some(after), limit).await?;
        let looked = match seqs.last() {
            Some(last) if seqs.len() as i64 == limit => *last,
            _ => until - 1,
        };
        if seqs.is_empty() {
            return Ok((Batch::default(), looked));
        }
        let sql = self.read(ENTRIES).bind(Vec::<u8>::new()).push("seq IN ").list(seqs.iter().copied());
        let batch = Batch::entries(sql.push(" ORDER BY seq) AS batch").one().await?)?;
        let sql = self.read(DETAILS).bind(Vec::<u8>::new()).push("IN ").list(seqs);
        let batch = batch.with_details(sql.push(" ORDER BY seq, part) AS batch").one().await?)?;
        Ok((batch, looked))
    }

    /// How many entries above `after` and below `until` match.
    pub async fn audit_matches(&self, filter: &AuditFilter, after: i64, until: i64) -> Result<i64> {
        if let Some(scope) = filter.scope() {
            let from = self.audit_scope_len(&scope, after + 1).await?;
            return Ok((self.audit_scope_len(&scope, until).await? - from).max(0));
        }
        self.audit_count_between(filter, after, until).await
    }
}

impl Scope {
    fn ids(&self) -> (&str, &str) {
        match self {
            Self::Log => ("", ""),
            Self::Workspace(workspace) => (workspace, ""),
            Self::Tenant(workspace, tenant) => (workspace, tenant),
        }
    }

    /// The column of the numbers.
    fn number(&self) -> &'static str {
        match self {
            Self::Log => "seq",
            Self::Workspace(_) => "workspace_seq",
            Self::Tenant(..) => "tenant_seq",
        }
    }

    /// Adds the condition that an entry has one of these numbers in the scope.
    fn numbered<'c>(&self, sql: Sql<'c>, numbers: Range<i64>) -> Sql<'c> {
        let sql = match self {
            Self::Log => sql,
            Self::Workspace(workspace) => sql.push("workspace_id = ").arg(workspace).push(" AND "),
            Self::Tenant(workspace, tenant) => {
                let sql = sql.push("workspace_id = ").arg(workspace).push(" AND tenant_id = ").arg(tenant);
                sql.push(" AND ")
            }
        };
        let number = self.number();
        sql.push(number)
            .push(" >= ")
            .arg(numbers.start)
            .push(" AND ")
            .push(number)
            .push(" < ")
            .arg(numbers.end)
    }
}
