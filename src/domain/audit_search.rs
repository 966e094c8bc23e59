//! The language of audit searches: `action:post.delete actor:ann -outcome:denied created:2026-03-01..2026-03-15 holiday`.
//! One string in the pages, at the machine door and on the command line. What a term finds is said by
//! `domain::audit_words`; where it is looked up is the store's business.

use crate::{
    clock::{DAY, MINUTE, Millis, SECOND},
    domain::{audit::Outcome, times, words},
};
use std::fmt;

/// Longest search in characters, and most terms of one: each is a look-up.
pub const LENGTH_MAX: usize = 1_000;
pub const TERMS_MAX: usize = 30;

words! {
    /// What can stand before a colon, beside `created`.
    Field {
        Action = "action",
        Actor = "actor",
        Tenant = "tenant",
        Workspace = "workspace",
        Outcome = "outcome",
        Ip = "ip",
        Request = "request",
        Key = "key",
        Target = "target",
        Job = "job",
        Operation = "operation",
        Session = "session",
    }
}

impl Field {
    /// What it finds, and an example, for the help beside the search box.
    pub const fn help(self) -> (&'static str, &'static str) {
        match self {
            Self::Action => ("what was done; a noun alone is all of its actions", "action:post.delete"),
            Self::Actor => ("who did it: part of the name, or the whole ID", "actor:ann"),
            Self::Tenant => ("the tenant's ID", "tenant:507f1f77bcf86cd799439011"),
            Self::Workspace => ("the workspace's ID", "workspace:0199…"),
            Self::Outcome => ("how it ended", "outcome:denied"),
            Self::Ip => ("the address it came from", "ip:203.0.113.*"),
            Self::Request => ("the request's ID", "request:7f3a…"),
            Self::Key => ("the key it was done with: its ID or what is shown of it", "key:sk_ght_abcde"),
            Self::Target => ("the ID of what it was done to", "target:507f191e810c19729de860ea"),
            Self::Job => ("a bulk job's ID", "job:0199…"),
            Self::Operation => ("joins a change's start and its end", "operation:0199…"),
            Self::Session => ("the session's ID", "session:0199…"),
        }
    }
}

/// The name of the one qualifier whose value is a time.
pub const CREATED: &str = "created";

/// A text to be found, as typed but for its quotes; with a `*` at its end, what begins with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    pub text: String,
    pub is_prefix: bool,
}

/// Times from the first on and before the second, in milliseconds; `None` is without an end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    pub from: Option<Millis>,
    pub to: Option<Millis>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Is(Field, Value),
    Created(Span),
    /// Free text.
    Text(Value),
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// Entries that do *not* fit are meant.
    pub not: bool,
    pub what: What,
    /// As it was typed.
    source: String,
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

/// A search. Terms must all hold, but values of the same qualifier, of which any will do. Prints as it was typed, with
/// single spaces between terms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    terms: Vec<Term>,
}

impl fmt::Display for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, term) in self.terms.iter().enumerate() {
            write!(f, "{}{term}", if n == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl Search {
    /// Reads a search. The error names the word that cannot be understood and says what to do.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.chars().count() > LENGTH_MAX {
            return Err(format!("A search has at most {LENGTH_MAX} characters"));
        }
        let mut terms = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let end = term_end(rest)?;
            let (source, after) = rest.split_at(end);
            if terms.len() == TERMS_MAX {
                return Err(format!("A search has at most {TERMS_MAX} terms; “{source}” is one too many"));
            }
            terms.push(term(source)?);
            rest = after.trim_start();
        }
        Ok(Self { terms })
    }

    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether it asks for values of the field.
    pub fn asks_for(&self, field: Field) -> bool {
        self.terms.iter().any(|term| !term.not && matches!(&term.what, What::Is(f, _) if *f == field))
    }

    /// The search without its `n`th term.
    pub fn without(&self, n: usize) -> Self {
        let kept = self.terms.iter().enumerate().filter(|(i, _)| *i != n);
        Self { terms: kept.map(|(_, term)| term.clone()).collect() }
    }

    /// The search narrowed to this value of a field, instead of any other that it asks for.
    pub fn with(&self, field: Field, value: &str) -> Result<Self, String> {
        let others = self.terms.iter().filter(|t| t.not || !matches!(&t.what, What::Is(f, _) if *f == field));
        let mut terms: Vec<Term> = others.cloned().collect();
        terms.push(term(&is(field, value))?);
        Ok(Self { terms })
    }

    /// The search with one more term, unless it is there already.
    pub fn and(&self, source: &str) -> Result<Self, String> {
        let mut search = self.clone();
        let term = term(source)?;
        if !search.terms.contains(&term) {
            search.terms.push(term);
        }
        Ok(search)
    }

    /// The one value that the search asks for of a field, in full.
    pub fn value(&self, field: Field) -> Option<&str> {
        let mut values = self.terms.iter().filter_map(|term| match &term.what {
            What::Is(f, value) if *f == field && !term.not => Some(value),
            _ => None,
        });
        match (values.next(), values.next()) {
            (Some(value), None) if !value.is_prefix => Some(&value.text),
            _ => None,
        }
    }
}

