//! One part: a Parquet file written row group by row group.
//!
//! The properties are those of the file contract: data pages v1 below 1 MiB, statistics of chunks
//! only, no Arrow schema inside, times delta-packed, no dictionary where every value differs.

use std::io;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression as Codec, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesPtr, WriterVersion,
};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, TypePtr};

use super::arrays;
use super::builder::{Part, Span};
use super::column::Column;
use super::footer::Footer;
use super::schema::Schema;
use super::{Compression, Settings};
use crate::clock::Timestamp;
use crate::warehouse::ColumnType;

/// Who wrote the file, in the form that readers parse. The version of the product is a key-value.
const CREATED_BY: &str = "keelrow version 1.0.0 (build 1)";

/// Pages close at half the size they may have, for a page may pass the mark by one value or batch.
const PAGE_BYTES: usize = 512 << 10;

/// Buffered bytes of a chunk from which zstd is used in [`Compression::Auto`]: a zstd writer costs
/// 35-40 us to make whatever the size. At 33,750 events in 58 tables (benches/parquet_write.rs) zstd
/// from 4 KiB on took 4 us an event more than snappy everywhere, from 16 KiB on nothing that could
/// be measured, for 274 instead of 322 bytes of file an event; from 64 KiB on it was 296.
const ZSTD_BYTES_MIN: usize = 16 << 10;

/// An open part.
pub(super) struct PartWriter {
    writer: SerializedFileWriter<Box<dyn io::Write + Send>>,
    arrow: SchemaRef,
    root: TypePtr,
    row_groups: Vec<u64>,
    span: Span,
}

impl PartWriter {
    /// Starts a file with these columns.
    pub(super) fn open(
        sink: Box<dyn io::Write + Send>,
        columns: &[Column],
        settings: &Settings,
    ) -> Result<Self, ParquetError> {
        let arrow = arrays::arrow_schema(columns);
        let descriptor = ArrowSchemaConverter::new().schema_root("keelrow").convert(&arrow)?;
        let root = descriptor.root_schema_ptr();
        let properties = properties(columns, settings);
        let writer = SerializedFileWriter::new(sink, Arc::clone(&root), properties)?;
        Ok(Self { writer, arrow, root, row_groups: Vec::new(), span: Span::NONE })
    }

    /// Rows of the row groups so far.
    pub(super) fn row_groups(&self) -> &[u64] {
        &self.row_groups
    }

    /// Bytes written so far, without the footer.
    pub(super) fn bytes(&self) -> u64 {
        self.writer.bytes_written() as u64
    }

    /// Writes the settled values of the columns, one column after the other so that only one is
    /// held twice.
    pub(super) fn write_group(
        &mut self,
        columns: &mut [Column],
        rows: u32,
        span: Span,
        settings: &Settings,
    ) -> Result<(), ParquetError> {
        let index = self.row_groups.len();
        let factory = if index == 0 {
            ArrowRowGroupWriterFactory::new(&self.writer, Arc::clone(&self.arrow))
        } else {
            // A file has one set of properties; the codecs of this row group are its own.
            let properties = properties(columns, settings);
            let other = SerializedFileWriter::new(io::sink(), Arc::clone(&self.root), properties)?;
            ArrowRowGroupWriterFactory::new(&other, Arc::clone(&self.arrow))
        };
        let chunks = factory.create_column_writers(index)?;
        let mut group = self.writer.next_row_group()?;
        for ((column, field), mut chunk) in columns.iter_mut().zip(self.arrow.fields()).zip(chunks)
        {
            let array = arrays::array(column, rows as usize)?;
            for leaf in compute_leaves(field, &array)? {
                chunk.write(&leaf)?;
            }
            chunk.close()?.append_to_row_group(&mut group)?;
        }
        group.close()?;
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
    ) -> Result<Part, ParquetError> {
        for (key, value) in footer.pairs() {
            self.writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
        }
        self.writer.finish()?;
        Ok(Part {
            number,
            schema,
            bytes: self.writer.bytes_written() as u64,
            row_groups: self.row_groups,
            min_received_at: Timestamp::from_micros(self.span.min),
            max_received_at: Timestamp::from_micros(self.span.max),
        })
    }
}

/// How the chunks of this row group are written: a function of their values alone.
fn properties(columns: &[Column], settings: &Settings) -> WriterPropertiesPtr {
    let zstd = Codec::ZSTD(ZstdLevel::default());
    let codec = |column: &Column| match settings.compression {
        Compression::Zstd => zstd,
        Compression::Snappy => Codec::SNAPPY,
        Compression::Auto if column.size() >= ZSTD_BYTES_MIN => zstd,
        Compression::Auto => Codec::SNAPPY,
    };
    let large = columns.iter().filter(|&column| codec(column) == zstd).count();
    let usual = if large * 2 > columns.len() { zstd } else { Codec::SNAPPY };
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(CREATED_BY.to_owned())
        .set_data_page_size_limit(PAGE_BYTES)
        .set_dictionary_page_size_limit(PAGE_BYTES)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_compression(usual);
    for column in columns {
        let path = || ColumnPath::new(vec![column.name().to_owned()]);
        let codec = codec(column);
        if codec != usual {
            properties = properties.set_column_compression(path(), codec);
        }
        if column.column_type == ColumnType::Datetime {
            properties = properties
                .set_column_dictionary_enabled(path(), false)
                .set_column_encoding(path(), Encoding::DELTA_BINARY_PACKED);
        } else if column.name() == "id" {
            properties = properties.set_column_dictionary_enabled(path(), false);
        }
    }
    Arc::new(properties.build())
}
