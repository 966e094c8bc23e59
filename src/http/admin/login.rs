//! Getting in and out: the one-time set-up, log-in with a growing delay, log-out. Failed attempts of strangers are
//! counted and written down once a minute, so that they cannot fill the log.

use super::{
    super::{Answer, Call, Error},
    form::Form,
    passwords, present,
    views::{Field, LoginPage, SetupPage},
    visit::{Visit, bare_shell, check_origin, cookie, cookie_name},
};
use crate::{
    app::App,
    clock::{MINUTE, Millis, SECOND},
    domain::{
        admins::{Admin, Preferences, Session, check_email, check_password},
        audit::{Action, Actor, ActorType, Context, Draft, Outcome},
        ids,
    },
    envelope, store,
};
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// Failures of one account within this time count together.
const WINDOW: Millis = 15 * MINUTE;
/// Failures of an account, from wherever, before each further one costs this fixed wait.
const ACCOUNT_FAILURES: i64 = 50;
const ACCOUNT_WAIT: Millis = 10 * SECOND;
/// Failures of an account from one address before each further one costs a growing wait.
const FREE_FAILURES: i64 = 10;
/// Attempts of one address in a minute.
const ADDRESS_MAX: i64 = 30;
/// Addresses kept apart between two entries; beyond it only the sum is kept.
const ADDRESSES_KEPT: usize = 1_000;

/// Refused attempts of strangers since the last entry.
#[derive(Default)]
pub struct LoginState {
    refused: Mutex<Refused>,
    /// Held while a password is checked and counted.
    attempts: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Refused {
    keys: i64,
    logins: i64,
    by_address: BTreeMap<IpAddr, i64>,
}

impl LoginState {
    /// A key nobody has was presented.
    pub fn note_refused_key(&self, from: IpAddr) {
        self.note(from, |refused| refused.keys += 1);
    }

    fn note_refused_login(&self, from: IpAddr) {
        self.note(from, |refused| refused.logins += 1);
    }

    fn note(&self, from: IpAddr, count: impl FnOnce(&mut Refused)) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        count(&mut refused);
        if refused.by_address.len() < ADDRESSES_KEPT || refused.by_address.contains_key(&from) {
            *refused.by_address.entry(from).or_default() += 1;
        }
    }
}

/// One entry for all refused attempts since the last.
pub async fn note_refused_logins(app: &App) -> store::Result<()> {
    let refused = std::mem::take(&mut *app.login.refused.lock().unwrap_or_else(PoisonError::into_inner));
    if refused.keys + refused.logins == 0 {
        return Ok(());
    }
    let by_address = refused.by_address;
    let mut addresses: Vec<_> = by_address.iter().collect();
    addresses.sort_by_key(|(_, n)| -**n);
    let addresses: Vec<String> = addresses.iter().take(20).map(|(ip, n)| format!("{ip} ({n})")).collect();
    let draft = Draft::new(&Actor::anonymous(Context::default()), Action::AuthRefuse, Outcome::Denied)
        .set("keys", refused.keys)
        .set("logins", refused.logins)
        .set("addresses", addresses.join(", "));
    let stored = app.db.append(app.clock.now(), &[&draft]).await.map(drop);
    if stored.is_err() {
        // Counted on until they can be written down.
        let mut since = app.login.refused.lock().unwrap_or_else(PoisonError::into_inner);
        since.keys += refused.keys;
        since.logins += refused.logins;
        for (ip, n) in by_address {
            *since.by_address.entry(ip).or_default() += n;
        }
    }
    stored
}

/// Before there is a session, forms are bound to a cookie of their own.
const PRE_COOKIE: &str = "gh_pre";

fn pre_session(call: &Call) -> (String, bool) {
    match cookie(call, PRE_COOKIE).filter(|v| v.len() == 64) {
        Some(value) => (value.to_owned(), false),
        None => (envelope::random_token(), true),
    }
}

fn with_pre_cookie(answer: Answer, pre: &(String, bool)) -> Answer {
    if !pre.1 {
        return answer;
    }
    answer.with("set-cookie", format!("{PRE_COOKIE}={}; Path=/; HttpOnly; SameSite=Lax; Max-Age=3600", pre.0))
}

fn check_pre_form(app: &App, call: &Call) -> Result<Form, Error> {
    check_origin(app, call)?;
    let form = Form::from_body(call)?;
    let bound = cookie(call, PRE_COOKIE).is_some_and(|pre| app.keyring.csrf_holds(pre, form.get("_csrf")));
    if !bound {
        let text = "This form is out of date. Go back, reload the page and try again";
        return Err(Error::Forbidden { code: "csrf", text: text.into() });
    }
    Ok(form)
}

pub async fn setup_form(app: Arc<App>, call: Call) -> Result<Answer, Error> {
    let works = app.db.setup_link_works(&envelope::token_hash(call.param("token")), app.clock.now()).await?;
    if !works {
        return Err(Error::NotFound);
    }
    Ok(setup_page(&app, &call, None, Field::new("name"), Field::new("email"), Field::new("password")))
}

