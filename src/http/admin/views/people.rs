//! Pages before anybody is signed in. Must not print a password back.

use askama::Template;

use super::forms::{Field, Summary};
use super::shell::Shell;

/// `/login`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "people/login.html")]
pub struct LoginPage {
    pub shell: Shell,
    /// Wrong e-mail or password, locked until …; the one generic message.
    pub error: Option<String>,
    /// "email"
    pub email: Field,
    /// Path to return to; hidden field `next`. Empty: none.
    pub next: String,
}

impl LoginPage {
    pub fn summary(&self) -> Summary {
        Summary::of(&self.error, &[&self.email])
    }
}

/// `/setup/{token}`
#[derive(Template, Clone, Debug, Default)]
#[template(path = "people/setup.html")]
pub struct SetupPage {
    pub shell: Shell,
    pub error: Option<String>,
    /// "name"
    pub name: Field,
    /// "email"
    pub email: Field,
    /// "password"; only its error is printed.
    pub password: Field,
}

impl SetupPage {
    pub fn summary(&self) -> Summary {
        Summary::of(&self.error, &[&self.name, &self.email, &self.password])
    }
}
