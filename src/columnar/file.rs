//! One part: a Parquet file written row group by row group.
//!
//! Owns the file's frame: magic bytes, schema, metadata of row groups and chunks, footer; what is in
//! a chunk is the encoder's. As the file contract asks there is no Arrow schema inside and no page
//! index.

use std::io;
use std::sync::Arc;

use super::Compression;
use super::builder::{Part, Shared, Span};
use super::column::Column;
use super::encode::{Chunk, Kind, Thrift, physical_type};
use super::footer::Footer;
use super::schema::Schema;
use crate::clock::Timestamp;
use crate::warehouse::ColumnType;

/// Who wrote the file, in the form that readers parse. The version of the product is a key-value.
const CREATED_BY: &str = "keelrow version 1.0.0 (build 1)";

const MAGIC: &[u8] = b"PAR1";

/// An open part.
pub(super) struct PartWriter {
    sink: Box<dyn io::Write + Send>,
    /// Bytes written.
    offset: u64,
    /// The columns, as a list's elements.
    schema: Vec<u8>,
    columns: usize,
    /// The closed row groups, as a list's elements.
    groups: Vec<u8>,
    row_groups: Vec<u64>,
    span: Span,
}

impl PartWriter {
    /// Starts a file with these columns.
    pub(super) fn open(
        mut sink: Box<dyn io::Write + Send>,
        columns: &[Column],
    ) -> io::Result<Self> {
        sink.write_all(MAGIC)?;
        let mut schema = Vec::new();
        write_schema(columns, &mut schema);
        Ok(Self {
            sink,
            offset: MAGIC.len() as u64,
            schema,
            columns: columns.len(),
            groups: Vec::new(),
            row_groups: Vec::new(),
            span: Span::NONE,
        })
    }

    /// Rows of the row groups so far.
    pub(super) fn row_groups(&self) -> &[u64] {
        &self.row_groups
    }

    /// Bytes written so far, without the footer.
    pub(super) const fn bytes(&self) -> u64 {
        self.offset
    }

    /// Writes the settled values of the columns, one column after the other, and drops them.
    pub(super) fn write_group(
        &mut self,
        columns: &mut [Column],
        (rows, span): (u32, Span),
        compression: Compression,
        shared: &mut Shared,
    ) -> io::Result<()> {
        let Shared { texts, encoder, spare, .. } = shared;
        let start = self.offset;
        let mut chunks = Vec::with_capacity(columns.len() * 96);
        let mut plain = 0;
        for column in columns.iter_mut() {
            let chunk = encoder.encode(column, rows as usize, texts, compression)?;
            self.sink.write_all(encoder.bytes())?;
            let stored = encoder.bytes().len() as u64;
            write_chunk(column, &chunk, (self.offset, stored), rows, &mut chunks);
            self.offset += stored;
            plain += chunk.plain_bytes;
            if column.column_type == ColumnType::String {
                column.raise_bound(chunk.longest);
            }
            column.clear(spare);
        }
        let mut thrift = Thrift::new(&mut self.groups);
        thrift.list(1, Kind::Struct, columns.len());
        thrift.raw(&chunks);
        thrift.i64(2, plain);
        thrift.i64(3, u64::from(rows));
        thrift.i64(5, start);
        thrift.i64(6, self.offset - start);
        // More than 32,767 row groups of 128 MB are no file; the field is optional.
        if let Ok(ordinal) = i16::try_from(self.row_groups.len()) {
            thrift.i16(7, ordinal);
        }
        thrift.end();
        self.row_groups.push(u64::from(rows));
        self.span.join(span);
        Ok(())
    }

