//! Unified tables: one table per environment over the event tables of all its sources.
//!
//! Pure decisions, made once per table or column and kept by the caller: which rows go to which
//! block, where a member table's column goes, what the core columns hold. The rows themselves are
//! built by `crate::columnar`. The rules for a user are in docs/unified.md.

pub mod forecast;
pub mod glob;
mod platform;
pub mod suggest;

pub use platform::{LIBRARY_WORDS, Platform, of_library, of_user_agent};

use crate::record::Route;
use crate::warehouse::{ColumnType, TableKind};

/// The table that every environment has, configured or not.
pub const DEFAULT_NAME: &str = "user_events";

/// One `[[unified]]` block: a table in each of its environments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The table's name.
    pub name: String,
    /// Globs over environments; empty for all.
    pub environments: Vec<String>,
    /// Globs over source names and ids; empty for all.
    pub sources: Vec<String>,
    /// Globs over schemas; empty for all.
    pub schemas: Vec<String>,
    /// Globs over tables; empty for event tables, pages and screens. A table of another kind is
    /// taken only if it is named without a wildcard.
    pub include_tables: Vec<String>,
    /// Globs over tables that stay out.
    pub exclude_tables: Vec<String>,
    /// Globs over event names, as their tables are named, that stay out.
    pub exclude_events: Vec<String>,
    /// Globs over columns that stay out; core columns always stay in.
    pub exclude_columns: Vec<String>,
    /// Canonical columns, each with the columns that fill it where it is empty, in order.
    pub aliases: Vec<(String, Vec<String>)>,
    /// Number of the folder `v<generation>`.
    pub generation: u32,
}

fn any(globs: &[String], text: &str) -> bool {
    globs.iter().any(|glob| glob::matches(glob, text))
}

impl Block {
    /// A block that takes the default rows of all environments.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            environments: Vec::new(),
            sources: Vec::new(),
            schemas: Vec::new(),
            include_tables: Vec::new(),
            exclude_tables: Vec::new(),
            exclude_events: Vec::new(),
            exclude_columns: Vec::new(),
            aliases: Vec::new(),
            generation: 1,
        }
    }

    /// True if rows of this source, table and kind belong to the block's table of the environment.
    #[must_use]
    pub fn wants(&self, route: &Route, kind: TableKind, table: &str) -> bool {
        self.wants_source(route)
            && self.wants_table(kind, table)
            && !any(&self.exclude_tables, table)
            && !(kind == TableKind::Event && self.excludes_event(table))
    }

    /// True if events of this table stay out, in whatever table their rows are.
    #[must_use]
    pub fn excludes_event(&self, table: &str) -> bool {
        any(&self.exclude_events, table)
    }

    /// True if rows of this source may belong to the block's table of the environment: of its
    /// events some, by their names.
    #[must_use]
    pub fn wants_source(&self, route: &Route) -> bool {
        let source = self.sources.is_empty()
            || any(&self.sources, &route.source_name)
            || any(&self.sources, &route.source_id);
        source
            && (self.environments.is_empty() || any(&self.environments, &route.environment))
            && (self.schemas.is_empty() || any(&self.schemas, &route.schema))
    }

    /// The names of events that have a place in the block's table: globs of which one must match,
    /// if there are any, and globs of which none may.
    #[must_use]
    pub fn event_names(&self) -> (&[String], [&[String]; 2]) {
        (&self.include_tables, [&self.exclude_tables, &self.exclude_events])
    }

    fn wants_table(&self, kind: TableKind, table: &str) -> bool {
        let included = |literal_only: bool| {
            self.include_tables
                .iter()
                .filter(|&g| !literal_only || glob::is_literal(g))
                .any(|g| glob::matches(g, table))
        };
        match kind {
            TableKind::Event | TableKind::Pages | TableKind::Screens => {
                self.include_tables.is_empty() || included(false)
            }
            // They hold the same events again, or no events of users: only where asked for by name.
            TableKind::Tracks
            | TableKind::Identifies
            | TableKind::Users
            | TableKind::Groups
            | TableKind::Aliases => included(true),
            TableKind::MergeRules | TableKind::Discards | TableKind::Rejected => false,
        }
    }

    /// Where the column `name` (lower case) of a member table goes. `escaped` are the names that
    /// the dialect gives standard columns, each with the core column meant.
    #[must_use]
    pub fn role<'n>(&self, name: &'n str, escaped: &'n [(String, String)]) -> Role<'n> {
        let column = escaped
            .iter()
            .find(|(theirs, _)| theirs == name)
            .map_or(name, |(_, core)| core.as_str());
        let is_core = CORE.iter().any(|&(core, ..)| core == column);
        let excluded = !is_core && self.exclude_columns.iter().any(|g| glob::matches(g, column));
        let fills = self.aliases.iter().enumerate().find_map(|(canonical, (_, aliases))| {
            let rank = aliases.iter().position(|alias| alias == column)?;
            Some(Alias { canonical, rank })
        });
        let feeds = match column {
            "context_session_id" => Some(Feed::SessionId),
            "context_time_adjusted" => Some(Feed::TimeAdjusted),
            "context_library_name" => Some(Feed::Library),
            "context_user_agent" => Some(Feed::UserAgent),
            _ => None,
        };
        let is = self.aliases.iter().position(|(canonical, _)| canonical == column);
        Role { column: (!excluded).then_some(column), feeds, fills, is }
    }
}

