//! The table of limits in docs/operations.md: each row names the tests that prove it.

use std::path::{Path, PathBuf};

/// The rows of the table below the heading: what is limited, and the names in its last column.
fn rows(text: &str) -> Vec<(String, Vec<String>)> {
    let table = text.split("## Limits").nth(1).unwrap().split("\n## ").next().unwrap();
    let lines = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    lines
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 4, "{line}");
            let names = cells[3].split(", ").map(|name| name.trim_matches('`').to_owned());
            (cells[0].to_owned(), names.collect())
        })
        .collect()
}

/// All sources of `folder` with one of these endings.
fn sources(folder: &Path, endings: &[&str], out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("node_modules") {
            sources(&path, endings, out);
        } else if path.extension().is_some_and(|end| endings.iter().any(|known| end == *known)) {
            out.push(path);
        }
    }
}

#[test]
fn everything_has_a_limit() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/operations.md")).unwrap();
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        sources(&root.join(folder), &["rs", "py"], &mut files);
    }
    let code: String =
        files.iter().map(|file| std::fs::read_to_string(file).unwrap() + "\n").collect();
    let rows = rows(&text);
    assert!(rows.len() >= 25, "{} rows", rows.len());
    for (what, names) in rows {
        assert!(!names.is_empty(), "{what}");
        for name in names {
            let rust = code.contains(&format!("#[test]\n    fn {name}()"))
                || code.contains(&format!("#[test]\nfn {name}()"))
                || code.contains(&format!("async fn {name}()"));
            let python = code.contains(&format!("\ndef {name}("));
            assert!(rust || python, "{what}: there is no test {name}");
        }
    }
}
