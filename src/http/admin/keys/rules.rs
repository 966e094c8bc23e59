//! Where from and how fast a key may be used, changed while it is in use.

use super::{find, render};
use crate::{
    domain::keys::KeyRules,
    http::{
        Answer, Error,
        admin::{
            present,
            views::{Field, KeyRulesForm},
            visit::Visit,
        },
    },
};

/// The form with what holds now.
pub(super) fn rules_form(visit: &Visit, rules: &KeyRules) -> KeyRulesForm {
    let addresses = rules.addresses.words().collect::<Vec<_>>().join("\n");
    let rate = rules.rate.map(|rate| rate.to_string()).unwrap_or_default();
    KeyRulesForm {
        addresses: Field::filled("addresses", addresses),
        rate: Field::filled("rate", rate),
        usual_rate: rate_text(visit, None),
    }
}

/// The form with what was typed.
pub(super) fn typed_rules(visit: &Visit) -> KeyRulesForm {
    KeyRulesForm {
        addresses: Field::filled("addresses", visit.form.get("addresses")),
        rate: Field::filled("rate", visit.form.get("rate")),
        usual_rate: rate_text(visit, None),
    }
}

/// "20 calls a second": what holds for a key with this rate of its own.
pub(super) fn rate_text(visit: &Visit, own: Option<u32>) -> String {
    match visit.app.limits.rate_of(own) {
        0 => "no limit".into(),
        rate => present::count(rate.into()).of("call a second", "calls a second"),
    }
}

pub async fn set_rules(visit: Visit) -> Result<Answer, Error> {
    let app = &visit.app;
    let key = find(&visit).await?;
    match KeyRules::parse(visit.form.get("addresses"), visit.form.get("rate")) {
        Ok(rules) => {
            let now = app.clock.now();
            // It may have ended since the form was drawn.
            let set = key.is_live(now) && app.db.update_key_rules(&visit.actor, &key, &rules, now).await?;
            app.access.reload().await?;
            let done = if set { "rules_set" } else { "rules_not_set" };
            Ok(Answer::see_other(&format!("/w/{}/keys/{}?done={done}", key.workspace_id, key.id)))
        }
        Err(invalid) => {
            let mut form = typed_rules(&visit);
            let field = if invalid.field == "rate" { &mut form.rate } else { &mut form.addresses };
            field.error = Some(invalid.reason);
            render(&visit, key, form).await
        }
    }
}
