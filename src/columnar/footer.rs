//! What the footer of a part says about it, so that a loader knows its own files again.

use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::ChunkReader;

/// The key-values of a part's footer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// The version of the program that wrote it.
    pub product_version: String,
    /// The writer's id.
    pub writer: String,
    /// Number of the batch.
    pub batch: u64,
    /// Number of the part within table and batch.
    pub part: u32,
    /// First journal position of the batch.
    pub first_position: u64,
    /// Version of the table's schema.
    pub schema_version: u64,
}

/// The file is not one of ours.
#[derive(Debug, thiserror::Error)]
pub enum FooterError {
    /// Not Parquet, or cut short.
    #[error("file has no Parquet footer")]
    Parquet(#[source] ParquetError),
    /// A key-value of ours is missing or no number.
    #[error("footer lacks a good {key}")]
    Key {
        /// Its key.
        key: &'static str,
    },
}

const PRODUCT_VERSION: &str = "keelrow.version";
const WRITER: &str = "keelrow.writer";
const BATCH: &str = "keelrow.batch";
const PART: &str = "keelrow.part";
const FIRST_POSITION: &str = "keelrow.first_position";
const SCHEMA_VERSION: &str = "keelrow.schema_version";

impl Footer {
    /// Keys and values in the order they are written.
    pub(super) fn pairs(&self) -> [(&'static str, String); 6] {
        [
            (PRODUCT_VERSION, self.product_version.clone()),
            (WRITER, self.writer.clone()),
            (BATCH, self.batch.to_string()),
            (PART, self.part.to_string()),
            (FIRST_POSITION, self.first_position.to_string()),
            (SCHEMA_VERSION, self.schema_version.to_string()),
        ]
    }

    fn from_metadata(metadata: &ParquetMetaData) -> Result<Self, FooterError> {
        let pairs = metadata.file_metadata().key_value_metadata();
        let get = |key: &'static str| {
            pairs
                .into_iter()
                .flatten()
                .find(|pair| pair.key == key)
                .and_then(|pair| pair.value.clone())
                .ok_or(FooterError::Key { key })
        };
        let number =
            |key: &'static str| get(key)?.parse::<u64>().map_err(|_| FooterError::Key { key });
        Ok(Self {
            product_version: get(PRODUCT_VERSION)?,
            writer: get(WRITER)?,
            batch: number(BATCH)?,
            part: u32::try_from(number(PART)?).map_err(|_| FooterError::Key { key: PART })?,
            first_position: number(FIRST_POSITION)?,
            schema_version: number(SCHEMA_VERSION)?,
        })
    }
}

/// Reads our key-values and the row counts of the row groups from a file or from bytes.
///
/// # Errors
/// [`FooterError`] for anything that we did not write.
pub fn read_footer<R: ChunkReader>(reader: &R) -> Result<(Footer, Vec<u64>), FooterError> {
    let metadata =
        ParquetMetaDataReader::new().parse_and_finish(reader).map_err(FooterError::Parquet)?;
    let rows = metadata.row_groups().iter();
    let rows = rows.map(|group| u64::try_from(group.num_rows()).unwrap_or(0)).collect();
    Ok((Footer::from_metadata(&metadata)?, rows))
}
