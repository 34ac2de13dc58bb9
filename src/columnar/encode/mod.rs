//! A column of a closed row group as a Parquet column chunk.
//!
//! Written for what the builders hold: flat columns of six types, strings as numbers of texts, rows
//! as runs. Data pages v1 below 1 MiB, levels and dictionary places as repeats and packed bits,
//! times as differences, statistics of the chunk. Which encoding and codec a chunk has is a function
//! of its values alone, so that it has the same bytes whenever it is made again. The compressors and
//! all buffers are kept from chunk to chunk: most chunks of a batch are small, and what each needs
//! beyond its values is what a batch of many tables costs.

mod bits;
mod codec;
mod dictionary;
mod stats;
mod thrift;

#[cfg(test)]
mod tests;

use std::io;

use super::Compression;
use super::column::{Column, Values};
use super::texts::Texts;
use crate::warehouse::ColumnType;

pub(super) use codec::Codec;
pub(super) use stats::Stats;
pub(super) use thrift::{Kind, Thrift};

use codec::Codecs;
use dictionary::{Numbers, Words};

/// Pages close at half the size they may have, for one value may pass the mark.
const PAGE_BYTES: usize = 512 << 10;

/// Most values of a page: those of 64 bits fill it to the mark.
const PAGE_VALUES: usize = PAGE_BYTES / 8;

/// Encoded bytes of a chunk from which zstd is used in [`Compression::Auto`].
const ZSTD_BYTES_MIN: usize = 1 << 10;

/// Parquet's numbers of encodings.
const PLAIN: i32 = 0;
const DICTIONARY: i32 = 2;
const RLE: i32 = 3;

/// A chunk that was encoded.
#[derive(Debug)]
pub(super) struct Chunk {
    /// How its pages are compressed.
    pub(super) codec: Codec,
    /// How its values are encoded: a number of Parquet's.
    encoding: i32,
    /// Data pages.
    pages: usize,
    /// Bytes of the dictionary page with its header; 0 without one.
    pub(super) dictionary_bytes: u64,
    /// Bytes of all pages with their headers, as they would be without compression.
    pub(super) plain_bytes: u64,
    /// Least, most, nulls.
    pub(super) stats: Stats,
    /// The longest string in bytes.
    pub(super) longest: u64,
}

impl Chunk {
    /// Parquet's numbers of all encodings in the chunk.
    pub(super) fn encodings(&self) -> impl ExactSizeIterator<Item = i32> {
        [RLE, self.encoding].into_iter()
    }

    /// Kinds of pages, encoding and number: what tells readers that the dictionary holds all values.
    pub(super) fn pages(&self) -> impl Iterator<Item = (i32, i32, usize)> {
        let dictionary = (self.dictionary_bytes > 0).then_some((DICTIONARY_PAGE, DICTIONARY, 1));
        dictionary.into_iter().chain([(DATA_PAGE, self.encoding, self.pages)])
    }
}

const DATA_PAGE: i32 = 0;
const DICTIONARY_PAGE: i32 = 2;

/// A page before it is compressed.
#[derive(Clone, Copy, Debug)]
struct Page {
    kind: i32,
    /// Values; in a data page the nulls, too.
    values: usize,
    /// Where it ends among the bodies.
    end: usize,
}

/// Encodes chunks, one after the other.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    codecs: Codecs,
    words: Words,
    numbers: Numbers,
    /// The pages' bodies, one after the other.
    bodies: Vec<u8>,
    pages: Vec<Page>,
    /// Where pages end: row and number of the value.
    cuts: Vec<(usize, usize)>,
    /// The chunk as it goes to the file.
    out: Vec<u8>,
}

/// A column to be encoded.
#[derive(Clone, Copy)]
struct Given<'c> {
    values: &'c Values,
    rows: usize,
    is_required: bool,
}

/// Bytes of buffers that are kept from batch to batch.
const KEPT_BYTES_MAX: usize = 8 << 20;

