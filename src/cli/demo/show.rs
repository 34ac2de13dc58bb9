//! What the demo prints: tables, unified rows, and that the personal data is gone.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::traffic::PERSONAL;
use crate::cli::Failure;

/// Columns of the unified rows that are shown.
const COLUMNS: [&str; 7] = ["source_name", "platform", "type", "event", "user_id", "words", "note"];
/// Characters of a cell that are shown.
const CELL_MAX: usize = 44;

pub(super) fn all(lake: &Path, journal: &Path) -> Result<(), Failure> {
    let files = parquet_files(lake)?;
    let mut out = io::stdout().lock();
    tables(lake, &files, &mut out)?;
    for environment in ["prod", "rc", "qa"] {
        unified(lake, environment, &mut out)?;
    }
    personal(lake, journal, &files, &mut out)
}

/// Every Parquet file below `folder`, in order.
fn parquet_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(all_files(folder)?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "parquet"))
        .collect())
}

fn all_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

fn batches(path: &Path) -> Result<Vec<RecordBatch>, Failure> {
    let wrong = |error: &dyn std::error::Error| Failure {
        code: 1,
        text: format!("{}: {error}", path.display()),
    };
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path)?)
        .and_then(ParquetRecordBatchReaderBuilder::build)
        .map_err(|error| wrong(&error))?;
    reader.collect::<Result<_, _>>().map_err(|error| wrong(&error))
}

/// One line for each schema: its tables with their rows.
fn tables(lake: &Path, files: &[PathBuf], out: &mut impl Write) -> Result<(), Failure> {
    let mut schemas: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for path in files {
        let parts: Vec<&str> = path
            .strip_prefix(lake)
            .unwrap_or(path)
            .iter()
            .filter_map(std::ffi::OsStr::to_str)
            .collect();
        let [kind, schema, table, ..] = parts.as_slice() else { continue };
        let schema =
            if *kind == "unified" { format!("unified {schema}") } else { (*schema).to_owned() };
        let rows: usize = batches(path)?.iter().map(RecordBatch::num_rows).sum();
        *schemas.entry(schema).or_default().entry((*table).to_owned()).or_default() += rows;
    }
    writeln!(out, "\ntables, with their rows:")?;
    for (schema, tables) in schemas {
        let tables: Vec<String> =
            tables.into_iter().map(|(table, rows)| format!("{table} {rows}")).collect();
        writeln!(out, "  {schema:<16} {}", tables.join(", "))?;
    }
    Ok(())
}

/// The rows of an environment's unified table, with some of its columns.
fn unified(lake: &Path, environment: &str, out: &mut impl Write) -> Result<(), Failure> {
    let folder = lake.join("unified").join(environment).join("user_events");
    writeln!(out, "\nunified/{environment}/user_events:")?;
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    for path in parquet_files(&folder)? {
        for batch in batches(&path)? {
            for row in 0..batch.num_rows() {
                rows.push(COLUMNS.map(|column| {
                    batch.column_by_name(column).map(|array| cell(array, row)).unwrap_or_default()
                }));
            }
        }
    }
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|n| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or(0))
        .collect();
    for row in rows {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "  {}", line.join("  ").trim_end())?;
    }
    Ok(())
}

fn cell(array: &dyn Array, row: usize) -> String {
    if array.is_null(row) {
        return String::new();
    }
    let text = match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).to_string(),
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        _ => String::new(),
    };
    if text.chars().count() <= CELL_MAX {
        return text;
    }
    text.chars().take(CELL_MAX - 1).chain(['…']).collect()
}

/// Searches every file, Parquet decompressed, for the personal data that was posted.
fn personal(
    lake: &Path,
    journal: &Path,
    files: &[PathBuf],
    out: &mut impl Write,
) -> Result<(), Failure> {
    let mut hits = [0_usize; PERSONAL.len()];
    let mut searched = 0;
    for path in files {
        for batch in batches(path)? {
            for column in batch.columns().iter().filter(|c| c.data_type() == &DataType::Utf8) {
                for text in column.as_string::<i32>().iter().flatten() {
                    count(text.as_bytes(), &mut hits);
                }
            }
        }
    }
    for path in all_files(lake)?.into_iter().chain(all_files(journal)?) {
        count(&fs::read(&path)?, &mut hits);
        searched += 1;
    }
    writeln!(out, "\npersonal data that was posted, searched for in all {searched} files:")?;
    for (value, hits) in PERSONAL.iter().zip(hits) {
        let found = if hits == 0 { "gone".to_owned() } else { format!("FOUND {hits} times") };
        writeln!(out, "  {value:<22} {found}")?;
    }
    if hits.iter().any(|hits| *hits > 0) {
        return Err(Failure { code: 1, text: "personal data is in a file".to_owned() });
    }
    Ok(())
}

fn count(bytes: &[u8], hits: &mut [usize; PERSONAL.len()]) {
    for (value, hits) in PERSONAL.iter().zip(hits) {
        *hits += memchr::memmem::find_iter(bytes, value.as_bytes()).count();
    }
}

/// What to try next.
pub(super) fn next_steps(
    public: SocketAddr,
    admin: SocketAddr,
    folder: &Path,
) -> Result<(), Failure> {
    let folder = folder.display();
    writeln!(
        io::stdout().lock(),
        r#"
It goes on serving. Post an event of your own, with an e-mail address in it:

  curl -u demo-web-prod: http://{public}/v1/track -d '{{"userId": "u-1",
    "event": "Post Created", "properties": {{"words": 5, "note": "mail kim@example.org"}}}}'

and look a second later, for example with DuckDB:

  select source_name, event, user_id, words, note
  from read_parquet('{folder}/lake/unified/prod/user_events/v1/**/*.parquet', union_by_name = true);

A picture counts as well, without any SDK:

  curl -so /dev/null 'http://{public}/pixel/v1/page?writeKey=demo-web-prod&anonymousId=a-1&name=Home'

A page with a browser SDK that shows its events arriving: examples/web. For your own apps: docs/sdks.md.

Metrics: http://{admin}/metrics   API: http://{public}/docs   Stop: Ctrl-C"#
    )?;
    Ok(())
}
