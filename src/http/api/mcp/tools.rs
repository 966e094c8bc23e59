//! The tools of `/mcp`, as data: what a model is told about each, and of which row of the route table it is a call. A tool
//! has no rules of its own beyond the form of its arguments; scope, policy and log are the row's.

use super::super::{
    super::Call,
    idempotency::{KEY_PATTERN, KEY_WORDS, is_key},
    table::{Needs, Row, rows},
};
use crate::domain::{ids, keys::Scopes, posts::PostStatus};
use bytes::Bytes;
use rmcp::model::{Tool as Definition, ToolAnnotations};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// The caller's headers that a tool's call takes over: who it is, and nothing that changes what a call means.
const WHO: &[&str] = &[
    "x-api-key",
    "x-publora-key",
    "authorization",
    "x-postpost-user-id",
    "x-publora-user-id",
    "user-agent",
    "x-postpost-client",
];

/// One tool.
pub struct Tool {
    pub name: &'static str,
    title: &'static str,
    description: &'static str,
    /// Method and path of its row.
    route: (&'static str, &'static str),
    effect: Effect,
    fields: &'static [Field],
    /// What its body says besides the arguments.
    says: Option<(&'static str, &'static str)>,
}

/// What a call does, as the protocol's annotations have it.
#[derive(Clone, Copy, PartialEq)]
enum Effect {
    Reads,
    /// Makes something new, each time anew.
    Adds,
    /// Changes what another tool can change back.
    Sets,
    /// Something is lost that no other tool brings back.
    Overwrites,
}

/// An argument.
struct Field {
    name: &'static str,
    place: Place,
    kind: Kind,
    required: bool,
    about: &'static str,
}

/// Where an argument goes in the call.
#[derive(PartialEq)]
enum Place {
    /// The part of the path that has its name.
    Path,
    Query,
    Body,
    IdempotencyKey,
}

enum Kind {
    PostId,
    OperationId,
    /// A moment; what counts as one is the row's handler's to say.
    Time,
    Text {
        max: usize,
    },
    OneOf(fn() -> Vec<&'static str>),
    /// Strings, at least one.
    List,
    Object,
    /// An `Idempotency-Key`.
    Once,
    Number {
        min: u64,
        max: u64,
    },
}

const POST: Field = Field {
    name: "postGroupId",
    place: Place::Path,
    kind: Kind::PostId,
    required: true,
    about: "The post's id, 24 hexadecimal digits, as list_posts shows it",
};
const TIME: Field = Field {
    name: "scheduledTime",
    place: Place::Body,
    kind: Kind::Time,
    required: true,
    about: "When it is to be published, in the future, with its zone: 2030-01-31T10:00:00Z",
};
const IDEMPOTENCY_KEY: Field = Field {
    name: "idempotencyKey",
    place: Place::IdempotencyKey,
    kind: Kind::Once,
    required: false,
    about: "A word of your own. A call with the same key and the same arguments within 24 hours is done only once",
};

/// The statuses that PostPost lets be asked for: all it has.
fn statuses() -> Vec<&'static str> {
    let known = PostStatus::ALL.iter().filter(|status| **status != PostStatus::Unknown);
    known.map(|status| status.as_str()).collect()
}

/// A query parameter that may be left out.
const fn query(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field { name, place: Place::Query, kind, required: false, about }
}

const fn body(name: &'static str, kind: Kind, required: bool, about: &'static str) -> Field {
    Field { name, place: Place::Body, kind, required, about }
}

