//! What a form or a query holds: pairs in order, repeated names allowed where a page asks for them.

use super::super::{Call, Error};

/// Fields that a form may send any number of times: ticked rows and boxes.
const MANY: &[&str] = &["post", "scopes"];

#[derive(Debug, Clone, Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a POST body. Only what browsers send for plain forms.
    pub fn from_body(call: &Call) -> Result<Self, Error> {
        let media = call.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
        if !media.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Error::UnsupportedMediaType);
        }
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(&call.body).into_owned().collect();
        // Two readers could each take another of them (security.md item 44).
        let mut once: Vec<&str> =
            pairs.iter().map(|(name, _)| name.as_str()).filter(|n| !MANY.contains(n)).collect();
        once.sort_unstable();
        if once.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Error::bad("invalid_form", "A field of the form stands twice"));
        }
        Ok(Self(pairs))
    }

    pub fn from_query(call: &Call) -> Self {
        Self(call.query_pairs())
    }

    /// Reads a stored query string.
    pub fn from_text(query: &str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The first value of a name; absent reads as empty.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str()).unwrap_or_default()
    }

    /// The first value of a name, if it is there and not blank.
    pub fn some(&self, name: &str) -> Option<&str> {
        Some(self.get(name).trim()).filter(|v| !v.is_empty())
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }
}

/// A query string of these pairs.
pub fn query_string<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}
