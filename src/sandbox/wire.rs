//! What comes in and what goes out, without any server in it: `Call`, `Answer`, and the two ways to fail.
//!
//! Handlers see only these, so that they run on the runtime of the database and a client that hangs up
//! cannot cancel an effect half-way. Must not know about actix.

use bytes::Bytes;
use serde_json::{Map, Value, json};

/// A request, read to its end.
pub(super) struct Call {
    pub(super) method: String,
    /// As sent, still percent-encoded.
    pub(super) path: String,
    pub(super) query: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

impl Call {
    /// The first header of that name; blank counts as absent.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known == name)?;
        Some(value.trim()).filter(|value| !value.is_empty())
    }

    /// A header in its present or its older spelling; the present one wins.
    pub(super) fn either(&self, present: &str, older: &str) -> Option<&str> {
        self.header(present).or_else(|| self.header(older))
    }

    /// The user id the caller names, if any, not yet checked.
    pub(super) fn user_header(&self) -> Option<&str> {
        self.either("x-postpost-user-id", "x-publora-user-id")
    }

    pub(super) fn request_id(&self) -> Option<&str> {
        self.header("x-request-id")
    }

    /// The segments of the path; empty ones do not count.
    pub(super) fn segments(&self) -> Vec<&str> {
        self.path.split('/').filter(|segment| !segment.is_empty()).collect()
    }

    /// The query's first value under that name, decoded.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The body's fields. An empty body, or JSON that is not an object, has none, as upstream's parser has it.
    pub(super) fn fields(&self) -> Result<Map<String, Value>, Failure> {
        if self.body.is_empty() {
            return Ok(Map::new());
        }
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(fields)) => Ok(fields),
            Ok(_) => Ok(Map::new()),
            Err(_) => Err(refused(400, "Invalid JSON body")),
        }
    }
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn json(status: u16, body: &Value) -> Answer {
        let headers = vec![("content-type", "application/json; charset=utf-8".to_owned())];
        Answer { status, headers, body: body.to_string().into() }
    }

    /// `{"error": text}`.
    pub(super) fn error(status: u16, text: &str) -> Answer {
        Answer::json(status, &json!({ "error": text }))
    }

    pub(super) fn text(status: u16, text: &str) -> Answer {
        let headers = vec![("content-type", "text/plain; charset=utf-8".to_owned())];
        Answer { status, headers, body: text.to_owned().into() }
    }
}

/// What goes back: an answer, or nothing but the end of the connection.
pub(super) enum Reply {
    Answer(Answer),
    Dropped,
}

/// Why a handler stopped.
#[derive(Debug)]
pub(super) enum Failure {
    /// The caller's doing: this is the answer.
    Refused(Answer),
    /// Ours: logged, and answered with the endpoint's documented text.
    Broken(String),
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Broken(error.to_string())
    }
}

/// A segment of a path, decoded: ids of accounts hold characters that clients encode.
pub(super) fn decoded(segment: &str) -> String {
    // A plus and an ampersand stand for themselves in a path.
    let query = format!("id={}", segment.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(query.as_bytes())
        .map(|(_, value)| value.into_owned())
        .next()
        .unwrap_or_default()
}

/// A refusal with `{"error": text}`.
pub(super) fn refused(status: u16, text: &str) -> Failure {
    Failure::Refused(Answer::error(status, text))
}

/// What upstream's JavaScript takes for "not given": absent, null, false, zero, the empty string.
pub(super) fn given<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Number(number) => number.as_f64() != Some(0.0),
        _ => true,
    })
}
