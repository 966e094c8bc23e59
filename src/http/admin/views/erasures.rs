//! Pages on which personal data is erased, and the list of people. Must not print what was erased.

use super::{
    forms::{Field, Summary},
    parts::{Badge, Moment},
    shell::Shell,
};
use askama::Template;

/// `/w/{ws}/tenants/{id}/erase` and `/people/{id}/erase`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "erasures/new.html")]
pub struct ErasePage {
    pub shell: Shell,
    /// The list it belongs to, and the page to go back to.
    pub list: String,
    pub list_url: String,
    pub back_url: String,
    pub action: String,
    /// "Erase Blue Bakery"
    pub title: String,
    /// What goes and what stays, sentence by sentence.
    pub goes: Vec<String>,
    pub stays: Vec<String>,
    /// Why it cannot be begun now. Some: there is no form.
    pub held: Option<String>,
    /// How far an erasure is that was begun before.
    pub last: Option<LastErasure>,
    pub error: Option<String>,
    /// "reason"
    pub reason: Field,
    /// What has to be typed, and "confirm".
    pub typed: String,
    pub confirm: Field,
    pub password_required: bool,
    /// "password"; only its error is printed.
    pub password: Field,
}

impl ErasePage {
    pub fn summary(&self) -> Summary {
        Summary::of(&self.error, &[&self.reason, &self.confirm, &self.password])
    }
}

#[derive(Clone, Debug, Default)]
pub struct LastErasure {
    /// "Erased", "Being erased", …
    pub state: String,
    pub asked: Moment,
    /// "12 details of the audit log"
    pub details: String,
    /// What is still to come. Empty: nothing.
    pub rest: String,
}

/// `/people`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "people/list.html")]
pub struct PeoplePage {
    pub shell: Shell,
    pub rows: Vec<PersonRow>,
}

#[derive(Clone, Debug, Default)]
pub struct PersonRow {
    pub name: String,
    pub email: String,
    pub state: Badge,
    /// "Instance owner", or the roles.
    pub roles: String,
    pub since: Moment,
    /// None for whoever looks: nobody erases themselves.
    pub erase_url: Option<String>,
}
