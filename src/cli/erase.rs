//! `gatehouse erase`: personal data of a tenant or of somebody who could log in, straight in the database. It may run beside
//! a gateway on the same database, which then finishes what is cut short here.

use super::{Error, ServeArgs, say};
use crate::{
    app,
    clock::Clock,
    config::Config,
    domain::{
        audit::Actor,
        erasures::{Subject, check_reason},
        ids,
    },
    exports,
    jobs::erasures,
    store::{Db, erasures::Asked},
};
use clap::{Args, Subcommand};
use std::time::Duration;

/// How long readers are waited for before it is left to the gateway.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Args)]
pub struct EraseArgs {
    #[command(subcommand)]
    command: EraseCommand,
}

#[derive(Subcommand)]
enum EraseCommand {
    /// Erase the personal data of a tenant that has been detached. Cannot be taken back
    Tenant(TenantArgs),
    /// Erase somebody who could log in. Cannot be taken back
    Person(PersonArgs),
}

#[derive(Args)]
struct TenantArgs {
    /// Id of the workspace
    #[arg(long)]
    workspace: String,
    /// Id of the tenant
    tenant: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct PersonArgs {
    /// E-mail address or id
    person: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Common {
    /// Stays in the audit log: name the request, not the person
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    serve: ServeArgs,
}

/// # Errors
/// Says why nothing was erased, or what is still to come.
pub fn run(args: EraseArgs) -> Result<(), Error> {
    super::with_runtime("error", async {
        let (common, wanted) = match args.command {
            EraseCommand::Tenant(TenantArgs { workspace, tenant, common }) => {
                (common, Ok(Subject::Tenant { workspace, id: tenant }))
            }
            EraseCommand::Person(PersonArgs { person, common }) => (common, Err(person)),
        };
        let reason = check_reason(&common.reason).map_err(|invalid| Error::Usage(invalid.reason))?;
        let config = Config::load(common.serve.settings, common.serve.config)?;
        let db = app::open_database(&config).await?;
        let subject = match wanted {
            Ok(subject) => subject,
            Err(person) => find_person(&db, &person).await?,
        };
        let done = erase(&db, &subject, &reason).await;
        // Exports were withdrawn by it.
        exports::files::sweep(&config.export_folder, &db).await?;
        db.close().await;
        done
    })
}

async fn find_person(db: &Db, person: &str) -> Result<Subject, Error> {
    let found = match db.admin_by_email(&person.to_lowercase()).await? {
        Some(found) => Some(found),
        None => db.admin(person).await?,
    };
    match found {
        Some((admin, _)) => Ok(Subject::Person { id: admin.id }),
        None => Err(Error::Usage(format!("there is no person {person}"))),
    }
}

async fn erase(db: &Db, subject: &Subject, reason: &str) -> Result<(), Error> {
    let clock = Clock::default();
    let actor = Actor::system("command line");
    let refused = |text: &str| Err(Error::Usage(text.to_owned()));
    let id = match db.begin_erasure(&actor, &ids::new_id(), subject, reason, clock.now()).await? {
        Asked::Begun(id) | Asked::UnderWay(id) => id,
        Asked::Unknown => return refused("there is no such tenant"),
        Asked::Attached => {
            return refused(
                "the tenant is still attached: its data would come back from PostPost. Detach it first",
            );
        }
        Asked::LastOwner => return refused("this is the only owner of this instance"),
        Asked::Busy => return refused("calls or bulk jobs have no end yet; wait for them and try again"),
    };
    let mut failure = None;
    for _ in 0..TRIES {
        let Some(erasure) = db.erasure(&id).await? else { break };
        let done = erasures::finish(db, &clock, &erasure).await;
        failure = done.as_ref().err().map(ToString::to_string);
        if done.is_ok_and(|done| done) {
            let details = db.erasure(&id).await?.map_or(0, |erasure| erasure.details);
            return say(&format!(
                "Erased, with {details} details of the audit log. Exports and backups that have left this gateway still have \
                 what was erased: docs/erasure.md"
            ));
        }
        // The gateway may be at it as well.
        tokio::time::sleep(PAUSE).await;
    }
    let why = failure.unwrap_or_else(|| "somebody reads an older state of the database".into());
    Err(Error::Usage(format!("not done yet ({why}); the gateway goes on with it")))
}
