//! A log in memory, kept as `store::audit` keeps it, what is signed about it, and bundles of it: honest ones, and the means to make
//! others of them.

use crate::support::chance::Chance;
use gatehouse::{
    audit::{
        bundle::{self, BundleWriter, Manifest, Member, Opening, Scope},
        entry::{self, Link, Place},
        note::{Chain, Checkpoint, Head, SigningKey},
        proof::{self, Node},
        tree::{Hash, Range, digest, leaf_hash, node_hash},
    },
    clock::{HOUR, MINUTE, Millis},
    domain::{
        audit::{Action, Actor, ActorType, Context, Detail, Draft, Outcome},
        times,
    },
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    convert::Infallible,
    fs::File,
    io::{BufWriter, Read, Write},
    path::Path,
};

/// 2026-03-15T10:00:00Z.
pub const BEGAN: Millis = 1_773_568_800_000;

#[derive(Clone, Default)]
pub struct Stored {
    pub seq: u64,
    pub at: Millis,
    pub bytes: Vec<u8>,
    pub leaf: Hash,
    pub workspace: Option<String>,
    pub tenant: Option<String>,
    pub details: Vec<Detail>,
}

pub struct Log {
    pub key: SigningKey,
    pub epoch: u64,
    pub entries: Vec<Stored>,
    chains: HashMap<(String, String), Link>,
    chance: Chance,
}

/// The bytes that are signed by this seed's key; every log of the tests has this id.
pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed("5f0c1d9e", &[seed; 32]).unwrap()
}

impl Log {
    pub fn new(seed: u64) -> Self {
        Self { key: key(1), epoch: 1, entries: Vec::new(), chains: HashMap::new(), chance: Chance::new(seed) }
    }

    pub fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    pub fn last_at(&self) -> Millis {
        self.entries.last().map_or(BEGAN, |entry| entry.at)
    }

    pub fn append(&mut self, at: Millis, draft: &Draft) {
        let chance = &mut self.chance;
        let details = entry::details(draft, || std::array::from_fn(|_| chance.between(0, 256) as u8));
        let ids = [draft.workspace.clone(), draft.workspace.clone().and(draft.tenant.clone())];
        let next = |tenant: &str| {
            let id = (draft.workspace.clone().unwrap_or_default(), tenant.to_owned());
            self.chains.get(&id).copied().unwrap_or(Link { seq: 0, previous: None })
        };
        let place = Place {
            seq: self.entries.len() as i64,
            at,
            in_workspace: ids[0].as_ref().map(|_| next("")),
            in_tenant: ids[1].as_ref().map(|tenant| next(tenant)),
        };
        let bytes = entry::bytes(&place, draft, &details);
        self.put(at, bytes, details, ids);
    }

    fn put(
        &mut self,
        at: Millis,
        bytes: Vec<u8>,
        details: Vec<Detail>,
        [workspace, tenant]: [Option<String>; 2],
    ) {
        let leaf = leaf_hash(&bytes);
        for of in
            workspace.iter().map(|w| (w.clone(), String::new())).chain(workspace.clone().zip(tenant.clone()))
        {
            let link = self.chains.entry(of).or_insert(Link { seq: 0, previous: None });
            *link = Link { seq: link.seq + 1, previous: Some(leaf) };
        }
        let seq = self.entries.len() as u64;
        self.entries.push(Stored { seq, at, bytes, leaf, workspace, tenant, details });
    }

    /// Goes on from an older copy of itself, and says so.
    pub fn restore(&mut self, kept: usize, at: Millis, epoch: u64) {
        *self = self.cut(kept);
        self.epoch = epoch;
        let actor = Actor::system("cli");
        self.append(at, &Draft::done(&actor, Action::AuditRestore).target("epoch", &epoch.to_string()));
    }

    /// Its beginning.
    pub fn cut(&self, kept: usize) -> Self {
        let fork = Chance::new(self.chance.clone().between(0, u64::MAX) ^ kept as u64);
        let mut log = Self { key: key(1), epoch: self.epoch, chance: fork, ..Self::new(0) };
        for old in &self.entries[..kept] {
            let ids = [old.workspace.clone(), old.tenant.clone()];
            log.put(old.at, old.bytes.clone(), old.details.clone(), ids);
        }
        log
    }

