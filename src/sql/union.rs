//! The unified tables in SQL: a view over the tables of the events that has the same rows.
//!
//! The gateway keeps the unified table as events arrive, so nobody needs this; it is here for those
//! who want to see the same from the tables alone, or have a history that is older than the
//! gateway. Where types differ between the tables, the view can be less than the unified table:
//! docs/sql.md says where.

use super::Dialect;
use super::lake::{Column, Lake, Source};
use super::members::{EXACT_MAX, Form, Member, Unified, unified};
use super::script::{Out, Part};
use crate::unified::{LIBRARY_WORDS, Platform, glob, relation};
use crate::warehouse::{ColumnType, TableKind};

/// Adds a view for each unified table.
pub(super) fn views(lake: &Lake, out: &mut Out<'_>) {
    for unified in unified(lake) {
        let (schema, name) = (&unified.table.schema, format!("{}_union", unified.table.name));
        let members = unified.members(lake);
        if members.is_empty() || !out.wants(unified.table) || lake.table(schema, &name).is_some() {
            continue;
        }
        let union = Union { lake, unified };
        let note =
            format!("{name}: {} tables, the same rows as {}", members.len(), unified.table.name);
        for (at, sql) in
            replace_view(lake.dialect, schema, &name, &union.query(&members)).iter().enumerate()
        {
            let note = if at == 0 { note.as_str() } else { "" };
            out.at(schema, &name).add(Part::Union, note, sql);
        }
    }
}

/// Makes a view anew. Postgres and Redshift replace a view by one with the same columns only.
pub(super) fn replace_view(dialect: Dialect, schema: &str, name: &str, query: &str) -> Vec<String> {
    let view = dialect.table(schema, name);
    match dialect {
        Dialect::Postgres | Dialect::Redshift => {
            vec![format!("drop view if exists {view}"), format!("create view {view} as\n{query}")]
        }
        _ => vec![format!("create or replace view {view} as\n{query}")],
    }
}

struct Union<'l> {
    lake: &'l Lake,
    unified: Unified<'l>,
}

