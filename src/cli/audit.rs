//! `gatehouse audit`: what can be done with the audit log from a shell. Verdicts and data go to standard output, everything
//! else for people to standard error.

mod verify;

use clap::{Args, Subcommand};

#[derive(Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Subcommand)]
enum AuditCommand {
    /// Check a bundle of the audit log, without its database
    Verify(verify::VerifyArgs),
}

/// Runs the command and returns the exit code.
///
/// # Errors
/// Of the program itself; what is wrong with the log is an exit code.
pub fn run(args: AuditArgs) -> Result<u8, super::Error> {
    match args.command {
        AuditCommand::Verify(args) => verify::run(&args),
    }
}