fn setup_page(
    app: &App,
    call: &Call,
    error: Option<String>,
    name: Field,
    email: Field,
    password: Field,
) -> Answer {
    let pre = pre_session(call);
    let failed = [&name, &email, &password].iter().any(|f| f.error.is_some()) || error.is_some();
    let mut shell = bare_shell(app, call, "Set up");
    shell.csrf = app.keyring.csrf_token(&pre.0);
    if failed {
        shell.title_prefix = "Error: ".into();
    }
    let page = SetupPage { shell, error, name, email, password };
    with_pre_cookie(present::page_with_status(if failed { 422 } else { 200 }, &page), &pre)
}

pub async fn setup(app: Arc<App>, call: Call) -> Result<Answer, Error> {
    let form = check_pre_form(&app, &call)?;
    let mut name = Field::filled("name", form.get("name"));
    let mut email = Field::filled("email", form.get("email"));
    let mut password = Field::new("password");
    let typed_name = form.get("name").trim();
    if typed_name.is_empty() || typed_name.chars().count() > 100 {
        name = name.with_error("Enter a name of 1 to 100 characters");
    }
    let address = check_email(form.get("email"));
    if let Err(invalid) = &address {
        email = email.with_error(&invalid.reason);
    }
    if let Err(invalid) = check_password(form.get("password"), form.get("email")) {
        password = password.with_error(invalid.reason);
    }
    let (Ok(address), None, None) = (address, &name.error, &password.error) else {
        return Ok(setup_page(&app, &call, None, name, email, password));
    };
    let hash = passwords::hash(&app, form.get("password")).await?;
    let admin = Admin {
        id: ids::new_id(),
        email: address,
        name: typed_name.to_owned(),
        instance_owner: true,
        created_at: app.clock.now(),
        disabled_at: None,
        preferences: Preferences::default(),
    };
    if !app.db.create_first_admin(&envelope::token_hash(call.param("token")), &admin, &hash).await? {
        return Err(Error::NotFound);
    }
    start_session(&app, &call, &admin, "/").await
}

pub async fn form(app: Arc<App>, call: Call) -> Result<Answer, Error> {
    let next = Form::from_query(&call).get("next").to_owned();
    if let Some(token) = cookie(&call, cookie_name(&app))
        && let Some(session) = app.db.session_by_hash(&envelope::token_hash(token)).await?
        && session.seen_at > app.clock.now() - crate::domain::admins::SESSION_IDLE
        && session.created_at > app.clock.now() - crate::domain::admins::SESSION_ABSOLUTE
    {
        return Ok(Answer::see_other(safe_next(&next)));
    }
    Ok(login_page(&app, &call, None, "", &next))
}

fn login_page(app: &App, call: &Call, error: Option<(u16, String)>, email: &str, next: &str) -> Answer {
    let pre = pre_session(call);
    let mut shell = bare_shell(app, call, "Sign in");
    shell.csrf = app.keyring.csrf_token(&pre.0);
    if error.is_some() {
        shell.title_prefix = "Error: ".into();
    }
    let (status, error) = error.map_or((200, None), |(status, text)| (status, Some(text)));
    let next = if safe_next(next) == next { next.to_owned() } else { String::new() };
    let page = LoginPage { shell, error, email: Field::filled("email", email), next };
    with_pre_cookie(present::page_with_status(status, &page), &pre)
}

pub async fn login(app: Arc<App>, call: Call) -> Result<Answer, Error> {
    let form = check_pre_form(&app, &call)?;
    let (typed, next) = (form.get("email").trim(), form.get("next"));
    match attempt(&app, call.ip, typed, form.get("password")).await? {
        Attempt::Right(admin) => start_session(&app, &call, &admin, safe_next(next)).await,
        Attempt::Wrong => {
            let text = "E-mail or password is wrong".to_owned();
            Ok(login_page(&app, &call, Some((401, text)), typed, next))
        }
        Attempt::TooMany(seconds) => {
            let text = format!("Too many attempts. Try again in {seconds} seconds");
            let answer = login_page(&app, &call, Some((429, text)), typed, next);
            Ok(answer.with("retry-after", seconds.to_string()))
        }
    }
}

/// How an attempt with a password ended.
pub enum Attempt {
    Right(Box<Admin>),
    Wrong,
    /// Not even looked at; the next one may come in so many seconds.
    TooMany(i64),
}

