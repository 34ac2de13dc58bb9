//! The command line.

use std::path::PathBuf;

use anyhow::ensure;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::baseline::Work;
use crate::profile::Seconds;
use crate::tls::Trust;

/// Load-testing harness for keelrow and any RudderStack-compatible endpoint.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version, about)]
pub(crate) struct Cli {
    /// Prints the answer as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Threads that send; one leaves the most of a small machine to the server.
    #[arg(long, global = true, default_value_t = 1)]
    pub(crate) threads: usize,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sends a profile's traffic and measures what comes back.
    Run(Box<RunArgs>),
    /// Serves the bare HTTP server that figures are divided by.
    Baseline(BaselineArgs),
    /// Measures CPU per event of keelrow and of the bare server in interleaved rounds.
    Compare(CompareArgs),
    /// What the default transformations add to taking events in, on against off.
    Cost(CostArgs),
    /// Measures goodput, latency and memory under more load than the server can take.
    Overload(OverloadArgs),
    /// Measures the CPU that loading an event takes, by the size of batches and number of tables.
    Loader(LoaderArgs),
    /// Proves from a lake, and ledgers of what was sent, that every event was loaded once.
    Verify(VerifyArgs),
    /// Kills keelrow again and again under load, then proves that nothing was lost or doubled.
    Crash(CrashArgs),
    /// Sends personal canaries everywhere and searches everything keelrow wrote for them.
    Privacy(PrivacyArgs),
}

/// Options of `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// A shipped profile (single, batch50, batch50-gzip, corpus, event-tables, overload) or a file.
    pub(crate) profile: String,
    /// Address of the server, such as http://127.0.0.1:8080; a path in front is kept.
    #[arg(long, required_unless_present = "keelrow", conflicts_with = "keelrow")]
    pub(crate) url: Option<String>,
    /// Starts this keelrow in a folder of its own instead.
    #[arg(long)]
    pub(crate) keelrow: Option<PathBuf>,
    /// Takes sources and write keys from this configuration; with --keelrow it is served, too.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// Sends everything with this write key.
    #[arg(long)]
    pub(crate) write_key: Option<String>,
    /// Folder of the server started by --keelrow; default: a temporary one.
    #[arg(long, conflicts_with = "url")]
    pub(crate) data: Option<PathBuf>,
    /// Folder of its journal; one in memory shows what the disk's sync costs.
    #[arg(long, conflicts_with = "url")]
    pub(crate) journal: Option<PathBuf>,
    /// Events a second.
    #[arg(long, value_parser = positive)]
    pub(crate) rate: Option<f64>,
    /// How long it is measured.
    #[arg(long, value_parser = lasting)]
    pub(crate) duration: Option<Seconds>,
    /// How long the load runs before.
    #[arg(long)]
    pub(crate) warm_up: Option<Seconds>,
    /// Connections.
    #[arg(long, value_parser = some)]
    pub(crate) connections: Option<usize>,
    /// Closed loop: as fast as answers come, for CPU figures rather than latency.
    #[arg(long, conflicts_with_all = ["rate", "ramp"])]
    pub(crate) closed: bool,
    /// Climbs until a rate is not sustained and reports the highest that was.
    #[arg(long)]
    pub(crate) ramp: bool,
    /// Seed of the traffic; the same seed sends the same events, which a lake that has them leaves out as
    /// repeats. Default: from the clock; the report tells it.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// The admin address of the server at --url, to tell how many events it had already.
    #[arg(long, requires = "url")]
    pub(crate) admin: Option<String>,
    /// The server's process, for its CPU and memory.
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    /// Writes what became of each message id, for `verify`.
    #[arg(long)]
    pub(crate) ledger: Option<PathBuf>,
    /// Verifies conservation afterwards; needs --keelrow.
    #[arg(long, conflicts_with = "url")]
    pub(crate) verify: bool,
    #[command(flatten)]
    pub(crate) trust: Trust,
    /// With --verify: a table that the configuration leaves out, as `verify` has it.
    #[arg(long, value_name = "TABLE", requires = "verify")]
    pub(crate) without: Vec<String>,
    /// Writes the report as a web page.
    #[arg(long)]
    pub(crate) html: Option<PathBuf>,
    /// Writes the report as JSON.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}

/// Options of `baseline`.
#[derive(Debug, Args)]
pub(crate) struct BaselineArgs {
    /// Port of the loopback.
    #[arg(long, default_value_t = 8089)]
    pub(crate) port: u16,
    /// What it does with a body.
    #[arg(long, value_enum, default_value_t = Work::Read)]
    pub(crate) work: Work,
}

/// What `compare` measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measure {
    /// CPU per event by shape of request, beside the bare server's.
    Shapes,
    /// Events a second with the journal on the disk and in memory.
    Sync,
    /// Acknowledgements at half of the highest rate, beside a bare sync.
    Ack,
    /// The time from the start to the first accepted event.
    Start,
    /// The whole product at a fixed rate and as fast as it goes.
    Product,
    /// The loader's CPU per event.
    Loader,
}

