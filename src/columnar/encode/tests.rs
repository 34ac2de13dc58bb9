//! Chunks of any shape are read back by the Parquet library: values, nulls, statistics, pages.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::data_type::AsBytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::statistics::Statistics;
use proptest::prelude::*;

use super::{Encoder, KEPT_BYTES_MAX};
use crate::columnar::builder::{Shared, Table, TableBuilder};
use crate::columnar::tests::{Bench, Memory, Value, row, rows_of, settings};
use crate::columnar::{Compression, Plan, Schema};
use crate::warehouse::{Scalar, TableKind};

/// The file of one column of these values.
fn file(values: &[Option<Value>], compression: Compression) -> Bytes {
    let files = Memory::default();
    let mut settings = settings();
    settings.compression = compression;
    let table = Table {
        name: "t".to_owned(),
        kind: TableKind::Event,
        initial: Vec::new(),
        constants: vec![("uuid_ts", settings.batch_time)],
    };
    let plan = Plan::Cut(Schema::empty().into());
    let builder = TableBuilder::open(Arc::new(settings), table, plan, Box::new(files.clone()));
    let mut bench = Bench { builder, shared: Shared::default() };
    for value in values {
        match value {
            None => row(&mut bench, &[]),
            Some(value) => {
                let text = match value {
                    Value::Text(text) => text.clone(),
                    other => format!("{other:?}"),
                };
                row(&mut bench, &[("x", value.scalar(), &text)]);
            }
        }
    }
    bench.finish().unwrap();
    Bytes::from(files.files()[0].clone())
}

fn read_back(values: &[Option<Value>], compression: Compression) -> SerializedFileReader<Bytes> {
    let file = file(values, compression);
    let rows = rows_of(&file);
    assert_eq!(rows.len(), values.len());
    for (row, value) in rows.iter().zip(values) {
        assert_eq!(row.get("x"), value.as_ref());
        let time = Value::Datetime(settings().batch_time.micros());
        assert_eq!(row.get("uuid_ts"), Some(&time));
    }
    SerializedFileReader::new(file).unwrap()
}

fn encodings(reader: &SerializedFileReader<Bytes>) -> Vec<Encoding> {
    reader.metadata().row_group(0).column(1).encodings().collect()
}

fn pages(reader: &SerializedFileReader<Bytes>) -> usize {
    let pages = reader.get_row_group(0).unwrap().get_column_page_reader(1).unwrap();
    pages.map(|page| assert!(page.unwrap().buffer().len() < 1 << 20)).count()
}

#[test]
fn few_values_have_a_dictionary_and_many_have_none() {
    let text = |n: i64| Some(Value::Text(format!("a text of some length, number {n}")));
    let few: Vec<_> = (0..1_000).map(|n| text(n % 7)).collect();
    let many: Vec<_> = (0..1_000).map(text).collect();
    let all = [Compression::Auto, Compression::Zstd, Compression::Snappy];
    for compression in all {
        assert!(encodings(&read_back(&few, compression)).contains(&Encoding::PLAIN_DICTIONARY));
        assert!(encodings(&read_back(&many, compression)).contains(&Encoding::PLAIN));
    }
    // Long texts, each of which has a number of its own.
    let few: Vec<_> =
        (0..40).map(|n| Some(Value::Text(format!("{}{}", "x".repeat(2_000), n % 2)))).collect();
    assert!(encodings(&read_back(&few, all[0])).contains(&Encoding::PLAIN_DICTIONARY));
    let few: Vec<_> = (0..1_000).map(|n| Some(Value::Int(n % 7 * 1_000_000))).collect();
    assert!(encodings(&read_back(&few, all[0])).contains(&Encoding::PLAIN_DICTIONARY));
    let many: Vec<_> = (0..9_000).map(|n| Some(Value::Int(n * n * n))).collect();
    assert!(encodings(&read_back(&many, all[0])).contains(&Encoding::PLAIN));
}

#[test]
fn large_chunks_have_pages_within_the_bound() {
    // Gaps before, amid and behind the values, so that pages begin and end between rows.
    let text = |n: usize| match n % 5 {
        1 | 2 => None,
        _ => Some(Value::Text(format!("{n}: {}", "lorem ipsum ".repeat(9)))),
    };
    let texts: Vec<_> = (1..30_000).map(text).chain(std::iter::repeat_n(None, 999)).collect();
    assert!(pages(&read_back(&texts, Compression::Auto)) > 3);
    let floats: Vec<_> = (0..150_000).map(|n| Some(Value::Float(f64::from(n).sqrt()))).collect();
    assert!(pages(&read_back(&floats, Compression::Auto)) > 2);
    let long = |n: u8| Some(Value::Text(String::from(char::from(n)).repeat(700_000)));
    assert_eq!(pages(&read_back(&[long(b'a'), None, long(b'b')], Compression::Auto)), 2);
}

