//! A person's own settings: looks, password, sessions.

use super::{
    super::{Answer, Error},
    login::{self, Attempt},
    passwords, present,
    views::{Choice, Field, SessionRow, SettingsPage},
    visit::Visit,
};
use crate::domain::admins::check_password;

const THEMES: [(&str, &str); 3] = [("auto", "As the system"), ("light", "Light"), ("dark", "Dark")];
const DENSITIES: [(&str, &str); 2] = [("comfortable", "Comfortable"), ("compact", "Compact")];

pub async fn show(visit: Visit) -> Result<Answer, Error> {
    render(&visit, Field::new("current_password"), Field::new("new_password")).await
}

async fn render(visit: &Visit, current_password: Field, new_password: Field) -> Result<Answer, Error> {
    let failed = current_password.error.is_some() || new_password.error.is_some();
    let shell = if failed { visit.error_shell("Settings") } else { visit.shell("Settings") };
    let now = visit.app.clock.now();
    let sessions = visit.app.db.sessions(&visit.admin.id).await?;
    let choices = |all: &[(&str, &str)], current: &str| {
        all.iter().map(|(value, label)| Choice::new(*value, *label, *value == current)).collect()
    };
    let page = SettingsPage {
        themes: choices(&THEMES, shell.theme_name()),
        densities: choices(&DENSITIES, shell.density_name()),
        error: None,
        current_password,
        new_password,
        sessions: sessions
            .into_iter()
            .map(|s| SessionRow {
                device: device(&s.user_agent),
                address: s.ip,
                created: present::moment(s.created_at, now),
                seen: present::moment(s.seen_at, now),
                current: s.id == visit.session.id,
                id: s.id,
            })
            .collect(),
        shell,
    };
    Ok(present::page_with_status(if failed { 422 } else { 200 }, &page))
}

/// Looks are kept in cookies: they belong to the browser, and the page needs them before anything else.
pub async fn update(visit: Visit) -> Result<Answer, Error> {
    let mut answer = Answer::see_other("/settings?done=saved");
    for (name, allowed) in [("theme", &THEMES[..]), ("density", &DENSITIES[..])] {
        let value = visit.form.get(name);
        if !allowed.iter().any(|(word, _)| *word == value) {
            return Err(Error::bad("invalid_form", format!("{name}: choose one of the options")));
        }
        answer = answer.with("set-cookie", format!("{name}={value}; Path=/; SameSite=Lax; Max-Age=31536000"));
    }
    Ok(answer)
}

pub async fn set_password(visit: Visit) -> Result<Answer, Error> {
    let app = &visit.app;
    let new = visit.form.get("new_password");
    let (mut current_field, mut new_field) = (Field::new("current_password"), Field::new("new_password"));
    if let Err(invalid) = check_password(new, &visit.admin.email) {
        new_field = new_field.with_error(invalid.reason);
    }
    // Somebody at a screen that was left open must not guess faster here than at the log-in.
    match login::attempt(app, visit.call.ip, &visit.admin.email, visit.form.get("current_password")).await? {
        Attempt::Right(_) => {}
        Attempt::Wrong => current_field = current_field.with_error("This is not your current password"),
        Attempt::TooMany(seconds) => {
            current_field = current_field.with_error(format!("Too many attempts. Try again in {seconds} s"));
        }
    }
    if current_field.error.is_some() || new_field.error.is_some() {
        return render(&visit, current_field, new_field).await;
    }
    let hash = passwords::hash(app, new).await?;
    app.db.set_password(&visit.actor, &visit.admin.id, &hash, &visit.session.id, app.clock.now()).await?;
    Ok(Answer::see_other("/settings?done=password_set"))
}

pub async fn revoke_session(visit: Visit) -> Result<Answer, Error> {
    let app = &visit.app;
    let id = visit.own_id("id")?;
    if !app.db.end_session(&visit.actor, &visit.admin.id, id, "admin.end_session", app.clock.now()).await? {
        return Err(Error::NotFound);
    }
    Ok(Answer::see_other("/settings?done=session_ended"))
}

/// Browser and system in a few words, as far as the user agent tells.
fn device(user_agent: &str) -> String {
    let first = |words: &[(&'static str, &'static str)]| {
        words.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, name)| *name)
    };
    let browser =
        first(&[("Firefox/", "Firefox"), ("Edg/", "Edge"), ("Chrome/", "Chrome"), ("Safari/", "Safari")]);
    let system = first(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) if user_agent.is_empty() => "Unknown device".into(),
        (None, None) => user_agent.chars().take(60).collect(),
    }
}
