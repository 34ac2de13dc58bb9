//! The composition root: from a checked configuration to running services, and back in order.
//!
//! It decides nothing: it gives each component its options, starts them from the bottom up and
//! stops them from the top down, so that all that was acknowledged is in the journal before the
//! loader is told to end.

pub mod books;
pub mod chains;
mod gauges;
mod load;
pub mod privacy_key;
mod reload;
pub mod suppression;
pub mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use load::{loaded_to, settings as load_settings};
pub use reload::{Prints, Reloader};

use crate::clock::{Clock, IdSource};
use crate::config::{self, Config, Finding};
use crate::event::enrich::ClockGuard;
use crate::http::server::Lanes;
use crate::http::{self, Edge};
use crate::ingest::{self, Ingest, Live, Services};
use crate::journal::disk::Log;
use crate::journal::{self, Journal};
use crate::limits::RateLimits;
use crate::metrics::Metrics;
use crate::outcome::Books;
use crate::source::Sources;
use crate::storage::{self, Store};
use crate::{loader, script};

/// Why the program does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration, or a transformation or certificate it names, is wrong.
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
        matches!(
            self,
            Self::Config(_)
                | Self::PrivacyKey(_)
                | Self::Storage(
                    storage::Error::Dialect { .. }
                        | storage::Error::KeyFingerprint { .. }
                        | storage::Error::Address { .. }
                )
        )
    }
}

