//! Replacing a key while it is in use: a new one is made, its first use begins the old one's last days. Until then the
//! rotation can be taken back.

use super::{
    create::{expiries, expiry, same_expiry},
    find, row, tenant_names, user_rows,
};
use crate::{
    app::App,
    clock::{DAY, HOUR, Millis},
    domain::{
        Invalid,
        audit::Actor,
        keys::{Key, NewKey, OVERLAPS, PENDING_LIFE, Rotation},
    },
    http::{
        Answer, Error,
        admin::{
            present::{self, Clocks},
            secrets::{SecretKind, store_reveal},
            views::{Choice, Field, KeyRotation, RotateKeyPage},
            visit::Visit,
        },
        mint::{Minted, mint},
    },
};

const DEFAULT_OVERLAP: Millis = DAY;

/// Makes a key to replace another, with the other's name, scopes and rules, and gives it with its secret. `None` if the old
/// one is not live or part of a rotation already.
pub async fn rotate_key(
    app: &App,
    actor: &Actor,
    admin_name: &str,
    old: &Key,
    overlap: Millis,
    expires_at: Option<Millis>,
) -> Result<Option<(Key, String)>, Error> {
    if !OVERLAPS.contains(&overlap) {
        return Err(Invalid::new("overlap", "Choose how long the old key lives on").into());
    }
    let new = NewKey {
        kind: old.kind,
        tenant_id: old.tenant_id.clone(),
        name: old.name.clone(),
        scopes: old.scopes.clone(),
        rules: old.rules.clone(),
        expires_at,
    };
    let Minted { key, secret, mac } = mint(app, admin_name, &old.workspace_id, new)?;
    let rotation = Rotation {
        replaces: Some(old.id.clone()),
        pending_until: Some(key.created_at + PENDING_LIFE),
        overlap: Some(overlap),
        ..Rotation::default()
    };
    let key = Key { rotation, ..key };
    if !app.db.rotate_key(actor, old, &key, &mac, app.keyring.pepper_id()).await? {
        return Ok(None);
    }
    app.access.reload().await?;
    Ok(Some((key, secret)))
}

pub async fn rotate_form(visit: Visit) -> Result<Answer, Error> {
    let key = find(&visit).await?;
    let expiry = same_expiry(&key);
    render(&visit, key, DEFAULT_OVERLAP, expiry, None).await
}

pub async fn rotate(visit: Visit) -> Result<Answer, Error> {
    let app = &visit.app;
    let old = find(&visit).await?;
    let chosen = visit.form.get("expiry");
    let overlap =
        visit.form.get("overlap").parse::<Millis>().ok().and_then(|seconds| seconds.checked_mul(1_000));
    let overlap = overlap.unwrap_or(-1);
    let made = match expiry(chosen, app.clock.now()) {
        Ok(at) => rotate_key(app, &visit.actor, &visit.admin.name, &old, overlap, at).await,
        Err(invalid) => Err(invalid.into()),
    };
    match made {
        Ok(Some((key, secret))) => {
            let back = format!("/w/{}/keys/{}", key.workspace_id, key.id);
            let location =
                store_reveal(&visit, SecretKind::Key, &secret, &key.name, back, key.expires_at).await?;
            Ok(Answer::see_other(&location))
        }
        // Its page says why not.
        Ok(None) => {
            Ok(Answer::see_other(&format!("/w/{}/keys/{}?done=not_rotated", old.workspace_id, old.id)))
        }
        Err(Error::Invalid(invalid)) => render(&visit, old, overlap, chosen, Some(invalid)).await,
        Err(error) => Err(error),
    }
}

/// Takes the new key back; the path names the new one.
pub async fn cancel_rotation(visit: Visit) -> Result<Answer, Error> {
    let app = &visit.app;
    let new = find(&visit).await?;
    let cancelled = app.db.cancel_rotation(&visit.actor, &new, app.clock.now()).await?;
    app.access.reload().await?;
    let (page, done) = match (&new.rotation.replaces, cancelled) {
        (Some(old), true) => (old, "rotation_cancelled"),
        _ => (&new.id, "not_cancelled"),
    };
    Ok(Answer::see_other(&format!("/w/{}/keys/{page}?done={done}", new.workspace_id)))
}

async fn render(
    visit: &Visit,
    key: Key,
    overlap: Millis,
    expiry: &str,
    wrong: Option<Invalid>,
) -> Result<Answer, Error> {
    let ws = visit.workspace()?.id.clone();
    let clocks = visit.clocks();
    if let (_, false) = rotation(visit, &key).await? {
        return Ok(Answer::see_other(&format!("/w/{ws}/keys/{}?done=not_rotated", key.id)));
    }
    let names = tenant_names(visit, &ws, std::slice::from_ref(&key)).await?;
    let failed = wrong.is_some();
    let mut page = RotateKeyPage {
        key: row(&key, &names, &clocks),
        overlap: Field::new("overlap"),
        overlaps: OVERLAPS
            .iter()
            .map(|offered| Choice {
                hint: if *offered == 0 {
                    "For a key of which there is one user, or one that leaked.".into()
                } else {
                    String::new()
                },
                ..Choice::new((offered / 1_000).to_string(), overlap_text(*offered), *offered == overlap)
            })
            .collect(),
        expiry: Field::new("expiry"),
        expiries: expiries(expiry),
        ws,
        ..RotateKeyPage::default()
    };
    if let Some(wrong) = wrong {
        let field = if wrong.field == "overlap" { &mut page.overlap } else { &mut page.expiry };
        field.error = Some(wrong.reason);
    }
    let title = format!("Rotate {}", key.name);
    page.shell = if failed { visit.error_shell(title) } else { visit.shell(title) };
    Ok(present::page_with_status(if failed { 422 } else { 200 }, &page))
}

