//! The audit log held against the sandbox's journal: what the gateway says happened, and what did. Reads on from where
//! it stopped, counts what must not be by name, and asserts nothing itself.

use crate::testapp::TestApp;
use gatehouse::{
    audit::{entry, note::PublicKey, tree},
    domain::audit::Entry,
    store::Db,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// One operation of the gateway as the log tells it.
#[derive(Debug, Default, Clone)]
pub struct Operation {
    pub verb: String,
    pub target: String,
    pub job: Option<String>,
    pub intents: u32,
    pub doubts: u32,
    /// Outcomes that end it; there must be one.
    pub ends: Vec<String>,
    /// Effects in the journal that came with its request id.
    pub effects: u32,
}

impl Operation {
    pub fn says_it_happened(&self) -> bool {
        self.ends.iter().any(|end| matches!(end.as_str(), "succeeded" | "applied"))
    }
}

/// A change that was answered with success: its request id and what it was.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    pub request_id: String,
    pub what: String,
}

#[derive(Default)]
pub struct Ledger {
    range: tree::Range,
    /// The tree's root at each size.
    roots: Vec<tree::Hash>,
    entries: i64,
    /// The last number and leaf of each workspace's and tenant's sequence.
    chains: HashMap<(String, String), (i64, String)>,
    pub operations: BTreeMap<String, Operation>,
    by_request: HashMap<String, String>,
    /// Reasons given with entries of an action, and how often.
    pub reasons: BTreeMap<(String, String), u32>,
    journal_read: i64,
    pub effects: usize,
    /// Effects without the request id of an intent: those of job items, by what was done to which post.
    unnamed: BTreeMap<(String, String), u32>,
    violations: BTreeMap<&'static str, BTreeSet<String>>,
}

impl Ledger {
    pub fn violation(&mut self, name: &'static str, detail: impl Into<String>) {
        self.violations.entry(name).or_default().insert(detail.into());
    }

    /// Reads on. The journal first: whatever it shows has had its intent on disk before.
    pub async fn read(&mut self, app: &TestApp, db: &Db) {
        let mut effects = Vec::new();
        loop {
            let page = app.journal(self.journal_read).await;
            let Some(last) = page.last() else { break };
            self.journal_read = last["seq"].as_i64().unwrap();
            effects.extend(page.into_iter().filter(|e| e["origin"] == "api"));
        }
        loop {
            let page = db.audit_page(&Default::default(), None, Some(self.entries - 1), 500).await.unwrap();
            if page.is_empty() {
                break;
            }
            for entry in &page {
                self.entry(entry);
            }
        }
        for effect in &effects {
            self.effect(effect);
        }
        // Entries may have been added since the last page was read, if a gateway runs.
        let head = db.audit_head().await.unwrap();
        if head.size == self.entries && head.root != self.range.root() {
            self.violation("root", format!("at size {}", head.size));
        }
        if head.size < self.entries {
            self.violation("dense", format!("the head says {} of {}", head.size, self.entries));
        }
    }

    /// What was signed, in the guard file and of late in the database, is what was read; and nothing says otherwise. Returns
    /// how many checkpoints there were.
    pub async fn check_signed(&mut self, app: &TestApp, db: &Db) -> usize {
        let key = PublicKey::parse(&db.fact("audit_key").await.unwrap().unwrap()).unwrap();
        let mut notes = vec![std::fs::read_to_string(&app.config.audit_head).unwrap_or_default()];
        notes.extend(
            db.checkpoints_below(1, i64::MAX, 20).await.unwrap().into_iter().map(|stored| stored.note),
        );
        for note in notes.iter().filter(|note| !note.is_empty()) {
            match key.checkpoint(note) {
                Ok(signed) if self.roots.get(signed.size as usize) == Some(&signed.root) => {}
                other => self.violation("signed", format!("{other:?}, {} entries", self.entries)),
            }
        }
        if let Some(fork) = db.audit_head().await.unwrap().fork {
            self.violation("fork", fork.reason);
        }
        notes.len()
    }

