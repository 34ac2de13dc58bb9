//! Where a value goes: its column, a variant, the overflow; and what the file looks like.

use parquet::basic::{
    Compression as Codec, Encoding, LogicalType, Repetition, TimeUnit, Type, ZstdLevel,
};
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::*;
use crate::warehouse::ColumnType;

fn cut(rows: &[&[(&str, Scalar<'_>, &str)]]) -> (Vec<Part>, Vec<Vec<u8>>) {
    cut_with(settings(), rows)
}

fn cut_with(settings: Settings, rows: &[&[(&str, Scalar<'_>, &str)]]) -> (Vec<Part>, Vec<Vec<u8>>) {
    let (mut builder, files) = open(settings, Plan::Cut(Schema::empty().into()));
    for cells in rows {
        row(&mut builder, cells);
    }
    (builder.finish().unwrap(), files.files())
}

fn types(part: &Part) -> Vec<(String, ColumnType)> {
    part.schema.columns.iter().map(|c| (c.name.clone(), c.column_type)).collect()
}

const DAY: Scalar<'static> = Scalar::Datetime(86_400_000_000);

#[test]
fn first_row_group_decides_the_type() {
    for (values, expected) in [
        (&[(Scalar::Int(1), "1"), (Scalar::Float(1.5), "1.5")][..], ColumnType::Float),
        (&[(Scalar::Float(1.5), "1.5"), (Scalar::Int(1), "1")], ColumnType::Float),
        (&[(Scalar::Int(1), "1"), (Scalar::Text("x"), "x")], ColumnType::Int),
        (&[(DAY, "1970-01-02"), (Scalar::Text("later"), "later")], ColumnType::String),
        (&[(DAY, "1970-01-02"), (Scalar::Int(5), "5")], ColumnType::Datetime),
        (&[(DAY, "1970-01-02"), (DAY, "1970-01-02")], ColumnType::Datetime),
        (&[(Scalar::Text("x"), "x"), (Scalar::Int(1), "1")], ColumnType::String),
        (&[(Scalar::Bool(true), "true"), (Scalar::Text("x"), "x")], ColumnType::Boolean),
    ] {
        let rows: Vec<[(&str, Scalar<'_>, &str); 1]> =
            values.iter().map(|&(value, text)| [("v", value, text)]).collect();
        let rows: Vec<&[_]> = rows.iter().map(|row| &row[..]).collect();
        let (parts, _) = cut(&rows);
        assert_eq!(parts[0].schema.columns[0].column_type, expected);
    }
}

#[test]
fn a_time_that_meets_a_word_keeps_its_spelling() {
    let (_, files) = cut(&[
        &[("v", DAY, "1970-01-02T00:00+00:00")],
        &[("v", Scalar::Int(7), "7.0")],
        &[("v", Scalar::Text("soon"), "soon")],
    ]);
    let texts: Vec<_> = rows_of(&files[0]).into_iter().map(|mut row| row.remove("v")).collect();
    let expected = ["1970-01-02T00:00+00:00", "7.0", "soon"];
    assert_eq!(texts, expected.map(|text| Some(Value::Text(text.to_owned()))));
}

#[test]
fn a_value_finds_its_own_column_before_others_take_it_for_a_variant() {
    // `v__int` turns to strings in the last row only, when both integers wait.
    let four = ("v", Scalar::Int(4), "4");
    let five = ("v__int", Scalar::Int(5), "5");
    let rows: [&[(&str, Scalar<'_>, &str)]; 3] = [
        &[("v", DAY, "1970-01-02"), ("v__int", DAY, "1970-01-02")],
        &[four, five],
        &[("v", DAY, "1970-01-02"), ("v__int", Scalar::Text("x"), "x")],
    ];
    let (parts, files) = cut(&rows);
    let (mut again, copies) = open(settings(), planned(&parts));
    rows.iter().for_each(|cells| row(&mut again, cells));
    assert_eq!(again.finish().unwrap(), parts);
    assert!(copies.files() == files, "bytes differ");
    let found = &rows_of(&files[0])[1];
    assert_eq!(found.get("v__int"), Some(&Value::Text("5".to_owned())));
    let Some(Value::Text(rest)) = found.get("_overflow") else { panic!("4 is lost: {found:?}") };
    assert!(rest.ends_with(":4}"), "{rest}");
}

#[test]
fn values_of_another_type_go_to_variants() {
    let (parts, files) = cut(&[
        &[("price", Scalar::Int(1), "1")],
        &[("price", Scalar::Text("45 ms"), "45 ms")],
        &[("price", Scalar::Bool(true), "true")],
        &[("price", DAY, "1970-01-02")],
    ]);
    assert_eq!(
        types(&parts[0]),
        [
            ("price".to_owned(), ColumnType::Int),
            ("price__string".to_owned(), ColumnType::String),
            ("price__boolean".to_owned(), ColumnType::Boolean),
            ("price__datetime".to_owned(), ColumnType::Datetime),
        ]
    );
    let rows = rows_of(&files[0]);
    assert_eq!(rows[1], BTreeMap::from([("price__string".into(), Value::Text("45 ms".into()))]));
    assert_eq!(rows[3]["price__datetime"], Value::Datetime(86_400_000_000));
}

#[test]
fn a_fraction_in_a_later_batch_never_rounds() {
    let (mut builder, _) = open(settings(), Plan::Cut(Schema::empty().into()));
    row(&mut builder, &[("price", Scalar::Int(1), "1")]);
    let first = builder.finish().unwrap().remove(0);
    let (mut builder, files) = open(settings(), Plan::Cut(Arc::clone(&first.schema)));
    row(&mut builder, &[("price", Scalar::Float(1.5), "1.5")]);
    let second = builder.finish().unwrap().remove(0);
    assert_eq!((first.schema.version, second.schema.version), (1, 2));
    assert!(second.schema.widens(&first.schema));
    assert_eq!(
        rows_of(&files.files()[0])[0],
        BTreeMap::from([("price__float".into(), Value::Float(1.5))])
    );
}

#[test]
fn variant_names_fit_the_identifier() {
    let mut settings = settings();
    settings.identifier_bytes_max = 20;
    let name = "a_name_of_20_bytes_x";
    let (parts, _) =
        cut_with(settings, &[&[(name, Scalar::Int(1), "1")], &[(name, Scalar::Text("x"), "x")]]);
    assert_eq!(types(&parts[0])[1].0, "a_name_of_20__string");
    assert_eq!(parts[0].schema.columns[1].name.len(), 20);
}

#[test]
fn past_the_cap_keys_go_to_the_overflow() {
    let mut settings = settings();
    settings.columns_max = 3;
    let (mut builder, files) = open(settings, Plan::Cut(Schema::empty().into()));
    row(&mut builder, &[("a", Scalar::Int(1), "1"), ("b", Scalar::Int(2), "2")]);
    assert_eq!(builder.near_cap(), None);
    row(&mut builder, &[("c", Scalar::Text("x\"y"), "x\"y"), ("a", Scalar::Bool(true), "true")]);
    let parts = builder.finish().unwrap();
    let names: Vec<_> = types(&parts[0]).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "b", "_overflow"]);
    let rows = rows_of(&files.files()[0]);
    assert_eq!(rows[1]["_overflow"], Value::Text(r#"{"c":"x\"y","a":true}"#.into()));
    assert_eq!(rows[0].len(), 2);
}

#[test]
fn the_cap_warns_at_four_fifths() {
    let mut settings = settings();
    settings.columns_max = 5;
    let (mut builder, _) = open(settings, Plan::Cut(Schema::empty().into()));
    row(&mut builder, &[("a", Scalar::Int(1), "1"), ("b", Scalar::Int(2), "2")]);
    row(&mut builder, &[("c", Scalar::Int(1), "1")]);
    assert_eq!(builder.near_cap(), None);
    row(&mut builder, &[("d", Scalar::Int(1), "1")]);
    assert_eq!(builder.near_cap(), Some(4));
}

#[test]
fn a_new_column_after_a_closed_row_group_starts_a_part() {
    let (mut builder, files) = open(settings(), Plan::Cut(Schema::empty().into()));
    row(&mut builder, &[("a", Scalar::Int(1), "1")]);
    builder.close_row_group().unwrap();
    row(&mut builder, &[("a", Scalar::Int(2), "2")]);
    builder.close_row_group().unwrap();
    row(&mut builder, &[("a", Scalar::Int(3), "3"), ("b", Scalar::Int(4), "4")]);
    let parts = builder.finish().unwrap();
    let groups: Vec<_> = parts.iter().map(|part| part.row_groups.clone()).collect();
    assert_eq!(groups, [vec![1, 1], vec![1]]);
    let versions: Vec<_> = parts.iter().map(|part| part.schema.version).collect();
    assert_eq!(versions, [1, 2]);
    assert_eq!(files.files().len(), 2);
}

#[test]
fn longer_strings_widen_the_bound_once_a_part() {
    let long = "x".repeat(700);
    let longer = "x".repeat(3_000_000);
    let (mut builder, _) = open(settings(), Plan::Cut(Schema::empty().into()));
    row(&mut builder, &[("a", Scalar::Text("short"), "short")]);
    builder.close_row_group().unwrap();
    row(&mut builder, &[("a", Scalar::Text(&long), &long)]);
    builder.close_row_group().unwrap();
    row(&mut builder, &[("a", Scalar::Text(&longer), &longer)]);
    let parts = builder.finish().unwrap();
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].schema.version, 1);
    assert_eq!(parts[0].schema.columns[0].max_bytes, 4_194_304);
}

#[test]
fn the_layout_and_then_pins_decide_before_values() {
    let mut settings = settings();
    settings.standard = Standard::new(|_, name| (name == "user_id").then_some(ColumnType::String));
    // The layout has its values written as text whatever is asked for.
    let pin =
        |name: &str| Pin { table: "*".into(), name: name.into(), column_type: ColumnType::Float };
    settings.pins = vec![pin("price"), pin("user_id")];
    let (parts, files) = cut_with(
        settings,
        &[&[
            ("user_id", Scalar::Int(7), "7"),
            ("price", Scalar::Int((1 << 53) + 1), "9007199254740993"),
        ]],
    );
    assert_eq!(
        types(&parts[0])[..2],
        [("user_id".to_owned(), ColumnType::String), ("price".to_owned(), ColumnType::Float)]
    );
    let row = &rows_of(&files[0])[0];
    assert_eq!(row["user_id"], Value::Text("7".into()));
    assert_eq!(row["price__int"], Value::Int((1 << 53) + 1));
}

#[test]
fn the_span_of_a_part_is_that_of_its_column() {
    let moment = |micros: i64| ("received_at", Scalar::Datetime(micros), "");
    let (mut builder, _) = open(settings(), Plan::Cut(Schema::empty().into()));
    for row_of in [&[moment(70)][..], &[moment(-5)], &[("a", Scalar::Int(1), "1")]] {
        row(&mut builder, row_of);
    }
    let parts = builder.finish().unwrap();
    let span = (parts[0].min_received_at.micros(), parts[0].max_received_at.micros());
    assert_eq!(span, (-5, 70));
    let (mut builder, _) = open(settings(), Plan::Cut(Schema::empty().into()));
    row(&mut builder, &[("a", Scalar::Int(1), "1")]);
    let parts = builder.finish().unwrap();
    assert_eq!(parts[0].min_received_at.micros(), 1_000_000);
}

#[test]
fn a_plan_that_does_not_fit_is_refused() {
    let (mut builder, _) = open(settings(), Plan::Cut(Schema::empty().into()));
    for n in 0..3 {
        row(&mut builder, &[("a", Scalar::Int(n), "n")]);
    }
    let parts = builder.finish().unwrap();
    let cell = Cell { value: Scalar::Int(1), text: "1", origin: u32::MAX };

    let (mut fewer, _) = open(settings(), planned(&parts));
    row(&mut fewer, &[("a", Scalar::Int(0), "n")]);
    assert!(matches!(fewer.finish(), Err(Error::Plan { .. })));

    let (mut more, _) = open(settings(), planned(&parts));
    for n in 0..3 {
        row(&mut more, &[("a", Scalar::Int(n), "n")]);
    }
    more.begin_row(0);
    assert!(matches!(more.end_row(), Err(Error::Plan { .. })));

    let (mut wider, _) = open(settings(), planned(&parts));
    for _ in 0..2 {
        wider.begin_row(0);
        wider.cell("b", &cell, &Made);
        wider.end_row().unwrap();
    }
    wider.begin_row(0);
    assert!(matches!(wider.end_row(), Err(Error::Plan { .. })));
}

/// A file with a column of each type, one of them large.
fn sample_file() -> Bytes {
    let settings = settings();
    let files = Memory::default();
    let mut table = table("t");
    table.initial = vec![
        ("id".to_owned(), ColumnType::String, true),
        ("received_at".to_owned(), ColumnType::Datetime, true),
        ("event_date".to_owned(), ColumnType::Date, false),
    ];
    table.constants = vec![("uuid_ts", settings.batch_time)];
    let mut builder = Bench::new(TableBuilder::open(
        Arc::new(settings),
        table,
        Plan::Cut(Schema::empty().into()),
        Box::new(files.clone()),
    ));
    let large = "some text of no great worth ".repeat(100);
    for n in 0..1_500 {
        let id = format!("id-{n}");
        let text = format!("{n} {large}");
        row(
            &mut builder,
            &[
                ("id", Scalar::Text(&id), &id),
                ("count", Scalar::Int(n), "n"),
                ("share", Scalar::Float(0.5), "0.5"),
                ("good", Scalar::Bool(true), "true"),
                ("body", Scalar::Text(&text), &text),
                ("small", Scalar::Text("x"), "x"),
            ],
        );
    }
    let parts = builder.finish().unwrap();
    assert_eq!(parts[0].rows(), 1_500);
    Bytes::from(files.files()[0].clone())
}

#[test]
fn files_are_what_the_contract_says() {
    let file = sample_file();
    let (footer, rows) = read_footer(&file).unwrap();
    assert_eq!(rows, [1_500]);
    assert_eq!(
        (footer.writer.as_str(), footer.batch, footer.part, footer.first_position),
        ("node-1", 42, 0, 1_200)
    );
    assert_eq!(footer.schema_version, 1);

    let reader = SerializedFileReader::new(file).unwrap();
    let metadata = reader.metadata();
    let keys = metadata.file_metadata().key_value_metadata().unwrap();
    assert!(keys.iter().all(|pair| pair.key.starts_with("keelrow.")), "no Arrow schema");
    let group = metadata.row_group(0);
    let zstd = Codec::ZSTD(ZstdLevel::default());
    let micros = Some(LogicalType::timestamp(true, TimeUnit::MICROS));
    for (at, name, physical, logical, repetition, codec) in [
        (0, "id", Type::BYTE_ARRAY, Some(LogicalType::String), Repetition::REQUIRED, zstd),
        (1, "received_at", Type::INT64, micros.clone(), Repetition::REQUIRED, Codec::SNAPPY),
        (
            2,
            "event_date",
            Type::INT32,
            Some(LogicalType::Date),
            Repetition::OPTIONAL,
            Codec::SNAPPY,
        ),
        (3, "uuid_ts", Type::INT64, micros, Repetition::OPTIONAL, Codec::SNAPPY),
        (4, "count", Type::INT64, None, Repetition::OPTIONAL, zstd),
        (5, "share", Type::DOUBLE, None, Repetition::OPTIONAL, Codec::SNAPPY),
        (6, "good", Type::BOOLEAN, None, Repetition::OPTIONAL, Codec::SNAPPY),
    ] {
        let chunk = group.column(at);
        let info = chunk.column_descr().self_type().get_basic_info();
        assert_eq!(info.name(), name);
        assert_eq!(chunk.column_type(), physical, "{name}");
        assert_eq!(info.logical_type_ref(), logical.as_ref(), "{name}");
        assert_eq!(info.repetition(), repetition, "{name}");
        assert_eq!(chunk.compression(), codec, "{name}");
        assert!(chunk.column_index_offset().is_none() && chunk.offset_index_offset().is_none());
    }
    assert!(matches!(group.column(7).compression(), Codec::ZSTD(_)), "large chunks");
    // Nothing but what every reader knows.
    let simple = [Encoding::PLAIN, Encoding::PLAIN_DICTIONARY, Encoding::RLE];
    let mut encodings = group.columns().iter().flat_map(|column| column.encodings());
    assert!(encodings.all(|encoding| simple.contains(&encoding)));
    assert!(group.column(4).statistics().is_some());
    let pages = reader.get_row_group(0).unwrap();
    for column in 0..group.num_columns() {
        for page in pages.get_column_page_reader(column).unwrap() {
            let page = page.unwrap();
            assert!(page.buffer().len() < 1 << 20);
            assert_ne!(page.page_type(), parquet::basic::PageType::DATA_PAGE_V2);
        }
    }
}

#[test]
fn required_columns_are_never_empty() {
    let files = Memory::default();
    let mut table = table("t");
    table.initial = vec![
        ("id".to_owned(), ColumnType::String, true),
        ("received_at".to_owned(), ColumnType::Datetime, true),
    ];
    let plan = Plan::Cut(Schema::empty().into());
    let mut builder =
        Bench::new(TableBuilder::open(Arc::new(settings()), table, plan, Box::new(files.clone())));
    row(&mut builder, &[("received_at", Scalar::Text("soon"), "soon")]);
    builder.finish().unwrap();
    let row = &rows_of(&files.files()[0])[0];
    assert_eq!(row["id"], Value::Text(String::new()));
    assert_eq!(row["received_at"], Value::Datetime(1_000_000));
    assert_eq!(row["received_at__string"], Value::Text("soon".into()));
}

#[test]
fn foreign_bytes_have_no_footer_of_ours() {
    assert!(matches!(
        read_footer(&Bytes::from_static(b"PAR1 and nothing else")),
        Err(FooterError::Parquet(_))
    ));
}