impl Encoder {
    /// The bytes of the chunk encoded last.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.out
    }

    /// Gives up buffers that very large chunks made grow.
    pub(super) fn clear(&mut self) {
        let bytes = self.bodies.capacity() + self.out.capacity() + self.codecs.size();
        if bytes + self.words.size() + self.numbers.size() > KEPT_BYTES_MAX {
            *self = Self::default();
        }
    }

    /// Encodes the values of `column`, which has `rows` rows.
    ///
    /// # Errors
    /// What a compressor says.
    pub(super) fn encode(
        &mut self,
        column: &Column,
        rows: usize,
        texts: &Texts,
        compression: Compression,
    ) -> io::Result<Chunk> {
        self.bodies.clear();
        self.pages.clear();
        let values = column.values();
        let given = Given { values, rows, is_required: column.is_required() };
        let (encoding, stats, longest) = match (column.constant(), column.column_type) {
            (Some(value), _) => (self.constant(value, rows), Stats::of_slots([value]), 0),
            (None, _) if values.count() == 0 => {
                self.begin_page(given, 0, rows);
                self.end_data_page(rows);
                (PLAIN, Stats::default(), 0)
            }
            (None, ColumnType::String) => self.strings(given, column.name() == "id", texts),
            (None, column_type) => self.slots(given, column_type),
        };
        let nulls = if column.constant().is_some() { 0 } else { rows - values.count() };
        let codec = match compression {
            Compression::Zstd => Codec::Zstd,
            Compression::Snappy => Codec::Snappy,
            Compression::Auto if self.bodies.len() >= ZSTD_BYTES_MIN => Codec::Zstd,
            Compression::Auto => Codec::Snappy,
        };
        let stats = stats.with_nulls(nulls);
        let (dictionary_bytes, plain_bytes) = self.write(encoding, codec)?;
        let pages = self.pages.iter().filter(|page| page.kind == DATA_PAGE).count();
        Ok(Chunk { codec, encoding, pages, dictionary_bytes, plain_bytes, stats, longest })
    }

    /// The same value in every row, as a dictionary of one.
    fn constant(&mut self, value: i64, rows: usize) -> i32 {
        self.bodies.extend_from_slice(&value.to_le_bytes());
        self.end_page(DICTIONARY_PAGE, 1);
        bits::all_present(rows, &mut self.bodies);
        self.bodies.push(1);
        bits::repeat(0, rows, 1, &mut self.bodies);
        self.end_data_page(rows);
        DICTIONARY
    }

    fn strings(&mut self, given: Given<'_>, is_unique: bool, texts: &Texts) -> (i32, Stats, u64) {
        let all = &given.values.texts;
        let words = &mut self.words;
        let pays = !is_unique && words.collect(all, texts);
        let (stats, longest) = if is_unique {
            Stats::of_texts(all, texts)
        } else {
            Stats::of_texts(words.distinct(), texts)
        };
        if pays {
            for &text in self.words.distinct() {
                plain_text(texts.get(text), &mut self.bodies);
            }
            let distinct = self.words.distinct().len();
            self.end_page(DICTIONARY_PAGE, distinct);
            self.places(given, distinct);
            return (DICTIONARY, stats, longest);
        }
        self.cut(given, |value| all.get(value).map_or(0, |text| 4 + texts.get(*text).len()));
        self.data_pages(given, |bodies, from, to| {
            for &text in all.get(from..to).unwrap_or_default() {
                plain_text(texts.get(text), bodies);
            }
        });
        (PLAIN, stats, longest)
    }

    fn slots(&mut self, given: Given<'_>, column_type: ColumnType) -> (i32, Stats, u64) {
        let all = &given.values.fixed;
        let stats = match column_type {
            ColumnType::Boolean => Stats::of_booleans(all),
            ColumnType::Float => Stats::of_floats(all),
            ColumnType::Date => Stats::of_dates(all),
            _ => Stats::of_slots(all.iter().copied()),
        };
        let width = if column_type == ColumnType::Date { 4 } else { 8 };
        let has_few = column_type != ColumnType::Boolean && self.numbers.collect(all, width);
        if has_few {
            for value in self.numbers.distinct() {
                self.bodies.extend_from_slice(&value.to_le_bytes()[..width]);
            }
            let distinct = self.numbers.distinct().len();
            self.end_page(DICTIONARY_PAGE, distinct);
            self.places(given, distinct);
            return (DICTIONARY, stats, 0);
        }
        self.cut(given, |_| 8);
        let of = |from: usize, to: usize| all.get(from..to).unwrap_or_default();
        match column_type {
            ColumnType::Boolean => self.data_pages(given, |bodies, from, to| {
                bits::pack(of(from, to).iter().map(|value| u64::from(*value != 0)), 1, bodies);
            }),
            // Differences would be smaller, but not every warehouse reads them.
            _ => self.data_pages(given, |bodies, from, to| {
                of(from, to).iter().for_each(|value| bodies.extend(&value.to_le_bytes()[..width]));
            }),
        }
        (PLAIN, stats, 0)
    }

    /// Data pages of places in the dictionary.
    fn places(&mut self, given: Given<'_>, distinct: usize) {
        // One at least: not every reader knows numbers of no bits.
        let width = bits::width_of(distinct.saturating_sub(1) as u64).max(1);
        self.cut(given, |_| 8);
        let places = if given.values.texts.is_empty() {
            std::mem::take(&mut self.numbers.places)
        } else {
            std::mem::take(&mut self.words.places)
        };
        self.data_pages(given, |bodies, from, to| {
            bodies.push(width.to_le_bytes()[0]);
            bits::hybrid(places.get(from..to).unwrap_or_default(), width, bodies);
        });
        if given.values.texts.is_empty() {
            self.numbers.places = places;
        } else {
            self.words.places = places;
        }
    }

    /// Decides where pages end, by the bytes of each value.
    fn cut(&mut self, given: Given<'_>, bytes: impl Fn(usize) -> usize) {
        self.cuts.clear();
        let count = given.values.count();
        let (mut sum, mut first) = (0, 0);
        for value in 0..count {
            let of_value = bytes(value);
            if value > first && (sum + of_value > PAGE_BYTES || value - first >= PAGE_VALUES) {
                self.cuts.push((0, value));
                (sum, first) = (0, value);
            }
            sum += of_value;
        }
        // The row of a value is looked up only where there is more than one page.
        let mut runs = given.values.runs();
        let mut run = runs.next();
        for (row, value) in &mut self.cuts {
            while let Some((first_row, first_value, len)) = run {
                if *value < first_value + len {
                    *row = first_row + (*value - first_value);
                    break;
                }
                run = runs.next();
            }
        }
        self.cuts.push((given.rows, count));
    }

    /// Writes the pages that were cut; `write` appends the values from one number to another.
    fn data_pages(&mut self, given: Given<'_>, write: impl Fn(&mut Vec<u8>, usize, usize)) {
        let (mut row, mut value) = (0, 0);
        for at in 0..self.cuts.len() {
            let Some(&(row_end, value_end)) = self.cuts.get(at) else { return };
            self.begin_page(given, row, row_end);
            write(&mut self.bodies, value, value_end);
            self.end_data_page(row_end - row);
            (row, value) = (row_end, value_end);
        }
    }

    /// Which rows have a value, where not all must have one.
    fn begin_page(&mut self, given: Given<'_>, from: usize, to: usize) {
        if !given.is_required {
            bits::levels(given.values, from, to, &mut self.bodies);
        }
    }

    fn end_data_page(&mut self, rows: usize) {
        self.end_page(DATA_PAGE, rows);
    }

    fn end_page(&mut self, kind: i32, values: usize) {
        self.pages.push(Page { kind, values, end: self.bodies.len() });
    }

    /// Compresses the pages and puts their headers before them. Returns the bytes of the dictionary
    /// page, and those of all without compression.
    fn write(&mut self, encoding: i32, codec: Codec) -> io::Result<(u64, u64)> {
        self.out.clear();
        let (mut dictionary, mut plain, mut start) = (0, 0, 0);
        for page in &self.pages {
            let body = self.bodies.get(start..page.end).unwrap_or_default();
            start = page.end;
            let compressed = self.codecs.compress(codec, body)?;
            let head = self.out.len();
            write_header(page, encoding, (body.len(), compressed.len()), &mut self.out);
            plain += (self.out.len() - head + body.len()) as u64;
            self.out.extend_from_slice(compressed);
            if page.kind == DICTIONARY_PAGE {
                dictionary = self.out.len() as u64;
            }
        }
        Ok((dictionary, plain))
    }
}

