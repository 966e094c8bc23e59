//! The one error page. Must not print detail: that is in the log, under the request id.

use askama::Template;

use super::parts::Link;
use super::shell::Shell;

/// 400 401 403 404 405 409 413 422 429 500 502 503
#[derive(Template, Clone, Debug, Default)]
#[template(path = "error.html")]
pub struct ErrorPage {
    pub shell: Shell,
    pub status: u16,
    /// "Page not found"
    pub heading: String,
    pub happened: String,
    pub todo: String,
    pub request_id: String,
    /// Where to go from here; the dashboard when empty.
    pub link: Option<Link>,
}
