//! What makes an event a bad one, and what becomes of it and of its request then.

use super::Limits;
use super::seam::Refusal;
use crate::event::enrich::{self, EventType, Fields};
use crate::event::{Kind, Node, known};

/// What is wrong with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    NotAnObject,
    NoIds,
    TooLarge,
    UnknownType,
}

impl Fault {
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::NotAnObject => "not_an_object",
            Self::NoIds => "no_ids",
            Self::TooLarge => "too_large",
            Self::UnknownType => "unknown_type",
        }
    }

    /// How the whole request is refused when nothing better is in it; `None` for faults that
    /// count as accepted in the answer.
    pub(super) const fn refusal(self) -> Option<Refusal> {
        match self {
            Self::NotAnObject => Some(Refusal::NotAnObject),
            Self::NoIds => Some(Refusal::NoIds),
            Self::TooLarge | Self::UnknownType => None,
        }
    }
}

/// Judges an event as it came, before anything is added to it.
pub(super) fn judge<'a>(
    event: Node<'a>,
    forced: Option<EventType>,
    limits: &Limits,
) -> Result<Fields<'a>, Fault> {
    if event.kind() != Kind::Object {
        return Err(Fault::NotAnObject);
    }
    if event.raw().len() > limits.event_bytes_max {
        return Err(Fault::TooLarge);
    }
    let fields = Fields::of(event);
    let name = fields.get(known::TYPE).and_then(Node::text).unwrap_or_default();
    let kind = forced.or_else(|| EventType::parse(&name));
    let exempt = kind == Some(EventType::Extract) || name.eq_ignore_ascii_case("record");
    if !exempt && !enrich::has_identity(&fields) {
        return Err(Fault::NoIds);
    }
    kind.map(|_| fields).ok_or(Fault::UnknownType)
}