#[test]
fn statistics_hold_every_value() {
    let long = |end: &str| Some(Value::Text(format!("{}{end}", "é".repeat(40))));
    let reader = read_back(&[long("a"), None, long("b")], Compression::Auto);
    let statistics = reader.metadata().row_group(0).column(1).statistics().unwrap();
    assert_eq!(statistics.null_count_opt(), Some(1));
    assert!(!statistics.min_is_exact() && !statistics.max_is_exact());
    let (least, most) = (statistics.min_bytes_opt().unwrap(), statistics.max_bytes_opt().unwrap());
    assert_eq!(least, "é".repeat(32).as_bytes());
    assert_eq!(most, format!("{}ê", "é".repeat(31)).as_bytes());
    let last = char::MAX.to_string().repeat(30);
    let reader = read_back(&[Some(Value::Text(last))], Compression::Auto);
    let statistics = reader.metadata().row_group(0).column(1).statistics().unwrap();
    assert_eq!(statistics.max_bytes_opt(), None, "there is no text above");
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-3_i64..3).prop_map(Value::Int),
        any::<i64>().prop_map(Value::Datetime),
        prop_oneof![Just(0.0), Just(-0.0), Just(1.5), any::<f64>()]
            .prop_filter("a JSON number", |float| float.is_finite())
            .prop_map(Value::Float),
        ".{0,4}".prop_map(Value::Text),
    ]
}

fn kind(value: &Value) -> std::mem::Discriminant<Value> {
    std::mem::discriminant(value)
}

/// Values of one type with gaps and repeats.
fn column() -> impl Strategy<Value = Vec<Option<Value>>> {
    proptest::collection::vec(value(), 1..40).prop_flat_map(|mut values| {
        let first = kind(&values[0]);
        values.retain(|value| kind(value) == first);
        let one = proptest::option::weighted(0.8, proptest::sample::select(values));
        let run = (one, 1_usize..30).prop_map(|(value, times)| vec![value; times]);
        proptest::collection::vec(run, 1..40).prop_map(|runs| runs.concat())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_column_is_read_back(values in column()) {
        let reader = read_back(&values, Compression::Auto);
        let group = reader.metadata().row_group(0);
        let Some(chunk) = group.columns().get(1) else { return Ok(()) };
        let statistics = chunk.statistics().unwrap();
        let nulls = values.iter().filter(|value| value.is_none()).count();
        prop_assert_eq!(statistics.null_count_opt(), Some(nulls as u64));
        for value in values.iter().flatten() {
            let holds = match (statistics, value.scalar()) {
                (Statistics::Int64(s), Scalar::Int(v) | Scalar::Datetime(v)) => {
                    s.min_opt() <= Some(&v) && Some(&v) <= s.max_opt()
                }
                (Statistics::Double(s), Scalar::Float(v)) => {
                    let (least, most) = (*s.min_opt().unwrap(), *s.max_opt().unwrap());
                    least.total_cmp(&v).is_le() && v.total_cmp(&most).is_le()
                }
                (Statistics::Boolean(s), Scalar::Bool(v)) => {
                    s.min_opt() <= Some(&v) && Some(&v) <= s.max_opt()
                }
                (Statistics::ByteArray(s), Scalar::Text(v)) => {
                    s.min_opt().unwrap().as_bytes() <= v.as_bytes()
                        && v.as_bytes() <= s.max_opt().unwrap().as_bytes()
                }
                other => panic!("{other:?}"),
            };
            prop_assert!(holds, "{value:?} outside of {statistics:?}");
        }
    }
}

#[test]
fn buffers_of_a_very_large_chunk_are_given_up() {
    let mut encoder = Encoder::default();
    encoder.bodies.reserve(KEPT_BYTES_MAX / 2);
    encoder.clear();
    assert!(encoder.bodies.capacity() >= KEPT_BYTES_MAX / 2);
    encoder.out.reserve(KEPT_BYTES_MAX / 2 + 1);
    encoder.clear();
    assert_eq!((encoder.bodies.capacity(), encoder.out.capacity()), (0, 0));
}
