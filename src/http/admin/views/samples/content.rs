//! Parts the samples share: shell, audit rows, jobs, fields with mistakes.

use super::super::*;
use super::{Sample, Sort};

const ACTIONS: [&str; 6] =
    ["post.delete", "key.create", "tenant.freeze", "admin.login", "post.update", "workspace.key_replace"];
const OUTCOMES: [&str; 4] = ["success", "denied", "failure", "in_doubt"];

impl Sample {
    pub fn shell(&self, title: &str, path: &str) -> Shell {
        let ws = |id: &str, name: &str, environment: &str| WorkspaceRef {
            id: id.into(),
            name: self.t(name),
            environment: environment.into(),
        };
        let inside = path.starts_with("/w/");
        Shell {
            shortcuts: self.sort != Sort::Hostile,
            title: self.t(title),
            section: if inside { self.t("Northwind Social") } else { String::new() },
            title_prefix: String::new(),
            path: path.into(),
            csrf: self.t("2c5f0b1e"),
            once: self.t("0191f3"),
            theme: "auto".into(),
            density: String::new(),
            environment: if inside { "production".into() } else { String::new() },
            workspace: inside.then(|| ws("w1", "Northwind Social", "production")),
            workspaces: vec![
                ws("w1", "Northwind Social", "production"),
                ws("w2", "Northwind Staging", "staging"),
            ],
            admin: Some(AdminRef {
                name: self.t("Ada Byron"),
                email: self.t("ada@example.com"),
                is_owner: true,
            }),
            can_write: true,
            can_audit: true,
            can_manage: true,
            insecure_http: self.sort == Sort::Hostile,
            flash: None,
            audit_notice: (self.sort == Sort::Hostile).then(|| self.t("The audit log is forked")),
            upstream_notice: (self.sort == Sort::Hostile).then(|| self.t("PostPost unreachable")),
            refresh: None,
            css_url: "app.css".into(),
            js_url: "app.js".into(),
        }
    }

    pub fn flash(&self, shell: Shell, text: &str) -> Shell {
        let link = Some(Link::new("View", "/w/w1/jobs/142"));
        Shell { flash: self.opt(Banner { link, ..Banner::new("ok", self.t(text)) }), ..shell }
    }

    /// A field with a mistake when the sample is hostile.
    pub fn field(&self, name: &'static str, value: &str) -> Field {
        match self.sort {
            Sort::Empty => Field::new(name),
            Sort::Full => Field::filled(name, value),
            Sort::Hostile => Field::filled(name, self.t(value)).with_error(self.t("Enter something else")),
        }
    }

    pub fn whole_error(&self) -> Option<String> {
        (self.sort == Sort::Hostile).then(|| self.t("The form is too old"))
    }

    pub fn tabs(&self, labels: &[(&str, u64)]) -> Vec<Tab> {
        let tab = |(i, (label, n)): (usize, &(&str, u64))| Tab {
            label: self.t(label),
            count: Some(self.n(*n)),
            url: format!("?tab={i}"),
            current: i == 0,
        };
        labels.iter().enumerate().map(tab).collect()
    }

    pub fn choices(&self, list: &[(&str, &str)]) -> Vec<Choice> {
        let choice = |(i, (value, label)): (usize, &(&str, &str))| Choice::new(*value, self.t(label), i == 0);
        list.iter().enumerate().map(choice).collect()
    }

    pub fn chips(&self) -> Vec<Chip> {
        let labels = ["Status: Scheduled", "Status: Failed", "Tenant: Blue Bakery"];
        self.rows(3, |i| Chip { label: self.t(labels[i]), remove_url: format!("?drop={i}") })
    }

    pub fn audit_rows(&self, n: usize) -> Vec<AuditRow> {
        self.rows(n, |i| AuditRow {
            seq: 81_204 - i as u64,
            url: format!("/w/w1/audit/{}", 81_204 - i),
            at: Moment { relative: String::new(), ..self.at("15 Mar 2026, 14:30:07 UTC", "") },
            actor: self.t(["Ada Byron", "sk_gh4f…9c1e", "Bulk job 142", "System"][i % 4]),
            actor_type: ["Admin", "API key", "System", "System"][i % 4].into(),
            action: self.t(ACTIONS[i % ACTIONS.len()]),
            target: self.t(["Post 507f…9011", "Key Blue Bakery CI", "120 posts (job 142)"][i % 3]),
            target_url: if i % 3 == 1 { String::new() } else { "/w/w1/posts/t1/p1".into() },
            workspace: self.t("Northwind Social"),
            tenant: self.t("Blue Bakery"),
            outcome: Badge::outcome(OUTCOMES[(i / 2) % 4]),
            address: self.t("203.0.113.7"),
            fold: (i % 5 == 4).then(|| FoldedEntries {
                entries: self.t("8,360 entries"),
                counts: self.t("4,180 Started, 4,036 Success, 132 Refused by PostPost, 12 Failed"),
                url: "/w/w1/audit?q=job%3Aj1".into(),
            }),
        })
    }

    pub fn counters(&self) -> Counters {
        Counters {
            total: self.n(4180),
            pending: self.n(2952),
            running: self.n(4),
            succeeded: self.n(1190),
            gone: self.n(0),
            skipped: self.n(22),
            failed: self.n(12),
            unknown: self.n(0),
            cancelled: self.n(0),
        }
    }

    pub fn job_rows(&self, n: usize) -> Vec<JobRow> {
        let states =
            ["running", "paused", "completed", "completed_with_errors", "cancelled", "stopped", "queued"];
        self.rows(n, |i| JobRow {
            id: format!("j{i}"),
            url: format!("/w/w1/jobs/j{i}"),
            title: self.t(["Delete 4,180 posts", "Pause 812 posts", "Reschedule 96 posts"][i % 3]),
            workspace: self.t("Northwind Social"),
            actor: self.t("Ada Byron"),
            badge: Badge::job(states[i % states.len()]),
            counters: self.counters(),
            started: self.at("15 Mar 2026, 14:30:07 UTC", "4 min ago"),
            duration: "4 min 10 s".into(),
        })
    }
}
