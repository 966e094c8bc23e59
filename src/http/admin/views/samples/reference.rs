//! Renders of the reference for a sample.

use super::super::*;
use super::Sample;
use super::pages::Add;

pub fn reference(s: &Sample, add: &mut Add) {
    let term = |i: usize| ReferenceTerm { word: format!("posts:{i}"), about: s.t("List and show posts.") };
    let field =
        |i: usize| ReferenceField { name: format!("field{i}"), required: i == 0, about: s.t("The text.") };
    let call = |group: usize, i: usize| {
        ReferenceCall {
        anchor: format!("call-{group}-{i}"),
        method: "POST".into(),
        path: "/api/v1/create-post".into(),
        summary: s.t("Creates a post."),
        needs: "posts:create".into(),
        action: if i == 0 { "post.create".into() } else { String::new() },
        once: i == 0,
        timeout: 30,
        query: s.rows(2, field),
        body: s.rows(2, field),
        example: s.t("curl -s -X POST \"$URL/api/v1/create-post\" -H \"x-api-key: $KEY\" -d '{\"content\":\"Our spring collection\"}'"),
    }
    };
    let group = |i: usize| ReferenceGroup {
        name: s.t("Posts"),
        anchor: format!("group-{i}"),
        calls: s.rows(2, |n| call(i, n)),
    };
    let page = ReferencePage {
        shell: Shell { admin: None, workspace: None, ..s.shell("API reference", "/docs/api") },
        base_url: s.t("https://gate.example.com"),
        scopes: s.rows(3, term),
        groups: s.rows(2, group),
        statuses: s.rows(3, term),
        differences: s.rows(2, |_| ReferenceDifference {
            postpost: s.t("Errors are plain."),
            gateway: s.t("Errors have a code."),
            why: s.t("A program can tell them apart."),
        }),
    };
    add("reference", &page);
}
