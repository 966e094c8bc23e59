//! A request and its answer as plain data.

use crate::domain::{audit::Context, ids};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use std::{collections::HashMap, net::IpAddr};

/// A request, read completely.
#[derive(Clone)]
pub struct Call {
    /// Upper case.
    pub method: String,
    /// As sent, without the query.
    pub path: String,
    /// As sent, without `?`.
    pub query: String,
    /// Lower-case names; repeated ones joined with commas. Names with `_` are dropped: some proxies read them as `-`.
    pub headers: HashMap<String, String>,
    /// The route's `{…}` parts, decoded once.
    pub params: HashMap<String, String>,
    pub body: Bytes,
    pub ip: IpAddr,
    pub request_id: String,
}

/// Name and value of a header.
pub type Header = (&'static str, String);

pub fn header(name: &'static str, value: impl Into<String>) -> Header {
    (name, value.into())
}

pub enum Body {
    Bytes(Bytes),
    /// Sent as it is made; an error ends the connection, so that a cut file is seen to be cut.
    Stream(BoxStream<'static, Result<Bytes, std::io::Error>>),
}

/// An answer. The server adds the headers every answer has.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<Header>,
    pub body: Body,
}

impl Call {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// A route's `{name}`. Routes and handlers are written together, so an absent one reads as empty and is no id.
    pub fn param(&self, name: &str) -> &str {
        self.params.get(name).map(String::as_str).unwrap_or_default()
    }

    /// The query's pairs in order, decoded.
    pub fn query_pairs(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(self.query.as_bytes()).into_owned().collect()
    }

    /// Where it comes from, for audit entries.
    pub fn context(&self) -> Context {
        let text = |name: &str| self.header(name).map(without_keys);
        Context {
            ip: Some(self.ip.to_string()),
            user_agent: text("user-agent"),
            request_id: Some(self.request_id.clone()),
            session_id: None,
            client: text("x-postpost-client").or_else(|| text("x-publora-client")),
        }
    }

    /// The id to know this request by: the caller's if it has a sound one, else a new one.
    pub fn request_id_from(sent: Option<&str>) -> String {
        match sent {
            Some(id) if ids::is_request_id(id) && !id.contains(KEY_MARK) => id.to_owned(),
            _ => ids::new_id(),
        }
    }
}

/// What PostPost's keys and ours begin with.
const KEY_MARK: &str = "sk_";

/// A caller's own text, fit to be kept: no control characters, not long, and no key that stands in it by mistake.
fn without_keys(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !c.is_control()).take(300).collect();
    let mut parts = plain.split(KEY_MARK);
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest =
            part.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
        kept.push_str("sk_…");
        kept.push_str(rest);
    }
    kept
}

impl Answer {
    pub fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self { status, headers: vec![header("content-type", content_type)], body: Body::Bytes(body.into()) }
    }

    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, "application/json; charset=utf-8", body.to_string())
    }

    pub fn html(status: u16, page: String) -> Self {
        Self::new(status, "text/html; charset=utf-8", page)
    }

    /// To a GET of this place, so that reload repeats nothing.
    pub fn see_other(location: &str) -> Self {
        Self::new(303, "text/plain; charset=utf-8", "").with("location", location)
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push(header(name, value));
        self
    }

    pub fn location(&self) -> Option<&str> {
        self.headers.iter().find(|(name, _)| *name == "location").map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_not_kept() {
        assert_eq!(without_keys("curl/8.1"), "curl/8.1");
        assert_eq!(without_keys("Bearer sk_ght_Ot4M0fLC more\n sk_a.b"), "Bearer sk_… more sk_…");
        assert_ne!(Call::request_id_from(Some("sk_ght_abc")), "sk_ght_abc");
        assert_eq!(Call::request_id_from(Some("abc-1")), "abc-1");
    }
}
