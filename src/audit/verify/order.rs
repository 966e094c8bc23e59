//! What entries say about each other: numbers without gaps, links to the entry before, time, the tree, silences, restores.

use super::{
    Fault,
    lines::{Checked, Kind, Link},
};
use crate::{
    audit::{
        bundle::Scope,
        tree::{Hash, Range},
    },
    clock::{MINUTE, Millis},
    domain::times,
};
use std::collections::{BTreeMap, HashMap};

/// The longest time between two entries of a log that is being kept.
const SILENCE: Millis = 65 * MINUTE;
/// As many of a kind are named in the verdict; more are counted.
const NAMED: usize = 20;

/// Goes with the entries, in order.
pub struct Order<'b> {
    scope: &'b Scope,
    size: u64,
    count: u64,
    first: Option<u64>,
    last: Option<(u64, Millis, Hash)>,
    workspaces: HashMap<String, Workspace>,
    /// Of the whole log.
    range: Range,
    /// The sizes at which the root is wanted, and the roots once they are known.
    roots: BTreeMap<u64, Option<Hash>>,
    /// Number and epoch of each restore.
    pub restores: Vec<(u64, u64)>,
    pub missing: u64,
    pub silences: Named,
    pub stops: Named,
}

/// The first of many.
#[derive(Default)]
pub struct Named {
    pub first: Vec<String>,
    pub count: u64,
}

impl Named {
    fn push(&mut self, text: impl FnOnce() -> String) {
        if self.first.len() < NAMED {
            self.first.push(text());
        }
        self.count += 1;
    }

    /// Sentences, the last of which says how many are not named.
    pub fn sentences(self) -> Vec<String> {
        let more = self.count - self.first.len() as u64;
        let rest = (more > 0).then(|| format!("And {more} more of these."));
        self.first.into_iter().chain(rest).collect()
    }
}

#[derive(Default)]
struct Workspace {
    chain: Chain,
    tenants: HashMap<String, Chain>,
}

#[derive(Default)]
struct Chain {
    count: u64,
    last: Option<Hash>,
}

impl Chain {
    fn follow(&mut self, link: Link, leaf: Hash) -> bool {
        let fits = link == Link { seq: self.count, previous: self.last };
        self.count += 1;
        self.last = Some(leaf);
        fits
    }
}

