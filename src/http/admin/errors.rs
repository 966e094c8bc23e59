//! The error as a page, in the shell: what happened, what to do, and the request id.

use super::{
    super::{Answer, Call, Error},
    form::{Form, query_string},
    post_filter, present,
    views::{ErrorPage, Link},
    visit::bare_shell,
};
use crate::{app::App, domain::ids};

/// Renders an error of the HTML door. Without a session, a GET leads to the log-in page and back.
pub fn render_error(app: &App, call: &Call, error: &Error) -> Answer {
    if matches!(error, Error::LoginNeeded) && call.method == "GET" && wants_page(call) {
        let next =
            if call.query.is_empty() { call.path.clone() } else { format!("{}?{}", call.path, call.query) };
        let location = match next.as_str() {
            "/" => "/login".to_owned(),
            next => format!("/login?{}", query_string([("next", next)])),
        };
        return Answer::see_other(&location);
    }
    let described = error.describe();
    let (heading, todo) = match error {
        Error::Interrupted => (
            "Interrupted",
            "Go back, reload the page and see whether it shows what you asked for. If not, fill the form in anew.",
        ),
        Error::NothingToDo(_) => ("Nothing to do", "Go back and choose other posts, or other filters."),
        _ => advice(described.status),
    };
    let page = ErrorPage {
        shell: bare_shell(app, call, heading),
        status: described.status,
        heading: heading.into(),
        happened: format!("{}.", described.text.trim_end_matches('.')),
        todo: todo.into(),
        request_id: call.request_id.clone(),
        link: match error {
            Error::LoginNeeded => Some(Link::new("Sign in", "/login")),
            Error::NothingToDo(_) | Error::Invalid(_) => list_of(call),
            _ => None,
        },
    };
    let mut answer = present::page_with_status(described.status, &page);
    error.add_headers(&described, &mut answer);
    answer
}

/// The posts list that a form came from, with its filters and what was selected before.
fn list_of(call: &Call) -> Option<Link> {
    let form = Form::from_body(call).ok()?;
    form.pairs().iter().find(|(name, _)| name == "filter")?;
    let query = post_filter::read(&Form::from_text(form.get("filter"))).ok()?;
    let base = format!("/w/{}/posts", call.param("ws"));
    let select: Vec<_> = form.some("selection").map(|id| ("select", id)).into_iter().collect();
    ids::is_own_id(call.param("ws")).then(|| Link::new("Back to the posts", query.url(&base, &select)))
}

/// Live updates read the status; they must not be led to a page.
fn wants_page(call: &Call) -> bool {
    !call.path.ends_with("/events") && !call.path.ends_with("/progress.json")
}

fn advice(status: u16) -> (&'static str, &'static str) {
    match status {
        400 => ("The request cannot be used", "Go back, check what you entered and try again."),
        401 => ("You are signed out", "Sign in and try again. What you were doing was not done."),
        403 => ("Not allowed", "Ask an owner of the workspace if you need this."),
        404 => (
            "Page not found",
            "Check the address. What was here may have been removed, or is not yours to see.",
        ),
        405 => ("Method not allowed", "Use the buttons and links of the pages."),
        408 | 413 | 414 | 415 => {
            ("The request cannot be read", "Select less at a time, or use the filters instead.")
        }
        409 => ("Already under way", "Wait a moment and reload the page you came from."),
        422 => ("There is a problem", "Go back, correct it and try again."),
        423 => ("Frozen", "Unfreeze it first, if that is meant."),
        429 => ("Too many attempts", "Wait a little, then try again."),
        502 | 504 => (
            "PostPost did not answer",
            "The pages here still work from the gateway's own copy. Try again later.",
        ),
        503 => ("Not possible right now", "Wait a moment, then reload the page to see how things stand."),
        507 => (
            "The gateway's disk is full or read-only",
            "Tell the person who runs this gateway. Pages can still be read.",
        ),
        _ => (
            "Something went wrong",
            "Try again. If it stays, tell the person who runs this gateway, with the request ID.",
        ),
    }
}