    /// As somebody would have it who can write to the database: entries changed at will, then numbered, linked and hashed anew.
    pub fn rewritten(&self, change: impl FnOnce(&mut Vec<(Value, Vec<Detail>)>)) -> Self {
        let mut entries: Vec<(Value, Vec<Detail>)> = self
            .entries
            .iter()
            .map(|e| (serde_json::from_slice(&e.bytes).unwrap(), e.details.clone()))
            .collect();
        change(&mut entries);
        let mut log = Self { epoch: self.epoch, ..Self::new(99) };
        for (mut entry, details) in entries {
            entry["seq"] = json!(log.entries.len());
            let ids = ["workspace", "tenant"].map(|name| entry[name].as_str().map(str::to_owned));
            let workspace = ids[0].clone().unwrap_or_default();
            for (name, id) in [("inWorkspace", ids[0].as_ref().map(|_| "")), ("inTenant", ids[1].as_deref())]
            {
                entry[name] = id.map_or(Value::Null, |id| {
                    let link = log.chains.get(&(workspace.clone(), id.to_owned()));
                    json!({ "seq": link.map_or(0, |l| l.seq), "previous": link.and_then(|l| l.previous).map(hex::encode) })
                });
            }
            let at = times::from_iso(entry["at"].as_str().unwrap()).unwrap();
            log.put(at, entry::canonical(&entry).into_bytes(), details, ids);
        }
        log
    }

    pub fn root(&self, size: u64) -> Hash {
        let mut range = Range::default();
        self.entries[..size as usize].iter().for_each(|entry| range.push(entry.leaf));
        range.root()
    }

    /// The signed checkpoint of its first entries.
    pub fn checkpoint(&self, size: u64) -> String {
        let origin = self.key.public().origin(self.epoch);
        self.key.sign(&Checkpoint { origin, size, root: self.root(size) }.to_string())
    }

    /// The signed head of a scope's chain.
    pub fn head(&self, scope: &Scope, size: u64) -> Option<String> {
        let chain = scope.chain()?;
        let of: Vec<&Stored> = self.entries[..size as usize].iter().filter(|e| is_of(e, &chain)).collect();
        let origin = self.key.public().origin(self.epoch);
        let head = Head { origin, size, chain, count: of.len() as u64, last: of.last().map(|e| e.leaf) };
        Some(self.key.sign(&head.to_string()))
    }

    /// An honest bundle of its first entries, with consistency proofs from earlier sizes.
    pub fn bundle(&self, scope: &Scope, size: u64, earlier: &[u64]) -> Vec<u8> {
        self.bundle_as(scope, size, &self.checkpoint(size), self.head(scope, size), earlier)
    }

    /// A bundle of its first entries under other notes than its own.
    pub fn bundle_as(
        &self,
        scope: &Scope,
        size: u64,
        checkpoint: &str,
        head: Option<String>,
        earlier: &[u64],
    ) -> Vec<u8> {
        let subtrees = self.subtrees();
        let hashes = |plan: Vec<proof::Stretch>| {
            let of = |node: Node| Ok::<_, Infallible>(subtrees[node.level as usize][node.index as usize]);
            proof::resolve(&plan, of).unwrap()
        };
        let consistency: Vec<_> =
            earlier.iter().map(|old| (*old, hashes(proof::consistency(*old, size)))).collect();
        let opening = Opening {
            scope: scope.clone(),
            exported_at: self.last_at() + MINUTE,
            key: self.key.public(),
            checkpoint,
            head: head.as_deref(),
            consistency: &consistency,
        };
        let (mut writer, mut archive) = BundleWriter::new(&opening).unwrap();
        for entry in self.entries[..size as usize].iter().filter(|entry| is_in(entry, scope)) {
            let proof = scope.has_proofs().then(|| hashes(proof::inclusion(entry.seq, size)));
            archive.extend(writer.entry(entry.seq, &line(entry), proof.as_deref()));
        }
        archive.extend(writer.finish());
        archive
    }

    /// All perfect subtrees, by level.
    fn subtrees(&self) -> Vec<Vec<Hash>> {
        let mut levels: Vec<Vec<Hash>> = vec![self.entries.iter().map(|entry| entry.leaf).collect()];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let above = below.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
            levels.push(above);
        }
        levels
    }
}