fn overlap_text(overlap: Millis) -> String {
    match overlap {
        0 => "Not at all".into(),
        o if o < DAY => format!("{} hour", o / HOUR),
        DAY => "24 hours".into(),
        o => format!("{} days", o / DAY),
    }
}

/// Where a key stands in a rotation, in words, and whether it can be rotated now.
pub(super) async fn rotation(visit: &Visit, key: &Key) -> Result<(Option<KeyRotation>, bool), Error> {
    let (db, clocks) = (&visit.app.db, visit.clocks());
    let now = clocks.now;
    let ws = &key.workspace_id;
    let other = async |id: &Option<String>| match id {
        Some(id) => db.key(ws, id).await,
        None => Ok(None),
    };
    let (old, new) = (other(&key.rotation.replaces).await?, other(&key.rotation.replaced_by).await?);
    let moment = |at: Millis| {
        let shown = clocks.moment(at);
        format!("{} ({})", shown.absolute, shown.relative)
    };
    let url = |other: &Key| format!("/w/{ws}/keys/{}", other.id);
    let shown = |other: &Key| format!("{}…{}", other.prefix, other.last_four);
    let lives_on = |overlap: Option<Millis>| match overlap.unwrap_or_default() {
        0 => "ends at once".to_owned(),
        overlap => format!("lives on for {}", overlap_text(overlap)),
    };
    if let Some(new) = new {
        let view = match (key.rotation.retires_at, new.rotation.pending_until) {
            (Some(at), _) if at <= now => KeyRotation {
                text: format!("Replaced by {}. This key ended on {}.", shown(&new), moment(at)),
                ..KeyRotation::default()
            },
            (Some(at), _) => KeyRotation {
                text: format!(
                    "The new key {} is in use. This key ends on {}; move whoever is listed below by then.",
                    shown(&new),
                    moment(at)
                ),
                busy: recent(key, &clocks),
                ..KeyRotation::default()
            },
            (None, Some(until)) if until > now => KeyRotation {
                text: format!(
                    "The new key {} waits for its first use until {}. After that this key {}.",
                    shown(&new),
                    moment(until),
                    lives_on(new.rotation.overlap)
                ),
                cancel_url: format!("{}/cancel", url(&new)),
                ..KeyRotation::default()
            },
            (None, Some(_)) => KeyRotation {
                text: format!(
                    "The new key {} was not used in time and has lapsed. This key goes on.",
                    shown(&new)
                ),
                ..KeyRotation::default()
            },
            (None, None) => {
                KeyRotation { text: format!("Replaced by {}.", shown(&new)), ..KeyRotation::default() }
            }
        };
        return Ok((
            Some(KeyRotation { other_url: url(&new), other_text: "The new key".into(), ..view }),
            false,
        ));
    }
    let can = key.is_live(now) && !key.is_pending();
    let Some(old) = old else { return Ok((None, can)) };
    let (other_url, other_text) = (url(&old), "The old key".to_owned());
    // Named by the old one no more: the rotation was cancelled, or has lapsed.
    let tied = old.rotation.replaced_by.as_deref() == Some(key.id.as_str());
    let view = match key.rotation.pending_until {
        Some(until) if key.is_live(now) => KeyRotation {
            text: format!(
                "This key waits for its first use until {}, or lapses. With the first use the old key {} {}.",
                moment(until),
                shown(&old),
                lives_on(key.rotation.overlap)
            ),
            cancel_url: format!("{}/cancel", url(key)),
            ..KeyRotation::default()
        },
        Some(_) => KeyRotation {
            text: format!(
                "This key was made to replace {} and was never used.{}",
                shown(&old),
                if old.is_live(now) { " The old key goes on." } else { "" }
            ),
            ..KeyRotation::default()
        },
        None if tied && old.is_live(now) => KeyRotation {
            text: format!(
                "The old key {} ends on {}.",
                shown(&old),
                old.ends_at().map(moment).unwrap_or_default()
            ),
            busy: recent(&old, &clocks),
            users: user_rows(visit, &old).await?,
            ..KeyRotation::default()
        },
        None => {
            KeyRotation { text: format!("This key has replaced {}.", shown(&old)), ..KeyRotation::default() }
        }
    };
    let settled = !(tied && old.is_live(now));
    Ok((Some(KeyRotation { other_url, other_text, ..view }), can && settled))
}

/// "Used 3 min ago from 10.0.0.4 by curl/8.5.0": of a key that is about to end.
fn recent(key: &Key, clocks: &Clocks) -> Option<String> {
    let at = key.last_used_at?;
    let from = key.last_used_from.as_deref().unwrap_or("an address that is not known");
    let agent = key.last_used_agent.as_deref().filter(|agent| !agent.is_empty());
    let agent = agent.map(|agent| format!(" by {agent}")).unwrap_or_default();
    let when = clocks.moment(at).relative;
    Some(format!("The old key was last used {when} from {from}{agent}."))
}
