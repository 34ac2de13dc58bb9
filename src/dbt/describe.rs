//! What a column holds, in a sentence for dbt's documentation.

use crate::columnar::{Column, Schema, type_name};
use crate::storage::utc_text;

/// The columns whose meaning is the same everywhere.
const KNOWN: [(&str, &str); 30] = [
    ("id", "messageId of the event; unique within its source"),
    ("received_at", "when the gateway took the event; never in the future"),
    ("event_date", "UTC day of arrival"),
    ("environment", "environment of the source"),
    ("source_name", "name of the source"),
    ("platform", "web, desktop, mobile, server or other"),
    ("type", "track, page, screen and so on"),
    ("event", "name of the event as its table is called"),
    ("event_text", "name of the event as it was sent"),
    ("user_id", "the user, as the application knows them"),
    ("anonymous_id", "the device or browser"),
    ("session_id", "session of the SDK"),
    ("timestamp", "when it happened, corrected for the clock of the device"),
    ("_timestamp", "when it happened, corrected for the clock of the device"),
    ("original_timestamp", "when it happened by the clock of the device"),
    ("sent_at", "when the SDK sent it, by the clock of the device"),
    ("time_adjusted", "why the gateway changed the time, if it did"),
    ("_source_schema", "schema of the event's own table"),
    ("_source_table", "the event's own table"),
    ("_dbt_source_relation", "the event's own table, as dbt's union writes it"),
    ("_overflow", "JSON of what had no column left"),
    ("uuid_ts", "when the batch was opened"),
    ("loaded_at", "when the batch was opened"),
    ("channel", "web, mobile or server, as the SDK says"),
    ("context_ip", "address of the sender, if the rules let it through"),
    ("context_source_id", "id of the source"),
    ("context_source_type", "platform of the source"),
    ("context_destination_id", "keelrow"),
    ("context_destination_type", "dialect of the lake"),
    ("name", "name of the page or screen"),
];

/// What the column holds.
pub(super) fn column(column: &Column, schema: &Schema) -> String {
    let since = utc_text(column.first_seen);
    if let Some((_, text)) = KNOWN.iter().find(|(name, _)| *name == column.name) {
        return (*text).to_owned();
    }
    let what = match schema.base_of_variant(&column.name) {
        Some(base) => {
            format!("values of {} that are of type {}", base.name, type_name(column.column_type))
        }
        None if column.name.starts_with("context_") => "from the event's context".to_owned(),
        None => "property of the event".to_owned(),
    };
    format!("{what}, first seen {since}")
}
