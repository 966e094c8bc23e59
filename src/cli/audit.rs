//! `gatehouse audit`: what can be done with the audit log from a shell. Verdicts and data go to standard output, everything
//! else for people to standard error.

mod accept_restore;
mod key;

use super::{Error, ServeArgs, with_runtime};
use clap::{Args, Subcommand};

#[derive(Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Print the public key that the log is checked with
    Key(ServeArgs),
    /// Go on with a database that is an older copy of itself, after a look at what is lost
    AcceptRestore(accept_restore::AcceptRestoreArgs),
}

/// # Errors
/// Says why nothing was done.
pub fn run(args: AuditArgs) -> Result<(), Error> {
    match args.command {
        AuditCommand::Key(args) => with_runtime("error", key::run(args)),
        // What contradicts is said by the command itself.
        AuditCommand::AcceptRestore(args) => with_runtime("off", accept_restore::run(args)),
    }
}
