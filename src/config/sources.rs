//! Reads `[[source]]` and what sources must not do to each other.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::fault::Problem;
use super::options::{KeyHash, Kind, Layout, Platform, Source};
use super::reader::Section;
use crate::outcome::UNKNOWN_SOURCE;
use crate::units::Rate;

/// Longest id, name and key that is taken; each goes into labels and hashes.
const TEXT_BYTES_MAX: usize = 128;

pub(super) fn sources(root: &Section<'_>, dialect: &str) -> Vec<Source> {
    let mut checks = Checks::default();
    let mut out = Vec::new();
    for section in root.sections("source") {
        let source = source(&section, dialect);
        checks.take(&section, &source);
        out.push(source);
        section.finish();
    }
    checks.environments(root.sections("source").iter().zip(&out));
    out
}

fn source(section: &Section<'_>, dialect: &str) -> Source {
    let name = name(section, "name").unwrap_or_default();
    let environment = environment(section);
    let id = match section.has("id") {
        true => id(section),
        false => {
            section.text("id");
            format!("{name}_{environment}")
        }
    };
    Source {
        schema: schema(section, dialect).unwrap_or_else(|| schema_of(&id)),
        platform: section.parsed("platform", |text| match text {
            "web" => Ok(Platform::Web),
            "desktop" => Ok(Platform::Desktop),
            "mobile" => Ok(Platform::Mobile),
            "server" => Ok(Platform::Server),
            _ => Err("\"web\", \"desktop\", \"mobile\" or \"server\""),
        }),
        kind: kind(section),
        keys: keys(section),
        transforms: transforms(section),
        rate_limit: section.parsed("rate_limit", |text| Rate::parse(text).map_err(|e| e.wanted)),
        origins: origins(section),
        keep_received_at: section.boolean("keep_received_at", false),
        enabled: section.boolean("enabled", true),
        layout: layout(section.section("layout")),
        id,
        name,
        environment,
    }
}

/// A name or id that must be there.
fn name(section: &Section<'_>, key: &'static str) -> Option<String> {
    let wanted = "1 to 128 bytes of printable text without white space at its ends";
    if !section.has(key) {
        section.fault(key, Problem::Missing { wanted });
    }
    section.parsed(key, |text| {
        let fits = !text.is_empty()
            && text.len() <= TEXT_BYTES_MAX
            && text.trim() == text
            && !text.contains(char::is_control);
        if fits { Ok(text.to_owned()) } else { Err(wanted) }
    })
}

/// An id that is written out.
fn id(section: &Section<'_>) -> String {
    let id = name(section, "id").unwrap_or_default();
    if id == UNKNOWN_SOURCE {
        let wanted = format!("another id: damaged records are booked to {UNKNOWN_SOURCE:?}");
        section.malformed("id", wanted);
    }
    id
}

fn environment(section: &Section<'_>) -> String {
    let wanted = "1 to 32 lower-case letters, digits or \"_\", such as \"prod\"";
    if !section.has("environment") {
        section.fault("environment", Problem::Missing { wanted });
    }
    let environment = section.parsed("environment", |text| {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let fits = !text.is_empty() && text.len() <= 32 && text.bytes().all(fits);
        if fits { Ok(text.to_owned()) } else { Err(wanted) }
    });
    environment.unwrap_or_default()
}

fn kind(section: &Section<'_>) -> Kind {
    let kind = section.parsed("kind", |text| match text {
        "sdk" => Ok(Kind::Sdk),
        "webhook" => Ok(Kind::Webhook),
        _ => Err("\"sdk\" or \"webhook\""),
    });
    kind.unwrap_or(Kind::Sdk)
}

fn schema(section: &Section<'_>, dialect: &str) -> Option<String> {
    let most = if dialect == "postgres" { 63 } else { 127 };
    section.parsed("schema", |text| {
        let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if starts && text.len() <= most && text.bytes().all(fits) {
            Ok(text.to_owned())
        } else {
            Err(format!(
                "1 to {most} lower-case letters, digits or \"_\", starting with a letter or \"_\""
            ))
        }
    })
}

/// The schema that an id stands for: the id itself where it is a name that warehouses take.
fn schema_of(id: &str) -> String {
    let fold = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let schema: String = id.chars().map(fold).take(63).collect();
    if schema.starts_with(|c: char| c.is_ascii_digit()) { format!("_{schema}") } else { schema }
}

