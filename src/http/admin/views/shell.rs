//! What every page has around its content: title, navigation, tokens, notices.
//!
//! Must not hold anything that only one page prints.

use super::parts::Banner;

/// Everything `layout.html` prints. One per response.
#[derive(Clone, Debug, Default)]
pub struct Shell {
    /// What the page is, first part of the title: "Posts", "Delete 4,180 posts".
    pub title: String,
    /// Second part of the title: the workspace's name, or "Settings". May be empty.
    pub section: String,
    /// Before the title: `"Error: "` after a failed submit, `"(37%) "` while a job runs. Usually empty.
    pub title_prefix: String,
    /// Path of this request without the query, for the active item of the navigation.
    pub path: String,
    /// Hidden field `_csrf` of every POST form.
    pub csrf: String,
    /// Hidden field `_once` of every POST form: fresh for each render.
    pub once: String,
    /// `auto`, `light` or `dark`; empty means `auto`.
    pub theme: String,
    /// `comfortable` or `compact`; empty means `comfortable`.
    pub density: String,
    /// `production`, `staging`, `development`, of the current workspace. Empty: nothing is shown.
    pub environment: String,
    pub workspace: Option<WorkspaceRef>,
    /// All workspaces this admin may see, for the switcher.
    pub workspaces: Vec<WorkspaceRef>,
    /// `None`: nobody is signed in, no navigation is drawn.
    pub admin: Option<AdminRef>,
    /// Operator or owner here: forms that change tenants, keys and posts are drawn.
    pub can_write: bool,
    /// May see the audit log here: entries and links to them are drawn.
    pub can_audit: bool,
    /// Owner here: workspace settings are drawn.
    pub can_manage: bool,
    /// Served without TLS outside loopback: a warning stands on every page.
    pub insecure_http: bool,
    /// Single keys do something, on pages of somebody who wants that.
    pub shortcuts: bool,
    pub flash: Option<Banner>,
    /// "PostPost unreachable since 14:02 UTC. …"
    pub upstream_notice: Option<String>,
    /// Why nothing can be changed at all.
    pub audit_notice: Option<String>,
    /// Seconds, from `?refresh=`: a `<noscript>` page reload. `None` in final states.
    pub refresh: Option<u32>,
    pub css_url: String,
    pub js_url: String,
}

impl Shell {
    /// "What · Section · Gatehouse" with its prefix.
    pub fn full_title(&self) -> String {
        let mut out = format!("{}{}", self.title_prefix, self.title);
        if !self.section.is_empty() && self.section != self.title {
            out.push_str(" · ");
            out.push_str(&self.section);
        }
        out + " · Gatehouse"
    }

    pub fn theme_name(&self) -> &'static str {
        match self.theme.as_str() {
            "light" => "light",
            "dark" => "dark",
            _ => "auto",
        }
    }

    pub fn density_name(&self) -> &'static str {
        if self.density == "compact" { "compact" } else { "comfortable" }
    }

    pub fn icon_url(&self) -> String {
        crate::http::admin::statics::icon_url()
    }

    /// Whether the navigation item of `path` is the current one.
    pub fn at(&self, path: &str) -> bool {
        self.path == path
    }

    /// The same for an item of the current workspace: `"posts"` is `/w/{ws}/posts` and everything below.
    pub fn within(&self, noun: &str) -> bool {
        let Some(ws) = &self.workspace else { return false };
        let Some(rest) = self.path.strip_prefix("/w/").and_then(|rest| rest.strip_prefix(ws.id.as_str()))
        else {
            return false;
        };
        rest.trim_start_matches('/').split('/').next() == Some(noun)
    }
}

/// A workspace as a link.
#[derive(Clone, Debug, Default)]
pub struct WorkspaceRef {
    pub id: String,
    pub name: String,
    /// `production`, `staging` or `development`.
    pub environment: String,
}

/// Who is signed in.
#[derive(Clone, Debug, Default)]
pub struct AdminRef {
    pub name: String,
    pub email: String,
    /// Instance owner: may add workspaces and read the whole log.
    pub is_owner: bool,
}

impl AdminRef {
    /// First letter of the name, for the account button.
    pub fn initial(&self) -> String {
        let name = if self.name.is_empty() { &self.email } else { &self.name };
        name.chars().next().map(|c| c.to_uppercase().to_string()).unwrap_or_default()
    }
}
