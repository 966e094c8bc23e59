//! The audit log's rows: appending within a transaction, and reading back by filter.

use super::{Db, Error, Result, Tx};
use crate::{
    audit::{
        entry::{self, Link, Place},
        tree::{self, Hash, Range},
    },
    clock::Millis,
    domain::{
        audit::{ActorType, Detail, Draft, Entry, Outcome},
        audit_search::Search,
    },
};
use std::collections::BTreeMap;

/// What an audit list or export asks for. Times are inclusive from, exclusive to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AuditFilter {
    /// `None` is the whole instance.
    pub workspace_id: Option<String>,
    /// Part of an actor's id, or of the name as it was then.
    pub actor: Option<String>,
    /// An action, or with a trailing `.` all of a noun.
    pub action: Option<String>,
    pub tenant_id: Option<String>,
    pub outcome: Option<Outcome>,
    pub from: Option<Millis>,
    pub to: Option<Millis>,
    pub op_id: Option<String>,
    pub job_id: Option<String>,
    /// The id of one of the entry's targets.
    pub target: Option<String>,
    /// What was typed, besides.
    pub search: Search,
    /// Only the entries of this job's items.
    pub items_of: Option<String>,
    /// Not those of these jobs' items.
    pub not_items_of: Vec<String>,
}

/// Where the log stands.
#[derive(Debug, Clone)]
pub struct Head {
    pub size: i64,
    pub at: Millis,
    pub root: Hash,
    /// Why nothing may be appended, if so.
    pub fork: Option<Fork>,
}

/// How the log contradicts what was signed before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// A sentence for whoever runs this.
    pub reason: String,
    /// The signed note that it contradicts, if it is one.
    pub note: Option<String>,
}

#[derive(sqlx::FromRow)]
pub(super) struct EntryRow {
    seq: i64,
    entry: Vec<u8>,
    leaf: Vec<u8>,
    at: i64,
    actor_type: String,
    actor_id: String,
    action: String,
    outcome: String,
    workspace_id: Option<String>,
    tenant_id: Option<String>,
    op_id: Option<String>,
    job_id: Option<String>,
}

pub(super) const ENTRY: &str = "SELECT seq, entry, leaf, at, actor_type, actor_id, action, outcome, workspace_id, tenant_id, op_id, \
                     job_id FROM audit_entries WHERE";

/// Where a workspace (tenant `""`) or a tenant stands in its sequence.
type Chains<'a> = BTreeMap<(&'a str, &'a str), (i64, Hash)>;

/// An entry on its way into the table.
struct Row<'a> {
    seq: i64,
    draft: &'a Draft,
    tenant: Option<&'a str>,
    bytes: Vec<u8>,
    leaf: Hash,
    workspace_seq: Option<i64>,
    tenant_seq: Option<i64>,
}

impl Tx {
    /// Appends entries, in order, and returns the number of the first. Locks the head row first, so that numbers are
    /// dense on both engines; the last statements of a transaction should be these. A fixed few statements for any
    /// number of entries: on PostgreSQL each is a round trip, and the whole log waits for it.
    ///
    /// # Errors
    /// [`Error::AuditFork`], for no entries as well, while the log contradicts what was signed of it.
    pub async fn append(&mut self, now: Millis, drafts: &[&Draft]) -> Result<i64> {
        let (size, last, range, fork): (i64, i64, Vec<u8>, Option<String>) = self
            .sql("UPDATE audit_head SET size = size WHERE id = 1 RETURNING size, at, range, fork")
            .one()
            .await?;
        if let Some(reason) = fork {
            return Err(Error::AuditFork(reason));
        }
        let mut range = Range::from_bytes(size as u64, &range)
            .ok_or_else(|| Error::Corrupt("the audit head's range does not fit its size".into()))?;
        // Time never runs backwards in the log, whatever the clock does.
        let at = now.max(last);
        let mut chains = self.chains(drafts).await?;
        let (mut rows, mut details) = (Vec::with_capacity(drafts.len()), Vec::new());
        for draft in drafts {
            let seq = range.size() as i64;
            let workspace = draft.workspace.as_deref();
            let tenant = workspace.and(draft.tenant.as_deref());
            let in_workspace = workspace.map(|workspace| next(&chains, workspace, ""));
            let in_tenant = workspace.zip(tenant).map(|(workspace, tenant)| next(&chains, workspace, tenant));
            let parts = entry::details(draft, crate::envelope::random);
            let bytes = entry::bytes(&Place { seq, at, in_workspace, in_tenant }, draft, &parts);
            let leaf = tree::leaf_hash(&bytes);
            if let (Some(workspace), Some(link)) = (workspace, in_workspace) {
                chains.insert((workspace, ""), (link.seq, leaf));
            }
            if let (Some(workspace), Some(tenant), Some(link)) = (workspace, tenant, in_tenant) {
                chains.insert((workspace, tenant), (link.seq, leaf));
            }
            range.push(leaf);
            details.extend(parts.into_iter().map(|part| (seq, part)));
            let (workspace_seq, tenant_seq) = (in_workspace.map(|l| l.seq), in_tenant.map(|l| l.seq));
            rows.push(Row { seq, draft, tenant, bytes, leaf, workspace_seq, tenant_seq });
        }
        self.insert_entries(at, &rows).await?;
        self.insert_details(&details).await?;
        self.put_chains(&chains).await?;
        self.sql("UPDATE audit_head SET size = $1, at = $2, range = $3 WHERE id = 1")
            .bind(range.size() as i64)
            .bind(at)
            .bind(range.to_bytes())
            .run()
            .await?;
        Ok(size)
    }

