//! The options of a plan as a form: read what was typed, and show what is stored. What the choices mean is in
//! `domain::plans`.

use super::{
    form::Form,
    plan_page::Mistakes,
    present,
    views::{Choice, PlanOptions as OptionsView, PlanTimes},
};
use crate::{
    clock::{DAY, HOUR, MINUTE, Millis},
    domain::{
        Invalid,
        plans::{
            BulkAction, DUE_SOON, Fold, Move, PastDue, Plan, PlanOptions, SkipReason, Weekday, local_time,
            shift, zone,
        },
        times,
    },
};

/// Longest time between two posts of a spread, in minutes.
const EVERY_MAX: i64 = 7 * 24 * 60;

/// Reads the form. What it does not hold stays as it was.
pub fn read(form: &Form, plan: &Plan, now: Millis) -> Result<PlanOptions, Invalid> {
    let mut options = plan.options.clone();
    let holds = |name: &str| form.pairs().iter().any(|(n, _)| n == name);
    if let Some(name) = form.some("zone") {
        options.zone = zone(name)?;
    }
    if holds("fold") {
        options.fold = Fold::parse(form.get("fold"));
    }
    match plan.action {
        BulkAction::Reschedule => options.moved = read_move(form, &options, now)?,
        BulkAction::Resume => options.past_due = read_past_due(form, &options, now)?,
        BulkAction::Delete | BulkAction::Pause | BulkAction::Recreate => {}
    }
    if holds("rate") {
        options.rate = match form.some("rate") {
            None => None,
            Some(text) => Some(number("rate", text)?),
        };
    }
    if let Some(text) = form.some("stop_after") {
        options.stop_after = number("stop_after", text)?;
    }
    if holds("backup") {
        options.keep_backup = form.get("backup") == KEEP;
    }
    if holds("start") {
        options.starts_at = match form.some("start") {
            None => None,
            Some(text) => Some(local_time("start", text, &options.zone, options.fold)?),
        };
    }
    options.check_running(now)?;
    Ok(options)
}

fn number(field: &'static str, text: &str) -> Result<u32, Invalid> {
    text.parse().map_err(|_| Invalid::new(field, "Enter a whole number"))
}

fn read_move(form: &Form, options: &PlanOptions, now: Millis) -> Result<Move, Invalid> {
    match form.get("mode") {
        "shift" => {
            let amount = form.get("amount").trim();
            let amount = match form.get("sign") {
                "earlier" => format!("-{amount}"),
                _ => amount.to_owned(),
            };
            shift(&amount, form.get("unit"))
        }
        "set" => Ok(Move::Set { at: future("at", form, options, now)? }),
        "spread" => {
            let (from, every) = read_spread(form, options, now)?;
            Ok(Move::Spread { from, every })
        }
        "weekday" => {
            let day = Weekday::parse(form.get("day"))
                .ok_or_else(|| Invalid::new("day", "Choose a day of the week"))?;
            let minute = minute_of_day(form.get("time"))
                .ok_or_else(|| Invalid::new("time", "Enter a time of day, such as 09:30"))?;
            Ok(Move::Weekday { day, minute })
        }
        "listed" if options.moved == Move::Listed => Ok(Move::Listed),
        _ => Err(Invalid::new("mode", "Choose how to move the posts")),
    }
}

fn read_past_due(form: &Form, options: &PlanOptions, now: Millis) -> Result<PastDue, Invalid> {
    match form.get("past_due") {
        "leave" => Ok(PastDue::Leave),
        "shift" => Ok(PastDue::Shift),
        "spread" => {
            let (from, every) = read_spread(form, options, now)?;
            Ok(PastDue::Spread { from, every })
        }
        "publish_now" => Ok(PastDue::PublishNow),
        _ => Err(Invalid::new("past_due", "Choose what to do with them")),
    }
}

fn read_spread(form: &Form, options: &PlanOptions, now: Millis) -> Result<(Millis, Millis), Invalid> {
    let from = future("first", form, options, now)?;
    let every: Option<i64> = form.get("every").trim().parse().ok().filter(|n| (1..=EVERY_MAX).contains(n));
    let every =
        every.ok_or_else(|| Invalid::new("every", format!("Enter minutes, from 1 to {EVERY_MAX}")))?;
    Ok((from, every * MINUTE))
}

fn future(field: &'static str, form: &Form, options: &PlanOptions, now: Millis) -> Result<Millis, Invalid> {
    let at = local_time(field, form.get(field), &options.zone, options.fold)?;
    if at <= now + DUE_SOON {
        let text = "Choose a time more than 2 minutes ahead: PostPost publishes at once what has a past time";
        return Err(Invalid::new(field, text));
    }
    Ok(at)
}

fn minute_of_day(text: &str) -> Option<i16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let (hour, minute): (i16, i16) = (hour.parse().ok()?, minute.get(..2)?.parse().ok()?);
    ((0..24).contains(&hour) && (0..60).contains(&minute)).then_some(hour * 60 + minute)
}