    fn entry(&mut self, stored: &Entry) {
        let leaf = tree::leaf_hash(&stored.bytes);
        let bytes: Value = serde_json::from_slice(&stored.bytes).unwrap();
        if stored.seq != self.entries || bytes["seq"] != self.entries || stored.leaf != leaf {
            self.violation("dense", format!("{} where {} is due", stored.seq, self.entries));
        }
        self.entries = stored.seq + 1;
        if self.roots.is_empty() {
            self.roots.push(self.range.root());
        }
        self.range.push(leaf);
        self.roots.push(self.range.root());
        for (chain, tenant) in [("inWorkspace", None), ("inTenant", stored.tenant_id.clone())] {
            let Some(workspace) = stored.workspace_id.clone() else { continue };
            if chain == "inTenant" && tenant.is_none() {
                continue;
            }
            let key = (workspace, tenant.unwrap_or_default());
            let last = self.chains.get(&key);
            let due = last.map_or(0, |(seq, _)| seq + 1);
            if bytes[chain]["seq"] != due
                || bytes[chain]["previous"].as_str() != last.map(|(_, l)| l.as_str())
            {
                self.violation("linked", format!("entry {}, {chain}", stored.seq));
            }
            self.chains.insert(key, (due, hex::encode(leaf)));
        }
        for detail in &stored.details {
            if bytes["commitments"][&detail.part] != entry::commitment(detail) {
                self.violation("commitments", format!("entry {}, {}", stored.seq, detail.part));
            }
        }
        if let Some(reason) = stored.detail("reason").and_then(|text| serde_json::from_str(text).ok()) {
            *self.reasons.entry((stored.action.clone(), reason)).or_default() += 1;
        }
        let Some(id) = &stored.op_id else { return };
        let operation = self.operations.entry(id.clone()).or_default();
        match stored.outcome.as_str() {
            "intent" => {
                operation.intents += 1;
                operation.verb.clone_from(&stored.action);
                operation.target = bytes["targets"][0]["id"].as_str().unwrap_or_default().to_owned();
                operation.job.clone_from(&stored.job_id);
                let context: Option<Value> =
                    stored.detail("context").and_then(|text| serde_json::from_str(text).ok());
                // A job's items act in the name of the request that confirmed it; their calls have ids of their own.
                if let Some(request) = context.as_ref().and_then(|c| c["requestId"].as_str())
                    && stored.job_id.is_none()
                {
                    self.by_request.insert(request.to_owned(), id.clone());
                }
            }
            "in_doubt" => operation.doubts += 1,
            end => operation.ends.push(end.to_owned()),
        }
    }

    fn effect(&mut self, effect: &Value) {
        self.effects += 1;
        let verb = match effect["action"].as_str().unwrap() {
            "user.create" => "tenant.create",
            "user.detach" => "tenant.detach",
            "url.create" => "tenant.link",
            same => same,
        };
        let request = effect["requestId"].as_str().unwrap_or_default();
        if let Some(id) = self.by_request.get(request) {
            self.operations.get_mut(id).unwrap().effects += 1;
            return;
        }
        let target = effect["postGroupId"].as_str().or(effect["userId"].as_str()).unwrap_or_default();
        *self.unnamed.entry((verb.to_owned(), target.to_owned())).or_default() += 1;
    }

    /// What must hold at any moment, with the effects of job items by post: explained, and nothing twice.
    pub fn check(&mut self) {
        let mut found = Vec::new();
        let mut of_jobs: BTreeMap<(String, String), u32> = BTreeMap::new();
        for (id, o) in &self.operations {
            if o.intents != 1 {
                found.push(("one intent", format!("{id}: {o:?}")));
            }
            if o.ends.len() > 1 {
                found.push(("one end", format!("{id}: {o:?}")));
            }
            if o.effects > 1 {
                found.push(("nothing twice", format!("{id}: {o:?}")));
            }
            if o.job.is_some() {
                *of_jobs.entry((o.verb.clone(), o.target.clone())).or_default() += 1;
            }
        }
        for (what, effects) in &self.unnamed {
            match of_jobs.get(what) {
                None => found.push(("explained", format!("{what:?} without an intent"))),
                Some(operations) if effects > operations || what.0 == "post.delete" && *effects > 1 => {
                    found.push(("nothing twice", format!("{what:?}: {effects} effects of {operations}")));
                }
                Some(_) => {}
            }
        }
        for (name, detail) in found {
            self.violation(name, detail);
        }
    }

