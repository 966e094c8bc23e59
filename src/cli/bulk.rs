//! `gatehouse bulk`: bulk work from a shell, through the machine door of a running gateway. Results go to standard output
//! as JSON, everything for people to standard error; the exit code says how it ended, for scripts.

pub mod door;
mod files;

use clap::{Args, Subcommand, ValueEnum};
use door::Door;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    time::Duration,
};

/// Between two looks at a job.
const LOOK: Duration = Duration::from_secs(1);
/// Looks that may fail one after the other before it is given up; the job goes on without us.
const LOST: u32 = 60;

#[derive(Args)]
#[command(
    after_help = "Exit codes: 0 every post was changed or was to be left alone, 1 it could not be done, 2 wrong \
    arguments, 3 some posts failed or are in doubt, 4 the job was cancelled or stopped, 5 nothing to do."
)]
pub struct BulkArgs {
    /// Address of the gateway
    #[arg(long, env = "GATEHOUSE_URL", default_value = "http://127.0.0.1:8080", global = true)]
    url: String,
    /// A workspace key. Set it in the environment: arguments can be seen by others
    #[arg(long, env = "GATEHOUSE_KEY", hide_env_values = true, global = true)]
    key: Option<String>,
    #[command(subcommand)]
    command: BulkCommand,
}

#[derive(Subcommand)]
enum BulkCommand {
    /// Make a plan: what would happen to which posts. Changes nothing
    Plan(PlanArgs),
    /// Apply a plan: makes its job
    Apply(ApplyArgs),
    /// Show a job
    Job { id: String },
    /// Wait for the end of a job, with a progress bar
    Wait { id: String },
    /// Print what became of each post of a job, one JSON object a line
    Items {
        id: String,
        /// Only those in this state, such as failed
        #[arg(long)]
        state: Option<String>,
    },
    /// Hold a job up; posts in flight are finished
    Pause { id: String },
    /// Let a paused job go on
    Resume { id: String },
    /// End a job; what is done stays done
    Cancel { id: String },
    /// Make a plan of what failed in a job for a reason that passes
    Retry { id: String },
    /// Make a plan of the way back, where there is one
    Undo { id: String },
}

#[derive(Clone, Copy, ValueEnum)]
enum Action {
    Delete,
    Pause,
    Resume,
    Reschedule,
}

#[derive(Args)]
struct PlanArgs {
    #[arg(long, value_enum)]
    action: Action,
    #[command(flatten)]
    posts: Posts,
    /// Where to, as JSON: {"mode":"days","days":1}, {"mode":"set","at":"2030-01-31T09:00:00Z"} and so on
    #[arg(long = "move", value_parser = object)]
    moved: Option<Value>,
    /// What to do with resumed posts that are late, as JSON: {"choice":"leave"}, {"choice":"shift"} and so on
    #[arg(long, value_parser = object)]
    past_due: Option<Value>,
    /// Time zone in which days are counted, such as Europe/Berlin
    #[arg(long)]
    zone: Option<String>,
    /// Upstream calls a second
    #[arg(long)]
    rate: Option<u32>,
    /// Stop after so many failures in a row
    #[arg(long)]
    stop_after: Option<u32>,
    /// Begin then, such as 2030-01-31T09:00:00Z
    #[arg(long)]
    starts_at: Option<String>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Posts {
    /// All posts that match, as the query of the posts page: "status=failed&platform=bluesky"; "" matches all
    #[arg(long)]
    filter: Option<String>,
    /// A CSV file with the columns tenant, postGroupId and, for a reschedule, scheduledTime; - reads standard input
    #[arg(long)]
    csv: Option<PathBuf>,
}

#[derive(Args)]
struct ApplyArgs {
    plan: String,
    /// What the plan asks to be repeated, such as "delete 4180"
    #[arg(long, default_value = "")]
    confirm: String,
    /// Goes into the audit log
    #[arg(long, default_value = "")]
    reason: String,
    /// Wait for the job's end
    #[arg(long)]
    wait: bool,
}

/// How a command ended that did what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Done,
    /// Some posts failed or are in doubt.
    WithErrors,
    /// The job was cancelled, or stopped itself.
    CutShort,
    NothingToDo,
}