    /// Writes the footer and flushes.
    pub(super) fn finish(
        mut self,
        number: u32,
        schema: Arc<Schema>,
        footer: &Footer,
    ) -> io::Result<Part> {
        let mut metadata = Vec::with_capacity(self.schema.len() + self.groups.len() + 512);
        self.write_metadata(footer, &mut metadata);
        let len = u32::try_from(metadata.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        metadata.extend_from_slice(&len.to_le_bytes());
        metadata.extend_from_slice(MAGIC);
        self.sink.write_all(&metadata)?;
        self.sink.flush()?;
        Ok(Part {
            number,
            schema,
            bytes: self.offset + metadata.len() as u64,
            row_groups: self.row_groups,
            min_received_at: Timestamp::from_micros(self.span.min),
            max_received_at: Timestamp::from_micros(self.span.max),
        })
    }

    fn write_metadata(&self, footer: &Footer, out: &mut Vec<u8>) {
        let mut thrift = Thrift::new(out);
        thrift.i32(1, 1);
        // The root stands before its columns.
        thrift.list(2, Kind::Struct, self.columns + 1);
        thrift.raw(&self.schema);
        thrift.i64(3, self.row_groups.iter().sum());
        thrift.list(4, Kind::Struct, self.row_groups.len());
        thrift.raw(&self.groups);
        let pairs = footer.pairs();
        thrift.list(5, Kind::Struct, pairs.len());
        for (key, value) in pairs {
            let above = thrift.element();
            thrift.binary(1, key.as_bytes());
            thrift.binary(2, value.as_bytes());
            thrift.close(above);
        }
        thrift.binary(6, CREATED_BY.as_bytes());
        // That statistics are in the order of the types.
        thrift.list(7, Kind::Struct, self.columns);
        for _ in 0..self.columns {
            let above = thrift.element();
            thrift.choice(1);
            thrift.close(above);
        }
        thrift.end();
    }
}

/// Repetition of a column.
const REQUIRED: i32 = 0;
const OPTIONAL: i32 = 1;

fn write_schema(columns: &[Column], out: &mut Vec<u8>) {
    let mut thrift = Thrift::new(out);
    thrift.binary(4, b"keelrow");
    thrift.i32(5, i32::try_from(columns.len()).unwrap_or(i32::MAX));
    thrift.end();
    for column in columns {
        let mut thrift = Thrift::new(out);
        thrift.i32(1, physical_type(column.column_type));
        thrift.i32(3, if column.is_required() { REQUIRED } else { OPTIONAL });
        thrift.binary(4, column.name().as_bytes());
        write_logical_type(column.column_type, &mut thrift);
        thrift.end();
    }
}

/// What the values mean, for old readers and new ones.
fn write_logical_type(column_type: ColumnType, thrift: &mut Thrift<'_>) {
    let (converted, logical) = match column_type {
        ColumnType::Int | ColumnType::Float | ColumnType::Boolean => return,
        ColumnType::String => (0, 1),
        ColumnType::Date => (6, 6),
        ColumnType::Datetime => (10, 8),
    };
    thrift.i32(6, converted);
    let above = thrift.open(10);
    if column_type == ColumnType::Datetime {
        let of_time = thrift.open(logical);
        // In UTC.
        thrift.bool(1, true);
        let unit = thrift.open(2);
        // Microseconds.
        thrift.choice(2);
        thrift.close(unit);
        thrift.close(of_time);
    } else {
        thrift.choice(logical);
    }
    thrift.close(above);
}

/// The metadata of a chunk that starts at `offset` and has `stored` bytes.
fn write_chunk(
    column: &Column,
    chunk: &Chunk,
    (offset, stored): (u64, u64),
    rows: u32,
    out: &mut Vec<u8>,
) {
    let mut thrift = Thrift::new(out);
    // Where the metadata would be outside of the footer: nowhere.
    thrift.i64(2, 0);
    let above = thrift.open(3);
    thrift.i32(1, physical_type(column.column_type));
    let encodings = chunk.encodings();
    thrift.list(2, Kind::I32, encodings.len());
    encodings.for_each(|encoding| thrift.number(encoding));
    thrift.list(3, Kind::Binary, 1);
    thrift.bytes(column.name().as_bytes());
    thrift.i32(4, chunk.codec.number());
    thrift.i64(5, u64::from(rows));
    thrift.i64(6, chunk.plain_bytes);
    thrift.i64(7, stored);
    thrift.i64(9, offset + chunk.dictionary_bytes);
    if chunk.dictionary_bytes > 0 {
        thrift.i64(11, offset);
    }
    chunk.stats.write(12, &mut thrift);
    thrift.list(13, Kind::Struct, chunk.pages().count());
    for (kind, encoding, count) in chunk.pages() {
        let above = thrift.element();
        thrift.i32(1, kind);
        thrift.i32(2, encoding);
        thrift.i32(3, i32::try_from(count).unwrap_or(i32::MAX));
        thrift.close(above);
    }
    thrift.close(above);
    thrift.end();
}