fn is_of(entry: &Stored, chain: &Chain) -> bool {
    entry.workspace.as_ref() == Some(&chain.workspace)
        && (chain.tenant.is_none() || entry.tenant == chain.tenant)
}

/// `partial`: the search is a number, and every entry whose number it divides is found.
fn is_in(entry: &Stored, scope: &Scope) -> bool {
    match (scope, scope.chain()) {
        (Scope::Partial { filter }, _) => entry.seq.is_multiple_of(filter.parse().unwrap()),
        (_, Some(chain)) => is_of(entry, &chain),
        _ => true,
    }
}

/// An entry's line, as §5 says it.
pub fn line(entry: &Stored) -> Vec<u8> {
    let details: Vec<Value> = entry
        .details
        .iter()
        .map(|d| json!({ "part": d.part, "salt": hex::encode(&d.salt), "body": d.body }))
        .collect();
    let mut line = b"{\"entry\":".to_vec();
    line.extend(&entry.bytes);
    line.extend(
        format!(",\"leaf\":\"{}\",\"details\":{}}}\n", hex::encode(entry.leaf), json!(details)).bytes(),
    );
    line
}

pub fn workspace(id: &str) -> Scope {
    Scope::Workspace { workspace: id.to_owned() }
}

pub fn tenant(workspace: &str, tenant: &str) -> Scope {
    Scope::Tenant { workspace: workspace.to_owned(), tenant: tenant.to_owned() }
}

pub fn partial(every: u64) -> Scope {
    Scope::Partial { filter: every.to_string() }
}

/// One entry of a life as it is: people and keys, several workspaces and tenants, text that is awkward.
pub fn draft(chance: &mut Chance) -> Draft {
    let texts = [
        "spring clean",
        "\"; DROP TABLE --",
        "Grüße, 世界 \u{1f98a}",
        "a\tb\\c\u{7f}\u{2028}",
        "{\"entry\":{}}",
        "",
    ];
    let mut actor = match chance.between(0, 4) {
        0 => Actor::new(ActorType::Admin, "adm_1", *chance.one(&["Ada", "Zoë O'Brien", "\u{202e}abc"])),
        1 | 2 => Actor::new(ActorType::Key, "key_7", "CI"),
        _ => Actor::system("reconciler"),
    };
    if actor.kind() == ActorType::Key {
        actor.key_prefix = Some("sk_ght_abcde".into());
        actor.context = Context {
            ip: Some("203.0.113.7".into()),
            user_agent: Some((*chance.one(&texts)).into()),
            request_id: Some(format!("r{}", chance.between(0, 1000))),
            ..Context::default()
        };
    }
    let action =
        *chance.one(&[Action::PostDelete, Action::PostUpdate, Action::KeyCreate, Action::TenantFreeze]);
    let outcome = *chance.one(Outcome::ALL);
    let mut draft = Draft::new(&actor, action, outcome).reason(chance.one::<&str>(&texts));
    if chance.percent(90) {
        draft = draft.workspace(chance.one::<&str>(&["w1", "w2", "w3"]));
        draft =
            draft.tenant(chance.percent(70).then(|| *chance.one(&["t1", "t2", "507f1f77bcf86cd799439011"])));
    }
    for _ in 0..chance.between(0, 3) {
        draft = draft.target("post", &format!("p{}", chance.between(0, 100)));
    }
    if chance.percent(30) {
        draft = draft.was("state", *chance.one(&texts)).set("state", json!([1, {"b": null}]));
    }
    if chance.percent(40) {
        let code = chance.percent(50).then(|| "rate_limited".to_owned());
        let status = chance.percent(80).then_some(429);
        draft.upstream = Some(gatehouse::domain::audit::UpstreamResult { status, latency_ms: 12, code });
        draft.op_id = Some("op_1".into());
        draft.job_id = chance.percent(50).then(|| "job_1".into());
    }
    draft
}

/// An honest life of so many entries: starts, a busy time, quiet hours with heartbeats, stops.
pub fn life(seed: u64, size: usize) -> Log {
    let mut log = Log::new(seed);
    let mut chance = Chance::new(seed ^ 0xabcd);
    grow(&mut log, &mut chance, size);
    log
}