/// The header of a page: a structure of its own before the page's bytes.
fn write_header(page: &Page, encoding: i32, (plain, stored): (usize, usize), out: &mut Vec<u8>) {
    // Pages are smaller than 2 GiB, as events are.
    let int = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let mut thrift = Thrift::new(out);
    thrift.i32(1, page.kind);
    thrift.i32(2, int(plain));
    thrift.i32(3, int(stored));
    if page.kind == DICTIONARY_PAGE {
        let above = thrift.open(7);
        thrift.i32(1, int(page.values));
        thrift.i32(2, DICTIONARY);
        thrift.close(above);
    } else {
        let above = thrift.open(5);
        thrift.i32(1, int(page.values));
        thrift.i32(2, encoding);
        thrift.i32(3, RLE);
        thrift.i32(4, RLE);
        thrift.close(above);
    }
    thrift.end();
}

fn plain_text(text: &[u8], out: &mut Vec<u8>) {
    // Below 2 GiB, as events are.
    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(text);
}

/// Parquet's number of the type's physical form.
pub(super) const fn physical_type(column_type: ColumnType) -> i32 {
    match column_type {
        ColumnType::Boolean => 0,
        ColumnType::Date => 1,
        ColumnType::Int | ColumnType::Datetime => 2,
        ColumnType::Float => 5,
        ColumnType::String => 6,
    }
}
