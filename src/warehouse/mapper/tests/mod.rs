mod lossless;
mod parity;

use std::collections::{BTreeMap, HashSet};

use crate::event::Parser;
use crate::warehouse::{
    Cell, ColumnId, ColumnType, Dialect, Layout, Mapper, Names, Origin, Scalar, Sink, TableId,
    TableKind, Unmappable,
};

/// A row with its names, values as `type:text`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    pub(super) table: String,
    pub(super) cells: BTreeMap<String, String>,
}

#[derive(Default)]
struct Rows(Vec<(TableId, Vec<(ColumnId, String)>)>, HashSet<ColumnId>);

impl Sink for Rows {
    fn row(&mut self, _: &dyn Names, table: TableId, _: TableKind) {
        self.0.push((table, Vec::new()));
        self.1.clear();
    }

    fn cell(&mut self, _: &dyn Names, column: ColumnId, cell: Cell<'_>) {
        let text = match cell.value {
            Scalar::Bool(value) => format!("bool:{value}"),
            Scalar::Int(value) => format!("int:{value}"),
            Scalar::Float(value) => format!("float:{value}"),
            Scalar::Datetime(value) => {
                let mut out = "datetime:".to_owned();
                crate::warehouse::datetime::write(value, &mut out);
                out
            }
            Scalar::Text(value) => format!("text:{value}"),
        };
        assert!(self.1.insert(column), "a column came twice");
        self.0.last_mut().unwrap().1.push((column, text));
    }
}

pub(super) const ORIGIN: Origin<'_> = Origin {
    source_id: "webapp",
    source_type: "web",
    destination_id: "keelrow",
    destination_type: "datalake",
    received_at: 1_741_944_414_001_000,
    minted_id: "auto-1",
};

pub(super) fn map_with(
    mapper: &mut Mapper,
    parser: &mut Parser,
    layout: &Layout,
    event: &str,
) -> Result<Vec<Row>, Unmappable> {
    let tape = parser.parse(event.as_bytes()).unwrap();
    let mut rows = Rows::default();
    mapper.map(tape.root(), &ORIGIN, layout, &mut rows)?;
    let named = |(table, cells): (TableId, Vec<(ColumnId, String)>)| Row {
        table: mapper.table_name(table).to_owned(),
        cells: cells
            .into_iter()
            .map(|(column, text)| (mapper.column_name(column).to_owned(), text))
            .collect(),
    };
    Ok(rows.0.into_iter().map(named).collect())
}

pub(super) fn map(event: &str) -> Vec<Row> {
    let mut mapper = Mapper::new(Dialect::Datalake);
    map_with(&mut mapper, &mut Parser::new(), &Layout::default(), event).unwrap()
}

#[test]
fn a_track_makes_two_rows() {
    let rows = map(r#"{"type":"track","messageId":"m1","event":"Order Done","userId":7,
        "receivedAt":"2025-03-14T09:26:53.589Z","timestamp":"2025-03-14T09:26:53.2Z",
        "context":{"app":{"name":"x"},"ip":"1.2.3.4"},
        "properties":{"total":27.5,"a":{"b":1,"c":[1,"x"]},"id":"mine","big":1e400}}"#);
    let tables: Vec<&str> = rows.iter().map(|row| row.table.as_str()).collect();
    assert_eq!(tables, ["tracks", "order_done", "rudder_discards"]);
    let row = &rows[1].cells;
    for (column, value) in [
        ("id", "text:m1"),
        ("user_id", "text:7"),
        ("total", "float:27.5"),
        ("a_b", "int:1"),
        ("a_c", "text:[1,\"x\"]"),
        ("big", "text:1e400"),
        ("event", "text:order_done"),
        ("event_text", "text:Order Done"),
        ("context_app_name", "text:x"),
        ("context_ip", "text:1.2.3.4"),
        ("context_source_id", "text:webapp"),
        ("_timestamp", "datetime:2025-03-14T09:26:53.200Z"),
        ("received_at", "datetime:2025-03-14T09:26:53.589Z"),
    ] {
        assert_eq!(row.get(column).map(String::as_str), Some(value), "{column}");
    }
    assert_eq!(rows[2].cells["column_name"], "text:properties.id");
    assert_eq!(rows[2].cells["reason"], "text:reserved_name");
    assert_eq!(rows[2].cells["table_name"], "text:order_done");
}

