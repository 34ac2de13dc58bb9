//! Parquet files of ours, read back as cells: for the commands that look into the lake, and for
//! tables that are made from others. The loader never reads what it wrote.

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{ArrowError, DataType};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;

use crate::warehouse::{ColumnType, Scalar};

/// Rows decoded at once.
const CHUNK_ROWS: usize = 1_024;

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not Parquet, or cut short.
    #[error("file is no Parquet file")]
    Parquet(#[source] ParquetError),
    /// A page cannot be decoded.
    #[error("rows of the file cannot be decoded")]
    Decode(#[source] ArrowError),
    /// No program of ours writes such a column.
    #[error("column {column} has the type {found}, which no file of ours has")]
    Type {
        /// The column.
        column: String,
        /// Its type.
        found: String,
    },
}

/// A file that is read chunk by chunk, in the order of its rows.
#[derive(Debug)]
pub struct FileReader {
    columns: Vec<(String, ColumnType)>,
    chunks: ParquetRecordBatchReader,
}

impl FileReader {
    /// Opens the file in `bytes` and reads the columns that are `wanted`.
    ///
    /// # Errors
    /// [`ReadError::Parquet`], or [`ReadError::Type`] for a wanted column.
    pub fn open(bytes: Bytes, wanted: impl Fn(&str) -> bool) -> Result<Self, ReadError> {
        let builder =
            ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(ReadError::Parquet)?;
        let mut columns = Vec::new();
        let mut roots = Vec::new();
        for (at, field) in builder.schema().fields().iter().enumerate() {
            if wanted(field.name()) {
                columns.push((field.name().clone(), column_type(field)?));
                roots.push(at);
            }
        }
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let chunks = builder.with_projection(mask).with_batch_size(CHUNK_ROWS).build();
        Ok(Self { columns, chunks: chunks.map_err(ReadError::Parquet)? })
    }

    /// Names and types of the columns read, in their order in the file.
    #[must_use]
    pub fn columns(&self) -> &[(String, ColumnType)] {
        &self.columns
    }

    /// The next rows; `None` at the end.
    ///
    /// # Errors
    /// [`ReadError::Decode`].
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, ReadError> {
        let Some(batch) = self.chunks.next().transpose().map_err(ReadError::Decode)? else {
            return Ok(None);
        };
        Ok(Some(Chunk { rows: batch.num_rows(), arrays: batch.columns().to_vec() }))
    }
}

fn column_type(field: &arrow_schema::Field) -> Result<ColumnType, ReadError> {
    Ok(match field.data_type() {
        DataType::Utf8 => ColumnType::String,
        DataType::Int64 => ColumnType::Int,
        DataType::Float64 => ColumnType::Float,
        DataType::Boolean => ColumnType::Boolean,
        DataType::Date32 => ColumnType::Date,
        DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, _) => ColumnType::Datetime,
        other => {
            let (column, found) = (field.name().clone(), other.to_string());
            return Err(ReadError::Type { column, found });
        }
    })
}

/// Some rows of a file.
#[derive(Debug)]
pub struct Chunk {
    rows: usize,
    arrays: Vec<ArrayRef>,
}

impl Chunk {
    /// Number of rows.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// True if the row has a value in the column, counted as [`FileReader::columns`] does.
    #[must_use]
    pub fn is_filled(&self, column: usize, row: usize) -> bool {
        self.arrays.get(column).is_some_and(|array| row < self.rows && array.is_valid(row))
    }

    /// The value of a row; a day is the integer of days since 1970.
    #[must_use]
    pub fn value(&self, column: usize, row: usize) -> Option<Scalar<'_>> {
        if !self.is_filled(column, row) {
            return None;
        }
        let array = self.arrays.get(column)?;
        Some(match array.data_type() {
            DataType::Utf8 => Scalar::Text(array.as_string::<i32>().value(row)),
            DataType::Int64 => Scalar::Int(array.as_primitive::<Int64Type>().value(row)),
            DataType::Float64 => Scalar::Float(array.as_primitive::<Float64Type>().value(row)),
            DataType::Boolean => Scalar::Bool(array.as_boolean().value(row)),
            DataType::Date32 => {
                Scalar::Int(i64::from(array.as_primitive::<Date32Type>().value(row)))
            }
            DataType::Timestamp(..) => {
                Scalar::Datetime(array.as_primitive::<TimestampMicrosecondType>().value(row))
            }
            _ => return None,
        })
    }
}
