//! The values of a closed row group as Arrow arrays.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow_buffer::{
    BooleanBuffer, BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer,
};
use arrow_schema::{ArrowError, DataType, Field, SchemaRef, TimeUnit};

use super::column::{Column, Values};
use crate::warehouse::ColumnType;

/// The Arrow schema of the columns: what the Parquet schema is made from.
pub(super) fn arrow_schema(columns: &[Column]) -> SchemaRef {
    let fields: Vec<Field> = columns
        .iter()
        .map(|column| {
            Field::new(column.name(), data_type(column.column_type), !column.is_required())
        })
        .collect();
    Arc::new(arrow_schema::Schema::new(fields))
}

fn data_type(column_type: ColumnType) -> DataType {
    match column_type {
        ColumnType::Int => DataType::Int64,
        ColumnType::Float => DataType::Float64,
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Datetime => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ColumnType::String => DataType::Utf8,
        ColumnType::Date => DataType::Date32,
    }
}

/// The column as an array of `rows` rows. Takes the values out.
///
/// # Errors
/// For strings beyond 2 GiB.
pub(super) fn array(column: &mut Column, rows: usize) -> Result<ArrayRef, ArrowError> {
    let column_type = column.column_type;
    if let Some(value) = column.constant() {
        column.take();
        let values = ScalarBuffer::from(vec![value; rows]);
        return Ok(Arc::new(TimestampMicrosecondArray::new(values, None).with_timezone("UTC")));
    }
    let mut values = column.take();
    if values.count() == 0 && !column.is_required() {
        return Ok(new_null_array(&data_type(column_type), rows));
    }
    if column_type == ColumnType::String {
        let offsets = OffsetBuffer::new(offsets(&values, rows)?.into());
        let bytes = Buffer::from_vec(std::mem::take(&mut values.bytes));
        return Ok(Arc::new(StringArray::try_new(offsets, bytes, nulls(&values, rows))?));
    }
    let nulls = nulls(&values, rows);
    let slots = slots(&mut values, rows);
    Ok(match column_type {
        ColumnType::Int => Arc::new(Int64Array::new(slots.into(), nulls)),
        ColumnType::Float => {
            // The bits are the floats.
            let floats = ScalarBuffer::<f64>::new(Buffer::from_vec(slots), 0, rows);
            Arc::new(Float64Array::new(floats, nulls))
        }
        ColumnType::Datetime => {
            Arc::new(TimestampMicrosecondArray::new(slots.into(), nulls).with_timezone("UTC"))
        }
        ColumnType::Boolean => {
            let bits = BooleanBuffer::collect_bool(rows, |row| slots[row] != 0);
            Arc::new(BooleanArray::new(bits, nulls))
        }
        ColumnType::Date | ColumnType::String => {
            let days = slots.iter().map(|&day| i32::try_from(day).unwrap_or(i32::MAX));
            Arc::new(Date32Array::new(days.collect(), nulls))
        }
    })
}

/// One slot a row; those of rows without a value are 0.
fn slots(values: &mut Values, rows: usize) -> Vec<i64> {
    if values.fixed.len() == rows {
        return std::mem::take(&mut values.fixed);
    }
    let mut slots = vec![0; rows];
    for (row, value, len) in values.runs() {
        slots[row..row + len].copy_from_slice(&values.fixed[value..value + len]);
    }
    slots
}

/// One start a row and the last end, checked to ascend.
fn offsets(values: &Values, rows: usize) -> Result<Vec<i32>, ArrowError> {
    if !values.ends.is_sorted() || values.ends.first().is_some_and(|&end| end < 0) {
        return Err(ArrowError::OffsetOverflowError(values.bytes.len()));
    }
    let mut offsets = Vec::with_capacity(rows + 1);
    offsets.push(0);
    let mut end = 0;
    for (row, value, len) in values.runs() {
        offsets.resize(row + 1, end);
        offsets.extend_from_slice(&values.ends[value..value + len]);
        end = offsets.last().copied().unwrap_or(end);
    }
    offsets.resize(rows + 1, end);
    Ok(offsets)
}

fn nulls(values: &Values, rows: usize) -> Option<NullBuffer> {
    if values.count() == rows {
        return None;
    }
    let mut bits = BooleanBufferBuilder::new(rows);
    for (row, _, len) in values.runs() {
        bits.append_n(row - bits.len(), false);
        bits.append_n(len, true);
    }
    bits.append_n(rows - bits.len(), false);
    Some(NullBuffer::new(bits.finish()))
}
