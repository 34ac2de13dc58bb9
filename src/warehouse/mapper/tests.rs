use std::collections::BTreeMap;

use crate::event::Parser;
use crate::warehouse::{
    Cell, ColumnId, Dialect, Layout, Mapper, Origin, Scalar, Sink, TableId, TableKind, Unmappable,
};

/// A row with its names, values as `type:text`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    pub(super) table: String,
    pub(super) cells: BTreeMap<String, String>,
}

#[derive(Default)]
struct Rows(Vec<(TableId, Vec<(ColumnId, String)>)>);

impl Sink for Rows {
    fn row(&mut self, table: TableId, _: TableKind) {
        self.0.push((table, Vec::new()));
    }

    fn cell(&mut self, column: ColumnId, cell: Cell<'_>) {
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
        let row = &mut self.0.last_mut().unwrap().1;
        assert!(row.iter().all(|(known, _)| *known != column), "a column came twice");
        row.push((column, text));
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
