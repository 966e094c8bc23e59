//! `gatehouse audit`: what can be done with the audit log from a shell. Verdicts and data go to standard output, everything
//! else for people to standard error.

mod accept_restore;
mod export;
mod key;
mod verify;

use super::{Error, ServeArgs, with_runtime};
use clap::{Args, Subcommand};

#[derive(Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Take the log away in a file: the evidence, a view of it, or a bundle for an auditor
    Export(Box<export::ExportArgs>),
    /// Print the public key that the log is checked with
    Key(ServeArgs),
    /// Check a bundle of the audit log, without its database
    Verify(verify::VerifyArgs),
    /// Go on with a database that is an older copy of itself, after a look at what is lost
    AcceptRestore(accept_restore::AcceptRestoreArgs),
}

/// Runs the command and returns the exit code.
///
/// # Errors
/// Says why nothing was done. What is wrong with a bundle is an exit code.
pub fn run(args: AuditArgs) -> Result<u8, Error> {
    match args.command {
        AuditCommand::Export(args) => export::run(*args).map(|()| 0),
        AuditCommand::Key(args) => with_runtime("error", key::run(args)).map(|()| 0),
        AuditCommand::Verify(args) => verify::run(&args),
        // What contradicts is said by the command itself.
        AuditCommand::AcceptRestore(args) => with_runtime("off", accept_restore::run(args)).map(|()| 0),
    }
}
