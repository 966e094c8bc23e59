//! The entries of a bulk job's items, folded into one line: where the newest of them stands, with how many ended how.

use crate::{
    domain::{
        audit::{Entry, Outcome},
        audit_words::is_item,
    },
    http::admin::{
        present,
        views::{Badge, FoldedEntries},
    },
    store::{Db, Result, audit::AuditFilter},
};

/// One line of the list.
pub struct Line {
    pub entry: Entry,
    /// It stands for all that match of this job.
    pub fold: Option<Fold>,
}

pub struct Fold {
    pub job: String,
    pub outcomes: Vec<(Outcome, i64)>,
}

/// Up to `limit` lines: before a number the newest first, after one the oldest first. A job's line stands where its newest
/// entry that matches stands, whatever page that is on.
pub async fn page(
    db: &Db,
    filter: &AuditFilter,
    fold: bool,
    before: Option<i64>,
    after: Option<i64>,
    limit: i64,
) -> Result<Vec<Line>> {
    let mut rest = filter.clone();
    let (mut lines, mut jobs): (Vec<Line>, Vec<(i64, String)>) = Default::default();
    let mut cursor = after.or(before);
    loop {
        let (before, after) = if after.is_some() { (before, cursor) } else { (cursor, None) };
        let entries = db.audit_page(&rest, before, after, limit).await?;
        let Some(last) = entries.last().map(|entry| entry.seq) else { break };
        for entry in entries {
            match item_job(&entry).filter(|_| fold) {
                None => lines.push(Line { entry, fold: None }),
                Some(job) if rest.not_items_of.contains(&job) => {}
                Some(job) => {
                    rest.not_items_of.push(job.clone());
                    let of_job = AuditFilter { items_of: Some(job.clone()), ..filter.clone() };
                    if let Some(newest) = db.audit_seqs(&of_job, None, None, 1).await?.first() {
                        jobs.push((*newest, job));
                    }
                }
            }
        }
        cursor = Some(last);
        // Lines beyond are not known to be all there are.
        let within = |seq: i64| if after.is_some() { seq <= last } else { seq >= last };
        let known = lines.iter().map(|line| line.entry.seq).chain(jobs.iter().map(|(newest, _)| *newest));
        if known.filter(|seq| within(*seq) && before.is_none_or(|before| *seq < before)).count() as i64
            >= limit
        {
            break;
        }
    }
    jobs.retain(|(newest, _)| before.is_none_or(|before| *newest < before));
    let newest: Vec<i64> = jobs.iter().map(|(newest, _)| *newest).collect();
    for (entry, (_, job)) in db.audit_entries(&newest).await?.into_iter().zip(jobs) {
        lines.push(Line { entry, fold: Some(Fold { job, outcomes: Vec::new() }) });
    }
    lines.sort_by_key(|line| if after.is_some() { line.entry.seq } else { -line.entry.seq });
    lines.truncate(usize::try_from(limit).unwrap_or_default());
    for line in &mut lines {
        if let Some(fold) = &mut line.fold {
            let of_job = AuditFilter { items_of: Some(fold.job.clone()), ..filter.clone() };
            fold.outcomes = db.audit_outcomes(&of_job).await?;
        }
    }
    Ok(lines)
}

/// The job whose item the entry is about.
fn item_job(entry: &Entry) -> Option<String> {
    entry.job_id.clone().filter(|_| is_item(&entry.action))
}

/// "8,360 entries: 4,180 Started, 4,036 Success, 12 Failed", and where they are shown.
pub fn shown(fold: &Fold, url: String) -> FoldedEntries {
    let all = fold.outcomes.iter().map(|(_, count)| count).sum();
    let counts = fold.outcomes.iter().map(|(outcome, count)| {
        format!("{} {}", present::count(*count), Badge::outcome(outcome.as_str()).text)
    });
    FoldedEntries {
        entries: present::count(all).of("entry", "entries"),
        counts: counts.collect::<Vec<_>>().join(", "),
        url,
    }
}
