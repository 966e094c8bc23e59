//! What a tool's call came to, as a tool result: the row's answer, or an error with its code, its text and the request's
//! id. A model reads it, so what must not be done next is said in words.

use super::super::super::{Answer, Body, Error};
use rmcp::model::CallToolResult;
use serde_json::{Map, Value, json};

const DO_NOT_REPEAT: &str = "The change may have happened. Do not make it again; ask get_operation with this operationId \
    until its state is neither open nor in_doubt.";

/// The result for a row's answer or error.
pub fn of(done: Result<Answer, Error>, request_id: &str) -> CallToolResult {
    let answer = done.unwrap_or_else(|error| {
        error.log(request_id);
        error.to_json(request_id)
    });
    let body = match &answer.body {
        Body::Bytes(bytes) => serde_json::from_slice(bytes).ok(),
        Body::Stream(_) => None,
    };
    let Some(Value::Object(mut body)) = body else {
        let error = Error::Internal("a tool's row answered with something else than an object".into());
        error.log(request_id);
        return CallToolResult::structured_error(
            json!({ "error": "Internal server error", "code": "internal",
            "status": 500, "requestId": request_id }),
        );
    };
    if answer.status < 400 {
        return CallToolResult::structured(Value::Object(body));
    }
    complete(&mut body, &answer, request_id);
    CallToolResult::structured_error(Value::Object(body))
}

/// Adds to an error what the headers and the status said, and what follows from it.
fn complete(body: &mut Map<String, Value>, answer: &Answer, request_id: &str) {
    if !body.contains_key("error") {
        let text = body.get("message").cloned().unwrap_or_else(|| "PostPost refused it".into());
        body.insert("error".into(), text);
    }
    body.entry("code").or_insert_with(|| "upstream_refused".into());
    body.insert("status".into(), answer.status.into());
    body.insert("requestId".into(), request_id.into());
    let retry_after = answer.headers.iter().find(|(name, _)| *name == "retry-after");
    if let Some(seconds) = retry_after.and_then(|(_, value)| value.parse::<u64>().ok()) {
        body.insert("retryAfterSeconds".into(), seconds.into());
    }
    // Of an unsettled change the operation is another, earlier one.
    if body.contains_key("operationId") && body["code"] != "change_unsettled" {
        body.insert("advice".into(), DO_NOT_REPEAT.into());
    }
}