/// A term for exactly this value, quoted where it must be.
pub fn is(field: Field, value: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\\' | '*');
    if !value.is_empty() && value.chars().all(plain) {
        return format!("{field}:{value}");
    }
    format!("{field}:\"{}\"", value.replace('\\', r"\\").replace('"', "\\\""))
}

/// Where the first term ends: at white space outside quotes.
fn term_end(text: &str) -> Result<usize, String> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => return Ok(at),
            _ => {}
        }
    }
    if quoted { Err(format!("“{text}” has a quote that does not end")) } else { Ok(text.len()) }
}

fn term(source: &str) -> Result<Term, String> {
    let (not, body) = match source.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, source),
    };
    if body.is_empty() {
        return Err("There is nothing behind the “-”".into());
    }
    let name_end = body.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(body.len());
    let what = match body[name_end..].strip_prefix(':') {
        Some(value) if name_end > 0 => {
            let name = &body[..name_end];
            if name == CREATED {
                What::Created(span(source, value)?)
            } else {
                let field = Field::parse(name).ok_or_else(|| {
                    format!(
                        "There is no qualifier “{name}:”; there are {}. To search for the text, put it in quotes: \"{body}\"",
                        names().join(", ")
                    )
                })?;
                let value = value_of(source, value)?;
                check(source, field, &value)?;
                What::Is(field, value)
            }
        }
        _ => {
            let value = value_of(source, body)?;
            if !value.text.chars().any(char::is_alphanumeric) {
                return Err(format!("“{source}” has no letters or digits to search for"));
            }
            What::Text(value)
        }
    };
    Ok(Term { not, what, source: source.to_owned() })
}

/// All qualifiers as they are typed.
fn names() -> Vec<String> {
    Field::ALL.iter().map(|f| f.as_str()).chain([CREATED]).map(|name| format!("{name}:")).collect()
}

/// What only some values make sense for.
fn check(source: &str, field: Field, value: &Value) -> Result<(), String> {
    match field {
        Field::Outcome if value.is_prefix || Outcome::parse(&value.text).is_none() => {
            let all: Vec<&str> = Outcome::ALL.iter().map(|o| o.as_str()).collect();
            Err(format!("“{source}”: no such outcome; there are {}", all.join(", ")))
        }
        Field::Ip if value.text.contains('/') => Err(format!(
            "“{source}”: networks are not understood; use the beginning of the addresses, such as ip:203.0.113.*"
        )),
        _ => Ok(()),
    }
}

/// Takes off the quotes, or the `*` at the end of what has none.
fn value_of(source: &str, text: &str) -> Result<Value, String> {
    let bad = |why: &str| Err(format!("“{source}”: {why}"));
    if text.chars().any(char::is_control) {
        return bad("control characters cannot be searched for");
    }
    if let Some(quoted) = text.strip_prefix('"') {
        let mut value = String::new();
        let mut chars = quoted.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => value.extend(chars.next()),
                '"' => break,
                c => value.push(c),
            }
        }
        let is_prefix = match chars.as_str() {
            "" => false,
            "*" => true,
            _ => return bad("a quote ends in the middle of it"),
        };
        if value.trim().is_empty() {
            return bad("there is nothing to search for");
        }
        return Ok(Value { text: value, is_prefix });
    }
    if text.contains('"') {
        return bad("a quote begins in the middle of it");
    }
    let (text, is_prefix) = match text.strip_suffix('*') {
        Some(text) => (text, true),
        None => (text, false),
    };
    if text.is_empty() {
        return bad(if is_prefix {
            "something must stand before the “*”"
        } else {
            "there is nothing to search for"
        });
    }
    if text.contains('*') {
        return bad("a “*” can stand at the end only; to search for one, use quotes");
    }
    Ok(Value { text: text.to_owned(), is_prefix })
}

