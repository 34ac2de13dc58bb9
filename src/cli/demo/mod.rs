//! `keelrow demo`: the newcomer's first minute.
//!
//! Starts the whole product on built-in settings, posts sample traffic over real HTTP, waits for
//! the first batch and shows what became of it: the tables, the unified rows of each environment,
//! and that the personal data is in no file. Then it goes on serving.

mod show;
mod traffic;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::serve::{Signals, runtime, start, start_logging, until_told};
use super::{Failure, chain};
use crate::app::{App, Prints};
use crate::config::{self, Config};

/// Arguments of `keelrow demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Folder of the journal and the lake.
    #[arg(long, value_name = "DIR", default_value = "keelrow-data")]
    folder: PathBuf,
    /// Address of the gateway.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Address of metrics and health.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    admin_listen: SocketAddr,
    /// Stops once everything was shown.
    #[arg(long)]
    once: bool,
}

/// How long the first batch may take.
const COMMIT_LIMIT: Duration = Duration::from_secs(30);

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = configuration(arguments)?;
    start_logging(false);
    runtime()?.block_on(demo(arguments, config))
}

fn configuration(arguments: &Arguments) -> Result<Config, Failure> {
    let text = include_str!("keelrow.toml");
    let mut config = config::parse(text, Path::new("demo.toml"), &config::Environment::new())
        .map_err(|faults| Failure::input(faults.to_string()))?;
    config.journal.path = arguments.folder.join("journal");
    config.storage.url = arguments.folder.join("lake").display().to_string();
    config.http.listen = arguments.listen;
    config.admin.listen = arguments.admin_listen;
    Ok(config)
}

async fn demo(arguments: &Arguments, config: Config) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let before = Prints::of_file(&config.file);
    let lake = arguments.folder.join("lake");
    let app = start(config).await?;
    writeln!(io::stdout().lock(), "keelrow listens on http://{}\n", app.public())?;
    let shown = present(&app, &lake, &arguments.folder.join("journal")).await;
    if arguments.once || shown.is_err() {
        app.stop().await;
        return shown;
    }
    show::next_steps(app.public(), app.admin(), &arguments.folder)?;
    let mut reloader = app.reloader(config::environment(), before);
    until_told(&mut signals, &mut reloader).await;
    app.stop().await;
    Ok(())
}

/// Posts, waits for the batch, shows.
async fn present(app: &App, lake: &Path, journal: &Path) -> Result<(), Failure> {
    let posted = traffic::post(app.public()).await.map_err(|error| Failure {
        code: 1,
        text: format!("sample traffic: {}", chain(&*error)),
    })?;
    writeln!(
        io::stdout().lock(),
        "posted {posted} events of web, desktop and mobile to prod, rc and qa"
    )?;
    let loader = app.loader().clone();
    let flushed = tokio::task::spawn_blocking(move || loader.flush(COMMIT_LIMIT));
    if !flushed.await.unwrap_or(false) {
        let text = format!("no batch was committed within {} s", COMMIT_LIMIT.as_secs());
        return Err(Failure { code: 1, text });
    }
    show::all(lake, journal)
}