    /// The sequences that the drafts go on.
    async fn chains<'a>(&mut self, drafts: &[&'a Draft]) -> Result<Chains<'a>> {
        let mut wanted: Vec<(&str, &str)> = Vec::new();
        for draft in drafts {
            if let Some(workspace) = draft.workspace.as_deref() {
                wanted.push((workspace, ""));
                wanted.extend(draft.tenant.as_deref().map(|tenant| (workspace, tenant)));
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        let mut chains = Chains::new();
        if wanted.is_empty() {
            return Ok(chains);
        }
        let found: Vec<(String, String, i64, Vec<u8>)> = self
            .sql("SELECT c.workspace_id, c.tenant_id, c.seq, c.leaf FROM ")
            .table(&wanted, |&(workspace, tenant)| [workspace.into(), tenant.into()])
            .push(" JOIN audit_chains c ON c.workspace_id = v.column1 AND c.tenant_id = v.column2")
            .all()
            .await?;
        for (workspace, tenant, seq, leaf) in found {
            let leaf =
                leaf.try_into().map_err(|_| Error::Corrupt("a chain's leaf is not 32 bytes".into()))?;
            if let Ok(at) = wanted.binary_search(&(workspace.as_str(), tenant.as_str())) {
                chains.insert(wanted[at], (seq, leaf));
            }
        }
        Ok(chains)
    }

    async fn insert_entries(&mut self, at: Millis, rows: &[Row<'_>]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        self.sql(
            "INSERT INTO audit_entries (seq, entry, leaf, at, actor_type, actor_id, action, outcome, workspace_id,
               workspace_seq, tenant_id, tenant_seq, op_id, job_id, target_id) SELECT * FROM ",
        )
        .table(rows, |row| {
            let Row { draft, .. } = row;
            [
                row.seq.into(),
                (&row.bytes).into(),
                row.leaf.to_vec().into(),
                at.into(),
                draft.actor.kind().as_str().into(),
                (&draft.actor.id).into(),
                draft.action.as_str().into(),
                draft.outcome.as_str().into(),
                (&draft.workspace).into(),
                row.workspace_seq.into(),
                row.tenant.into(),
                row.tenant_seq.into(),
                (&draft.op_id).into(),
                (&draft.job_id).into(),
                draft.targets.first().map(|t| t.id.as_str()).into(),
            ]
        })
        .run()
        .await
        .map(drop)
    }

    async fn insert_details(&mut self, details: &[(i64, Detail)]) -> Result<()> {
        if details.is_empty() {
            return Ok(());
        }
        self.sql("INSERT INTO audit_details (seq, part, salt, body) SELECT * FROM ")
            .table(details, |(seq, detail)| {
                [(*seq).into(), (&detail.part).into(), (&detail.salt).into(), (&detail.body).into()]
            })
            .run()
            .await
            .map(drop)
    }

    async fn put_chains(&mut self, chains: &Chains<'_>) -> Result<()> {
        if chains.is_empty() {
            return Ok(());
        }
        let chains: Vec<_> = chains.iter().collect();
        self.sql("INSERT INTO audit_chains (workspace_id, tenant_id, seq, leaf) SELECT * FROM ")
            .table(&chains, |((workspace, tenant), (seq, leaf))| {
                [(*workspace).into(), (*tenant).into(), (*seq).into(), leaf.to_vec().into()]
            })
            .push(
                " WHERE true ON CONFLICT (workspace_id, tenant_id) DO UPDATE SET seq = excluded.seq, leaf = excluded.leaf",
            )
            .run()
            .await
            .map(drop)
    }
}

