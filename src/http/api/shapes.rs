//! What successful answers look like, for the OpenAPI document. PostPost may add fields at any time, so no shape is closed.
//! Nothing is checked against them while the gateway runs.

use serde_json::{Value, json};

/// A JSON Schema of an object that has at least these.
fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

fn list(of: &str) -> Value {
    json!({ "type": "array", "items": { "$ref": format!("#/components/schemas/{of}") } })
}

/// All shapes by name; rows name theirs.
pub fn schemas() -> Value {
    let yes = || json!({ "const": true });
    let text = || json!({ "type": "string" });
    let maybe = || json!({ "type": ["string", "null"] });
    let number = || json!({ "type": "integer" });
    let id = || json!({ "type": "string", "pattern": "^[0-9a-f]{24}$" });
    let time = || json!({ "type": "string", "format": "date-time" });
    let post_status = json!({ "enum": ["draft", "scheduled", "published", "failed", "partially_published"] });
    let webhook = json!({ "_id": id(), "name": text(), "url": text(),
        "events": { "type": "array", "items": text() }, "isActive": { "type": "boolean" }, "failureCount": number(),
        "lastTriggeredAt": maybe(), "createdAt": time(), "updatedAt": time() });
    let mut with_secret = webhook.clone();
    with_secret["secret"] = text();
    json!({
        "Error": {
            "type": "object",
            "description": "PostPost's own errors have `error` (some `message`); the gateway's have `error`, `code` and `requestId`.",
            "anyOf": [{ "required": ["error"] }, { "required": ["message"] }],
            "properties": {
                "error": text(), "message": text(), "code": text(), "requestId": text(),
                "operationId": { "type": "string", "description": "To ask `/api/v1/operations/{operationId}` for." },
            },
        },
        "Success": object(&["success"], json!({ "success": yes() })),
        "Anything": { "type": "object", "description": "As PostPost answers; not documented there." },
        "ListedPost": object(&["postGroupId", "content", "status", "createdAt", "updatedAt", "platforms", "mediaUrls"], json!({
            "postGroupId": id(), "content": text(), "status": post_status, "scheduledTime": time(), "createdAt": time(),
            "updatedAt": time(), "mediaUrls": { "type": "array", "items": text() },
            "platforms": { "type": "array", "items": object(&["platformId", "platform", "status"], json!({
                "platformId": text(), "platform": text(), "status": text() })) },
        })),
        "Posts": object(&["success", "posts", "pagination"], json!({
            "success": yes(), "posts": list("ListedPost"),
            "pagination": object(&["page", "limit", "totalItems", "totalPages", "hasNextPage", "hasPrevPage"], json!({
                "page": number(), "limit": number(), "totalItems": number(), "totalPages": number(),
                "hasNextPage": { "type": "boolean" }, "hasPrevPage": { "type": "boolean" } })),
        })),
        "Post": object(&["success", "postGroupId", "posts"], json!({
            "success": yes(), "postGroupId": id(), "processingStatus": text(),
            "posts": { "type": "array", "items": object(&["_id", "platform", "platformId", "content", "status"], json!({
                "_id": id(), "platform": text(), "platformId": text(), "content": text(), "status": text(), "postedId": text(),
                "error": object(&["code", "message"], json!({ "code": text(), "message": text() })) })) },
        })),
        "PostLogs": object(&["success", "logs"], json!({
            "success": yes(),
            "logs": { "type": "array", "items": object(&["_id", "postGroupId", "event", "createdAt"], json!({
                "_id": text(), "postGroupId": id(), "event": text(), "createdAt": time() })) },
        })),
        "Created": object(&["success", "postGroupId"], json!({ "success": yes(), "postGroupId": id() })),
        "Updated": object(&["success", "message", "postGroup"], json!({
            "success": yes(), "message": text(),
            "postGroup": object(&["_id", "status"], json!({ "_id": id(), "status": text(), "scheduledTime": time() })),
        })),
        "UploadUrl": object(&["success", "uploadUrl", "fileUrl", "mediaId"], json!({
            "success": yes(), "uploadUrl": text(), "fileUrl": text(), "mediaId": text() })),
        "Connections": object(&["success", "connections"], json!({
            "success": yes(),
            "connections": { "type": "array", "items": object(&["platformId"], json!({
                "platformId": text(), "username": maybe(), "displayName": maybe(), "tokenStatus": text(),
                "tokenExpiresIn": maybe(), "accessTokenExpiresAt": maybe(), "lastSuccessfulPost": maybe() })) },
        })),
        "Tested": object(&["status"], json!({ "platform": text(), "platformId": text(), "status": text(), "message": text() })),
        "Webhooks": object(&["success", "webhooks"], json!({
            "success": yes(), "webhooks": { "type": "array", "items": object(&["_id"], webhook.clone()) } })),
        "Webhook": object(&["success", "webhook"], json!({ "success": yes(), "webhook": object(&["_id"], webhook) })),
        "WebhookWithSecret": object(&["success"], json!({ "success": yes(), "webhook": object(&["_id"], with_secret) })),
        "User": object(&["_id", "username", "displayName", "role"], json!({
            "_id": id(), "username": text(), "displayName": text(), "role": text(), "dailyPostsLeft": number(),
            "connectionsPageUrl": text(), "connectionsPageTokenExpiresAt": time() })),
        "Users": object(&["users"], json!({ "users": list("User") })),
        "OneUser": object(&["user"], json!({ "user": { "$ref": "#/components/schemas/User" } })),
        "UserKey": object(&["message", "apiKey", "userId"], json!({ "message": text(), "apiKey": text(), "userId": id() })),
        "Link": object(&["tokenExpiresAt"], json!({ "url": text(), "tokenExpiresAt": time() })),
        "Identity": object(&["key", "workspace", "tenant", "scopes", "expiresAt", "addresses", "limits"], json!({
            "key": object(&["id", "name", "kind"], json!({ "id": text(), "name": text(), "kind": { "enum": ["tenant", "workspace"] } })),
            "workspace": object(&["id", "name"], json!({ "id": text(), "name": text() })),
            "scopes": { "type": "array", "items": text() }, "expiresAt": maybe(),
            "addresses": { "type": "array", "items": text() }, "limits": { "type": "object" } })),
        "Operation": object(&["operationId", "action", "state", "outcome", "startedAt", "endedAt"], json!({
            "operationId": text(), "action": text(), "outcome": text(), "startedAt": time(), "endedAt": maybe(),
            "state": { "enum": ["open", "in_doubt", "succeeded", "applied", "gone", "refused", "failed", "not_applied", "unknown"] },
            "upstreamStatus": { "type": ["integer", "null"] }, "grantedTime": maybe(),
            "postGroupId": maybe(), "tenantId": maybe(), "webhookId": maybe() })),
    })
}
