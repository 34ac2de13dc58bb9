//! The checked configuration: plain data, every value within its limits.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::address::{Proxy, PublicUrl};
use crate::clock::Timestamp;
use crate::units::Rate;

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The value, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Everything, checked. Only the composition root holds one.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file it came from; rule packs beside it win over the built-in ones.
    pub file: PathBuf,
    /// `[node]`
    pub node: Node,
    /// `[http]`, the public listener.
    pub http: Http,
    /// `[http] admin_*`
    pub admin: Admin,
    /// `[journal]`
    pub journal: Journal,
    /// `[storage]`
    pub storage: Storage,
    /// `[load]`
    pub load: Load,
    /// `[dedup]`
    pub dedup: Dedup,
    /// `[clock]`
    pub clock: Clock,
    /// `[privacy]`
    pub privacy: Privacy,
    /// `[scripts]`
    pub scripts: Scripts,
    /// `[shutdown]`
    pub shutdown: Shutdown,
    /// `[[source]]`
    pub sources: Vec<Source>,
    /// `[[unified]]`
    pub unified: Vec<Unified>,
    /// `[[column]]`
    pub columns: Vec<Column>,
}

/// This process among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Begins the writer id; letters, digits, `.`, `_` and `-`.
    pub name: String,
}

/// The public listener and what a client may ask of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Address and port.
    pub listen: SocketAddr,
    /// The address that configuration calls hand out.
    pub public_url: Option<PublicUrl>,
    /// Peers whose `X-Forwarded-*` headers are believed.
    pub trusted_proxies: Vec<Proxy>,
    /// Bytes of a body, as sent and as inflated.
    pub max_body: usize,
    /// Bytes of one event.
    pub max_event: usize,
    /// Events of one batch.
    pub max_batch_events: u32,
    /// Bytes of all bodies in memory.
    pub max_in_flight: usize,
    /// Connections at once.
    pub max_connections: usize,
    /// From the first byte of a request to the end of its headers.
    pub header_timeout: Duration,
    /// From there to the end of the body.
    pub body_timeout: Duration,
    /// From there to the answer.
    pub ack_timeout: Duration,
    /// Between two requests of a connection.
    pub idle_timeout: Duration,
    /// Certificate and key; plain HTTP without.
    pub tls: Option<Tls>,
}

/// Where the TLS certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// PEM file with the chain.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Address and port.
    pub listen: SocketAddr,
    /// What a client must present; always there when the address is not loopback.
    pub token: Option<Secret>,
}

/// Which journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalKind {
    /// Segments on a local disk.
    Disk,
}

/// The durable log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// Which one.
    pub kind: JournalKind,
    /// Folder of the segments.
    pub path: PathBuf,
    /// Bytes on disk; past it events are refused with 503.
    pub max_bytes: u64,
    /// Extra wait for a larger group.
    pub commit_delay: Duration,
    /// How long loaded segments stay.
    pub keep: Duration,
}

/// Where the files go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// A folder or a URL with the scheme file, s3, gs or az.
    pub url: String,
}

/// The names `[load] dialect` may have.
pub const DIALECTS: [&str; 7] =
    ["snowflake", "bigquery", "redshift", "postgres", "clickhouse", "databricks", "datalake"];

/// How Parquet pages are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// zstd for large column chunks, snappy for small ones.
    Auto,
    /// zstd everywhere.
    Zstd,
    /// snappy everywhere.
    Snappy,
}

/// How batches are cut and written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// One of [`DIALECTS`].
    pub dialect: &'static str,
    /// Oldest event of an open batch.
    pub max_age: Duration,
    /// Journal bytes of a batch.
    pub max_bytes: u64,
    /// Bytes of all column builders.
    pub memory: u64,
    /// Event tables of a schema.
    pub max_tables: u32,
    /// How pages are packed.
    pub compression: Compression,
}

/// The repeat filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dedup {
    /// Arrival time that is remembered.
    pub window: Duration,
    /// Entries that are remembered.
    pub max_keys: u32,
}

/// Which event times are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// How far after its arrival an event may be dated.
    pub max_future: Duration,
    /// The earliest date.
    pub min: Timestamp,
}