impl Error {
    /// True where trying again later may help: the lake is away, or another process still holds
    /// the journal.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Storage(error) => error.class() == storage::Class::Retry,
            Self::Journal(journal::Error::Locked { .. }) => true,
            _ => false,
        }
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
    tls: Option<http::tls::Acceptor>,
    /// Ends after all that was begun on its threads.
    lanes: Arc<Lanes>,
    shutdown: CancellationToken,
    servers: TaskTracker,
    tasks: TaskTracker,
    reloads: Arc<gauges::Reloads>,
    settings: load::Shared,
    /// The files that the configuration names, as they were before they were read.
    read: Prints,
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
        allow_open_files();
        // For all that speaks TLS here; a second start in one process finds it installed.
        rustls::crypto::ring::default_provider().install_default().ok();
        let wrong = |faults: Vec<Finding>| Error::Config(Finding::lines(&faults));
        let (chains, read) = reload::compile(&config).map_err(wrong)?;
        let tls = tls::read(&config).map_err(wrong)?.map(http::tls::Acceptor::new);
        let (public, public_at) = listen(config.http.listen).await?;
        let (admin, admin_at) = listen(config.admin.listen).await?;
        let (pseudonyms, made) = privacy_key::load(&config, &*world.ids)?;
        if let Some(path) = made {
            tracing::warn!(path = %path.display(), "made a new privacy key; keep a copy of it");
        }
        let suppression = suppression::load(&config, &pseudonyms).map_err(Error::Config)?;
        let (store, journal) = open_both(&config, &world, pseudonyms.fingerprint()).await?;
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
        let live = Live { sources: Arc::clone(&sources), chains, suppression };
        let system = |action| move |source| Error::System { action, source };
        let ingest = Ingest::new(services, live, workers()).map_err(system("start threads"))?;
        let ingest = Arc::new(ingest);
        let lanes = Lanes::start(ingest_threads()).map_err(system("start threads"))?;
        let settings = Arc::new(ArcSwap::from_pointee(load::settings(&config)));
        let (loader, loader_thread) = load::start(&config, &world, &journal, store, &settings)?;
        let collector = earlier_books(&loader, &journal, books).await;
        let metrics = Metrics::new();
        let stats = Arc::new(http::Stats::new());
        let reloads = Arc::<gauges::Reloads>::default();
        metrics.collect(collector);
        metrics.collect(counts);
        metrics.collect(gauges::Rules(Arc::clone(&ingest)));
        metrics.collect(gauges::Journal(Arc::clone(&journal)));
        metrics.collect(gauges::Loader(loader.clone()));
        metrics.collect(Arc::clone(&reloads));
        metrics.collect(Arc::clone(&stats));
        let mut app = Self {
            edge_sources: Arc::new(ArcSwap::new(sources)),
            edge_options: Arc::new(ArcSwap::from_pointee(config.http.clone())),
            public: public_at,
            admin: admin_at,
            tls,
            lanes: Arc::new(lanes),
            config,
            ingest,
            journal,
            loader,
            loader_thread,
            shutdown: CancellationToken::new(),
            servers: TaskTracker::new(),
            tasks: TaskTracker::new(),
            reloads,
            settings,
            read,
        };
        app.serve(public, admin, &world, metrics, stats);
        Ok(app)
    }

    fn serve(
        &mut self,
        public: TcpListener,
        admin: TcpListener,
        world: &World,
        metrics: Metrics,
        stats: Arc<http::Stats>,
    ) {
        let edge = Edge::new(http::Parts {
            pipeline: Arc::clone(&self.ingest),
            sources: Arc::clone(&self.edge_sources),
            options: Arc::clone(&self.edge_options),
            clock: Arc::clone(&world.clock),
            ids: Arc::clone(&world.ids),
            tasks: self.tasks.clone(),
            stats: Arc::clone(&stats),
            lanes: self.lanes.count(),
        });
        let token = self.config.admin.token.clone();
        let operators = http::admin::Admin::new(Arc::clone(&self.ingest), metrics, token);
        let limits = self.server_limits();
        let own = Arc::new(http::Stats::new());
        let lanes = Arc::clone(&self.lanes);
        lanes.on_each(|lane| {
            let (edge, shutdown) = (edge.clone(), self.shutdown.clone());
            self.servers.track_future(async move { edge.keep_in_time(lane, shutdown).await })
        });
        let (clock, tls) = (Arc::clone(&world.clock), self.tls.clone());
        let server = http::server::Server { listener: public, tls, limits, lanes, clock, stats };
        self.servers.spawn(server.run(edge, self.shutdown.clone()));
        let (listener, lanes) = (admin, Arc::default());
        let clock = Arc::clone(&world.clock);
        let server = http::server::Server { listener, tls: None, limits, lanes, clock, stats: own };
        self.servers.spawn(server.run(operators, self.shutdown.clone()));
    }

    fn server_limits(&self) -> http::server::Limits {
        let http = &self.config.http;
        http::server::Limits {
            connections_max: http.max_connections,
            header_timeout: http.header_timeout,
            idle_timeout: http.idle_timeout,
            drain: self.config.shutdown.deadline / 2,
            rest_bytes_max: http.max_body as u64,
        }
    }

    /// Where events are taken.
    #[must_use]
    pub const fn public(&self) -> SocketAddr {
        self.public
    }

    /// Where operators look.
    #[must_use]
    pub const fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Asks the loader things.
    #[must_use]
    pub const fn loader(&self) -> &loader::Handle {
        &self.loader
    }

    /// What takes over a changed configuration. `before` is of the configuration's file, from before
    /// it was read.
    #[must_use]
    pub fn reloader(&self, environment: config::Environment, before: Prints) -> Reloader {
        Reloader {
            running: self.config.clone(),
            config: self.config.clone(),
            environment,
            ingest: Arc::clone(&self.ingest),
            sources: Arc::clone(&self.edge_sources),
            options: Arc::clone(&self.edge_options),
            tls: self.tls.clone(),
            settings: Arc::clone(&self.settings),
            counts: Arc::clone(&self.reloads),
            seen: self.read.clone().join(before),
            wanted: std::collections::BTreeSet::new(),
        }
    }

    /// Stops in order, within `shutdown.deadline`: no more requests, what is acknowledged made
    /// durable, the open batch committed if there is time.
    pub async fn stop(self) {
        let deadline = self.config.shutdown.deadline;
        let started = tokio::time::Instant::now();
        let left = move || deadline.saturating_sub(started.elapsed());
        self.shutdown.cancel();
        self.servers.close();
        let served = tokio::time::timeout(left(), async {
            self.servers.wait().await;
            self.tasks.close();
            self.tasks.wait().await;
            self.ingest.drain().await;
        });
        if served.await.is_err() {
            tracing::warn!("requests were still open at the deadline");
        }
        let (loader, journal, thread) = (self.loader, self.journal, self.loader_thread);
        let stopped = tokio::task::spawn_blocking(move || {
            // Some of the time is the journal's, to let go of its files.
            let ended = loader.shutdown(left().saturating_sub(CLOSING));
            journal.close();
            if ended {
                // A panic of that thread is in the log already.
                drop(thread.join());
            } else {
                tracing::warn!("the open batch is left for the next start");
            }
        });
        if tokio::time::timeout(left(), stopped).await.is_err() {
            tracing::warn!(
                "gave up waiting at the deadline; the journal has all that was accepted"
            );
        }
    }
}

/// Time kept for closing the journal at the end.
const CLOSING: Duration = Duration::from_millis(500);
/// How long the start waits for the loader to find its place, so that the books are whole from the
/// first scrape. A store that is down must not keep events out.
const RECOVERY: Duration = Duration::from_secs(2);

/// A crash must not write the memory, with events in it, to a disk.
fn forbid_core_dumps() -> Result<(), Error> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none)
        .map_err(|error| Error::System { action: "forbid core dumps", source: error.into() })
}

