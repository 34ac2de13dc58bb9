//! Reads the sections of the file into checked options; the only place that knows the defaults.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::address::{LOCALHOST, Proxy, PublicUrl};
use super::context::Context;
use super::fault::Problem;
use super::options::{
    Admin, Clock, Compression, Config, DIALECTS, Dedup, Http, Journal, JournalKind, Load, Node,
    Privacy, Scripts, Secret, Shutdown, Storage, Tls,
};
use super::reader::Section;
use super::tree::Tree;
use super::{sources, tables};
use crate::clock::Timestamp;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

const HOUR: Duration = secs(3_600);
const DAY: Duration = secs(86_400);
const YEAR: Duration = secs(366 * 86_400);

pub(super) fn read(tree: &Tree, file: PathBuf, context: &Context) -> Config {
    let root = Section::root(&tree.root, context);
    let (http, admin) = http(root.section("http"));
    let load = load(root.section("load"));
    let sources = sources::sources(&root, load.dialect);
    let journal = journal(root.section("journal"));
    let config = Config {
        file,
        node: node(root.section("node")),
        http,
        admin,
        storage: storage(root.section("storage"), &journal.path),
        journal,
        load,
        dedup: dedup(root.section("dedup")),
        clock: clock(root.section("clock")),
        privacy: privacy(root.section("privacy")),
        scripts: scripts(root.section("scripts")),
        shutdown: shutdown(root.section("shutdown")),
        unified: tables::unified(&root, &sources),
        columns: tables::columns(&root),
        sources,
    };
    root.finish();
    config
}

fn node(section: Section<'_>) -> Node {
    let name = section.parsed("name", |text| {
        if is_node_name(text) {
            Ok(text.to_owned())
        } else {
            Err("1 to 63 letters, digits, \".\", \"_\" or \"-\", starting with a letter or digit")
        }
    });
    let name = name.unwrap_or_else(host_name);
    section.finish();
    Node { name }
}

fn is_node_name(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// The host's name with everything but letters, digits, `.`, `_` and `-` replaced.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"))
        .unwrap_or_default();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name: String =
        name.trim().chars().map(|c| if fits(c) { c } else { '-' }).take(63).collect();
    if is_node_name(&name) { name } else { "node".to_owned() }
}

fn listen(section: &Section<'_>, key: &'static str, default: SocketAddr) -> SocketAddr {
    let parse = |text: &str| {
        let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
        let local = local.map(|port| SocketAddr::new(LOCALHOST, port));
        text.parse().ok().or(local).ok_or("an address and port, such as \"0.0.0.0:8080\"")
    };
    section.parsed(key, parse).unwrap_or(default)
}

fn http(section: Section<'_>) -> (Http, Admin) {
    let proxies = section.parsed_list(
        "trusted_proxies",
        "\"loopback\", \"private\", an address or a network such as \"10.1.0.0/16\"",
        Proxy::parse,
    );
    let max_body = bytes(&section, "max_body", 16 * MIB, KIB, GIB);
    let max_in_flight = bytes(&section, "max_in_flight", 256 * MIB, 64 * KIB, TIB);
    if max_in_flight < max_body.saturating_mul(2) {
        let why = "must be at least twice http.max_body, for one body as sent and as inflated";
        section.fault("max_in_flight", Problem::Conflict { with: "http.max_body".to_owned(), why });
    }
    let http = Http {
        listen: listen(&section, "listen", PUBLIC),
        public_url: section.parsed("public_url", |text| {
            PublicUrl::parse(text).ok_or("http:// or https://, a host and perhaps a port and path")
        }),
        trusted_proxies: proxies.unwrap_or_else(|| vec![Proxy::Loopback, Proxy::Private]),
        max_body,
        max_event: bytes(&section, "max_event", 4 * MIB, KIB, GIB),
        max_batch_events: section.integer("max_batch_events", 10_000, 1..=1_000_000),
        max_in_flight,
        max_connections: count(section.integer("max_connections", 20_000, 1..=1_000_000)),
        header_timeout: section.duration("header_timeout", secs(10), millis(50)..=secs(600)),
        body_timeout: section.duration("body_timeout", secs(30), millis(50)..=secs(600)),
        ack_timeout: section.duration("ack_timeout", secs(5), millis(10)..=secs(60)),
        idle_timeout: section.duration("idle_timeout", secs(75), millis(50)..=HOUR),
        tls: tls(&section),
    };
    let admin = admin(&section);
    if admin.listen == http.listen && http.listen.port() != 0 {
        let why = "each needs an address of its own";
        section.fault("admin_listen", Problem::Conflict { with: "http.listen".to_owned(), why });
    }
    section.finish();
    (http, admin)
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A size that must fit in memory.
fn bytes(section: &Section<'_>, key: &'static str, default: u64, least: u64, most: u64) -> usize {
    usize::try_from(section.bytes(key, default, least..=most)).unwrap_or(usize::MAX)
}

fn tls(section: &Section<'_>) -> Option<Tls> {
    if !section.has("tls") {
        // Asked for all the same, so that the key is known.
        section.section("tls");
        return None;
    }
    let tls = section.section("tls");
    let certificate = tls.text("certificate").map(PathBuf::from);
    let key = tls.text("key").map(PathBuf::from);
    for (name, missing) in [("certificate", certificate.is_none()), ("key", key.is_none())] {
        if missing && !tls.has(name) {
            tls.fault(name, Problem::Missing { wanted: "the path of a PEM file" });
        }
    }
    tls.finish();
    Some(Tls { certificate: certificate?, key: key? })
}

/// Where events come in, unless the configuration says otherwise.
const PUBLIC: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080);

