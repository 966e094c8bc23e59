//! A person's own settings: looks, preferences, password, sessions.

use super::{
    super::{Answer, Error},
    login::{self, Attempt},
    passwords, present,
    views::{Choice, Field, SessionRow, SettingsPage},
    visit::Visit,
};
use crate::domain::{
    admins::{Preferences, ROWS_PER_PAGE, check_password},
    audit::{Action, Draft, Outcome},
    plans::zone,
    times,
};

const THEMES: [(&str, &str); 3] = [("auto", "As the system"), ("light", "Light"), ("dark", "Dark")];
const DENSITIES: [(&str, &str); 2] = [("comfortable", "Comfortable"), ("compact", "Compact")];
const SHORTCUTS: [(&str, &str); 2] = [("on", "On"), ("off", "Off")];

/// The fields that can be shown again with what is wrong with them.
struct Fields {
    zone: Field,
    current_password: Field,
    new_password: Field,
}

impl Fields {
    fn of(visit: &Visit) -> Self {
        Self {
            zone: Field::filled("zone", visit.admin.preferences.zone.as_str()),
            current_password: Field::new("current_password"),
            new_password: Field::new("new_password"),
        }
    }

    fn wrong(&self) -> bool {
        [&self.zone, &self.current_password, &self.new_password].iter().any(|field| field.error.is_some())
    }
}

pub async fn show(visit: Visit) -> Result<Answer, Error> {
    render(&visit, Fields::of(&visit)).await
}

async fn render(visit: &Visit, fields: Fields) -> Result<Answer, Error> {
    let failed = fields.wrong();
    let shell = if failed { visit.error_shell("Settings") } else { visit.shell("Settings") };
    let clocks = visit.clocks();
    let preferred = &visit.admin.preferences;
    let sessions = visit.app.db.sessions(&visit.admin.id).await?;
    let choices = |all: &[(&str, &str)], current: &str| {
        all.iter().map(|(value, label)| Choice::new(*value, *label, *value == current)).collect()
    };
    let page = SettingsPage {
        themes: choices(&THEMES, shell.theme_name()),
        densities: choices(&DENSITIES, shell.density_name()),
        zone: fields.zone,
        zones: times::zones(),
        now: clocks.moment(clocks.now).absolute,
        rows: ROWS_PER_PAGE
            .iter()
            .map(|n| Choice::new(n.to_string(), n.to_string(), *n == preferred.rows_per_page))
            .collect(),
        shortcuts: choices(&SHORTCUTS, if preferred.shortcuts { "on" } else { "off" }),
        error: None,
        current_password: fields.current_password,
        new_password: fields.new_password,
        sessions: sessions
            .into_iter()
            .map(|s| SessionRow {
                device: device(&s.user_agent),
                address: s.ip,
                created: clocks.moment(s.created_at),
                seen: clocks.moment(s.seen_at),
                current: s.id == visit.session.id,
                id: s.id,
            })
            .collect(),
        shell,
    };
    Ok(present::page_with_status(if failed { 422 } else { 200 }, &page))
}

/// How the person wants the pages, wherever they sign in.
pub async fn set_preferences(visit: Visit) -> Result<Answer, Error> {
    let bad = |what: &str| Error::bad("invalid_form", format!("{what}: choose one of the options"));
    let rows = visit.form.get("rows").parse().ok().filter(|n| ROWS_PER_PAGE.contains(n));
    let shortcuts = match visit.form.get("shortcuts") {
        "on" => true,
        "off" => false,
        _ => return Err(bad("shortcuts")),
    };
    let preferences = match zone(visit.form.get("zone")) {
        Ok(zone) => Preferences { zone, rows_per_page: rows.ok_or_else(|| bad("rows"))?, shortcuts },
        Err(invalid) => {
            let zone = Field::filled("zone", visit.form.get("zone")).with_error(invalid.reason);
            return render(&visit, Fields { zone, ..Fields::of(&visit) }).await;
        }
    };
    visit.app.db.set_preferences(&visit.admin.id, &preferences).await?;
    Ok(Answer::see_other("/settings?done=saved"))
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
        Attempt::Wrong => {
            let entry = Draft::new(&visit.actor, Action::AdminSetPassword, Outcome::Denied)
                .target("admin", &visit.admin.id);
            app.audit.deny(entry).await?;
            current_field = current_field.with_error("This is not your current password");
        }
        Attempt::TooMany(seconds) => {
            current_field = current_field.with_error(format!("Too many attempts. Try again in {seconds} s"));
        }
    }
    if current_field.error.is_some() || new_field.error.is_some() {
        let fields =
            Fields { current_password: current_field, new_password: new_field, ..Fields::of(&visit) };
        return render(&visit, fields).await;
    }
    let hash = passwords::hash(app, new).await?;
    app.db.set_password(&visit.actor, &visit.admin.id, &hash, &visit.session.id, app.clock.now()).await?;
    Ok(Answer::see_other("/settings?done=password_set"))
}

pub async fn revoke_session(visit: Visit) -> Result<Answer, Error> {
    let app = &visit.app;
    let id = visit.own_id("id")?;
    if !app
        .db
        .end_session(&visit.actor, &visit.admin.id, id, Action::AdminEndSession, app.clock.now())
        .await?
    {
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
