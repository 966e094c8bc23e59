//! The machine door of a gateway, from outside.

use reqwest::{Client, Method, StatusCode, redirect::Policy};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::time::Duration;

pub struct Door {
    http: Client,
    base: String,
    key: SecretString,
}

/// Why there is no answer to use.
pub struct Failure {
    text: String,
    /// The gateway's word for it; empty where it said none.
    pub code: String,
    /// Whether asking again may help: nothing was heard of the gateway, or it is away for a moment.
    pub passing: bool,
}

impl From<Failure> for String {
    fn from(failure: Failure) -> Self {
        failure.text
    }
}

impl Door {
    pub fn new(url: &str, key: SecretString) -> Result<Self, String> {
        check_url(url)?;
        let http = Client::builder()
            .redirect(Policy::none())
            .timeout(Duration::from_secs(60))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { http, base: format!("{}/manage/v1/bulk", url.trim_end_matches('/')), key })
    }

    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.send(Method::GET, path, Value::Null).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Result<Value, Failure> {
        self.send(Method::POST, path, body).await
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> Result<Value, Failure> {
        let url = format!("{}/{path}", self.base);
        let mut request = self.http.request(method, url).header("x-api-key", self.key.expose_secret());
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let lost = |error: reqwest::Error| Failure {
            text: format!("{} does not answer: {}", self.base, reason(error)),
            code: String::new(),
            passing: true,
        };
        let answer = request.send().await.map_err(lost)?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(lost)?;
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        match value["error"].as_str() {
            None if status.is_success() => Ok(value),
            said => {
                let text = match said {
                    Some(said) => format!("{said} ({status})"),
                    None => format!("the gateway answered {status}"),
                };
                Err(Failure {
                    text,
                    code: value["code"].as_str().unwrap_or_default().to_owned(),
                    passing: status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS,
                })
            }
        }
    }
}

/// Whether a key may be sent there: elsewhere it would cross the network readably.
pub fn check_url(url: &str) -> Result<(), String> {
    let parsed = url::Url::parse(url).map_err(|error| format!("{url}: {error}"))?;
    let host = parsed.host_str().unwrap_or_default();
    let here = host == "localhost"
        || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    match parsed.scheme() == "https" || here {
        true => Ok(()),
        false => Err(format!("{url}: only https, but for this machine")),
    }
}

/// The innermost cause: what is around it only says that sending failed.
pub fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
