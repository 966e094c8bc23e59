//! The words an audit entry is found by, and what a search looks for among them. The same for entries that are in the
//! store's index and for those that are not yet: what is found must not depend on how far the index has come.

use crate::domain::{
    audit::{ActorType, Entry, Outcome},
    audit_search::{Field, Search, Span, Value, What},
};
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// Longer words are cut to this many characters, in entries as in searches.
const WORD_MAX: usize = 100;
/// Most words of an entry's free text, so that one long change cannot fill the index.
const TEXT_MAX: usize = 300;

/// The first letter of a word says what it is of.
fn mark(field: Field) -> char {
    match field {
        Field::Action => 'a',
        Field::Actor => 'u',
        Field::Tenant => 't',
        Field::Workspace => 'w',
        Field::Outcome => 'o',
        Field::Ip => 'i',
        Field::Request => 'r',
        Field::Key => 'k',
        Field::Target => 'g',
        Field::Job => 'j',
        Field::Operation => 'p',
        Field::Session => 's',
    }
}
/// An actor's whole name.
const NAME: char = 'n';
/// A word of free text.
const TEXT: char = 'x';
/// The job of an entry that stands for one of its items.
const ITEM: char = 'm';

/// What free text finds as a whole, beside words: ids and addresses, and neither is cut at its hyphens and dots.
const WHOLE: &[Field] = &[
    Field::Actor,
    Field::Tenant,
    Field::Workspace,
    Field::Ip,
    Field::Request,
    Field::Key,
    Field::Target,
    Field::Job,
    Field::Operation,
    Field::Session,
];

/// The word that every entry has in which the field of these words stands at all, if it is one of those found as a whole: most
/// often each entry has one of its own there, and a beginning that all of them share is then looked up in one step.
pub fn has_any(word: &str) -> Option<String> {
    let field = WHOLE.iter().find(|field| word.starts_with([mark(**field)]))?;
    Some([mark(*field), ':'].iter().collect())
}

/// Case is ignored; what cannot be stored as text is left out.
fn word(mark: char, text: &str) -> String {
    let folded = text.chars().flat_map(char::to_lowercase).filter(|c| !c.is_control()).take(WORD_MAX);
    [mark, ':'].into_iter().chain(folded).collect()
}

fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|token| !token.is_empty())
}

/// All words of an entry, with what is kept of its details.
pub fn words(entry: &Entry) -> BTreeSet<String> {
    let fixed: Json = serde_json::from_slice(&entry.bytes).unwrap_or_default();
    let mut all = BTreeSet::new();
    let mut add = |field: Field, text: Option<&str>| {
        if let Some(word) = text.filter(|t| !t.is_empty()).map(|text| word(mark(field), text)) {
            all.extend(has_any(&word));
            all.insert(word);
        }
    };
    add(Field::Action, Some(&entry.action));
    add(Field::Outcome, Some(entry.outcome.as_str()));
    add(Field::Actor, Some(&entry.actor_id));
    if entry.actor_type == ActorType::Key {
        add(Field::Key, Some(&entry.actor_id));
    }
    add(Field::Key, fixed["actor"]["keyPrefix"].as_str());
    add(Field::Workspace, entry.workspace_id.as_deref());
    add(Field::Tenant, entry.tenant_id.as_deref());
    add(Field::Operation, entry.op_id.as_deref());
    add(Field::Job, entry.job_id.as_deref());
    let targets = fixed["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
    for target in targets {
        add(Field::Target, target["id"].as_str());
    }
    let detail = |part: &str| {
        entry.detail(part).and_then(|body| serde_json::from_str::<Json>(body).ok()).unwrap_or_default()
    };
    let (names, context) = (detail("names"), detail("context"));
    add(Field::Ip, context["ip"].as_str());
    add(Field::Request, context["requestId"].as_str());
    add(Field::Session, context["sessionId"].as_str());
    if let Some(job) = entry.job_id.as_deref().filter(|_| is_item(&entry.action)) {
        all.insert(word(ITEM, job));
    }
    let name = names["actor"].as_str().unwrap_or_default();
    if !name.is_empty() {
        all.insert(word(NAME, name));
    }
    let mut text = BTreeSet::new();
    let mut read = |from: &str| {
        for token in tokens(from) {
            if text.len() < TEXT_MAX {
                text.insert(word(TEXT, token));
            }
        }
    };
    read(&entry.action);
    read(entry.outcome.as_str());
    read(entry.actor_type.as_str());
    for target in targets {
        read(target["type"].as_str().unwrap_or_default());
    }
    read(fixed["upstream"]["code"].as_str().unwrap_or_default());
    if let Some(status) = fixed["upstream"]["status"].as_u64() {
        read(&status.to_string());
    }
    read(name);
    for part in ["userAgent", "client"] {
        read(context[part].as_str().unwrap_or_default());
    }
    texts(&detail("reason"), &mut read);
    texts(&detail("change"), &mut read);
    all.extend(text);
    all
}

/// Whether an entry of a job is about one of its items rather than about the job.
pub fn is_item(action: &str) -> bool {
    !action.starts_with("job.")
}

/// Every text, number and field name in a value.
fn texts(value: &Json, read: &mut impl FnMut(&str)) {
    match value {
        Json::String(text) => read(text),
        Json::Number(number) => read(&number.to_string()),
        Json::Array(values) => values.iter().for_each(|value| texts(value, read)),
        Json::Object(fields) => {
            for (name, value) in fields {
                read(name);
                texts(value, read);
            }
        }
        Json::Null | Json::Bool(_) => {}
    }
}

/// One look among the words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// This word.
    Word(String),
    /// Any word that begins so.
    Prefix(String),
    /// Any word with this beginning that has this text behind it.
    Part(&'static str, String),
}

impl Lookup {
    fn finds(&self, words: &BTreeSet<String>) -> bool {
        let begins =
            |prefix: &str| words.range(prefix.to_owned()..).take_while(|w| w.starts_with(prefix)).count() > 0;
        match self {
            Self::Word(word) => words.contains(word),
            Self::Prefix(prefix) => begins(prefix),
            Self::Part(prefix, part) => words
                .range((*prefix).to_owned()..)
                .take_while(|word| word.starts_with(prefix))
                .any(|word| word[prefix.len()..].contains(part.as_str())),
        }
    }
}

/// One condition: any of the ways must find all of its words; or, if `not`, none may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    pub not: bool,
    pub any: Vec<Vec<Lookup>>,
}

