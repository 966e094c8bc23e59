//! The tenant door's reference: `/openapi.json` for tools, `/docs/api` for people, both made from the route table. They need
//! no key and say nothing that depends on who asks.

use super::{
    Answer, Call, Error, Route, admin,
    admin::views::{
        ReferenceCall, ReferenceDifference, ReferenceField, ReferenceGroup, ReferencePage, ReferenceTerm,
    },
    api::{
        differences::DIFFERENCES,
        fields::Field,
        openapi::{STATUSES, document, scope_says},
        table::{Body, Effect, Row, part_example, rows},
    },
    route,
};
use crate::{app::App, domain::keys::Scope};
use std::sync::Arc;

pub fn routes() -> Vec<Route> {
    vec![route("GET", "/openapi.json", "anyone", openapi), route("GET", "/docs/api", "anyone", show)]
}

async fn openapi(app: Arc<App>, _: Call) -> Result<Answer, Error> {
    Ok(Answer::json(200, &document(&app.public_url)))
}

async fn show(app: Arc<App>, call: Call) -> Result<Answer, Error> {
    let mut groups: Vec<ReferenceGroup> = Vec::new();
    for row in rows() {
        let name = row.tag();
        let group = match groups.iter_mut().find(|group| group.name == name) {
            Some(group) => group,
            None => {
                let anchor = anchor(name);
                groups.push(ReferenceGroup { name: name.into(), anchor, calls: Vec::new() });
                let Some(last) = groups.last_mut() else { continue };
                last
            }
        };
        group.calls.push(described(row));
    }
    let term = |word: &str, about: &str| ReferenceTerm { word: word.into(), about: about.into() };
    let page = ReferencePage {
        shell: admin::bare_shell(&app, &call, "API reference"),
        base_url: app.public_url.clone(),
        scopes: Scope::ALL.iter().map(|s| term(s.as_str(), scope_says(*s))).collect(),
        groups,
        // Their marks of code are for readers of the document.
        statuses: STATUSES
            .iter()
            .map(|(status, about)| term(&status.to_string(), &about.replace('`', "")))
            .collect(),
        differences: DIFFERENCES
            .iter()
            .map(|d| ReferenceDifference {
                postpost: d.postpost.into(),
                gateway: d.gateway.into(),
                why: d.why.into(),
            })
            .collect(),
    };
    Ok(admin::render_page(&page))
}

fn described(row: &Row) -> ReferenceCall {
    let fields = |fields: &[Field]| {
        let field =
            |f: &Field| ReferenceField { name: f.name.into(), required: f.required, about: f.about.into() };
        fields.iter().map(field).collect()
    };
    ReferenceCall {
        anchor: anchor(&format!("{}{}", row.method, row.path.trim_start_matches("/api/v1"))),
        method: row.method.into(),
        path: row.path.into(),
        summary: row.summary.into(),
        needs: row.needs_words(),
        action: row.action().map(|action| action.to_string()).unwrap_or_default(),
        once: matches!(row.effect, Effect::Changes(_)),
        timeout: row.timeout_seconds(),
        query: fields(row.query),
        body: match row.body {
            Body::None => Vec::new(),
            Body::Object(named) => fields(named),
        },
        example: example(row),
    }
}

/// A command with the values of the reference.
fn example(row: &Row) -> String {
    let path = row
        .parts()
        .fold(row.path.to_owned(), |path, name| path.replace(&format!("{{{name}}}"), part_example(name)));
    let query = row.query.iter().filter(|field| !field.example.is_empty());
    let query: Vec<String> =
        query.map(|field| format!("{}={}", field.name, field.example.trim_matches('"'))).collect();
    let mark = if query.is_empty() { "" } else { "?" };
    let method = if row.method == "GET" { String::new() } else { format!("-X {} ", row.method) };
    let mut command =
        format!("curl -s {method}\"$URL{path}{mark}{}\" -H \"x-api-key: $KEY\"", query.join("&"));
    let body = row.example();
    if body.as_object().is_some_and(|fields| !fields.is_empty()) {
        command.push_str(&format!(" \\\n     -H 'content-type: application/json' -d '{body}'"));
    }
    command
}

/// Letters and digits of a text, with hyphens between.
fn anchor(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("-")
}