impl<'b> Order<'b> {
    /// `sizes` are those of earlier checkpoints, whose roots are to be known in the end.
    pub fn new(scope: &'b Scope, size: u64, sizes: impl Iterator<Item = u64>) -> Self {
        let mut order = Self {
            scope,
            size,
            count: 0,
            first: None,
            last: None,
            workspaces: HashMap::new(),
            range: Range::default(),
            roots: sizes.map(|size| (size, None)).collect(),
            restores: Vec::new(),
            missing: 0,
            silences: Named::default(),
            stops: Named::default(),
        };
        order.note_root();
        order
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn first_seq(&self) -> Option<u64> {
        self.first
    }

    pub fn last_seq(&self) -> Option<u64> {
        self.last.map(|(seq, ..)| seq)
    }

    pub fn last_leaf(&self) -> Option<Hash> {
        self.last.map(|(_, _, leaf)| leaf)
    }

    /// When the last entry was stored.
    pub fn last_at(&self) -> Option<Millis> {
        self.last.map(|(_, at, _)| at)
    }

    /// The root over all entries; of the whole log only.
    pub fn root(&self) -> Hash {
        self.range.root()
    }

    /// The root at an earlier size that was asked for.
    pub fn root_at(&self, size: u64) -> Option<Hash> {
        self.roots.get(&size).copied().flatten()
    }

    /// The next entry (check 7).
    pub fn entry(&mut self, entry: &Checked) -> Result<(), Fault> {
        let wrong = |what: String| Err(Fault::tampered(7, what).at(entry.seq));
        if entry.seq >= self.size {
            return wrong(format!("it is not among the first {} that the checkpoint speaks of", self.size));
        }
        if *self.scope == (Scope::Log {}) && entry.seq != self.count {
            return wrong(format!("it stands where entry {} should", self.count));
        }
        if let Some((seq, at, _)) = self.last {
            if entry.seq <= seq {
                return wrong(format!("it stands after entry {seq}"));
            }
            if entry.at < at {
                return wrong(format!("its time is before that of entry {seq}"));
            }
        }
        self.belongs(entry)?;
        self.links(entry)?;
        if *self.scope == (Scope::Log {}) {
            self.restore(entry)?;
            self.silence(entry);
            self.range.push(entry.leaf);
        }
        self.count += 1;
        self.first.get_or_insert(entry.seq);
        self.last = Some((entry.seq, entry.at, entry.leaf));
        self.missing += entry.missing;
        self.note_root();
        Ok(())
    }

    fn belongs(&self, entry: &Checked) -> Result<(), Fault> {
        let Some(chain) = self.scope.chain() else { return Ok(()) };
        let workspace = entry.workspace.as_ref().map(|(id, _)| id.as_str());
        let tenant = entry.tenant.as_ref().map(|(id, _)| id.as_str());
        let fits = workspace == Some(&chain.workspace)
            && (chain.tenant.is_none() || tenant == chain.tenant.as_deref());
        match fits {
            true => Ok(()),
            false => Err(Fault::tampered(7, format!("it is not of {chain}")).at(entry.seq)),
        }
    }

    fn links(&mut self, entry: &Checked) -> Result<(), Fault> {
        let (in_workspace, in_tenant) = match self.scope {
            Scope::Log {} | Scope::Workspace { .. } => (true, true),
            Scope::Tenant { .. } => (false, true),
            Scope::Partial { .. } => return Ok(()),
        };
        let Some((id, link)) = &entry.workspace else { return Ok(()) };
        // Known ids are looked up without a copy.
        let workspace = match self.workspaces.get_mut(id.as_str()) {
            Some(workspace) => workspace,
            None => self.workspaces.entry(id.clone()).or_default(),
        };
        if in_workspace && !workspace.chain.follow(*link, entry.leaf) {
            return Err(unlinked("workspace", id, entry));
        }
        let Some((id, link)) = entry.tenant.as_ref().filter(|_| in_tenant) else { return Ok(()) };
        let tenant = match workspace.tenants.get_mut(id.as_str()) {
            Some(tenant) => tenant,
            None => workspace.tenants.entry(id.clone()).or_default(),
        };
        match tenant.follow(*link, entry.leaf) {
            true => Ok(()),
            false => Err(unlinked("tenant", id, entry)),
        }
    }

    fn restore(&mut self, entry: &Checked) -> Result<(), Fault> {
        let Kind::Restore(epoch) = entry.kind else { return Ok(()) };
        let before = self.restores.last().map_or(1, |(_, epoch)| *epoch);
        match epoch.filter(|epoch| *epoch > before) {
            Some(epoch) => {
                self.restores.push((entry.seq, epoch));
                Ok(())
            }
            None => {
                let what = format!("it restores the log and names no epoch after epoch {before}");
                Err(Fault::tampered(10, what).at(entry.seq))
            }
        }
    }

    fn silence(&mut self, entry: &Checked) {
        let Some((seq, at, _)) = self.last.filter(|(_, at, _)| entry.at - at > SILENCE) else { return };
        let between = || {
            format!(
                "from {} (entry {seq}) to {} (entry {})",
                times::to_iso(at),
                times::to_iso(entry.at),
                entry.seq
            )
        };
        match entry.kind {
            Kind::Other => {
                self.silences.push(|| format!("Nothing was written {}, and nothing says why.", between()));
            }
            Kind::Start => self.stops.push(|| format!("The program was stopped {}.", between())),
            Kind::Restore(_) => {
                self.stops
                    .push(|| format!("The log was restored from a copy that had nothing {}.", between()));
            }
        }
    }

    fn note_root(&mut self) {
        if let Some(root) = self.roots.get_mut(&self.range.size()) {
            *root = Some(self.range.root());
        }
    }
}

fn unlinked(what: &str, id: &str, entry: &Checked) -> Fault {
    Fault::tampered(7, format!("it is not the one that follows in the sequence of {what} {id}")).at(entry.seq)
}
