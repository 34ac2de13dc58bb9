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
mod interrupt;
mod lake;
mod latency;
mod ledger;
mod metrics;
mod misuse;
mod output;
mod payload;
mod process;
mod profile;
mod ramp;
mod report;
mod rng;
mod schedule;
mod server;
mod tls;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::interrupt::Until;
use crate::output::{Output, failed, say};

/// Done, but what was to be proven does not hold; or the command failed.
const FAILED: u8 = 1;

/// The caller asked for what cannot be; the same as of a wrong option.
const MISUSED: u8 = 2;

/// How a command ended that could do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// What was to be shown holds.
    Holds,
    /// It does not.
    Fails,
    /// A signal came first, and what there is to report is reported.
    CutShort,
}

impl End {
    const fn of(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }

    /// What fails, fails also when it was cut short.
    const fn cut(self, short: bool) -> Self {
        if short && matches!(self, Self::Holds) { Self::CutShort } else { self }
    }
}

fn main() -> ExitCode {
    match server::tied::become_if_asked(std::env::args_os()).and_then(|()| command(&Cli::parse())) {
        Ok(End::Holds) => ExitCode::SUCCESS,
        Ok(End::Fails) => ExitCode::from(FAILED),
        Ok(End::CutShort) => ExitCode::from(interrupt::CUT_SHORT),
        Err(fault) => {
            failed(&fault);
            ExitCode::from(if misuse::is_misuse(&fault) { MISUSED } else { FAILED })
        }
    }
}

fn command(cli: &Cli) -> anyhow::Result<End> {
    let limit = interrupt::listen()?;
    runtime(cli.threads)?.block_on(async {
        tokio::select! {
            end = Box::pin(dispatch(cli, &limit)) => end,
            end = Box::pin(ended(cli, limit.clone())) => Ok(end),
        }
    })
}

/// Waits for the moment at which the command is dropped, and its servers with it. Those that report
/// what they did until a signal came are left to do so by the first.
async fn ended(cli: &Cli, mut limit: interrupt::Limit) -> End {
    let mut until = interrupt::beyond(&mut limit, Until::Planned).await;
    if matches!(cli.command, Command::Run(_) | Command::Crash(_)) && until == Until::Early {
        say("ends early and reports; a second signal ends at once");
        until = interrupt::beyond(&mut limit, until).await;
    }
    if matches!(cli.command, Command::Baseline(_)) {
        // Whoever serves until he is told to end has done all he should.
        return End::Holds;
    }
    say(if until == Until::Now { "ended at once" } else { "ended by a signal" });
    End::CutShort
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

/// Does the command and prints its answer.
async fn dispatch(cli: &Cli, limit: &interrupt::Limit) -> anyhow::Result<End> {
    let mut output = Output::new(cli.json);
    match &cli.command {
        Command::Run(args) => {
            let ran = command::run::run(args, limit).await?;
            output.answer(&ran, command::run::text)?;
            let short = ran.report.cut_short;
            let taken = ran.report.outcome.counts.events_taken;
            anyhow::ensure!(taken > 0 || short, "the server acknowledged no event");
            Ok(End::of(ran.conservation.is_none_or(|report| report.holds())).cut(short))
        }
        Command::Baseline(args) => {
            baseline::serve(args.port, args.work).await?;
            Ok(End::Holds)
        }
        Command::Compare(args) => {
            let compared = command::compare::run(args).await?;
            output.answer(&compared, command::compare::text)?;
            Ok(End::Holds)
        }
        Command::Cost(args) => {
            let cost = command::cost::run(args).await?;
            output.answer(&cost, command::cost::Cost::text)?;
            Ok(End::of(cost.holds))
        }
        Command::Overload(args) => {
            let found = command::overload::run(args).await?;
            output.answer(&found, command::overload::Overloaded::text)?;
            Ok(End::of(found.holds()))
        }
        Command::Loader(args) => {
            let measured = command::loader::run(args).await?;
            output.answer(&measured, command::loader::text)?;
            Ok(End::Holds)
        }
        Command::Verify(args) => {
            let report = command::verify::run(args).await?;
            output.answer(&report, lake::verify::Report::text)?;
            Ok(End::of(report.holds()))
        }
        Command::Crash(args) => {
            let crashed = command::crash::run(args, limit).await?;
            output.answer(&crashed, command::crash::Crashed::text)?;
            Ok(End::of(crashed.holds()).cut(crashed.cut_short))
        }
        Command::Privacy(args) => {
            let proof = command::privacy::run(args).await?;
            output.answer(&proof, command::privacy::Proof::text)?;
            Ok(End::of(proof.holds))
        }
    }
}