/// The next place in a workspace's or tenant's sequence.
fn next(chains: &Chains<'_>, workspace: &str, tenant: &str) -> Link {
    match chains.get(&(workspace, tenant)) {
        Some((seq, leaf)) => Link { seq: seq + 1, previous: Some(*leaf) },
        None => Link { seq: 0, previous: None },
    }
}

impl Db {
    /// Appends entries that stand for no change of ours, such as refused attempts.
    pub async fn append(&self, now: Millis, drafts: &[&Draft]) -> Result<i64> {
        let mut tx = self.begin().await?;
        let first = tx.append(now, drafts).await?;
        tx.commit().await?;
        Ok(first)
    }

    pub async fn audit_head(&self) -> Result<Head> {
        let (size, at, range, fork, note): (i64, i64, Vec<u8>, Option<String>, Option<String>) =
            self.read("SELECT size, at, range, fork, fork_note FROM audit_head WHERE id = 1").one().await?;
        let range = Range::from_bytes(size as u64, &range)
            .ok_or_else(|| Error::Corrupt("the audit head's range does not fit its size".into()))?;
        Ok(Head { size, at, root: range.root(), fork: fork.map(|reason| Fork { reason, note }) })
    }

    /// One page of entries. `before` and `after` are entry numbers, both exclusive; with `after` the page is the one
    /// next to it, oldest first, else the newest first.
    pub async fn audit_page(
        &self,
        filter: &AuditFilter,
        before: Option<i64>,
        after: Option<i64>,
        limit: i64,
    ) -> Result<Vec<Entry>> {
        self.audit_entries(&self.audit_seqs(filter, before, after, limit).await?).await
    }

    /// These entries, in this order.
    pub async fn audit_entries(&self, seqs: &[i64]) -> Result<Vec<Entry>> {
        if seqs.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<EntryRow> = self.read(ENTRY).push(" seq IN ").list(seqs.iter().copied()).all().await?;
        let mut entries: BTreeMap<i64, Entry> =
            self.with_details(rows).await?.into_iter().map(|entry| (entry.seq, entry)).collect();
        Ok(seqs.iter().filter_map(|seq| entries.remove(seq)).collect())
    }

    /// The entries from a number on and below another, oldest first.
    pub async fn audit_range(&self, from: i64, to: i64) -> Result<Vec<Entry>> {
        let rows: Vec<EntryRow> = self
            .read(ENTRY)
            .push(" seq >= ")
            .arg(from)
            .push(" AND seq < ")
            .arg(to)
            .push(" ORDER BY seq")
            .all()
            .await?;
        self.with_details(rows).await
    }

    /// One entry. With a workspace, only if it is that workspace's.
    pub async fn audit_entry(&self, workspace_id: Option<&str>, seq: i64) -> Result<Option<Entry>> {
        let row: Option<EntryRow> =
            self.read(ENTRY).push(" seq = ").arg(seq).and("workspace_id =", workspace_id).opt().await?;
        Ok(self.with_details(row.into_iter().collect()).await?.pop())
    }

    async fn with_details(&self, rows: Vec<EntryRow>) -> Result<Vec<Entry>> {
        let mut details = BTreeMap::new();
        if !rows.is_empty() {
            let found: Vec<(i64, String, Vec<u8>, String)> = self
                .read("SELECT seq, part, salt, body FROM audit_details WHERE seq IN ")
                .list(rows.iter().map(|r| r.seq))
                .push(" ORDER BY seq, part")
                .all()
                .await?;
            details = group_details(found);
        }
        rows.into_iter()
            .map(|row| {
                let details = details.remove(&row.seq).unwrap_or_default();
                row.into_entry(details)
            })
            .collect()
    }
}

/// Details by the numbers of their entries.
pub(super) fn group_details(found: Vec<(i64, String, Vec<u8>, String)>) -> BTreeMap<i64, Vec<Detail>> {
    let mut details: BTreeMap<i64, Vec<Detail>> = BTreeMap::new();
    for (seq, part, salt, body) in found {
        details.entry(seq).or_default().push(Detail { part, salt, body });
    }
    details
}

impl EntryRow {
    pub(super) fn into_entry(self, details: Vec<Detail>) -> Result<Entry> {
        Ok(Entry {
            actor_type: ActorType::parse(&self.actor_type)
                .ok_or_else(|| Error::Corrupt("actor type".into()))?,
            outcome: Outcome::parse(&self.outcome).ok_or_else(|| Error::Corrupt("outcome".into()))?,
            seq: self.seq,
            at: self.at,
            actor_id: self.actor_id,
            action: self.action,
            workspace_id: self.workspace_id,
            tenant_id: self.tenant_id,
            op_id: self.op_id,
            job_id: self.job_id,
            bytes: self.entry,
            leaf: self.leaf,
            details,
        })
    }
}