/// Path, value and reason of each discard of a track event with these parts.
fn discards(parts: &str) -> Vec<(String, String, String)> {
    let event = format!(r#"{{"type":"track","event":"e","messageId":"m","userId":"u",{parts}}}"#);
    let rows = map(&event).into_iter().filter(|row| row.table == "rudder_discards");
    let text = |row: &Row, column: &str| row.cells[column].trim_start_matches("text:").to_owned();
    rows.map(|row| {
        assert_eq!(text(&row, "row_id"), "m");
        (text(&row, "column_name"), text(&row, "column_value"), text(&row, "reason"))
    })
    .collect()
}

#[test]
fn what_gets_no_column_says_why() {
    for (parts, path, value, reason) in [
        (r#""properties":{"id":5}"#, "properties.id", "5", "reserved_name"),
        (r#""properties":{"uuid_ts":"x"}"#, "properties.uuid_ts", "x", "reserved_name"),
        (r#""properties":{"event":"x"}"#, "properties.event", "x", "reserved_name"),
        (r#""properties":{"é":{"ü":true}}"#, "properties.é.ü", "true", "empty_name"),
        (r#""traits":{"a":[1, 2]}"#, "traits.a", "[1,2]", "empty_name"),
        (r#""context":[1]"#, "context", "[1]", "not_an_object"),
        (r#""properties":"x\u0000""#, "properties", "x", "not_an_object"),
        (r#""properties":{"a b":1,"a_b":2}"#, "properties.a b", "1", "collision"),
        (r#""properties":{"a_b":2,"a b":1}"#, "properties.a b", "1", "collision"),
        (r#""properties":{"a":{"b":1},"a_b":2}"#, "properties.a.b", "1", "collision"),
        (r#""userProperties":{"a":1},"properties":{"a":2}"#, "properties.a", "2", "collision"),
        (r#""context":{"sourceId":{"x":1}}"#, "context.sourceId.x", "1", "collision"),
        (r#""properties":{"$ip":"x"}"#, "properties.$ip", "x", "hostile_key"),
        (
            r#""properties":{"a":{"__proto__":{"b":1}}}"#,
            "properties.a.__proto__.b",
            "1",
            "hostile_key",
        ),
        (r#""properties":{"a.b\\":{"id":{"$":1}}}"#, r"properties.a\.b\\.id.$", "1", "hostile_key"),
    ] {
        let wanted = vec![(path.to_owned(), value.to_owned(), reason.to_owned())];
        assert_eq!(discards(parts), wanted, "{parts}");
    }
    // A standard column that holds the very same is enough.
    for parts in [
        r#""properties":{"userId":"u"}"#,
        r#""context":{"ip":"1.1.1.1"}"#,
        r#""properties":{"a":null,"b":"","c":[[]],"d":{}}"#,
    ] {
        assert_eq!(discards(parts), Vec::new(), "{parts}");
    }
}

#[test]
fn a_value_that_its_standard_column_is_made_of_is_not_lost() {
    let lost = |parts: &str| {
        let mut mapper = Mapper::new(Dialect::Datalake);
        let event = format!(r#"{{"type":"page","messageId":"m","request_ip":"1.1.1.1",{parts}}}"#);
        map_with(&mut mapper, &mut Parser::new(), &Layout::default(), &event).unwrap();
        mapper.compared().unwrap().iter().any(|compared| !compared.are_same)
    };
    for parts in [
        r#""context":{"ip":"0.0.0.0"}"#,
        r#""context":{"ip":"1.1.1.1"}"#,
        r#""context":{},"properties":{"name":"Home"}"#,
    ] {
        assert!(!lost(parts), "{parts}");
    }
    assert!(lost(r#""context":{},"name":"Start","properties":{"name":"Home"}"#));
}

#[test]
fn what_a_client_wrote_for_a_moment_is_text() {
    let mapper = Mapper::new(Dialect::Datalake);
    let column = |name: &str| {
        let all = 0..u32::try_from(mapper.columns_len()).unwrap();
        all.map(ColumnId).find(|column| mapper.column_name(*column) == name).unwrap()
    };
    for name in ["context_raw_timestamp", "context_raw_original_timestamp"] {
        for kind in [TableKind::Event, TableKind::Tracks, TableKind::Pages] {
            let column_type = mapper.standard_type(kind, column(name));
            assert_eq!(column_type, Some(ColumnType::String), "{name}");
        }
        assert_eq!(mapper.standard_type(TableKind::Discards, column(name)), None);
    }
}

#[test]
fn an_event_without_a_table_keeps_its_properties() {
    let rows = map(r#"{"type":"track","event":"!!","messageId":"m","properties":{"a":1}}"#);
    let tables: Vec<&str> = rows.iter().map(|row| row.table.as_str()).collect();
    assert_eq!(tables, ["tracks", "rudder_discards"]);
    assert_eq!(rows[1].cells["reason"], "text:empty_name");
    assert_eq!(rows[1].cells["table_name"], "text:tracks");
}

#[test]
fn what_makes_no_rows_is_refused_before_anything_is_written() {
    let refused = |event: &str, layout: &Layout| {
        let mut mapper = Mapper::new(Dialect::Datalake);
        map_with(&mut mapper, &mut Parser::new(), layout, event).unwrap_err().reason
    };
    let skip = Layout { skip_tracks_table: true, ..Layout::default() };
    for (event, layout, reason) in [
        ("[]", &Layout::default(), "not_an_object"),
        (r#"{"type":"record"}"#, &Layout::default(), "unknown_type"),
        (r#"{"type":7}"#, &Layout::default(), "unknown_type"),
        (r#"{"type":"extract","event":"a"}"#, &Layout::default(), "unmappable"),
        (r#"{"type":"extract","recordId":"a"}"#, &Layout::default(), "unmappable"),
        (r#"{"type":"merge","mergeProperties":[{}]}"#, &Layout::default(), "unmappable"),
        (r#"{"type":"track","event":""}"#, &skip, "unmappable"),
    ] {
        assert_eq!(refused(event, layout), reason, "{event}");
    }
}

#[test]
fn tables_of_our_own_are_protected() {
    for (event, table) in [("rejected", "_rejected"), ("Rudder Identity X", "_rudder_identity_x")] {
        let rows = map(&format!(r#"{{"type":"track","messageId":"m","event":"{event}"}}"#));
        assert_eq!(rows[1].table, table);
    }
}

#[test]
fn a_users_row_has_its_own_id() {
    let rows = map(r#"{"type":"identify","messageId":"m","userId":7,"timestamp":"2024-01-01",
        "traits":{"name":"n","timestamp":"mine","id":"7"},"context":{"traits":{"plan":"pro"}}}"#);
    let tables: Vec<&str> = rows.iter().map(|row| row.table.as_str()).collect();
    assert_eq!(tables, ["identifies", "users"], "{rows:?}");
    assert_eq!(rows[0].cells["id"], "text:m");
    assert_eq!(rows[0].cells["user_id"], "text:7");
    assert_eq!(rows[0].cells["_timestamp"], "datetime:2024-01-01T00:00:00.000Z");
    assert_eq!(rows[1].cells["id"], "text:7");
    assert_eq!(rows[1].cells["_timestamp"], "text:mine");
    assert_eq!(rows[1].cells["context_traits_plan"], "text:pro");
    assert!(!rows[1].cells.contains_key("user_id"));
}

#[test]
fn standard_columns_have_their_types_in_their_tables_only() {
    use crate::warehouse::ColumnType;
    let mut mapper = Mapper::new(Dialect::Bigquery);
    let (name, id) = (mapper.column("name"), mapper.column("id"));
    let (uuid_ts, loaded_at) = (mapper.column("uuid_ts"), mapper.column("loaded_at"));
    assert_eq!(mapper.standard_type(TableKind::Pages, name), Some(ColumnType::String));
    assert_eq!(mapper.standard_type(TableKind::Event, name), None);
    assert_eq!(mapper.standard_type(TableKind::Users, id), Some(ColumnType::String));
    assert_eq!(mapper.standard_type(TableKind::MergeRules, id), None);
    assert!(mapper.is_required(TableKind::Event, id));
    assert_eq!(mapper.load_time_columns(TableKind::Tracks), [uuid_ts, loaded_at]);
    assert_eq!(mapper.load_time_columns(TableKind::MergeRules), []);
}

#[test]
fn new_keys_of_a_new_generation_are_not_taken_for_old_ones() {
    let (mut mapper, mut parser) = (Mapper::new(Dialect::Datalake), Parser::new());
    let layout = Layout::default();
    let event = |keys: &[String]| {
        let members: Vec<String> = keys.iter().map(|key| format!("\"{key}\":1")).collect();
        format!(
            r#"{{"type":"track","event":"e","messageId":"m","properties":{{{}}}}}"#,
            members.join(",")
        )
    };
    let flood: Vec<String> = (0..10_000).map(|n| format!("flood{n}")).collect();
    map_with(&mut mapper, &mut parser, &layout, &event(&flood)).unwrap();
    let flood: Vec<String> = (10_000..20_000).map(|n| format!("flood{n}")).collect();
    map_with(&mut mapper, &mut parser, &layout, &event(&flood)).unwrap();
    let generation = parser.keys().generation();
    let keys = ["other".to_owned(), "last".to_owned()];
    let rows = map_with(&mut mapper, &mut parser, &layout, &event(&keys)).unwrap();
    assert_ne!(parser.keys().generation(), generation);
    assert!(rows[1].cells.contains_key("other") && rows[1].cells.contains_key("last"));
    assert!(!rows[1].cells.keys().any(|column| column.starts_with("flood")));
}

#[test]
fn an_event_has_the_same_rows_whatever_came_before_it() {
    // Many paths of few keys, so that no generation of keys ends meanwhile.
    let layout = Layout::default();
    let event = |objects: usize, keys: usize| {
        let keys: Vec<String> = (0..keys).map(|n| format!("\"k{n}\":1")).collect();
        let object = |n| format!("\"o{n}\":{{{}}}", keys.join(","));
        let objects: Vec<String> = (0..objects).map(object).collect();
        format!(
            r#"{{"type":"track","event":"e","messageId":"m","properties":{{{}}}}}"#,
            objects.join(",")
        )
    };
    for (event, is_mapped) in [(event(131, 131), false), (event(120, 120), true)] {
        let (mut mapper, mut parser) = (Mapper::new(Dialect::Datalake), Parser::new());
        for _ in 0..3 {
            let rows = map_with(&mut mapper, &mut parser, &layout, &event);
            assert_eq!(rows.is_ok(), is_mapped);
        }
    }
}

#[test]
fn who_sent_an_event_is_not_for_the_client_to_say() {
    let (mut mapper, mut parser) = (Mapper::new(Dialect::Datalake), Parser::new());
    let layout = Layout::default();
    for context in [
        r#""source_id":"evil","source_type":"evil","destination_id":"evil""#,
        r#""sourceId":"evil","SourceID":"evil","Source-Id":"evil","source":{"id":"evil"}"#,
    ] {
        let event = format!(
            r#"{{"type":"track","event":"e","messageId":"m","context":{{{context}}},"properties":{{"context_source_id":"evil","context":{{"sourceId":"evil"}}}}}}"#
        );
        let rows = map_with(&mut mapper, &mut parser, &layout, &event).unwrap();
        for row in rows.iter().filter(|row| matches!(row.table.as_str(), "tracks" | "e")) {
            let ids = ["source_id", "source_type", "destination_id"];
            let cells = ids.map(|id| &row.cells[&format!("context_{id}")]);
            assert!(!cells.iter().any(|cell| cell.contains("evil")), "{cells:?}");
        }
        assert!(rows.iter().any(|row| row.table == "rudder_discards"));
    }
}

#[test]
fn a_flood_of_names_is_forgotten_between_batches_only() {
    let (mut mapper, mut parser) = (Mapper::new(Dialect::Datalake), Parser::new());
    let layout = Layout::default();
    for n in 0..2_100 {
        let event = format!(r#"{{"type":"track","event":"e{n}","properties":{{"k{n}":1}}}}"#);
        map_with(&mut mapper, &mut parser, &layout, &event).unwrap();
    }
    assert_eq!(mapper.generation(), 0);
    assert!(mapper.is_crowded());
    mapper.begin_batch();
    assert_eq!(mapper.generation(), 1);
    assert!(mapper.tables_len() < 100 && mapper.columns_len() < 100);
    let event = r#"{"type":"track","event":"e1","properties":{"k":1}}"#;
    let rows = map_with(&mut mapper, &mut parser, &layout, event).unwrap();
    assert_eq!((rows[1].table.as_str(), rows[1].cells["k"].as_str()), ("e1", "int:1"));
}

#[test]
fn hostile_shapes_stay_cheap() {
    let deep = format!("{}1{}", "{\"a\":".repeat(120), "}".repeat(120));
    let long = "k".repeat(1 << 20);
    let wide: Vec<String> = (0..10_000).map(|n| format!("\"{n}x\":{n}")).collect();
    let below: Vec<String> = (0..3_000).map(|n| format!("\"y{n}\":{n}")).collect();
    let parts = [
        deep,
        format!("{{\"{long}\":{{{}}}}}", below.join(",")),
        format!("{{{}}}", wide.join(",")),
        format!("{{\"s\":\"{}\"}}", "é".repeat(1_500_000)),
    ];
    for properties in parts {
        let event = format!(r#"{{"type":"track","event":"e","properties":{properties}}}"#);
        let rows = map(&event);
        assert!(rows[1].cells.keys().all(|column| column.len() <= 255));
    }
    let many: Vec<String> = (0..20_000).map(|n| format!("\"m{n}\":{n}")).collect();
    let event = format!(r#"{{"type":"track","event":"e","properties":{{{}}}}}"#, many.join(","));
    let mut mapper = Mapper::new(Dialect::Datalake);
    let refused = map_with(&mut mapper, &mut Parser::new(), &Layout::default(), &event);
    assert_eq!(refused.unwrap_err().reason, "unmappable");
    let rows = map(&format!(r#"{{"type":"track","event":"{long}"}}"#));
    assert_eq!(rows[1].table.len(), 255);
}

#[test]
fn a_rejected_event_keeps_what_is_known() {
    let mut mapper = Mapper::new(Dialect::Datalake);
    let mut rows = Rows::default();
    let rejected = crate::warehouse::Rejected {
        id: "m",
        received_at: 0,
        reason: "no_ids",
        payload: "{}",
        ..Default::default()
    };
    mapper.rejected(&rejected, &mut rows);
    let (table, cells) = rows.0.remove(0);
    assert_eq!(mapper.table_name(table), "rejected");
    let cells: Vec<(&str, &str)> =
        cells.iter().map(|(id, text)| (mapper.column_name(*id), text.as_str())).collect();
    let wanted = [
        ("id", "text:m"),
        ("received_at", "datetime:1970-01-01T00:00:00.000Z"),
        ("reason", "text:no_ids"),
        ("payload", "text:{}"),
    ];
    assert_eq!(cells, wanted);
}

#[test]
fn a_long_payload_is_kept_as_its_shape() {
    let mut parser = Parser::new();
    let long = format!(r#"{{"a":{{"b":"{}"}},"n":-12,"l":[1,2]}}"#, "x".repeat(70_000));
    let shape =
        crate::warehouse::Rejected::payload_of(parser.parse(long.as_bytes()).unwrap().root());
    assert_eq!(shape, r#"{"a":{"b":"string(70000)"},"n":"number(3)","l":"array(2)"}"#);
    let wide: Vec<String> = (0..20_000).map(|n| format!("\"k{n}\":\"v\"")).collect();
    let wide = format!("{{{}}}", wide.join(","));
    let shape =
        crate::warehouse::Rejected::payload_of(parser.parse(wide.as_bytes()).unwrap().root());
    assert!(shape.len() <= 64 * 1024 && serde_json::from_str::<serde_json::Value>(&shape).is_ok());
}