/// `a..b`, `a..*`, `*..b`, `>=a`, `>a`, `<=b`, `<b`, or one day, minute or second. All in UTC unless a zone is given; the
/// later end of a range is meant as a whole: the whole day, minute or second.
fn span(source: &str, text: &str) -> Result<Span, String> {
    let text = text.trim_matches('"');
    let moment = |text: &str| {
        moment(text).ok_or_else(|| {
            format!("“{source}”: “{text}” is no time; write 2026-03-15, 2026-03-15T14:00 (UTC) or 2026-03-15T14:00:00+02:00")
        })
    };
    let begin = |text: &str| moment(text).map(|(at, _)| Some(at));
    let end = |text: &str| moment(text).map(|(at, unit)| Some(at + unit));
    let span = if let Some((from, to)) = text.split_once("..") {
        Span {
            from: if from == "*" { None } else { begin(from)? },
            to: if to == "*" { None } else { end(to)? },
        }
    } else if let Some(from) = text.strip_prefix(">=") {
        Span { from: begin(from)?, to: None }
    } else if let Some(from) = text.strip_prefix('>') {
        Span { from: end(from)?, to: None }
    } else if let Some(to) = text.strip_prefix("<=") {
        Span { from: None, to: end(to)? }
    } else if let Some(to) = text.strip_prefix('<') {
        Span { from: None, to: begin(to)? }
    } else {
        Span { from: begin(text)?, to: end(text)? }
    };
    if span.from.zip(span.to).is_some_and(|(from, to)| from >= to) {
        return Err(format!("“{source}” ends before it begins"));
    }
    Ok(span)
}

