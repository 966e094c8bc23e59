//! Workspaces: one PostPost account each. The isolation boundary.

use crate::{
    clock::Millis,
    domain::{Invalid, words},
};
use url::Url;

words! {
    /// Shown on every page, so that nobody deletes in the wrong place (ui.md G3).
    Environment { Production = "production", Staging = "staging", Development = "development" }
}

words! {
    /// Which posts may be deleted through the gateway (design §13).
    DeletePolicy {
        /// Posts that are publishing or live are refused.
        Protect = "protect",
        /// Everything upstream lets through.
        Any = "any",
    }
}

/// A workspace without its upstream key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    pub id: String,
    pub name: String,
    pub environment: Environment,
    /// Origin (and path prefix) of the upstream, without a trailing slash.
    pub base_url: String,
    /// First characters of the upstream key, for telling keys apart.
    pub key_prefix: String,
    pub key_added_at: Millis,
    pub key_added_by: String,
    pub delete_policy: DeletePolicy,
    pub frozen: Option<Frozen>,
    /// Set when upstream refused the key: no call is made until the key is replaced or checked again.
    pub suspended_at: Option<Millis>,
    pub suspended_reason: Option<String>,
    /// Last complete import of the managed users.
    pub imported_at: Option<Millis>,
    pub import_error: Option<String>,
    pub created_at: Millis,
}

/// A freeze of a tenant or workspace: since when and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    pub at: Millis,
    pub reason: String,
}

/// Checks an upstream base URL: https, or http on loopback; no credentials, query or fragment (design §13).
/// Returns it without a trailing slash.
pub fn check_base_url(text: &str) -> Result<String, Invalid> {
    let bad = |reason: &str| Invalid::new("base_url", reason);
    let url = Url::parse(text.trim()).map_err(|_| bad("Enter a URL such as https://api.postpost.example"))?;
    let loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => return Err(bad("The URL has no host")),
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        "http" => return Err(bad("Plain http is only allowed on loopback; use https")),
        _ => return Err(bad("The URL must start with https://")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("The URL must not hold a user name or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("The URL must not have a query or fragment"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Checks a name of a workspace.
pub fn check_name(text: &str) -> Result<String, Invalid> {
    let name = text.trim();
    if name.is_empty() || name.chars().count() > 100 {
        return Err(Invalid::new("name", "Enter a name of 1 to 100 characters"));
    }
    Ok(name.to_owned())
}

/// Checks an upstream key's shape as PostPost's own clients do.
pub fn check_upstream_key(text: &str) -> Result<&str, Invalid> {
    let key = text.trim();
    let printable = key.bytes().all(|b| b.is_ascii_graphic());
    if !key.starts_with("sk_") || key.len() < 20 || key.len() > 512 || !printable {
        return Err(Invalid::new(
            "upstream_key",
            "A PostPost key starts with sk_ and has at least 20 characters",
        ));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls() {
        assert_eq!(check_base_url("https://api.example.com/").as_deref(), Ok("https://api.example.com"));
        assert_eq!(check_base_url("http://127.0.0.1:9/").as_deref(), Ok("http://127.0.0.1:9"));
        for bad in [
            "http://api.example.com",
            "ftp://x",
            "https://u:p@x.com",
            "https://x.com/?a",
            "nonsense",
            "http://[::ffff:10.0.0.1]",
            "file:///etc",
        ] {
            assert!(check_base_url(bad).is_err(), "{bad}");
        }
    }
}
