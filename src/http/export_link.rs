//! Links that download one audit export without a session: signed, for five minutes, for one use. For handing an export
//! to somebody who has no account here, and for the files of large ones. The strict profile is security.md §4; the library's defaults let too
//! much through.

use super::{Answer, Call, Error, export, export_file};
use crate::{
    app::App,
    clock::{MINUTE, Millis, SECOND},
    domain::{
        admins::Right,
        audit::{Action, Actor, ActorType, Draft, ExportFormat, Outcome},
        ids, times,
    },
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How long a link works.
pub const LIFE: Millis = 5 * MINUTE;
/// Longer tokens are not looked at.
const TOKEN_MAX: usize = 4_096;
const TYPE: &str = "export+jwt";
const AUDIENCE: &str = "export";
const ISSUER: &str = "gatehouse";

/// What a link is for.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Claims {
    iss: String,
    /// A string, never a list: a list that holds ours and another would pass the library's check.
    aud: String,
    /// The admin who made it.
    sub: String,
    /// Used once.
    jti: String,
    /// Seconds since 1970, as all times here.
    iat: i64,
    nbf: i64,
    exp: i64,
    workspace: Option<String>,
    format: String,
    /// The filter's query string.
    filter: String,
    /// The id of an export whose file it is for, and not a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

/// The path of a new link for what a filter matches, or for the file of an export.
pub async fn issue(
    app: &App,
    actor: &Actor,
    workspace: Option<&str>,
    format: ExportFormat,
    filter: String,
    file: Option<&str>,
) -> Result<String, Error> {
    let now = app.clock.now() / SECOND;
    let claims = Claims {
        iss: ISSUER.into(),
        aud: AUDIENCE.into(),
        sub: actor.id.clone(),
        jti: ids::new_id(),
        iat: now,
        nbf: now,
        exp: now + LIFE / SECOND,
        workspace: workspace.map(str::to_owned),
        format: format.as_str().into(),
        filter,
        file: file.map(str::to_owned),
    };
    let mut header = Header::new(Algorithm::HS256);
    header.typ = Some(TYPE.into());
    let token = encode(&header, &claims, &EncodingKey::from_secret(app.keyring.token_key()))
        .map_err(|e| Error::Internal(e.to_string()))?;
    let mut made = Draft::done(actor, Action::AuditLink)
        .target("link", &claims.jti)
        .set("format", format.as_str())
        .set("filter", claims.filter.as_str())
        .set("expiresAt", times::to_iso(claims.exp * SECOND));
    if let Some(id) = file {
        made = made.target("export", id);
    }
    made.workspace = claims.workspace;
    app.db.append(app.clock.now(), &[&made]).await?;
    Ok(format!("/exports/{token}"))
}

/// `GET /exports/{token}`. Whatever is wrong with a link, the answer is the same 404.
pub async fn redeem(app: Arc<App>, call: Call) -> Result<Answer, Error> {
    let claims =
        read(call.param("token"), app.keyring.token_key(), app.clock.now()).ok_or(Error::NotFound)?;
    let format = ExportFormat::parse(&claims.format).ok_or(Error::NotFound)?;
    let (admin, _) =
        app.db.admin(&claims.sub).await?.filter(|(a, _)| a.disabled_at.is_none()).ok_or(Error::NotFound)?;
    let roles = app.db.roles(&admin.id).await?;
    let allowed = match &claims.workspace {
        _ if admin.instance_owner => true,
        Some(ws) => roles.iter().any(|(w, role)| w == ws && role.may(Right::Export)),
        None => false,
    };
    if !allowed {
        return Err(Error::NotFound);
    }
    let mut actor = Actor::new(ActorType::Admin, &admin.id, &admin.email);
    actor.context = call.context();
    let file = match &claims.file {
        None => None,
        Some(id) => {
            let export = app.db.export(claims.workspace.as_deref(), id).await?;
            Some(export_file::open(&app, export.ok_or(Error::NotFound)?).await?)
        }
    };
    let place = app.gate.download()?;
    if !app.db.use_export_link(&claims.jti, claims.exp * SECOND, app.clock.now()).await? {
        let mut denied = Draft::new(&actor, Action::AuditExport, Outcome::Denied).set("code", "link_used");
        denied.workspace.clone_from(&claims.workspace);
        app.audit.deny(denied).await?;
        return Err(Error::NotFound);
    }
    if let Some(file) = file {
        return export_file::download(&app, &actor, file, place).await;
    }
    let pairs: Vec<(String, String)> =
        url::form_urlencoded::parse(claims.filter.as_bytes()).into_owned().collect();
    let mut wanted = export::wanted(&pairs, &[], format, false)?;
    wanted.filter.workspace_id = claims.workspace;
    export::audit(&app, &actor, wanted, place).await
}

/// The claims of a sound token, else nothing.
fn read(token: &str, key: &[u8; 32], now: Millis) -> Option<Claims> {
    if token.len() > TOKEN_MAX {
        return None;
    }
    let header = decode_header(token).ok()?;
    if header.typ.as_deref() != Some(TYPE) || header.alg != Algorithm::HS256 {
        return None;
    }
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
    // Times are checked below, against the clock that everything else goes by.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    let claims = decode::<Claims>(token, &DecodingKey::from_secret(key), &validation).ok()?.claims;
    let now = now / SECOND;
    let timely = claims.nbf <= now && now < claims.exp && claims.iat <= now;
    (timely && claims.exp - claims.iat <= LIFE / SECOND && ids::is_own_id(&claims.jti)).then_some(claims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: i64 = 1_800_000_000;
    const KEY: [u8; 32] = [9; 32];

    fn token(header: &Header, claims: &Value) -> String {
        encode(header, claims, &EncodingKey::from_secret(&KEY)).unwrap()
    }

    fn header() -> Header {
        Header { typ: Some(TYPE.into()), ..Header::new(Algorithm::HS256) }
    }

    fn claims() -> Value {
        json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "a", "jti": ids::new_id(), "iat": NOW, "nbf": NOW,
                "exp": NOW + 300, "workspace": null, "format": "csv", "filter": "" })
    }

    #[test]
    fn only_a_sound_token_is_read() {
        let read_at = |token: &str, now: i64| read(token, &KEY, now * SECOND);
        let good = token(&header(), &claims());
        assert!(read_at(&good, NOW).is_some() && read_at(&good, NOW + 299).is_some());
        assert!(read_at(&good, NOW + 300).is_none() && read_at(&good, NOW - 1).is_none());
        assert!(read(&good, &[8; 32], NOW * SECOND).is_none());
        let changes: Vec<(&str, Value)> = vec![
            ("iss", json!("other")),
            ("aud", json!("web")),
            ("aud", json!(["export", "web"])),
            ("aud", json!(5)),
            ("aud", Value::Null),
            ("exp", json!(NOW + 301)),
            ("exp", json!("never")),
            ("exp", json!(-1)),
            ("nbf", json!(NOW + 5)),
            ("sub", Value::Null),
            ("jti", json!("x")),
            ("extra", json!(1)),
        ];
        for (name, value) in changes {
            let mut changed = claims();
            changed[name] = value.clone();
            assert!(read_at(&token(&header(), &changed), NOW).is_none(), "{name} {value}");
        }
        for name in ["iss", "aud", "exp", "nbf", "sub", "jti"] {
            let mut changed = claims();
            changed.as_object_mut().unwrap().remove(name);
            assert!(read_at(&token(&header(), &changed), NOW).is_none(), "without {name}");
        }
        let plain = Header::new(Algorithm::HS256);
        assert!(read_at(&token(&plain, &claims()), NOW).is_none(), "another type");
        let hs512 = Header { typ: Some(TYPE.into()), ..Header::new(Algorithm::HS512) };
        assert!(read_at(&token(&hs512, &claims()), NOW).is_none(), "another algorithm");
        let body = good.split('.').nth(1).unwrap();
        for forged in [
            format!("eyJhbGciOiJub25lIiwidHlwIjoiZXhwb3J0K2p3dCJ9.{body}."),
            good.rsplit_once('.').unwrap().0.to_owned() + ".",
            good.clone() + "=",
            "x".repeat(9_000),
            String::new(),
        ] {
            assert!(read_at(&forged, NOW).is_none(), "{forged}");
        }
    }
}