/// A search as the store runs it: conditions that must all hold, and times. A span with `true` is one to stay out of.
#[derive(Debug, Clone, Default)]
pub struct Query {
    pub conditions: Vec<Condition>,
    pub spans: Vec<(bool, Span)>,
}

impl Query {
    /// Whether an entry with these words fits; times apart.
    pub fn fits(&self, words: &BTreeSet<String>) -> bool {
        self.conditions.iter().all(|condition| {
            let found = condition.any.iter().any(|all| all.iter().all(|lookup| lookup.finds(words)));
            found != condition.not
        })
    }

    /// Adds a condition for a value of a field, in full.
    pub fn require(&mut self, field: Field, text: &str) {
        self.conditions.push(Condition {
            not: false,
            any: ways(field, &Value { text: text.to_owned(), is_prefix: false }),
        });
    }

    /// Adds a condition for the actions of a noun (`post.`).
    pub fn require_noun(&mut self, noun: &str) {
        self.conditions
            .push(Condition { not: false, any: vec![vec![Lookup::Prefix(word(mark(Field::Action), noun))]] });
    }

    /// Only, or if `not` everything but, the entries of a job's items.
    pub fn items_of(&mut self, not: bool, job: &str) {
        self.conditions.push(Condition { not, any: vec![vec![Lookup::Word(word(ITEM, job))]] });
    }

    /// Adds the terms of a search.
    pub fn add(&mut self, search: &Search) {
        let mut wanted: Vec<(Field, Condition)> = Vec::new();
        for term in search.terms() {
            match &term.what {
                What::Created(span) => self.spans.push((term.not, *span)),
                What::Text(value) => self.conditions.push(Condition { not: term.not, any: text_ways(value) }),
                What::Is(field, value) => {
                    let any = search_ways(*field, value);
                    match wanted.iter_mut().find(|(f, _)| f == field) {
                        // Several values of a qualifier: any of them.
                        Some((_, condition)) if !term.not => condition.any.extend(any),
                        None if !term.not => wanted.push((*field, Condition { not: false, any })),
                        _ => self.conditions.push(Condition { not: true, any }),
                    }
                }
            }
        }
        self.conditions.extend(wanted.into_iter().map(|(_, condition)| condition));
    }
}

/// The word of an outcome, for counting by it.
pub fn outcome_word(outcome: Outcome) -> String {
    word(mark(Field::Outcome), outcome.as_str())
}

/// As a person types it: a noun alone stands for all of its actions.
fn search_ways(field: Field, value: &Value) -> Vec<Vec<Lookup>> {
    if field == Field::Action && !value.is_prefix && !value.text.contains('.') {
        return vec![vec![Lookup::Prefix(word(mark(field), &format!("{}.", value.text)))]];
    }
    ways(field, value)
}

fn ways(field: Field, value: &Value) -> Vec<Vec<Lookup>> {
    let look = |mark| {
        let word = word(mark, &value.text);
        if value.is_prefix { Lookup::Prefix(word) } else { Lookup::Word(word) }
    };
    let mut any = vec![vec![look(mark(field))]];
    if field == Field::Actor {
        any.push(vec![if value.is_prefix {
            look(NAME)
        } else {
            Lookup::Part("n:", word(NAME, &value.text)[2..].to_owned())
        }]);
    }
    any
}