/// The form of a plan: as it was typed if that was a mistake, else as it is stored.
pub fn view(form: &Form, plan: &Plan, mistakes: &Mistakes, now: Millis) -> OptionsView {
    let options = &plan.options;
    let typed = |name: &str, stored: String| match mistakes.options_typed {
        true => form.get(name).to_owned(),
        false => stored,
    };
    let field = |name: &'static str, stored: String| mistakes.of(name, typed(name, stored));
    let choices = |name: &str, all: &[(&str, &str)], stored: &str| -> Vec<Choice> {
        let current = typed(name, stored.to_owned());
        all.iter().map(|(value, label)| Choice::new(*value, *label, *value == current)).collect()
    };
    let local = |at: Millis| times::to_local(at, &options.zone);
    // What a field offers before anything was chosen: tomorrow at this hour.
    let tomorrow = local((now / HOUR + 25) * HOUR);
    let (from, every) = match (options.moved, options.past_due, plan.action) {
        (Move::Spread { from, every }, _, BulkAction::Reschedule)
        | (_, PastDue::Spread { from, every }, BulkAction::Resume) => (local(from), every / MINUTE),
        _ => (tomorrow.clone(), 30),
    };
    let times = match plan.action {
        BulkAction::Reschedule => {
            let by = match options.moved {
                Move::Shift { by } => by,
                Move::Days { days } => i64::from(days) * DAY,
                _ => DAY,
            };
            let (amount, unit) = match by.abs() {
                n if n % DAY == 0 => (n / DAY, "days"),
                n if n % HOUR == 0 => (n / HOUR, "hours"),
                n => (n / MINUTE, "minutes"),
            };
            let (day, minute) = match options.moved {
                Move::Weekday { day, minute } => (day, minute),
                _ => (Weekday::Monday, 9 * 60),
            };
            let mode = match options.moved {
                Move::Shift { .. } | Move::Days { .. } => "shift",
                Move::Set { .. } => "set",
                Move::Spread { .. } => "spread",
                Move::Weekday { .. } => "weekday",
                Move::Listed => "listed",
            };
            let mut modes = choices("mode", MODES, mode);
            modes.retain(|m| m.value != "listed" || options.moved == Move::Listed);
            PlanTimes::Reschedule {
                mode: mistakes.of("mode", ""),
                modes,
                amount: field("amount", amount.to_string()),
                units: choices("unit", UNITS, unit),
                signs: choices(
                    "sign",
                    &[("later", "later"), ("earlier", "earlier")],
                    match by < 0 {
                        true => "earlier",
                        false => "later",
                    },
                ),
                at: field(
                    "at",
                    match options.moved {
                        Move::Set { at } => local(at),
                        _ => tomorrow,
                    },
                ),
                day: mistakes.of("day", ""),
                days: choices("day", DAYS, day.as_str()),
                time: field("time", format!("{:02}:{:02}", minute / 60, minute % 60)),
            }
        }
        BulkAction::Resume => {
            let stored = match options.past_due {
                PastDue::Leave => "leave",
                PastDue::Shift => "shift",
                PastDue::Spread { .. } => "spread",
                PastDue::PublishNow => "publish_now",
            };
            let mut choices = choices("past_due", PAST_DUE, stored);
            for (choice, hint) in choices.iter_mut().zip(PAST_DUE_HINTS) {
                choice.hint = (*hint).into();
            }
            let left =
                plan.summary.skipped_as(SkipReason::PastTime) + plan.summary.skipped_as(SkipReason::NoTime);
            PlanTimes::Resume { choices, past_due: mistakes.of("past_due", ""), left: present::count(left) }
        }
        BulkAction::Delete | BulkAction::Pause | BulkAction::Recreate => PlanTimes::None,
    };
    OptionsView {
        times,
        first: field("first", from),
        every: field("every", every.to_string()),
        zone: field("zone", options.zone.clone()),
        folds: choices(
            "fold",
            &[
                ("", "leave such posts out"),
                ("earlier", "the first is meant"),
                ("later", "the second is meant"),
            ],
            options.fold.map_or("", Fold::as_str),
        ),
        rate: field("rate", options.rate.map(|n| n.to_string()).unwrap_or_default()),
        backups: choices("backup", BACKUPS, if options.keep_backup { KEEP } else { "none" }),
        stop_after: field("stop_after", options.stop_after.to_string()),
        start: field("start", options.starts_at.map(local).unwrap_or_default()),
    }
}

const KEEP: &str = "keep";
const BACKUPS: &[(&str, &str)] = &[(KEEP, "keep a copy of each post"), ("none", "keep none")];

const MODES: &[(&str, &str)] = &[
    ("listed", "Each post to the time it was listed with"),
    ("shift", "Shift each post"),
    ("set", "Set all to one time"),
    ("spread", "Spread them, in the order of their times"),
    ("weekday", "Move each to a weekday"),
];
const UNITS: &[(&str, &str)] =
    &[("minutes", "minutes"), ("hours", "hours"), ("days", "days"), ("weeks", "weeks")];
const DAYS: &[(&str, &str)] = &[
    ("monday", "Monday"),
    ("tuesday", "Tuesday"),
    ("wednesday", "Wednesday"),
    ("thursday", "Thursday"),
    ("friday", "Friday"),
    ("saturday", "Saturday"),
    ("sunday", "Sunday"),
];
const PAST_DUE: &[(&str, &str)] = &[
    ("leave", "Leave them paused"),
    ("shift", "Shift all by the length of their pause"),
    ("spread", "Spread them"),
    ("publish_now", "Publish them now"),
];
const PAST_DUE_HINTS: &[&str] = &[
    "Only posts whose time is still ahead are resumed.",
    "Every post of the plan, also one whose time is still ahead, goes out later by as long as it was paused, \
     rounded up to a minute. Order and distances stay.",
    "Late posts and those without a time go out one after the other; the others keep their times.",
    "They go out at once, as fast as the job runs.",
];