/// Every tool, in the order of the list.
pub const ALL: &[Tool] = &[
    Tool {
        name: "list_posts",
        title: "List posts",
        description: "Lists the tenant's posts with status, time, platforms and text, page by page.",
        route: ("GET", "/api/v1/list-posts"),
        effect: Effect::Reads,
        fields: &[
            query("page", Kind::Number { min: 1, max: 1_000_000 }, "Page, from 1. Default 1"),
            query("limit", Kind::Number { min: 1, max: 100 }, "Posts a page. Default 20"),
            query(
                "status",
                Kind::OneOf(statuses),
                "Only posts of this status; published does not include partially_published",
            ),
            query(
                "platform",
                Kind::Text { max: 32 },
                "Only posts for this platform, such as linkedin or bluesky",
            ),
            query(
                "sortBy",
                Kind::OneOf(|| vec!["createdAt", "updatedAt", "scheduledTime"]),
                "Default createdAt",
            ),
            query("sortOrder", Kind::OneOf(|| vec!["asc", "desc"]), "Default desc"),
            query("fromDate", Kind::Time, "Only posts scheduled at or after this moment"),
            query("toDate", Kind::Time, "Only posts scheduled at or before this moment"),
        ],
        says: None,
    },
    Tool {
        name: "get_post",
        title: "Get a post",
        description: "Shows one post: its text and how it stands on each platform, with the errors of those that failed.",
        route: ("GET", "/api/v1/get-post/{postGroupId}"),
        effect: Effect::Reads,
        fields: &[POST],
        says: None,
    },
    Tool {
        name: "create_post",
        title: "Create a post",
        description: "Makes a post for one or more connected accounts. With a scheduledTime it is published then; without one \
            it is a draft. Give an idempotencyKey: a call repeated without one makes another post.",
        route: ("POST", "/api/v1/create-post"),
        effect: Effect::Adds,
        fields: &[
            body("content", Kind::Text { max: 100_000 }, true, "The post's text"),
            body(
                "platforms",
                Kind::List,
                true,
                "platformIds of connected accounts, as list_connections shows them",
            ),
            Field { required: false, ..TIME },
            body(
                "platformSettings",
                Kind::Object,
                false,
                "Settings of tiktok, instagram, youtube or threads, by platform",
            ),
            IDEMPOTENCY_KEY,
        ],
        says: None,
    },
    Tool {
        name: "reschedule_post",
        title: "Reschedule a post",
        description: "Gives a draft or scheduled post another time. PostPost may grant a later one than asked for; the \
            answer has it. A draft stays a draft.",
        route: ("PUT", "/api/v1/update-post/{postGroupId}"),
        effect: Effect::Overwrites,
        fields: &[POST, TIME, IDEMPOTENCY_KEY],
        says: None,
    },
    Tool {
        name: "pause_post",
        title: "Pause a post",
        description: "Keeps a scheduled post from being published: it becomes a draft and keeps its time.",
        route: ("PUT", "/api/v1/update-post/{postGroupId}"),
        effect: Effect::Sets,
        fields: &[POST, IDEMPOTENCY_KEY],
        says: Some(("status", PostStatus::Draft.as_str())),
    },
    Tool {
        name: "resume_post",
        title: "Resume a post",
        description: "Schedules a draft: it will be published at its time. Refused if that time has passed, because it \
            would be published at once; give a scheduledTime then.",
        route: ("PUT", "/api/v1/update-post/{postGroupId}"),
        effect: Effect::Overwrites,
        fields: &[POST, Field { required: false, ..TIME }, IDEMPOTENCY_KEY],
        says: Some(("status", PostStatus::Scheduled.as_str())),
    },
    Tool {
        name: "delete_post",
        title: "Delete a post",
        description: "Deletes a post with its media for good. Posts that are being published or are live are refused unless \
            the workspace allows it; a live post would stay on its platforms.",
        route: ("DELETE", "/api/v1/delete-post/{postGroupId}"),
        effect: Effect::Overwrites,
        fields: &[POST, IDEMPOTENCY_KEY],
        says: None,
    },
    Tool {
        name: "list_connections",
        title: "List connections",
        description: "Lists the tenant's connected social accounts and whether their access still works.",
        route: ("GET", "/api/v1/platform-connections"),
        effect: Effect::Reads,
        fields: &[],
        says: None,
    },
    Tool {
        name: "get_operation",
        title: "Get an operation",
        description: "Tells what became of a change whose answer was lost. While the state is open or in_doubt, ask again \
            in a few seconds; every other state is final.",
        route: ("GET", "/api/v1/operations/{operationId}"),
        effect: Effect::Reads,
        fields: &[Field {
            name: "operationId",
            place: Place::Path,
            kind: Kind::OperationId,
            required: true,
            about: "The operationId of the error that said the change may have happened",
        }],
        says: None,
    },
];

