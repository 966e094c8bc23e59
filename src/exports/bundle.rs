//! A bundle for an auditor (docs/audit-format.md §6): the entries with a checkpoint that is signed for it, and what proves
//! that they are in the log, and where the scope allows it, that none is missing.

use super::{Chunks, Cut, Wanted, batches, lines};
use crate::{
    audit::{
        Log, Signed,
        bundle::{BundleWriter, Opening, Scope},
        proofs::Proofs,
        tree::Hash,
    },
    clock::Millis,
    store::{
        self, Db,
        audit_batches::{self, Batch},
    },
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, atomic::AtomicI64},
};

/// Checkpoints handed out with earlier bundles, newest first, that a bundle proves to be a beginning of its own: whoever kept
/// one of them can tell that nothing before it was rewritten.
const HANDED_OUT: i64 = 50;

impl Wanted {
    /// What a bundle of it can claim to be.
    pub fn scope(&self) -> Scope {
        let whole = self.after < 0 && self.before == i64::MAX;
        match self.filter.scope().filter(|_| whole) {
            Some(audit_batches::Scope::Log) => Scope::Log {},
            Some(audit_batches::Scope::Workspace(workspace)) => Scope::Workspace { workspace },
            Some(audit_batches::Scope::Tenant(workspace, tenant)) => Scope::Tenant { workspace, tenant },
            None => Scope::Partial { filter: self.described() },
        }
    }

    /// The search in words that can be searched for again.
    fn described(&self) -> String {
        match &self.filter.workspace_id {
            Some(workspace) if self.search.is_empty() => format!("workspace={workspace}"),
            Some(workspace) => format!("workspace={workspace}&{}", self.search),
            None => self.search.clone(),
        }
    }
}

/// The archive's bytes, and below which number entries are in it. The checkpoint covers at least `size` entries.
pub async fn chunks(
    db: &Db,
    log: &Log,
    wanted: Wanted,
    size: i64,
    now: Millis,
    done: Arc<AtomicI64>,
) -> store::Result<(Chunks, i64)> {
    let scope = wanted.scope();
    let signed = log.checkpoint_now(size).await?;
    let head = match scope.chain() {
        Some(chain) => Some(log.head_note(&signed, chain).await?),
        None => None,
    };
    let mut proofs = log.proofs(&signed);
    let consistency = consistency(db, &signed, &mut proofs, &wanted.since).await?;
    db.note_bundle(signed.epoch as i64, signed.checkpoint.size as i64, now).await?;
    let proofs = scope.has_proofs().then_some(proofs);
    let opening = Opening {
        scope,
        exported_at: now,
        key: log.public(),
        checkpoint: &signed.note,
        head: head.as_deref(),
        consistency: &consistency,
    };
    let (writer, begin) =
        BundleWriter::new(&opening).map_err(|error| store::Error::Corrupt(error.to_string()))?;
    let until = wanted.before.min(signed.checkpoint.size as i64);
    let cut = Cut { filter: wanted.filter, after: wanted.after, until };
    let entries = batches(db.clone(), cut, done);
    let rest =
        stream::try_unfold((entries, proofs, Some(writer)), |(mut entries, mut proofs, writer)| async move {
            let Some(mut writer) = writer else { return Ok(None) };
            while let Some(batch) = entries.next().await {
                let ready = add(&mut writer, proofs.as_mut(), &batch.map_err(io::Error::other)?).await?;
                if !ready.is_empty() {
                    return Ok(Some((Bytes::from(ready), (entries, proofs, Some(writer)))));
                }
            }
            Ok(Some((Bytes::from(writer.finish()), (entries, proofs, None))))
        });
    Ok((stream::iter([Ok(Bytes::from(begin))]).chain(rest).boxed(), until))
}

/// Adds entries with their proofs; returns what is ready.
async fn add(writer: &mut BundleWriter, proofs: Option<&mut Proofs>, batch: &Batch) -> io::Result<Vec<u8>> {
    let proofs = match proofs {
        None => Vec::new(),
        Some(proofs) => {
            let seqs: Vec<i64> = batch.iter().map(|entry| entry.seq).collect();
            proofs.inclusion(&seqs).await.map_err(io::Error::other)?
        }
    };
    let (mut ready, mut line) = (Vec::new(), Vec::new());
    for (n, entry) in batch.iter().enumerate() {
        line.clear();
        lines::push_object(&mut line, &entry);
        line.push(b'\n');
        ready.extend(writer.entry(entry.seq as u64, &line, proofs.get(n).map(Vec::as_slice)));
    }
    Ok(ready)
}

/// The proofs from earlier sizes of the same epoch: those handed out, and those that are asked for.
async fn consistency(
    db: &Db,
    signed: &Signed,
    proofs: &mut Proofs,
    asked: &[u64],
) -> store::Result<Vec<(u64, Vec<Hash>)>> {
    let size = signed.checkpoint.size;
    let handed_out = db.bundle_sizes(signed.epoch as i64, HANDED_OUT).await?;
    let sizes: BTreeSet<u64> =
        handed_out.into_iter().map(|size| size as u64).chain(asked.iter().copied()).collect();
    let mut made = Vec::new();
    for earlier in sizes.into_iter().filter(|earlier| (1..size).contains(earlier)) {
        made.push((earlier, proofs.consistency(earlier).await?));
    }
    Ok(made)
}
