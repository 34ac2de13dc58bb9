//! Names with the choices of one event.

use crate::warehouse::Dialect;
use crate::warehouse::names::{NameMode, Namer, cut, transform};

use super::quote::lower;

/// Where RudderStack cuts names outside Postgres and the data lakes, in bytes.
const NAME_BYTES_MAX: usize = 127;
/// Where it cuts them for Postgres.
const POSTGRES_NAME_BYTES_MAX: usize = 63;

/// Names tables and columns.
#[derive(Debug)]
pub(super) struct Naming {
    namer: Namer,
    pub(super) mode: NameMode,
}

impl Naming {
    pub(super) fn new(dialect: Dialect, mode: NameMode) -> Self {
        let bytes_max = if dialect.is_lake() { usize::MAX } else { NAME_BYTES_MAX };
        Self { namer: Namer::with_limit(dialect, bytes_max), mode }
    }

    /// The name of a standard column.
    pub(super) fn standard(&self, name: &str) -> String {
        let dialect = self.namer.dialect();
        dialect.cased(&self.namer.safe(name.to_owned(), self.mode.skip_reserved))
    }

    /// The column of a path; empty where there is none.
    pub(super) fn column(&self, path: &str) -> String {
        let name = self.column_base(path);
        if name.is_empty() { name } else { self.standard(&name) }
    }

    fn column_base(&self, path: &str) -> String {
        let mut name =
            if self.mode.blendo { blendo(path) } else { transform(path, self.mode.divide_numbers) };
        if self.namer.dialect() == Dialect::Postgres {
            cut(&mut name, POSTGRES_NAME_BYTES_MAX);
        }
        name
    }

    /// The `event` value of an event's name.
    pub(super) fn event(&self, name: &str) -> String {
        if self.mode.blendo {
            return lower(name).trim().to_owned();
        }
        transform(name, self.mode.divide_numbers)
    }

    /// The table of an event, from its `event` value; `None` where none can be named.
    pub(super) fn event_table(&self, event: &str) -> Option<String> {
        let base = self.column_base(event);
        if base.is_empty() {
            return None;
        }
        let table = self.standard(&base);
        Some(self.namer.protect(table, self.mode.skip_reserved, false))
    }
}

/// Replaces every character but ASCII letters, digits, `\\` and `$` by an underscore; one is put
/// before a name that starts with something else than a letter or an underscore.
fn blendo(path: &str) -> String {
    let is_kept = |c: char| c.is_ascii_alphanumeric() || c == '\\' || c == '$';
    let mut name: String = path.chars().map(|c| if is_kept(c) { c } else { '_' }).collect();
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        name.insert(0, '_');
    }
    lower(&name)
}
