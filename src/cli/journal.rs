//! `keelrow journal`: checks and reads the journal's folder, beside the program that writes to it or
//! without it. Changes nothing.

mod dump;
mod verify;

use std::path::Path;

use super::{Failure, TRY_AGAIN, WRONG_INPUT, chain};
use crate::journal::Error;

/// How often a look is taken again when a segment is given back under it.
const LOOKS: usize = 5;

/// What to do with the journal.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Reads every record and tells what is there and what is lost; exit 1 if anything is.
    Verify(verify::Arguments),
    /// Prints the records for a person, without their payloads unless asked for.
    Dump(dump::Arguments),
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Verify(arguments) => verify::run(arguments),
        Command::Dump(arguments) => dump::run(arguments),
    }
}

/// Refuses a folder that is no journal: looking does not make one.
fn check_folder(folder: &Path) -> Result<(), Failure> {
    if folder.is_dir() {
        return Ok(());
    }
    Err(Failure::input(format!("there is no journal at {}", folder.display())))
}

/// Takes a look, and another one if the program that writes gave a segment back meanwhile.
fn look<T>(mut one: impl FnMut() -> Result<T, Error>) -> Result<T, Failure> {
    let mut looks = LOOKS;
    loop {
        looks -= 1;
        match one() {
            Err(Error::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound && looks > 0 => {}
            outcome => return outcome.map_err(|error| failure(&error)),
        }
    }
}

fn failure(error: &Error) -> Failure {
    let code = match error {
        Error::Trimmed { .. } | Error::Ahead { .. } => WRONG_INPUT,
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => TRY_AGAIN,
        _ => 1,
    };
    Failure { code, text: chain(error) }
}