fn admin(section: &Section<'_>) -> Admin {
    let admin = Admin {
        listen: listen(section, "admin_listen", SocketAddr::from(([127, 0, 0, 1], 8081))),
        token: section.secret("admin_token").map(Secret::new),
    };
    match &admin.token {
        None if !admin.listen.ip().is_loopback() && !section.has("admin_token") => {
            let wanted = "a token, because http.admin_listen is not loopback";
            section.fault("admin_token", Problem::Missing { wanted });
        }
        Some(token) if token.expose().trim().is_empty() => {
            let wanted = "text that is not blank".to_owned();
            section.secret_fault("admin_token", Problem::Malformed { wanted });
        }
        _ => {}
    }
    admin
}

fn journal(section: Section<'_>) -> Journal {
    let kind = section.parsed("kind", |text| match text {
        "disk" => Ok(JournalKind::Disk),
        _ => Err("\"disk\""),
    });
    let journal = Journal {
        kind: kind.unwrap_or(JournalKind::Disk),
        path: path(&section, "path").unwrap_or_else(|| "keelrow-data/journal".into()),
        max_bytes: section.bytes("max_bytes", 20 * GIB, MIB..=1024 * TIB),
        commit_delay: section.duration("commit_delay", Duration::ZERO, Duration::ZERO..=secs(1)),
        keep: section.duration("keep", Duration::ZERO, Duration::ZERO..=YEAR),
    };
    section.finish();
    journal
}

fn path(section: &Section<'_>, key: &'static str) -> Option<PathBuf> {
    section.parsed(key, |text| {
        if text.trim().is_empty() { Err("a path") } else { Ok(PathBuf::from(text)) }
    })
}

fn storage(section: Section<'_>, journal: &Path) -> Storage {
    let url = section.parsed("url", |text| {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        let known = scheme.is_none_or(|scheme| ["file", "s3", "gs", "az"].contains(&scheme));
        let remote = scheme.is_some_and(|scheme| scheme != "file");
        if remote && text.contains(['@', '?', '#']) {
            Err("a URL without user, password or query: credentials come from the environment")
        } else if !known || text.trim().is_empty() {
            Err("a folder, or a URL that starts with file://, s3://, gs:// or az://")
        } else if remote && !is_place(text) {
            Err("a URL with a bucket, and perhaps a prefix without empty parts, \".\" and \"..\"")
        } else if scheme == Some("file") && !text.starts_with("file:///") {
            Err("a URL with a whole path, such as \"file:///var/lib/lake\", or a folder without file://")
        } else {
            Ok(text.to_owned())
        }
    });
    let url = url.unwrap_or_else(|| "keelrow-data/lake".to_owned());
    if folder(&url).is_some_and(|lake| lake == whole(journal)) {
        let why = "lake and journal each need a folder of their own";
        section.fault("url", Problem::Conflict { with: "journal.path".to_owned(), why });
    }
    section.finish();
    Storage { url }
}

/// True for `scheme://bucket` and `scheme://bucket/a/b`, perhaps with slashes at the end.
fn is_place(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_matches('/');
    let fits = |part: &str| !["", ".", ".."].contains(&part);
    !bucket.is_empty() && (prefix.is_empty() || prefix.split('/').all(fits))
}

