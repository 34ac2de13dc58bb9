//! The commands: arguments in, exit code out.
//!
//! 0 done, 1 failed, 2 the input or configuration is wrong, 75 try again.

mod cases;
mod check;
mod columns;
mod dbt;
mod demo;
mod journal;
mod map;
mod progress;
mod replay;
mod schema;
mod serve;
mod sql;
mod tables;
mod transform;
mod transformations;
mod unified;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::clock::System;
use crate::{config, storage};

/// The input or the configuration is wrong.
const WRONG_INPUT: u8 = 2;
/// It may go better later (`EX_TEMPFAIL` of sysexits.h).
const TRY_AGAIN: u8 = 75;

/// An event gateway: SDK events in, personal data out, columnar files for any warehouse.
#[derive(Debug, Parser)]
#[command(name = "keelrow", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts on built-in settings, posts sample traffic and shows what becomes of it.
    Demo(demo::Arguments),
    /// Runs the gateway.
    Serve(serve::Arguments),
    /// Checks the whole configuration; exit 2 on a fault.
    Check(check::Arguments),
    /// Shows the rows that events become, one line for each line.
    Map(map::Options),
    /// Shows the tables of the lake: columns, types, rows, sizes, growth, variants.
    Tables(tables::Arguments),
    /// Writes a dbt project over the tables of the lake.
    Dbt(dbt::Arguments),
    /// Finds likely typos among the columns of the unified tables.
    Columns(columns::Arguments),
    /// Checks and reads the journal, beside a running gateway or without one; changes nothing.
    Journal {
        #[command(subcommand)]
        command: journal::Command,
    },
    /// Prints what a warehouse runs to have the lake: tables, loads, users, views.
    Sql(sql::Arguments),
    /// Makes the files of committed batches again from the journal; verifies or restores them.
    ///
    /// It opens the journal as the gateway does: while that runs, it is refused with exit code 75.
    Replay(replay::Arguments),
    /// Tells what a change of configuration or data does to columns.
    Schema(schema::Arguments),
    /// Fills a unified table from what the lake already holds.
    Unified(unified::Arguments),
    /// Applies a source's transformations to events or requests, and nothing else.
    Transform(transformations::Arguments),
    /// Prints the API document.
    Openapi,
    /// Prints completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Why a command failed, and with which exit code.
#[derive(Debug)]
struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    fn input(text: impl Into<String>) -> Self {
        Self { code: WRONG_INPUT, text: text.into() }
    }

    fn other(error: &dyn std::error::Error) -> Self {
        Self { code: 1, text: chain(error) }
    }

    /// A file or folder cannot be written.
    fn unwritable(path: &Path, error: &io::Error) -> Self {
        Self { code: 1, text: format!("cannot write {}: {error}", path.display()) }
    }

    /// The lake cannot be looked at.
    fn away(url: &str, error: &io::Error) -> Self {
        Self { code: TRY_AGAIN, text: format!("the lake at {url} cannot be read: {error}") }
    }

    /// The lake failed: what may pass is to be tried again.
    fn storage(error: &storage::Error) -> Self {
        let code = if error.class() == storage::Class::Retry { TRY_AGAIN } else { 1 };
        Self { code, text: chain(error) }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::other(&error)
    }
}

/// Writes a file, and makes the folders that it lies in.
fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let written = made.and_then(|()| std::fs::write(path, text));
    written.map_err(|error| Failure::unwritable(path, &error))
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nothing is left to be done about an error of printing.
            error.print().ok();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(WRONG_INPUT));
        }
    };
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough.
        Err(failure) if failure.text.contains("Broken pipe") => ExitCode::SUCCESS,
        Err(failure) => {
            writeln!(io::stderr(), "keelrow: {}", failure.text).ok();
            ExitCode::from(failure.code)
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Map(options) => {
            let system = System::new();
            let (input, output) = (io::stdin().lock(), io::BufWriter::new(io::stdout().lock()));
            let populate_context = std::env::var_os(map::POPULATE_CONTEXT)
                .map(|value| value.to_string_lossy().into_owned());
            let world = map::World { populate_context, clock: &system, ids: &system };
            map::run(&options, input, output, &world)
                .map_err(|error| Failure { code: error.exit_code(), text: chain(&error) })
        }
        Command::Tables(arguments) => tables::run(&arguments),
        Command::Dbt(arguments) => dbt::run(&arguments),
        Command::Columns(arguments) => columns::run(&arguments),
        Command::Journal { command } => journal::run(&command),
        Command::Sql(arguments) => sql::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Unified(arguments) => unified::run(&arguments),
        Command::Transform(arguments) => transformations::run(&arguments),
        Command::Openapi => {
            let mut out = io::stdout().lock();
            out.write_all(crate::http::OPENAPI.as_bytes())?;
            out.flush()?;
            Ok(())
        }
        Command::Completions { shell } => {
            // The generator panics where writing fails: a list takes all of it.
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "keelrow", &mut text);
            let mut out = io::stdout().lock();
            out.write_all(&text)?;
            out.flush()?;
            Ok(())
        }
    }
}

/// Where the configuration is.
#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "keelrow.toml")]
    config: PathBuf,
}

impl ConfigFile {
    /// Reads and checks it, with the variables of the process.
    fn load(&self) -> Result<config::Config, Failure> {
        config::load(&self.config, &config::environment())
            .map_err(|faults| Failure::input(faults.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a/b.txt");
        write_file(&file, "1").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "1");
        let below = file.join("c.txt");
        let failure = write_file(&below, "2").unwrap_err();
        assert_eq!(failure.code, 1);
        assert!(failure.text.contains(below.to_str().unwrap()), "{}", failure.text);
    }
}