/// Each connection is an open file: takes all that the system grants.
fn allow_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let granted = getrlimit(Resource::Nofile).maximum;
    // Where it is refused, fewer connections fit; the listener says so then.
    setrlimit(Resource::Nofile, Rlimit { current: granted, maximum: granted }).ok();
}

/// Threads that serve connections: half of the processors, since loading an event takes more time
/// than taking it in.
fn ingest_threads() -> usize {
    workers().div_ceil(2)
}

fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}

/// The listener, and the address that the system gave it.
async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let given = listener.local_addr().map_err(failed)?;
    Ok((listener, given))
}

/// Runs what blocks beside the runtime's own threads.
async fn blocking<T: Send + 'static>(
    action: &'static str,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|failed| {
        Err(Error::System { action, source: std::io::Error::other(failed) })
    })
}

/// Opens lake and journal side by side: a new journal's first segment is laid in zeros, the lake may
/// be far away.
async fn open_both(
    config: &Config,
    world: &World,
    fingerprint: String,
) -> Result<(Store, Arc<dyn Journal>), Error> {
    match tokio::join!(open_store(config, fingerprint), open_journal(config, world)) {
        (Ok(store), Ok(journal)) => Ok((store, journal)),
        (Err(error), Ok(journal)) => {
            // The next start may follow at once, and must find it free.
            let close = move || {
                journal.close();
                Ok(())
            };
            blocking("close the journal", close).await?;
            Err(error)
        }
        (_, Err(error)) => Err(error),
    }
}

async fn open_store(config: &Config, fingerprint: String) -> Result<Store, Error> {
    let (url, dialect) = (config.storage.url.clone(), config.load.dialect);
    let key_id = config.privacy.key_id;
    let runtime = tokio::runtime::Handle::current();
    blocking("open the lake", move || {
        let store = Store::open(&url, &runtime).map_err(Error::Storage)?;
        storage::lake::claim_dialect(&store, dialect).map_err(Error::Storage)?;
        storage::lake::claim_privacy_key(&store, key_id, &fingerprint).map_err(Error::Storage)?;
        Ok(store)
    })
    .await
}

async fn open_journal(config: &Config, world: &World) -> Result<Arc<dyn Journal>, Error> {
    let options = journal::disk::Options {
        commit_delay: config.journal.commit_delay,
        keep: config.journal.keep,
        loaded: loaded_to(&config.journal.path),
        ..journal::disk::Options::new(config.journal.path.clone(), config.node.name.clone())
            .within(config.journal.max_bytes)
    };
    let (clock, ids) = (Arc::clone(&world.clock), Arc::clone(&world.ids));
    blocking("open the journal", move || {
        let log = Log::open(options, clock, ids).map_err(Error::Journal)?;
        Ok(Arc::new(log) as Arc<dyn Journal>)
    })
    .await
}

fn limits(config: &Config) -> ingest::Limits {
    ingest::Limits {
        event_bytes_max: config.http.max_event,
        batch_events_max: config.http.max_batch_events,
        rejected_bytes_max: ingest::REJECTED_BYTES_MAX,
        group_bytes_max: ingest::GROUP_BYTES_MAX,
        clock_guard: ClockGuard { max_future: config.clock.max_future, min: config.clock.min },
    }
}

/// What one call of a script may take; the same for `serve` and `keelrow transform`.
#[must_use]
pub fn script_limits(config: &Config) -> script::Limits {
    script::Limits {
        cpu_per_call: config.scripts.cpu_per_call,
        memory_bytes: config.scripts.memory,
        result_bytes: config.http.max_event,
        ..script::Limits::default()
    }
}

/// Counts what earlier runs took in, now if the lake answers soon or the loader left a note, else
/// once it answers or the loader has stopped.
async fn earlier_books(
    loader: &loader::Handle,
    journal: &Arc<dyn Journal>,
    live: Books,
) -> books::Collector {
    let (handle, log) = (loader.clone(), Arc::clone(journal));
    let start = journal.state().durable;
    let count = move |patience| {
        // Where it does not answer, the note counts.
        let _is_recovered = handle.wait_recovered(patience);
        books::open(&handle, &*log, start)
    };
    let soon = tokio::task::spawn_blocking({
        let count = count.clone();
        move || count(RECOVERY)
    });
    let ledger = soon.await.ok().flatten();
    let missing = ledger.is_none();
    let collector = books::Collector::new(live, loader.clone(), Arc::clone(journal), ledger);
    if missing {
        let late = collector.late();
        std::thread::spawn(move || count(Duration::MAX).map(late));
    }
    collector
}