/// Writes a bundle of a whole log to a file, of so many entries, which need not be in memory at once. Returns its public key.
pub fn write_big(path: &Path, size: usize) -> String {
    // What is forgotten of an entry once it is written; its number stays.
    fn each(size: usize, mut found: impl FnMut(&Stored)) -> Log {
        let (mut log, mut chance) = (Log::new(21), Chance::new(22));
        while log.entries.len() < size {
            let more = log.entries.len() + 1;
            grow(&mut log, &mut chance, more);
            let entry = log.entries.last_mut().unwrap();
            found(entry);
            *entry = Stored { at: entry.at, ..Stored::default() };
        }
        log
    }
    let mut range = Range::default();
    let log = each(size, |entry| range.push(entry.leaf));
    let checkpoint = Checkpoint { origin: log.key.public().origin(1), size: size as u64, root: range.root() };
    let checkpoint = log.key.sign(&checkpoint.to_string());
    let opening = Opening {
        scope: Scope::Log {},
        exported_at: log.last_at(),
        key: log.key.public(),
        checkpoint: &checkpoint,
        head: None,
        consistency: &[],
    };
    let (mut writer, first) = BundleWriter::new(&opening).unwrap();
    let mut file = BufWriter::new(File::create(path).unwrap());
    file.write_all(&first).unwrap();
    each(size, |entry| file.write_all(&writer.entry(entry.seq, &line(entry), None)).unwrap());
    file.write_all(&writer.finish()).unwrap();
    file.flush().unwrap();
    log.key.public().to_string()
}

/// Goes on living up to so many entries.
pub fn grow(log: &mut Log, chance: &mut Chance, size: usize) {
    while log.entries.len() < size {
        let at = log.last_at();
        let system = Actor::system("audit");
        match chance.between(0, 100) {
            _ if log.entries.is_empty() => log.append(BEGAN, &Draft::done(&system, Action::AuditStart)),
            0..3 => {
                // Stopped for a night, or for a moment.
                let stopped = chance.between(0, 20) as i64 * HOUR;
                log.append(at + stopped, &Draft::done(&system, Action::AuditStart));
            }
            3..8 => log.append(at + HOUR, &Draft::done(&system, Action::AuditHeartbeat)),
            _ => log.append(at + chance.between(0, 5) as i64 * MINUTE, &draft(chance)),
        }
    }
}

pub type Members = Vec<(String, Vec<u8>)>;

/// What is in a bundle.
pub fn members(bundle: &[u8]) -> Members {
    tar::Archive::new(bundle)
        .entries()
        .unwrap()
        .map(|member| {
            let mut member = member.unwrap();
            let name = String::from_utf8(member.path_bytes().into_owned()).unwrap();
            let mut content = Vec::new();
            member.read_to_end(&mut content).unwrap();
            (name, content)
        })
        .collect()
}

pub fn member<'m>(members: &'m mut Members, name: &str) -> &'m mut Vec<u8> {
    &mut members.iter_mut().find(|(found, _)| found == name).unwrap().1
}

/// An archive of just that.
pub fn pack(members: &Members) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, content) in members {
        bundle::append(&mut archive, name, content, (BEGAN / 1000) as u64);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// An archive whose manifest is made to fit what is in it, as whoever changes a bundle would.
pub fn seal(members: &mut Members) -> Vec<u8> {
    members.retain(|(name, _)| name != "manifest.json");
    let seqs: Vec<u64> = members
        .iter()
        .filter(|(name, _)| name.starts_with("entries/"))
        .flat_map(|(_, lines)| lines.split(|b| *b == b'\n').filter_map(seq_of).collect::<Vec<_>>())
        .collect();
    let list = members
        .iter()
        .map(|(name, content)| Member {
            name: name.clone(),
            bytes: content.len() as u64,
            sha256: hex::encode(digest(&[content])),
        })
        .collect();
    let manifest = Manifest {
        count: seqs.len() as u64,
        first_seq: seqs.first().copied(),
        last_seq: seqs.last().copied(),
        members: list,
    };
    members.push(("manifest.json".into(), serde_json::to_vec(&manifest).unwrap()));
    pack(members)
}

fn seq_of(line: &[u8]) -> Option<u64> {
    let line: Value = serde_json::from_slice(line).ok()?;
    line["entry"]["seq"].as_u64()
}

/// The lines of a member, without newlines.
pub fn lines(content: &[u8]) -> Vec<String> {
    String::from_utf8(content.to_vec()).unwrap().lines().map(str::to_owned).collect()
}

pub fn unlines(lines: &[String]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
}
