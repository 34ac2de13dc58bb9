//! `users`: one row for each user, with the last value of each column.
//!
//! The lake keeps every identify; the warehouse keeps for each user and column the latest value
//! that is none of the nulls, by arrival. What is in `users` already stays where no identify has a
//! value, so that a table of older days may be gone on with.

use std::collections::HashSet;

use super::Dialect;
use super::lake::{Column, Lake, Table, free_name};
use super::script::{Out, Part};
use crate::warehouse::{ColumnType, TableKind};

/// Columns of `identifies` that `users` does not have.
const LEFT_OUT: [&str; 4] = ["id", "anonymous_id", "user_id", "channel"];
/// The place of an identify among those of its user, the newest first.
const PLACE: &str = "_keelrow_place";
/// The rows that are to be.
const STAGE: &str = "_keelrow_users";

/// The columns of `users`: those of `identifies`, with the user's id in front. None where the
/// schema has no `identifies`.
pub(super) fn columns(lake: &Lake, users: &Table) -> Option<Vec<Column>> {
    let identifies = lake.table(&users.schema, "identifies")?;
    let user_id = identifies.column("user_id")?;
    let id = Column {
        name: "id".to_owned(),
        label: "id".to_owned(),
        kind: ColumnType::String,
        is_required: true,
        max_bytes: user_id.max_bytes,
    };
    let others =
        identifies.columns.iter().filter(|column| !LEFT_OUT.contains(&column.name.as_str()));
    // An older table may lack any of them.
    let others = others.map(|column| Column { is_required: false, ..column.clone() });
    Some(std::iter::once(id).chain(others).collect())
}

/// Brings every `users` table up to date.
pub(super) fn upserts(lake: &Lake, out: &mut Out<'_>) {
    for users in lake.tables.iter().filter(|table| table.kind == TableKind::Users) {
        let wanted = out.wants(users)
            || lake.table(&users.schema, "identifies").is_some_and(|t| out.wants(t));
        let (true, Some(columns)) = (wanted, columns(lake, users)) else { continue };
        // A trait may be called like it.
        let labels: HashSet<String> = lake
            .table(&users.schema, "identifies")
            .map(|table| table.columns.iter().map(|column| column.label.clone()).collect())
            .unwrap_or_default();
        let place = free_name(PLACE, lake.dialect.name_max(), &labels);
        let (schema, table) = (&users.schema, &users.label);
        let upsert = Upsert { lake, schema, table, place: &place, columns: &columns };
        let note = "users: the last value of each column for each user";
        for (at, sql) in upsert.statements().iter().enumerate() {
            let note = if at == 0 { note } else { "" };
            out.at(&users.schema, &users.label).add(Part::Users, note, sql);
        }
    }
}

struct Upsert<'l> {
    lake: &'l Lake,
    schema: &'l str,
    table: &'l str,
    /// The name of the column with the place.
    place: &'l str,
    columns: &'l [Column],
}

