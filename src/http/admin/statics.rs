//! The assets in the binary, under a hash of their contents.

use super::super::{Answer, Call, Error};
use crate::app::App;
use std::sync::{Arc, LazyLock};

const CSS: &str = include_str!("../../../static/app.css");
const JS: &str = concat!(
    include_str!("../../../static/app.js"),
    include_str!("../../../static/keys.js"),
    include_str!("../../../static/job.js")
);
const ICON: &str = include_str!("../../../static/icon.svg");

static CSS_HASH: LazyLock<String> = LazyLock::new(|| hash(CSS));
static JS_HASH: LazyLock<String> = LazyLock::new(|| hash(JS));
static ICON_HASH: LazyLock<String> = LazyLock::new(|| hash(ICON));

fn hash(text: &str) -> String {
    hex::encode(&crate::audit::tree::digest(&[text.as_bytes()])[..8])
}

pub fn css_url() -> String {
    format!("/static/{}/app.css", *CSS_HASH)
}

pub fn js_url() -> String {
    format!("/static/{}/app.js", *JS_HASH)
}

pub fn icon_url() -> String {
    format!("/static/{}/icon.svg", *ICON_HASH)
}

/// `GET /static/{hash}/{file}`: never changes under its address, so it may be kept for ever.
pub async fn show(_: Arc<App>, call: Call) -> Result<Answer, Error> {
    let (hash, text, media) = match call.param("file") {
        "app.css" => (&*CSS_HASH, CSS, "text/css; charset=utf-8"),
        "app.js" => (&*JS_HASH, JS, "text/javascript; charset=utf-8"),
        "icon.svg" => (&*ICON_HASH, ICON, "image/svg+xml"),
        _ => return Err(Error::NotFound),
    };
    if call.param("hash") != hash {
        return Err(Error::NotFound);
    }
    Ok(Answer::new(200, media, text).with("cache-control", "public, max-age=31536000, immutable"))
}