/// What becomes of a member table's column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role<'n> {
    /// The column it goes to, if any.
    pub column: Option<&'n str>,
    /// The core column that its value also decides.
    pub feeds: Option<Feed>,
    /// The canonical column that it also fills.
    pub fills: Option<Alias>,
    /// Index in [`Block::aliases`] of the canonical column that it is itself.
    pub is: Option<usize>,
}

/// A core column that is made from a member column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// `session_id`, as text.
    SessionId,
    /// `time_adjusted`.
    TimeAdjusted,
    /// `platform`, from the SDK's library.
    Library,
    /// `platform`, from the user agent.
    UserAgent,
}

/// An alias of a canonical column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alias {
    /// Index in [`Block::aliases`].
    pub canonical: usize,
    /// Place among its aliases; the lowest with a value wins.
    pub rank: usize,
}

/// Core and lineage columns in their order: name, type, required.
pub const CORE: [(&str, ColumnType, bool); 19] = [
    ("id", ColumnType::String, true),
    ("received_at", ColumnType::Datetime, true),
    ("event_date", ColumnType::Date, false),
    ("environment", ColumnType::String, false),
    ("source_name", ColumnType::String, false),
    ("platform", ColumnType::String, false),
    ("type", ColumnType::String, false),
    ("event", ColumnType::String, false),
    ("event_text", ColumnType::String, false),
    ("user_id", ColumnType::String, false),
    ("anonymous_id", ColumnType::String, false),
    ("session_id", ColumnType::String, false),
    ("timestamp", ColumnType::Datetime, false),
    ("original_timestamp", ColumnType::Datetime, false),
    ("sent_at", ColumnType::Datetime, false),
    ("time_adjusted", ColumnType::String, false),
    ("_source_schema", ColumnType::String, false),
    ("_source_table", ColumnType::String, false),
    ("_dbt_source_relation", ColumnType::String, false),
];

/// Core and lineage columns that the gateway fills by itself: a member's column of such a name is
/// another thing and goes to a variant.
pub const MADE: [&str; 10] = [
    "event_date",
    "environment",
    "source_name",
    "platform",
    "type",
    "session_id",
    "time_adjusted",
    "_source_schema",
    "_source_table",
    "_dbt_source_relation",
];

/// All blocks of the configuration and the default one.
#[derive(Clone, Debug)]
pub struct Unified {
    /// The blocks; [`DEFAULT_NAME`] is among them.
    pub blocks: Vec<Block>,
    /// Names that the dialect gives standard columns, each with the core column meant:
    /// `_timestamp` for `timestamp` in data lakes.
    pub escaped: Vec<(String, String)>,
}

impl Unified {
    /// Adds the default table unless a block changes it.
    #[must_use]
    pub fn new(mut blocks: Vec<Block>, escaped: Vec<(String, String)>) -> Self {
        if !blocks.iter().any(|block| block.name == DEFAULT_NAME) {
            blocks.insert(0, Block::named(DEFAULT_NAME));
        }
        Self { blocks, escaped }
    }
}

