//! Reads `[[unified]]` and `[[column]]`.

use std::collections::BTreeSet;

use super::fault::Problem;
use super::options::{Column, ColumnType, Source, Unified};
use super::reader::Section;

pub(super) fn unified(root: &Section<'_>, sources: &[Source]) -> Vec<Unified> {
    let environments: BTreeSet<&str> = sources.iter().map(|s| s.environment.as_str()).collect();
    let mut seen: BTreeSet<(String, String)> = BTreeSet::new();
    let mut out = Vec::new();
    for section in root.sections("unified") {
        let table = table(&section, &environments);
        let all: Vec<&str> = if table.environments.is_empty() {
            environments.iter().copied().collect()
        } else {
            table.environments.iter().map(String::as_str).collect()
        };
        for environment in all {
            // A missing name is told as such.
            let is_new = seen.insert((environment.to_owned(), table.name.clone()));
            if !is_new && !table.name.is_empty() {
                let why = "two blocks make the same table in one environment";
                let with = match environment {
                    "" => "that of a source without one",
                    named => named,
                };
                section.fault("name", Problem::Conflict { with: with.to_owned(), why });
            }
        }
        section.finish();
        out.push(table);
    }
    out
}

fn table(section: &Section<'_>, environments: &BTreeSet<&str>) -> Unified {
    let in_environments = globs(section, "environments");
    for environment in &in_environments {
        if !environments.contains(environment.as_str()) {
            section.malformed("environments", "environments that a source has");
        }
    }
    let table = Unified {
        name: identifier(section, "name"),
        environments: in_environments,
        sources: globs(section, "sources"),
        schemas: globs(section, "schemas"),
        include_tables: globs(section, "include_tables"),
        exclude_tables: globs(section, "exclude_tables"),
        exclude_events: globs(section, "exclude_events"),
        exclude_columns: globs(section, "exclude_columns"),
        aliases: section.lists_by_name("aliases").into_iter().collect(),
        generation: section.integer("generation", 1, 1..=1_000_000),
    };
    check_aliases(section, &table);
    table
}

/// A spelling belongs to one canonical column, and to none that is itself canonical.
fn check_aliases(section: &Section<'_>, table: &Unified) {
    let mut seen = BTreeSet::new();
    for spelling in table.aliases.values().flatten() {
        if !seen.insert(spelling) || table.aliases.contains_key(spelling) {
            let why = "a spelling can stand for one column only";
            section.fault("aliases", Problem::Conflict { with: spelling.clone(), why });
        }
    }
}

fn globs(section: &Section<'_>, key: &'static str) -> Vec<String> {
    let parse = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    section.parsed_list(key, "texts, in which * stands for anything", parse).unwrap_or_default()
}

fn identifier(section: &Section<'_>, key: &'static str) -> String {
    let wanted = "1 to 63 lower-case letters, digits or \"_\", starting with a letter or \"_\"";
    if !section.has(key) {
        section.fault(key, Problem::Missing { wanted });
    }
    let name = section.parsed(key, |text| {
        let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if starts && text.len() <= 63 && text.bytes().all(fits) {
            Ok(text.to_owned())
        } else {
            Err(wanted)
        }
    });
    name.unwrap_or_default()
}

pub(super) fn columns(root: &Section<'_>) -> Vec<Column> {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for section in root.sections("column") {
        let table = section.text("table").unwrap_or("*").to_owned();
        let name = identifier(&section, "name");
        let wanted = "\"int\", \"float\", \"boolean\", \"datetime\" or \"string\"";
        if !section.has("type") {
            section.fault("type", Problem::Missing { wanted });
        }
        let kind = section.parsed("type", |text| match text {
            "int" => Ok(ColumnType::Int),
            "float" => Ok(ColumnType::Float),
            "boolean" => Ok(ColumnType::Boolean),
            "datetime" => Ok(ColumnType::Datetime),
            "string" => Ok(ColumnType::String),
            _ => Err(wanted),
        });
        if !seen.insert((table.clone(), name.clone())) && !name.is_empty() {
            let with = format!("{table}.{name}");
            section.fault("name", Problem::Conflict { with, why: "the column is pinned twice" });
        }
        section.finish();
        out.extend(kind.map(|r#type| Column { table, name, r#type }));
    }
    out
}
