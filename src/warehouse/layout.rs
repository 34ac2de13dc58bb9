//! A source's choices about its layout, and those an event brings along.

use std::collections::HashMap;

use foldhash::quality::RandomState;
use serde::Deserialize;

/// What a source may choose; the destination settings of the same names in RudderStack.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// Writes no `tracks` rows.
    pub skip_tracks_table: bool,
    /// Writes no `users` rows.
    pub skip_users_table: bool,
    /// Digits stand apart in names (`v_2`), as in older destinations.
    pub underscore_divide_numbers: bool,
    /// The traits of `context.traits` become columns of identifies and users once more, without
    /// prefix.
    pub allow_users_context_traits: bool,
    /// Keeps the whole event as JSON text in `rudder_event`.
    pub store_full_event: bool,
    /// Writes identity rules for events other than merges too.
    pub identity_rules: bool,
    /// What kind of source it is: `cloud` and `singer-protocol` have record ids.
    pub source_category: String,
    /// Paths whose values are kept as JSON text.
    pub json_paths: JsonPaths,
}

impl Layout {
    /// Reads a source's choices under the names that RudderStack's destination settings have.
    ///
    /// # Errors
    /// When the text is not a JSON object, or an unknown name or a wrong type is in it.
    pub fn from_options(json: &str) -> Result<Self, serde_json::Error> {
        // By way of an object: the fields may not come as a list.
        let object: serde_json::Map<_, _> = serde_json::from_str(json)?;
        let options: Options = serde_json::from_value(object.into())?;
        Ok(Self {
            skip_tracks_table: options.skip_tracks_table,
            skip_users_table: options.skip_users_table,
            underscore_divide_numbers: options.underscore_divide_numbers,
            allow_users_context_traits: options.allow_users_context_traits,
            store_full_event: options.store_full_event,
            identity_rules: options.id_resolve || options.identity_rules,
            source_category: options.source_category,
            json_paths: match &options.json_paths {
                Paths::Text(text) => text.split(',').collect(),
                Paths::List(list) => list.iter().map(String::as_str).collect(),
            },
        })
    }

    /// True for sources of records, whose rows may be named by their recordId.
    #[must_use]
    pub fn has_record_ids(&self) -> bool {
        let is = |name: &str| self.source_category.eq_ignore_ascii_case(name);
        is("cloud") || is("singer-protocol")
    }

    /// True where objects four levels down become JSON text. Letter case counts here.
    #[must_use]
    pub fn flattens_three_levels(&self) -> bool {
        self.source_category == "cloud"
    }
}

/// The settings as RudderStack spells them.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Options {
    skip_tracks_table: bool,
    skip_users_table: bool,
    underscore_divide_numbers: bool,
    allow_users_context_traits: bool,
    store_full_event: bool,
    id_resolve: bool,
    identity_rules: bool,
    source_category: String,
    json_paths: Paths,
    /// Of the older JavaScript transformer alone, which is not the norm.
    #[serde(rename = "chArraySupport")]
    _ch_array_support: serde::de::IgnoredAny,
}

/// Paths as RudderStack has them, or as our configuration has them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Paths {
    Text(String),
    List(Vec<String>),
}

impl Default for Paths {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

/// Types that a path may start with.
const TYPES: [&str; 7] =
    ["track.", "identify.", "page.", "screen.", "alias.", "group.", "extract."];

/// Paths to keep as JSON text, in the form they are matched in: keys joined by underscores, and how
/// many there are before the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JsonPaths {
    /// Paths that name type and part: `track.properties.a.b`.
    complete: HashMap<String, usize, RandomState>,
    /// Paths that do not; they count for track events only.
    legacy: HashMap<String, usize, RandomState>,
}

impl JsonPaths {
    /// True if no value is kept as JSON text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.complete.is_empty() && self.legacy.is_empty()
    }

    /// Adds all of `other`, which win.
    pub fn extend(&mut self, other: &Self) {
        self.complete.extend(other.complete.iter().map(|(path, level)| (path.clone(), *level)));
        self.legacy.extend(other.legacy.iter().map(|(path, level)| (path.clone(), *level)));
    }

    /// Adds a path; blank ones count for nothing.
    pub fn add(&mut self, path: &str) {
        let path = path.trim();
        if path.is_empty() {
            return;
        }
        let (key, level) = (path.replace('.', "_"), path.matches('.').count());
        let lower = path.to_ascii_lowercase();
        if TYPES.iter().any(|prefix| lower.starts_with(prefix)) {
            self.complete.insert(key, level);
        } else {
            self.legacy.insert(key, level);
        }
    }

    /// True if the value at `complete` (type, part and keys joined by underscores) is one to keep.
    /// `legacy` is the column path of a track event, `None` for other events; the level counts the
    /// keys before the last.
    #[must_use]
    pub fn matches(&self, complete: (&str, usize), legacy: Option<(&str, usize)>) -> bool {
        let hit = |paths: &HashMap<String, usize, RandomState>, (path, level): (&str, usize)| {
            paths.get(path) == Some(&level)
        };
        hit(&self.complete, complete) || legacy.is_some_and(|legacy| hit(&self.legacy, legacy))
    }
}

impl<'p> FromIterator<&'p str> for JsonPaths {
    fn from_iter<I: IntoIterator<Item = &'p str>>(paths: I) -> Self {
        let mut all = Self::default();
        paths.into_iter().for_each(|path| all.add(path));
        all
    }
}