/// The secret of hashes, and who is suppressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Privacy {
    /// File with the key.
    pub key_file: Option<PathBuf>,
    /// The key itself.
    pub key: Option<Secret>,
    /// Number of the key, part of each hash.
    pub key_id: u32,
    /// File with user ids, raw or hashed, one a line.
    pub suppression_file: Option<PathBuf>,
}

/// Limits of JavaScript transformations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scripts {
    /// CPU time of one call.
    pub cpu_per_call: Duration,
    /// Bytes one runtime may use.
    pub memory: usize,
}

/// How the program stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// How long requests in flight are waited for.
    pub deadline: Duration,
}

/// Where a source's events come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Platform {
    /// Browsers.
    Web,
    /// Desktop programs.
    Desktop,
    /// Phones.
    Mobile,
    /// Servers.
    Server,
}

impl Platform {
    /// The name in configuration and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Desktop => "desktop",
            Self::Mobile => "mobile",
            Self::Server => "server",
        }
    }
}

/// Which endpoints a source's key opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The endpoints of the SDKs.
    Sdk,
    /// These and `/v1/webhook`.
    Webhook,
}

impl Kind {
    /// The name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sdk => "sdk",
            Self::Webhook => "webhook",
        }
    }
}

/// SHA-256 of a write key.
pub type KeyHash = [u8; 32];

/// One `[[source]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Unique; default `<name>_<environment>`.
    pub id: String,
    /// Shared by its environments.
    pub name: String,
    /// Such as `prod`.
    pub environment: String,
    /// Where its events come from, if said.
    pub platform: Option<Platform>,
    /// Which endpoints it may use.
    pub kind: Kind,
    /// The warehouse schema.
    pub schema: String,
    /// SHA-256 of each of its write keys; at least one, none of them another source's.
    pub keys: Vec<KeyHash>,
    /// Its transformations in order.
    pub transforms: Vec<String>,
    /// Events in a time; none for no limit.
    pub rate_limit: Option<Rate>,
    /// Origins whose pages may use the key; any where there is none.
    pub origins: Vec<String>,
    /// Keeps the `receivedAt` of the client.
    pub keep_received_at: bool,
    /// Accepts events.
    pub enabled: bool,
    /// How its tables look.
    pub layout: Layout,
}

/// `layout` of a source: RudderStack's destination options by the same names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// No rows in `tracks`.
    pub skip_tracks_table: bool,
    /// No rows in `users`.
    pub skip_users_table: bool,
    /// Paths kept as JSON text.
    pub json_paths: Vec<String>,
    /// Digits become words of their own in column names.
    pub underscore_divide_numbers: bool,
    /// Traits of the context become columns of `users` without prefix.
    pub allow_users_context_traits: bool,
    /// The whole event as JSON in `rudder_event`.
    pub store_full_event: bool,
    /// Every event writes its identity rule, not only merge.
    pub identity_rules: bool,
}

/// One `[[unified]]`; globs take `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unified {
    /// The table's name.
    pub name: String,
    /// Which environments have it; all where there is none.
    pub environments: Vec<String>,
    /// Globs of source names; all where there is none.
    pub sources: Vec<String>,
    /// Globs of schemas; all where there is none.
    pub schemas: Vec<String>,
    /// Globs of tables that are in beside the default ones.
    pub include_tables: Vec<String>,
    /// Globs of tables that are out.
    pub exclude_tables: Vec<String>,
    /// Globs of events that are out.
    pub exclude_events: Vec<String>,
    /// Globs of columns that are out.
    pub exclude_columns: Vec<String>,
    /// Columns by canonical name, each with its other spellings.
    pub aliases: BTreeMap<String, Vec<String>>,
    /// Number of the folder; a higher one starts clean.
    pub generation: u32,
}

/// Type of a pinned column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// 64-bit integer.
    Int,
    /// Double.
    Float,
    /// Boolean.
    Boolean,
    /// Moment in UTC.
    Datetime,
    /// Text.
    String,
}

impl ColumnType {
    /// The name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Datetime => "datetime",
            Self::String => "string",
        }
    }
}

/// One `[[column]]`: a type decided before the first value comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Glob of tables.
    pub table: String,
    /// The column.
    pub name: String,
    /// Its type.
    pub r#type: ColumnType,
}