impl Upsert<'_> {
    fn statements(&self) -> Vec<String> {
        let dialect = self.lake.dialect;
        match dialect {
            Dialect::Clickhouse => vec![self.clickhouse()],
            Dialect::Redshift => self.redshift(),
            _ => vec![self.merge()],
        }
    }

    fn labels(&self) -> Vec<String> {
        self.columns.iter().map(|column| self.lake.dialect.quote(&column.label)).collect()
    }

    fn target(&self) -> String {
        self.lake.dialect.table(self.schema, self.table)
    }

    /// The identifies with their places.
    fn placed(&self) -> String {
        let dialect = self.lake.dialect;
        let identifies = self.lake.table(self.schema, "identifies");
        let q = |name: &str| dialect.quote(name);
        // Identifies of one request arrived together: then what the client says decides.
        let client = identifies
            .and_then(|table| {
                ["timestamp", "_timestamp"].iter().find_map(|name| table.column(name))
            })
            .map(|column| format!("{} desc, ", q(&column.label)))
            .unwrap_or_default();
        let source = dialect.table(self.schema, "identifies");
        let changed = self.lake.since.as_ref().map_or_else(String::new, |since| {
            format!(
                "\n      and {} in (select {} from {source} where {} >= {})",
                q("user_id"),
                q("user_id"),
                q("uuid_ts"),
                dialect.cast(&dialect.literal(since), ColumnType::Datetime)
            )
        });
        format!(
            "(\n    select identifies.*, row_number() over (partition by {user} order by {at} desc, {client}{id} desc) as {place}\n    \
             from {source} as identifies\n    where {user} is not null{changed}\n  )",
            user = q("user_id"),
            at = q("received_at"),
            id = q("id"),
            place = q(self.place),
        )
    }

    /// One row for each user out of those with places.
    fn last_values(&self) -> String {
        let dialect = self.lake.dialect;
        let q = |name: &str| dialect.quote(name);
        let place = q(self.place);
        let last = |column: &Column| {
            let c = q(&column.label);
            let value = match dialect {
                Dialect::Snowflake => format!("min_by({c}, iff({c} is null, null, {place}))"),
                Dialect::Bigquery => {
                    format!("array_agg({c} ignore nulls order by {place} limit 1)[safe_offset(0)]")
                }
                Dialect::Postgres => {
                    format!("(array_agg({c} order by {place}) filter (where {c} is not null))[1]")
                }
                Dialect::Clickhouse => format!("argMinIf({c}, {place}, {c} is not null)"),
                Dialect::Duckdb => format!("arg_min({c}, {place}) filter (where {c} is not null)"),
                Dialect::Databricks => {
                    format!("min_by({c}, {place}) filter (where {c} is not null)")
                }
                Dialect::Redshift => format!(
                    "first_value({c} ignore nulls) over (partition by {user} order by {place} \
                     rows between unbounded preceding and unbounded following)",
                    user = q("user_id")
                ),
            };
            format!("    {value} as {c}")
        };
        let mut columns = vec![format!("    {} as {}", q("user_id"), q("id"))];
        columns.extend(self.columns.iter().skip(1).map(last));
        let columns = columns.join(",\n");
        let placed = self.placed();
        if dialect == Dialect::Redshift {
            return format!("select\n{columns},\n    {place}\n  from {placed} as placed");
        }
        format!("select\n{columns}\n  from {placed} as placed\n  group by {}", q("user_id"))
    }

    fn merge(&self) -> String {
        let labels = self.labels();
        let sets: Vec<String> = labels
            .iter()
            .skip(1)
            .map(|label| format!("  {label} = coalesce(latest.{label}, kept.{label})"))
            .collect();
        let values: Vec<String> = labels.iter().map(|label| format!("latest.{label}")).collect();
        let id = self.lake.dialect.quote("id");
        format!(
            "merge into {} as kept using (\n  {}\n) as latest on kept.{id} = latest.{id}\n\
             when matched then update set\n{}\n\
             when not matched then insert ({})\n  values ({})",
            self.target(),
            self.last_values(),
            sets.join(",\n"),
            labels.join(", "),
            values.join(", ")
        )
    }

    /// Each column of the new rows, or the old value where there is none.
    fn coalesced(&self) -> String {
        let columns: Vec<String> = self
            .labels()
            .iter()
            .enumerate()
            .map(|(at, label)| match at {
                0 => format!("  latest.{label}"),
                _ => format!("  coalesce(latest.{label}, kept.{label}) as {label}"),
            })
            .collect();
        columns.join(",\n")
    }

    /// Redshift's merge takes no query, so the rows are made first and then exchanged.
    fn redshift(&self) -> Vec<String> {
        let dialect = self.lake.dialect;
        let (target, stage) = (self.target(), dialect.quote(STAGE));
        let (id, labels) = (dialect.quote("id"), self.labels().join(", "));
        vec![
            "begin".to_owned(),
            format!(
                "create temporary table {stage} as select\n{}\nfrom (\n  {}\n) as latest \
                 left join {target} as kept on kept.{id} = latest.{id}\nwhere latest.{} = 1",
                self.coalesced(),
                self.last_values(),
                dialect.quote(self.place)
            ),
            format!("delete from {target} using {stage} where {target}.{id} = {stage}.{id}"),
            format!("insert into {target} ({labels}) select {labels} from {stage}"),
            format!("drop table {stage}"),
            "commit".to_owned(),
        ]
    }

    /// The newest row of a user replaces the others when parts are merged, and at once with final.
    fn clickhouse(&self) -> String {
        let (target, id) = (self.target(), self.lake.dialect.quote("id"));
        format!(
            "insert into {target} ({})\nselect\n{}\nfrom (\n  {}\n) as latest \
             left join (select * from {target} final) as kept on kept.{id} = latest.{id}",
            self.labels().join(", "),
            self.coalesced(),
            self.last_values()
        )
    }
}
