//! Coverage of the audit log: one table of actions (`docs/audit-actions.md`) that the code, the routes and what a running
//! gateway really writes are held to.

mod driving;

use clap::CommandFactory;
use gatehouse::{
    cli::Cli,
    domain::audit::{Action, Outcome},
    http::{self, Record},
};
use std::collections::{BTreeMap, BTreeSet};

const DOCS: &str = include_str!("../../docs/audit-actions.md");

/// What a call at PostPost can come to.
const UPSTREAM: [&str; 9] =
    ["intent", "succeeded", "gone", "refused", "failed", "in_doubt", "applied", "not_applied", "unknown"];

/// Why a route may store something and leave no entry.
const UNRECORDED: [&str; 2] = ["a person's own view", "looks, kept in the browser"];

/// Routes that are no change although their method is not GET: PostPost has it so.
const READING_POSTS: [&str; 5] = [
    "POST /api/v1/test-connection/{platformId}",
    "POST /api/v1/linkedin-post-statistics",
    "POST /api/v1/linkedin-account-statistics",
    "POST /api/v1/linkedin-profile-summary",
    "POST /api/v1/linkedin-followers",
];

/// Commands that leave no entry.
const READING_COMMANDS: [&str; 8] = [
    "gatehouse audit key",
    "gatehouse audit verify",
    "gatehouse sandbox",
    "gatehouse migrate",
    "gatehouse config check",
    "gatehouse bulk job",
    "gatehouse bulk wait",
    "gatehouse bulk items",
];

/// A row of the table.
#[derive(Debug, Default, Clone)]
struct Row {
    targets: BTreeSet<String>,
    outcomes: BTreeSet<String>,
    before: BTreeSet<String>,
    after: BTreeSet<String>,
    written_by: BTreeSet<String>,
}

/// The words in backticks.
fn words(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The table, in its order.
fn table() -> Vec<(String, Row)> {
    let mut rows = Vec::new();
    for line in DOCS.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [action, _, targets, outcomes, fields, written_by] = cells[..] else {
            panic!("{} cells: {line}", cells.len())
        };
        let (before, after) = fields.split_once("after:").unwrap_or((fields, ""));
        let mut row = Row {
            targets: words(targets),
            outcomes: words(outcomes),
            before: words(before),
            after: words(after),
            written_by: words(written_by),
        };
        if outcomes.contains("*upstream*") {
            row.outcomes.extend(UPSTREAM.map(str::to_owned));
        }
        // A refusal is possible wherever one is written.
        row.after.extend(row.outcomes.contains("denied").then(|| "code".to_owned()));
        rows.push((action.trim_matches('`').to_owned(), row));
    }
    rows
}

fn by_action() -> BTreeMap<String, Row> {
    table().into_iter().collect()
}

fn name(route: &http::Route) -> String {
    format!("{} {}", route.method, route.path)
}

#[test]
fn the_table_has_every_action_once_and_no_other() {
    let documented: Vec<String> = table().into_iter().map(|(action, _)| action).collect();
    let known: Vec<&str> = Action::ALL.iter().map(|action| action.as_str()).collect();
    assert_eq!(documented, known);
    for (action, row) in table() {
        assert!(!row.outcomes.is_empty() && !DOCS.contains("| |"), "{action}");
        for outcome in &row.outcomes {
            assert!(Outcome::parse(outcome).is_some(), "{action}: {outcome}");
        }
    }
}

#[test]
fn every_route_that_changes_something_names_its_entry_and_the_table_names_the_route() {
    let table = by_action();
    let (mut entries, mut changing) = (0, 0);
    for route in http::routes() {
        let name = name(&route);
        match &route.record {
            Record::Reads => {
                let reads = matches!(route.method, "GET" | "HEAD") || READING_POSTS.contains(&name.as_str());
                assert!(reads, "{name} changes something and names no entry");
                continue;
            }
            Record::None(why) => assert!(UNRECORDED.contains(why), "{name}: {why}"),
            Record::Entries(actions) => {
                assert!(!actions.is_empty(), "{name}");
                for action in actions {
                    entries += 1;
                    // What an assistant calls is listed by its tools.
                    let listed = table[action.as_str()].written_by.contains(&name) || route.path == "/mcp";
                    assert!(listed, "docs/audit-actions.md does not say that {name} writes {action}");
                }
            }
        }
        changing += 1;
    }
    assert!(changing > 70, "{changing}");
    println!("{changing} routes that change something, {entries} actions named by them");
    // And the other way round.
    let routes: BTreeSet<String> = http::routes().iter().map(name).collect();
    for (action, row) in &table {
        let named =
            row.written_by.iter().filter(|by| by.split(' ').nth(1).is_some_and(|p| p.starts_with('/')));
        for by in named {
            assert!(routes.contains(by), "{action} is said to be written by {by}, which does not exist");
        }
    }
}

#[test]
fn every_command_is_in_the_table_or_only_reads() {
    fn leaves(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        let path = format!("{path} {}", command.get_name()).trim().to_owned();
        match command.has_subcommands() {
            true => command.get_subcommands().for_each(|sub| leaves(sub, &path, found)),
            false => found.push(path),
        }
    }
    let mut commands = Vec::new();
    leaves(&Cli::command(), "", &mut commands);
    let written_by: BTreeSet<String> = table().into_iter().flat_map(|(_, row)| row.written_by).collect();
    for command in &commands {
        let reads = READING_COMMANDS.contains(&command.as_str());
        assert!(reads != written_by.contains(command), "{command} is in the table: {}", !reads);
    }
    for by in written_by.iter().filter(|by| by.starts_with("gatehouse ")) {
        assert!(commands.contains(by), "there is no command {by}");
    }
    assert!(commands.len() >= READING_COMMANDS.len() + 9, "{commands:?}");
}
