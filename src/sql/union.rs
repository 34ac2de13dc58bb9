//! The unified tables in SQL: a view over the tables of the events that has the same rows.
//!
//! The gateway keeps the unified table as events arrive, so nobody needs this; it is here for those
//! who want to see the same from the tables alone, or have a history that is older than the
//! gateway. Where types differ between the tables, the view can be less than the unified table:
//! docs/sql.md says where.

use std::collections::BTreeMap;

use super::Dialect;
use super::dialect::{exact, whole};
use super::lake::{Column, Lake, Origin, Source, Table, free_name};
use super::members::{Filling, Form, Member, Unified, by_event, unified};
use super::script::{Out, Part};
use crate::unified::{Alias, LIBRARY_WORDS, Platform, Role, relation};
use crate::warehouse::{ColumnType, TableKind};

/// Adds a view for each unified table.
pub(super) fn views(lake: &Lake, out: &mut Out<'_>) {
    for unified in unified(lake) {
        let (schema, name) = (&unified.table.schema, name(lake, unified.table));
        let members = unified.members(lake);
        if members.is_empty() || !out.wants(unified.table) {
            continue;
        }
        let union = Union { lake, unified };
        let note =
            format!("{name}: {} tables, the same rows as {}", members.len(), unified.table.label);
        for (at, sql) in
            replace_view(lake.dialect, schema, &name, &union.query(&members)).iter().enumerate()
        {
            let note = if at == 0 { note.as_str() } else { "" };
            out.at(schema, &name).add(Part::Union, note, sql);
        }
    }
}

/// The names of the unions of a schema, by the labels of their tables.
pub(super) fn names(lake: &Lake, schema: &str) -> BTreeMap<String, String> {
    let mut taken = lake.taken(schema);
    let mut names = BTreeMap::new();
    for table in lake.tables.iter().filter(|table| table.schema == schema) {
        if matches!(table.origin, Origin::Unified { .. }) {
            let wanted = format!("{}_union", table.label);
            let name = free_name(&wanted, lake.dialect.name_max(), &taken);
            taken.insert(name.clone());
            names.insert(table.label.clone(), name);
        }
    }
    names
}

