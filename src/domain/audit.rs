//! What an audit entry says. How it becomes bytes and a tree is `crate::audit`'s business.

pub use super::audit_actions::Action;
use crate::{clock::Millis, domain::words};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

words! {
    /// Who acts.
    ActorType { Admin = "admin", Key = "key", System = "system", Anonymous = "anonymous" }
}

/// Who did something. `name` is erasable and stands outside the hashed bytes; id and key prefix are not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    #[serde(rename = "type")]
    kind: String,
    pub id: String,
    pub name: String,
    pub key_prefix: Option<String>,
    /// Where the request came from; all erasable.
    pub context: Context,
}

/// Circumstances of the request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Context {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The client label a PostPost client sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

impl Actor {
    pub fn new(kind: ActorType, id: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind: kind.as_str().to_owned(),
            id: id.into(),
            name: name.into(),
            key_prefix: None,
            context: Context::default(),
        }
    }

    /// The program itself; `part` says which of it.
    pub fn system(part: &str) -> Self {
        Self::new(ActorType::System, part, part)
    }

    pub fn anonymous(context: Context) -> Self {
        Self { context, ..Self::new(ActorType::Anonymous, "", "") }
    }

    /// A kind that is not one of ours can only come from a damaged row; it then counts as the system's.
    pub fn kind(&self) -> ActorType {
        ActorType::parse(&self.kind).unwrap_or(ActorType::System)
    }
}

words! {
    /// How it went.
    Outcome {
        /// About to be sent upstream.
        Intent = "intent",
        Succeeded = "succeeded",
        /// It did not exist any more.
        Gone = "gone",
        /// Not allowed by us: nothing was sent.
        Denied = "denied",
        /// Upstream said no.
        Refused = "refused",
        /// It did not happen: unreachable, or upstream failed and says so.
        Failed = "failed",
        /// Sent and not answered: may have happened.
        InDoubt = "in_doubt",
        /// The reconciler found that it happened.
        Applied = "applied",
        /// The reconciler found that it did not happen.
        NotApplied = "not_applied",
        /// Nobody can tell whether it happened.
        Unknown = "unknown",
    }
}

words! {
    /// How an export is written.
    ExportFormat {
        /// For people; fields a spreadsheet would run are neutralised.
        Csv = "csv",
        /// The evidence: the hashed bytes as they are.
        Ndjson = "ndjson",
        /// The evidence with its proofs, in an archive.
        Bundle = "bundle",
    }
}

impl ExportFormat {
    /// How the name of such a file ends.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Bundle => "tar",
        }
    }
}

words! {
    /// Where an export in the background stands.
    ExportState {
        Queued = "queued",
        Running = "running",
        /// The file can be downloaded.
        Ready = "ready",
        Failed = "failed",
        /// The file has served its time, or was taken back.
        Expired = "expired",
    }
}

/// An export that is made in the background, into a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    pub id: String,
    /// `None`: of the whole instance.
    pub workspace_id: Option<String>,
    /// Who asked for it.
    pub admin_id: String,
    pub format: ExportFormat,
    pub gzip: bool,
    /// What it is of, as a query string.
    pub filter: String,
    /// Entries that were found to match when it was asked for; a bundle can have some more.
    pub entries: i64,
    pub state: ExportState,
    /// Entries in the file so far.
    pub done: i64,
    /// Of the finished file.
    pub bytes: Option<i64>,
    /// In hexadecimal.
    pub sha256: Option<String>,
    /// Why there is no file, for whoever asked.
    pub failure: Option<String>,
    pub created_at: Millis,
    pub ended_at: Option<Millis>,
    /// When the file is removed.
    pub expires_at: Option<Millis>,
}

/// What an entry is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    #[serde(rename = "type")]
    pub kind: String,
    pub id: String,
}

/// How upstream answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamResult {
    pub status: Option<u16>,
    pub latency_ms: i64,
    pub code: Option<String>,
}

/// An entry before it has a place in the log.
#[derive(Debug, Clone)]
pub struct Draft {
    pub actor: Actor,
    pub action: Action,
    pub outcome: Outcome,
    pub workspace: Option<String>,
    pub tenant: Option<String>,
    pub targets: Vec<Target>,
    pub upstream: Option<UpstreamResult>,
    pub op_id: Option<String>,
    pub job_id: Option<String>,
    /// Erasable: why.
    pub reason: Option<String>,
    /// Erasable: allow-listed fields before and after.
    pub before: Map<String, Value>,
    pub after: Map<String, Value>,
}

impl Draft {
    pub fn new(actor: &Actor, action: impl Into<Action>, outcome: Outcome) -> Self {
        Self {
            actor: actor.clone(),
            action: action.into(),
            outcome,
            workspace: None,
            tenant: None,
            targets: Vec::new(),
            upstream: None,
            op_id: None,
            job_id: None,
            reason: None,
            before: Map::new(),
            after: Map::new(),
        }
    }

    /// A change of our own data that is being made in this very transaction.
    pub fn done(actor: &Actor, action: impl Into<Action>) -> Self {
        Self::new(actor, action, Outcome::Succeeded)
    }

    pub fn workspace(mut self, id: &str) -> Self {
        self.workspace = Some(id.to_owned());
        self
    }

    pub fn tenant(mut self, id: Option<&str>) -> Self {
        self.tenant = id.map(str::to_owned);
        self
    }

    pub fn target(mut self, kind: &str, id: &str) -> Self {
        self.targets.push(Target { kind: kind.to_owned(), id: id.to_owned() });
        self
    }

    pub fn reason(mut self, reason: &str) -> Self {
        self.reason = (!reason.is_empty()).then(|| reason.to_owned());
        self
    }

    /// Records one field's new value. Only fields an auditor may see; never a body, key, token or link.
    pub fn set(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.after.insert(field.to_owned(), value.into());
        self
    }

    /// Records one field's old value.
    pub fn was(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.before.insert(field.to_owned(), value.into());
        self
    }
}

/// A stored entry as lists and pages show it.
#[derive(Debug, Clone)]
pub struct Entry {
    pub seq: i64,
    pub at: Millis,
    pub actor_type: ActorType,
    pub actor_id: String,
    pub action: String,
    pub outcome: Outcome,
    pub workspace_id: Option<String>,
    pub tenant_id: Option<String>,
    pub op_id: Option<String>,
    pub job_id: Option<String>,
    /// The exact bytes that were hashed.
    pub bytes: Vec<u8>,
    pub leaf: Vec<u8>,
    /// The erasable parts, by name (`names`, `context`, `change`, `reason`): salt and text.
    pub details: Vec<Detail>,
}

/// One erasable part of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    pub part: String,
    pub salt: Vec<u8>,
    pub body: String,
}

impl Entry {
    /// An erasable part's text, if it has not been erased.
    pub fn detail(&self, part: &str) -> Option<&str> {
        self.details.iter().find(|d| d.part == part).map(|d| d.body.as_str())
    }
}
