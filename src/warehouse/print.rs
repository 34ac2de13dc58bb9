//! Rows as JSON text, in the shape of a staging file: for `keelrow map`.

use crate::event::{Kind, Node, known, text};

use super::{
    Cell, ColumnId, ColumnType, Layout, Mapper, Names, Origin, Scalar, Sink, TableId, TableKind,
    datetime, names, raw_path,
};

/// Appends `{"error":"..."}`.
pub fn error(why: &str, out: &mut String) {
    out.push_str("{\"error\":");
    quote(why, out);
    out.push('}');
}

/// Appends the rows of one event, or why there are none.
pub fn rows(
    mapper: &mut Mapper,
    event: Node<'_>,
    origin: &Origin<'_>,
    layout: &Layout,
    out: &mut String,
) {
    let mut rows = Rows::default();
    if let Err(refused) = mapper.map(event, origin, layout, &mut rows) {
        return error(&format!("{}: {}", refused.reason, refused.detail), out);
    }
    let received = event.member(known::RECEIVED_AT).and_then(Node::text);
    let received = received.and_then(|text| datetime::exact(&text)).unwrap_or(origin.received_at);
    let mut received_at = String::new();
    datetime::write(received, &mut received_at);
    let printer = Printer { mapper, event, received_at };
    out.push('[');
    for (place, row) in rows.list.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        printer.row(row, out);
    }
    out.push(']');
}

/// A cell, kept until the event has been read to its end.
struct Kept {
    column: ColumnId,
    kind: ColumnType,
    /// Its value as JSON.
    json: String,
    text: String,
    /// An array is shown as the text that the source asked for.
    as_text: bool,
    origin: u32,
}

struct Row {
    table: TableId,
    kind: TableKind,
    cells: Vec<Kept>,
}

#[derive(Default)]
struct Rows {
    list: Vec<Row>,
}

impl Sink for Rows {
    fn row(&mut self, _: &dyn Names, table: TableId, kind: TableKind) {
        self.list.push(Row { table, kind, cells: Vec::new() });
    }

    fn cell(&mut self, _: &dyn Names, column: ColumnId, cell: Cell<'_>) {
        let mut json = String::new();
        match cell.value {
            Scalar::Bool(value) => json.push_str(if value { "true" } else { "false" }),
            Scalar::Int(value) => json.push_str(&value.to_string()),
            Scalar::Float(_) => json.push_str(cell.text),
            Scalar::Datetime(micros) => {
                json.push('"');
                datetime::write(micros, &mut json);
                json.push('"');
            }
            Scalar::Text(text) => quote(text, &mut json),
        }
        if let Some(row) = self.list.last_mut() {
            row.cells.push(Kept {
                column,
                kind: cell.value.own_type(),
                json,
                text: cell.text.to_owned(),
                as_text: false,
                origin: cell.origin,
            });
        }
    }

    fn json(&mut self, names: &dyn Names, column: ColumnId, cell: Cell<'_>) {
        self.cell(names, column, cell);
        if let Some(cell) = self.list.last_mut().and_then(|row| row.cells.last_mut()) {
            cell.as_text = true;
        }
    }
}

/// Prints rows once the mapper is free to be asked for names.
struct Printer<'p> {
    mapper: &'p Mapper,
    event: Node<'p>,
    received_at: String,
}