impl Tool {
    /// The row of the route table that does the work.
    pub fn row(&self) -> Option<&'static Row> {
        rows().iter().find(|row| (row.method, row.path) == self.route)
    }

    /// Whether a key with these scopes may call it.
    pub fn is_open_to(&self, scopes: &Scopes) -> bool {
        self.row().is_some_and(|row| match row.needs {
            Needs::AnyKey => true,
            Needs::Scope(scope) => scopes.has(scope),
            // A tool acts for one tenant.
            Needs::Workspace(_) => false,
        })
    }

    /// What a client is told.
    pub fn definition(&self) -> Definition {
        let hints = ToolAnnotations::with_title(self.title).open_world(true);
        let hints = match self.effect {
            Effect::Reads => hints.read_only(true),
            // Of the rest, each but the making of a post sets it to a state or takes it away: twice is no more than once.
            effect => hints
                .read_only(false)
                .destructive(effect == Effect::Overwrites)
                .idempotent(effect != Effect::Adds),
        };
        Definition::new(self.name, self.description, self.schema()).with_title(self.title).annotate(hints)
    }

    fn schema(&self) -> Map<String, Value> {
        let properties: Map<String, Value> =
            self.fields.iter().map(|field| (field.name.to_owned(), field.schema())).collect();
        let required: Vec<&str> = self.fields.iter().filter(|f| f.required).map(|f| f.name).collect();
        let mut schema = Map::new();
        schema.insert("type".into(), "object".into());
        schema.insert("properties".into(), properties.into());
        schema.insert("required".into(), required.into());
        schema.insert("additionalProperties".into(), false.into());
        schema
    }

    /// The row's call for these arguments.
    ///
    /// # Errors
    /// A sentence about the argument that is wrong, for the model that gave it.
    pub fn call(&self, base: &Call, mut arguments: Map<String, Value>) -> Result<Call, String> {
        let mut headers: HashMap<String, String> = HashMap::new();
        for name in WHO {
            if let Some(value) = base.header(name) {
                headers.insert((*name).to_owned(), value.to_owned());
            }
        }
        let (mut path, mut params) = (self.route.1.to_owned(), HashMap::new());
        let (mut pairs, mut body) = (Vec::new(), Map::new());
        for field in self.fields {
            // Some clients send every argument, and null for what is left out.
            let Some(value) = arguments.remove(field.name).filter(|value| !value.is_null()) else {
                if field.required {
                    return Err(format!("{} is missing: {}", field.name, field.about));
                }
                continue;
            };
            let text = field.check(&value).ok_or_else(|| field.complaint())?;
            match field.place {
                Place::Path => {
                    path = path.replace(&format!("{{{}}}", field.name), &text);
                    params.insert(field.name.to_owned(), text);
                }
                Place::Query => pairs.push((field.name, text)),
                Place::Body => drop(body.insert(field.name.to_owned(), value)),
                Place::IdempotencyKey => drop(headers.insert("idempotency-key".into(), text)),
            }
        }
        if let Some(unknown) = arguments.keys().next() {
            let known: Vec<&str> = self.fields.iter().map(|field| field.name).collect();
            let unknown: String = unknown.chars().take(64).collect();
            return Err(format!("{} has no argument {unknown}; it has: {}", self.name, known.join(", ")));
        }
        if let Some((name, value)) = self.says {
            body.insert(name.to_owned(), value.into());
        }
        let body = match body.is_empty() {
            true => Bytes::new(),
            false => {
                headers.insert("content-type".into(), "application/json".into());
                Value::Object(body).to_string().into()
            }
        };
        Ok(Call {
            method: self.route.0.to_owned(),
            path,
            query: url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish(),
            headers,
            params,
            body,
            ip: base.ip,
            request_id: base.request_id.clone(),
        })
    }
}