/// Options of `compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// The keelrow program.
    #[arg(long)]
    pub(crate) keelrow: PathBuf,
    /// Interleaved rounds.
    #[arg(long, value_parser = some, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Single events of a round; batches send five times as many.
    #[arg(long, value_parser = some, default_value_t = 20_000)]
    pub(crate) events: usize,
    /// Connections of single events; batches use a quarter.
    #[arg(long, value_parser = some, default_value_t = 64)]
    pub(crate) connections: usize,
    /// Threads of the bare server.
    #[arg(long, value_parser = some, default_value_t = 1)]
    pub(crate) baseline_threads: usize,
    /// Events of the batches that the loader is measured with; 0 leaves it out.
    #[arg(long, value_delimiter = ',', default_values_t = [33_000, 1_650])]
    pub(crate) loader_events: Vec<usize>,
    /// Folder of the journal.
    #[arg(long)]
    pub(crate) journal: Option<PathBuf>,
    /// A folder in memory, for the journal whose sync costs nothing.
    #[arg(long, default_value = "/dev/shm")]
    pub(crate) memory: PathBuf,
    /// Events a second of the whole product.
    #[arg(long, value_parser = positive, default_value_t = 30_000.0)]
    pub(crate) product_rate: f64,
    /// How long the whole product is loaded, at that rate and as fast as it goes.
    #[arg(long, value_parser = lasting, default_value = "15s")]
    pub(crate) product_time: Seconds,
    /// Only these measures; default: all.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Measure>,
    /// Writes the tables into this page, between its marks.
    #[arg(long)]
    pub(crate) markdown: Option<PathBuf>,
}

impl CompareArgs {
    /// Whether `measure` was asked for.
    pub(crate) fn does(&self, measure: Measure) -> bool {
        self.only.is_empty() || self.only.contains(&measure)
    }
}

/// Options of `cost`.
#[derive(Debug, Args)]
pub(crate) struct CostArgs {
    /// The keelrow program.
    #[arg(long)]
    pub(crate) keelrow: PathBuf,
    /// Interleaved rounds.
    #[arg(long, value_parser = some, default_value_t = 9)]
    pub(crate) rounds: usize,
    /// Events of a round.
    #[arg(long, value_parser = some, default_value_t = 50_000)]
    pub(crate) events: usize,
    /// Connections.
    #[arg(long, value_parser = some, default_value_t = 16)]
    pub(crate) connections: usize,
}

/// Options of `overload`.
#[derive(Debug, Args)]
pub(crate) struct OverloadArgs {
    /// The keelrow program.
    #[arg(long)]
    pub(crate) keelrow: PathBuf,
    /// Rounds, each with a server of its own.
    #[arg(long, value_parser = some, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// What is asked for, in units of the highest rate.
    #[arg(long, value_parser = positive, default_value_t = 2.0)]
    pub(crate) factor: f64,
    /// How long each rate is measured.
    #[arg(long, value_parser = lasting, default_value = "10s")]
    pub(crate) duration: Seconds,
    /// Connections that look for the highest rate.
    #[arg(long, value_parser = some, default_value_t = 16)]
    pub(crate) connections: usize,
}

/// Options of `loader`.
#[derive(Debug, Args)]
pub(crate) struct LoaderArgs {
    /// The keelrow program.
    #[arg(long)]
    pub(crate) keelrow: PathBuf,
    /// Rounds, each with a server of its own.
    #[arg(long, value_parser = some, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Events of a batch.
    #[arg(long, value_delimiter = ',', default_values_t = [33_000, 1_650])]
    pub(crate) events: Vec<usize>,
    /// Profiles whose events are loaded: 56 event tables in one schema; 262 tables in 14 schemas.
    #[arg(long, value_delimiter = ',', default_values = ["event-tables", "corpus"])]
    pub(crate) profiles: Vec<String>,
}

/// Options of `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// What `run` or `crash` wrote; several may be given.
    #[arg(long)]
    pub(crate) ledger: Vec<PathBuf>,
    /// A table that the configuration leaves out, such as tracks, users or user_events, or only
    /// one schema's, such as shop_prod.tracks; several may be given.
    #[arg(long, value_name = "TABLE")]
    pub(crate) without: Vec<String>,
    /// The lake's folder.
    #[arg(long)]
    pub(crate) lake: PathBuf,
    /// The admin address, such as http://127.0.0.1:8081, to check the books on /metrics as well.
    #[arg(long)]
    pub(crate) admin: Option<String>,
    #[command(flatten)]
    pub(crate) trust: Trust,
}

/// Options of `crash`.
#[derive(Debug, Args)]
pub(crate) struct CrashArgs {
    /// The keelrow program.
    #[arg(long)]
    pub(crate) keelrow: PathBuf,
    /// How often it is killed.
    #[arg(long, default_value_t = 20)]
    pub(crate) rounds: u32,
    /// Seed of the traffic and of the moments of death.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Events a second.
    #[arg(long, value_parser = positive, default_value_t = 3_000.0)]
    pub(crate) rate: f64,
    /// Longest life.
    #[arg(long, value_parser = lasting, default_value = "600ms")]
    pub(crate) life: Seconds,
    /// Keeps everything in this folder; default: a temporary one.
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
}

/// Options of `privacy`.
#[derive(Debug, Args)]
pub(crate) struct PrivacyArgs {
    /// The keelrow program.
    #[arg(long)]
    pub(crate) keelrow: PathBuf,
    /// A configuration of your own to prove; default: the shipped rules.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// Turns the transformations off: the canaries must be found then.
    #[arg(long, conflicts_with = "config")]
    pub(crate) off: bool,
    /// Seed of the canaries.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Kills with SIGKILL in between.
    #[arg(long, default_value_t = 3)]
    pub(crate) kills: u32,
    /// Keeps everything in this folder; default: a temporary one.
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
}

fn positive(text: &str) -> anyhow::Result<f64> {
    let value: f64 = text.parse()?;
    ensure!(value > 0.0 && value.is_finite(), "it must be above 0");
    Ok(value)
}

fn lasting(text: &str) -> anyhow::Result<Seconds> {
    let value: Seconds = text.parse()?;
    ensure!(!value.0.is_zero(), "it must be above 0");
    Ok(value)
}

fn some(text: &str) -> anyhow::Result<usize> {
    let value: usize = text.parse()?;
    ensure!(value > 0, "it must be above 0");
    Ok(value)
}
