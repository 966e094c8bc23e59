//! The calls that pass through: built anew from their row, with what was checked, never copied. The road does the rest.

use super::{
    super::{Answer, Error},
    Request, pass,
    table::{Body, Effect},
};
use crate::{
    domain::{ids, operations::Verb},
    proxy::{Pass, Passing, Read},
    upstream::Method,
};
use serde_json::{Map, Value};

/// Longest word of a body that is kept in an entry, in bytes.
const WORD_MAX: usize = 128;

/// A call that changes nothing at PostPost, whatever its method.
pub async fn read(request: Request) -> Result<Answer, Error> {
    let pass_on = build(&request)?;
    Ok(pass(request.app.road.read(&request.caller, Read::Pass(pass_on)).await?))
}

/// A call that changes something there.
pub async fn change(request: Request) -> Result<Answer, Error> {
    let Effect::Changes(verb) = request.row.effect else {
        return Err(Error::Internal(format!("{} is no change", request.row.path)));
    };
    let about = Passing { verb, target: target(&request, verb), shown: shown(&request, verb) };
    let changed = request.app.road.pass(&request.caller, build(&request)?, about).await?;
    Ok(pass(changed.reply))
}

/// The call as it is sent: the row's own words, the checked parts of the path, the query and the body that were read.
fn build(request: &Request) -> Result<Pass, Error> {
    let row = request.row;
    let method = Method::parse(row.method).ok_or_else(|| Error::Internal("an unknown method".into()))?;
    let segments = row.segments().map(|part| {
        let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        name.map_or(part, |name| request.call.param(name)).to_owned()
    });
    let body = match row.body {
        Body::None => None,
        // A body that was not sent is not made up.
        Body::Object(_) if request.call.body.is_empty() => None,
        Body::Object(_) => Some(Value::Object(request.body.clone())),
    };
    Ok(Pass { method, segments: segments.collect(), query: request.query.clone(), body })
}

/// The id that the change is about.
fn target(request: &Request, verb: Verb) -> String {
    let id = match verb {
        Verb::MediaUploadUrl => text(&request.body, "postGroupId"),
        _ => request.call.param("webhookId"),
    };
    if ids::is_object_id(id) { id.to_owned() } else { String::new() }
}

/// What an auditor may see of it: never texts, and of an address only the host.
fn shown(request: &Request, verb: Verb) -> Vec<(&'static str, Value)> {
    let body = &request.body;
    let words = |names: &[&'static str]| {
        names.iter().filter_map(|name| Some((*name, word(text(body, name))?.into()))).collect::<Vec<_>>()
    };
    match verb {
        Verb::MediaUploadUrl => words(&["type", "contentType"]),
        Verb::WebhookCreate | Verb::WebhookUpdate => {
            let mut shown = Vec::new();
            let host = url::Url::parse(text(body, "url")).ok();
            shown.extend(host.and_then(|url| Some(("host", url.host_str()?.into()))));
            if let Some(events) = body.get("events").and_then(Value::as_array) {
                let events = events.iter().filter_map(|event| word(event.as_str()?));
                shown.push(("events", events.take(10).collect()));
            }
            shown.extend(body.get("isActive").and_then(Value::as_bool).map(|on| ("isActive", on.into())));
            shown
        }
        Verb::BookmarkChange => {
            let path: Vec<&str> = request.row.parts().map(|name| request.call.param(name)).collect();
            vec![("method", request.row.method.into()), ("path", path.join("/").into())]
        }
        _ => words(&["platformId", "postedId", "reactionType", "commentId"]),
    }
}

fn text<'a>(body: &'a Map<String, Value>, name: &str) -> &'a str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// An id or a name of a field: short, and of plain characters, so that no sentence and no key gets in.
fn word(text: &str) -> Option<&str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/+,()".contains(&b);
    let fits = (1..=WORD_MAX).contains(&text.len()) && text.bytes().all(plain) && !text.contains("sk_");
    fits.then_some(text)
}
