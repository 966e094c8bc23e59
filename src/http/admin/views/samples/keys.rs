//! Renders of keys and secrets for a sample.

use super::super::*;
use super::Sample;
use super::pages::Add;

pub fn keys(s: &Sample, add: &mut Add) {
    let row = |i: usize| KeyRow {
        id: format!("k{i}"),
        name: s.t(["Blue Bakery CI", "Nightly export", "SIEM"][i % 3]),
        kind: ["Tenant key", "Workspace key", "Audit token"][i % 3].into(),
        display: s.t("sk_gh4f…9c1e"),
        tenant: (i.is_multiple_of(3)).then(|| s.t("Blue Bakery")),
        tenant_id: s.t("t1"),
        scopes: s.t(["posts: read, write · media: write", "posts: read, write", "audit: read"][i % 3]),
        created_by: s.t("Ada Byron"),
        created: s.at("3 Jan 2026, 09:12 UTC", ""),
        last_used: (i % 4 != 3).then(|| s.at("15 Mar 2026, 14:27 UTC", "3 min ago")),
        last_address: s.t("10.0.0.4"),
        last_agent: s.t("curl/8.5.0"),
        expires: (i.is_multiple_of(2)).then(|| s.at("20 Mar 2026, 14:30 UTC", "in 5 d")),
        revoked: (i % 6 == 4).then(|| s.at("15 Mar 2026, 14:30 UTC", "3 min ago")),
        status: Badge::key(["expiring", "active", "pending", "retiring", "revoked", "expired"][i % 6]),
        pair: (i % 6 == 2 || i % 6 == 3).then(|| Link::new(s.t("Its new key"), "/w/w1/keys/k9")),
        active: i < 3,
    };
    add(
        "keys",
        &KeyListPage {
            shell: s.flash(s.shell("API keys", "/w/w1/keys"), "Key revoked."),
            ws: "w1".into(),
            tabs: s.tabs(&[("All", 63), ("Active", 58), ("Expires soon", 1), ("Expired", 2), ("Revoked", 3)]),
            result_line: s.opt(s.t("1 to 25 of 63")).unwrap_or_default(),
            filtered: false,
            rows: s.rows(12, row),
            pager: Pager::pages(s.opt(s.t("?p")), s.opt(s.t("?n"))),
            new_url: "/w/w1/keys/new".into(),
        },
    );
    let rules = KeyRulesForm {
        addresses: s.field("addresses", "10.0.0.0/8\n2001:db8::/32"),
        rate: s.field("rate", "50"),
        usual_rate: "20 calls a second".into(),
    };
    let group =
        |label: &str, list: &[(&str, &str)]| ChoiceGroup { label: s.t(label), choices: s.choices(list) };
    add(
        "key-new",
        &NewKeyPage {
            shell: s.shell("New key", "/w/w1/keys/new"),
            ws: "w1".into(),
            form: KeyForm {
                error: s.whole_error(),
                name: s.field("name", "Blue Bakery CI"),
                kind: s.field("kind", "tenant"),
                kinds: s.choices(&[
                    ("tenant", "Tenant key"),
                    ("workspace", "Workspace key"),
                    ("audit", "Audit token"),
                ]),
                tenant: s.field("tenant", ""),
                tenants: s.choices(&[
                    ("", "Choose a tenant"),
                    ("t1", "Blue Bakery"),
                    ("t2", "Harbour Cycles"),
                ]),
                scopes: s.field("scopes", ""),
                scope_groups: vec![
                    group("Posts", &[("posts:read", "Read"), ("posts:write", "Create and change")]),
                    group("Media", &[("media:write", "Upload")]),
                    group("Connections", &[("connections:read", "Read")]),
                ],
                expiry: s.field("expiry", "90"),
                expiries: s.choices(&[
                    ("30", "30 days"),
                    ("90", "90 days"),
                    ("365", "1 year"),
                    ("never", "Never"),
                ]),
                rules: rules.clone(),
            },
        },
    );
    let shell = s.shell("Blue Bakery CI", "/w/w1/keys/k0");
    let id = CopyId::whole("key ID", s.t("0191f3a2-7c11-7d2e-9a55-0d3a8e6c1f42"));
    let scopes = s.rows(3, |i| s.t(["posts:read", "posts:write", "media:write"][i]));
    let audit = s.audit_rows(4);
    let users = s.rows(3, |i| KeyUserRow {
        address: s.t(["10.0.0.4", "2001:db8::17", "192.0.2.44"][i]),
        agent: s.t([
            "curl/8.5.0",
            "",
            "postpost-node/3.1 (Blue Bakery website; nightly export of all drafts)",
        ][i]),
        used: s.at("15 Mar 2026, 14:27 UTC", "3 min ago"),
        refused: i == 2,
    });
    let page = KeyPage {
        shell: shell.clone(),
        ws: "w1".into(),
        key: row(0),
        id,
        scopes,
        addresses: s.rows(2, |i| ["10.0.0.0/8", "2001:db8::/32"][i].to_owned()),
        rate: "50 calls a second".into(),
        rules: s.opt(rules),
        detection_regex: "sk_gh[twa]_[0-9A-Za-z]{49}",
        rotation: s.opt(KeyRotation {
            text: s.t("The old key sk_ght_Ab3kP…x9Zz ends on 16 Mar 2026, 14:30 UTC (in 24 h)."),
            other_url: "/w/w1/keys/k1".into(),
            other_text: "The old key".into(),
            busy: Some(s.t("The old key was last used 3 min ago from 10.0.0.4 by curl/8.5.0.")),
            users: users.clone(),
            cancel_url: "/w/w1/keys/k0/cancel".into(),
        }),
        can_rotate: true,
        made: s.opt(Link::new(s.t("3 keys"), "/w/w1/audit?actor=k0")),
        users,
        done_url: "/w/w1/audit?actor=k0".into(),
        audit,
    };
    add("key", &page);
    let recent_use = s.opt(s.t("Used 3 min ago from 10.0.0.4."));
    let calls = s.opt(Count(1812));
    let rotate = RotateKeyPage {
        shell: shell.clone(),
        ws: "w1".into(),
        key: row(0),
        overlap: s.field("overlap", ""),
        overlaps: s.choices(&[
            ("0", "Not at all"),
            ("3600", "1 hour"),
            ("86400", "24 hours"),
            ("604800", "7 days"),
        ]),
        expiry: s.field("expiry", ""),
        expiries: s.choices(&[("90", "In 90 days"), ("never", "Never")]),
    };
    add("key-rotate", &rotate);
    let rotation = s.opt(s.t("The new key sk_ght_Ab3kP…x9Zz is in use.")).unwrap_or_default();
    let made = s.opt(Link::new(s.t("3 keys"), "/w/w1/audit?actor=k0"));
    add(
        "key-revoke",
        &RevokeKeyPage { shell, ws: "w1".into(), key: row(0), recent_use, calls, rotation, made },
    );
    let secret = SecretPage {
        shell: s.shell("API key created", "/w/w1/secrets/s1"),
        kind: "API key".into(),
        name: s.t("Blue Bakery CI"),
        secret: s.opt(s.t("sk_gh4f9x2k_8f14e45fceea167a5a36dedd4bea2543.6512bd43d9caa6e02c990b0a82652dca")),
        expires: "13 Jun 2026, 14:30 UTC".into(),
        example: s.opt(s.t("curl -H \"x-api-key: $GATEHOUSE_KEY\" http://127.0.0.1:8080/api/v1/list-posts")),
        advice: s.t("Create another key and revoke this one if it was not stored."),
        continue_url: "/w/w1/keys/k0".into(),
    };
    add("secret", &secret);
    let secret = Some(s.t("https://app.postpost.example/connect/9f86d081884c7d65"));
    add("secret-link", &SecretPage { kind: "Connection link".into(), secret, example: None, ..again(s) });
}

fn again(s: &Sample) -> SecretPage {
    SecretPage {
        shell: s.shell("Connection link created", "/w/w1/secrets/s2"),
        name: s.t("Blue Bakery"),
        expires: s.t("14 Apr 2026, 14:30 UTC"),
        continue_url: "/w/w1/tenants/t1".into(),
        ..SecretPage::default()
    }
}
