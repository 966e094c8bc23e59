//! Posts signed checkpoints to the webhook that was set as an anchor: always the newest, until it is taken. One that fails
//! holds nothing up.

use crate::{app::App, audit::Signed, domain::times, envelope};
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// For one attempt. The other side has to take a few hundred bytes.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between attempts: doubled from the shortest to the longest.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

pub async fn run(app: Arc<App>) {
    let Some(url) = &app.config.audit_anchor_url else { return };
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(PATIENCE)
        .user_agent(concat!("gatehouse/", env!("CARGO_PKG_VERSION")))
        .build();
    let client = match client {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "no checkpoint can be posted"),
    };
    let (mut newest, mut stopping) = (app.audit_log.anchors().newest(), app.stopping.clone());
    let mut pause = RETRY.0;
    newest.mark_changed();
    while !*stopping.borrow() {
        tokio::select! {
            changed = newest.changed() => if changed.is_err() { return },
            _ = stopping.changed() => return,
        }
        loop {
            let signed = newest.borrow_and_update().clone();
            let Some(signed) = signed else { break };
            match post(&client, envelope::expose(url), &signed).await {
                Ok(()) => {
                    app.metrics.audit_anchor("webhook", "delivered");
                    pause = RETRY.0;
                    break;
                }
                Err(error) => {
                    app.metrics.audit_anchor("webhook", "failed");
                    tracing::warn!(
                        error,
                        size = signed.checkpoint.size,
                        "a checkpoint could not be posted; it is tried again"
                    );
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(RETRY.1),
                _ = stopping.changed() => return,
            }
        }
    }
}

/// Errors are told without the address, whose path may be a secret.
async fn post(client: &reqwest::Client, url: &str, signed: &Signed) -> Result<(), String> {
    let body = json!({
        "type": "audit.checkpoint",
        "origin": signed.checkpoint.origin,
        "size": signed.checkpoint.size,
        "at": times::to_iso(signed.at),
        "note": signed.note,
    });
    let request = client.post(url).header("content-type", "application/json").body(body.to_string());
    let answer = request.send().await.map_err(|error| error.without_url().to_string())?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(format!("it was answered with {status}")),
    }
}
