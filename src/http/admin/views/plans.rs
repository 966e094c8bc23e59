//! The preview of a bulk action: a frozen list, its consequences, its confirmation. Must not count anything itself.

use askama::Template;

use super::forms::{Choice, Field, Summary};
use super::parts::{Badge, Count, Link, Moment, Pager, Tab};
use super::posts::excerpt;
use super::shell::Shell;

/// `/w/{ws}/plans/{id}`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "plans/show.html")]
pub struct PlanPage {
    pub shell: Shell,
    pub ws: String,
    pub id: String,
    /// Hidden field `digest`: what is shown here is what is confirmed.
    pub digest: String,
    /// `delete pause resume reschedule recreate`
    pub action: &'static str,
    pub state: PlanState,
    /// "Delete 4,180 posts of 23 tenants."
    pub headline: String,
    /// "132 will be skipped." Empty: none.
    pub skipped_line: String,
    /// "all posts matching status Failed, tenant Acme; 3 excluded" or "5 ticked posts"
    pub selected: String,
    pub snapshot: Moment,
    /// "The mirror was 40 s old." Empty: not printed.
    pub mirror_line: String,
    pub expires: Moment,
    /// Posts that will be acted on.
    pub count: Count,
    /// "Since the last preview: +7 −2, 3 changed." Empty: not previewed before.
    pub difference_line: String,
    /// Red, only when true.
    pub callouts: Vec<Callout>,
    /// By tenant, platform, status.
    pub breakdowns: Vec<Breakdown>,
    /// First and last scheduled time.
    pub window: Option<(Moment, Moment)>,
    pub skips: Vec<SkipRow>,
    pub options: PlanOptions,
    /// What was chosen cannot be; nothing is confirmed beside it.
    pub options_refused: bool,
    /// `?show=` as tabs: to do, skipped.
    pub tabs: Vec<Tab>,
    pub items: Vec<PlanItem>,
    pub pager: Pager,
    pub csv_url: String,
    pub error: Option<String>,
    /// Some: this has to be typed: `delete 4180`.
    pub typed: Option<String>,
    /// "confirm"
    pub confirm: Field,
    /// "reason"; always offered
    pub reason: Field,
    pub reason_required: bool,
    /// "password": asked for again before the largest deletes.
    pub password_required: bool,
    pub password: Field,
    /// "starts after 30 s; you can cancel". Empty: at once.
    pub delay_line: String,
    /// "Delete 4,180 posts"
    pub submit: String,
    /// The list it came from, with its filters.
    pub keep_url: String,
}

impl PlanPage {
    pub fn summary(&self) -> Summary {
        let mut fields = Vec::new();
        if self.is_open() {
            let o = &self.options;
            match &o.times {
                PlanTimes::Reschedule { mode, amount, at, day, time, .. } => {
                    fields.extend([mode, amount, at, &o.first, &o.every, day, time, &o.zone]);
                }
                PlanTimes::Resume { past_due, .. } => fields.extend([past_due, &o.first, &o.every, &o.zone]),
                PlanTimes::None => fields.push(&o.zone),
            }
            fields.extend([&o.rate, &o.stop_after, &o.start]);
            if self.count.0 > 0 {
                fields.push(&self.reason);
                fields.extend(self.typed.is_some().then_some(&self.confirm));
                fields.extend(self.password_required.then_some(&self.password));
            }
        }
        Summary::of(&self.error, &fields)
    }

    pub fn has_new_times(&self) -> bool {
        self.action == "reschedule" || self.action == "resume"
    }

