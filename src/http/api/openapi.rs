//! The OpenAPI document, made from the route table. What PostPost is lenient about is typed as what it takes: parameters
//! are texts, and fields of bodies anything.

use super::{
    fields::Field,
    idempotency::KEY_PATTERN,
    shapes,
    table::{Body, Effect, Needs, Row, part_example, part_pattern, rows},
};
use crate::domain::keys::Scope;
use serde_json::{Map, Value, json};

/// The statuses a call can be answered with besides success, and when.
pub const STATUSES: &[(u16, &str)] = &[
    (400, "The call is wrong: an id, a parameter, the body, or what it asks for."),
    (401, "No key, or one that nobody has, that was revoked or has ended."),
    (403, "The key may not do this, or PostPost's plan does not allow it."),
    (404, "What the call is about is not there."),
    (408, "The body did not arrive in time."),
    (409, "In the way of another call: the same idempotency key, or a change that is not settled."),
    (413, "The body is larger than 256 KiB."),
    (414, "The address is longer than 8,192 bytes."),
    (415, "The body is not JSON."),
    (422, "The idempotency key came with another request before."),
    (423, "The tenant or the workspace is frozen."),
    (429, "Too many calls. `Retry-After` says when to go on."),
    (431, "The headers are too large."),
    (500, "PostPost failed, and says that nothing happened."),
    (502, "PostPost could not be reached, or its answer not be used."),
    (503, "Nothing was sent. `Retry-After` says when to try again."),
    (
        504,
        "PostPost did not answer, or its answer tells nothing. A change may have happened; `operationId` is there to ask.",
    ),
    (507, "The gateway's disk is full: nothing was changed."),
];

/// The document, for a gateway at this origin.
pub fn document(public_url: &str) -> Value {
    let mut paths = Map::new();
    for row in rows() {
        let path = paths.entry(row.path).or_insert_with(|| json!({}));
        path[row.method.to_lowercase()] = operation(row);
    }
    let scopes: Map<String, Value> =
        Scope::ALL.iter().map(|s| (s.to_string(), scope_says(*s).into())).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Gatehouse: the PostPost API under a gateway key",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "PostPost's own paths, bodies, statuses and texts. A tenant's key acts for its tenant; a workspace key \
                for the tenant that `x-postpost-user-id` names, or without it for the account's owner.",
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "servers": [{ "url": public_url }],
        "security": [{ "key": [] }, { "bearer": [] }],
        "paths": paths,
        "components": {
            "schemas": shapes::schemas(),
            "responses": responses(),
            "securitySchemes": {
                "key": { "type": "apiKey", "in": "header", "name": "x-api-key" },
                "bearer": { "type": "http", "scheme": "bearer" },
            },
        },
        "x-scopes": scopes,
    })
}

/// What a scope lets a key do.
pub fn scope_says(scope: Scope) -> &'static str {
    match scope {
        Scope::PostsRead => "List and show posts and their logs.",
        Scope::PostsCreate => "Create posts.",
        Scope::PostsUpdate => "Pause, resume and reschedule posts.",
        Scope::PostsDelete => "Delete posts.",
        Scope::MediaWrite => "Upload media of posts.",
        Scope::ConnectionsRead => "List connected accounts and test them.",
        Scope::AnalyticsRead => "Read LinkedIn figures and X bookmarks.",
        Scope::EngagementWrite => "React and comment on LinkedIn, change X bookmarks.",
        Scope::WebhooksManage => "Manage webhooks.",
        Scope::WorkspaceManage => "Manage the workspace's users and their keys; workspace keys only.",
        Scope::AuditRead => "Read the audit log on /manage/v1; audit tokens only.",
    }
}

fn operation(row: &Row) -> Value {
    let mut parameters: Vec<Value> = row.parts().map(part).collect();
    parameters.extend(row.query.iter().map(|field| parameter("query", field)));
    if !matches!(row.needs, Needs::Workspace(_)) {
        parameters.push(header(
            "x-postpost-user-id",
            "With a workspace key: the tenant acted for. Empty: as if it were not there.",
            "^([0-9a-f]{24})?$",
        ));
    }
    if matches!(row.effect, Effect::Changes(_)) {
        let about = "Makes the call safe to repeat for 24 hours: it is done once.";
        parameters.push(header("Idempotency-Key", about, KEY_PATTERN));
    }
    if row.takes_publish_now() {
        let about = "1: the post may go out at once because its time has passed.";
        parameters.push(header("x-gatehouse-publish-now", about, "^1$"));
    }
    let mut responses = Map::new();
    responses.insert(
        row.status.to_string(),
        json!({
            "description": "It is done.",
            "content": { "application/json": { "schema": { "$ref": format!("#/components/schemas/{}", row.shape) } } },
        }),
    );
    for (status, _) in STATUSES {
        responses.insert(status.to_string(), json!({ "$ref": format!("#/components/responses/{status}") }));
    }
    let mut operation = json!({
        "operationId": operation_id(row),
        "tags": [row.tag()],
        "summary": row.summary,
        "description": says(row),
        "parameters": parameters,
        "responses": responses,
        "x-needs": row.needs_words(),
        "x-timeout-seconds": row.timeout_seconds(),
    });
    if let Some(action) = row.action() {
        operation["x-audited-as"] = action.as_str().into();
    }
    if let Body::Object(fields) = row.body {
        let properties: Map<String, Value> = fields
            .iter()
            .map(|field| (field.name.to_owned(), json!({ "description": describe(field) })))
            .collect();
        operation["requestBody"] = json!({
            "content": { "application/json": {
                "schema": { "type": "object", "properties": properties },
                "example": row.example(),
            } },
        });
    }
    operation
}

fn says(row: &Row) -> String {
    let audited = match row.action() {
        Some(action) => format!("Audited as `{action}`."),
        None => "Not audited.".into(),
    };
    format!("Needs {}. {audited}", row.needs_words())
}

/// `postWebhooksWebhookIdRegenerateSecret`
fn operation_id(row: &Row) -> String {
    let words = row.path.split(['/', '-', '{', '}']).filter(|word| !word.is_empty()).skip(2);
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    row.method.to_lowercase() + &words.map(capital).collect::<String>()
}

fn describe(field: &Field) -> String {
    format!("{}{}", if field.required { "Required. " } else { "" }, field.about)
}

fn part(name: &'static str) -> Value {
    json!({
        "name": name, "in": "path", "required": true,
        "schema": { "type": "string", "pattern": part_pattern(name) },
        "example": part_example(name),
    })
}

fn parameter(place: &str, field: &Field) -> Value {
    json!({ "name": field.name, "in": place, "required": false, "description": field.about, "schema": { "type": "string" } })
}

fn header(name: &str, about: &str, pattern: &str) -> Value {
    json!({
        "name": name, "in": "header", "required": false, "description": about,
        "schema": { "type": "string", "pattern": pattern },
    })
}

fn responses() -> Map<String, Value> {
    let answer = |about: &str| {
        json!({
            "description": about,
            "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
        })
    };
    STATUSES.iter().map(|(status, about)| (status.to_string(), answer(about))).collect()
}