fn name(lake: &Lake, table: &Table) -> String {
    names(lake, &table.schema).remove(&table.label).unwrap_or_default()
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
        let fillings = self.unified.fillings(self.lake, member.table);
        let columns: Vec<String> = self
            .unified
            .table
            .columns
            .iter()
            .map(|column| self.value(member, column, &fillings))
            .map(|value| value.unwrap_or_else(|| "null".to_owned()))
            .collect();
        let table = dialect.table(&member.table.schema, &member.table.label);
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
        if let Some(event) = member.table.column("event") {
            let (event, block) = (dialect.quote(&event.label), self.unified.block);
            conditions.extend(by_event(
                dialect,
                block,
                (member.table.kind, &member.table.name),
                &event,
            ));
        }
        conditions.extend(member.again.and_then(|again| self.not_in(member.table, again)));
        let condition = match conditions.as_slice() {
            [] => String::new(),
            all => format!("\nwhere {}", all.join("\n  and ")),
        };
        format!("select {}\nfrom {table}{condition}", columns.join(", "))
    }

    /// Records, which have no name as it was sent, and events that `again` does not have: those of a
    /// source without it.
    fn not_in(&self, table: &Table, again: &Table) -> Option<String> {
        let dialect = self.lake.dialect;
        let text = table.column("event_text")?;
        let key = |of: &Table| {
            let [source, id] = ["context_source_id", "id"].map(|name| of.column(name));
            let [source, id] = [source?, id?].map(|column| dialect.quote(&column.label));
            Some(format!("coalesce({source}, '') || ':' || {id}"))
        };
        Some(format!(
            "({} is null or {} not in (select {} from {}))",
            dialect.quote(&text.label),
            key(table)?,
            key(again)?,
            dialect.table(&again.schema, &again.label)
        ))
    }

    /// What a member has for a column of the unified table.
    fn value(
        &self,
        member: &Member<'_>,
        column: &Column,
        fillings: &[Filling<'_, '_>],
    ) -> Option<String> {
        let dialect = self.lake.dialect;
        let table = member.table;
        let own =
            |name: &str| table.column(name).map(|column| (column, dialect.quote(&column.label)));
        match column.name.as_str() {
            "event_date" => Some(self.by_source(member, |source| {
                // What was imported keeps the time of its first arrival.
                let of = if source.keep_received_at { "uuid_ts" } else { "received_at" };
                own(of).map_or_else(|| "null".to_owned(), |(_, label)| dialect.day_of(&label))
            })),
            "environment" => Some(dialect.literal(self.unified.environment)),
            "source_name" => Some(self.by_source(member, |source| dialect.literal(&source.name))),
            "platform" => Some(self.by_source(member, |source| match source.platform.as_str() {
                "" => self.platform(member),
                platform => dialect.literal(platform),
            })),
            "type" => Some(self.event_type(member)),
            "session_id" => self.fed(member, (column, "context_session_id"), fillings),
            "time_adjusted" => self.fed(member, (column, "context_time_adjusted"), fillings),
            "_source_schema" => Some(dialect.literal(&table.schema)),
            "_source_table" => Some(dialect.literal(&table.name)),
            "_dbt_source_relation" => Some(dialect.literal(&relation(&table.schema, &table.name))),
            _ => self.property(member, column, fillings),
        }
    }

    /// The values that go to `column`, then those of its aliases.
    fn property(
        &self,
        member: &Member<'_>,
        column: &Column,
        fillings: &[Filling<'_, '_>],
    ) -> Option<String> {
        let own = fillings.iter().filter(|one| one.target == column && one.alias.is_none());
        let values = own.map(|one| shaped(self.lake.dialect, one.own, one.form));
        coalesce(values.chain(self.of_aliases(member, column, fillings)))
    }

    /// A text that the gateway takes from a column, then from aliases.
    fn fed(
        &self,
        member: &Member<'_>,
        (column, from): (&Column, &str),
        fillings: &[Filling<'_, '_>],
    ) -> Option<String> {
        let aliases = self.of_aliases(member, column, fillings);
        coalesce(self.texts(member.table, from).into_iter().chain(aliases))
    }

    /// The values of `name`, whatever their type, as texts.
    fn texts(&self, table: &Table, name: &str) -> Vec<String> {
        let dialect = self.lake.dialect;
        let text = |own: &Column| dialect.text_of(&dialect.quote(&own.label), own.kind);
        table.family(name).map(text).collect()
    }

    /// What aliases give to `column`: where a row has the canonical column itself, in whatever type,
    /// nothing; else the value of the first alias that the row has, if its type belongs here.
    fn of_aliases(
        &self,
        member: &Member<'_>,
        column: &Column,
        fillings: &[Filling<'_, '_>],
    ) -> Option<String> {
        let dialect = self.lake.dialect;
        let given = |columns: Vec<&Column>| -> Option<String> {
            let each =
                columns.iter().map(|own| format!("{} is not null", dialect.quote(&own.label)));
            let each: Vec<String> = each.collect();
            (!each.is_empty()).then(|| each.join(" or "))
        };
        let first = fillings.iter().find(|one| one.target == column && one.alias.is_some())?;
        let canonical = first.alias?.canonical;
        let roles: Vec<(&Column, Role<'_>)> = member
            .table
            .columns
            .iter()
            .map(|own| {
                let base = member.table.base_of(own);
                (own, self.unified.block.role(base, &self.lake.unified.escaped))
            })
            .collect();
        let of = |wanted: &dyn Fn(&Role<'_>) -> bool| -> Vec<&Column> {
            roles.iter().filter(|(_, role)| wanted(role)).map(|(own, _)| *own).collect()
        };
        let mut whens = String::new();
        if let Some(condition) = given(of(&|role| role.is == Some(canonical))) {
            whens.push_str(&format!(" when {condition} then null"));
        }
        let (_, aliases) = self.unified.block.aliases.get(canonical)?;
        for rank in 0..aliases.len() {
            let alias = Some(Alias { canonical, rank });
            let Some(condition) = given(of(&|role| role.fills == alias)) else { continue };
            let values = fillings
                .iter()
                .filter(|one| one.target == column && one.alias == alias)
                .map(|one| shaped(dialect, one.own, one.form));
            let value = coalesce(values).unwrap_or_else(|| "null".to_owned());
            whens.push_str(&format!(" when {condition} then {value}"));
        }
        Some(format!("case{whens} end"))
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
        let text = |name: &str| coalesce(self.texts(member.table, name).into_iter());
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

/// The first value that is not null.
fn coalesce(values: impl Iterator<Item = String>) -> Option<String> {
    let values: Vec<String> = values.collect();
    match values.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(format!("coalesce({})", several.join(", "))),
    }
}

fn shaped(dialect: Dialect, own: &Column, form: Form) -> String {
    let label = dialect.quote(&own.label);
    match form {
        Form::Same => label,
        Form::Text => dialect.text_of(&label, own.kind),
        Form::Float => {
            let float = dialect.cast(&label, ColumnType::Float);
            format!("case when {} then {float} end", exact(&label))
        }
        Form::LargeInt => format!("case when not ({}) then {label} end", exact(&label)),
        Form::Int => {
            let int = dialect.cast(&label, ColumnType::Int);
            format!("case when {} then {int} end", whole(&label))
        }
        Form::Fraction => format!("case when not {} then {label} end", whole(&label)),
    }
}