    /// Above the times that the posts have, or had.
    pub fn time_label(&self) -> &'static str {
        match self.action {
            "reschedule" | "resume" => "Time now",
            "recreate" => "Was scheduled",
            _ => "Scheduled",
        }
    }

    pub fn is_open(&self) -> bool {
        self.state == PlanState::Open
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PlanState {
    #[default]
    Open,
    /// Older than 15 minutes: it has to be previewed again.
    Expired,
    /// Already confirmed: the job that does it.
    Confirmed { job: String },
}

/// Form `POST …/options`.
#[derive(Clone, Debug, Default)]
pub struct PlanOptions {
    pub times: PlanTimes,
    /// "first": `YYYY-MM-DDTHH:MM` in the zone; the first time of a spread
    pub first: Field,
    /// "every": minutes between two posts of a spread
    pub every: Field,
    /// "zone": an IANA name
    pub zone: Field,
    /// "fold": empty, `earlier` or `later`
    pub folds: Vec<Choice>,
    /// "rate": calls a second; empty: the workspace's pace
    pub rate: Field,
    /// "backup": `keep` or `none`; shown for deletes
    pub backups: Vec<Choice>,
    /// "stop_after": failures in a row
    pub stop_after: Field,
    /// "start": like "first"; empty: at once
    pub start: Field,
}

impl PlanOptions {
    /// Whether something is wrong in the part that is folded away.
    pub fn running_is_wrong(&self) -> bool {
        [&self.rate, &self.stop_after, &self.start, &self.zone].iter().any(|field| field.error.is_some())
    }
}

/// What can be chosen about times, per action.
#[expect(clippy::large_enum_variant, reason = "a page has one of it")]
#[derive(Clone, Debug, Default)]
pub enum PlanTimes {
    #[default]
    None,
    Reschedule {
        /// "mode": `listed shift set spread weekday`
        mode: Field,
        modes: Vec<Choice>,
        /// "amount": a whole number
        amount: Field,
        /// "unit": `minutes hours days weeks`
        units: Vec<Choice>,
        /// "sign": `later` or `earlier`
        signs: Vec<Choice>,
        /// "at": like "first"
        at: Field,
        /// "day": `monday` to `sunday`
        day: Field,
        days: Vec<Choice>,
        /// "time": `HH:MM`
        time: Field,
    },
    Resume {
        /// "past_due": `leave shift spread publish_now`
        past_due: Field,
        choices: Vec<Choice>,
        /// Posts that stay paused, because their time has passed or they have none.
        left: Count,
    },
}

/// Something that must not be overlooked, and the posts it is about.
#[derive(Clone, Debug, Default)]
pub struct Callout {
    pub text: String,
    /// Empty: they cannot be listed by themselves.
    pub url: String,
}

/// `/w/{ws}/plans/{id}/tenants`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "plans/tenants.html")]
pub struct PlanTenantsPage {
    pub shell: Shell,
    pub plan_url: String,
    pub headline: String,
    pub rows: Vec<BreakdownRow>,
    pub pager: Pager,
}

/// `/w/{ws}/plans/new`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "plans/new.html")]
pub struct ListedPage {
    pub shell: Shell,
    pub ws: String,
    pub error: Option<String>,
    /// "list": ids or a table
    pub list: Field,
    /// "zone": of times that name none
    pub zone: Field,
    /// "action": empty as the list says
    pub actions: Vec<Choice>,
    /// The first lines that cannot be used.
    pub bad: Vec<BadLine>,
    pub more_bad: Count,
    /// Lines that can be used beside them.
    pub usable: Count,
}

impl ListedPage {
    pub fn summary(&self) -> Summary {
        Summary::of(&self.error, &[&self.list, &self.zone])
    }
}

#[derive(Clone, Debug, Default)]
pub struct BadLine {
    pub number: usize,
    pub text: String,
}

#[derive(Clone, Debug, Default)]
pub struct Breakdown {
    /// "Tenant"
    pub title: String,
    pub rows: Vec<BreakdownRow>,
    /// "All 23 tenants"
    pub more: Option<Link>,
}

#[derive(Clone, Debug, Default)]
pub struct BreakdownRow {
    pub label: String,
    pub count: Count,
    /// Of the plan's posts, 0 to 100: the bar.
    pub share: u64,
    /// The items behind it. Empty: not a link.
    pub url: String,
}

/// Why posts are left out.
#[derive(Clone, Debug, Default)]
pub struct SkipRow {
    /// "Published already"
    pub reason: String,
    /// "A published post stays on the platform; PostPost would only forget it."
    pub explanation: String,
    pub count: Count,
    /// `?show=reason`
    pub url: String,
}

#[derive(Clone, Debug, Default)]
pub struct PlanItem {
    /// Empty: the post is not there any more.
    pub url: String,
    pub content: String,
    pub tenant: String,
    pub platforms: String,
    pub badge: Badge,
    pub old_time: Option<Moment>,
    /// In UTC and in the plan's zone, where that is not the zone above. May be empty.
    pub old_local: String,
    /// None: the time stays.
    pub new_time: Option<Moment>,
    pub new_local: String,
    /// Why it is skipped. Empty: it is acted on.
    pub skip: String,
}

impl PlanItem {
    pub fn excerpt(&self) -> String {
        excerpt(&self.content)
    }
}