fn keys(section: &Section<'_>) -> Vec<KeyHash> {
    let wanted = "1 to 128 printable ASCII characters without space or colon";
    let mut out = Vec::new();
    let mut take = |key: &str, text: &str| {
        let fits = |b: u8| b.is_ascii_graphic() && b != b':';
        if text.is_empty() || text.len() > TEXT_BYTES_MAX || !text.bytes().all(fits) {
            section.secret_fault(key, Problem::Malformed { wanted: wanted.to_owned() });
        } else {
            out.push(KeyHash::from(Sha256::digest(text)));
        }
    };
    if let Some(text) = section.secret("write_key") {
        take("write_key", text);
    }
    for text in section.texts("write_keys").unwrap_or_default() {
        take("write_keys", text);
    }
    for text in section.texts_or_text("write_key_sha256") {
        match hash(text) {
            Some(hash) => out.push(hash),
            None => section.malformed("write_key_sha256", "64 hexadecimal digits"),
        }
    }
    let named = ["write_key", "write_keys", "write_key_sha256"];
    if out.is_empty() && !named.iter().any(|key| section.has(key)) {
        section.fault("write_key", Problem::Missing { wanted: "a key, or write_key_sha256" });
    } else if out.is_empty() && section.is_empty_list("write_keys") {
        section.fault("write_keys", Problem::Missing { wanted: "at least one key" });
    }
    out
}

fn hash(text: &str) -> Option<KeyHash> {
    let mut out = KeyHash::default();
    if text.len() != out.len() * 2 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |n: usize| char::from(pair[n]).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(out)
}

fn transforms(section: &Section<'_>) -> Vec<String> {
    let Some(names) = section.texts("transforms") else { return vec!["pii".to_owned()] };
    let mut seen = BTreeSet::new();
    for name in &names {
        if name.trim().is_empty() || !seen.insert(*name) {
            section.malformed("transforms", "names or paths of transformations, each once");
        }
    }
    names.into_iter().map(str::to_owned).collect()
}

fn origins(section: &Section<'_>) -> Vec<String> {
    let wanted = "origins such as \"https://app.example.com\"";
    let parse = |text: &str| {
        let url = super::address::PublicUrl::parse(text).filter(|url| url.prefix.is_empty())?;
        // A browser never sends a trailing slash, and sends the host in lower case.
        Some(format!("{}://{}", url.scheme(), url.authority.to_ascii_lowercase()))
    };
    section.parsed_list("origins", wanted, parse).unwrap_or_default()
}

fn layout(section: Section<'_>) -> Layout {
    let layout = Layout {
        skip_tracks_table: section.boolean("skip_tracks_table", false),
        skip_users_table: section.boolean("skip_users_table", false),
        json_paths: section
            .texts("json_paths")
            .unwrap_or_default()
            .into_iter()
            .map(str::to_owned)
            .collect(),
        underscore_divide_numbers: section.boolean("underscore_divide_numbers", false),
        allow_users_context_traits: section.boolean("allow_users_context_traits", false),
        store_full_event: section.boolean("store_full_event", false),
        identity_rules: section.boolean("identity_rules", false),
    };
    section.finish();
    layout
}

/// What one source may not share with another.
#[derive(Debug, Default)]
struct Checks {
    ids: BTreeMap<String, String>,
    keys: BTreeMap<KeyHash, String>,
    schemas: BTreeMap<String, (String, String)>,
}

impl Checks {
    fn take(&mut self, section: &Section<'_>, source: &Source) {
        let here = section.path("name");
        if let Some(with) = self.ids.insert(source.id.clone(), here.clone()) {
            let why = "two sources have the same id";
            section.fault("id", Problem::Conflict { with, why });
        }
        for key in &source.keys {
            if let Some(with) = self.keys.insert(*key, here.clone()) {
                let why = "a write key belongs to one source and is listed once";
                section.secret_fault("write_key", Problem::Conflict { with, why });
            }
        }
        let entry = self.schemas.entry(source.schema.clone());
        let (environment, with) = entry.or_insert_with(|| (source.environment.clone(), here));
        if *environment != source.environment {
            let why = "sources of different environments must not share a schema";
            section.fault("schema", Problem::Conflict { with: with.clone(), why });
        }
    }

    /// The unified tables of an environment live in a schema of their own.
    fn environments<'a>(
        &self,
        sources: impl Iterator<Item = (&'a Section<'a>, &'a Source)> + Clone,
    ) {
        let taken: BTreeSet<String> =
            sources.clone().map(|(_, source)| format!("unified_{}", source.environment)).collect();
        for (section, source) in sources.filter(|(_, source)| taken.contains(&source.schema)) {
            let why = "this schema is for the unified tables of the environment";
            section.fault("schema", Problem::Conflict { with: source.schema.clone(), why });
        }
    }
}
