//! Load-testing harness for keelrow and any RudderStack-compatible endpoint.
//!
//! It owns traffic, measuring and proofs; it knows the public contracts (HTTP, files, configuration)
//! and nothing of the program's inside, so that peers are measured by the same yard.

mod baseline;
mod canary;
mod cli;
mod client;
mod clock;
mod command;
mod drive;
mod lake;
mod latency;
mod ledger;
mod metrics;
mod output;
mod payload;
mod process;
mod profile;
mod ramp;
mod report;
mod rng;
mod schedule;
mod server;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::output::{Output, failed};

/// Done, but what was to be proven does not hold.
const FAILED: u8 = 1;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = runtime(cli.threads).and_then(|runtime| dispatch(&runtime, &cli));
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(fault) => {
            failed(&fault);
            ExitCode::from(FAILED)
        }
    }
}

/// One thread by default: what the sender does not use is left to what it measures.
fn runtime(threads: usize) -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = match threads {
        0 | 1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    Ok(builder.enable_all().build()?)
}

/// Answers whether what was to be shown holds.
fn dispatch(runtime: &tokio::runtime::Runtime, cli: &Cli) -> anyhow::Result<bool> {
    let mut output = Output::new(cli.json);
    match &cli.command {
        Command::Run(args) => {
            let ran = runtime.block_on(command::run::run(args))?;
            output.answer(&ran, command::run::text)?;
            let taken = ran.report.outcome.counts.events_taken;
            anyhow::ensure!(taken > 0, "the server acknowledged no event");
            Ok(ran.conservation.is_none_or(|report| report.holds()))
        }
        Command::Baseline(args) => {
            runtime.block_on(baseline::serve(args.port, args.work))?;
            Ok(true)
        }
        Command::Compare(args) => {
            let compared = runtime.block_on(command::compare::run(args))?;
            output.answer(&compared, command::compare::text)?;
            Ok(true)
        }
        Command::Cost(args) => {
            let cost = runtime.block_on(command::cost::run(args))?;
            output.answer(&cost, command::cost::Cost::text)?;
            Ok(cost.holds)
        }
        Command::Overload(args) => {
            let found = runtime.block_on(command::overload::run(args))?;
            output.answer(&found, command::overload::Overloaded::text)?;
            Ok(found.holds())
        }
        Command::Loader(args) => {
            let measured = runtime.block_on(command::loader::run(args))?;
            output.answer(&measured, command::loader::text)?;
            Ok(true)
        }
        Command::Verify(args) => {
            let report = runtime.block_on(command::verify::run(args))?;
            output.answer(&report, lake::verify::Report::text)?;
            Ok(report.holds())
        }
        Command::Crash(args) => {
            let crashed = runtime.block_on(command::crash::run(args))?;
            output.answer(&crashed, command::crash::Crashed::text)?;
            Ok(crashed.holds())
        }
        Command::Privacy(args) => {
            let proof = runtime.block_on(command::privacy::run(args))?;
            output.answer(&proof, command::privacy::Proof::text)?;
            Ok(proof.holds)
        }
    }
}
