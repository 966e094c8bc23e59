//! Parses arguments, calls `cli`, prints the error. Nothing else.

use clap::Parser;
use gatehouse::cli::{self, Cli};
use std::{io::Write, process::ExitCode};

fn main() -> ExitCode {
    match cli::run(Cli::parse()) {
        Ok(code) => code.into(),
        Err(error) => {
            // Nothing more can be done if even this cannot be written.
            let _ = writeln!(std::io::stderr(), "gatehouse: {error}");
            ExitCode::FAILURE
        }
    }
}
