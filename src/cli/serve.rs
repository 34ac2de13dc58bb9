//! `keelrow serve`: runs until it is told to stop.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal};
use std::panic;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::{ConfigFile, Failure, TRY_AGAIN, chain};
use crate::app::{App, Prints, Reloader, World};
use crate::clock::System;
use crate::config::{self, Config, Watcher};

/// Arguments of `keelrow serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// Writes log lines as JSON.
    #[arg(long)]
    log_json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let before = Prints::of_file(&arguments.file.config);
    let config = arguments.file.load()?;
    start_logging(arguments.log_json);
    let runtime = runtime()?;
    let served = runtime.block_on(serve(config, before));
    // What the stop gave up waiting for, such as a disk that hangs, is not waited for here either.
    runtime.shutdown_background();
    served
}

/// Log lines go to standard error; events and secrets are in none of them. So a panic is told without
/// its message, which may quote what was in work.
pub(super) fn start_logging(json: bool) {
    let builder = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_max_level(tracing::Level::INFO)
        .with_target(false);
    // A second start in one process, as tests have, keeps the first's.
    if json {
        builder.json().try_init().ok()
    } else {
        builder.try_init().ok()
    };
    panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let at = panic.location().map(tracing::field::display);
        let trace = Backtrace::capture();
        let asked_for = trace.status() == BacktraceStatus::Captured;
        let trace = asked_for.then(|| tracing::field::display(trace));
        tracing::error!(thread = thread.name(), at, trace, "a thread panicked");
    }));
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("keelrow")
        .build()
        .map_err(Failure::from)
}

/// The real clock and randomness.
pub(super) fn world() -> World {
    let system = Arc::new(System::new());
    World { clock: Arc::<System>::clone(&system), ids: system }
}

/// Starts the program, with the exit code that fits the reason where it does not start.
pub(super) async fn start(config: Config) -> Result<App, Failure> {
    App::start(config, world()).await.map_err(|error| {
        let code = if error.is_input() {
            super::WRONG_INPUT
        } else if error.may_pass() {
            TRY_AGAIN
        } else {
            1
        };
        Failure { code, text: chain(&error) }
    })
}

async fn serve(config: Config, before: Prints) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let app = start(config).await?;
    // Whoever reads the line may change a file at once.
    let mut reloader = app.reloader(config::environment(), before);
    tracing::info!(public = %app.public(), admin = %app.admin(), "accepting events");
    until_told(&mut signals, &mut reloader).await;
    tracing::info!("stopping");
    app.stop().await;
    Ok(())
}

/// What the program listens to from its surroundings.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// How long files must have been left alone before they are read: an editor or a deployment may
/// empty a file first and fill it afterwards.
const SETTLE_TIME: Duration = Duration::from_millis(300);
/// They are read all the same after so long: something beside them may be written all the time.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(3);

/// When files that change have been left alone for long enough.
#[derive(Debug)]
struct Settling {
    since: Instant,
    last: Instant,
}

impl Settling {
    /// Notes a change at `now`, one of several since `before` or the first.
    fn after(before: Option<Self>, now: Instant) -> Self {
        Self { since: before.map_or(now, |before| before.since), last: now }
    }

    fn over(&self) -> Instant {
        (self.last + SETTLE_TIME).min(self.since + SETTLE_TIME_MAX)
    }
}

/// Returns on SIGTERM or SIGINT; takes over the configuration on SIGHUP and when a file changes.
pub(super) async fn until_told(signals: &mut Signals, reloader: &mut Reloader) {
    let mut watched = reloader.watched().1;
    let mut watcher = watch(reloader);
    // What changed before the folders were watched.
    let mut settling = Some(Settling::after(None, Instant::now()));
    loop {
        let settles = async {
            match settling.as_ref().map(Settling::over) {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let changed = async {
            match &mut watcher {
                Some(watcher) => watcher.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = signals.terminate.recv() => return,
            _ = signals.interrupt.recv() => return,
            _ = signals.hangup.recv() => {
                reloader.reload();
            }
            () = changed => {
                settling = Some(Settling::after(settling.take(), Instant::now()));
            }
            () = settles => {
                settling = None;
                reloader.reload_if_changed();
            }
        }
        let now = reloader.watched().1;
        if now != watched {
            watcher = watch(reloader);
            watched = now;
            // As at the start.
            settling = Some(Settling::after(None, Instant::now()));
        }
    }
}

fn watch(reloader: &Reloader) -> Option<Watcher> {
    let (file, folders) = reloader.watched();
    let watcher = Watcher::new(file, folders.iter().map(std::path::PathBuf::as_path));
    watcher.map_err(|error| tracing::warn!(error = chain(&error), "reload by SIGHUP only")).ok()
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread;

    use super::{Instant, SETTLE_TIME, SETTLE_TIME_MAX, Settling};

    const AGAIN: &str = "KEELROW_TEST_PANICS";

    #[test]
    fn files_are_read_once_they_are_left_alone_or_at_last() {
        let start = Instant::now();
        let mut settling = Settling::after(None, start);
        assert_eq!(settling.over(), start + SETTLE_TIME);
        let mut now = start;
        while now < settling.over() {
            settling = Settling::after(Some(settling), now);
            now += SETTLE_TIME / 2;
        }
        assert_eq!(settling.over(), start + SETTLE_TIME_MAX);
    }

    /// In a process of its own, since the hook is the process's.
    #[test]
    fn a_panic_is_logged_without_its_message() {
        if std::env::var_os(AGAIN).is_some() {
            super::start_logging(true);
            let panics = || panic!("within {:?}", "kim@example.org");
            let thread = thread::Builder::new().name("ingest-0".to_owned()).spawn(panics);
            thread.unwrap().join().unwrap_err();
            return;
        }
        let ran = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "cli::serve::tests::a_panic_is_logged_without_its_message"])
            .arg("--nocapture")
            .env(AGAIN, "1")
            .output()
            .unwrap();
        let log = String::from_utf8(ran.stderr).unwrap();
        assert!(ran.status.success() && log.contains("src/cli/serve.rs:"), "{log}");
        assert!(log.contains("\"thread\":\"ingest-0\"") && !log.contains("kim@"), "{log}");
    }
}
