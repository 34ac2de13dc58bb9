//! `rudder_identity_mappings`: which ids belong to one person, by the rules of the lake.
//!
//! A rule joins two ids. Ids that rules join, directly or through others, get one `rudder_id`: a
//! new one if none of them has any, else the one that is known longest, to which all others move.
//! The ids are the nodes of a graph; each round hands every node the least label among its
//! neighbours and of what that label itself has got, so that a chain of ids shrinks by more than
//! half. What the rounds leave over, the next run of the script joins.

use super::Dialect;
use super::ddl::MAPPINGS;
use super::lake::{Lake, Table};
use super::script::{Out, Part};
use crate::warehouse::TableKind;

/// Rounds of one run: chains of several hundred ids, where people have a handful.
const ROUNDS: usize = 8;

const EDGES: &str = "_keelrow_edges";
const NODES: &str = "_keelrow_nodes";
const LABELS: [&str; 2] = ["_keelrow_labels_a", "_keelrow_labels_b"];
const IDS: &str = "_keelrow_ids";
const PEOPLE: &str = "_keelrow_people";

/// Brings the mappings of every schema with rules up to date.
pub(super) fn mappings(lake: &Lake, out: &mut Out<'_>) {
    for rules in lake.tables.iter().filter(|table| table.kind == TableKind::MergeRules) {
        if !out.wants(rules) {
            continue;
        }
        let graph = Graph { dialect: lake.dialect, rules };
        let note = "which ids are one person";
        for (at, sql) in graph.statements().iter().enumerate() {
            let note = if at == 0 { note } else { "" };
            out.at(&rules.schema, MAPPINGS).add(Part::Identity, note, sql);
        }
    }
}

struct Graph<'l> {
    dialect: Dialect,
    rules: &'l Table,
}

