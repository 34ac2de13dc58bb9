//! The architecture's rules as failing tests: who may use whom, how long a file may be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The layer of each part; a part uses its own layer and those below.
const LAYERS: [(&str, u8); 25] = [
    ("clock", 0),
    ("config", 0),
    ("metrics", 0),
    ("outcome", 0),
    ("units", 0),
    ("event", 1),
    ("record", 1),
    ("source", 1),
    ("transform", 1),
    ("unified", 1),
    ("warehouse", 1),
    ("columnar", 2),
    ("journal", 2),
    ("limits", 2),
    ("script", 2),
    ("storage", 2),
    ("ingest", 3),
    ("loader", 3),
    ("http", 4),
    ("app", 5),
    ("cli", 5),
    ("main", 5),
    ("lib", 5),
    ("sql", 5),
    ("dbt", 5),
];

/// Lines of code that a file may have, without comments, blank lines and tests.
const FILE_LINES_MAX: usize = 500;

struct File {
    path: PathBuf,
    /// The top-level module it belongs to.
    part: String,
    text: String,
}

fn sources() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = crate::lake::files(&root);
    files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .map(|path| {
            let inside = path.strip_prefix(&root).unwrap();
            let first = inside.iter().next().unwrap().to_str().unwrap();
            let part = first.trim_end_matches(".rs").to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            File { path: inside.to_owned(), part, text }
        })
        .collect()
}

/// The file's text up to its tests; nothing for a file that is a test.
fn code(file: &File) -> &str {
    let tests = ["tests", "tests.rs", "golden.rs", "parity.rs"];
    if file.path.iter().any(|part| tests.iter().any(|test| part == *test)) {
        return "";
    }
    let end = file.text.find("#[cfg(test)]\nmod tests {").unwrap_or(file.text.len());
    file.text.get(..end).unwrap()
}

/// The parts that a file names with `crate::`.
fn uses(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for after in line.split("crate::").skip(1) {
            let names = match after.strip_prefix('{') {
                Some(list) => list.split(',').map(str::trim).collect(),
                None => vec![after],
            };
            for name in names {
                let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                found.push(name.get(..end.unwrap_or(name.len())).unwrap().to_owned());
            }
        }
    }
    found
}

#[test]
fn layers_point_down() {
    let layers: BTreeMap<&str, u8> = LAYERS.into_iter().collect();
    let mut wrong = Vec::new();
    for file in sources() {
        let own = layers.get(file.part.as_str());
        let own = own.unwrap_or_else(|| panic!("{} has no layer", file.path.display()));
        for used in uses(code(&file)) {
            if layers.get(used.as_str()).is_some_and(|layer| layer > own) {
                wrong.push(format!("{} uses {used}", file.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn nobody_but(parts: &[&str], needles: &[&str]) {
    let mut wrong = Vec::new();
    for file in sources().iter().filter(|file| !parts.contains(&file.part.as_str())) {
        for line in code(file).lines().filter(|line| !line.trim_start().starts_with("//")) {
            if needles.iter().any(|needle| line.contains(needle)) {
                wrong.push(format!("{}: {}", file.path.display(), line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn axum_stays_in_http() {
    nobody_but(&["http"], &["axum::", "use axum"]);
}

#[test]
fn parquet_stays_in_columnar() {
    nobody_but(&["columnar", "cli"], &["parquet::", "arrow_array::"]);
}

/// Parts of the lower layers that do no IO and ask nobody for the time.
fn pure(part: &str) {
    let mut wrong = Vec::new();
    for file in sources().iter().filter(|file| file.part == part) {
        for line in code(file).lines().filter(|line| !line.trim_start().starts_with("//")) {
            let io = ["std::fs", "TcpStream", "std::thread", "tokio", "object_store", "dyn Clock"];
            if io.iter().any(|needle| line.contains(needle)) {
                wrong.push(format!("{}: {}", file.path.display(), line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn warehouse_is_pure() {
    pure("warehouse");
    pure("unified");
}

#[test]
fn events_and_transformations_are_pure() {
    pure("event");
    pure("transform");
    pure("source");
    pure("record");
}

#[test]
fn journal_knows_bytes() {
    for file in sources().iter().filter(|file| file.part == "journal") {
        let used = uses(code(file));
        let known = ["clock", "journal"];
        let other = used.iter().find(|part| !known.contains(&part.as_str()));
        assert_eq!(other, None, "{}", file.path.display());
    }
}

#[test]
fn files_stay_short() {
    let mut long = Vec::new();
    for file in sources() {
        let lines = code(&file)
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//"))
            .count();
        if lines > FILE_LINES_MAX {
            long.push(format!("{}: {lines} lines", file.path.display()));
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}
