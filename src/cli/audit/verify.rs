//! `gatehouse audit verify`: opens the files, prints the verdict. What is checked is `crate::audit::verify`'s business.

use crate::{
    audit::{
        note::PublicKey,
        verify::{Fault, Since, Verdict, verify},
    },
    cli::{Error, say},
};
use clap::Args;
use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

#[derive(Args)]
#[command(
    after_help = "Exit codes: 0 all proven, 1 tampered, 2 malformed or not readable, 3 incomplete: nothing contradicts, but not all \
    is proven. docs/audit-format.md says what is checked."
)]
pub struct VerifyArgs {
    /// The bundle, .tar or .tar.gz; - reads standard input
    bundle: PathBuf,
    /// The public key to believe, from where the log's keeper does not write: the key itself, or a file with it
    #[arg(long)]
    key: Option<String>,
    /// An earlier checkpoint of the log that you have kept: a file. May be given several times
    #[arg(long, value_name = "FILE")]
    since: Vec<PathBuf>,
    /// Print the verdict as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &VerifyArgs) -> Result<u8, Error> {
    let verdict = look(args).unwrap_or_else(Verdict::of);
    match args.json {
        true => say(&verdict.json().to_string())?,
        false => say(verdict.to_string().trim_end())?,
    }
    Ok(verdict.outcome().exit_code())
}

fn look(args: &VerifyArgs) -> Result<Verdict, Fault> {
    let key = args.key.as_deref().map(key).transpose()?;
    let since = args
        .since
        .iter()
        .map(|path| Since::parse(&path.display().to_string(), read(path)?))
        .collect::<Result<Vec<_>, Fault>>()?;
    let bundle: Box<dyn Read> = match args.bundle.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => Box::new(File::open(&args.bundle).map_err(|error| unreadable(&args.bundle, &error))?),
    };
    Ok(verify(bundle, key.as_ref(), &since))
}

/// A vkey, or the file that holds one.
fn key(text: &str) -> Result<PublicKey, Fault> {
    match text.contains('+') {
        true => parse(text, "--key"),
        false => parse(read(Path::new(text))?.trim_end(), text),
    }
}

fn parse(vkey: &str, from: &str) -> Result<PublicKey, Fault> {
    PublicKey::parse(vkey).map_err(|error| Fault::malformed(0, format!("{from}: {error}")))
}

fn read(path: &Path) -> Result<String, Fault> {
    fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> Fault {
    Fault::malformed(0, format!("{}: {error}", path.display()))
}