/// The text dbt's union writes for a table.
#[must_use]
pub fn relation(schema: &str, table: &str) -> String {
    format!("\"{schema}\".\"{table}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(environment: &str, source: &str) -> Route {
        Route {
            source_id: format!("{source}_{environment}"),
            source_name: source.to_owned(),
            environment: environment.to_owned(),
            platform: String::new(),
            schema: format!("mm_{source}_{environment}"),
        }
    }

    fn list(items: &[&str]) -> Vec<String> {
        items.iter().map(|&item| item.to_owned()).collect()
    }

    #[test]
    fn default_rows_are_event_tables_pages_and_screens() {
        let unified = Unified::new(vec![Block::named("other")], Vec::new());
        assert_eq!(unified.blocks.len(), 2);
        let block = &unified.blocks[0];
        assert_eq!(block.name, DEFAULT_NAME);
        for (kind, table, expected) in [
            (TableKind::Event, "order_completed", true),
            (TableKind::Pages, "pages", true),
            (TableKind::Screens, "screens", true),
            (TableKind::Tracks, "tracks", false),
            (TableKind::Identifies, "identifies", false),
            (TableKind::Users, "users", false),
            (TableKind::Groups, "groups", false),
            (TableKind::Aliases, "aliases", false),
            (TableKind::Discards, "rudder_discards", false),
            (TableKind::MergeRules, "rudder_identity_merge_rules", false),
            (TableKind::Rejected, "rejected", false),
        ] {
            assert_eq!(block.wants(&route("prod", "web"), kind, table), expected, "{table}");
        }
    }

    #[test]
    fn globs_narrow_and_names_widen() {
        let mut block = Block::named("x");
        block.environments = list(&["prod"]);
        block.sources = list(&["web*", "mobile_prod"]);
        block.include_tables = list(&["order_*", "identifies", "*"]);
        block.exclude_tables = list(&["screens"]);
        block.exclude_events = list(&["api_posts_get_*"]);
        let wants = |env: &str, source: &str, kind, table: &str| {
            block.wants(&route(env, source), kind, table)
        };
        assert!(wants("prod", "webapp", TableKind::Event, "order_completed"));
        assert!(wants("prod", "mobile", TableKind::Pages, "pages"));
        assert!(wants("prod", "web", TableKind::Identifies, "identifies"));
        assert!(!wants("rc", "webapp", TableKind::Event, "order_completed"));
        assert!(!wants("prod", "server", TableKind::Event, "order_completed"));
        assert!(!wants("prod", "web", TableKind::Tracks, "tracks"));
        assert!(!wants("prod", "web", TableKind::Screens, "screens"));
        assert!(!wants("prod", "web", TableKind::Event, "api_posts_get_all"));
        assert!(!wants("prod", "web", TableKind::Rejected, "rejected"));
        block.schemas = list(&["mm_web_*"]);
        assert!(block.wants(&route("prod", "web"), TableKind::Event, "a"));
        assert!(!block.wants(&route("prod", "mobile"), TableKind::Event, "a"));
    }

    #[test]
    fn columns_have_their_roles() {
        let mut block = Block::named("x");
        block.exclude_columns = list(&["context_*", "timestamp", "secret"]);
        block.aliases = vec![("category".to_owned(), list(&["catggory", "kategory"]))];
        let escaped = vec![("_timestamp".to_owned(), "timestamp".to_owned())];
        let role = |name| block.role(name, &escaped);
        assert_eq!(role("price").column, Some("price"));
        assert_eq!(role("_timestamp").column, Some("timestamp"));
        assert_eq!(role("secret").column, None);
        let session = Role { column: None, feeds: Some(Feed::SessionId), fills: None, is: None };
        assert_eq!(role("context_session_id"), session);
        let alias = role("kategory");
        assert_eq!((alias.column, alias.fills.unwrap().rank), (Some("kategory"), 1));
        assert_eq!((role("category").is, role("kategory").is), (Some(0), None));
    }
}
