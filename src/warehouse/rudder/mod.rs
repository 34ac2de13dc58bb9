//! The mapping as RudderStack's own transformer makes it, faults and all (fidelity `rudderstack`).
//!
//! It exists to prove that names, tables and standard columns are the same, and to show a migrant
//! what will differ: `keelrow map --fidelity rudderstack` and the tests call it, `serve` never does.
//! The norm is the Go transformer inside rudder-server. Slow and simple: a tree per event, rows as
//! maps. Names, standard columns and `jsonPaths` are those of [`crate::warehouse`].

mod flatten;
mod go_time;
pub mod load;
pub mod moment;
mod name;
mod quote;
mod row;
mod rows;
mod value;

#[cfg(test)]
mod tests;

pub use row::Row;
pub use value::{Object, OutOfRange, Value};

use crate::event::{Duplicates, Kind, Parser};

use super::{Dialect, Layout};

use rows::Transform;

/// What RudderStack knows of an event beside its text.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    /// Ids and types of source and destination are not put into the context, which
    /// `WH_POPULATE_SRC_DEST_INFO_IN_CONTEXT=false` makes of the transformer.
    pub leaves_context: bool,
    /// `context_source_id`
    pub source_id: String,
    /// `context_source_type`
    pub source_type: String,
    /// `context_destination_id`
    pub destination_id: String,
    /// `context_destination_type`
    pub destination_type: String,
    /// Stands in for a receivedAt that is missing or no moment.
    pub received_at: String,
    /// The id of an event without one, such as `auto-` and a UUID.
    pub minted_id: String,
}

/// Why an event makes no rows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is not JSON.
    #[error("input: {0}")]
    Json(#[source] crate::event::Error),
    /// A number is out of range.
    #[error(transparent)]
    OutOfRange(OutOfRange),
    /// The event is not an object.
    #[error("input: json: cannot unmarshal {found} into Go value of type types.SingularEventT")]
    NotAnObject {
        /// What it is, as Go names it.
        found: &'static str,
    },
    /// `context` is something else than an object.
    #[error("context is not a map")]
    ContextNotAMap,
    /// No rows are made from this type.
    #[error("Unknown event type: {}", quote::quoted(.given))]
    UnknownType {
        /// The type, lower case.
        given: String,
    },
    /// A row would have too many columns.
    #[error("{provider} transformer: Too many columns outputted from the event")]
    TooManyColumns {
        /// The warehouse.
        provider: String,
    },
    /// An event of a cloud source has no recordId, or one that is no value.
    #[error("recordId cannot be empty for cloud sources events")]
    NoRecordId,
    /// An extract event has no name.
    #[error(
        "cannot create event table with empty event name, event name is missing in the payload"
    )]
    NoEventName,
    /// No table can be named.
    #[error("Table name cannot be empty.")]
    NoTableName,
    /// A merge does not name two ids.
    #[error("either or both identifiers missing in mergeProperties")]
    NoMergeIds,
    /// One of a merge's ids is incomplete.
    #[error("mergeProperties contains null values for expected inputs")]
    EmptyMergeId,
}

/// Maps one event.
///
/// # Errors
/// As the transformer fails.
pub fn map(
    event: &[u8],
    dialect: Dialect,
    layout: &Layout,
    metadata: &Metadata,
) -> Result<Vec<Row>, Error> {
    let mut parser = Parser::with_duplicates(Duplicates::LastWins);
    let tape = parser.parse(event).map_err(Error::Json)?;
    let message = match tape.root().kind() {
        Kind::Object => Value::read(tape.root()).map_err(Error::OutOfRange)?,
        // Go leaves its empty map as it is.
        Kind::Null => Value::Object(Object::new()),
        Kind::Array => return Err(Error::NotAnObject { found: "array" }),
        Kind::Number => return Err(Error::NotAnObject { found: "number" }),
        Kind::String => return Err(Error::NotAnObject { found: "string" }),
        Kind::False | Kind::True => return Err(Error::NotAnObject { found: "bool" }),
    };
    Transform::new(&message, dialect, layout, metadata)?.rows()
}
