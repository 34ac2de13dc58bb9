//! Which tables an event of each kind makes, from which of its parts, with which standard columns.
//!
//! Both fidelities read these tables, so that they differ in values alone.

use crate::event::{KeyId, known};

use super::TableKind;

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// `track`
    Track,
    /// `identify`
    Identify,
    /// `page`
    Page,
    /// `screen`
    Screen,
    /// `group`
    Group,
    /// `alias`
    Alias,
    /// `extract`
    Extract,
    /// `merge`
    Merge,
}

/// A member of an event whose leaves become columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `context`, the only part whose columns have a prefix.
    Context,
    /// `context.traits` once more, without prefix.
    ContextTraits,
    /// `properties`
    Properties,
    /// `traits`
    Traits,
    /// `userProperties`
    UserProperties,
}

impl Part {
    /// The member's key; `context` for its traits too.
    #[must_use]
    pub const fn key(self) -> KeyId {
        match self {
            Self::Context | Self::ContextTraits => known::CONTEXT,
            Self::Properties => known::PROPERTIES,
            Self::Traits => known::TRAITS,
            Self::UserProperties => known::USER_PROPERTIES,
        }
    }

    /// The part as a path, as in `jsonPaths` and `rudder_discards`.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Context => "context",
            Self::ContextTraits => "context.traits",
            Self::Properties => "properties",
            Self::Traits => "traits",
            Self::UserProperties => "userProperties",
        }
    }

    /// What stands before its columns.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Context => "context_",
            _ => "",
        }
    }
}

/// The parts that may hold leaves which must be accounted for.
pub const PARTS: [Part; 4] = [Part::Context, Part::Properties, Part::Traits, Part::UserProperties];

/// Where a standard column's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The event's messageId, minted where it is blank.
    MessageId,
    /// A member of the event.
    Member(KeyId),
    /// The event's receivedAt, or the moment of arrival where it is no moment.
    ReceivedAt,
    /// `context.ip`, else `request_ip`.
    ContextIp,
    /// `context.ip`
    PassedIp,
    /// `name`, else `properties.name`.
    Name,
    /// The event's recordId, which must be there.
    RecordId,
    /// `recordId` of an event from a cloud source that has `context.sources.version`, as text.
    CloudRecordId,
    /// The messageId, or the recordId under the condition of [`Source::CloudRecordId`].
    CloudId,
}

/// A column that the layout itself fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standard {
    /// Its name before it is made safe.
    pub name: &'static str,
    /// Where its value comes from.
    pub source: Source,
    /// It holds a moment; all others hold text.
    pub is_time: bool,
}

const fn text(name: &'static str, source: Source) -> Standard {
    Standard { name, source, is_time: false }
}

const fn time(name: &'static str, source: Source) -> Standard {
    Standard { name, source, is_time: true }
}

const ID: Standard = text("id", Source::MessageId);
const RECEIVED_AT: Standard = time("received_at", Source::ReceivedAt);
const SENT_AT: Standard = time("sent_at", Source::Member(known::SENT_AT));
const TIMESTAMP: Standard = time("timestamp", Source::Member(known::TIMESTAMP));
const ORIGINAL: Standard = time("original_timestamp", Source::Member(known::ORIGINAL_TIMESTAMP));
const CONTEXT_IP: Standard = text("context_ip", Source::ContextIp);
const REQUEST_IP: Standard = text("context_request_ip", Source::Member(known::REQUEST_IP));
const PASSED_IP: Standard = text("context_passed_ip", Source::PassedIp);

/// The columns of all tables but `users` and those of `extract` events, with `id` first.
pub const DEFAULT: [Standard; 11] = [
    ID,
    RECEIVED_AT,
    text("anonymous_id", Source::Member(known::ANONYMOUS_ID)),
    text("user_id", Source::Member(known::USER_ID)),
    SENT_AT,
    TIMESTAMP,
    ORIGINAL,
    text("channel", Source::Member(known::CHANNEL)),
    CONTEXT_IP,
    REQUEST_IP,
    PASSED_IP,
];

/// The event's name as it was sent.
pub const EVENT_TEXT: Standard = text("event_text", Source::Member(known::EVENT));
/// Of `tracks` rows.
pub const RECORD_ID: Standard = text("record_id", Source::CloudRecordId);
/// Of the rows of event tables.
pub const EVENT_ROW_ID: Standard = text("id", Source::CloudId);

