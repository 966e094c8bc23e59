//! A person's own settings: preferences, password, sessions. Must not print another person's sessions.

use askama::Template;

use super::forms::{Choice, Field, Summary};
use super::parts::Moment;
use super::shell::Shell;

/// `/settings`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "settings/show.html")]
pub struct SettingsPage {
    pub shell: Shell,
    /// "theme": `auto light dark`
    pub themes: Vec<Choice>,
    /// "density": `comfortable compact`
    pub densities: Vec<Choice>,
    /// "zone": an IANA name
    pub zone: Field,
    /// All zones there are, to choose from.
    pub zones: Vec<String>,
    /// The time as it is shown now.
    pub now: String,
    /// "rows": per page
    pub rows: Vec<Choice>,
    /// "shortcuts": `on off`
    pub shortcuts: Vec<Choice>,
    pub error: Option<String>,
    /// "current_password"; only its error is printed.
    pub current_password: Field,
    /// "new_password"; only its error is printed.
    pub new_password: Field,
    pub sessions: Vec<SessionRow>,
}

impl SettingsPage {
    pub fn summary(&self) -> Summary {
        Summary::of(&self.error, &[&self.zone, &self.current_password, &self.new_password])
    }
}

#[derive(Clone, Debug, Default)]
pub struct SessionRow {
    pub id: String,
    /// "Firefox on Linux"
    pub device: String,
    pub address: String,
    pub created: Moment,
    pub seen: Moment,
    /// This very session.
    pub current: bool,
}
