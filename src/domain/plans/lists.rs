//! Posts named in a text: one id per line, or a table with the columns `tenant, postGroupId, action, scheduledTime`. Every
//! line that cannot be used is told with its number; nothing is guessed.

use super::{BulkAction, PLAN_MAX, local_time};
use crate::{
    clock::Millis,
    domain::{ids, times},
};
use std::collections::HashMap;

/// A line that names a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Counted from 1.
    pub number: usize,
    /// `None`: whichever tenant of the workspace has the post.
    pub tenant_id: Option<String>,
    pub post_id: String,
    pub action: Option<BulkAction>,
    pub wanted_at: Option<Millis>,
}

/// Why a line cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    pub number: usize,
    pub text: String,
}

impl BadLine {
    pub fn new(number: usize, text: impl Into<String>) -> Self {
        Self { number, text: text.into() }
    }
}

/// Reads a list. Times without a zone of their own are the zone's.
pub fn read_list(text: &str, zone: &str) -> (Vec<Line>, Vec<BadLine>) {
    let text = text.trim_start_matches('\u{feff}');
    let (mut lines, mut bad) = (Vec::new(), Vec::new());
    let mut seen: HashMap<(Option<String>, String), usize> = HashMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() || number == 1 && is_head(line) {
            continue;
        }
        if lines.len() >= PLAN_MAX {
            bad.push(BadLine::new(number, "A list can name at most 50,000 posts; the rest was not read"));
            break;
        }
        match read_line(number, &fields(line), zone) {
            Err(text) => bad.push(BadLine { number, text }),
            Ok(line) => match seen.insert((line.tenant_id.clone(), line.post_id.clone()), number) {
                Some(first) => bad.push(BadLine::new(number, format!("Named in line {first} already"))),
                None => lines.push(line),
            },
        }
    }
    (lines, bad)
}

/// Ids, words and times hold no separators, so quotes are only wrapping. `;` is what some spreadsheets write.
fn fields(line: &str) -> Vec<&str> {
    let plain = |field| str::trim(field).trim_matches('"').trim();
    match line.contains([',', ';', '\t']) {
        true => line.split([',', ';', '\t']).map(plain).collect(),
        false => line.split_whitespace().map(plain).collect(),
    }
}

fn is_head(line: &str) -> bool {
    fields(line).iter().any(|f| f.eq_ignore_ascii_case("postGroupId"))
}

fn read_line(number: usize, fields: &[&str], zone: &str) -> Result<Line, String> {
    if fields.len() > 4 {
        return Err("There are more than four columns: tenant, postGroupId, action, scheduledTime".into());
    }
    let field = |n: usize| fields.get(n).copied().unwrap_or_default();
    let (tenant, post) = if fields.len() == 1 { ("", field(0)) } else { (field(0), field(1)) };
    let object_id = |what: &str, id: &str| match ids::is_object_id(id) {
        true => Ok(id.to_owned()),
        false => Err(format!("“{}” is not the id of a {what}", id.chars().take(40).collect::<String>())),
    };
    let post_id = object_id("post", post)?;
    let tenant_id = if tenant.is_empty() { None } else { Some(object_id("tenant", tenant)?) };
    let action = match field(2) {
        "" => None,
        word => Some(
            BulkAction::of_posts(&word.to_lowercase())
                .ok_or("The action is none of delete, pause, resume and reschedule")?,
        ),
    };
    let wanted_at = match field(3) {
        "" => None,
        text => Some(read_time(text, zone)?),
    };
    match (action, wanted_at) {
        (Some(BulkAction::Delete | BulkAction::Pause), Some(_)) => {
            Err("A time can only be given to resume or reschedule a post".into())
        }
        (Some(BulkAction::Reschedule), None) => Err("The time to reschedule it to is missing".into()),
        _ => Ok(Line { number, tenant_id, post_id, action, wanted_at }),
    }
}

/// As PostPost writes times, or a local one: `2026-03-15T14:00` or `2026-03-15 14:00`.
fn read_time(text: &str, zone: &str) -> Result<Millis, String> {
    match times::from_iso(text) {
        Some(at) => Ok(at),
        None => local_time("scheduledTime", &text.replacen(' ', "T", 1), zone, None).map_err(|e| e.reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::times::from_iso;

    fn oid(n: usize) -> String {
        format!("{n:024x}")
    }

    #[test]
    fn ids_and_tables() {
        let (t, a, b, c) = (oid(1), oid(2), oid(3), oid(4));
        let (lines, bad) = read_list(&format!("{a}\r\n\n {t} {b} \n{t},{c}\n"), "UTC");
        assert_eq!(bad, []);
        let named: Vec<_> =
            lines.iter().map(|l| (l.number, l.tenant_id.as_deref(), l.post_id.as_str())).collect();
        assert_eq!(named, [(1, None, &*a), (3, Some(&*t), &*b), (4, Some(&*t), &*c)]);

        let table = format!(
            "\u{feff}tenant,postGroupId,action,scheduledTime\n{t},{a},delete,\n{t};\"{b}\";Reschedule;\"2026-03-15T10:00:00+02:00\"\n{t},{c},resume,2026-03-15 09:00"
        );
        let (lines, bad) = read_list(&table, "Europe/Berlin");
        assert_eq!(bad, []);
        let read: Vec<_> = lines.iter().map(|l| (l.number, l.action, l.wanted_at)).collect();
        let eight = from_iso("2026-03-15T08:00:00Z");
        assert_eq!(
            read,
            [
                (2, Some(BulkAction::Delete), None),
                (3, Some(BulkAction::Reschedule), eight),
                (4, Some(BulkAction::Resume), eight)
            ]
        );
    }

    #[test]
    fn every_bad_line_is_told() {
        let (t, a) = (oid(1), oid(2));
        let text = [
            "nonsense".to_owned(),
            format!("{t},{a},explode,"),
            format!("{t},{a},delete,2026-03-15T10:00:00Z"),
            format!("{t},{a},reschedule,"),
            format!("{t},{a},reschedule,2026-03-29T02:30"),
            format!("{t},{a},reschedule,soon"),
            format!("{t},{a},,,,"),
            format!("Acme,{a}"),
            format!("{t},{a}"),
            format!("{t} {a}"),
        ]
        .join("\n");
        let (lines, bad) = read_list(&text, "Europe/Berlin");
        assert_eq!(lines.len(), 1);
        let told: Vec<_> = bad.iter().map(|b| (b.number, b.text.as_str())).collect();
        assert_eq!(told.len(), 9);
        assert_eq!(told[0], (1, "“nonsense” is not the id of a post"));
        assert!(told[4].1.contains("does not exist in Europe/Berlin"), "{told:?}");
        assert_eq!(told[7].1, "“Acme” is not the id of a tenant");
        assert_eq!(told[8], (10, "Named in line 9 already"));
    }

    #[test]
    fn a_list_has_an_end() {
        let text: String = (0..PLAN_MAX + 5).map(|n| oid(n) + "\n").collect();
        let (lines, bad) = read_list(&text, "UTC");
        assert_eq!((lines.len(), bad.len()), (PLAN_MAX, 1));
    }
}