impl Graph<'_> {
    fn q(&self, name: &str) -> String {
        self.dialect.quote(name)
    }

    /// A table of this run.
    fn scratch(&self, name: &str) -> String {
        match self.dialect {
            Dialect::Snowflake | Dialect::Clickhouse | Dialect::Databricks => {
                self.dialect.table(&self.rules.schema, name)
            }
            _ => self.q(name),
        }
    }

    /// Makes a table of this run anew.
    fn make(&self, name: &str, query: &str, statements: &mut Vec<String>) {
        let table = self.scratch(name);
        match self.dialect {
            Dialect::Postgres | Dialect::Redshift => {
                statements.push(format!("drop table if exists {table}"));
                statements.push(format!("create temporary table {table} as\n{query}"));
            }
            Dialect::Clickhouse => statements
                .push(format!("create or replace table {table} engine = Memory as\n{query}")),
            Dialect::Databricks => {
                statements.push(format!("create or replace table {table} as\n{query}"));
            }
            Dialect::Snowflake | Dialect::Bigquery | Dialect::Duckdb => {
                statements.push(format!("create or replace temporary table {table} as\n{query}"));
            }
        }
    }

    fn statements(&self) -> Vec<String> {
        let mut statements = Vec::new();
        self.make(NODES, &self.nodes(), &mut statements);
        self.make(EDGES, &self.edges(), &mut statements);
        let edges = self.scratch(EDGES);
        let first = format!("select node, min(neighbour) as label from {edges} group by node");
        self.make(LABELS[0], &first, &mut statements);
        for round in 0..ROUNDS {
            let [from, to] = [LABELS[round % 2], LABELS[(round + 1) % 2]];
            self.make(to, &self.round(from), &mut statements);
        }
        let labels = LABELS[ROUNDS % 2];
        self.make(IDS, &self.ids(labels), &mut statements);
        self.make(PEOPLE, &self.people(labels), &mut statements);
        self.take_over(&mut statements);
        for name in [NODES, EDGES, LABELS[0], LABELS[1], IDS, PEOPLE] {
            statements.push(format!("drop table {}", self.scratch(name)));
        }
        statements
    }

    fn mappings(&self) -> String {
        let table = self.dialect.table(&self.rules.schema, MAPPINGS);
        if self.dialect == Dialect::Clickhouse {
            format!("(select * from {table} final)")
        } else {
            table
        }
    }

    /// An id as one text; the length keeps two ids apart that are written alike.
    fn node(&self, kind: &str, value: &str) -> String {
        let length =
            self.dialect.cast(&format!("length({kind})"), crate::warehouse::ColumnType::String);
        format!("{length} || ':' || {kind} || ':' || {value}")
    }

    /// Type and value of one side of a rule; null where the rules have no second side yet.
    fn side(&self, number: u8) -> [String; 2] {
        ["type", "value"].map(|what| {
            let name = format!("merge_property_{number}_{what}");
            match self.rules.column(&name) {
                Some(column) => self.q(&column.label),
                None => self.dialect.cast("null", crate::warehouse::ColumnType::String),
            }
        })
    }

    /// Every id of the rules and of the mappings there are.
    fn nodes(&self) -> String {
        let rules = self.dialect.table(&self.rules.schema, &self.rules.label);
        let sides = [1, 2].map(|number| {
            let [kind, value] = self.side(number);
            format!(
                "select {kind} as kind, {value} as id from {rules} \
                 where {kind} is not null and {value} is not null"
            )
        });
        let [kind, value] =
            ["merge_property_type", "merge_property_value"].map(|name| self.q(name));
        format!(
            "select distinct {} as node, kind, id from (\n  {}\n  union all {}\n  union all \
             select {kind} as kind, {value} as id from {} as known\n) as ids",
            self.node("kind", "id"),
            sides[0],
            sides[1],
            self.mappings()
        )
    }

    /// Both directions of every rule, each id with itself, and each known id with its person.
    fn edges(&self) -> String {
        let rules = self.dialect.table(&self.rules.schema, &self.rules.label);
        let ([kind_1, value_1], [kind_2, value_2]) = (self.side(1), self.side(2));
        let (one, two) = (self.node("kind_1", "id_1"), self.node("kind_2", "id_2"));
        let [kind, value, person] =
            ["merge_property_type", "merge_property_value", "rudder_id"].map(|name| self.q(name));
        let (known, mappings) = (self.node(&kind, &value), self.mappings());
        let person = format!("'person:' || {person}");
        let pairs = format!(
            "(select distinct {kind_1} as kind_1, {value_1} as id_1, {kind_2} as kind_2, {value_2} as id_2 \
             from {rules}\n   where {kind_2} is not null and {value_2} is not null)"
        );
        format!(
            "select distinct node, neighbour from (\n  \
             select node, node as neighbour from {nodes}\n  \
             union all select {one} as node, {two} as neighbour from {pairs} as pairs\n  \
             union all select {two} as node, {one} as neighbour from {pairs} as pairs\n  \
             union all select {known} as node, {person} as neighbour from {mappings} as known\n  \
             union all select {person} as node, {known} as neighbour from {mappings} as known\n\
             ) as edges",
            nodes = self.scratch(NODES)
        )
    }

    fn round(&self, labels: &str) -> String {
        let (edges, labels) = (self.scratch(EDGES), self.scratch(labels));
        format!(
            "select near.node as node, least(near.label, far.label) as label\nfrom (\n  \
             select edges.node as node, min(labels.label) as label\n  \
             from {edges} as edges join {labels} as labels on labels.node = edges.neighbour\n  \
             group by edges.node\n) as near join {labels} as far on far.node = near.label"
        )
    }

    /// For each label the person known longest, or a new one.
    fn ids(&self, labels: &str) -> String {
        let [kind, value, person, at] =
            ["merge_property_type", "merge_property_value", "rudder_id", "updated_at"]
                .map(|name| self.q(name));
        // An empty text stands for none where a join fills in no nulls.
        let new = self.dialect.new_id();
        format!(
            "select label, coalesce(nullif(known, ''), {new}) as person\nfrom (\n  \
             select every.label as label, first.known as known\n  \
             from (select distinct label from {labels}) as every\n  left join (\n    \
             select label, known from (\n      \
             select labels.label as label, mappings.{person} as known,\n        \
             row_number() over (partition by labels.label order by mappings.{at}, mappings.{person}) as place\n      \
             from {mappings} as mappings join {labels} as labels on labels.node = {node}\n    \
             ) as ranked where place = 1\n  ) as first on first.label = every.label\n) as found",
            labels = self.scratch(labels),
            mappings = self.mappings(),
            node = self.node(&format!("mappings.{kind}"), &format!("mappings.{value}"))
        )
    }

    /// Every id with its person.
    fn people(&self, labels: &str) -> String {
        format!(
            "select nodes.kind as kind, nodes.id as id, ids.person as person\n\
             from {} as nodes\njoin {} as labels on labels.node = nodes.node\n\
             join {} as ids on ids.label = labels.label",
            self.scratch(NODES),
            self.scratch(labels),
            self.scratch(IDS)
        )
    }

    fn take_over(&self, statements: &mut Vec<String>) {
        let table = self.dialect.table(&self.rules.schema, MAPPINGS);
        let people = self.scratch(PEOPLE);
        let [kind, value, person, at] =
            ["merge_property_type", "merge_property_value", "rudder_id", "updated_at"]
                .map(|name| self.q(name));
        let now = self.dialect.now();
        let names = format!("{kind}, {value}, {person}, {at}");
        let new = format!(
            "insert into {table} ({names})\nselect people.kind, people.id, people.person, {now}\n"
        );
        match self.dialect {
            Dialect::Redshift => {
                statements.push(format!(
                    "update {table} set {person} = people.person, {at} = {now} from {people} as people\n\
                     where {table}.{kind} = people.kind and {table}.{value} = people.id \
                     and {table}.{person} <> people.person"
                ));
                statements.push(format!(
                    "{new}from {people} as people\nwhere not exists (select 1 from {table} as known \
                     where known.{kind} = people.kind and known.{value} = people.id)"
                ));
            }
            // The newest row of an id replaces the others.
            Dialect::Clickhouse => statements.push(format!(
                "{new}from {people} as people left join {mappings} as known\n  \
                 on known.{kind} = people.kind and known.{value} = people.id\n\
                 where known.{person} <> people.person or known.{person} is null",
                mappings = self.mappings()
            )),
            _ => statements.push(format!(
                "merge into {table} as known using {people} as people\n  \
                 on known.{kind} = people.kind and known.{value} = people.id\n\
                 when matched and known.{person} <> people.person then\n  \
                 update set {person} = people.person, {at} = {now}\n\
                 when not matched then insert ({names})\n  \
                 values (people.kind, people.id, people.person, {now})"
            )),
        }
    }
}