/// The columns of `users` in data lakes, but for `id` and `received_at`.
pub const USERS_LAKE: [Standard; 3] = [CONTEXT_IP, REQUEST_IP, PASSED_IP];
/// The columns of `users` elsewhere, but for `id` and `received_at`.
pub const USERS: [Standard; 6] = [CONTEXT_IP, REQUEST_IP, PASSED_IP, SENT_AT, TIMESTAMP, ORIGINAL];
/// The first columns of `users` everywhere.
pub const USERS_KEY: [Standard; 2] = [text("id", Source::Member(known::USER_ID)), RECEIVED_AT];

/// The columns of `extract` events.
pub const EXTRACT: [Standard; 3] =
    [text("id", Source::RecordId), RECEIVED_AT, text("event", Source::Member(known::EVENT))];

impl EventKind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Track,
        Self::Identify,
        Self::Page,
        Self::Screen,
        Self::Group,
        Self::Alias,
        Self::Extract,
        Self::Merge,
    ];

    /// The kind of an event's `type`, in any letter case.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(text))
    }

    /// The type as the layout writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Track => "track",
            Self::Identify => "identify",
            Self::Page => "page",
            Self::Screen => "screen",
            Self::Group => "group",
            Self::Alias => "alias",
            Self::Extract => "extract",
            Self::Merge => "merge",
        }
    }

    /// The parts that become columns, in the order they are written: a later one wins a column.
    #[must_use]
    pub const fn parts(self, context_traits: bool) -> &'static [Part] {
        match self {
            Self::Track => &[Part::Properties, Part::UserProperties, Part::Context],
            Self::Identify if context_traits => {
                &[Part::UserProperties, Part::ContextTraits, Part::Traits, Part::Context]
            }
            Self::Identify => &[Part::UserProperties, Part::Traits, Part::Context],
            Self::Page | Self::Screen | Self::Extract => &[Part::Properties, Part::Context],
            Self::Group | Self::Alias => &[Part::Traits, Part::Context],
            Self::Merge => &[],
        }
    }

    /// The table of the kind's main row; `None` where the event's name decides, or for merges.
    #[must_use]
    pub const fn table(self) -> Option<(&'static str, TableKind)> {
        match self {
            Self::Track => Some(("tracks", TableKind::Tracks)),
            Self::Identify => Some(("identifies", TableKind::Identifies)),
            Self::Page => Some(("pages", TableKind::Pages)),
            Self::Screen => Some(("screens", TableKind::Screens)),
            Self::Group => Some(("groups", TableKind::Groups)),
            Self::Alias => Some(("aliases", TableKind::Aliases)),
            Self::Extract | Self::Merge => None,
        }
    }

    /// The one standard column that only this kind's own table has beside [`DEFAULT`].
    #[must_use]
    pub const fn own(self) -> Option<Standard> {
        match self {
            Self::Page | Self::Screen => Some(text("name", Source::Name)),
            Self::Group => Some(text("group_id", Source::Member(known::GROUP_ID))),
            Self::Alias => Some(text("previous_id", Source::Member(known::PREVIOUS_ID))),
            _ => None,
        }
    }

    /// True if a client's value for the column of this name is left out, because the name is a
    /// standard column's. Compares names before reserved words are escaped, as RudderStack does.
    #[must_use]
    pub fn reserves(self, column: &str) -> bool {
        let is = |standard: &Standard| standard.name == column;
        match self {
            Self::Merge => false,
            Self::Extract => EXTRACT.iter().any(is),
            Self::Track => DEFAULT.iter().any(is) || is(&EVENT_TEXT) || is(&RECORD_ID),
            _ => DEFAULT.iter().any(is) || self.own().as_ref().is_some_and(is),
        }
    }
}

/// Columns of `rudder_identity_merge_rules`: type and value of the first and the second id.
pub const MERGE_COLUMNS: [&str; 4] = [
    "merge_property_1_type",
    "merge_property_1_value",
    "merge_property_2_type",
    "merge_property_2_value",
];

/// Columns of `rudder_discards`; all text but `received_at`.
pub const DISCARD_COLUMNS: [&str; 6] =
    ["column_name", "column_value", "reason", "received_at", "row_id", "table_name"];

/// Columns of `rejected`; all text but `received_at`.
pub const REJECTED_COLUMNS: [&str; 9] = [
    "id",
    "received_at",
    "reason",
    "detail",
    "type",
    "event",
    "user_id",
    "anonymous_id",
    "payload",
];