/// The lake's folder, if it is one, whole.
fn folder(url: &str) -> Option<PathBuf> {
    match url.split_once("://") {
        Some(("file", path)) => Some(whole(Path::new(path))),
        Some(_) => None,
        None => Some(whole(Path::new(url))),
    }
}

/// A path from the root, without `.` and, but for links, `..`.
fn whole(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            part => out.push(part),
        }
    }
    out
}

impl Config {
    /// True where the journal lies in the lake's folder: whoever reads the lake meets it there.
    #[must_use]
    pub fn journal_is_in_lake(&self) -> bool {
        folder(&self.storage.url).is_some_and(|lake| whole(&self.journal.path).starts_with(lake))
    }
}

fn load(section: Section<'_>) -> Load {
    let dialect = section.parsed("dialect", |text| {
        let found = DIALECTS.iter().find(|dialect| **dialect == text).copied();
        found.ok_or_else(|| format!("one of {}", DIALECTS.join(", ")))
    });
    let compression = section.parsed("compression", |text| match text {
        "auto" => Ok(Compression::Auto),
        "zstd" => Ok(Compression::Zstd),
        "snappy" => Ok(Compression::Snappy),
        _ => Err("\"auto\", \"zstd\" or \"snappy\""),
    });
    let load = Load {
        dialect: dialect.unwrap_or("datalake"),
        max_age: section.duration("max_age", secs(300), millis(10)..=DAY),
        max_bytes: section.bytes("max_bytes", GIB, KIB..=TIB),
        memory: section.bytes("memory", 128 * MIB, MIB..=TIB),
        max_tables: section.integer("max_tables", 4_000, 1..=100_000),
        compression: compression.unwrap_or(Compression::Auto),
    };
    section.finish();
    load
}

fn dedup(section: Section<'_>) -> Dedup {
    let dedup = Dedup {
        window: section.duration("window", DAY, Duration::ZERO..=YEAR),
        max_keys: section.integer("max_keys", 7_000_000, 0..=1_000_000_000),
    };
    section.finish();
    dedup
}

fn clock(section: Section<'_>) -> Clock {
    let min = section.parsed("min", |text| {
        let day = text.parse::<jiff::civil::Date>().ok();
        let day = day.and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok());
        let moment = day.map(|day| day.timestamp()).or_else(|| text.parse().ok());
        moment
            .map(|moment: jiff::Timestamp| Timestamp::from_micros(moment.as_microsecond()))
            .ok_or("a date such as \"1971-01-01\", or a time in RFC 3339")
    });
    let clock = Clock {
        max_future: section.duration("max_future", DAY, Duration::ZERO..=YEAR * 10),
        min: min.unwrap_or(Timestamp::from_millis(365 * 86_400 * 1_000)),
    };
    section.finish();
    clock
}

/// The least that a privacy key must have; a shorter one could be found by trying.
pub const PRIVACY_KEY_BYTES_MIN: usize = 16;

fn privacy(section: Section<'_>) -> Privacy {
    let key = section.secret("key");
    if key.is_some_and(|key| key.trim().len() < PRIVACY_KEY_BYTES_MIN) {
        let wanted = format!("at least {PRIVACY_KEY_BYTES_MIN} bytes");
        section.secret_fault("key", Problem::Malformed { wanted });
    }
    let privacy = Privacy {
        key_file: path(&section, "key_file"),
        key: key.map(Secret::new),
        key_id: section.integer("key_id", 1, 1..=999_999),
        suppression_file: path(&section, "suppression_file"),
    };
    if section.has("key") && section.has("key_file") {
        let why = "only one of the two can hold the key";
        let with = section.path("key_file");
        section.secret_fault("key", Problem::Conflict { with, why });
    }
    section.finish();
    privacy
}

fn scripts(section: Section<'_>) -> Scripts {
    let scripts = Scripts {
        cpu_per_call: section.duration("cpu_per_call", millis(100), millis(1)..=secs(60)),
        memory: bytes(&section, "memory", 64 * MIB, MIB, 16 * GIB),
    };
    section.finish();
    scripts
}

fn shutdown(section: Section<'_>) -> Shutdown {
    let deadline = section.duration("deadline", secs(10), Duration::ZERO..=HOUR);
    section.finish();
    Shutdown { deadline }
}