/// All words of the text, the last one perhaps only begun; or one of the things that are found as a whole.
fn text_ways(value: &Value) -> Vec<Vec<Lookup>> {
    let look = |mark, text: &str, is_prefix| {
        let word = word(mark, text);
        if is_prefix { Lookup::Prefix(word) } else { Lookup::Word(word) }
    };
    let tokens: Vec<&str> = tokens(&value.text).collect();
    let last = tokens.len().saturating_sub(1);
    // A `*` after a word that is complete ("coffee and *") begins a word of its own, and that can be any.
    let open = value.is_prefix && value.text.ends_with(char::is_alphanumeric);
    let words = tokens.iter().enumerate().map(|(n, token)| look(TEXT, token, open && n == last)).collect();
    let mut any = vec![words];
    if !value.text.contains(char::is_whitespace) {
        any.extend(WHOLE.iter().map(|field| vec![look(mark(*field), &value.text, value.is_prefix)]));
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let detail = |part: &str, body: &str| crate::domain::audit::Detail {
            part: part.into(),
            salt: Vec::new(),
            body: body.into(),
        };
        Entry {
            seq: 7,
            at: 0,
            actor_type: ActorType::Key,
            actor_id: "0199-ab".into(),
            action: "post.delete".into(),
            outcome: Outcome::Refused,
            workspace_id: Some("w-1".into()),
            tenant_id: Some("507f1f77bcf86cd799439011".into()),
            op_id: Some("op-1".into()),
            job_id: Some("job-1".into()),
            bytes: br#"{"actor":{"keyPrefix":"sk_ght_abcde"},"targets":[{"type":"post","id":"p1"},{"type":"post","id":"p2"}],
                "upstream":{"status":409,"code":"busy"}}"#
                .to_vec(),
            leaf: Vec::new(),
            details: vec![
                detail("names", r#"{"actor":"CI \"Bot\" \u00d6lg\u00e4rt"}"#),
                detail("context", r#"{"ip":"203.0.113.7","requestId":"Req-9","sessionId":"s-1","userAgent":"curl/8.5"}"#),
                detail("change", r#"{"before":{"label":"Spring clean"},"after":{"label":"x","count":42,"on":true}}"#),
                detail("reason", r#""as asked: a\u0000b""#),
            ],
        }
    }

    fn finds(search: &str) -> bool {
        let mut query = Query::default();
        query.add(&Search::parse(search).unwrap());
        query.fits(&words(&entry()))
    }

    #[test]
    fn what_finds_an_entry() {
        for search in [
            "action:post.delete",
            "action:post",
            "action:post.*",
            "action:POST.del*",
            "action:key.create action:post",
            "actor:0199-ab",
            "actor:ci",
            r#"actor:"\"bot\"""#,
            "actor:ÖLG",
            "actor:lgä",
            "actor:ci*",
            "actor:0199*",
            "tenant:507f1f77bcf86cd799439011",
            "tenant:507f*",
            "workspace:w-1",
            "outcome:refused",
            "outcome:gone outcome:refused",
            "ip:203.0.113.7",
            "ip:203.0.113.*",
            "request:req-9",
            "request:REQ*",
            "key:sk_ght_abcde",
            "key:sk_ght_*",
            "key:0199-ab",
            "target:p1",
            "target:p2",
            "job:job-1",
            "operation:op-1",
            "session:s-1",
            "delete",
            "busy",
            "409",
            "bot",
            "ölgärt",
            "curl",
            "8",
            "curl/8.5",
            "spring",
            "label",
            "42",
            "asked",
            "clea*",
            "req-9",
            "203.0.113.7",
            "507f1f77bcf86cd799439011",
            "203.0*",
            "p2",
            r#""clean spring""#,
            r#""spring cle"*"#,
            "key",
            "-outcome:gone -actor:ann -holiday",
            "",
            "spring asked refused",
        ] {
            assert!(finds(search), "{search}");
            if !search.is_empty() && !search.contains([' ', '-']) {
                assert!(!finds(&format!("-{search}")), "-{search}");
            }
        }
        for search in [
            "action:post.del",
            "action:pos",
            "action:delete",
            "actor:c*x",
            "actor:0199",
            "actor:bo*",
            "tenant:507f",
            "workspace:w",
            "outcome:gone",
            "ip:203.0.113.70",
            "ip:203.0.113",
            "request:req",
            "key:sk_ght_",
            "target:p",
            "target:p3",
            "job:job-2",
            "operation:op",
            "session:s",
            "sprin",
            "spring -asked",
            "actor:actor",
            "names",
            "true",
            "203.0",
            "outcome:refused job:no",
        ] {
            let search = search.replace("c*x", "cx");
            assert!(!finds(&search), "{search}");
        }
    }

    #[test]
    fn words_have_bounds() {
        let mut long = entry();
        let many: Vec<String> = (0..2_000).map(|n| format!("w{n}")).collect();
        let body = serde_json::json!([many.join(" "), "y".repeat(5_000)]).to_string();
        long.details[3].body = body;
        let words = words(&long);
        assert!(words.len() < TEXT_MAX + 20, "{}", words.len());
        assert!(words.iter().all(|w| w.chars().count() <= WORD_MAX + 2 && !w.contains('\0')));
    }
}