impl Printer<'_> {
    fn row(&self, row: &Row, out: &mut String) {
        let dialect = self.mapper.dialect();
        let mut columns = Members::default();
        let load_time = self.mapper.load_time_columns(row.kind);
        for column in load_time {
            columns.add(&dialect.cased(self.mapper.column_name(*column)), "\"datetime\"");
        }
        let mut over = (row.cells.len() + load_time.len()).saturating_sub(dialect.columns_max());
        if over > 0 {
            // The column of the overflow needs its place too.
            over += 1;
        }
        let (mut data, mut overflow) = (Members::default(), Members::default());
        for cell in row.cells.iter().rev() {
            if over > 0 && self.may_overflow(row.kind, cell) {
                over -= 1;
                overflow.add(&raw_path(self.event, cell.origin), &self.raw(cell));
                continue;
            }
            let (name, kind, json) = self.cell(row.kind, cell);
            columns.add(&name, &format!("\"{}\"", kind.label()));
            data.add(&name, &json);
        }
        if !overflow.is_empty() {
            let name = dialect.cased("_overflow");
            let mut text = String::new();
            quote(&overflow.finish(), &mut text);
            columns.add(&name, "\"string\"");
            data.add(&name, &text);
        }
        let mut table = String::new();
        quote(&dialect.cased(self.mapper.table_name(row.table)), &mut table);
        let mut metadata = Members::default();
        metadata.add("table", &table);
        metadata.add("columns", &columns.finish());
        metadata.add("receivedAt", &format!("\"{}\"", self.received_at));
        if row.kind == TableKind::MergeRules {
            self.merge(row, &mut metadata);
        }
        out.push_str("{\"metadata\":");
        out.push_str(&metadata.finish());
        out.push_str(",\"data\":");
        out.push_str(&data.finish());
        out.push('}');
    }

    /// Standard columns and what the gateway wrote always have their place.
    fn may_overflow(&self, kind: TableKind, cell: &Kept) -> bool {
        (cell.origin as usize) < self.event.tape().tokens().len()
            && self.mapper.standard_type(kind, cell.column).is_none()
    }

    /// Name, type and JSON value of a cell.
    fn cell(&self, kind: TableKind, cell: &Kept) -> (String, ColumnType, String) {
        let dialect = self.mapper.dialect();
        let name = self.mapper.column_name(cell.column);
        let fixed = self.mapper.standard_type(kind, cell.column);
        if fixed == Some(ColumnType::String) {
            let mut json = String::new();
            quote(&cell.text, &mut json);
            return (dialect.cased(name), ColumnType::String, json);
        }
        if fixed.is_some_and(|fixed| fixed != cell.kind) {
            let name = names::variant(name, cell.kind, dialect.name_bytes_max());
            return (dialect.cased(&name), cell.kind, cell.json.clone());
        }
        let json = if self.is_array(cell) { cell.text.clone() } else { cell.json.clone() };
        (dialect.cased(name), cell.kind, json)
    }

    fn is_array(&self, cell: &Kept) -> bool {
        let tape = self.event.tape();
        !cell.as_text
            && (cell.origin as usize) < tape.tokens().len()
            && tape.node(cell.origin).kind() == Kind::Array
    }

    /// The value as JSON, as it was sent.
    fn raw(&self, cell: &Kept) -> String {
        let mut bytes = Vec::new();
        self.event.tape().node(cell.origin).write_compact(&mut bytes);
        String::from_utf8(bytes).unwrap_or_default()
    }

    /// What a merge rule's metadata has beside the others'.
    fn merge(&self, row: &Row, metadata: &mut Members) {
        metadata.add("isMergeRule", "true");
        for (key, column) in
            [("mergePropOne", "merge_property_1_value"), ("mergePropTwo", "merge_property_2_value")]
        {
            let is = |cell: &&Kept| self.mapper.column_name(cell.column) == column;
            if let Some(cell) = row.cells.iter().find(is) {
                let mut json = String::new();
                quote(&cell.text, &mut json);
                metadata.add(key, &json);
            }
        }
    }
}

/// A JSON object that is being written.
#[derive(Default)]
struct Members(String);

impl Members {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, key: &str, json: &str) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        quote(key, &mut self.0);
        self.0.push(':');
        self.0.push_str(json);
    }

    fn finish(self) -> String {
        format!("{{{}}}", self.0)
    }
}

/// Appends `text` as a JSON string.
fn quote(text: &str, out: &mut String) {
    let mut bytes = Vec::with_capacity(text.len() + 2);
    text::write_string(text, &mut bytes);
    out.push_str(std::str::from_utf8(&bytes).unwrap_or_default());
}