impl Field {
    fn schema(&self) -> Value {
        let mut schema = match &self.kind {
            Kind::PostId => json!({ "type": "string", "pattern": "^[0-9a-f]{24}$" }),
            Kind::OperationId => json!({ "type": "string", "format": "uuid" }),
            Kind::Time => json!({ "type": "string", "format": "date-time" }),
            Kind::Text { max } => json!({ "type": "string", "minLength": 1, "maxLength": max }),
            Kind::OneOf(words) => json!({ "type": "string", "enum": words() }),
            Kind::List => json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 }),
            Kind::Object => json!({ "type": "object" }),
            Kind::Once => json!({ "type": "string", "pattern": KEY_PATTERN }),
            Kind::Number { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        };
        schema["description"] = self.about.into();
        schema
    }

    /// The argument, if it is one of this kind: as text where it has to be one.
    fn check(&self, value: &Value) -> Option<String> {
        let text = value.as_str();
        let fits = match &self.kind {
            Kind::PostId => text.is_some_and(ids::is_object_id),
            Kind::OperationId => text.is_some_and(ids::is_own_id),
            Kind::Time => text.is_some_and(|text| (1..=64).contains(&text.len())),
            Kind::Text { max } => text.is_some_and(|text| (1..=*max).contains(&text.chars().count())),
            Kind::OneOf(words) => text.is_some_and(|text| words().contains(&text)),
            Kind::List => value.as_array().is_some_and(|l| !l.is_empty() && l.iter().all(Value::is_string)),
            Kind::Object => value.is_object(),
            Kind::Once => text.is_some_and(is_key),
            Kind::Number { min, max } => value.as_u64().is_some_and(|n| (*min..=*max).contains(&n)),
        };
        fits.then(|| text.map_or_else(|| value.to_string(), str::to_owned))
    }

    fn complaint(&self) -> String {
        let must = match &self.kind {
            Kind::PostId => "24 hexadecimal digits in small letters, as a string".to_owned(),
            Kind::OperationId => "an operationId of the gateway's, as a string".to_owned(),
            Kind::Time => "a moment such as 2030-01-31T10:00:00Z, as a string".to_owned(),
            Kind::Text { max } => format!("a string of 1 to {max} characters"),
            Kind::List => "a list of strings with at least one".to_owned(),
            Kind::Object => "an object".to_owned(),
            Kind::Once => format!("a string of {KEY_WORDS}"),
            Kind::OneOf(words) => format!("one of {}", words().join(", ")),
            Kind::Number { min, max } => format!("a whole number from {min} to {max}"),
        };
        format!("{} must be {must}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::table, *};

    #[test]
    fn every_tool_is_a_call_of_its_row() {
        for tool in ALL {
            let row = tool.row().unwrap_or_else(|| panic!("{} has no row", tool.name));
            let named = |place: Place| -> Vec<&str> {
                tool.fields.iter().filter(|field| field.place == place).map(|field| field.name).collect()
            };
            assert_eq!(named(Place::Path), row.parts().collect::<Vec<_>>(), "{}", tool.name);
            let query: Vec<&str> = row.query.iter().map(|field| field.name).collect();
            assert!(named(Place::Query).iter().all(|name| query.contains(name)), "{}", tool.name);
            let body: Vec<&str> = match row.body {
                table::Body::None => Vec::new(),
                table::Body::Object(fields) => fields.iter().map(|field| field.name).collect(),
            };
            let said = tool.says.map(|(name, _)| name);
            assert!(
                named(Place::Body).into_iter().chain(said).all(|name| body.contains(&name)),
                "{}",
                tool.name
            );
            let reads = row.effect == table::Effect::Reads;
            assert_eq!(tool.effect == Effect::Reads, reads, "{}: what it is said to do", tool.name);
            assert_eq!(named(Place::IdempotencyKey).is_empty(), reads, "{}", tool.name);
        }
    }
}
