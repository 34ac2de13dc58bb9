//! The composition root: from a checked configuration to running services, and back in order.
//!
//! It decides nothing: it gives each component its options, starts them from the bottom up and
//! stops them from the top down, so that all that was acknowledged is in the journal before the
//! loader is told to end.

mod books;
pub mod chains;
mod gauges;
pub mod privacy_key;
mod reload;
mod unified;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use reload::Reloader;

use crate::clock::{Clock, IdSource};
use crate::config::{self, Config};
use crate::event::enrich::ClockGuard;
use crate::http::{self, Edge};
use crate::ingest::{self, Ingest, Live, Services};
use crate::journal::disk::Log;
use crate::journal::{self, Journal};
use crate::limits::RateLimits;
use crate::metrics::Metrics;
use crate::outcome::Books;
use crate::source::Sources;
use crate::storage::{self, Store};
use crate::{columnar, loader, script, warehouse};

/// Why the program does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration, or a transformation it names, is wrong.
    #[error("{}", .0.join("\n"))]
    Config(Vec<String>),
    /// There is no usable privacy key.
    #[error(transparent)]
    PrivacyKey(#[from] privacy_key::Error),
    /// The journal cannot be opened.
    #[error("cannot open the journal")]
    Journal(#[source] journal::Error),
    /// The lake cannot be opened, or belongs to another dialect or key.
    #[error("cannot open the lake")]
    Storage(#[source] storage::Error),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Certificate or key are no good.
    #[error("cannot use the TLS certificate")]
    Tls(#[source] http::tls::Error),
    /// The operating system refuses a thread or a limit.
    #[error("cannot {action}")]
    System {
        /// What.
        action: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// True where the operator must change something before trying again.
    #[must_use]
    pub const fn is_input(&self) -> bool {
        matches!(self, Self::Config(_) | Self::PrivacyKey(_) | Self::Tls(_))
    }
}

/// The running program.
#[derive(Debug)]
pub struct App {
    config: Config,
    ingest: Arc<Ingest>,
    edge_sources: Arc<ArcSwap<Sources>>,
    edge_options: Arc<ArcSwap<config::Http>>,
    journal: Arc<dyn Journal>,
    loader: loader::Handle,
    loader_thread: JoinHandle<()>,
    public: SocketAddr,
    admin: SocketAddr,
    shutdown: CancellationToken,
    servers: TaskTracker,
    tasks: TaskTracker,
    reloads: Arc<gauges::Reloads>,
}

/// What the services draw on.
#[derive(Clone, Debug)]
pub struct World {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids.
    pub ids: Arc<dyn IdSource>,
}

impl App {
    /// Starts everything. Call it on a multi-threaded runtime.
    ///
    /// # Errors
    /// See [`Error`]; nothing is left running.
    pub async fn start(config: Config, world: World) -> Result<Self, Error> {
        forbid_core_dumps()?;
        let chains = chains::compile(&config).map_err(Error::Config)?;
        let public = listen(config.http.listen).await?;
        let admin = listen(config.admin.listen).await?;
        let (pseudonyms, made) = privacy_key::load(&config, &*world.ids)?;
        if let Some(path) = made {
            tracing::warn!(path = %path.display(), "made a new privacy key; keep a copy of it");
        }
        let store = open_store(&config, pseudonyms.fingerprint()).await?;
        let journal = open_journal(&config, &world).await?;
        let sources = Arc::new(Sources::new(&config.sources));
        let books = Books::new();
        let counts = Arc::<ingest::Counts>::default();
        let services = Services {
            clock: Arc::clone(&world.clock),
            ids: Arc::clone(&world.ids),
            journal: Arc::clone(&journal),
            pseudonyms,
            limits: limits(&config),
            scripts: script_limits(&config),
            rates: RateLimits::new(Arc::clone(&world.clock), sources.list()),
            books: books.clone(),
            counts: Arc::clone(&counts),
        };
        let start = journal.state();
        let live = Live { sources: Arc::clone(&sources), chains };
        let system = |action| move |source| Error::System { action, source };
        let ingest = Ingest::new(services, live, workers()).map_err(system("start threads"))?;
        let ingest = Arc::new(ingest);
        let (loader, loader_thread) = start_loader(&config, &world, &journal, store)?;
        let metrics = Metrics::new();
        let stats = Arc::new(http::Stats::new());
        let reloads = Arc::<gauges::Reloads>::default();
        metrics.collect(books::Collector::new(books, loader.clone(), &journal, &start));
        metrics.collect(ingest::CountsCollector(counts));
        metrics.collect(gauges::Journal(Arc::clone(&journal)));
        metrics.collect(gauges::Loader(loader.clone()));
        metrics.collect(gauges::ReloadsCollector(Arc::clone(&reloads)));
        metrics.collect(http::StatsCollector(Arc::clone(&stats)));
        let mut app = Self {
            edge_sources: Arc::new(ArcSwap::new(sources)),
            edge_options: Arc::new(ArcSwap::from_pointee(config.http.clone())),
            public: address(&public)?,
            admin: address(&admin)?,
            config,
            ingest,
            journal,
            loader,
            loader_thread,
            shutdown: CancellationToken::new(),
            servers: TaskTracker::new(),
            tasks: TaskTracker::new(),
            reloads,
        };
        app.serve(public, admin, &world, metrics, stats)?;
        Ok(app)
    }

    fn serve(
        &mut self,
        public: TcpListener,
        admin: TcpListener,
        world: &World,
        metrics: Metrics,
        stats: Arc<http::Stats>,
    ) -> Result<(), Error> {
        let tls = self.config.http.tls.as_ref().map(http::tls::acceptor);
        let tls = tls.transpose().map_err(Error::Tls)?;
        let edge = Edge::new(http::Parts {
            pipeline: Arc::clone(&self.ingest),
            sources: Arc::clone(&self.edge_sources),
            options: Arc::clone(&self.edge_options),
            clock: Arc::clone(&world.clock),
            ids: Arc::clone(&world.ids),
            tasks: self.tasks.clone(),
            stats: Arc::clone(&stats),
        });
        let token = self.config.admin.token.clone();
        let more = axum_router();
        let operators = http::admin::Admin::new(Arc::clone(&self.ingest), metrics, token, more);
        let limits = self.server_limits();
        let own = Arc::new(http::Stats::new());
        let server = http::server::Server { listener: public, tls, limits, stats };
        self.servers.spawn(server.run(edge, self.shutdown.clone()));
        let server = http::server::Server { listener: admin, tls: None, limits, stats: own };
        self.servers.spawn(server.run(operators, self.shutdown.clone()));
        Ok(())
    }
}