impl Union<'_> {
    fn query(&self, members: &[Member<'_>]) -> String {
        let dialect = self.lake.dialect;
        // A head without rows gives the columns their names and types; below, null will do.
        let head: Vec<String> = self
            .unified
            .table
            .columns
            .iter()
            .map(|column| {
                format!(
                    "  {} as {}",
                    dialect.cast("null", column.kind),
                    dialect.quote(&column.label)
                )
            })
            .collect();
        let mut query = format!("select\n{}\nwhere false", head.join(",\n"));
        if matches!(
            dialect,
            Dialect::Bigquery | Dialect::Redshift | Dialect::Snowflake | Dialect::Databricks
        ) {
            query = format!(
                "select\n{}\nfrom (select 1 as one) as nothing where one = 0",
                head.join(",\n")
            );
        }
        for member in members {
            query.push_str("\nunion all\n");
            query.push_str(&self.branch(member));
        }
        query
    }

    fn branch(&self, member: &Member<'_>) -> String {
        let dialect = self.lake.dialect;
        let columns: Vec<String> = self
            .unified
            .table
            .columns
            .iter()
            .map(|column| self.value(member, column).unwrap_or_else(|| "null".to_owned()))
            .collect();
        let table = dialect.table(&member.table.schema, &member.table.name);
        let mut conditions = Vec::new();
        if !member.is_whole {
            let ids: Vec<String> =
                member.sources.iter().map(|source| dialect.literal(&source.id)).collect();
            conditions.push(format!(
                "{} in ({})",
                dialect.quote("context_source_id"),
                ids.join(", ")
            ));
        }
        if member.table.is_other_events() || member.table.kind == TableKind::Tracks {
            conditions.extend(self.by_event(member));
        }
        let condition = match conditions.as_slice() {
            [] => String::new(),
            all => format!("\nwhere {}", all.join("\n  and ")),
        };
        format!("select {}\nfrom {table}{condition}", columns.join(", "))
    }

    /// What a row must say of its event's name, where the block does not take all.
    fn by_event(&self, member: &Member<'_>) -> Vec<String> {
        let dialect = self.lake.dialect;
        let (mut wanted, mut unwanted) = self.unified.block.event_names();
        if member.table.kind == TableKind::Tracks {
            // The table was asked for by its own name.
            (wanted, unwanted[0]) = (&[], &[]);
        }
        let Some(event) = member.table.column("event") else { return Vec::new() };
        let event = format!("lower(coalesce({}, ''))", dialect.quote(&event.label));
        let mut all = Vec::new();
        if !wanted.is_empty() {
            all.push(dialect.matches(&event, &glob::expression(wanted)));
        }
        let unwanted: Vec<&String> = unwanted.into_iter().flatten().collect();
        if !unwanted.is_empty() {
            all.push(format!("not ({})", dialect.matches(&event, &glob::expression(unwanted))));
        }
        all
    }

    /// What a member has for a column of the unified table.
    fn value(&self, member: &Member<'_>, column: &Column) -> Option<String> {
        let dialect = self.lake.dialect;
        let table = member.table;
        let own =
            |name: &str| table.column(name).map(|column| (column, dialect.quote(&column.label)));
        let text =
            |name: &str| own(name).map(|(column, label)| dialect.text_of(&label, column.kind));
        match column.name.as_str() {
            "event_date" => own("received_at").map(|(_, label)| dialect.day_of(&label)),
            "environment" => Some(dialect.literal(self.unified.environment)),
            "source_name" => Some(self.by_source(member, |source| dialect.literal(&source.name))),
            "platform" => Some(self.by_source(member, |source| match source.platform.as_str() {
                "" => self.platform(member),
                platform => dialect.literal(platform),
            })),
            "type" => Some(self.event_type(member)),
            "session_id" => text("context_session_id"),
            "time_adjusted" => text("context_time_adjusted"),
            "_source_schema" => Some(dialect.literal(&table.schema)),
            "_source_table" => Some(dialect.literal(&table.name)),
            "_dbt_source_relation" => Some(dialect.literal(&relation(&table.schema, &table.name))),
            _ => self.property(member, column),
        }
    }

    /// The values that go to `column`, then those of its aliases, in the order of the block.
    fn property(&self, member: &Member<'_>, column: &Column) -> Option<String> {
        let dialect = self.lake.dialect;
        let table = member.table;
        let mut values = Vec::new();
        for own in &table.columns {
            for (target, form) in self.unified.targets(self.lake, table, own) {
                if target == column {
                    values.push(shaped(dialect, own, form));
                }
            }
        }
        for (canonical, aliases) in &self.unified.block.aliases {
            for own in aliases.iter().filter_map(|alias| table.column(alias)) {
                for (target, form) in self.unified.forms(canonical, table.kind, own.kind) {
                    if target == column {
                        values.push(shaped(dialect, own, form));
                    }
                }
            }
        }
        match values.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            several => Some(format!("coalesce({})", several.join(", "))),
        }
    }

    /// An expression that depends on the source, if there are several.
    fn by_source(&self, member: &Member<'_>, value: impl Fn(&Source) -> String) -> String {
        let dialect = self.lake.dialect;
        let cases: Vec<(&Source, String)> =
            member.sources.iter().map(|source| (*source, value(source))).collect();
        match cases.as_slice() {
            [(_, first), rest @ ..] if rest.iter().all(|(_, other)| other == first) => {
                first.clone()
            }
            cases => {
                let whens = cases.iter().map(|(source, value)| {
                    format!(" when {} then {value}", dialect.literal(&source.id))
                });
                format!(
                    "case {}{} end",
                    dialect.quote("context_source_id"),
                    whens.collect::<String>()
                )
            }
        }
    }

    fn event_type(&self, member: &Member<'_>) -> String {
        let dialect = self.lake.dialect;
        let word = match member.table.kind {
            TableKind::Pages => "page",
            TableKind::Screens => "screen",
            TableKind::Identifies | TableKind::Users => "identify",
            TableKind::Groups => "group",
            TableKind::Aliases => "alias",
            TableKind::Event => {
                // Records of cloud sources have no name as it was sent.
                return match member.table.column("event_text") {
                    Some(column) => format!(
                        "case when {} is null then 'extract' else 'track' end",
                        dialect.quote(&column.label)
                    ),
                    None => "'extract'".to_owned(),
                };
            }
            _ => "track",
        };
        dialect.literal(word)
    }

    /// The platform by the library, else by the user agent, as `unified::Platform::of` tells it.
    fn platform(&self, member: &Member<'_>) -> String {
        let dialect = self.lake.dialect;
        let text = |name: &str| {
            let column = member.table.column(name)?;
            Some(dialect.text_of(&dialect.quote(&column.label), column.kind))
        };
        let (library, agent) = (text("context_library_name"), text("context_user_agent"));
        let mut whens = String::new();
        let mut when = |condition: String, platform: Platform| {
            let name = Platform::name(Some(platform));
            whens.push_str(&format!(" when {condition} then '{name}'"));
        };
        let words = |of: Platform| {
            let library = library.as_ref()?;
            let (_, words) = LIBRARY_WORDS.iter().find(|(platform, _)| *platform == of)?;
            let pattern = format!("(^|[^a-z0-9])({})([^a-z0-9]|$)", words.join("|"));
            Some(dialect.matches(&format!("lower({library})"), &pattern))
        };
        for platform in [Platform::Desktop, Platform::Mobile, Platform::Server] {
            if let Some(condition) = words(platform) {
                when(condition, platform);
            }
        }
        // A desktop program has the browser's library, or none, and shows itself here.
        if let Some(agent) = &agent {
            when(dialect.matches(agent, "Electron/"), Platform::Desktop);
        }
        if let Some(condition) = words(Platform::Web) {
            when(condition, Platform::Web);
        }
        if let Some(agent) = &agent {
            when(dialect.matches(agent, "^Mozilla/"), Platform::Web);
            when(dialect.matches(agent, "Dalvik/|okhttp/|CFNetwork/|Dart/"), Platform::Mobile);
        }
        if whens.is_empty() {
            "'other'".to_owned()
        } else {
            format!("case{whens} else 'other' end")
        }
    }
}

fn shaped(dialect: Dialect, own: &Column, form: Form) -> String {
    let label = dialect.quote(&own.label);
    let is_exact = format!("{label} between -{EXACT_MAX} and {EXACT_MAX}");
    match form {
        Form::Same => label,
        Form::Text => dialect.text_of(&label, own.kind),
        Form::Float => {
            format!("case when {is_exact} then {} end", dialect.cast(&label, ColumnType::Float))
        }
        Form::LargeInt => format!("case when not ({is_exact}) then {label} end"),
    }
}
