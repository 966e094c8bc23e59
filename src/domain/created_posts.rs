//! The body of a create: what of it counts, and which are refused before upstream is asked, with upstream's own words and
//! in its order (`contract.md`). What is sent is what the caller sent.

use super::updates::counts;
use crate::{clock::Millis, domain::times};
use serde_json::{Map, Value};

/// A post to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewPost {
    pub content: String,
    /// Compound ids, as they were given.
    pub platforms: Vec<String>,
    /// `None`: a draft.
    pub scheduled_at: Option<Millis>,
    /// The body to send: what the caller sent, with fields we do not know passed through.
    pub body: Map<String, Value>,
}

/// Why a create is refused; [`NewPostError::text`] is upstream's own wording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewPostError {
    NoContent,
    NoPlatforms,
    EmptyPlatforms,
    PlatformsNoArray,
    PlatformsNoJson,
    BadPlatform(String),
    BadTime,
    SettingsNoJson,
    SettingsNoObject,
}

impl NewPostError {
    pub fn text(&self) -> String {
        match self {
            Self::NoContent => "Content is required".into(),
            Self::NoPlatforms => "Platforms are required".into(),
            Self::EmptyPlatforms => "At least one platform is required".into(),
            Self::PlatformsNoArray => "Platforms must be an array".into(),
            Self::PlatformsNoJson => "Invalid platforms JSON format".into(),
            Self::BadPlatform(id) => format!("Invalid platform ID format: {id}"),
            Self::BadTime => "Invalid scheduled time format".into(),
            Self::SettingsNoJson => "Invalid platformSettings JSON".into(),
            Self::SettingsNoObject => "platformSettings must be an object".into(),
        }
    }
}

impl NewPost {
    /// A draft of our own making. A draft has no time: given one, upstream would schedule it.
    pub fn draft(content: String, platforms: Vec<String>) -> Self {
        let mut body = Map::new();
        body.insert("content".into(), content.as_str().into());
        body.insert("platforms".into(), platforms.clone().into());
        Self { content, platforms, scheduled_at: None, body }
    }

    pub fn parse(body: Map<String, Value>) -> Result<Self, NewPostError> {
        let given = |name: &str| body.get(name).filter(|value| counts(value));
        let content = match body.get("content") {
            Some(Value::String(text)) if !text.trim().is_empty() => text.clone(),
            _ => return Err(NewPostError::NoContent),
        };
        let platforms = read_platforms(given("platforms").ok_or(NewPostError::NoPlatforms)?)?;
        let scheduled_at = match given("scheduledTime") {
            None => None,
            Some(value) => Some(value.as_str().and_then(times::from_iso).ok_or(NewPostError::BadTime)?),
        };
        if let Some(settings) = given("platformSettings") {
            check_settings(settings)?;
        }
        Ok(Self { content, platforms, scheduled_at, body })
    }

    /// Whether upstream would publish at once (`contract.md` trap 2).
    pub fn publishes_at_once(&self, now: Millis) -> bool {
        self.scheduled_at.is_some_and(|at| at <= now)
    }
}

/// Platforms in an order of their own, each once: what is the same post whichever way they were listed.
pub fn platform_set<'a>(ids: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut ids: Vec<String> = ids.into_iter().map(str::to_owned).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The list, or a JSON string that holds it.
fn read_platforms(value: &Value) -> Result<Vec<String>, NewPostError> {
    let parsed;
    let value = match value {
        Value::String(text) => {
            parsed = serde_json::from_str::<Value>(text).map_err(|_| NewPostError::PlatformsNoJson)?;
            &parsed
        }
        other => other,
    };
    let list = value.as_array().ok_or(NewPostError::PlatformsNoArray)?;
    if list.is_empty() {
        return Err(NewPostError::EmptyPlatforms);
    }
    let id = |value: &Value| match value {
        Value::String(id) if is_platform_id(id) => Ok(id.clone()),
        Value::String(id) => Err(NewPostError::BadPlatform(id.clone())),
        other => Err(NewPostError::BadPlatform(other.to_string())),
    };
    list.iter().map(id).collect()
}

/// `^[a-z]+-[A-Za-z0-9_.:-]+$` (design §13).
fn is_platform_id(id: &str) -> bool {
    id.split_once('-').is_some_and(|(platform, account)| {
        !platform.is_empty()
            && platform.bytes().all(|b| b.is_ascii_lowercase())
            && !account.is_empty()
            && account.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b))
    })
}

fn check_settings(value: &Value) -> Result<(), NewPostError> {
    let object = match value {
        Value::String(text) => {
            serde_json::from_str::<Value>(text).map_err(|_| NewPostError::SettingsNoJson)?.is_object()
        }
        other => other.is_object(),
    };
    if object { Ok(()) } else { Err(NewPostError::SettingsNoObject) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(body: Value) -> Result<NewPost, NewPostError> {
        NewPost::parse(body.as_object().unwrap().clone())
    }

    #[test]
    fn platform_ids() {
        for good in ["twitter-1", "telegram--1001234567890", "bluesky-did:plc:abc.d_e", "x-A"] {
            assert!(is_platform_id(good), "{good}");
        }
        for bad in ["", "twitter", "twitter-", "-1", "Twitter-1", "twitter1-2", "twitter-a b", "twitter-ä"] {
            assert!(!is_platform_id(bad), "{bad}");
        }
        assert_eq!(platform_set(["b-1", "a-1", "b-1"]), ["a-1", "b-1"]);
    }

    #[test]
    fn what_is_kept_of_a_body() {
        let full = json!({ "content": " Hi ", "platforms": "[\"twitter-1\"]", "scheduledTime": "2026-03-15T10:00:00Z",
                           "platformSettings": "{\"youtube\":{}}", "unheardOf": [1] });
        let post = parse(full.clone()).unwrap();
        assert_eq!((post.content.as_str(), post.scheduled_at), (" Hi ", Some(1_773_568_800_000)));
        assert_eq!((post.platforms, Value::Object(post.body)), (vec!["twitter-1".to_owned()], full));
        let draft = NewPost::draft("Hi".into(), vec!["twitter-1".into()]);
        assert_eq!(NewPost::parse(draft.body.clone()), Ok(draft));
    }
}
