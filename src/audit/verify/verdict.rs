//! What a verifier says: how it ended, the first thing that is wrong, what is proven and what is not.

use crate::audit::note;
use serde::Serialize;
use std::fmt;

/// How it ended, worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Proven,
    /// Nothing contradicts, but not all is proven.
    Incomplete,
    Malformed,
    Tampered,
}

impl Outcome {
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Proven => 0,
            Self::Tampered => 1,
            Self::Malformed => 2,
            Self::Incomplete => 3,
        }
    }
}

/// The first thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Whether something contradicts the proofs; else it is not of the format.
    pub tampered: bool,
    /// The number of the check in docs/audit-format.md §7; 0 if it is none of them.
    pub check: u8,
    /// The first bad entry.
    pub seq: Option<u64>,
    /// Goes on from "Entry <seq>: ".
    pub message: String,
}

impl Fault {
    pub fn tampered(check: u8, message: impl Into<String>) -> Self {
        Self { tampered: true, check, seq: None, message: message.into() }
    }

    pub fn malformed(check: u8, message: impl Into<String>) -> Self {
        Self { tampered: false, check, seq: None, message: message.into() }
    }

    pub(super) fn at(self, seq: u64) -> Self {
        Self { seq: Some(seq), ..self }
    }

    /// As a note says it, of what.
    pub(super) fn of_note(what: &str, error: note::Error) -> Self {
        match error {
            note::Error::Malformed(text) => Self::malformed(2, format!("{what}: {text}")),
            note::Error::Unsigned(text) => Self::tampered(3, format!("{what}: {text}")),
            note::Error::Foreign(text) => Self::tampered(4, format!("{what}: {text}")),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seq {
            Some(seq) => write!(f, "Entry {seq}: {}.", self.message),
            None => write!(f, "{}.", self.message),
        }
    }
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Verdict {
    pub fault: Option<Fault>,
    /// Read, also of a bundle with a fault.
    pub entries: u64,
    /// What is proven, in sentences; empty with a fault.
    pub proven: Vec<String>,
    /// Why not all is proven.
    pub incomplete: Vec<String>,
    /// What no bundle of this kind, checked in this way, says.
    pub not_proven: Vec<String>,
}

impl Verdict {
    pub fn outcome(&self) -> Outcome {
        match &self.fault {
            Some(fault) if fault.tampered => Outcome::Tampered,
            Some(_) => Outcome::Malformed,
            None if self.incomplete.is_empty() => Outcome::Proven,
            None => Outcome::Incomplete,
        }
    }

    /// For a fault found before the bundle was looked at.
    pub fn of(fault: Fault) -> Self {
        Self { fault: Some(fault), ..Self::default() }
    }

    /// For programs.
    pub fn json(&self) -> serde_json::Value {
        let fault = self.fault.as_ref();
        serde_json::json!({
            "verdict": self.outcome(),
            "exit": self.outcome().exit_code(),
            "check": fault.map(|f| f.check).filter(|check| *check > 0),
            "seq": fault.and_then(|f| f.seq),
            "message": fault.map(|f| &f.message),
            "entries": self.entries,
            "proven": self.proven,
            "incomplete": self.incomplete,
            "notProven": self.not_proven,
        })
    }
}

/// For people: what is wrong or proven, one sentence a line.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}",
            match self.outcome() {
                Outcome::Proven => "PROVEN",
                Outcome::Incomplete => "INCOMPLETE: nothing contradicts, but not all is proven",
                Outcome::Malformed => "MALFORMED: this is no bundle of an audit log, or a broken one",
                Outcome::Tampered => "TAMPERED: this is not what the log's key vouches for",
            }
        )?;
        let mut list = |title: &str, sentences: &[String]| {
            if sentences.is_empty() {
                return Ok(());
            }
            writeln!(f, "{title}")?;
            sentences.iter().try_for_each(|sentence| writeln!(f, "  - {sentence}"))
        };
        let fault: Vec<String> = self.fault.iter().map(ToString::to_string).collect();
        list("First thing wrong:", &fault)?;
        list("Proven:", &self.proven)?;
        list("Missing:", &self.incomplete)?;
        list("Not proven:", &self.not_proven)
    }
}