/// Checks a password, counts failures and slows further attempts down: at log-in, and where it is asked for again.
pub async fn attempt(app: &Arc<App>, from: IpAddr, email: &str, password: &str) -> Result<Attempt, Error> {
    let email = email.to_lowercase();
    let now = app.clock.now();
    let account = format!("account:{}", hex::encode(envelope::token_hash(&email)));
    let here = format!("{account}:{from}");
    let address = format!("address:{from}");
    // One after the other: many at once would all be let through before the first of them is counted.
    let _one = app.login.attempts.lock().await;
    let mut blocked = 0;
    for subject in [&account, &here, &address] {
        blocked = blocked.max(app.db.login_blocked_until(subject).await?);
    }
    if blocked > now {
        return Ok(Attempt::TooMany((blocked - now) / SECOND + 1));
    }
    let found = app.db.admin_by_email(&email).await?.filter(|(admin, _)| admin.disabled_at.is_none());
    let hash = found.as_ref().map(|(_, hash)| hash.clone());
    if passwords::check(app, password, hash).await?
        && let Some((admin, _)) = found
    {
        app.db.forget_login_failures(&here).await?;
        return Ok(Attempt::Right(Box::new(admin)));
    }
    app.login.note_refused_login(from);
    let failures = app.db.note_login_failure(&here, now, WINDOW).await?;
    if failures >= FREE_FAILURES {
        // 1 s, 2 s, 4 s … up to 15 minutes; never for ever (security.md item 6).
        let wait = (SECOND << (failures - FREE_FAILURES).min(20)).min(WINDOW);
        app.db.block_login(&here, now + wait).await?;
    }
    // Guesses from many addresses are slowed down too, but a stranger cannot keep the owner out for long.
    if app.db.note_login_failure(&account, now, WINDOW).await? >= ACCOUNT_FAILURES {
        app.db.block_login(&account, now + ACCOUNT_WAIT).await?;
    }
    if app.db.note_login_failure(&address, now, MINUTE).await? >= ADDRESS_MAX {
        app.db.block_login(&address, now + MINUTE).await?;
    }
    Ok(Attempt::Wrong)
}

/// Takes the password of the form as proof that it is still the same person; `Err` is what to say if it is none.
pub async fn prove(visit: &Visit) -> Result<Result<(), String>, Error> {
    let app = &visit.app;
    let password = visit.form.get("password");
    if password.is_empty() {
        return Ok(Err("Enter your password".into()));
    }
    match attempt(app, visit.call.ip, &visit.admin.email, password).await? {
        Attempt::Right(_) => {
            app.db.prove_session(&visit.actor, &visit.session.id, app.clock.now()).await?;
            Ok(Ok(()))
        }
        Attempt::TooMany(seconds) => Ok(Err(format!("Too many attempts. Try again in {seconds} seconds"))),
        Attempt::Wrong => {
            let entry = Draft::new(&visit.actor, Action::AdminProve, Outcome::Denied)
                .target("session", &visit.session.id);
            app.audit.record(vec![entry], Vec::new()).await?;
            Ok(Err("This is not your password".into()))
        }
    }
}

async fn start_session(app: &App, call: &Call, admin: &Admin, next: &str) -> Result<Answer, Error> {
    let token = envelope::random_token();
    let now = app.clock.now();
    let context = call.context();
    let session = Session {
        id: ids::new_id(),
        admin_id: admin.id.clone(),
        created_at: now,
        seen_at: now,
        authenticated_at: now,
        ip: call.ip.to_string(),
        user_agent: context.user_agent.clone().unwrap_or_default(),
    };
    let mut actor = Actor::new(ActorType::Admin, &admin.id, &admin.email);
    actor.context = Context { session_id: Some(session.id.clone()), ..context };
    app.db.create_session(&actor, &envelope::token_hash(&token), &session).await?;
    Ok(Answer::see_other(next).with("set-cookie", session_cookie(app, &token, None)))
}

fn session_cookie(app: &App, value: &str, max_age: Option<u32>) -> String {
    let secure = if app.config.insecure_http { "" } else { "; Secure" };
    let max_age = max_age.map(|age| format!("; Max-Age={age}")).unwrap_or_default();
    format!("{}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{max_age}", cookie_name(app))
}

pub async fn logout(visit: Visit) -> Result<Answer, Error> {
    let (app, id) = (&visit.app, &visit.session.id);
    app.db.end_session(&visit.actor, &visit.admin.id, id, Action::AdminLogout, app.clock.now()).await?;
    Ok(Answer::see_other("/login")
        .with("set-cookie", session_cookie(app, "", Some(0)))
        .with("clear-site-data", "\"cache\", \"storage\""))
}

/// Where to go after logging in: a path of ours, whatever was asked (security.md item 25).
fn safe_next(next: &str) -> &str {
    let bytes = next.as_bytes();
    let plain = next.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    let ours = bytes.first() == Some(&b'/') && bytes.get(1).is_some_and(u8::is_ascii_alphanumeric);
    if ours && plain && next.len() <= 2_000 && !next.to_lowercase().contains("%2f%2f") { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_ours_are_followed() {
        assert_eq!(safe_next("/w/1/posts?status=failed"), "/w/1/posts?status=failed");
        for bad in ["//e", "/\\e", "https:e", "https://e", "/%09/e", "%2f%2fe", "/a\r\nb", "/a\0", "", "/"] {
            assert_eq!(safe_next(bad), "/", "{bad:?}");
        }
    }
}
