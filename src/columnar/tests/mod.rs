//! What is written is read back with the Parquet library: cuts against rewrites, values against the
//! cells they came from.

mod batches;
mod properties;
mod routing;
mod shapes;
mod sink;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::builder::{Given, Shared, Table, TableBuilder};
use super::*;
use crate::clock::Timestamp;
use crate::warehouse::{Cell, Scalar, TableKind};

/// Files in memory, by part.
#[derive(Clone, Default)]
pub(super) struct Memory(pub(super) Arc<Mutex<Vec<Vec<u8>>>>);

struct Sink(Memory, usize);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.0.lock().unwrap()[self.1].extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Files for Memory {
    fn create(&mut self, part: u32) -> io::Result<Box<dyn io::Write + Send>> {
        let mut files = self.0.lock().unwrap();
        assert_eq!(files.len(), part as usize);
        files.push(Vec::new());
        Ok(Box::new(Sink(self.clone(), part as usize)))
    }
}

impl Memory {
    pub(super) fn files(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().clone()
    }
}

/// No cell comes from a tape.
pub(super) struct Made;

impl Leaves for Made {
    fn describe(&self, _: u32, _: &mut String) -> bool {
        true
    }
}

/// A value that owns its text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Int(i64),
    Float(f64),
    Datetime(i64),
    Text(String),
    Date(i32),
}

impl Value {
    pub(super) fn scalar(&self) -> Scalar<'_> {
        match self {
            Self::Bool(value) => Scalar::Bool(*value),
            Self::Int(value) => Scalar::Int(*value),
            Self::Float(value) => Scalar::Float(*value),
            Self::Datetime(value) => Scalar::Datetime(*value),
            Self::Text(value) => Scalar::Text(value),
            Self::Date(_) => unreachable!("no cell is a date"),
        }
    }
}

pub(super) fn settings() -> Settings {
    Settings::new("node-1", 42, 1_200, Timestamp::from_millis(1_763_719_200_000))
}

pub(super) fn table(name: &str) -> Table {
    Table {
        name: name.to_owned(),
        kind: TableKind::Event,
        initial: Vec::new(),
        constants: Vec::new(),
    }
}

pub(super) fn open(settings: Settings, plan: Plan) -> (Bench, Memory) {
    let files = Memory::default();
    let builder = TableBuilder::open(Arc::new(settings), table("t"), plan, Box::new(files.clone()));
    (Bench::new(builder), files)
}

/// A builder with all it needs.
pub(super) struct Bench {
    pub(super) builder: TableBuilder,
    pub(super) shared: Shared,
}

impl Bench {
    pub(super) fn new(builder: TableBuilder) -> Self {
        Self { builder, shared: Shared::default() }
    }

    pub(super) fn cell(&mut self, name: &str, cell: &Cell<'_>, leaves: &dyn Leaves) {
        let given = &mut Given::new(cell);
        self.builder.cell_named(name, given, &mut self.shared.texts, leaves);
    }

    pub(super) fn end_row(&mut self) -> Result<(), Error> {
        self.builder.end_row(&mut self.shared)
    }

    pub(super) fn close_row_group(&mut self) -> Result<(), Error> {
        self.builder.close_row_group(&mut self.shared)
    }

    pub(super) fn finish(mut self) -> Result<Vec<Part>, Error> {
        self.builder.finish(&mut self.shared)
    }
}

impl std::ops::Deref for Bench {
    type Target = TableBuilder;

    fn deref(&self) -> &TableBuilder {
        &self.builder
    }
}

impl std::ops::DerefMut for Bench {
    fn deref_mut(&mut self) -> &mut TableBuilder {
        &mut self.builder
    }
}

pub(super) fn row(builder: &mut Bench, cells: &[(&str, Scalar<'_>, &str)]) {
    builder.begin_row(1_000_000);
    for &(name, value, text) in cells {
        builder.cell(name, &Cell { value, text, origin: u32::MAX }, &Made);
    }
    builder.end_row().unwrap();
}

pub(super) fn planned(parts: &[Part]) -> Plan {
    let part = |part: &Part| PlannedPart {
        schema: Schema::clone(&part.schema),
        row_groups: part.row_groups.clone(),
    };
    Plan::Rewrite(parts.iter().map(part).collect())
}

/// The rows of a file, nulls left out.
pub(super) fn rows_of(file: &[u8]) -> Vec<BTreeMap<String, Value>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file.to_vec())).unwrap();
    let mut rows = Vec::new();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        rows.extend((0..batch.num_rows()).map(|row| row_of(&batch, row)));
    }
    rows
}

fn row_of(batch: &RecordBatch, row: usize) -> BTreeMap<String, Value> {
    let schema = batch.schema();
    let filled = schema.fields().iter().zip(batch.columns()).filter(|(_, a)| a.is_valid(row));
    filled
        .map(|(field, array)| {
            let value = match array.data_type() {
                DataType::Boolean => Value::Bool(array.as_boolean().value(row)),
                DataType::Int64 => Value::Int(array.as_primitive::<Int64Type>().value(row)),
                DataType::Float64 => Value::Float(array.as_primitive::<Float64Type>().value(row)),
                DataType::Date32 => Value::Date(array.as_primitive::<Date32Type>().value(row)),
                DataType::Timestamp(..) => {
                    Value::Datetime(array.as_primitive::<TimestampMicrosecondType>().value(row))
                }
                _ => Value::Text(array.as_string::<i32>().value(row).to_owned()),
            };
            (field.name().clone(), value)
        })
        .collect()
}
