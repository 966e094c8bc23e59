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
    /// `delete pause resume reschedule`
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
    /// Red, only when true.
    pub callouts: Vec<String>,
    /// By tenant, platform, status.
    pub breakdowns: Vec<Breakdown>,
    /// First and last scheduled time.
    pub window: Option<(Moment, Moment)>,
    pub skips: Vec<SkipRow>,
    pub options: PlanOptions,
    /// `?show=` as tabs: to do, skipped.
    pub tabs: Vec<Tab>,
    pub items: Vec<PlanItem>,
    pub pager: Pager,
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
            match &self.options {
                PlanOptions::Reschedule { amount, at, .. } => fields.extend([amount, at]),
                PlanOptions::Resume { past_due, late, .. } if late.0 > 0 => fields.push(past_due),
                PlanOptions::Resume { .. } | PlanOptions::None => {}
            }
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

    pub fn is_open(&self) -> bool {
        self.state == PlanState::Open
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PlanState {
    #[default]
    Open,
    /// Older than 15 minutes: the posts have to be selected again, in this list.
    Expired { again_url: String },
    /// Already confirmed: the job that does it.
    Confirmed { job: String },
}

/// Form `POST …/options`, per action.
#[derive(Clone, Debug, Default)]
pub enum PlanOptions {
    #[default]
    None,
    Reschedule {
        /// "mode": `shift` or `set`
        modes: Vec<Choice>,
        /// "amount": a whole number
        amount: Field,
        /// "unit": `minutes hours days`
        units: Vec<Choice>,
        /// "sign": `later` or `earlier`
        signs: Vec<Choice>,
        /// "at": `YYYY-MM-DDTHH:MM`, UTC
        at: Field,
    },
    Resume {
        /// "past_due": `skip`, `publish_now` or `shift`
        choices: Vec<Choice>,
        past_due: Field,
        /// Posts whose time has passed.
        late: Count,
    },
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
    pub url: String,
    pub content: String,
    pub tenant: String,
    pub platforms: String,
    pub badge: Badge,
    pub old_time: Option<Moment>,
    /// None: the time stays.
    pub new_time: Option<Moment>,
    /// Why it is skipped. Empty: it is acted on.
    pub skip: String,
}

impl PlanItem {
    pub fn excerpt(&self) -> String {
        excerpt(&self.content)
    }
}
