//! The row of an event that could not be accepted.

use crate::event::Node;
use crate::warehouse::{Cell, ColumnId, Scalar, Sink, TableKind, datetime};

use super::Mapper;
use super::value::NO_TOKEN;

/// Longest `rejected.payload`, in bytes; of a longer one the shape is kept.
const PAYLOAD_BYTES_MAX: usize = 64 * 1024;

/// Why an event is in `rejected`, and what is kept of it. Empty texts become nulls.
#[derive(Clone, Copy, Default)]
pub struct Rejected<'r> {
    /// The messageId; a minted one if there is none.
    pub id: &'r str,
    /// The moment of arrival in microseconds since 1970.
    pub received_at: i64,
    /// A stable label.
    pub reason: &'r str,
    /// For a person; no content of the event.
    pub detail: &'r str,
    /// The type as sent.
    pub r#type: &'r str,
    /// The event's name.
    pub event: &'r str,
    /// The user id.
    pub user_id: &'r str,
    /// The anonymous id.
    pub anonymous_id: &'r str,
    /// JSON text; [`Rejected::payload_of`] makes one that is not too long.
    pub payload: &'r str,
}

impl std::fmt::Debug for Rejected<'_> {
    /// Shows the reason, never ids or content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rejected").field("reason", &self.reason).finish_non_exhaustive()
    }
}

impl Rejected<'_> {
    /// The event's JSON text, or where that is longer than 64 KiB its shape: each value replaced by
    /// its type and length.
    #[must_use]
    pub fn payload_of(event: Node<'_>) -> String {
        super::shape::payload(event, PAYLOAD_BYTES_MAX)
    }
}

impl Mapper {
    /// Writes one row of `rejected`.
    pub fn rejected(&mut self, rejected: &Rejected<'_>, sink: &mut impl Sink) {
        let set = self.standard.set(false);
        let names = &self.named();
        sink.row(names, set.table(TableKind::Rejected), TableKind::Rejected);
        let mut time = String::new();
        datetime::write(rejected.received_at, &mut time);
        let values = [
            rejected.id,
            &time,
            rejected.reason,
            rejected.detail,
            rejected.r#type,
            rejected.event,
            rejected.user_id,
            rejected.anonymous_id,
            rejected.payload,
        ];
        for (place, (text, column)) in values.into_iter().zip(set.rejected).enumerate() {
            if text.is_empty() {
                continue;
            }
            let value = match place {
                1 => Scalar::Datetime(rejected.received_at),
                _ => Scalar::Text(text),
            };
            sink.cell(names, ColumnId(column), Cell { value, text, origin: NO_TOKEN });
        }
    }
}
