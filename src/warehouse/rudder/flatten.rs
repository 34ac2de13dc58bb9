//! From an event's parts to columns, in the order Go writes them: keys sorted, the last one wins.

use crate::warehouse::rules::EventKind;
use crate::warehouse::{JsonPaths, Layout};

use super::name::Naming;
use super::row::{Cells, type_of};
use super::value::{Object, Value};
use crate::warehouse::Dialect;

/// Levels of objects that are flattened in events of cloud sources.
const CLOUD_LEVELS: usize = 3;

/// What flattening goes by.
#[derive(Debug)]
pub(super) struct Flattener<'f> {
    pub(super) dialect: Dialect,
    pub(super) kind: EventKind,
    pub(super) naming: &'f Naming,
    pub(super) layout: &'f Layout,
    pub(super) json_paths: &'f JsonPaths,
    /// The type is spelled `track`: only then are paths without a type looked at.
    pub(super) is_plain_track: bool,
}

/// Where in an event an object stands.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Type, part and keys, an underscore behind each.
    pub(super) complete: String,
    pub(super) complete_level: usize,
    /// What stands before the column, likewise.
    pub(super) prefix: String,
    pub(super) level: usize,
}

impl Place {
    fn below(&self, key: &str) -> Self {
        Self {
            complete: format!("{}{key}_", self.complete),
            complete_level: self.complete_level + 1,
            prefix: format!("{}{key}_", self.prefix),
            level: self.level + 1,
        }
    }
}

impl Flattener<'_> {
    /// Writes the leaves of `input`, if it is an object, into `cells`.
    pub(super) fn flatten(&self, input: Option<&Value>, place: &Place, cells: &mut Cells) {
        let Some(members) = input.and_then(Value::as_object) else { return };
        let may_be_mangled =
            place.complete.ends_with("context_traits_") || place.complete == "group_traits_";
        if may_be_mangled && let Some(text) = mangled(members) {
            if place.prefix == "context_traits_" {
                self.put(&place.prefix, Value::String(text), false, cells);
            }
            return;
        }
        for (key, value) in members.iter().filter(|(_, value)| !value.is_blank()) {
            let path = format!("{}{key}", place.prefix);
            let is_object = value.as_object().is_some();
            if self.is_json_path(key, &path, place) {
                self.put(&path, Value::String(value.to_json()), true, cells);
            } else if !is_object {
                self.put(&path, value.clone(), false, cells);
            } else if self.layout.flattens_three_levels() && place.level >= CLOUD_LEVELS {
                self.put(&path, Value::String(value.to_json()), false, cells);
            } else {
                self.flatten(Some(value), &place.below(key), cells);
            }
        }
    }

    fn is_json_path(&self, key: &str, path: &str, place: &Place) -> bool {
        let complete = format!("{}{key}", place.complete);
        let legacy = self.is_plain_track.then_some((path, place.level));
        self.json_paths.matches((&complete, place.complete_level), legacy)
    }

    fn put(&self, path: &str, value: Value, is_json: bool, cells: &mut Cells) {
        let column = self.naming.column(path);
        if column.is_empty() || self.kind.reserves(&column.to_ascii_lowercase()) {
            return;
        }
        let kind = type_of(self.dialect, &value, is_json);
        cells.put(&column, value, kind);
    }
}

/// The string that an object was made from whose keys count up from 0 or 1 and whose values are
/// single ASCII characters.
fn mangled(members: &Object) -> Option<String> {
    let mut all = members
        .iter()
        .map(|(key, value)| {
            let number: u32 = key.parse().ok()?;
            let text = value.as_str().filter(|text| text.len() == 1)?;
            (number.to_string() == *key).then_some((number, text))
        })
        .collect::<Option<Vec<_>>>()?;
    all.sort_unstable();
    let first = all.first().map(|(number, _)| *number).filter(|number| *number <= 1)?;
    let counts_up = all.iter().zip(first..).all(|((number, _), wanted)| *number == wanted);
    counts_up.then(|| all.into_iter().map(|(_, text)| text).collect())
}
