//! `keelrow check`: everything that is wrong, at once.

use std::io::{self, Write};

use super::{ConfigFile, Failure};
use crate::app::chains;
use crate::config;

/// Arguments of `keelrow check`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Prints the effective configuration, secrets hidden.
    #[arg(long)]
    show: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (config, faults) = arguments.file.survey()?;
    let mut told: Vec<String> = Vec::new();
    if !faults.list().is_empty() {
        told.push(faults.to_string());
    }
    if let Err(faults) = chains::compile(&config) {
        told.extend(faults);
    }
    if !told.is_empty() {
        return Err(Failure::input(told.join("\n")));
    }
    let mut out = io::stdout().lock();
    if arguments.show {
        out.write_all(config::show(&config).as_bytes())?;
        return Ok(());
    }
    writeln!(out, "{}: {} sources, no faults", config.file.display(), config.sources.len())?;
    Ok(())
}