/// A time and how long what was written lasts.
fn moment(text: &str) -> Option<(Millis, Millis)> {
    if let Some(day) = times::from_local_utc(&format!("{text}T00:00")).filter(|_| text.len() == 10) {
        return Some((day, DAY));
    }
    let clock = text.split_once('T')?.1;
    let digits = clock.bytes().take_while(|b| b.is_ascii_digit() || matches!(b, b':' | b'.')).count();
    let unit = match digits {
        5 => MINUTE,
        8 => SECOND,
        9.. => 1,
        _ => return None,
    };
    let (local, zone) = text.split_at(text.len() - clock.len() + digits);
    let at = if zone.is_empty() {
        times::from_local_utc(local)
    } else if digits == 5 {
        times::from_iso(&format!("{local}:00{zone}"))
    } else {
        times::from_iso(text)
    };
    at.map(|at| (at, unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(text: &str) -> Term {
        let search = Search::parse(text).unwrap();
        assert_eq!(search.terms().len(), 1, "{text}");
        search.terms[0].clone()
    }

    fn value(text: &str, is_prefix: bool) -> Value {
        Value { text: text.into(), is_prefix }
    }

    #[test]
    fn qualifiers_and_words() {
        for field in Field::ALL.iter().filter(|f| **f != Field::Outcome) {
            assert_eq!(one(&format!("{field}:a.b")).what, What::Is(*field, value("a.b", false)));
            assert_eq!(one(&format!("{field}:a.b*")).what, What::Is(*field, value("a.b", true)));
        }
        assert_eq!(one("outcome:in_doubt").what, What::Is(Field::Outcome, value("in_doubt", false)));
        assert_eq!(
            one(r#"actor:"Ann \"The Boss\" \\""#).what,
            What::Is(Field::Actor, value(r#"Ann "The Boss" \"#, false))
        );
        assert_eq!(one(r#""a: b*""#).what, What::Text(value("a: b*", false)));
        assert_eq!(one(r#""two wor"*"#).what, What::Text(value("two wor", true)));
        assert_eq!(one("10:30").what, What::Text(value("10:30", false)));
        assert_eq!(one("fe80::1").what, What::Text(value("fe80::1", false)));
        let not = one("-key:sk_ght_1");
        assert!(not.not && not.what == What::Is(Field::Key, value("sk_ght_1", false)));
        assert!(one("-spam").not && !one("a-b").not);
        assert_eq!(Search::parse("  ").unwrap(), Search::default());
    }

    #[test]
    fn errors_name_the_word() {
        for (text, told) in [
            ("ok colour:red", "no qualifier “colour:”"),
            ("Action:post", "no qualifier “Action:”"),
            ("a outcome:maybe", "“outcome:maybe”: no such outcome"),
            ("outcome:den*", "“outcome:den*”: no such outcome"),
            ("ip:10.0.0.0/8", "“ip:10.0.0.0/8”: networks"),
            ("actor:", "“actor:”: there is nothing"),
            (r#"actor:"""#, "there is nothing"),
            ("actor:*", "“actor:*”: something must stand before"),
            ("*", "“*”: something must stand before"),
            ("request:a*b", "“request:a*b”: a “*” can stand at the end only"),
            (r#"a "b c"#, "“\"b c” has a quote that does not end"),
            (r#"a"b""#, "a quote begins in the middle"),
            (r#""a"b"#, "a quote ends in the middle"),
            ("a -", "nothing behind the “-”"),
            ("a ---", "“---” has no letters"),
            ("\u{1}a", "control characters"),
            ("created:yesterday", "“created:yesterday”: “yesterday” is no time"),
            ("created:2026-02-30", "“2026-02-30” is no time"),
            ("created:2026-03-02..2026-03-01", "ends before it begins"),
            ("created:..", "“” is no time"),
            ("created:", "“” is no time"),
        ] {
            let error = Search::parse(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
        let many = "a ".repeat(TERMS_MAX);
        assert!(
            Search::parse(&many).is_ok() && Search::parse(&format!("{many}b")).unwrap_err().contains("“b”")
        );
        assert!(
            Search::parse(&"ä".repeat(LENGTH_MAX)).is_ok()
                && Search::parse(&"ä".repeat(LENGTH_MAX + 1)).is_err()
        );
    }

    #[test]
    fn spans_of_time() {
        let day = times::from_iso("2026-03-15T00:00:00Z");
        let of = |text: &str| match one(&format!("created:{text}")).what {
            What::Created(span) => (span.from, span.to),
            other => panic!("{other:?}"),
        };
        let plus = |n: i64| day.map(|d| d + n);
        assert_eq!(of("2026-03-15"), (day, plus(DAY)));
        assert_eq!(of("2026-03-15..2026-03-16"), (day, plus(2 * DAY)));
        assert_eq!(of("2026-03-15..*"), (day, None));
        assert_eq!(of("*..2026-03-15"), (None, plus(DAY)));
        assert_eq!(of(">=2026-03-15"), (day, None));
        assert_eq!(of(">2026-03-15"), (plus(DAY), None));
        assert_eq!(of("<2026-03-15"), (None, day));
        assert_eq!(of("<=2026-03-15"), (None, plus(DAY)));
        assert_eq!(of("2026-03-15T01:00"), (plus(60 * MINUTE), plus(61 * MINUTE)));
        assert_eq!(of("2026-03-15T01:00+01:00"), (day, plus(MINUTE)));
        assert_eq!(of("2026-03-15T00:00Z..2026-03-15T00:00:00Z"), (day, plus(SECOND)));
        assert_eq!(of("<=2026-03-15T00:00:00.000Z"), (None, plus(1)));
        assert_eq!(of("*..*"), (None, None));
    }

    #[test]
    fn terms_come_and_go() {
        let search = Search::parse(r#"  action:post.delete   -spam "a  b" "#).unwrap();
        assert_eq!(search.to_string(), r#"action:post.delete -spam "a  b""#);
        assert_eq!(search.without(1).to_string(), r#"action:post.delete "a  b""#);
        assert_eq!(
            search.with(Field::Action, "key.create").unwrap().to_string(),
            r#"-spam "a  b" action:key.create"#
        );
        assert_eq!(search.value(Field::Action), Some("post.delete"));
        assert_eq!(Search::parse("action:a action:b -action:c").unwrap().value(Field::Action), None);
        assert_eq!(Search::parse("action:a*").unwrap().value(Field::Action), None);
        assert!(search.with(Field::Outcome, "maybe").is_err());
        let narrower = search.and("created:>2026-03-15").unwrap();
        assert_eq!(narrower.to_string(), format!("{search} created:>2026-03-15"));
        assert_eq!(narrower.and("created:>2026-03-15").unwrap(), narrower);
    }

    proptest! {
        /// What is understood prints so that it is understood the same; nothing makes the parser panic.
        #[test]
        fn searches_come_back(text in r#"(-?(action:|actor:|created:|key:)?("[a-z \\]*"|[a-z0-9.:*ä\-]{0,6})\*? {0,2}){0,5}"#) {
            if let Ok(search) = Search::parse(&text) {
                prop_assert_eq!(&Search::parse(&search.to_string()).unwrap(), &search);
                for n in 0..search.terms().len() {
                    let rest = search.without(n);
                    prop_assert_eq!(Search::parse(&rest.to_string()).unwrap(), rest);
                }
            }
        }

        #[test]
        fn any_value_can_be_asked_for(text in r"[^\pC]{1,20}") {
            prop_assume!(!text.trim().is_empty());
            let term = one(&is(Field::Actor, &text));
            prop_assert_eq!(term.what, What::Is(Field::Actor, value(&text, false)));
        }
    }
}
