//! Reads the columns of a Parquet file that the proofs need: ids, and every text.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, ensure};
use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Type;

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Rows, as its footer says.
    pub(crate) rows: u64,
    /// Names of its columns.
    pub(crate) columns: Vec<String>,
    /// Keys and values of its footer, one text each.
    pub(crate) notes: Vec<String>,
}

type Reader = ParquetRecordBatchReaderBuilder<File>;

fn open(path: &Path) -> anyhow::Result<Reader> {
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    Reader::try_new(file).with_context(|| format!("read the footer of {}", path.display()))
}

/// Reads the footer of the file at `path`.
///
/// # Errors
/// When it is not a Parquet file.
pub(crate) fn shape(path: &Path) -> anyhow::Result<Shape> {
    let reader = open(path)?;
    let metadata = reader.metadata().file_metadata();
    let columns = metadata.schema_descr().columns();
    let notes = metadata.key_value_metadata().into_iter().flatten();
    Ok(Shape {
        rows: u64::try_from(metadata.num_rows()).unwrap_or(0),
        columns: columns.iter().map(|column| column.name().to_owned()).collect(),
        notes: notes
            .map(|note| format!("{} {}", note.key, note.value.as_deref().unwrap_or_default()))
            .collect(),
    })
}

/// Calls `each` with the values that every row has in the text columns `names`; an empty name is of a
/// column that is not asked for, all others must be there.
///
/// # Errors
/// When the file cannot be read, lacks one of the columns, or it holds no text.
pub(crate) fn each_row<const N: usize>(
    path: &Path,
    names: [&str; N],
    mut each: impl FnMut([Option<&str>; N]),
) -> anyhow::Result<()> {
    let reader = open(path)?;
    let columns = reader.parquet_schema().columns();
    let mut asked = Vec::new();
    for name in names.iter().filter(|name| !name.is_empty()) {
        let at = columns.iter().position(|column| column.name() == *name);
        asked.push(at.with_context(|| format!("{} has no column {name}", path.display()))?);
    }
    let mask = ProjectionMask::leaves(reader.parquet_schema(), asked);
    let batches = reader.with_projection(mask).with_batch_size(8_192).build()?;
    for batch in batches {
        let batch = batch.with_context(|| format!("read {}", path.display()))?;
        let texts = |name| batch.column_by_name(name)?.as_string_opt::<i32>();
        let texts = names.map(texts);
        for (name, column) in names.iter().zip(&texts) {
            let fine = name.is_empty() || column.is_some();
            ensure!(fine, "{}: column {name} is not text", path.display());
        }
        for row in 0..batch.num_rows() {
            each(
                texts
                    .map(|column| column.filter(|all| all.is_valid(row)).map(|all| all.value(row))),
            );
        }
    }
    Ok(())
}

/// Calls `each` with the column name and value of every text in the file.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn each_text(path: &Path, mut each: impl FnMut(&str, &str)) -> anyhow::Result<()> {
    let reader = open(path)?;
    let columns = reader.parquet_schema().columns().to_vec();
    let text: Vec<usize> = columns
        .iter()
        .enumerate()
        .filter(|(_, column)| column.physical_type() == Type::BYTE_ARRAY)
        .map(|(index, _)| index)
        .collect();
    texts(path, reader, &text, |place, value| {
        let name = text.get(place).and_then(|index| columns.get(*index));
        each(name.map_or("", |column| column.name()), value);
    })
}

fn texts(
    path: &Path,
    reader: Reader,
    columns: &[usize],
    mut each: impl FnMut(usize, &str),
) -> anyhow::Result<()> {
    let mask = ProjectionMask::leaves(reader.parquet_schema(), columns.iter().copied());
    let batches = reader.with_projection(mask).with_batch_size(8_192).build()?;
    for batch in batches {
        let batch = batch.with_context(|| format!("read {}", path.display()))?;
        column_texts(&batch, &mut each)
            .with_context(|| format!("read the texts of {}", path.display()))?;
    }
    Ok(())
}

fn column_texts(batch: &RecordBatch, each: &mut impl FnMut(usize, &str)) -> anyhow::Result<()> {
    for (place, column) in batch.columns().iter().enumerate() {
        let texts = column.as_string_opt::<i32>();
        if let Some(texts) = texts {
            texts.iter().flatten().for_each(|text| each(place, text));
        } else if let Some(bytes) = column.as_binary_opt::<i32>() {
            for bytes in bytes.iter().flatten() {
                each(place, &String::from_utf8_lossy(bytes));
            }
        } else {
            anyhow::bail!("column {place} is {}, not text", column.data_type());
        }
    }
    Ok(())
}