    /// What must hold when nothing is open any more: each operation has an end, and it says what the journal says.
    pub fn check_settled(&mut self) {
        self.check();
        let mut found = Vec::new();
        // What can only be told by the post: which of a job's calls had which effect, and which of several deletes that
        // were not answered did it.
        let mut by_target: BTreeMap<(String, String), (u32, u32)> = BTreeMap::new();
        let deleted: BTreeSet<String> = self
            .operations
            .values()
            .filter(|o| o.verb == "post.delete" && o.says_it_happened())
            .map(|o| o.target.clone())
            .collect();
        for (id, o) in &self.operations {
            let said = u32::from(o.says_it_happened());
            if o.ends.is_empty() {
                found.push(("an end", format!("{id}: {o:?}")));
            } else if o.job.is_some() || o.verb == "post.delete" {
                let sums = by_target.entry((o.verb.clone(), o.target.clone())).or_default();
                *sums = (sums.0 + said, sums.1 + o.effects);
            } else if said > o.effects {
                let others: Vec<_> =
                    self.operations.iter().filter(|(_, other)| other.target == o.target).collect();
                found.push(("success has an effect", format!("{id}: {o:?}; all of the target: {others:?}")));
            } else if said < o.effects && !(o.ends == ["gone"] && deleted.contains(&o.target)) {
                found.push(("explained", format!("{id}: {o:?}")));
            }
        }
        for (what, (said, named)) in by_target {
            let effects = named + self.unnamed.get(&what).copied().unwrap_or_default();
            if said > effects {
                found.push(("success has an effect", format!("{what:?}: {said} of {effects}")));
            } else if said < effects {
                found.push(("explained", format!("{what:?}: {said} of {effects}")));
            }
        }
        for (name, detail) in found {
            self.violation(name, detail);
        }
    }

    /// An answered success is in the log, and it happened.
    pub fn check_acknowledged(&mut self, all: &[Acknowledged]) {
        let mut found = Vec::new();
        for one in all {
            let operation = self.by_request.get(&one.request_id).and_then(|id| self.operations.get(id));
            match operation {
                Some(o) if o.intents == 1 && o.ends == ["succeeded"] && o.effects == 1 => {}
                other => found.push(format!("{} {}: {other:?}", one.what, one.request_id)),
            }
        }
        for detail in found {
            self.violation("acknowledged is durable", detail);
        }
    }

    /// Effects of job items on any of these posts.
    pub fn effects_on<'a>(&self, verb: &str, posts: impl Iterator<Item = &'a String>) -> u32 {
        posts.filter_map(|post| self.unnamed.get(&(verb.to_owned(), post.clone()))).sum()
    }

    pub fn entries(&self) -> i64 {
        self.entries
    }

    /// How many ended as each word says.
    pub fn ends(&self) -> BTreeMap<&str, usize> {
        let mut ends = BTreeMap::new();
        for end in self.operations.values().flat_map(|o| &o.ends) {
            *ends.entry(end.as_str()).or_default() += 1;
        }
        ends
    }

    /// How many there are, and each kind with its first details.
    pub fn violations(&self) -> (usize, String) {
        let mut text = String::new();
        for (name, details) in &self.violations {
            text.push_str(&format!("{name}: {}\n", details.len()));
            for detail in details.iter().take(5) {
                text.push_str(&format!("    {detail}\n"));
            }
        }
        (self.violations.values().map(BTreeSet::len).sum(), text)
    }
}