impl End {
    /// For scripts; 1 and 2 are for commands that failed.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::WithErrors => 3,
            Self::CutShort => 4,
            Self::NothingToDo => 5,
        }
    }

    fn of(job: &Value) -> Self {
        let count = |name: &str| job["counts"][name].as_i64().unwrap_or_default();
        match job["state"].as_str() {
            Some("cancelled" | "stopped") => Self::CutShort,
            _ if count("failed") + count("unknown") > 0 => Self::WithErrors,
            _ => Self::Done,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// A sentence that says what to do.
pub async fn run(args: BulkArgs) -> Result<End, String> {
    let Some(key) = args.key.filter(|key| !key.is_empty()) else {
        return Err("set GATEHOUSE_KEY to a workspace key".into());
    };
    let door = Door::new(&args.url, SecretString::from(key))?;
    let job = |id: &str, what: &str| format!("jobs/{id}{what}");
    match args.command {
        BulkCommand::Plan(args) => plan(&door, "plans", args.body()?).await,
        BulkCommand::Apply(args) => apply(&door, args).await,
        BulkCommand::Job { id } => print(&door.get(&job(&id, "")).await?).map(|()| End::Done),
        BulkCommand::Wait { id } => wait(&door, &id).await,
        BulkCommand::Items { id, state } => items(&door, &id, state.as_deref()).await,
        BulkCommand::Pause { id } => asked(&door, &job(&id, "/pause")).await,
        BulkCommand::Resume { id } => asked(&door, &job(&id, "/resume")).await,
        BulkCommand::Cancel { id } => asked(&door, &job(&id, "/cancel")).await,
        BulkCommand::Retry { id } => plan(&door, &job(&id, "/retry"), Value::Null).await,
        BulkCommand::Undo { id } => plan(&door, &job(&id, "/undo"), Value::Null).await,
    }
}

impl PlanArgs {
    fn body(self) -> Result<Value, String> {
        let action = self.action.to_possible_value().map(|v| v.get_name().to_owned());
        let mut body = Map::from_iter([("action".to_owned(), json!(action))]);
        if let Some(path) = &self.posts.csv {
            body.insert("posts".into(), files::posts(path, action.as_deref().unwrap_or_default())?);
        } else {
            body.insert("filter".into(), files::filter(self.posts.filter.as_deref().unwrap_or_default())?);
        }
        let options = [
            ("move", self.moved),
            ("pastDue", self.past_due),
            ("zone", self.zone.map(Value::from)),
            ("rate", self.rate.map(Value::from)),
            ("stopAfter", self.stop_after.map(Value::from)),
            ("startsAt", self.starts_at.map(Value::from)),
        ];
        body.extend(options.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Ok(Value::Object(body))
    }
}

fn object(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err("not a JSON object".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Makes a plan. That there is no post for it is an end, not a failure.
async fn plan(door: &Door, path: &str, body: Value) -> Result<End, String> {
    match door.post(path, body).await {
        Ok(plan) => planned(&plan),
        Err(failure) if failure.code == "nothing_to_do" => nothing_to_do(failure),
        Err(failure) => Err(failure.into()),
    }
}

fn nothing_to_do(failure: door::Failure) -> Result<End, String> {
    tell(&String::from(failure))?;
    Ok(End::NothingToDo)
}

/// Prints a plan, and what to do with it.
fn planned(plan: &Value) -> Result<End, String> {
    print(plan)?;
    let (count, skipped) = (&plan["toChange"], &plan["skipped"]);
    let action = plan["action"].as_str().unwrap_or_default();
    tell(&format!("{action} {count} posts of {} tenants; {skipped} are left alone.", plan["tenants"]))?;
    if let Some(lost) = plan["notRestored"].as_array().filter(|lost| !lost.is_empty()) {
        let lost: Vec<&str> = lost.iter().filter_map(Value::as_str).collect();
        tell(&format!("They come back as drafts with new ids, and without their {}.", lost[1..].join(", ")))?;
    }
    if let Some(now) = plan["publishedAtOnce"].as_u64().filter(|now| *now > 0) {
        tell(&format!("{now} of them are published at once: their time has passed."))?;
    }
    if *count == json!(0) {
        return Ok(End::NothingToDo);
    }
    let mut next = format!("gatehouse bulk apply {}", plan["planId"].as_str().unwrap_or_default());
    if let Some(typed) = plan["confirm"].as_str() {
        next.push_str(&format!(" --confirm '{typed}'"));
    }
    if plan["reasonNeeded"] == json!(true) {
        next.push_str(" --reason '…'");
    }
    tell(&format!("Nothing was changed. Within 15 minutes: {next} --wait"))?;
    Ok(End::Done)
}

async fn apply(door: &Door, args: ApplyArgs) -> Result<End, String> {
    // What is confirmed is the plan as it stands now; the count that was typed holds it to what was seen.
    let plan = door.get(&format!("plans/{}", args.plan)).await?;
    let body = json!({ "digest": plan["digest"], "confirm": args.confirm, "reason": args.reason });
    let applied = match door.post(&format!("plans/{}/apply", args.plan), body).await {
        Err(failure) if failure.code == "nothing_to_do" => return nothing_to_do(failure),
        applied => applied?,
    };
    let id = applied["jobId"].as_str().unwrap_or_default();
    if args.wait {
        return wait(door, id).await;
    }
    print(&applied)?;
    tell(&format!("The job has begun: gatehouse bulk wait {id}"))?;
    Ok(End::Done)
}

async fn asked(door: &Door, path: &str) -> Result<End, String> {
    print(&door.post(path, Value::Null).await?).map(|()| End::Done)
}

/// Follows a job to its end. A lost connection does not end the job, and is tried again for a while.
async fn wait(door: &Door, id: &str) -> Result<End, String> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of {len}  {msg}") {
        bar.set_style(style);
    }
    let path = format!("jobs/{id}");
    let (mut lost, mut told) = (0, String::new());
    loop {
        match door.get(&path).await {
            Ok(job) => {
                lost = 0;
                let count = |name: &str| job["counts"][name].as_u64().unwrap_or_default();
                let total = job["total"].as_u64().unwrap_or_default();
                let line = format!(
                    "{} done, {} skipped, {} failed, {} unknown ({})",
                    count("succeeded") + count("gone"),
                    count("skipped"),
                    count("failed"),
                    count("unknown"),
                    job["state"].as_str().unwrap_or_default()
                );
                bar.set_length(total);
                bar.set_position(total - count("pending").min(total) - count("running").min(total));
                bar.set_message(line.clone());
                // In a log file, a line whenever something has changed takes the place of the bar.
                if !std::io::stderr().is_terminal() && line != told {
                    tell(&line)?;
                    told = line;
                }
                // What is in doubt at the end is still being looked up.
                if job["ended"] == json!(true) && count("unknown") == 0 {
                    bar.finish_and_clear();
                    print(&job)?;
                    return Ok(End::of(&job));
                }
            }
            Err(failure) => {
                lost += 1;
                if !failure.passing {
                    return Err(failure.into());
                }
                if lost > LOST {
                    return Err(format!("{}; the job goes on without this command", String::from(failure)));
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn items(door: &Door, id: &str, state: Option<&str>) -> Result<End, String> {
    let state = state.map(|word| format!("&state={word}")).unwrap_or_default();
    let mut from = json!(0);
    while let Some(n) = from.as_i64() {
        let page = door.get(&format!("jobs/{id}/items?from={n}{state}")).await?;
        for item in page["items"].as_array().into_iter().flatten() {
            print(item)?;
        }
        from = page["next"].clone();
    }
    Ok(End::Done)
}

fn print(value: &Value) -> Result<(), String> {
    writeln!(std::io::stdout(), "{value}").map_err(|e| e.to_string())
}

fn tell(line: &str) -> Result<(), String> {
    writeln!(std::io::stderr(), "{line}").map_err(|e| e.to_string())
}
