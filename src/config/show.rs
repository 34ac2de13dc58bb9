//! Prints the configuration in effect as TOML, with every secret hidden.

use std::fmt::Display;

use super::options::{Compression, Config, JournalKind, Layout, Source, Unified};
use crate::units::{show_bytes, show_duration};

/// The configuration in effect: the file, the overrides and the defaults, as TOML. Write keys,
/// tokens and the privacy key are hidden, so the text does not read back as it is.
#[must_use]
pub fn show(config: &Config) -> String {
    let mut out = Out(String::new());
    out.table("[node]");
    out.text("name", &config.node.name);
    http(config, &mut out);
    out.table("[journal]");
    out.text(
        "kind",
        match config.journal.kind {
            JournalKind::Disk => "disk",
        },
    );
    out.text("path", config.journal.path.display());
    out.text("max_bytes", show_bytes(config.journal.max_bytes));
    out.text("commit_delay", show_duration(config.journal.commit_delay));
    out.text("keep", show_duration(config.journal.keep));
    out.table("[storage]");
    out.text("url", &config.storage.url);
    out.table("[load]");
    out.text("dialect", config.load.dialect);
    out.text("max_age", show_duration(config.load.max_age));
    out.text("max_bytes", show_bytes(config.load.max_bytes));
    out.text("memory", show_bytes(config.load.memory));
    out.bare("max_tables", config.load.max_tables);
    out.text(
        "compression",
        match config.load.compression {
            Compression::Auto => "auto",
            Compression::Zstd => "zstd",
            Compression::Snappy => "snappy",
        },
    );
    out.table("[dedup]");
    out.text("window", show_duration(config.dedup.window));
    out.bare("max_keys", config.dedup.max_keys);
    rest(config, &mut out);
    for source in &config.sources {
        self::source(source, &mut out);
    }
    for table in &config.unified {
        unified(table, &mut out);
    }
    for column in &config.columns {
        out.table("[[column]]");
        out.text("table", &column.table);
        out.text("name", &column.name);
        out.text("type", column.r#type.as_str());
    }
    out.0
}

fn http(config: &Config, out: &mut Out) {
    let http = &config.http;
    out.table("[http]");
    out.text("listen", http.listen);
    out.text("admin_listen", config.admin.listen);
    out.hidden("admin_token", config.admin.token.is_some());
    if let Some(url) = &http.public_url {
        out.text("public_url", url);
    }
    out.list("trusted_proxies", &http.trusted_proxies);
    for (key, bytes) in [
        ("max_body", http.max_body),
        ("max_event", http.max_event),
        ("max_in_flight", http.max_in_flight),
    ] {
        out.text(key, show_bytes(bytes as u64));
    }
    out.bare("max_batch_events", http.max_batch_events);
    out.bare("max_connections", http.max_connections);
    for (key, time) in [
        ("header_timeout", http.header_timeout),
        ("body_timeout", http.body_timeout),
        ("ack_timeout", http.ack_timeout),
        ("idle_timeout", http.idle_timeout),
    ] {
        out.text(key, show_duration(time));
    }
    if let Some(tls) = &http.tls {
        let certificate = quoted(tls.certificate.display());
        out.bare(
            "tls",
            format!("{{ certificate = {certificate}, key = {} }}", quoted(tls.key.display())),
        );
    }
}

fn rest(config: &Config, out: &mut Out) {
    out.table("[clock]");
    out.text("max_future", show_duration(config.clock.max_future));
    let min = jiff::Timestamp::from_microsecond(config.clock.min.micros());
    out.text("min", min.unwrap_or(jiff::Timestamp::MIN));
    out.table("[privacy]");
    if let Some(path) = &config.privacy.key_file {
        out.text("key_file", path.display());
    }
    out.hidden("key", config.privacy.key.is_some());
    out.bare("key_id", config.privacy.key_id);
    if let Some(path) = &config.privacy.suppression_file {
        out.text("suppression_file", path.display());
    }
    out.table("[scripts]");
    out.text("cpu_per_call", show_duration(config.scripts.cpu_per_call));
    out.text("memory", show_bytes(config.scripts.memory as u64));
    out.table("[shutdown]");
    out.text("deadline", show_duration(config.shutdown.deadline));
}

fn source(source: &Source, out: &mut Out) {
    out.table("[[source]]");
    out.text("name", &source.name);
    out.text("id", &source.id);
    out.hidden("write_key", true);
    out.text("environment", &source.environment);
    if let Some(platform) = source.platform {
        out.text("platform", platform.as_str());
    }
    out.text("kind", source.kind.as_str());
    out.text("schema", &source.schema);
    out.list("transforms", &source.transforms);
    if let Some(rate) = source.rate_limit {
        out.text("rate_limit", rate);
    }
    if !source.origins.is_empty() {
        out.list("origins", &source.origins);
    }
    out.bare("keep_received_at", source.keep_received_at);
    out.bare("enabled", source.enabled);
    out.bare("layout", layout(&source.layout));
}

fn layout(layout: &Layout) -> String {
    let Layout {
        skip_tracks_table,
        skip_users_table,
        json_paths,
        underscore_divide_numbers,
        allow_users_context_traits,
        store_full_event,
        identity_rules,
    } = layout;
    format!(
        "{{ skip_tracks_table = {skip_tracks_table}, skip_users_table = {skip_users_table}, \
         json_paths = {}, underscore_divide_numbers = {underscore_divide_numbers}, \
         allow_users_context_traits = {allow_users_context_traits}, \
         store_full_event = {store_full_event}, identity_rules = {identity_rules} }}",
        list(json_paths)
    )
}

fn unified(table: &Unified, out: &mut Out) {
    out.table("[[unified]]");
    out.text("name", &table.name);
    for (key, globs) in [
        ("environments", &table.environments),
        ("sources", &table.sources),
        ("schemas", &table.schemas),
        ("include_tables", &table.include_tables),
        ("exclude_tables", &table.exclude_tables),
        ("exclude_events", &table.exclude_events),
        ("exclude_columns", &table.exclude_columns),
    ] {
        if !globs.is_empty() {
            out.list(key, globs);
        }
    }
    if !table.aliases.is_empty() {
        let aliases = table
            .aliases
            .iter()
            .map(|(name, spellings)| format!("{} = {}", quoted(name), list(spellings)));
        out.bare("aliases", format!("{{ {} }}", aliases.collect::<Vec<_>>().join(", ")));
    }
    out.bare("generation", table.generation);
}

struct Out(String);

impl Out {
    fn table(&mut self, head: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0.push_str(head);
        self.0.push('\n');
    }

    fn bare(&mut self, key: &str, value: impl Display) {
        self.0.push_str(&format!("{key} = {value}\n"));
    }

    fn text(&mut self, key: &str, value: impl Display) {
        self.bare(key, quoted(value));
    }

    fn list<T: Display>(&mut self, key: &str, values: &[T]) {
        self.bare(key, list(values));
    }

    fn hidden(&mut self, key: &str, there: bool) {
        if there {
            self.text(key, "(hidden)");
        }
    }
}

fn list<T: Display>(values: &[T]) -> String {
    let values: Vec<String> = values.iter().map(quoted).collect();
    format!("[{}]", values.join(", "))
}

fn quoted(value: impl Display) -> String {
    toml::Value::String(value.to_string()).to_string()
}
